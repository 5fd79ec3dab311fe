//! Every limit of a listener: what happens beyond it, and that it can be off.

mod attacks;
mod connections;
mod downloads;
mod off;
mod sizes;
mod time;
mod uploads;

use crate::support::{Client, Edge, Origin, Raw, edge};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Listeners in clear text and over TLS, with these limits.
fn listeners(limits: &str) -> String {
    format!(
        "listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {{{limits}}}}}
  secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}, limits: {{{limits}}}}}
certificates: {{site: {{self_signed: [localhost]}}}}
"
    )
}

/// An edge that replies by itself, with these limits.
async fn limited(limits: &str) -> Edge {
    let routes = "routes: [{reply: {status: 200, body: hello}}]";
    edge(&(listeners(limits) + routes)).start().await
}

/// An edge before an origin, with these limits and routes that have their own.
async fn limited_before(origin: &Origin, limits: &str) -> Edge {
    let routes = "
upstreams: {app: {endpoints: [$app]}}
routes:
  - {upstream: app}
  - {match: {path: /narrow}, upstream: app, limits: {body_size: 5}}
  - {match: {path: /wide}, upstream: app, limits: {body_size: 1MiB}}
  - {match: {path: /any}, upstream: app, limits: {body_size: off}}
";
    edge(&(listeners(limits) + routes)).with("app", origin).start().await
}

/// Clients of every kind: HTTP/1 and HTTP/2, in clear text and over TLS.
fn clients(edge: &Edge) -> [Client; 4] {
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    [clear.clone(), clear.h2(), secure.clone(), secure.h2()]
}

/// Sends a request that is answered, so that the connection is certainly served.
async fn use_once(raw: &mut Raw) {
    raw.write(GET).await;
    assert_eq!(raw.response().await, "hello");
}
