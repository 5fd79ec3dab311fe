//! The endpoint that an attempt goes to.

use super::affinity::Told;
use super::endpoint::{Endpoint, InFlight};
use super::mentioned::Mentioned;
use crate::exchange::{Cause, Ending};
use http::HeaderValue;
use pingora::upstreams::peer::HttpPeer;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The endpoint of an attempt.
pub struct Picked {
    /// Its place among those tried.
    pub index: usize,
    /// When it was picked.
    pub started: Instant,
    /// Since when the endpoint has all of the request.
    pub(super) asked: Option<Instant>,
    pub(super) in_flight: InFlight,
    /// Whether its response is a failure, however whole it is.
    pub(super) has_failed: bool,
    /// Whether something came of it already.
    pub(super) has_answered: bool,
    /// What the client is told, so that it comes back.
    pub(super) told: Option<Arc<Told>>,
    /// How to connect; taken by the engine.
    pub(super) peer: Option<Box<HttpPeer>>,
    pub(super) authority: HeaderValue,
    pub(super) mentioned: Arc<Mentioned>,
}

impl Picked {
    /// How to connect; `None` when it was taken already.
    pub fn take_peer(&mut self) -> Option<Box<HttpPeer>> {
        self.peer.take()
    }

    /// The endpoint.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.in_flight.endpoint()
    }

    /// What the client is told, so that it comes back, unless it knows.
    pub fn told(&self) -> Option<&Arc<Told>> {
        self.told.as_ref()
    }

    /// Says that the endpoint has all of the request.
    pub fn was_sent(&mut self) {
        self.asked.get_or_insert_with(Instant::now);
    }

    /// How long it has taken since then; a client's slow body is not the endpoint's doing.
    pub(super) fn took(&self, now: Instant) -> Option<Duration> {
        self.asked.map(|asked| now.saturating_duration_since(asked))
    }

    /// Says that for the endpoint the attempt is over, however slowly the client reads.
    pub fn answered(&mut self) {
        self.in_flight.end();
    }

    /// Says that a connection is there.
    pub fn connected(&self, reused: bool) {
        if reused {
            self.mentioned.metrics.reused.inc();
        } else {
            self.mentioned.metrics.connects.inc();
        }
    }

    /// Says that the attempt failed, though the endpoint did nothing wrong.
    pub fn excuse(&mut self, cause: Cause) {
        self.mentioned.metrics.count_failure(cause);
        if self.in_flight.is_trial() {
            self.endpoint().standing().tells_nothing();
        }
    }

    /// Until when its streams go on.
    pub fn ending(&self) -> &Arc<Ending> {
        &self.mentioned.ending
    }
}
