//! Responses that break off after their head: the client must not take them for whole.

use super::{LISTENERS, counted, counts, ways};
use crate::support::{Broken, Edge, Feed, Reply, edge, origin, within};
use futures::StreamExt;
use std::fmt::Display;

async fn forwarding(endpoint: impl Display) -> Edge {
    let upstream = "upstreams: {app: {endpoints: [$app], timeouts: {idle: 500ms, tunnel: 500ms}}}";
    edge(&format!("{LISTENERS}\n{upstream}\n"))
        .with("limits", "{}")
        .with("app", endpoint)
        .start()
        .await
}

/// Asks in every way and insists that the response breaks off, at the latest after `some`, for this
/// cause.
async fn breaks(edge: &Edge, cause: &str) {
    let (failures, attempts) = counted(edge, cause).await;
    for way in ways(edge) {
        let broken = way.client.request("GET", "/").try_send().await.expect_err(way.name);
        // A reset overtakes what was not sent yet, be it all of the response.
        if let Broken::InBody(response, _) = broken {
            assert_eq!(response.status, 200, "{}", way.name);
            assert!("some".starts_with(&response.text()), "{}: {response:?}", way.name);
        }
    }
    for line in edge.access_log(3).await {
        assert_eq!((&line["cause"], &line["status"]), (&cause.into(), &200.into()), "{line}");
        assert_eq!(line["bytes_sent"], 4, "{line}");
    }
    counts(edge, cause, failures + 3.0, attempts + 3.0).await;
}

#[tokio::test]
async fn a_body_shorter_than_announced_breaks() {
    let reply = Reply::ok("some").header("Content-Length", 8).then_close();
    let app = origin().answer("/", reply).start().await;
    breaks(&forwarding(&app).await, "upstream_reset").await;
}

#[tokio::test]
async fn chunks_without_an_end_break() {
    let feed = Feed::new();
    feed.send("some");
    feed.end();
    let app = origin().answer("/", Reply::new(200).fed_by(&feed).then_close()).start().await;
    breaks(&forwarding(&app).await, "upstream_reset").await;
}

#[tokio::test]
async fn a_reset_within_the_body_breaks() {
    let feed = Feed::new();
    feed.send("some");
    feed.end();
    let app = origin().answer("/", Reply::new(200).fed_by(&feed).then_reset()).start().await;
    breaks(&forwarding(&app).await, "upstream_reset").await;
}

#[tokio::test]
async fn a_malformed_chunk_breaks() {
    let bytes =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\nzz\r\nmore\r\n0\r\n\r\n";
    let app = origin().raw_then_close(bytes).start().await;
    breaks(&forwarding(&app).await, "upstream_invalid_response").await;
}

#[tokio::test]
async fn silence_within_the_body_breaks() {
    let feed = Feed::new();
    feed.send("some");
    let app = origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
    breaks(&forwarding(&app).await, "upstream_timeout_idle").await;
}

#[tokio::test]
async fn a_silent_tunnel_ends_with_its_cause() {
    let app = origin().answer("/", Reply::websocket()).start().await;
    let edge = forwarding(&app).await;
    for client in [edge.client("clear"), edge.client("secure").tls()] {
        let mut socket = client.websocket("/", &[]).await.unwrap();
        let end = within("the end of the tunnel", socket.next()).await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
    }
    for line in edge.access_log(2).await {
        assert_eq!((&line["cause"], &line["status"]), (&"tunnel_timeout".into(), &101.into()));
    }
    counts(&edge, "tunnel_timeout", 2.0, 0.0).await;
}

#[tokio::test]
async fn a_client_that_leaves_is_logged_as_499() {
    let app = origin().hanging().start().await;
    let edge = forwarding(&app).await;
    let mut waiting = Vec::new();
    for client in [edge.client("clear"), edge.client("secure").tls()] {
        let mut h1 = client.raw().await;
        h1.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        waiting.push(h1);
    }
    let mut h2 = edge.client("secure").tls().open_h2().await;
    let mut exchange = h2.start("GET", "/", &[], true).await;
    app.until("three requests", |seen| seen.requests.len() == 3).await;
    exchange.reset();
    drop(waiting);
    app.until("three given up", |seen| seen.requests.iter().all(|r| r.cancelled)).await;
    for line in edge.access_log(3).await {
        assert_eq!((&line["cause"], &line["status"]), (&"client_closed".into(), &499.into()));
    }
    counts(&edge, "client_closed", 3.0, 0.0).await;
}
