//! The corners of HTTP: each is refused, or reaches the endpoint as one request that can be read
//! in one way only.

mod endpoint;
mod http1;
mod http2;
mod varnishtest;

use self::endpoint::Endpoint;
use crate::support::{Edge, edge};

/// What follows a request on its connection, and is served only if the request was sound.
const NEXT: &str = "GET /next HTTP/1.1\r\nHost: a\r\n\r\n";

/// An edge before this endpoint, which adds nothing of its own to a request.
async fn before(endpoint: &Endpoint) -> Edge {
    let document = "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h1, h2]}
          secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        upstreams: {app: {endpoints: ['http://$app']}}
        routes: [{upstream: app, filters: [headers: {request: {remove: $ours}}]}]
        ";
    let ours = "[via, x-forwarded-for, x-forwarded-proto, x-forwarded-host]";
    edge(document).with("app", endpoint.address()).with("ours", ours).start().await
}

/// What the metrics count of a cause, before any route and after.
async fn counted(edge: &Edge, cause: &str) -> f64 {
    let label = format!("cause=\"{cause}\"");
    let families = ["falconer_listener_requests_refused_total{", "falconer_route_failures_total{"];
    let metrics = edge.metrics().await;
    let series = metrics.lines().filter(|line| {
        families.iter().any(|family| line.starts_with(family)) && line.contains(&label)
    });
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}
