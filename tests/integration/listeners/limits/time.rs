//! Time: for handshakes, for heads, and between requests.

use super::{GET, limited, limited_before, use_once};
use crate::support::{Feed, Gate, Reply, edge, origin};
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_tls_handshake_that_takes_too_long_is_ended() {
    let edge = limited("handshake_timeout: 200ms").await;
    let mut silent = edge.raw("secure").await;
    silent.closed().await;
    let failures = "falconer_listener_tls_handshake_failures_total{listener=\"secure\"}";
    edge.metric_becomes(failures, 1.0).await;
    assert_eq!(edge.client("secure").tls().get("/").await, "hello");
}

#[tokio::test]
async fn an_h2_preface_that_never_comes_is_not_waited_for() {
    let edge = limited("handshake_timeout: 200ms").await;
    let silent = edge.client("secure").with_tls(|tls| tls.alpn = vec!["h2"]);
    let mut raw = silent.raw().await;
    raw.rest().await;
    edge.metric_becomes("falconer_listener_connections{listener=\"secure\"}", 0.0).await;
}

#[tokio::test]
async fn a_client_that_never_asks_is_left_after_the_time_for_a_head() {
    let edge = limited("header_timeout: 300ms").await;
    edge.raw("web").await.closed().await;
    edge.client("secure").tls().raw().await.closed().await;
}

#[tokio::test]
async fn half_a_preface_is_not_waited_for() {
    let edge = limited("header_timeout: 300ms").await;
    let mut raw = edge.raw("web").await;
    raw.write("PRI * HTTP/2.0\r\n\r\n").await;
    raw.rest().await;
}

#[tokio::test]
async fn the_time_for_a_head_is_one_for_the_whole_head() {
    let edge = limited("header_timeout: 500ms").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        let started = Instant::now();
        raw.write("GET / HTTP/1.1\r\nX: ").await;
        let answer = loop {
            raw.write("x").await;
            let pace = Duration::from_millis(50);
            if let Ok(answer) = tokio::time::timeout(pace, raw.read()).await {
                break String::from_utf8_lossy(&answer).into_owned();
            }
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let line = edge.logged("the timeout", |line| line["status"] == 408).await;
        assert_eq!(line["cause"], "request_timeout");
    }
    let refused = "falconer_listener_requests_refused_total{cause=\"request_timeout\"}";
    edge.metric_becomes(refused, 2.0).await;
}

#[tokio::test]
async fn the_time_for_a_head_begins_anew_with_each_request() {
    let edge = limited("header_timeout: 400ms, keep_alive: 60s").await;
    let mut raw = edge.raw("web").await;
    let started = Instant::now();
    // The connection lives longer than a head may take.
    while started.elapsed() < Duration::from_millis(1200) {
        use_once(&mut raw).await;
    }
}

#[tokio::test]
async fn a_half_head_on_a_kept_connection_gets_408_too() {
    let edge = limited("header_timeout: 300ms").await;
    let mut raw = edge.raw("web").await;
    use_once(&mut raw).await;
    raw.write("GET / HTTP/1.1\r\nHos").await;
    assert_eq!(raw.response().await.status, 408);
    raw.closed().await;
}

#[tokio::test]
async fn a_line_end_too_many_is_no_request_to_wait_for() {
    let edge = limited("header_timeout: 300ms, keep_alive: 1s").await;
    let mut raw = edge.raw("web").await;
    raw.write([GET, "\r\n"].concat()).await;
    assert_eq!(raw.response().await, "hello");
    // Idle like any other: closed without a word when the time of keep-alive is over.
    raw.closed().await;
    assert_eq!(edge.access_log(1).await.len(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_keep_alive_is_over() {
    let edge = limited("keep_alive: 1s").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        use_once(&mut raw).await;
        raw.ended().await;
    }
    let mut h2 = edge.h2("web").await;
    assert_eq!(h2.get("/").await, "hello");
    h2.left().await.expect("a proper end");
    let mut h2 = edge.client("secure").tls().open_h2().await;
    assert_eq!(h2.get("/").await, "hello");
    h2.left().await.expect("a proper end");
    assert_eq!(edge.access_log(4).await.len(), 4);
}

#[tokio::test]
async fn a_listener_of_many_addresses_has_one_clock() {
    let edge = edge(
        "
        listeners:
          web:
            address: [\"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\"]
            limits: {keep_alive: 2s}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    let mut raw = edge.raw("web").await;
    use_once(&mut raw).await;
    let idle_since = Instant::now();
    raw.ended().await;
    assert!(idle_since.elapsed() >= Duration::from_secs(2), "{:?}", idle_since.elapsed());
}

#[tokio::test]
async fn a_long_exchange_is_not_idle() {
    let (feed, gate) = (Feed::new(), Gate::new());
    let origin = origin()
        .answer("/fed", Reply::new(200).fed_by(&feed))
        .answer("/late", Reply::ok("late").behind(&gate))
        .reply("/", "hello")
        .start()
        .await;
    let edge = limited_before(&origin, "keep_alive: 1s, header_timeout: 1s").await;
    let mut late = edge.request("GET", "/late").open().await;
    let mut fed = edge.client("web").h2().request("GET", "/fed").open().await;
    assert_eq!(fed.head().await.status, 200);

    // Another connection becomes idle after them, and is closed before them.
    let mut idle = edge.raw("web").await;
    use_once(&mut idle).await;
    idle.closed().await;

    gate.open();
    feed.send("fed");
    feed.end();
    assert_eq!(late.head().await.status, 200);
    assert_eq!(late.bytes(4).await, b"late");
    assert_eq!(fed.bytes(3).await, b"fed");
}
