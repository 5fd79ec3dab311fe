//! What becomes of clients whose endpoint is gone, or does not serve.

use super::{Edge, again, before, edge, given, named, origin, outcomes};
use crate::support::{Client, Gate, Origin, Reply, Response, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The cookie of a client of an endpoint.
async fn cookie_of(edge: &Edge, name: &str) -> String {
    let answers = [edge.get("/").await, edge.get("/").await];
    given(answers.iter().find(|answer| **answer == name).unwrap()).unwrap()
}

/// An endpoint that fails while the switch is on, and says who it is otherwise.
async fn fallible(name: &'static str, fails: &Arc<AtomicBool>) -> Origin {
    let fails = fails.clone();
    let answer = move |_: &_| match fails.load(Ordering::Relaxed) {
        true => Reply::new(503).body("busy"),
        false => Reply::ok(name),
    };
    origin().handler(answer).start().await
}

/// A lost client gets another endpoint, and stays there.
async fn moves(client: &Client, cookie: &str, to: &str) {
    let moved = again(client, cookie).await;
    assert_eq!(moved, to);
    let next = given(&moved).unwrap();
    assert_ne!(next, cookie);
    for _ in 0..3 {
        let stays = again(client, &next).await;
        assert_eq!((stays.text().as_str(), given(&stays)), (to, None));
    }
}

/// A lost client gets 503, each time.
async fn is_refused(edge: &Edge, cookie: &str) {
    for _ in 0..3 {
        let refused = again(&edge.client("web"), cookie).await;
        assert_eq!((refused.status, given(&refused)), (503, None));
    }
    edge.logged("the cause", |line| line["cause"] == "upstream_affinity_lost").await;
}

#[tokio::test]
async fn where_an_endpoint_is_gone_the_document_decides() {
    for failure in ["redistribute", "reply_503"] {
        let (a, b) = (named("a").await, named("b").await);
        let mut edge = before(&a, &b, &format!("{{cookie: node, failure: {failure}}}")).await;
        let cookie = cookie_of(&edge, "a").await;
        edge.reload(&super::DOCUMENT.replace("[$a, $b]", "[$b]")).await;
        match failure {
            "redistribute" => moves(&edge.client("web"), &cookie, "b").await,
            _ => is_refused(&edge, &cookie).await,
        }
        assert!(outcomes(&edge).await[2] >= 1.0, "it was lost");
        // New clients, and who has a cookie of somebody else.
        assert_eq!(edge.get("/").await, "b");
        let foreign = again(&edge.client("web"), "node=elsewhere").await;
        assert_eq!(foreign, "b");
        assert!(given(&foreign).is_some());
    }
}

#[tokio::test]
async fn an_unhealthy_endpoint_has_lost_its_clients_until_it_is_back() {
    let fails = Arc::new(AtomicBool::new(false));
    let (a, b) = (fallible("a", &fails).await, named("b").await);
    let document = "
        upstreams:
          app:
            endpoints: [$a, $b]
            affinity: {cookie: node, failure: reply_503}
            health: {path: /, interval: 50ms, unhealthy_after: 1}
        ";
    let edge = edge(document).with("a", &a).with("b", &b).start().await;
    let cookie = cookie_of(&edge, "a").await;
    let state = async |wanted: &str| {
        eventually(&format!("the endpoint to be {wanted}"), async || {
            edge.command(&["upstreams"]).await.said.contains(wanted).then_some(())
        })
        .await;
    };
    fails.store(true, Ordering::Relaxed);
    state(": unhealthy").await;
    is_refused(&edge, &cookie).await;
    fails.store(false, Ordering::Relaxed);
    eventually("the client to be back", async || {
        (again(&edge.client("web"), &cookie).await == "a").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_ejected_endpoint_is_tried_by_its_clients() {
    let fails = Arc::new(AtomicBool::new(false));
    let (a, b) = (fallible("a", &fails).await, named("b").await);
    let document = "
        upstreams:
          app:
            endpoints: [$a, $b]
            affinity: {cookie: node}
            outlier: {consecutive_failures: 1, ejection: 300ms}
        ";
    let edge = edge(document).with("a", &a).with("b", &b).start().await;
    let cookie = cookie_of(&edge, "a").await;
    fails.store(true, Ordering::Relaxed);
    assert_eq!(again(&edge.client("web"), &cookie).await.status, 503);
    edge.stderr().line("an endpoint is taken out").await;
    fails.store(false, Ordering::Relaxed);
    eventually("the client to be back", async || {
        (again(&edge.client("web"), &cookie).await == "a").then_some(())
    })
    .await;
    edge.stderr().line("an endpoint is back").await;
}

#[tokio::test]
async fn where_all_fail_clients_stay_where_they_are() {
    let document = "
        upstreams:
          app:
            endpoints: [$a, $b]
            affinity: {cookie: node}
            health: {path: /healthz, interval: 50ms, unhealthy_after: 1}
        ";
    let start = async |name: &'static str| {
        let answer = move |request: &crate::support::Received| match request.path() {
            "/healthz" => Reply::new(500),
            _ => Reply::ok(name),
        };
        origin().handler(answer).start().await
    };
    let (a, b) = (start("a").await, start("b").await);
    let edge = edge(document).with("a", &a).with("b", &b).start().await;
    for _ in 0..2 {
        let first = edge.get("/").await;
        for _ in 0..4 {
            let next = again(&edge.client("web"), &given(&first).unwrap()).await;
            assert_eq!((next.text(), given(&next)), (first.text(), None));
        }
    }
}

#[tokio::test]
async fn who_belongs_to_a_full_endpoint_waits_for_it() {
    let gate = Gate::new();
    let held = Reply::ok("held").behind(&gate);
    let a = origin().answer("/held", held).handler(|_| Reply::ok("a")).start().await;
    let b = named("b").await;
    let document = "
        upstreams:
          app: {endpoints: [$a, $b], affinity: {cookie: node}, limits: {requests_per_endpoint: 1}}
        ";
    let edge = edge(document).with("a", &a).with("b", &b).start().await;
    let cookie = cookie_of(&edge, "a").await;
    let ask = |path: &'static str| {
        let request = edge.request("GET", path).header("Cookie", &cookie);
        tokio::spawn(request.send())
    };
    let first = ask("/held");
    a.until("the request that is held", |seen| seen.requests.len() == 2).await;
    let second = ask("/");
    edge.metric_becomes("falconer_upstream_pending", 1.0).await;
    assert_eq!(edge.get("/").await, "b", "others need not wait");
    gate.open();
    assert_eq!(first.await.unwrap(), "held");
    assert_eq!(second.await.unwrap(), "a");
    assert_eq!(outcomes(&edge).await, [2.0, 3.0, 0.0]);
}

const RETRIES: &str = "
    upstreams:
      app:
        endpoints: [$a, $b]
        affinity: {cookie: node, failure: $failure}
        retry: {attempts: 3, backoff: 1ms}
    ";

#[tokio::test]
async fn a_retry_goes_elsewhere_only_where_clients_may() {
    for failure in ["redistribute", "reply_503"] {
        let fails = Arc::new(AtomicBool::new(false));
        let (a, b) = (fallible("a", &fails).await, named("b").await);
        let edge = edge(RETRIES).with("a", &a).with("b", &b).with("failure", failure);
        let edge = edge.start().await;
        let cookie = cookie_of(&edge, "a").await;
        fails.store(true, Ordering::Relaxed);
        let (before, elsewhere) = (a.hits(), b.hits());
        let retried: Response = again(&edge.client("web"), &cookie).await;
        match failure {
            "redistribute" => {
                assert_eq!(retried, "b");
                assert!(given(&retried).is_some_and(|next| next != cookie));
                assert_eq!(a.hits() - before, 1);
            }
            _ => {
                assert_eq!((retried.status, retried.text().as_str()), (503, "busy"));
                assert_eq!(given(&retried), None);
                assert_eq!((a.hits() - before, b.hits() - elsewhere), (3, 0));
            }
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_refuses_connections_has_lost_its_clients() {
    for (failure, status) in [("redistribute", 200), ("reply_503", 502)] {
        let (a, b) = (named("a").await, named("b").await);
        let edge = before(&a, &b, &format!("{{cookie: node, failure: {failure}}}")).await;
        let cookie = cookie_of(&edge, "a").await;
        drop(a);
        let answer = eventually("the endpoint to be gone", async || {
            let answer = again(&edge.client("web"), &cookie).await;
            (answer != "a").then_some(answer)
        })
        .await;
        assert_eq!(answer.status, status, "{failure}");
        let hits = b.hits();
        again(&edge.client("web"), &cookie).await;
        assert_eq!(b.hits() - hits, usize::from(status == 200));
    }
}
