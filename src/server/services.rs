//! What runs beside the requests.

use crate::admin::Readiness;
use crate::runtime::Handle;
use crate::upstream::Names;
use async_trait::async_trait;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// How long the first look-up of names may hold up the start.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks the names of endpoints up, and then says that the edge is ready.
pub(super) struct Warm {
    runtime: Arc<Handle>,
    names: Names,
    readiness: Arc<Readiness>,
    /// Told when signals are heard.
    heard: Arc<Notify>,
}

impl Warm {
    pub(super) fn new(
        runtime: Arc<Handle>,
        names: Names,
        readiness: Arc<Readiness>,
        heard: Arc<Notify>,
    ) -> Self {
        Self { runtime, names, readiness, heard }
    }
}

#[async_trait]
impl ServiceWithDependents for Warm {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _tasks: usize,
        ready: ServiceReadyNotifier,
    ) {
        let snapshot = self.runtime.snapshot();
        let follow = snapshot.upstreams.values().map(|upstream| upstream.follow(&self.names));
        // A name server that is silent delays the start, but does not prevent it.
        let _ = tokio::time::timeout(PATIENCE, futures::future::join_all(follow)).await;
        let generation = snapshot.generation;
        drop(snapshot);
        self.heard.notified().await;
        ready.notify_ready();
        self.readiness.set(true);
        tracing::info!(generation, "ready");
        // The names are followed by tasks of this service's runtime.
        let _ = shutdown.wait_for(|stop| *stop).await;
    }

    fn name(&self) -> &str {
        "warm"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
