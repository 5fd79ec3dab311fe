//! Endpoints that are new or well again: requests that warm them up, and their share little by little.

use super::PROTOCOLS;
use crate::support::{Edge, Origin, edge, origin};

async fn shown(edge: &Edge) -> String {
    let ended = edge.command(&["upstreams"]).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    ended.said
}

/// How many of so many requests each of two endpoints got.
async fn shares(edge: &Edge, [a, b]: [&Origin; 2], requests: usize) -> (usize, usize) {
    let before = (a.hits(), b.hits());
    for _ in 0..requests {
        assert_eq!(edge.get("/").await, "hello");
    }
    (a.hits() - before.0, b.hits() - before.1)
}

#[tokio::test]
async fn who_comes_back_gets_its_share_little_by_little() {
    let (a, b) =
        (origin().reply("/", "hello").start().await, origin().reply("/", "hello").start().await);
    let document = |slow_start: &str| {
        format!("upstreams: {{app: {{endpoints: [$a, $b], slow_start: {slow_start}}}}}")
    };
    let edge = edge(&document("1h")).with("a", &a).with("b", &b);
    let mut edge = edge.start().await;
    // All are new, so all are alike.
    assert_eq!(shares(&edge, [&a, &b], 20).await, (10, 10));
    // What is over is over.
    edge.reload(&document("1ms")).await;
    assert_eq!(shares(&edge, [&a, &b], 20).await, (10, 10));
    assert_eq!(shown(&edge).await.matches(": serving;").count(), 2);

    edge.reload(&document("1h")).await;
    for act in ["--drain", "--resume"] {
        assert_eq!(edge.command(&["upstreams", act, "app", b.endpoint()]).await.code, 0);
    }
    let shown_now = shown(&edge).await;
    assert!(shown_now.contains(": serving, slowly at first: 10% of its share"), "{shown_now}");
    let (_, first) = shares(&edge, [&a, &b], 200).await;
    assert!((1..40).contains(&first), "{first} of 200");
    edge.reload(&document("1ms")).await;
    assert_eq!(shares(&edge, [&a, &b], 20).await, (10, 10));
}

#[tokio::test]
async fn an_endpoint_is_warm_before_its_first_client() {
    for protocol in PROTOCOLS {
        let start = async || origin().speaking(protocol).reply("/", "hello").start().await;
        let (a, b) = (start().await, start().await);
        let document = "
            upstreams:
              app:
                endpoints: [$endpoints]
                protocol: $protocol
                warm_up: {path: \"/warm?x=1\", requests: 3}
            ";
        let edge = edge(document).with("endpoints", &a).with("protocol", protocol);
        let mut edge = edge.start().await;
        assert_eq!(edge.get("/").await, "hello");
        let warmed = |app: &Origin| {
            let requests = app.requests();
            let warms = requests.iter().take(3).filter(|request| request.target == "/warm?x=1");
            let agents = warms.filter(|r| r.headers.one("user-agent") == Some("falconer-warm-up"));
            (agents.count(), requests.len())
        };
        assert_eq!(warmed(&a), (3, 4), "{protocol}");

        let both = document.replace("$endpoints", &format!("{a}, {b}"));
        edge.reload(&both).await;
        assert_eq!(warmed(&b), (3, 3), "{protocol}: before the reload was over");
        assert_eq!(warmed(&a), (3, 4), "{protocol}: it is warm");
        for _ in 0..2 {
            assert_eq!(edge.get("/").await, "hello");
        }
        assert_eq!(warmed(&b), (3, 4), "{protocol}");
    }
}

#[tokio::test]
async fn who_cannot_be_warmed_serves_all_the_same() {
    let app = origin().reply("/", "hello").start().await;
    let document = "
        upstreams:
          app:
            endpoints: [$app, \"http://127.0.0.1:1\"]
            warm_up: {path: /nothing-there, requests: 2, timeout: 5s}
        ";
    let edge = edge(document).with("app", &app).start().await;
    assert_eq!(edge.get("/").await, "hello");
    edge.process().stderr().line("a warm-up failed").await;
    assert_eq!(app.requests().len(), 3, "whatever it answers, it is warm");
}
