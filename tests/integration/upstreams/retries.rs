//! Which requests are sent again, and which never.

use super::{PROTOCOLS, deaf};
use crate::support::{Edge, Origin, Reply, edge, origin, within};
use serde_json::Value;
use std::fmt::Display;

/// Two endpoints of which the first one is always asked first, and a policy of retries.
async fn two(bad: impl Display, good: impl Display, protocol: &str, retry: &str) -> Edge {
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams:
          app: {endpoints: [$bad, $good], balance: first, protocol: $protocol, retry: $retry}
        ";
    let edge = edge(document).with("bad", bad).with("good", good).with("protocol", protocol);
    edge.with("retry", retry).start().await
}

/// An endpoint whose every answer is the same.
async fn always(protocol: &str, reply: Reply) -> Origin {
    origin().speaking(protocol).handler(move |_| reply.clone()).start().await
}

async fn good(protocol: &str) -> Origin {
    always(protocol, Reply::ok("hello")).await
}

/// An endpoint that is always busy, one that is well, and an edge that asks them in this order.
async fn busy_before_good(protocol: &str) -> (Origin, Origin, Edge) {
    let busy = always(protocol, Reply::new(503).body("busy")).await;
    let good = good(protocol).await;
    let edge = two(&busy, &good, protocol, "{}").await;
    (busy, good, edge)
}

async fn last(edge: &Edge) -> Value {
    edge.access_log(1).await.pop().unwrap()
}

#[tokio::test]
async fn what_failed_at_one_endpoint_succeeds_at_another() {
    let busy = || Reply::new(503).body("busy");
    for protocol in PROTOCOLS {
        let good = good(protocol).await;
        for (reply, seen) in [
            (busy(), ("status", Value::from(503))),
            (Reply::reset(), ("cause", "upstream_reset".into())),
            (Reply::never(), ("cause", "upstream_timeout_response".into())),
        ] {
            // What is sent byte by byte is HTTP/1.
            if protocol == "h2" && seen.1 == "upstream_reset" {
                continue;
            }
            for client in PROTOCOLS {
                let bad = always(protocol, reply.clone()).await;
                let edge = two(&bad, &good, protocol, "{per_try: 300ms}").await;
                let web = edge.client("web").speaking(client);
                let answer = web.get("/").await;
                assert_eq!(answer, "hello", "{client} to {protocol}: {seen:?}");
                let line = last(&edge).await;
                assert_eq!(line["attempts"], 2, "{line}");
                assert_eq!(line["endpoint"], good.endpoint(), "{line}");
                let earlier = &line["earlier"][0];
                assert_eq!(earlier["endpoint"], bad.endpoint(), "{line}");
                assert_eq!(earlier[seen.0], seen.1, "{line}");
                assert!(line["cause"].is_null(), "{line}");
                edge.metric_becomes("falconer_upstream_retries_total{upstream=\"app\"}", 1.0).await;
                // The connection goes on.
                assert_eq!(web.get("/").await, "hello");
            }
        }
    }
}

#[tokio::test]
async fn a_request_that_may_do_something_is_sent_once() {
    for protocol in PROTOCOLS {
        let (_busy, good, edge) = busy_before_good(protocol).await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            let post = || web.request("POST", "/").body("order");
            let answer = post().send().await;
            assert_eq!((answer.status, answer.text().as_str()), (503, "busy"), "{client}");
            assert_eq!(good.hits(), 0);
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_allows_what_the_method_forbids() {
    for protocol in PROTOCOLS {
        let (_busy, good, edge) = busy_before_good(protocol).await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            let order = web.request("POST", "/").header("Idempotency-Key", "7").body("order");
            assert_eq!(order.send().await, "hello", "{client} to {protocol}");
        }
        let got: Vec<_> = good.requests().into_iter().map(|request| request.body).collect();
        assert_eq!(got, [b"order", b"order"], "the whole body once more");
    }
}

#[tokio::test]
async fn a_body_is_repeated_as_long_as_it_is_kept() {
    for protocol in PROTOCOLS {
        let (_busy, good, edge) = busy_before_good(protocol).await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            let put = |length: usize| web.request("PUT", "/").body("x".repeat(length)).send();
            assert_eq!(put(64 * 1024).await, "hello", "{client} to {protocol}");
            assert_eq!(put(64 * 1024 + 1).await, "busy", "{client} to {protocol}");
        }
        assert_eq!(good.hits(), 2);
        assert!(good.requests().iter().all(|request| request.body.len() == 64 * 1024));
    }
}

#[tokio::test]
async fn the_last_answer_is_the_clients() {
    let bad = always("h1", Reply::new(503).header("X-Own", "yes").body("busy")).await;
    let edge = two(&bad, "http://127.0.0.1:1", "h1", "{attempts: 3, backoff: 1ms}").await;
    let answer = edge.get("/").await;
    assert_eq!((answer.status, answer.header("x-own")), (503, Some("yes")));
    assert_eq!(bad.hits(), 3, "alone it is asked again");
    let line = last(&edge).await;
    assert!(line["cause"].is_null() && line["endpoint"] == bad.endpoint(), "{line}");
}

#[tokio::test]
async fn nobody_is_asked_twice_while_another_one_is_there() {
    for balance in ["round_robin", "least_request", "random", "hash: {key: \"{client.ip}\"}"] {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(always("h1", Reply::new(502)).await);
        }
        let document = "upstreams: {app: {endpoints: [$a, $b, $c], balance: {$balance},
            retry: {attempts: 3, backoff: 1ms}}}";
        let document = document.replace(
            "{$balance}",
            &match balance.contains(':') {
                true => format!("{{{balance}}}"),
                false => balance.to_owned(),
            },
        );
        let edge = edge(&document).with("a", &all[0]).with("b", &all[1]).with("c", &all[2]);
        let edge = edge.start().await;
        assert_eq!(edge.get("/").await.status, 502);
        let hits: Vec<_> = all.iter().map(Origin::hits).collect();
        assert_eq!(hits, [1, 1, 1], "{balance}");
    }
}

#[tokio::test]
async fn what_the_document_does_not_name_is_not_sent_again() {
    let bad = always("h1", Reply::new(503)).await;
    let good = good("h1").await;
    let edge = two(&bad, &good, "h1", "{on: [reset, 502]}").await;
    assert_eq!(edge.get("/").await.status, 503);
    let broken = always("h1", Reply::wire("HTTP/1.1 2000 What\r\n\r\n")).await;
    let edge = two(&broken, &good, "h1", "{}").await;
    assert_eq!(edge.get("/").await.status, 502, "an invalid response is not among the defaults");
    assert_eq!(good.hits(), 0);
    let edge = two(&broken, &good, "h1", "{on: [invalid_response]}").await;
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn without_a_policy_a_response_is_a_response() {
    let bad = always("h1", Reply::new(503)).await;
    let good = good("h1").await;
    let document = "upstreams: {app: {endpoints: [$bad, $good], balance: first}}";
    let edge = edge(document).with("bad", &bad).with("good", &good).start().await;
    assert_eq!(edge.get("/").await.status, 503);
    assert_eq!(good.hits(), 0);
}

#[tokio::test]
async fn a_response_that_has_begun_is_not_made_whole_by_another() {
    for protocol in PROTOCOLS {
        let half = Reply::new(200).header("Content-Length", 100).body("half").then_reset();
        let bad = always(protocol, half).await;
        let good = good(protocol).await;
        let edge = two(&bad, &good, protocol, "{}").await;
        let broken = edge.request("GET", "/").try_send().await.unwrap_err();
        assert_eq!(broken.response(), "half", "{protocol}");
        assert_eq!(good.hits(), 0);
    }
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_left_after_its_time() {
    let (_listener, deaf) = deaf();
    let good = good("h1").await;
    let edge = two(format!("http://{deaf}"), &good, "h1", "{per_try: 200ms}").await;
    let put = edge.request("PUT", "/").body("text");
    assert_eq!(put.send().await, "hello");
    assert_eq!(good.request().await.body, b"text");
    // The last one may take its time.
    let late = Reply::ok("late").after(std::time::Duration::from_millis(600));
    let slow = always("h1", late).await;
    let edge = two(format!("http://{deaf}"), &slow, "h1", "{per_try: 200ms}").await;
    assert_eq!(edge.get("/").await, "late");
}

#[tokio::test]
async fn all_endpoints_are_tried_anew_where_none_gave_a_connection() {
    let document = "upstreams: {app: {endpoints: [$a, $b], retry: {attempts: 3, backoff: 1ms}}}";
    let (a, b) = (origin().refusing().start().await, origin().refusing().start().await);
    let edge = edge(document).with("a", &a).with("b", &b).start().await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = last(&edge).await;
    assert_eq!(
        (&line["attempts"], &line["cause"]),
        (&6.into(), &"upstream_connect_refused".into())
    );
    assert_eq!(line["earlier"].as_array().unwrap().len(), 5, "{line}");
}

#[tokio::test]
async fn a_storm_of_retries_is_impossible() {
    let bad = always("h1", Reply::new(503)).await;
    let also = always("h1", Reply::new(503)).await;
    let retry = "{attempts: 3, backoff: 1ms, budget: 20%, budget_floor: 5}";
    let edge = two(&bad, &also, "h1", retry).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let mut raw = edge.raw("web").await;
        clients.push(tokio::spawn(async move {
            for _ in 0..100 {
                raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert_eq!(raw.response().await.status, 503);
            }
        }));
    }
    for client in clients {
        within("a client", client).await.unwrap();
    }
    let attempts = bad.hits() + also.hits();
    assert!(attempts <= 400 + 80, "{attempts} attempts for 400 requests");
    assert!(attempts >= 400 + 40, "{attempts} attempts for 400 requests");
    let unaffordable = "falconer_upstream_retries_unaffordable_total{upstream=\"app\"}";
    edge.metric_reaches(unaffordable, 200.0).await;
}
