//! What is counted of endpoints.

use crate::exchange::Cause;
use crate::observe::{Counter, CounterFamily, Gauge, GaugeFamily, Registry};

/// The metric families of all upstreams.
#[derive(Clone, Debug)]
pub struct Metrics {
    attempts: CounterFamily<2>,
    connects: CounterFamily<2>,
    reused: CounterFamily<2>,
    failures: CounterFamily<3>,
    ejections: CounterFamily<2>,
    retries: CounterFamily<1>,
    unaffordable: CounterFamily<1>,
    checks: CounterFamily<3>,
    healthy: GaugeFamily<2>,
    endpoints: GaugeFamily<1>,
    pending: GaugeFamily<1>,
    concurrency: GaugeFamily<2>,
    discoveries: CounterFamily<2>,
    affinity: CounterFamily<2>,
}

impl Metrics {
    /// Declares the families.
    pub fn new(registry: &Registry) -> Self {
        Self {
            attempts: registry.counter(
                "falconer_upstream_attempts_total",
                "Attempts to get a response from an endpoint.",
                &["upstream", "endpoint"],
            ),
            connects: registry.counter(
                "falconer_upstream_connects_total",
                "New connections made to an endpoint.",
                &["upstream", "endpoint"],
            ),
            reused: registry.counter(
                "falconer_upstream_connections_reused_total",
                "Attempts that used a connection of the pool.",
                &["upstream", "endpoint"],
            ),
            failures: registry.counter(
                "falconer_upstream_failures_total",
                "Attempts that failed, by cause.",
                &["upstream", "endpoint", "cause"],
            ),
            ejections: registry.counter(
                "falconer_upstream_ejections_total",
                "How often outlier detection took an endpoint out.",
                &["upstream", "endpoint"],
            ),
            retries: registry.counter(
                "falconer_upstream_retries_total",
                "Requests that were sent again.",
                &["upstream"],
            ),
            unaffordable: registry.counter(
                "falconer_upstream_retries_unaffordable_total",
                "Requests that were not sent again because the budget was used up.",
                &["upstream"],
            ),
            checks: registry.counter(
                "falconer_upstream_health_checks_total",
                "Health checks of an endpoint, by their result.",
                &["upstream", "endpoint", "result"],
            ),
            healthy: registry.gauge(
                "falconer_upstream_endpoint_healthy",
                "How many addresses of an endpoint its health checks find healthy.",
                &["upstream", "endpoint"],
            ),
            endpoints: registry.gauge(
                "falconer_upstream_endpoints",
                "Addresses that an upstream has now.",
                &["upstream"],
            ),
            pending: registry.gauge(
                "falconer_upstream_pending",
                "Requests that wait until an endpoint has room.",
                &["upstream"],
            ),
            concurrency: registry.gauge(
                "falconer_upstream_endpoint_concurrency",
                "How many requests the addresses of an endpoint can take at once, as `adaptive` finds.",
                &["upstream", "endpoint"],
            ),
            discoveries: registry.counter(
                "falconer_upstream_discoveries_total",
                "Look-ups of names and services and readings of files, by what came of them.",
                &["upstream", "result"],
            ),
            affinity: registry.counter(
                "falconer_upstream_affinity_total",
                "Requests of clients that belong to an endpoint, and clients told of theirs.",
                &["upstream", "outcome"],
            ),
        }
    }

    /// The handles of one upstream.
    pub(super) fn of_upstream(&self, upstream: &str) -> OfUpstream {
        OfUpstream {
            retries: self.retries.handle(&[upstream]),
            unaffordable: self.unaffordable.handle(&[upstream]),
            endpoints: self.endpoints.handle(&[upstream]),
            pending: self.pending.handle(&[upstream]),
        }
    }

    /// What is counted of what an upstream learns.
    pub(super) fn discoveries(&self, upstream: &str) -> Discoveries {
        let of = |result| self.discoveries.handle(&[upstream, result]);
        Discoveries { changed: of("changed"), unchanged: of("unchanged"), failed: of("failed") }
    }

    /// What is counted of an upstream's affinity.
    pub(super) fn affinity(&self, upstream: &str) -> Affine {
        let of = |outcome| self.affinity.handle(&[upstream, outcome]);
        Affine { kept: of("kept"), new: of("new"), lost: of("lost") }
    }

    /// The handles of one endpoint.
    pub(super) fn of(&self, upstream: &str, endpoint: &str) -> Handles {
        Handles {
            attempts: self.attempts.handle(&[upstream, endpoint]),
            connects: self.connects.handle(&[upstream, endpoint]),
            reused: self.reused.handle(&[upstream, endpoint]),
            ejections: self.ejections.handle(&[upstream, endpoint]),
            failures: Cause::ALL
                .iter()
                .filter(|cause| cause.is_upstream())
                .map(|cause| (*cause, self.failures.handle(&[upstream, endpoint, cause.name()])))
                .collect(),
        }
    }

    /// How many requests an endpoint can take at once.
    pub(super) fn concurrency(&self, upstream: &str, endpoint: &str) -> Gauge {
        self.concurrency.handle(&[upstream, endpoint])
    }

    /// The handles of an endpoint that is checked.
    pub(super) fn checked(&self, upstream: &str, endpoint: &str) -> Checked {
        let checks = |result| self.checks.handle(&[upstream, endpoint, result]);
        Checked {
            passed: checks("passed"),
            failed: checks("failed"),
            healthy: self.healthy.handle(&[upstream, endpoint]),
        }
    }
}

/// What is counted of an endpoint's health checks.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) passed: Counter,
    pub(super) failed: Counter,
    pub(super) healthy: Gauge,
}

/// What is counted of one upstream.
#[derive(Debug)]
pub(super) struct OfUpstream {
    pub(super) retries: Counter,
    pub(super) unaffordable: Counter,
    /// How many addresses it has.
    pub(super) endpoints: Gauge,
    /// How many requests wait.
    pub(super) pending: Gauge,
}

/// Look-ups and readings of one upstream, by what came of them.
#[derive(Debug)]
pub(super) struct Discoveries {
    /// Something else was found than before.
    pub(super) changed: Counter,
    /// The same was found.
    pub(super) unchanged: Counter,
    /// Nothing was found; what was found before holds.
    pub(super) failed: Counter,
}

/// What became of clients that belong to an endpoint.
#[derive(Debug)]
pub(super) struct Affine {
    /// Attempts that went to their client's endpoint.
    pub(super) kept: Counter,
    /// Clients that were told of an endpoint, and connections that were learned.
    pub(super) new: Counter,
    /// Attempts whose client's endpoint did not serve.
    pub(super) lost: Counter,
}

/// The counters of one endpoint.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) attempts: Counter,
    pub(super) connects: Counter,
    pub(super) reused: Counter,
    pub(super) ejections: Counter,
    failures: Vec<(Cause, Counter)>,
}

impl Handles {
    pub(super) fn count_failure(&self, cause: Cause) {
        if let Some((_, counter)) = self.failures.iter().find(|(known, _)| *known == cause) {
            counter.inc();
        }
    }
}
