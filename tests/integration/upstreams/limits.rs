//! How many requests endpoints get at once, who waits, and who is sent away.

use super::PROTOCOLS;
use crate::support::{Client, Edge, Feed, Gate, Origin, Reply, edge, eventually, origin};
use serde_json::Value;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

const PENDING: &str = "falconer_upstream_pending{upstream=\"app\"}";

/// One upstream of these endpoints with these limits.
async fn limited(endpoints: &str, protocol: &str, limits: &str) -> Edge {
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$endpoints], protocol: $protocol, limits: {$limits}}}
        ";
    let edge = edge(document).with("endpoints", endpoints).with("protocol", protocol);
    edge.with("limits", limits).start().await
}

/// An endpoint that answers when the gate opens.
async fn held(protocol: &str, gate: &Gate) -> Origin {
    let gate = gate.clone();
    let app = origin().speaking(protocol).handler(move |_| Reply::ok("late").behind(&gate));
    app.start().await
}

fn asks(client: &Client, times: usize) -> Vec<JoinHandle<u16>> {
    let ask = |client: Client| async move { client.get("/").await.status };
    (0..times).map(|_| tokio::spawn(ask(client.clone()))).collect()
}

async fn all(asked: Vec<JoinHandle<u16>>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for one in asked {
        statuses.push(one.await.unwrap());
    }
    statuses
}

async fn got(app: &Origin, requests: usize) {
    app.until("as many as may", |seen| seen.requests.len() == requests).await;
}

#[tokio::test]
async fn each_endpoint_gets_what_it_may_and_the_others_wait() {
    for protocol in PROTOCOLS {
        let gate = Gate::new();
        let (a, b) = (held(protocol, &gate).await, held(protocol, &gate).await);
        let both = format!("{a}, {b}");
        let edge = limited(&both, protocol, "requests_per_endpoint: 2").await;
        let [h1, h2] = PROTOCOLS.map(|client| edge.client("web").speaking(client));
        let mut asked = asks(&h1, 4);
        asked.extend(asks(&h2, 4));
        got(&a, 2).await;
        got(&b, 2).await;
        edge.metric_becomes(PENDING, 4.0).await;
        assert_eq!((a.hits(), b.hits()), (2, 2), "{protocol}");
        let shown = edge.command(&["upstreams"]).await.said;
        assert!(shown.contains("2 of 2 in flight"), "{shown}");
        assert!(shown.contains("\n  4 requests wait for room"), "{shown}");
        gate.open();
        assert_eq!(all(asked).await, [200; 8], "{protocol}");
        edge.metric_becomes(PENDING, 0.0).await;
        assert_eq!(a.hits() + b.hits(), 8);
    }
}

#[tokio::test]
async fn all_endpoints_together_get_what_the_upstream_may() {
    let gate = Gate::new();
    let (a, b) = (held("h1", &gate).await, held("h1", &gate).await);
    let edge = limited(&format!("{a}, {b}"), "h1", "requests: 3, pending: 1").await;
    let first = asks(&edge.client("web"), 3);
    eventually("three to be there", async || (a.hits() + b.hits() == 3).then_some(())).await;
    let waiting = asks(&edge.client("web"), 1);
    edge.metric_becomes(PENDING, 1.0).await;
    assert_eq!(edge.get("/").await.status, 503, "no further one waits");
    gate.open();
    assert_eq!(all(first).await, [200; 3]);
    assert_eq!(all(waiting).await, [200]);
}

#[tokio::test]
async fn who_cannot_wait_is_told_when_to_come_again() {
    for (limits, later) in
        [("pending: 0, pending_timeout: 2500ms", "3"), ("pending_timeout: 200ms", "1")]
    {
        let gate = Gate::new();
        let app = held("h1", &gate).await;
        let limits = format!("requests_per_endpoint: 1, {limits}");
        let edge = limited(app.endpoint(), "h1", &limits).await;
        let first = asks(&edge.client("web"), 1);
        got(&app, 1).await;
        for (n, client) in PROTOCOLS.into_iter().enumerate() {
            let answer = edge.client("web").speaking(client).get("/").await;
            assert_eq!(
                (answer.status, answer.header("retry-after")),
                (503, Some(later)),
                "{limits}"
            );
            let line = edge.access_log(n + 1).await.pop().unwrap();
            let seen = (&line["cause"], &line["attempts"]);
            assert_eq!(seen, (&"upstream_overloaded".into(), &0.into()), "{line}");
        }
        gate.open();
        assert_eq!(all(first).await, [200]);
        assert_eq!(app.hits(), 1);
    }
}

#[tokio::test]
async fn who_leaves_waits_no_more() {
    let gate = Gate::new();
    let app = held("h1", &gate).await;
    let edge = limited(app.endpoint(), "h1", "requests_per_endpoint: 1, pending_timeout: 1m").await;
    let first = asks(&edge.client("web"), 1);
    got(&app, 1).await;
    let mut h1 = edge.raw("web").await;
    h1.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut h2 = edge.h2("web").await.start("GET", "/", &[], true).await;
    edge.metric_becomes(PENDING, 2.0).await;
    drop(h1);
    h2.reset();
    edge.metric_becomes(PENDING, 0.0).await;
    let is_left = |line: &Value| line["cause"] == "client_closed" && line["attempts"] == 0;
    edge.access_log_until("both to have left", |lines| {
        lines.iter().filter(|line| is_left(line)).count() == 2
    })
    .await;
    gate.open();
    assert_eq!(all(first).await, [200]);
    assert_eq!((edge.get("/").await.status, app.hits()), (200, 2));
}

#[tokio::test]
async fn what_is_in_flight_counts_over_a_reload() {
    let gate = Gate::new();
    let app = held("h1", &gate).await;
    let document = "upstreams: {app: {endpoints: [$app], limits: {requests: 2}}}";
    let mut edge = edge(document).with("app", &app).start().await;
    let first = asks(&edge.client("web"), 2);
    got(&app, 2).await;
    edge.reload(&document.replace("requests: 2", "requests: 2, pending: 9")).await;
    let waiting = asks(&edge.client("web"), 1);
    edge.metric_becomes(PENDING, 1.0).await;
    edge.reload(&document.replace("requests: 2", "requests: 3, pending: 9")).await;
    let more = asks(&edge.client("web"), 1);
    got(&app, 3).await;
    gate.open();
    for asked in [first, waiting, more] {
        assert!(all(asked).await.iter().all(|status| *status == 200));
    }
}

#[tokio::test]
async fn where_one_is_full_and_the_others_fail_the_request_waits() {
    let gate = Gate::new();
    let app = held("h1", &gate).await;
    let both = format!("{app}, \"http://127.0.0.1:1\"");
    let edge = limited(&both, "h1", "requests_per_endpoint: 1").await;
    let asked = asks(&edge.client("web"), 3);
    edge.metric_becomes(PENDING, 2.0).await;
    gate.open();
    assert_eq!(all(asked).await, [200; 3]);
}

#[tokio::test]
async fn a_retry_finds_room_or_waits_for_it() {
    let app = origin().handler(|_| Reply::new(503)).start().await;
    let document = "
        upstreams:
          app:
            endpoints: [$app]
            limits: {requests_per_endpoint: 1}
            retry: {attempts: 3, backoff: 1ms}
        ";
    let edge = edge(document).with("app", &app).start().await;
    assert!(all(asks(&edge.client("web"), 4)).await.iter().all(|status| *status == 503));
    assert_eq!(app.hits(), 12, "none of them was turned away");
}

/// An endpoint that answers one request after the other, each after so long.
async fn in_line(each: Duration) -> Origin {
    let free = Mutex::new(Instant::now());
    let handler = move |_: &_| {
        let mut free = free.lock().unwrap();
        *free = (*free).max(Instant::now()) + each;
        Reply::ok("done").after(free.saturating_duration_since(Instant::now()))
    };
    origin().handler(handler).start().await
}

#[tokio::test]
async fn an_endpoint_that_answers_one_by_one_is_found_out() {
    let app = in_line(Duration::from_millis(3)).await;
    let edge = limited(app.endpoint(), "h1", "adaptive: {least: 2}").await;
    let concurrency = format!(
        "falconer_upstream_endpoint_concurrency{{upstream=\"app\",endpoint=\"{}\"}}",
        app.endpoint()
    );
    assert!((edge.metric(&concurrency).await - 20.0).abs() < 1e-9);
    let client = edge.client("web");
    let load: Vec<_> = (0..40)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move {
                loop {
                    assert_eq!(client.get("/").await.status, 200);
                }
            })
        })
        .collect();
    eventually("hardly more at once than it can take", async || {
        (edge.metric(&concurrency).await <= 8.0).then_some(())
    })
    .await;
    for one in load {
        one.abort();
        assert!(one.await.is_err_and(|ended| ended.is_cancelled()), "each got its answers");
    }
}

#[tokio::test]
async fn streams_that_are_answered_take_no_room_of_those_that_are_not() {
    let feed = Feed::new();
    let events = Reply::new(200).header("Content-Type", "text/event-stream").fed_by(&feed);
    let app = origin().answer("/events", events).reply("/", "hello").start().await;
    let edge = limited(app.endpoint(), "h1", "adaptive: {least: 1, most: 3}").await;
    let mut open = Vec::new();
    for _ in 0..8 {
        let mut stream = edge.raw("web").await;
        stream.write("GET /events HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(stream.head().await.word(1), "200");
        open.push(stream);
    }
    for _ in 0..60 {
        assert_eq!(edge.get("/").await, "hello");
    }
}

#[tokio::test]
async fn who_comes_later_does_not_go_first() {
    let gate = Gate::new();
    let app = held("h1", &gate).await;
    let edge = limited(app.endpoint(), "h1", "requests: 1").await;
    let first = asks(&edge.client("web"), 1);
    got(&app, 1).await;
    let mut waiting = Vec::new();
    for n in 1..=5 {
        let client = edge.client("web");
        waiting.push(tokio::spawn(async move { client.get(&format!("/{n}")).await.status }));
        edge.metric_becomes(PENDING, f64::from(n)).await;
    }
    gate.open();
    assert_eq!(all(first).await, [200]);
    assert_eq!(all(waiting).await, [200; 5]);
    let order: Vec<_> = app.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(order, ["/", "/1", "/2", "/3", "/4", "/5"]);
}

#[tokio::test]
async fn a_request_that_meets_the_end_of_a_connection_waits_not_for_itself() {
    let last = || Reply::ok("hello").then_close();
    let app = origin().handler(move |_| last()).start().await;
    let edge =
        limited(app.endpoint(), "h1", "requests_per_endpoint: 1, pending_timeout: 30s").await;
    let client = edge.client("web");
    for _ in 0..30 {
        assert_eq!(client.get("/").await, "hello");
    }
}
