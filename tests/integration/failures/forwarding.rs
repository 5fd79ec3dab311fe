//! Endpoints that fail before the head of their response.

use super::{LISTENERS, fails};
use crate::support::{Certificate, Edge, Origin, Reply, edge, origin};
use std::fmt::Display;
use std::net::TcpListener;

/// An edge whose upstream has this one endpoint, or several.
async fn before(endpoints: impl Display) -> Edge {
    let timeouts = "{connect: 1s, response: 1s, idle: 1s}";
    let upstream = format!("upstreams: {{app: {{endpoints: [$app], timeouts: {timeouts}}}}}");
    let routes = "routes: [{name: only, upstream: app, limits: {body_size: 1GiB}}]";
    edge(&format!("{LISTENERS}\n{upstream}\n{routes}\n"))
        .with("limits", "{}")
        .with("app", endpoints)
        .start()
        .await
}

/// Insists on a failure for GET and POST, and that each was tried once.
async fn fails_once(edge: &Edge, status: u16, cause: &str) {
    fails(edge, status, cause, |client| client.request("GET", "/")).await;
    fails(edge, status, cause, |client| client.request("POST", "/").body("some")).await;
    let lines = edge.access_log(6).await;
    assert!(lines.iter().all(|l| l["attempts"] == 1 && l["route"] == "only"), "{lines:?}");
    let series = "falconer_route_requests_total{route=\"only\",class=\"5xx\"}";
    assert_eq!(edge.metric(series).await, 6.0);
}

#[tokio::test]
async fn an_upstream_without_an_endpoint_is_503() {
    let edge = before("\"http://nonexistent.invalid:81\"").await;
    fails(&edge, 503, "upstream_no_endpoint", |client| client.request("GET", "/")).await;
}

#[tokio::test]
async fn a_refused_connection_is_502() {
    let app = origin().refusing().start().await;
    fails_once(&before(&app).await, 502, "upstream_connect_refused").await;
}

#[tokio::test]
async fn a_connection_that_cannot_be_made_is_502() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("unix:{}/missing.sock", folder.path().display());
    fails_once(&before(missing).await, 502, "upstream_connect_failed").await;
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_504() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("https://{}", deaf.local_addr().unwrap());
    fails_once(&before(endpoint).await, 504, "upstream_timeout_connect").await;
}

#[tokio::test]
async fn a_failed_tls_handshake_is_502() {
    let app = origin().tls(&Certificate::self_signed(&["127.0.0.1"])).start().await;
    fails_once(&before(&app).await, 502, "upstream_tls_failed").await;
}

#[tokio::test]
async fn a_request_that_is_not_taken_is_504() {
    let deaf = TcpListener::bind("127.0.0.1:0").unwrap();
    let edge = before(format!("http://{}", deaf.local_addr().unwrap())).await;
    let body = "x".repeat(32 << 20);
    fails(&edge, 504, "upstream_timeout_request", |client| {
        client.request("POST", "/").body(body.clone())
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_504() {
    let app = origin().hanging().start().await;
    fails_once(&before(&app).await, 504, "upstream_timeout_response").await;
}

#[tokio::test]
async fn a_connection_reset_before_the_answer_is_502() {
    let app = origin().handler(|_| Reply::reset()).start().await;
    fails_once(&before(&app).await, 502, "upstream_reset").await;
}

#[tokio::test]
async fn a_connection_closed_before_the_answer_is_502() {
    let app = origin().raw_then_close("").start().await;
    fails_once(&before(&app).await, 502, "upstream_reset").await;
    let half = origin().raw_then_close("HTTP/1.1 200 OK\r\nContent-Le").start().await;
    fails_once(&before(&half).await, 502, "upstream_reset").await;
}

/// An origin that answers with these bytes.
async fn saying(bytes: &'static str) -> Origin {
    origin().raw_then_close(bytes).start().await
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_502() {
    for bytes in [
        "hello there, this is no HTTP\r\n\r\n",
        "HTTP/1.1 abc OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno field\r\n\r\n",
    ] {
        let app = saying(bytes).await;
        fails_once(&before(&app).await, 502, "upstream_invalid_response").await;
    }
}

#[tokio::test]
async fn an_answer_of_two_lengths_is_502() {
    let app = saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc").await;
    fails_once(&before(&app).await, 502, "upstream_invalid_response").await;
    let app = saying("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\nab").await;
    fails_once(&before(&app).await, 502, "upstream_invalid_response").await;
}

#[tokio::test]
async fn a_protocol_switch_that_nobody_asked_for_is_502() {
    let app =
        saying("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n");
    fails_once(&before(&app.await).await, 502, "upstream_invalid_response").await;
}

#[tokio::test]
async fn a_stalled_upload_is_408() {
    let app = origin().reply("/", "hello").start().await;
    let edge = before(&app).await;
    for listener in ["clear", "secure"] {
        let client = edge.client(listener);
        let client = if listener == "secure" { client.tls() } else { client };
        let mut h1 = client.raw().await;
        h1.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsome").await;
        let response = h1.response().await;
        assert_eq!(response.status, 408);
        assert!(response.text().contains("Request id: "), "{response:?}");
    }
    let mut h2 = edge.client("secure").tls().open_h2().await;
    let mut stalled = h2.start("POST", "/", &[], false).await;
    stalled.write("some", false).await;
    assert_eq!(stalled.response().await.status, 408);
    for line in edge.access_log(3).await {
        assert_eq!(line["cause"], "request_body_timeout", "{line}");
    }
    super::counts(&edge, "request_body_timeout", 3.0, 0.0).await;
}
