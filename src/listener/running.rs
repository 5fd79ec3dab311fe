//! A listener as it runs: what its document says, compiled, and what its connections share.

use super::config::{Config, Protocol};
use super::drain::Drain;
use super::gate::Gate;
use super::idle::{Connections, Table};
use super::metrics::{Handles, Metrics};
use super::proxy_protocol::ProxyProtocol;
use super::refusal::Refusal;
use crate::exchange::{Cause, Connection, Entrance};
use crate::observe::access;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

/// What all listeners share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// Whether the process drains.
    pub drain: Arc<Drain>,
    /// How long a draining idle connection stays readable.
    pub idle_grace: Duration,
    /// Room for connections of all listeners together.
    pub connections: Option<Arc<Semaphore>>,
    /// The metric families.
    pub metrics: Metrics,
    /// The access log.
    pub access: access::Sender,
}

/// One listener and the app that serves its requests.
pub struct Listener<A> {
    pub(super) app: Arc<A>,
    pub(super) entrance: Arc<Entrance>,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) speaks_h1: bool,
    pub(super) speaks_h2: bool,
    pub(super) proxy_protocol: ProxyProtocol,
    pub(super) handshake_timeout: Option<Duration>,
    pub(super) keep_alive: Option<Duration>,
    pub(super) idle_grace: Duration,
    pub(super) gate: Gate,
    pub(super) idle: Arc<Table>,
    pub(super) drain: Arc<Drain>,
    pub(super) metrics: Handles,
    access: access::Sender,
    /// How long a drain may take; unset is as long as its exchanges last.
    longest: OnceLock<Duration>,
}

impl<A> Listener<A> {
    /// A listener of a configuration; `tls` is the acceptor for its certificates. Connections of
    /// the one that it takes the place of count for its caps.
    pub fn new(
        config: &Config,
        entrance: Arc<Entrance>,
        tls: Option<Arc<rustls::ServerConfig>>,
        app: Arc<A>,
        shared: &Shared,
        before: Option<&Self>,
    ) -> Self {
        let limits = &config.limits;
        let protocols = config.protocols();
        Self {
            app,
            metrics: shared.metrics.of(&entrance.name),
            entrance,
            tls: tls.map(TlsAcceptor::from),
            speaks_h1: protocols.contains(&Protocol::H1),
            speaks_h2: protocols.contains(&Protocol::H2),
            proxy_protocol: config.proxy_protocol,
            handshake_timeout: limits.handshake_timeout.on().map(|d| d.0),
            keep_alive: limits.keep_alive.on().map(|d| d.0),
            idle_grace: shared.idle_grace,
            gate: Gate::new(
                limits.connections.on(),
                limits.connections_per_client.on(),
                shared.connections.clone(),
                before.map(|before| &before.gate),
            ),
            idle: Arc::default(),
            drain: shared.drain.part(),
            access: shared.access.clone(),
            longest: OnceLock::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.entrance.name
    }

    /// The connections that are open now.
    pub fn connections(&self) -> Connections {
        self.idle.open()
    }

    /// Drains, because another takes its place: what is open goes on to its end.
    pub fn retire(&self) {
        self.drain.begin();
    }

    /// Drains, because it is gone: streams end in so long, and what is still open then is cut off.
    pub fn remove(&self, longest: Duration) {
        // A second time would be another's removal, and there is none.
        let _ = self.longest.set(longest);
        self.drain.begin();
        self.drain.end(longest);
    }

    pub(super) fn longest(&self) -> Option<Duration> {
        self.longest.get().copied()
    }

    /// Waits until it drains and those who asked for nothing had their grace.
    pub(super) async fn grace_over(&self) {
        // The sender lives as long as the listener.
        let _ = self.drain.watch().wait_for(|stop| *stop).await;
        tokio::time::sleep(self.idle_grace).await;
    }

    /// Refuses a request: counts and logs it, and returns the answer.
    pub(super) fn refuse(&self, connection: &Connection, cause: Cause, head: &[u8]) -> Vec<u8> {
        let mut refusal = Refusal::new(cause, head);
        let answer = refusal.answer();
        self.note(connection, &refusal);
        answer
    }

    /// Counts and logs a request that the engine refused itself.
    pub(super) fn count_refused(
        &self,
        connection: &Connection,
        cause: Cause,
        protocol: &'static str,
    ) {
        self.note(connection, &Refusal::unseen(cause, protocol));
    }

    fn note(&self, connection: &Connection, refusal: &Refusal<'_>) {
        self.metrics.count_refused(refusal.cause);
        if self.access.wants(refusal.cause.status().as_u16()) {
            refusal.record(connection, &self.access);
        }
    }
}
