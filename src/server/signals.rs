//! SIGTERM and SIGINT drain, a second one ends at once; SIGUSR1 opens the access log anew.

use crate::admin::Readiness;
use crate::config;
use crate::listener::Drain;
use crate::observe::access::Writer;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// Drains by itself and then has the engine end at once: the engine's own grace is a fixed sleep.
pub(super) struct Signals {
    drain: Arc<Drain>,
    readiness: Arc<Readiness>,
    access: Arc<Writer>,
    longest: Duration,
    heard: Arc<Notify>,
}

impl Signals {
    pub(super) fn new(
        drain: Arc<Drain>,
        readiness: Arc<Readiness>,
        access: Arc<Writer>,
        server: &config::Server,
    ) -> Self {
        Self { drain, readiness, access, longest: server.drain.0, heard: Arc::default() }
    }

    /// What is told as soon as signals are heard; before, one would kill the process.
    pub(super) fn heard(&self) -> Arc<Notify> {
        self.heard.clone()
    }

    /// Ends when draining is over, or with a second signal.
    async fn end(&self, terminate: &mut Signal, interrupt: &mut Signal) {
        either(terminate, interrupt).await;
        tokio::select! {
            () = self.drain() => {}
            () = either(terminate, interrupt) => tracing::warn!("a second signal: ending now"),
        }
    }

    /// Opens the access log anew as often as it is told to.
    async fn reopen(&self, told: &mut Signal) -> Infallible {
        loop {
            // Once no signal can come any more, nothing is to be done.
            if told.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
            tracing::info!("the access log is opened anew");
            self.access.reopen();
        }
    }

    async fn drain(&self) {
        self.readiness.set(false);
        let open = self.drain.open();
        self.drain.begin();
        tracing::info!(connections = open, longest = ?self.longest, "draining");
        let start = Instant::now();
        let emptied = tokio::time::timeout(self.longest, self.drain.emptied()).await;
        let (left, took) = (self.drain.open(), start.elapsed());
        if emptied.is_ok() {
            tracing::info!(?took, "drained");
        } else {
            tracing::warn!(connections = left, ?took, "the drain is over; what is open is cut off");
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt(), SignalKind::user_defined1()];
        let signals = kinds.map(signal);
        self.heard.notify_one();
        let [Ok(mut terminate), Ok(mut interrupt), Ok(mut user)] = signals else {
            for error in signals.into_iter().filter_map(Result::err) {
                tracing::error!(%error, "signals cannot be heard; only SIGKILL ends this process");
            }
            return std::future::pending().await;
        };
        tokio::select! {
            () = self.end(&mut terminate, &mut interrupt) => {}
            never = self.reopen(&mut user) => match never {},
        }
        ShutdownSignal::FastShutdown
    }
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
