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
        }
    }

    /// The handles of one upstream.
    pub(super) fn of_upstream(&self, upstream: &str) -> OfUpstream {
        OfUpstream {
            retries: self.retries.handle(&[upstream]),
            unaffordable: self.unaffordable.handle(&[upstream]),
        }
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

/// The counters of one upstream.
#[derive(Debug)]
pub(super) struct OfUpstream {
    pub(super) retries: Counter,
    pub(super) unaffordable: Counter,
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
