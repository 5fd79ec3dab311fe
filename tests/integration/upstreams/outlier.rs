//! Whoever fails where others serve gets no requests for a while.

use super::PROTOCOLS;
use crate::support::{Edge, Origin, Reply, edge, eventually, origin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// An endpoint that fails until it is mended.
struct Patient {
    origin: Origin,
    is_well: Arc<AtomicBool>,
}

async fn patient(protocol: &str, symptom: Reply) -> Patient {
    let is_well = Arc::new(AtomicBool::new(false));
    let well = is_well.clone();
    let answer = move |_: &_| match well.load(Ordering::Relaxed) {
        true => Reply::ok("well"),
        false => symptom.clone(),
    };
    let origin = origin().speaking(protocol).handler(answer).start().await;
    Patient { origin, is_well }
}

const DOCUMENT: &str = "
    upstreams:
      app:
        endpoints: [$bad, $good]
        protocol: $protocol
        retry: {attempts: 2, per_try: 200ms, backoff: 1ms, on: [5xx, reset, timeout]}
        outlier: {consecutive_failures: 3, ejection: 500ms}
    ";

async fn before(bad: &Origin, good: &Origin, protocol: &str) -> Edge {
    let edge = edge(DOCUMENT).with("bad", bad).with("good", good);
    edge.with("protocol", protocol).start().await
}

#[tokio::test]
async fn no_client_notices_one_that_fails() {
    for protocol in PROTOCOLS {
        for symptom in [Reply::new(500), Reply::never()] {
            let bad = patient(protocol, symptom).await;
            let good = origin().speaking(protocol).reply("/", "well").start().await;
            let edge = before(&bad.origin, &good, protocol).await;
            for _ in 0..20 {
                assert_eq!(edge.get("/").await, "well", "{protocol}");
            }
            let said = edge.stderr().line("an endpoint is taken out").await;
            assert!(said.contains("3 attempts failed in a row"), "{said}");
            assert!(
                said.contains(bad.origin.endpoint()) && said.contains("upstream=app"),
                "{said}"
            );
            // Three, and the one that tried when its time was over, if it was over.
            assert!((3..=6).contains(&bad.origin.hits()), "{}", bad.origin.hits());

            bad.is_well.store(true, Ordering::Relaxed);
            eventually("the endpoint to serve again", async || {
                assert_eq!(edge.get("/").await, "well");
                edge.stderr().text().contains("an endpoint is back").then_some(())
            })
            .await;
            let before = bad.origin.hits();
            for _ in 0..10 {
                assert_eq!(edge.get("/").await, "well");
            }
            assert_eq!(bad.origin.hits() - before, 5, "its turns are its own again");
            edge.metric_reaches("falconer_upstream_ejections_total", 1.0).await;
        }
    }
}

#[tokio::test]
async fn one_request_tries_while_the_others_go_elsewhere() {
    let bad = patient("h1", Reply::new(500)).await;
    let good = origin().reply("/", "well").start().await;
    let edge = before(&bad.origin, &good, "h1").await;
    eventually("the endpoint to be out", async || {
        edge.get("/").await;
        edge.stderr().text().contains("an endpoint is taken out").then_some(())
    })
    .await;
    let out = bad.origin.hits();
    eventually("one to try", async || {
        assert_eq!(edge.get("/").await, "well");
        (bad.origin.hits() > out).then_some(())
    })
    .await;
    assert_eq!(bad.origin.hits(), out + 1);
    let again = edge.stderr().line("it failed again").await;
    assert!(again.contains("time=1s"), "doubled: {again}");
}

#[tokio::test]
async fn where_all_are_out_the_document_decides() {
    let bad = || async { patient("h1", Reply::new(500)).await.origin };
    let document = |panic: &str| {
        format!(
            "
            upstreams:
              app:
                endpoints: [$a, $b]
                panic: {panic}
                outlier: {{consecutive_failures: 1, eject_at_most: 100%, ejection: 1m}}
            "
        )
    };
    for (panic, last) in [("use_all", 500), ("fail", 503)] {
        let (a, b) = (bad().await, bad().await);
        let edge = edge(&document(panic)).with("a", &a).with("b", &b).start().await;
        for _ in 0..2 {
            assert_eq!(edge.get("/").await.status, 500);
        }
        assert_eq!(edge.get("/").await.status, last, "{panic}");
        let line = edge.logged("the last answer", |line| line["status"] == last).await;
        let cause =
            if last == 503 { "upstream_no_endpoint".into() } else { serde_json::Value::Null };
        assert_eq!(line["cause"], cause, "{line}");
    }
}

#[tokio::test]
async fn what_is_learned_outlives_a_reload_and_ends_with_the_policy() {
    let bad = patient("h1", Reply::new(500)).await;
    let good = origin().reply("/", "well").start().await;
    let document = |rest: &str| {
        format!(
            "
        upstreams: {{app: {{endpoints: [$bad, $good], timeouts: {{response: 5s}}, {rest}}}}}
        "
        )
    };
    let outlier = "outlier: {consecutive_failures: 1, ejection: 1h}";
    let mut edge =
        edge(&document(outlier)).with("bad", &bad.origin).with("good", &good).start().await;
    for _ in 0..2 {
        edge.get("/").await;
    }
    edge.stderr().line("an endpoint is taken out").await;
    bad.is_well.store(true, Ordering::Relaxed);
    edge.reload(&document(&format!("{outlier}, balance: least_request"))).await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "well");
    }
    assert_eq!(bad.origin.hits(), 1, "it is out as before");
    edge.reload(&document("balance: round_robin")).await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "well");
    }
    assert_eq!(bad.origin.hits(), 4, "nobody judges any more");
}

#[tokio::test]
async fn a_slow_endpoint_is_told_by_the_median() {
    let [a, b, c] = [(); 3].map(|()| origin().reply("/", "well"));
    let (a, b, c) = (a.start().await, b.start().await, c.start().await);
    let late = Reply::ok("well").after(std::time::Duration::from_millis(60));
    let slow = origin().answer("/", late).start().await;
    let document = "
        upstreams:
          app:
            endpoints: [$a, $b, $c, $slow]
            outlier: {slower_than_median: 5, minimum_requests: 3, window: 500ms}
        ";
    let edge = edge(document).with("a", &a).with("b", &b).with("c", &c).with("slow", &slow);
    let edge = edge.start().await;
    let said = eventually("the slow one to be out", async || {
        assert_eq!(edge.get("/").await, "well");
        let text = edge.stderr().text();
        text.lines().find(|line| line.contains("taken out")).map(str::to_owned)
    })
    .await;
    assert!(said.contains(slow.endpoint()) && said.contains("the median is"), "{said}");
}

#[tokio::test]
async fn a_client_that_leaves_is_no_failure_of_the_endpoint() {
    let bad = patient("h1", Reply::never()).await;
    let document = "
        upstreams:
          app:
            endpoints: [$bad, \"http://127.0.0.1:1\"]
            balance: first
            outlier: {consecutive_failures: 1, ejection: 1h}
        ";
    let edge = edge(document).with("bad", &bad.origin).start().await;
    for n in 1..=4 {
        let mut raw = edge.raw("web").await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        bad.origin.until("the request", |seen| seen.requests.len() == n).await;
        drop(raw);
        let line = edge.access_log(n).await.pop().unwrap();
        assert_eq!(line["cause"], "client_closed", "{line}");
    }
}

#[tokio::test]
async fn one_that_comes_back_gets_no_old_connection() {
    let bad = patient("h1", Reply::new(500)).await;
    let good = origin().reply("/", "well").start().await;
    let document = "
        upstreams:
          app:
            endpoints: [$bad, $good]
            outlier: {consecutive_failures: 3, ejection: 300ms}
        ";
    let edge = edge(document).with("bad", &bad.origin).with("good", &good).start().await;
    for _ in 0..6 {
        edge.get("/").await;
    }
    edge.stderr().line("an endpoint is taken out").await;
    assert_eq!((bad.origin.hits(), bad.origin.connections()), (3, 1), "kept between requests");
    bad.is_well.store(true, Ordering::Relaxed);
    eventually("the endpoint to serve again", async || {
        assert_eq!(edge.get("/").await, "well");
        edge.stderr().text().contains("an endpoint is back").then_some(())
    })
    .await;
    assert_eq!(bad.origin.connections(), 2);
}
