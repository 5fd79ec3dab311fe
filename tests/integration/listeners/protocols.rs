//! HTTP/1 and HTTP/2 by prior knowledge on one port in clear text.

use crate::support::{Edge, edge, origin, tool};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// After the preface: empty SETTINGS, and a GET of `/` on stream 1.
const FRAMES: &[u8] = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\
    \x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a";

async fn speaking(protocols: &str) -> Edge {
    edge(&format!(
        "
        listeners: {{web: {{address: \"127.0.0.1:0\", protocols: {protocols}}}}}
        routes: [{{reply: {{status: 200, body: hello}}}}]
        "
    ))
    .start()
    .await
}

/// Returns when the edge has certainly read what was sent on other connections before: it had to,
/// to serve this exchange.
async fn everything_is_read(edge: &Edge) {
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn h1_and_h2_share_a_port() {
    let edge = speaking("[h1, h2]").await;
    let h1 = edge.get("/").await;
    let h2 = edge.client("web").h2().get("/").await;
    assert_eq!((h1.text().as_str(), h1.version.as_str()), ("hello", "HTTP/1.1"));
    assert_eq!((h2.text().as_str(), h2.version.as_str()), ("hello", "HTTP/2.0"));

    for protocol in ["HTTP/1.1", "HTTP/2.0"] {
        edge.logged(protocol, |line| line["protocol"] == protocol).await;
    }
}

#[tokio::test]
async fn real_clients_speak_h2_by_prior_knowledge() {
    let edge = speaking("[h1, h2]").await;
    let arguments = ["--silent", "--http2-prior-knowledge", "--write-out", " %{http_version}"];
    let curl = tool("curl", &[&arguments[..], &[&edge.url("/")]].concat()).await;
    assert_eq!(curl.well(), "hello 2");
    assert_eq!(tool("nghttp", &[&edge.url("/")]).await.well(), "hello");
}

#[tokio::test]
async fn a_request_shorter_than_the_preface_is_answered_at_once() {
    let edge = speaking("[h1, h2]").await;
    let request = b"GET / HTTP/1.0\r\n\r\n";
    assert_eq!(request.len(), 18);
    let mut raw = edge.raw("web").await;
    raw.write(request).await;
    assert_eq!(raw.response().await, "hello");
    raw.closed().await;
}

#[tokio::test]
async fn the_preface_may_come_in_two_pieces_however_split() {
    let edge = speaking("[h1, h2]").await;
    for split in 1..PREFACE.len() {
        let (first, second) = PREFACE.split_at(split);
        let mut raw = edge.raw("web").await;
        raw.write(first).await;
        everything_is_read(&edge).await;
        raw.write([second, FRAMES].concat()).await;
        let answer = raw.until(b"hello").await;
        assert_eq!(answer.get(3), Some(&4), "SETTINGS come first, split at {split}");
    }
}

#[tokio::test]
async fn the_preface_may_come_byte_by_byte() {
    let edge = speaking("[h1, h2]").await;
    let mut raw = edge.raw("web").await;
    for byte in PREFACE.chunks(1) {
        raw.write(byte).await;
        everything_is_read(&edge).await;
    }
    raw.write(FRAMES).await;
    raw.until(b"hello").await;
}

#[tokio::test]
async fn what_only_begins_like_the_preface_is_http_1() {
    let edge = speaking("[h1, h2]").await;
    for (first, second) in [
        ("P", "OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"),
        ("PRI", "NT / HTTP/1.1\r\nHost: a\r\n\r\n"),
        ("PRI ", "/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut raw = edge.raw("web").await;
        raw.write(first).await;
        everything_is_read(&edge).await;
        raw.write(second).await;
        assert_eq!(raw.response().await, "hello", "{first}{second}");
    }
}

#[tokio::test]
async fn h2_alone_refuses_h1() {
    let edge = speaking("[h2]").await;
    assert_eq!(edge.client("web").h2().get("/").await, "hello");
    let refused = edge.get("/").await;
    assert_eq!((refused.status, refused.header("connection")), (505, Some("close")));
}

#[tokio::test]
async fn h1_alone_refuses_the_preface() {
    let edge = speaking("[h1]").await;
    let mut raw = edge.raw("web").await;
    raw.write([PREFACE, FRAMES].concat()).await;
    assert_eq!(raw.response().await.status, 505);
    raw.closed().await;
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_not_made_and_the_connection_stays_http_1() {
    let origin = origin().reply("/", "hello").start().await;
    let edge = edge(
        "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$app]}}
        ",
    )
    .with("app", &origin)
    .start()
    .await;

    let mut raw = edge.raw("web").await;
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                   Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n";
    let after = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    raw.write([upgrade, after].concat()).await;
    assert_eq!(raw.response().await, "hello");
    assert_eq!(raw.response().await, "hello");

    let first = &origin.requests()[0];
    assert_eq!((first.header("upgrade"), first.header("http2-settings")), (None, None));
}
