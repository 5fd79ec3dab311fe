//! A client that leaves takes its upstream request with it, at once.

use super::{By, To, ways};
use crate::support::{Edge, Feed, Flow, Origin, Reply, Seen};

/// The one exchange ended because the client left.
async fn is_logged(what: &str, edge: &Edge) {
    let line = edge.access_log(1).await.swap_remove(0);
    let told = (&line["status"], &line["cause"]);
    assert_eq!(told, (&499.into(), &"client_closed".into()), "{what}: {line}");
    edge.metric_becomes("falconer_route_failures_total{cause=\"client_closed\"}", 1.0).await;
    edge.metric_becomes("falconer_route_requests_in_flight", 0.0).await;
}

async fn sees_it(to: To, origin: &Origin) {
    origin.cancelled().await;
    if to == To::H1 {
        origin.closed().await;
    }
}

/// Ways to leave: this stream, or the whole connection.
const EXITS: [fn(Flow); 2] = [drop, Flow::vanish];

#[tokio::test]
async fn before_the_head_of_the_response() {
    for (by, to) in ways() {
        for exit in EXITS {
            let origin = to.origin().hanging().start().await;
            let edge = to.edge(&origin).await;
            let flow = by.client(&edge).request("GET", "/").open().await;
            origin.request().await;
            exit(flow);
            sees_it(to, &origin).await;
            is_logged(&format!("{by:?} {to:?}"), &edge).await;
        }
    }
}

#[tokio::test]
async fn after_the_head_of_the_response() {
    for (by, to) in ways() {
        for exit in EXITS {
            let feed = Feed::new();
            let origin = to.origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
            let edge = to.edge(&origin).await;
            let mut flow = by.client(&edge).request("GET", "/").open().await;
            assert_eq!(flow.head().await.status, 200);
            feed.send("one");
            assert_eq!(flow.bytes(3).await, b"one");
            exit(flow);
            sees_it(to, &origin).await;
            is_logged(&format!("{by:?} {to:?}"), &edge).await;
        }
    }
}

#[tokio::test]
async fn in_the_middle_of_its_own_body() {
    for (by, to) in ways() {
        for length in [None, Some(100)] {
            let origin = to.origin().reply("/", "thanks").start().await;
            let edge = to.edge(&origin).await;
            let request = by.client(&edge).request("POST", "/");
            let request = match length {
                Some(length) => request.header("content-length", length),
                None => request.chunked(),
            };
            let mut flow = request.open().await;
            flow.write("one").await;
            let arrived = |s: &Seen| s.requests.first().is_some_and(|r| r.length == 3);
            origin.until("the first piece", arrived).await;
            drop(flow);
            sees_it(to, &origin).await;
            assert!(!origin.requests()[0].complete, "{by:?} {to:?}");
            is_logged(&format!("{by:?} {to:?} {length:?}"), &edge).await;
        }
    }
}

#[tokio::test]
async fn while_its_body_waits_for_a_slow_endpoint() {
    for (by, to) in ways() {
        let gate = crate::support::Gate::new();
        let origin = to.origin().reads_body_after(&gate).reply("/", "thanks").start().await;
        let edge = to.edge(&origin).await;
        let request = by.client(&edge).request("POST", "/").header("content-length", 10);
        let mut flow = request.open().await;
        flow.write("one").await;
        origin.until("a request", |seen| seen.requests.len() == 1).await;
        drop(flow);
        is_logged(&format!("{by:?} {to:?}"), &edge).await;
        gate.open();
        sees_it(to, &origin).await;
    }
}

#[tokio::test]
async fn while_a_large_response_waits_for_it() {
    for (by, to) in ways() {
        for exit in EXITS {
            let feed = Feed::new();
            (0..1000).for_each(|_| feed.send(vec![7; 64 * 1024]));
            let origin = to.origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
            let edge = to.edge(&origin).await;
            let mut flow = by.client(&edge).request("GET", "/").open().await;
            assert_eq!(flow.head().await.status, 200);
            flow.bytes(1).await;
            exit(flow);
            sees_it(to, &origin).await;
            is_logged(&format!("{by:?} {to:?}"), &edge).await;
        }
    }
}

#[tokio::test]
async fn and_leaves_other_streams_of_its_connection_alone() {
    for to in To::ALL {
        let feed = Feed::new();
        let origin = to.origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
        let edge = to.edge(&origin).await;
        let mut h2 = edge.h2("web").await;
        let mut stays = h2.start("GET", "/", &[], true).await;
        let mut leaves = h2.start("GET", "/", &[], true).await;
        stays.head().await;
        leaves.head().await;
        leaves.reset();
        origin.cancelled().await;
        feed.send("still here");
        assert_eq!(stays.piece().await.unwrap().unwrap(), "still here", "{to:?}");
        feed.end();
        assert!(stays.piece().await.is_none(), "{to:?}");
    }
}

#[tokio::test]
async fn only_after_the_whole_response_is_no_failure() {
    for by in By::ALL {
        let origin = To::H1.origin().reply("/", "hello").start().await;
        let edge = To::H1.edge(&origin).await;
        let mut flow = by.client(&edge).request("GET", "/").open().await;
        assert_eq!(flow.head().await.status, 200);
        assert_eq!(flow.bytes(5).await, b"hello");
        flow.vanish();
        let line = edge.access_log(1).await.swap_remove(0);
        assert_eq!((&line["status"], line["cause"].is_null()), (&200.into(), true), "{by:?}");
    }
}
