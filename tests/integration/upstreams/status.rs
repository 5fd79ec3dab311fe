//! How endpoints fare, as an operator sees it, and endpoints that an operator drains.

use crate::support::{Edge, Gate, Origin, Reply, edge, origin};
use serde_json::Value;

const DOCUMENT: &str = "
    upstreams:
      app:
        endpoints: [$a, {url: $b, weight: 2}]
        outlier: {consecutive_failures: 1, ejection: 1h}
      spare: {endpoints: [{url: $a, priority: 3}, \"http://nowhere.invalid:1\"]}
    routes: [{match: {path: /spare}, upstream: spare}, {upstream: app}]
    ";

async fn before(a: &Origin, b: &Origin) -> Edge {
    edge(DOCUMENT).with("a", a).with("b", b).start().await
}

async fn said(edge: &Edge, arguments: &[&str]) -> String {
    let ended = edge.command(arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    ended.said
}

#[tokio::test]
async fn every_endpoint_is_told_with_its_state_and_why() {
    let a = origin().reply("/", "hello").start().await;
    let b = origin().handler(|_| Reply::new(500)).start().await;
    let edge = before(&a, &b).await;
    for _ in 0..6 {
        edge.get("/").await;
    }
    let said = said(&edge, &["upstreams"]).await;
    let lines: Vec<_> = said.lines().collect();
    let [app, first, second, spare, third] = lines[..] else { panic!("{said}") };
    assert_eq!((app, spare), ("upstream app", "upstream spare"));
    let (a, b) = (a.endpoint(), b.endpoint());
    assert_eq!(first, format!("  {a}: serving; 5 requests, 0 in flight; weight 1, priority 0"));
    let out = format!("  {b}: taken out, an attempt failed; one request tries in 35");
    assert!(second.starts_with(&out), "{second}");
    assert_eq!(third, format!("  {a}: serving; 0 requests, 0 in flight; weight 1, priority 3"));

    let list = edge.client("admin").get("/api/upstreams").await;
    let list: Value = serde_json::from_str(&list.text()).unwrap();
    let second = &list[0]["endpoints"][1];
    let expected = (&"ejected".into(), &"an attempt failed".into());
    assert_eq!((&second["state"], &second["why"]), expected, "{list}");
    assert_eq!(list[1]["endpoints"][0]["state"], "serving", "another upstream, another judgement");
}

#[tokio::test]
async fn one_that_drains_finishes_what_it_has() {
    let gate = Gate::new();
    let a = origin().reply("/", "a").answer("/held", Reply::ok("late").behind(&gate)).start().await;
    let b = origin().reply("/", "b").answer("/held", Reply::ok("late").behind(&gate)).start().await;
    let mut edge = before(&a, &b).await;
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let client = edge.client("web");
            tokio::spawn(async move { client.get("/held").await })
        })
        .collect();
    b.until("both turns of it", |seen| seen.requests.len() == 2).await;
    let address = b.address().to_owned();
    let drained = said(&edge, &["upstreams", "--drain", "app", &address]).await;
    assert!(drained.contains("draining; 2 requests, 2 in flight"), "{drained}");
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "a");
    }
    // It holds over a reload.
    let changed = DOCUMENT.replace("1h", "2h");
    edge.reload(&changed).await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "a");
    }
    gate.open();
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), "late");
    }
    let resumed = said(&edge, &["upstreams", "--resume", "app", b.endpoint()]).await;
    assert!(resumed.contains(": serving; 2 requests, 0 in flight"), "{resumed}");
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(edge.get("/").await.text());
    }
    seen.sort();
    assert_eq!(seen, ["a", "b", "b"]);
}

#[tokio::test]
async fn weights_change_while_it_runs() {
    let (a, b) = (origin().reply("/", "a").start().await, origin().reply("/", "b").start().await);
    let mut edge = before(&a, &b).await;
    let shares = async |edge: &Edge| {
        let mut seen = Vec::new();
        for _ in 0..12 {
            seen.push(edge.get("/").await.text());
        }
        seen.iter().filter(|seen| *seen == "b").count()
    };
    assert_eq!(shares(&edge).await, 8);
    let weigh = async |edge: &Edge, weight| {
        said(edge, &["upstreams", "--weight", "app", b.endpoint(), weight]).await
    };
    let shown = weigh(&edge, "3").await;
    assert!(shown.contains("weight 3, priority 0"), "{shown}");
    assert_eq!(shares(&edge).await, 9);
    // It holds over a reload.
    edge.reload(&DOCUMENT.replace("1h", "2h")).await;
    assert_eq!(shares(&edge).await, 9);
    weigh(&edge, "0").await;
    assert_eq!(shares(&edge).await, 0);
    let shown = weigh(&edge, "document").await;
    assert!(shown.contains("weight 2, priority 0"), "{shown}");
    assert_eq!(shares(&edge).await, 8);

    for weight in ["-1", "65536", "many"] {
        let ended = edge.command(&["upstreams", "--weight=app", b.endpoint(), weight]).await;
        assert_ne!(ended.code, 0, "{weight}");
        let query = format!("upstream=app&endpoint={}&weight={weight}", b.endpoint());
        let admin = edge.client("admin");
        let answer = admin.request("POST", &format!("/api/upstreams/weight?{query}")).send().await;
        assert_eq!(answer.status, 400, "{weight}");
        assert!(answer.text().contains("weight=N from 0 to 65535"), "{answer:?}");
    }
}

#[tokio::test]
async fn where_all_drain_nobody_is_asked() {
    let (a, b) = (origin().reply("/", "a").start().await, origin().reply("/", "b").start().await);
    let edge = before(&a, &b).await;
    for endpoint in [a.endpoint(), b.endpoint()] {
        said(&edge, &["upstreams", "--drain", "app", endpoint]).await;
    }
    let answer = edge.get("/").await;
    assert_eq!(answer.status, 503, "whatever `panic` says: an operator knows best");
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let a = origin().reply("/", "a").start().await;
    let edge = before(&a, &a).await;
    for (arguments, why) in [
        (["--drain", "none", "x"], "there is no upstream `none`"),
        (["--resume", "app", "http://x & y"], "the upstream `app` has no endpoint `http://x & y`"),
    ] {
        let ended = edge.command(&[&["upstreams"], &arguments[..]].concat()).await;
        assert_eq!(ended.code, 1);
        assert!(ended.complained.contains(why), "{}", ended.complained);
    }
    let admin = edge.client("admin");
    for query in ["", "?upstream=app", "?upstream=app&endpoint=x&y=z"] {
        let answer = admin.request("POST", &format!("/api/upstreams/drain{query}")).send().await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(admin.get("/api/upstreams/drain").await.status, 405);
    assert_eq!(admin.request("POST", "/api/upstreams").send().await.status, 405);
}
