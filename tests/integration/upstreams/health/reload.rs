//! What becomes of checks and their results when the document changes.

use super::{AGAIN, FAILED, HEALTHY, Mood, PASSED, UNHEALTHY};
use crate::support::{Edge, Gate, Origin, Reply, edge, eventually, origin, paced};
use std::time::Duration;

/// One check a test: the next one comes an hour later.
const ONCE: &str = "upstreams: {app: {endpoints: [$app], health: {path: /, interval: 1h}}}";
const OFTEN: &str = "upstreams: {app: {endpoints: [$app], health: {path: /, interval: 20ms}}}";

async fn start(document: &str, app: &Origin) -> Edge {
    edge(document).with("app", app).start().await
}

#[tokio::test]
async fn results_outlive_a_reload_and_nobody_is_asked_again() {
    for (status, healthy) in [(200, 1.0), (500, 0.0)] {
        let app = origin().status("/", status).start().await;
        let mut edge = start(ONCE, &app).await;
        for document in [
            // The upstream is the same; it changes in what does not matter to checks; it is joined.
            "$once\nroutes: [{name: other, upstream: app}]",
            "upstreams: {app: {endpoints: [$app], timeouts: {response: 1s}, \
             health: {path: /, interval: 1h}}}",
            "upstreams: {app: {endpoints: [$app, $more], health: {path: /, interval: 1h}}}",
        ] {
            let more = app.endpoint().replace("127.0.0.1", "127.0.0.2");
            let document = document.replace("$once", ONCE).replace("$more", &more);
            edge.reload(&document).await;
            let series = format!("{},endpoint=\"{app}\"}}", HEALTHY.trim_end_matches('}'));
            assert_eq!((app.hits(), edge.metric(&series).await), (1, healthy), "{document}");
        }
        let said = edge.stderr().text();
        assert_eq!(said.matches(AGAIN).count(), 0);
    }
}

#[tokio::test]
async fn a_changed_check_is_made_at_once_and_decides_alone() {
    let app = origin().status("/", 500).status("/better", 200).start().await;
    let mut edge = start(ONCE, &app).await;
    assert_eq!(edge.metric(HEALTHY).await, 0.0);
    let better = "upstreams: {app: {endpoints: [$app], \
                  health: {path: /better, interval: 1h, healthy_after: 9}}}";
    edge.reload(better).await;
    assert_eq!((edge.metric(HEALTHY).await, app.hits()), (1.0, 2), "before the reload is told");
    edge.stderr().line(AGAIN).await;
    assert_eq!((edge.metric(PASSED).await, edge.metric(FAILED).await), (1.0, 1.0));
    edge.reload(ONCE).await;
    assert_eq!((edge.metric(HEALTHY).await, app.hits()), (0.0, 3));
}

#[tokio::test]
async fn a_new_check_does_not_interrupt_who_served_without() {
    let gate = Gate::new();
    let held = Reply::ok("ready").behind(&gate);
    let app = origin().answer("/healthz", held).reply("/", "hello").start().await;
    let mut edge = start("upstreams: {app: {endpoints: [$app]}}", &app).await;
    assert!(!edge.metrics().await.contains("falconer_upstream_endpoint_healthy"));
    assert_eq!(edge.get("/").await, "hello");
    let document = "
        upstreams: {app: {endpoints: [$app], health: {path: /healthz, interval: 1h, timeout: 1m}}}
        ";
    edge.reload(document).await;
    assert_eq!((edge.metric(HEALTHY).await, edge.metric(PASSED).await), (1.0, 0.0));
    assert_eq!(edge.get("/").await, "hello");
    gate.open();
    edge.metric_becomes(PASSED, 1.0).await;
}

#[tokio::test]
async fn without_the_key_checks_end_and_what_was_unhealthy_serves() {
    let mood = Mood::new();
    let app = mood.of(origin()).start().await;
    mood.is(500);
    let mut edge = start(OFTEN, &app).await;
    edge.stderr().line(UNHEALTHY).await;
    edge.reload("upstreams: {app: {endpoints: [$app]}}").await;
    assert!(!edge.metrics().await.contains("falconer_upstream_endpoint_healthy"));
    silent(&app, "the key is gone").await;

    // Again, and then without the upstream.
    edge.reload(OFTEN).await;
    let asked = app.hits();
    app.until("further checks", |seen| seen.requests.len() > asked + 3).await;
    edge.reload("routes: [reply: {}]").await;
    silent(&app, "the upstream is gone").await;
}

#[tokio::test]
async fn an_endpoint_that_leaves_is_asked_no_more() {
    let (app, other) = (origin().status("/", 200).start().await, origin().start().await);
    let mut edge = edge(OFTEN).with("app", &app).with("other", &other).start().await;
    app.until("some checks", |seen| seen.requests.len() > 2).await;
    edge.reload(&OFTEN.replace("$app", "$other")).await;
    silent(&app, "it left").await;
    let asked = other.hits();
    other.until("further checks", |seen| seen.requests.len() > asked + 3).await;
}

#[tokio::test]
async fn what_is_only_planned_asks_nobody_and_forgets_nothing() {
    let app = origin().status("/", 500).status("/better", 200).start().await;
    let edge = start(ONCE, &app).await;
    edge.rewrite(&ONCE.replace("path: /", "path: /better"));
    let planned = edge.command(&["reload", "--dry-run"]).await;
    assert_eq!(planned.code, 0, "{}", planned.complained);
    assert_eq!((edge.metric(HEALTHY).await, app.hits()), (0.0, 1));
    let rejected = {
        edge.rewrite(&format!("{}\nwhat: 1", ONCE.replace("path: /", "path: /better")));
        edge.command(&["reload"]).await
    };
    assert_eq!(rejected.code, 2, "{}", rejected.complained);
    assert_eq!((edge.metric(HEALTHY).await, app.hits()), (0.0, 1));
}

#[tokio::test]
async fn a_stream_of_before_does_not_go_on_with_the_checks_of_before() {
    let app = origin().answer("/ws", Reply::websocket()).status("/", 200).status("/new", 200);
    let app = app.start().await;
    let mut edge = start(OFTEN, &app).await;
    // It holds what it stands on.
    let _socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
    edge.reload(&OFTEN.replace("path: /", "path: /new")).await;
    only_new(&app).await;
}

#[tokio::test]
async fn a_process_that_another_one_replaced_asks_nobody() {
    let app = origin().answer("/ws", Reply::websocket()).status("/", 200).status("/new", 200);
    let app = app.start().await;
    let mut edge = start(OFTEN, &app).await;
    // It keeps the process before, which a reload of the next one lets go.
    let _socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
    edge.upgrade().await;
    edge.reload(&OFTEN.replace("path: /", "path: /new")).await;
    only_new(&app).await;
}

/// What is asked for is soon that of the last document alone.
async fn only_new(app: &Origin) {
    eventually("nothing but new checks", async || {
        let before = app.hits();
        app.until("further checks", |seen| seen.requests.len() > before + 10).await;
        let asked = app.requests();
        asked[before..].iter().all(|request| request.target == "/new").then_some(())
    })
    .await;
}

/// No request comes any more: far longer than it takes to the next check.
async fn silent(app: &Origin, why: &str) {
    let mut asked = 0;
    paced(2, Duration::from_millis(300), async |n| match n {
        0 => asked = app.hits(),
        _ => assert!(app.hits() <= asked + 1, "{why}: {} and then {}", asked, app.hits()),
    })
    .await;
}
