//! The language of the integration tests: an [`edge`], an [`origin`] behind it, and clients.
//!
//! ```ignore
//! let app = origin().reply("/", "hello").start().await;
//! let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
//! assert_eq!(edge.get("/").await, "hello");
//! ```
//!
//! Everything that waits has a deadline and says what it waited for.

#![allow(dead_code, unused_imports, reason = "the language holds more words than are in use")]

mod certs;
mod client;
mod document;
mod edge;
mod flow;
pub mod frames;
mod h2;
mod kestrel;
mod load;
mod name_server;
mod origin;
mod peers;
mod port;
mod process;
mod prometheus;
mod proxies;
pub mod proxy_protocol;
mod raw;
mod reply;
mod response;
mod tls;
mod traffic;
mod wire;

pub use certs::{Authority, Certificate};
pub use client::{Client, Request};
pub use edge::{Builder, Edge, Ended, edge};
pub use flow::{Download, Flow, Upload};
pub use h2::{Exchange, H2};
pub use kestrel::{Kestrel, Way, kestrel, kestrel_on, own_kestrels};
pub use load::{Load, app_for_load, is_chaos};
pub use name_server::NameServer;
pub use origin::{Builder as OriginBuilder, Origin, Received, Seen, origin};
pub use peers::{Finished, node, python, start_node, start_python, tool};
pub use port::Port;
pub use process::{Output, Process, Signal, allow_descriptors};
pub use prometheus::Prometheus;
pub use proxies::{Proxy, haproxy, nginx};
pub use raw::Raw;
pub use reply::{Feed, Gate, Reply, Workers};
pub use response::{Broken, Response};
pub use tls::{Agreed, Hello, Tls};
pub use traffic::{Asked, Traffic};
pub use wire::{Framing, Head, Headers, Stream};

use std::future::Future;
use std::time::Duration;

/// Far longer than anything here takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// The value a future gives, or a failed test that says what was awaited.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Does something so many times, this long apart; for what a test must not do all at once.
pub async fn paced(times: usize, apart: Duration, mut step: impl AsyncFnMut(usize)) {
    let mut pace = tokio::time::interval(apart);
    for n in 0..times {
        pace.tick().await;
        step(n).await;
    }
}

/// Waits until a look at the outside world shows something; for what nobody announces.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(seen) = look().await {
                return seen;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}
