//! Endpoints that are names.

use crate::support::{Origin, edge, origin};
use std::net::TcpListener;

#[tokio::test]
async fn a_name_is_resolved() {
    let app = origin().reply("/", "hello").start().await;
    let edge = edge("upstreams: {app: {endpoints: [\"http://localhost:$port\"], host: endpoint}}")
        .with("port", app.port())
        .start()
        .await;
    assert_eq!(edge.get("/").await, "hello");
    let authority = format!("localhost:{}", app.port());
    assert_eq!(app.request().await.header("host"), Some(authority.as_str()));
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["endpoint"], format!("http://{authority}"));
}

#[tokio::test]
async fn every_address_of_a_name_is_used() {
    let Some((four, six)) = on_one_port().await else { return };
    // Names below `localhost` stand for both loopback addresses, whatever the hosts file says.
    let edge = edge("upstreams: {app: {endpoints: [\"http://app.localhost:$port\"]}}")
        .with("port", four.port())
        .start()
        .await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    // The turns begin anew when the addresses are learned, which may be during the first requests.
    assert!(four.hits() >= 2 && six.hits() >= 2, "{} and {}", four.hits(), six.hits());
}

/// Origins on both loopback addresses; none on a machine without IPv6.
pub(super) async fn on_one_port() -> Option<(Origin, Origin)> {
    TcpListener::bind("[::1]:0").ok()?;
    loop {
        // Below those that the system gives to others, who could take it before we do.
        let port = fastrand::u16(20_000..32_000);
        let is_free = |host: &str| TcpListener::bind((host, port)).is_ok();
        if !is_free("::1") || !is_free("127.0.0.1") {
            continue;
        }
        let four = origin().at(format!("127.0.0.1:{port}")).reply("/", "four");
        let six = origin().at(format!("[::1]:{port}")).reply("/", "six");
        return Some((four.start().await, six.start().await));
    }
}

#[tokio::test]
async fn an_address_of_a_name_that_refuses_is_passed_over() {
    let four = origin().reply("/", "four").start().await;
    let edge = edge("upstreams: {app: {endpoints: [\"http://app.localhost:$port\"]}}")
        .with("port", four.port())
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(edge.get("/").await, "four");
    }
    let lines = edge.access_log(4).await;
    assert!(lines.iter().all(|line| line["attempts"] == 2 || line["attempts"] == 1), "{lines:?}");
    assert!(lines.iter().any(|line| line["attempts"] == 2), "{lines:?}");
}

#[tokio::test]
async fn a_name_that_nobody_knows_means_503_and_no_exit() {
    let app = origin().reply("/", "hello").start().await;
    let document = "
        upstreams:
          unknown: {endpoints: [\"http://nonexistent.invalid:81\"]}
          partly: {endpoints: [\"http://nonexistent.invalid:81\", $app]}
        routes:
          - {match: {path: /unknown}, upstream: unknown}
          - {match: {path: /}, upstream: partly}
        ";
    let edge = edge(document).with("app", &app).start().await;
    for _ in 0..2 {
        assert_eq!(edge.get("/unknown").await.status, 503);
        assert_eq!(edge.get("/").await, "hello");
    }
    let line = edge.logged("the unknown", |line| line["path"] == "/unknown").await;
    assert_eq!((&line["cause"], &line["attempts"]), (&"upstream_no_endpoint".into(), &0.into()));
    assert_eq!(line.get("endpoint"), None);
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
}
