//! Failures have one table: each row as clients, the access log and the metrics see it.

mod broken;
mod connection;
mod forwarding;
mod pages;
mod refused;
mod requests;

use crate::support::{Client, Edge, Request, Response};
use serde_json::Value;

/// Two listeners, which every document here has: one in clear text, one over TLS.
const LISTENERS: &str = "
listeners:
  clear: {address: \"127.0.0.1:0\", limits: $limits}
  secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}, limits: $limits}
certificates: {site: {self_signed: [localhost]}}
";

/// A way to reach an edge.
struct Way {
    name: &'static str,
    listener: &'static str,
    protocol: &'static str,
    client: Client,
}

/// HTTP/1 in clear text, HTTP/1 over TLS and HTTP/2 over TLS.
fn ways(edge: &Edge) -> [Way; 3] {
    let way = |name, listener, protocol, client| Way { name, listener, protocol, client };
    let (clear, secure) = (edge.client("clear"), edge.client("secure").tls());
    [
        way("h1 in clear text", "clear", "HTTP/1.1", clear),
        way("h1 over TLS", "secure", "HTTP/1.1", secure.clone()),
        way("h2 over TLS", "secure", "HTTP/2.0", secure.h2()),
    ]
}

/// Asks in every way and insists that client, access log and metrics tell this failure.
async fn fails(edge: &Edge, status: u16, cause: &str, ask: impl Fn(&Client) -> Request) {
    let (failures, attempts) = counted(edge, cause).await;
    for way in ways(edge) {
        let request = ask(&way.client).header("Accept", "application/problem+json");
        let response = request.try_send().await;
        let response = response.unwrap_or_else(|broken| panic!("{}: {broken:?}", way.name));
        assert_eq!(response.status, status, "{}: {response:?}", way.name);
        let line = told(edge, &way, &response, cause).await;
        assert_eq!(line["status"], status, "{line}");
    }
    counts(edge, cause, failures + 3.0, attempts + 3.0).await;
}

/// What the metrics count of a cause: failed exchanges and failed attempts.
async fn counted(edge: &Edge, cause: &str) -> (f64, f64) {
    let metrics = edge.metrics().await;
    let label = format!("cause=\"{cause}\"");
    let sum = |family: &str| {
        let series = metrics.lines().filter(|l| l.starts_with(family) && l.contains(&label));
        series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
    };
    (sum("falconer_route_failures_total{"), sum("falconer_upstream_failures_total{"))
}

/// Waits until the metrics count so many failed exchanges and, if attempts fail by this cause, as
/// many failed attempts.
async fn counts(edge: &Edge, cause: &str, exchanges: f64, attempts: f64) {
    edge.metric_becomes(&format!("falconer_route_failures_total{{cause=\"{cause}\"}}"), exchanges)
        .await;
    if cause.starts_with("upstream_") && cause != "upstream_no_endpoint" {
        let series = format!("falconer_upstream_failures_total{{cause=\"{cause}\"}}");
        edge.metric_becomes(&series, attempts).await;
    }
}

/// The line of the access log that belongs to a page of ours, which tells nothing of our inside.
async fn told(edge: &Edge, way: &Way, response: &Response, cause: &str) -> Value {
    let page = response.json();
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(page["status"], response.status, "{page}");
    let inside = ["127.0.0.1", "::1", "unix:", cause, "app", "pingora", "rustls", "os error"];
    for word in inside {
        assert!(!response.text().contains(word), "{word} in {page}");
    }
    let id = page["request_id"].as_str().expect("a request id");
    let line = edge.logged(&format!("{id} ({})", way.name), |line| line["request_id"] == id).await;
    let seen = (&line["cause"], &line["listener"], &line["protocol"]);
    let expected = (&cause.into(), &way.listener.into(), &way.protocol.into());
    assert_eq!(seen, expected, "{}: {line}", way.name);
    line
}
