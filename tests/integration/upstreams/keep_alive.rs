//! Connections to endpoints are kept, and never for too long.

use super::{PROTOCOLS, settled};
use crate::support::{
    Authority, Edge, Received, Reply, edge, eventually, node, origin, start_node,
};
use std::collections::HashSet;
use std::sync::Mutex;

async fn connects(edge: &Edge) -> (f64, f64) {
    let fresh = edge.metric("falconer_upstream_connects_total{upstream=\"app\"}").await;
    (fresh, edge.metric("falconer_upstream_connections_reused_total{upstream=\"app\"}").await)
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    for protocol in PROTOCOLS {
        for tls in [false, true] {
            let app = origin().speaking(protocol).reply("/", "hello");
            let app = if tls { app.tls(&certificate) } else { app };
            let app = app.start().await;
            let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
                .with("app", &app)
                .with("protocol", protocol)
                .trusting(&authority)
                .start()
                .await;
            for _ in 0..5 {
                assert_eq!(edge.get("/").await, "hello");
                settled(&edge).await;
            }
            assert_eq!(app.connections(), 1, "{protocol}, TLS: {tls}");
            assert_eq!(connects(&edge).await, (1.0, 4.0), "{protocol}, TLS: {tls}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_kept_after_a_request_with_a_body_and_a_reply_without() {
    let app = origin().handler(|r| Reply::new(if r.body.is_empty() { 204 } else { 200 }));
    let app = app.start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    let post = edge.request("POST", "/").body("some");
    let requests = [
        (post.clone(), 200),
        (post.chunked(), 200),
        (edge.request("GET", "/"), 204),
        (edge.request("HEAD", "/"), 204),
        (edge.request("GET", "/"), 204),
    ];
    for (request, status) in requests {
        assert_eq!(request.send().await.status, status);
        settled(&edge).await;
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn a_connection_that_the_endpoint_gives_up_is_not_used_again() {
    let app = origin().answer("/", Reply::ok("hello").header("Connection", "close")).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    for _ in 0..3 {
        assert_eq!(edge.request("POST", "/").body("some").send().await, "hello");
    }
    assert_eq!(app.connections(), 3);
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_not_used_again() {
    for protocol in PROTOCOLS {
        let goodbye = Reply::ok("hello").then_close();
        let app = origin().speaking(protocol).answer("/", goodbye).start().await;
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
            .with("app", &app)
            .with("protocol", protocol)
            .start()
            .await;
        // What is sent on HTTP/2 while the end is on its way may be lost; a POST is not sent twice.
        let method = if protocol == "h1" { "POST" } else { "GET" };
        for n in 1..4 {
            assert_eq!(edge.request(method, "/").send().await, "hello", "{protocol}");
            app.until("an end", |seen| seen.connections == n && seen.open == 0).await;
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_time() {
    let app = origin().reply("/", "hello").start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app], keep_alive: {idle: 200ms}}}")
        .with("app", &app)
        .start()
        .await;
    assert_eq!(edge.get("/").await, "hello");
    app.closed().await;
    assert_eq!(edge.get("/").await, "hello");
    assert_eq!(app.connections(), 2);
}

#[tokio::test]
async fn no_connection_is_used_beyond_its_age() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).reply("/", "hello").start().await;
        let document =
            "upstreams: {app: {endpoints: [$app], protocol: $protocol, keep_alive: {max_age: 1s}}}";
        let edge = edge(document).with("app", &app).with("protocol", protocol).start().await;
        eventually("a third connection", async || {
            assert_eq!(edge.get("/").await, "hello");
            settled(&edge).await;
            (app.connections() >= 3).then_some(())
        })
        .await;
        assert!(app.hits() > 3, "{protocol}: no connection was used again");
    }
}

#[tokio::test]
async fn an_announced_timeout_holds_for_the_connection_that_announced_it() {
    let reply = Reply::ok("hello").header("Keep-Alive", "timeout=1");
    let app = origin().answer("/", reply).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    let post = edge.request("POST", "/").body("some");
    assert_eq!(post.clone().send().await, "hello");
    settled(&edge).await;
    assert_eq!(post.clone().send().await, "hello");
    assert_eq!(app.connections(), 2, "the first was made for longer than a second");
    // With a margin nothing is left of a second.
    app.closed().await;
    assert_eq!(post.send().await, "hello");
    assert_eq!(app.connections(), 3);
}

#[tokio::test]
async fn a_longer_announced_timeout_keeps_connections() {
    let reply = Reply::ok("hello").header("Keep-Alive", "timeout=60, max=100");
    let app = origin().answer("/", reply).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "hello");
        settled(&edge).await;
    }
    // The first was made before anything was announced.
    assert!(app.connections() <= 2, "{}", app.connections());
}

#[tokio::test]
async fn a_get_is_repeated_when_its_kept_connection_breaks() {
    let app = origin().handler(reset_the_second()).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    assert_eq!(edge.get("/").await, "hello");
    settled(&edge).await;
    assert_eq!(edge.get("/2").await, "hello");
    let line = edge.logged("the second", |line| line["path"] == "/2").await;
    assert_eq!((&line["status"], &line["attempts"]), (&200.into(), &2.into()));
    assert_eq!(line.get("cause"), None);
}

#[tokio::test]
async fn a_post_is_never_sent_twice() {
    let app = origin().handler(reset_the_second()).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    assert_eq!(edge.get("/").await, "hello");
    settled(&edge).await;
    let sent = edge.request("POST", "/2").body("some").send().await;
    assert_eq!(sent.status, 502);
    assert_eq!(app.requests().iter().filter(|r| r.method == "POST").count(), 1);
    let line = edge.logged("the second", |line| line["path"] == "/2").await;
    assert_eq!((&line["cause"], &line["attempts"]), (&"upstream_reset".into(), &1.into()));
}

/// Answers the first request of a connection, and resets the connection at the second.
fn reset_the_second() -> impl Fn(&Received) -> Reply {
    let seen = Mutex::new(HashSet::new());
    move |request| {
        let is_first = seen.lock().unwrap().insert(request.connection);
        if is_first { Reply::ok("hello") } else { Reply::reset() }
    }
}

#[tokio::test]
async fn node_with_a_keep_alive_of_a_second_loses_no_post() {
    hammer(1000).await;
}

#[tokio::test]
async fn node_with_its_own_keep_alive_loses_no_post() {
    hammer(5000).await;
}

/// Sends POSTs to a real node server, spaced so that they meet the end of its patience.
async fn hammer(keep_alive: u64) {
    let server = start_node("keep_alive_server.mjs", &[&keep_alive.to_string()]);
    let ready = server.stdout().line("listening ").await;
    let app = ready.trim_start_matches("listening ").to_owned();
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", app).start().await;
    let arguments = [edge.url("/"), keep_alive.to_string()];
    let report = node("spaced_posts.mjs", &[&arguments[0], &arguments[1]]).await.well();
    let (sent, failed) = report.trim().split_once(' ').expect("two numbers");
    assert!(sent.parse::<u32>().unwrap() >= 100, "{report}");
    assert_eq!(failed, "0", "{report}");
}
