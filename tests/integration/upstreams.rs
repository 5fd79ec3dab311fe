//! Upstreams: how endpoints are reached, chosen, waited for, and kept connected.

mod affinity;
mod bad_days;
mod balance;
mod connections;
mod discovery;
mod health;
mod keep_alive;
mod limits;
mod names;
mod outlier;
mod proxy_protocol;
mod retries;
mod silence;
mod slow_start;
mod status;
mod timeouts;
mod tls;
mod uneven;

use crate::support::{Edge, Gate, Reply, edge};
use serde_json::Value;
use std::fmt::Display;
use std::net::TcpListener;

/// The versions of HTTP, towards clients and endpoints alike.
const PROTOCOLS: [&str; 2] = ["h1", "h2"];

/// A listener that speaks both versions in clear text, and an upstream `app` with these timeouts
/// that is asked in this version.
async fn waiting(app: impl Display, protocol: &str, timeouts: &str) -> Edge {
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$app], protocol: $protocol, timeouts: {$timeouts}}}
        ";
    let edge = edge(document).with("app", app).with("protocol", protocol);
    edge.with("timeouts", timeouts).start().await
}

/// The endpoints of these exchanges, in the order of the access log.
fn endpoints(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["endpoint"].as_str().unwrap_or("none")).collect()
}

/// Waits until no exchange is open: a client may have its answer before the connection is back.
async fn settled(edge: &Edge) {
    edge.metric_becomes("falconer_route_requests_in_flight", 0.0).await;
}

/// An endpoint that takes connections, and neither reads nor says anything.
fn deaf() -> (TcpListener, String) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

/// A reply that holds on until the test ends.
fn held(gate: &Gate) -> Reply {
    Reply::ok("late").behind(gate)
}
