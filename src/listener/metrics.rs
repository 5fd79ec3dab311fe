//! What listeners count.

use crate::exchange::Cause;
use crate::observe::{Counter, CounterFamily, Gauge, GaugeFamily, Registry};

/// The metric families of all listeners.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: CounterFamily<1>,
    open: GaugeFamily<1>,
    turned_away: CounterFamily<2>,
    paused: CounterFamily<2>,
    handshakes: CounterFamily<2>,
    handshake_failures: CounterFamily<1>,
    refused: CounterFamily<2>,
}

impl Metrics {
    /// Declares the families.
    pub fn new(registry: &Registry) -> Self {
        Self {
            accepted: registry.counter(
                "falconer_listener_connections_total",
                "Connections accepted.",
                &["listener"],
            ),
            open: registry.gauge(
                "falconer_listener_connections",
                "Connections open now.",
                &["listener"],
            ),
            turned_away: registry.counter(
                "falconer_listener_connections_refused_total",
                "Connections closed at once, by the cap they ran into.",
                &["listener", "limit"],
            ),
            paused: registry.counter(
                "falconer_listener_accept_pauses_total",
                "Times that accepting paused, by what ran out.",
                &["listener", "reason"],
            ),
            handshakes: registry.counter(
                "falconer_listener_tls_handshakes_total",
                "TLS handshakes completed, by version.",
                &["listener", "version"],
            ),
            handshake_failures: registry.counter(
                "falconer_listener_tls_handshake_failures_total",
                "TLS handshakes that failed or took too long.",
                &["listener"],
            ),
            refused: registry.counter(
                "falconer_listener_requests_refused_total",
                "Requests refused before routing, by cause.",
                &["listener", "cause"],
            ),
        }
    }

    /// The handles of one listener.
    pub(super) fn of(&self, listener: &str) -> Handles {
        Handles {
            accepted: self.accepted.handle(&[listener]),
            open: self.open.handle(&[listener]),
            per_client: self.turned_away.handle(&[listener, "connections_per_client"]),
            paused_by_limit: self.paused.handle(&[listener, "connections"]),
            paused_by_descriptors: self.paused.handle(&[listener, "descriptors"]),
            tls12: self.handshakes.handle(&[listener, "TLSv1.2"]),
            tls13: self.handshakes.handle(&[listener, "TLSv1.3"]),
            handshake_failures: self.handshake_failures.handle(&[listener]),
            refused: Cause::ALL
                .iter()
                .filter(|cause| cause.status().as_u16() < 500 || is_protocol(**cause))
                .map(|cause| (*cause, self.refused.handle(&[listener, cause.name()])))
                .collect(),
        }
    }
}

fn is_protocol(cause: Cause) -> bool {
    matches!(cause, Cause::VersionNotSupported | Cause::CodingNotSupported)
}

/// The counters of one listener.
#[derive(Debug)]
pub(super) struct Handles {
    pub(super) accepted: Counter,
    pub(super) open: Gauge,
    pub(super) per_client: Counter,
    pub(super) paused_by_limit: Counter,
    pub(super) paused_by_descriptors: Counter,
    pub(super) tls12: Counter,
    pub(super) tls13: Counter,
    pub(super) handshake_failures: Counter,
    refused: Vec<(Cause, Counter)>,
}

impl Handles {
    /// Counts a request refused before routing.
    pub(super) fn count_refused(&self, cause: Cause) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == cause) {
            counter.inc();
        }
    }
}
