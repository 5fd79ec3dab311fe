//! Routes that forward to more than one upstream.

mod mirrors;
mod splits;

use crate::support::{Edge, Origin, Reply, edge, origin};

/// The versions of HTTP, towards clients and endpoints alike.
const PROTOCOLS: [&str; 2] = ["h1", "h2"];

/// An endpoint that answers everything with its name.
async fn named(name: &'static str) -> Origin {
    origin().handler(move |_| Reply::ok(name)).start().await
}

/// An edge whose one route has these keys; its upstreams are `one` and `two`, with these keys
/// besides their one endpoint.
async fn routed(route: &str, one: (&Origin, &str), two: (&Origin, &str)) -> Edge {
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams:
          one: {endpoints: [$one], $keys_of_one}
          two: {endpoints: [$two], $keys_of_two}
        routes: [{name: site, $route}]
        ";
    let edge = edge(document).with("one", one.0).with("keys_of_one", one.1);
    edge.with("two", two.0).with("keys_of_two", two.1).with("route", route).start().await
}
