//! How the process ends: SIGTERM and SIGINT drain, a second signal ends at once.

use crate::admin::Readiness;
use crate::config;
use crate::listener::Drain;
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

/// Drains by itself and then has the engine end at once: the engine's own grace is a fixed sleep.
pub(super) struct Signals {
    drain: Arc<Drain>,
    readiness: Arc<Readiness>,
    longest: Duration,
    heard: Arc<Notify>,
}

impl Signals {
    pub(super) fn new(
        drain: Arc<Drain>,
        readiness: Arc<Readiness>,
        server: &config::Server,
    ) -> Self {
        Self { drain, readiness, longest: server.drain.0, heard: Arc::default() }
    }

    /// What is told as soon as signals are heard; before, one would kill the process.
    pub(super) fn heard(&self) -> Arc<Notify> {
        self.heard.clone()
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
        let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
        self.heard.notify_one();
        let (mut terminate, mut interrupt) = match signals {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(%error, "signals cannot be heard; only SIGKILL ends this process");
                std::future::pending().await
            }
        };
        either(&mut terminate, &mut interrupt).await;
        tokio::select! {
            () = self.drain() => {}
            () = either(&mut terminate, &mut interrupt) => tracing::warn!("a second signal: ending now"),
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
