//! Connections: how many, from one client, and when descriptors run out.

use super::{GET, limited, use_once};
use crate::support::{Client, edge};

#[tokio::test]
async fn further_connections_wait_until_there_is_room() {
    let edge = limited("connections: 2").await;
    let (mut first, mut second) = (edge.raw("web").await, edge.raw("web").await);
    use_once(&mut first).await;
    use_once(&mut second).await;

    let mut third = edge.raw("web").await;
    third.write(GET).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"connections\"}";
    edge.metric_reaches(paused, 1.0).await;
    assert_eq!(edge.metric("falconer_listener_connections{listener=\"web\"}").await, 2.0);
    assert_eq!(edge.metric("falconer_listener_connections_total{listener=\"web\"}").await, 2.0);
    // Those that are in are served as before.
    use_once(&mut first).await;
    use_once(&mut second).await;

    drop(first);
    assert_eq!(third.response().await, "hello");
    use_once(&mut second).await;
}

#[tokio::test]
async fn a_full_house_says_so_only_when_somebody_is_left_outside() {
    let edge = limited("connections: 1").await;
    let mut only = edge.raw("web").await;
    use_once(&mut only).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"connections\"}";
    assert_eq!(edge.metric(paused).await, 0.0);
}

#[tokio::test]
async fn room_goes_to_whichever_address_is_asked() {
    let edge = edge(
        "
        listeners:
          web: {address: [\"127.0.0.1:0\", \"[::1]:0\"], limits: {connections: 1}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    for address in edge.addresses("web").into_iter().rev() {
        assert_eq!(Client::new(address).get("/").await, "hello", "{address}");
    }
}

#[tokio::test]
async fn all_listeners_together_have_a_limit_too() {
    let edge = edge(
        "
        server: {limits: {connections: 1}}
        listeners: {one: {address: \"127.0.0.1:0\"}, two: {address: \"127.0.0.1:0\"}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    assert_eq!(edge.client("two").get("/").await, "hello");
    let mut one = edge.raw("one").await;
    use_once(&mut one).await;

    let mut two = edge.raw("two").await;
    two.write(GET).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"two\",reason=\"connections\"}";
    edge.metric_reaches(paused, 1.0).await;
    drop(one);
    assert_eq!(two.response().await, "hello");
}

#[tokio::test]
async fn a_client_with_too_many_connections_is_turned_away() {
    let edge = limited("connections_per_client: 2").await;
    let (mut first, mut second) = (edge.raw("web").await, edge.raw("web").await);
    use_once(&mut first).await;
    use_once(&mut second).await;

    edge.raw("web").await.closed().await;
    let turned_away = "falconer_listener_connections_refused_total\
                       {listener=\"web\",limit=\"connections_per_client\"}";
    edge.metric_becomes(turned_away, 1.0).await;
    use_once(&mut first).await;

    drop(second);
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 1.0).await;
    use_once(&mut edge.raw("web").await).await;
    edge.metric_becomes(turned_away, 1.0).await;
}

#[tokio::test]
async fn a_trusted_proxy_may_have_any_number_of_connections() {
    let edge = edge(
        "
        listeners:
          web:
            address: \"127.0.0.1:0\"
            trusted_proxies: [127.0.0.1]
            limits: {connections_per_client: 1}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(edge.raw("web").await);
    }
    // They are the proxy's, whomever it names; it knows how many its clients may have.
    for raw in &mut all {
        raw.write("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 127.0.0.2\r\n\r\n").await;
        assert_eq!(raw.response().await, "hello");
    }
    let named = edge.client("web").from([127, 0, 0, 2]);
    let mut own = named.raw().await;
    use_once(&mut own).await;
    named.raw().await.closed().await;
    let turned_away = "falconer_listener_connections_refused_total\
                       {listener=\"web\",limit=\"connections_per_client\"}";
    edge.metric_becomes(turned_away, 1.0).await;
}

#[tokio::test]
async fn running_out_of_descriptors_pauses_accepting_and_no_more() {
    let edge = edge(
        "
        server: {threads: 1, limits: {connections: off}}
        listeners: {web: {address: \"127.0.0.1:0\", limits: {connections: off}}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .descriptors(64, 64)
    .start()
    .await;
    // Asked for on a connection that is in already, because there will be none to be had.
    let mut admin = edge.raw("admin").await;
    admin.write("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(admin.response().await.status, 200);
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut raw = edge.raw("web").await;
        raw.write(GET).await;
        all.push(raw);
    }
    edge.stderr().line("accepting pauses").await;
    admin.write("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let metrics = admin.response().await.text();
    drop(admin);
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"descriptors\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(paused));
    let count: f64 = line.expect("the metric").parse().unwrap();
    assert!(count >= 1.0, "{count}");

    // Every answer that comes makes room for another connection.
    for mut raw in all {
        assert_eq!(raw.response().await, "hello");
    }
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn the_soft_limit_on_descriptors_is_raised_at_the_start() {
    let edge = edge("routes: [{reply: {status: 200, body: hello}}]");
    let edge = edge.descriptors(64, 512).start().await;
    let limits = format!("/proc/{}/limits", edge.process().id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..2], ["512", "512"], "soft and hard: {line}");
}
