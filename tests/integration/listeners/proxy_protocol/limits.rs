//! How long a header may take, and how many connections a client that it tells may have.

use super::{REFUSED, requiring, seen, telling, v1, v2};
use crate::support::{Signal, allow_descriptors, proxy_protocol};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn a_header_has_one_time_for_all_of_it() {
    let keys = "proxy_protocol: require, limits: {handshake_timeout: 400ms}";
    let edge = telling(keys).await;
    for (n, header) in [v1(), v2()].into_iter().enumerate() {
        for listener in ["web", "secure"] {
            let mut raw = edge.raw(listener).await;
            let started = Instant::now();
            let mut bytes = header.chunks(1).cycle();
            // The last byte of the header does not come in time.
            let mut left = header.len() - 1;
            let end = loop {
                if left > 0 {
                    raw.write(bytes.next().unwrap()).await;
                    left -= 1;
                }
                let pace = Duration::from_millis(20);
                if let Ok(end) = tokio::time::timeout(pace, raw.rest()).await {
                    break end;
                }
            };
            assert!(end.is_empty(), "{end:?}");
            assert!(started.elapsed() >= Duration::from_millis(400), "{:?}", started.elapsed());
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
            let late = format!("{REFUSED}{{listener=\"{listener}\",cause=\"timeout\"}}");
            edge.metric_becomes(&late, n as f64 + 1.0).await;
        }
    }
    let line = edge.stderr().line("handshake_timeout").await;
    assert!(line.contains("cause=timeout"), "{line}");
}

#[tokio::test]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let limits = "trusted_proxies: [127.0.0.0/8], limits: {handshake_timeout: 200ms}";
    let edge = telling(&format!("proxy_protocol: require, {limits}")).await;
    edge.raw("web").await.closed().await;
    edge.metric_becomes(&format!("{REFUSED}{{cause=\"timeout\"}}"), 1.0).await;

    // Where it may say nothing of itself, there is nothing to count.
    let edge = telling(&format!("proxy_protocol: accept, {limits}")).await;
    edge.raw("web").await.closed().await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 0.0).await;
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn without_a_time_a_header_may_take_any() {
    let edge = telling("proxy_protocol: require, limits: {handshake_timeout: off}").await;
    let parts: Vec<_> = v1().chunks(4).map(<[u8]>::to_vec).collect();
    assert_eq!(seen(&edge.client("web").after_parts(parts)).await, "192.0.2.7 56324");
}

#[tokio::test]
async fn a_client_has_its_share_of_connections_whoever_brings_it() {
    for trusted in ["[]", "[127.0.0.1, 10.0.0.0/8]"] {
        let edge = telling(&format!(
            "proxy_protocol: require, trusted_proxies: {trusted}, limits: {{connections_per_client: 2}}"
        ))
        .await;
        let from = |source: &str| {
            edge.client("web").after(proxy_protocol::v2(source, "203.0.113.1:80", &[]))
        };
        let mut held = Vec::new();
        for source in ["192.0.2.7:1", "192.0.2.7:2", "192.0.2.8:1", "192.0.2.8:2"] {
            let mut raw = from(source).raw().await;
            raw.write(GET).await;
            assert_eq!(raw.response().await.status, 200);
            held.push(raw);
        }
        from("192.0.2.7:3").raw().await.closed().await;
        let turned_away = "falconer_listener_connections_refused_total\
                           {listener=\"web\",limit=\"connections_per_client\"}";
        edge.metric_becomes(turned_away, 1.0).await;

        drop(held.remove(0));
        edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 3.0).await;
        assert_eq!(seen(&from("192.0.2.7:4")).await, "192.0.2.7 4");
        if trusted != "[]" {
            // A proxy before the proxy: its clients are in its fields.
            for port in 0..5 {
                let mut raw = from(&format!("10.0.0.1:{port}")).raw().await;
                raw.write(GET).await;
                assert_eq!(raw.response().await.status, 200);
                held.push(raw);
            }
        }
        edge.metric_becomes(turned_away, 1.0).await;
    }
}

#[tokio::test]
async fn nothing_of_a_header_is_kept() {
    allow_descriptors(4096);
    let edge = telling("proxy_protocol: require, limits: {connections_per_client: off}").await;
    let large = proxy_protocol::v2_of(0x20, 0x00, &[7; 4080]);
    let mut held = Vec::new();
    let mut open = async |count: usize| {
        for _ in 0..count {
            let mut raw = edge.client("web").after(large.clone()).raw().await;
            raw.write(GET).await;
            assert_eq!(raw.response().await.status, 200);
            held.push(raw);
        }
        edge.process().resident()
    };
    let before = open(200).await;
    let each = open(1000).await.saturating_sub(before) / 1000;
    assert!(each < 4096, "{each} bytes for each idle connection");
}

#[tokio::test]
async fn waiting_for_a_header_holds_no_drain_up() {
    let mut edge = requiring().await;
    let mut raw = edge.raw("web").await;
    raw.write("PROXY TCP4").await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 1.0).await;
    let started = Instant::now();
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    // The grace of idle connections, not the time for a header or for a drain.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}
