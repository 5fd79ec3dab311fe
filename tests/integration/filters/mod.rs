//! What filters do to requests and responses, and what a route answers by itself.

mod headers;
mod redirects;
mod replies;
mod request_id;
mod rewrites;

use crate::support::{Client, Edge, Origin, Received, edge};

/// Four listeners, so that every kind of client is there.
const LISTENERS: &str = "
  web: {address: '127.0.0.1:0', protocols: [h1, h2]}
  behind: {address: '127.0.0.1:0', protocols: [h1, h2], trusted_proxies: [127.0.0.1]}
  secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
certificates: {site: {self_signed: [shop.test]}}
";

/// An edge before an upstream `app`, with these further keys of the document.
async fn before(origin: &Origin, upstream: &str, keys: &str) -> Edge {
    edge("listeners: $listeners\nupstreams: {app: {endpoints: [$app], $upstream}}\n$keys")
        .with("listeners", LISTENERS)
        .with("app", origin)
        .with("upstream", upstream)
        .with("keys", keys)
        .start()
        .await
}

/// The same, before an origin that speaks HTTP/1 and one that speaks HTTP/2; each edge is asked
/// in both versions.
async fn pairs<'o>(h1: &'o Origin, h2: &'o Origin, keys: &str) -> Vec<(Edge, &'o Origin)> {
    vec![(before(h1, "protocol: h1", keys).await, h1), (before(h2, "protocol: h2", keys).await, h2)]
}

/// A client of each version.
fn clients(edge: &Edge) -> [Client; 2] {
    [edge.client("web"), edge.client("web").h2()]
}

/// The request that came last.
fn last(origin: &Origin) -> Received {
    origin.requests().pop().expect("a request")
}
