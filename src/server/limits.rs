//! What the machine allows.

use crate::config::Document;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Descriptors kept for what is neither a client nor an upstream connection.
const RESERVED: u64 = 64;

/// The number of cores.
pub(super) fn cores() -> u64 {
    std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64)
}

/// Raises the soft limit on descriptors to the hard one.
pub(super) fn raise_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit on descriptors cannot be raised");
    }
}

/// Room for the connections of all listeners: half of the descriptors, the others are for
/// upstreams.
pub(super) fn connections(document: &Document) -> Option<Arc<Semaphore>> {
    let most = document.server.limits.connections.on()?.or(|| {
        let soft = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        (soft.saturating_sub(RESERVED) / 2).max(1)
    });
    let most = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
    Some(Arc::new(Semaphore::new(most)))
}
