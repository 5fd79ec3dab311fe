//! What listeners count.

use super::proxy_protocol::Lack;
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
    headers: CounterFamily<2>,
    headers_refused: CounterFamily<2>,
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
            headers: registry.counter(
                "falconer_listener_proxy_headers_total",
                "PROXY headers believed, by version.",
                &["listener", "version"],
            ),
            headers_refused: registry.counter(
                "falconer_listener_proxy_headers_refused_total",
                "Connections closed because of their PROXY header or the lack of one, by cause.",
                &["listener", "cause"],
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
            headers: ["v1", "v2"].map(|version| self.headers.handle(&[listener, version])),
            headers_refused: Lack::CAUSES
                .map(|cause| (cause, self.headers_refused.handle(&[listener, cause]))),
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
    headers: [Counter; 2],
    headers_refused: [(&'static str, Counter); 5],
    refused: Vec<(Cause, Counter)>,
}

impl Handles {
    /// Counts a PROXY header.
    pub(super) fn count_header(&self, header: &[u8]) {
        let [v1, v2] = &self.headers;
        let version = if header.starts_with(b"PROXY") { v1 } else { v2 };
        version.inc();
    }

    /// Counts a connection that was closed because of its PROXY header.
    pub(super) fn count_header_refused(&self, cause: &str) {
        if let Some((_, counter)) = self.headers_refused.iter().find(|(known, _)| *known == cause) {
            counter.inc();
        }
    }

    /// Counts a request refused before routing.
    pub(super) fn count_refused(&self, cause: Cause) {
        if let Some((_, counter)) = self.refused.iter().find(|(known, _)| *known == cause) {
            counter.inc();
        }
    }
}
