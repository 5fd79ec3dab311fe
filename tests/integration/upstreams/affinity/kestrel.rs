//! The real client of SignalR before instances of a real hub, by all its transports.

use super::{Edge, edge};
use crate::support::{Kestrel, eventually, is_chaos, node, own_kestrels, start_node};
use serde_json::Value;
use std::collections::HashSet;
use std::time::{Duration, Instant};

const DOCUMENT: &str = "
    upstreams: {chat: {endpoints: [\"$a\", \"$b\", \"$c\"], affinity: {signalr: {}}}}
    ";

/// How many connections, in short and in full.
fn connections() -> usize {
    if is_chaos() { 1000 } else { 60 }
}

/// What the clients of an edge report, when all of them are through.
async fn talk(edge: &Edge, connections: usize) -> Value {
    let arguments = [edge.url("/hub"), connections.to_string()];
    let arguments = arguments.each_ref().map(String::as_str);
    report(&node("signalr_many.mjs", &arguments).await.well())
}

fn report(said: &str) -> Value {
    serde_json::from_str(said.lines().last().unwrap()).unwrap()
}

/// How many requests met an instance that does not know their connection. One that knew it answers
/// so too, when a client has ended it: the client of long polling says farewell twice.
async fn misled(edge: &Edge) -> usize {
    let lines = edge.access_log(1).await;
    let is_known = |line: &Value| line["status"] != 404;
    let known: HashSet<_> = lines.iter().filter(|line| is_known(line)).map(place).collect();
    lines.iter().filter(|line| !is_known(line) && !known.contains(&place(line))).count()
}

/// A connection and an instance that was asked for it.
fn place(line: &Value) -> (&str, &str) {
    let query = line["query"].as_str().unwrap_or_default();
    let id = query.split('&').find_map(|pair| pair.strip_prefix("id="));
    (id.unwrap_or_default(), line["endpoint"].as_str().unwrap_or_default())
}

async fn before([a, b, c]: [&Kestrel; 3]) -> Edge {
    edge(DOCUMENT).with("a", a.url()).with("b", b.url()).with("c", c.url()).start().await
}

#[tokio::test]
async fn every_connection_is_whole() {
    let Some([a, b, c]) = own_kestrels().await else { return };
    let edge = before([&a, &b, &c]).await;
    let report = talk(&edge, connections()).await;
    println!("affinity by SignalR, three instances: {report}");
    assert_eq!(report["whole"], connections(), "{report}");
    let instances = report["instances"].as_object().unwrap();
    assert_eq!((instances.len(), report["transports"].as_object().unwrap().len()), (3, 3));
    assert_eq!(misled(&edge).await, 0);
    let learned = "falconer_upstream_affinity_total{outcome=\"new\"}";
    assert!((edge.metric(learned).await - connections() as f64).abs() < 0.5);
}

#[tokio::test]
async fn every_connection_is_whole_while_an_instance_is_drained_and_replaced() {
    let Some([a, b, c]) = own_kestrels().await else { return };
    let Some([another, ..]) = own_kestrels::<1>().await else { return };
    let mut edge = before([&a, &b, &c]).await;
    // A connection lasts for seconds, so that there are always some everywhere.
    let count = connections().max(240);
    let arguments = [edge.url("/hub"), count.to_string(), "60".to_owned(), "40".to_owned()];
    let clients = start_node("signalr_many.mjs", &arguments.each_ref().map(String::as_str));
    clients.stdout().line(&format!("through {}", count.div_ceil(10) * 2)).await;

    let drained = edge.command(&["upstreams", "--drain", "chat", a.url(), "--within", "5m"]).await;
    assert!(drained.said.contains("keeps its clients"), "{}", drained.said);
    let (mut last, mut since) = (String::new(), Instant::now());
    eventually("the instance to have no clients", async || {
        let list = edge.client("admin").get("/api/upstreams").await.json();
        let instance = &list[0]["endpoints"][0];
        let now = format!("{} {}", instance["requests"], instance["in_flight"]);
        if now != last {
            (last, since) = (now, Instant::now());
        }
        // A client that is there asks for something far more often.
        (instance["in_flight"] == 0 && since.elapsed() > Duration::from_secs(3)).then_some(())
    })
    .await;
    drop(a);
    edge.reload(&DOCUMENT.replace("$a", another.url())).await;

    let report = report(&ended(clients.stdout()).await);
    println!("while an instance was drained and replaced: {report}");
    assert_eq!(report["whole"], count, "{report}");
    let instances = report["instances"].as_object().unwrap().len();
    assert_eq!(instances, 4, "the other one got some too: {report}");
    assert_eq!(misled(&edge).await, 0);
}

/// All that clients said; a thousand of them take their time.
async fn ended(stdout: &crate::support::Output) -> String {
    let whole = tokio::time::timeout(Duration::from_secs(180), stdout.whole());
    whole.await.expect("the clients are through within three minutes")
}

#[tokio::test]
async fn without_affinity_most_connections_fail() {
    let Some([a, b]) = own_kestrels().await else { return };
    let document = "upstreams: {chat: {endpoints: [\"$a\", \"$b\"]}}";
    let edge = edge(document).with("a", a.url()).with("b", b.url()).start().await;
    let report = talk(&edge, 60).await;
    println!("round robin without affinity, two instances: {report}");
    assert!(report["whole"].as_u64().unwrap() < 30, "{report}");
    assert!(misled(&edge).await > 0);
}
