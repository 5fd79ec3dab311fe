//! `Via`: what the edge adds, and that a request which goes round is noticed.

use super::{before, pairs};
use crate::support::{edge, origin};
use std::collections::HashSet;

#[tokio::test]
async fn every_request_that_goes_upstream_tells_the_edge_and_the_version_it_came_by() {
    for (by, to) in pairs() {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let request = by.client(&edge).request("GET", "/").header("via", "1.0 fred (a, b)");
        assert_eq!(request.send().await.status, 200);

        let told = origin.request().await.headers.all("via").join(", ");
        let name = told.rsplit(' ').next().unwrap();
        let version = if by.is_h2() { "2.0" } else { "1.1" };
        assert_eq!(told, format!("1.0 fred (a, b), {version} {name}"), "{by:?} {to:?}");
        assert!(name.starts_with("falconer-"), "{name}");
    }
}

#[tokio::test]
async fn every_process_has_another_name_unless_it_is_given_one() {
    let origin = origin().status("/", 200).start().await;
    let mut names = HashSet::new();
    for keys in ["", "", "server: {via: edge-1}"] {
        let edge = before(&origin).rest(keys).start().await;
        let seen = origin.hits();
        assert_eq!(edge.request("GET", "/").http10().send().await.status, 200);
        let told = origin.requests().swap_remove(seen).headers.all("via").join(", ");
        names.insert(told);
    }
    assert!(names.contains("1.0 edge-1"), "{names:?}");
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn an_edge_without_a_name_adds_and_notices_nothing() {
    let origin = origin().status("/", 200).start().await;
    let edge = before(&origin).rest("server: {via: off}").start().await;
    let request = edge.request("GET", "/").header("via", "1.1 falconer, 1.1 off");
    assert_eq!(request.send().await.status, 200);
    assert_eq!(origin.request().await.headers.all("via"), ["1.1 falconer, 1.1 off"]);
}

#[tokio::test]
async fn a_request_that_comes_round_again_is_508() {
    let edge = edge(
        "
        listeners:
          web: {address: '127.0.0.1:0'}
          again: {address: 'unix:$socket'}
        upstreams: {round: {endpoints: ['unix:$socket']}}
        routes:
          - {name: here, match: {path: /here}, reply: {body: here}}
          - {name: round, upstream: round}
        ",
    );
    let socket = edge.folder().join("again.sock");
    let edge = edge.with("socket", socket.display()).start().await;
    assert_eq!(edge.get("/").await.status, 508);
    let log = edge.access_log(2).await;
    let of = |listener: &str| log.iter().find(|line| line["listener"] == listener).unwrap();
    // The second round ended it, and the first one passed its answer on.
    assert_eq!(
        (&of("again")["cause"], &of("again")["attempts"]),
        (&"loop_detected".into(), &0.into())
    );
    assert_eq!((&of("web")["cause"], &of("web")["status"]), (&().into(), &508.into()));

    // What the edge answers by itself goes nowhere, wherever it comes from.
    assert_eq!(edge.get("/here").await.status, 200);
}

#[tokio::test]
async fn edges_in_a_row_are_no_loop() {
    let origin = origin().status("/", 200).start().await;
    let inner = before(&origin).start().await;
    let document = "
        listeners: {web: {address: '127.0.0.1:0'}}
        upstreams: {inner: {endpoints: [$inner]}}
        routes: [{name: all, upstream: inner}]
    ";
    let outer = edge(document).with("inner", inner.url("")).start().await;
    assert_eq!(outer.get("/").await.status, 200);
    assert_eq!(
        origin.request().await.headers.all("via").join(", ").matches("falconer-").count(),
        2
    );
}
