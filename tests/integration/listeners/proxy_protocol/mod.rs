//! The PROXY header before HTTP and TLS: from whom it is taken, and what it changes.

mod headers;
mod limits;
mod peers;
mod trust;

use crate::support::{Client, Edge, edge, proxy_protocol};

const SOURCE: &str = "192.0.2.7:56324";
const DESTINATION: &str = "203.0.113.1:443";
const REFUSED: &str = "falconer_listener_proxy_headers_refused_total";

/// Listeners in clear text, over TLS and on a unix socket with these keys, and an answer that tells
/// who the client is and which name it asked for.
async fn telling(keys: &str) -> Edge {
    edge(
        "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h1, h2], $keys}
          secure: {address: '127.0.0.1:0', tls: {certificates: [site]}, $keys}
          socket: {address: 'unix:web.sock', protocols: [h1, h2], $keys}
        certificates: {site: {self_signed: [localhost]}}
        filters:
          - headers:
              response: {set: {x-client: '{client.ip} {client.port}', x-sni: '{tls.sni}'}}
        routes:
          - {reply: {body: hello}}
          - {name: near, match: {client: 192.0.2.0/24}, reply: {body: near}}
        ",
    )
    .with("keys", keys)
    .start()
    .await
}

/// An edge whose every connection must begin with a header.
async fn requiring() -> Edge {
    telling("proxy_protocol: require").await
}

/// Whom the edge takes a client for.
async fn seen(client: &Client) -> String {
    let response = client.get("/").await;
    assert_eq!(response.status, 200, "{response:?}");
    response.header("x-client").unwrap_or_default().to_owned()
}

fn v1() -> Vec<u8> {
    proxy_protocol::v1(SOURCE, DESTINATION)
}

fn v2() -> Vec<u8> {
    proxy_protocol::v2(SOURCE, DESTINATION, &[])
}
