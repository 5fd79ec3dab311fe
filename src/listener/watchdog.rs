//! Ends an exchange that nobody looks after any more.
//!
//! The watch of an exchange is asked by our downstream IO. When a write to an HTTP/2 endpoint
//! fails, the engine stops polling that IO and waits for the response without any timeout.

use crate::exchange::{Arrival, Cause, Phase, Timer};
use std::future::poll_fn;

/// Runs an exchange; the cause if it was overdue and did not see it.
pub(super) async fn guard<T>(
    served: impl Future<Output = T>,
    arrival: &Arrival,
) -> Result<T, Cause> {
    let mut timer = Timer::default();
    tokio::select! {
        biased;
        served = served => Ok(served),
        phase = poll_fn(|cx| timer.poll_unnoticed(arrival, cx)) => Err(match phase {
            Phase::Body | Phase::Tunnel => Cause::UpstreamTimeoutIdle,
            _ => Cause::UpstreamTimeoutRequest,
        }),
    }
}
