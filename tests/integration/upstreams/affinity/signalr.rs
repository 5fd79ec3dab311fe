//! Connections of SignalR stay where they were negotiated, without cookies.

use super::{Edge, edge, outcomes};
use crate::support::{Feed, Origin, Received, Reply, origin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A hub that knows its own connections only; it negotiates in this version of the protocol.
async fn hub(name: &'static str, version: u8) -> Origin {
    let negotiated = Arc::new(AtomicUsize::new(0));
    origin().handler(move |request| talk(name, version, &negotiated, request)).start().await
}

fn talk(name: &str, version: u8, negotiated: &AtomicUsize, request: &Received) -> Reply {
    if request.path().ends_with("/negotiate") {
        let number = negotiated.fetch_add(1, Ordering::Relaxed);
        let body = match version {
            0 => format!("{{\"connectionId\":\"{name}-{number}\",\"availableTransports\":[]}}"),
            _ => format!(
                "{{\"negotiateVersion\":1,\"connectionId\":\"public\",\
                \"connectionToken\":\"{name}-{number}\",\"availableTransports\":[]}}"
            ),
        };
        return Reply::ok(body).header("Content-Type", "application/json");
    }
    match request.target.split_once("id=") {
        Some((_, id)) if id.starts_with(name) => Reply::ok(name.to_owned()),
        Some(_) => Reply::new(404).body("No Connection with that ID"),
        None => Reply::ok("anybody"),
    }
}

const DOCUMENT: &str = "
    listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
    upstreams: {app: {endpoints: [$a, $b], affinity: {signalr: $signalr}}}
    ";

async fn before(a: &Origin, b: &Origin, signalr: &str) -> Edge {
    edge(DOCUMENT).with("a", a).with("b", b).with("signalr", signalr).start().await
}

/// Negotiates a connection, and gives its name.
async fn negotiate(edge: &Edge, protocol: &str) -> String {
    let client = edge.client("web").speaking(protocol);
    let negotiation = client.request("POST", "/hub/negotiate?negotiateVersion=1");
    let answer = negotiation.header("Accept-Encoding", "gzip").send().await.json();
    let name = answer.get("connectionToken").unwrap_or(&answer["connectionId"]);
    name.as_str().unwrap().to_owned()
}

async fn ask(edge: &Edge, id: &str) -> u16 {
    edge.get(&format!("/hub?transport=x&id={id}")).await.status
}

#[tokio::test]
async fn a_connection_stays_where_it_was_negotiated() {
    for version in [0, 1] {
        let (a, b) = (hub("a", version).await, hub("b", version).await);
        let edge = before(&a, &b, "{}").await;
        let mut names = Vec::new();
        for protocol in super::PROTOCOLS {
            for _ in 0..4 {
                names.push(negotiate(&edge, protocol).await);
            }
        }
        assert_eq!(names.iter().filter(|name| name.starts_with('a')).count(), 4);
        for name in &names {
            for _ in 0..3 {
                assert_eq!(ask(&edge, name).await, 200, "{name}");
            }
        }
        assert_eq!(outcomes(&edge).await, [24.0, 8.0, 0.0]);
    }
}

#[tokio::test]
async fn a_negotiation_is_asked_for_as_it_is_and_nothing_else() {
    let (a, b) = (hub("a", 1).await, hub("b", 1).await);
    let edge = before(&a, &b, "{}").await;
    negotiate(&edge, "h1").await;
    assert_eq!(a.requests()[0].header("accept-encoding"), None);
    edge.request("GET", "/hub").header("Accept-Encoding", "gzip").send().await;
    assert_eq!(b.requests()[0].header("accept-encoding"), Some("gzip"));
}

#[tokio::test]
async fn connections_stay_over_a_reload_of_their_upstream() {
    let (a, b) = (hub("a", 1).await, hub("b", 1).await);
    let mut edge = before(&a, &b, "{}").await;
    let names = [negotiate(&edge, "h1").await, negotiate(&edge, "h1").await];
    for document in [
        DOCUMENT.replace("[$a, $b]", "[$b, $a]"),
        DOCUMENT.replace("$signalr", "{capacity: 50000, forget_after: 1h}"),
    ] {
        edge.reload(&document).await;
        for name in &names {
            assert_eq!(ask(&edge, name).await, 200, "{name}");
            assert_eq!(ask(&edge, name).await, 200, "{name}");
        }
    }
}

#[tokio::test]
async fn an_unknown_id_goes_anywhere() {
    for failure in ["redistribute", "reply_503"] {
        let (a, b) = (hub("a", 1).await, hub("b", 1).await);
        let document = DOCUMENT.replace("signalr: $signalr", "signalr: {}, failure: $failure");
        let edge = edge(&document).with("a", &a).with("b", &b).with("failure", failure);
        let edge = edge.start().await;
        for path in ["/goods?id=7", "/goods?id=", "/goods"] {
            let (before, elsewhere) = (a.hits(), b.hits());
            for _ in 0..4 {
                edge.get(path).await;
            }
            assert_eq!((a.hits() - before, b.hits() - elsewhere), (2, 2), "{path}");
        }
        assert_eq!(outcomes(&edge).await, [0.0; 3]);
    }
}

#[tokio::test]
async fn the_connections_of_an_endpoint_that_is_gone_are_lost() {
    for (failure, status) in [("redistribute", 404), ("reply_503", 503)] {
        let (a, b) = (hub("a", 1).await, hub("b", 1).await);
        let document = DOCUMENT.replace("signalr: $signalr", "signalr: {}, failure: $failure");
        let edge = edge(&document).with("a", &a).with("b", &b).with("failure", failure);
        let mut edge = edge.start().await;
        let names = [negotiate(&edge, "h1").await, negotiate(&edge, "h1").await];
        let lost = names.iter().find(|name| name.starts_with('a')).unwrap();
        edge.reload(&document.replace("[$a, $b]", "[$b]")).await;
        assert_eq!(ask(&edge, lost).await, status);
        assert_eq!(outcomes(&edge).await, [0.0, 2.0, 1.0]);
    }
}

#[tokio::test]
async fn what_is_no_negotiation_teaches_nothing() {
    let body = "{\"connectionToken\":\"secret\"}";
    let json = |reply: Reply| reply.header("Content-Type", "application/json");
    let elsewhere = "{\"url\":\"https://x.example\",\"connectionToken\":\"secret\"}";
    for (path, reply) in [
        ("/hub/negotiated", json(Reply::ok(body))),
        ("/hub/negotiate", Reply::ok(body)),
        ("/hub/negotiate", json(Reply::new(201).body(body))),
        ("/hub/negotiate", json(Reply::ok(body)).header("Content-Encoding", "br")),
        ("/hub/negotiate", json(Reply::ok(elsewhere))),
        ("/hub/negotiate", json(Reply::ok(" ".repeat(17_000) + body))),
    ] {
        let a = origin().answer(path, reply.clone()).start().await;
        let edge = before(&a, &a, "{}").await;
        let answer = edge.request("POST", path).send().await;
        assert!(answer.text().contains("secret"), "it passes");
        edge.get("/hub?id=secret").await;
        assert_eq!(outcomes(&edge).await, [0.0; 3], "{path}");
    }
}

#[tokio::test]
async fn a_negotiation_is_not_held_back() {
    let feed = Feed::new();
    let reply = Reply::new(200).header("Content-Type", "application/json").fed_by(&feed);
    let a = origin().answer("/negotiate", reply).start().await;
    let edge = before(&a, &a, "{}").await;
    let mut negotiation = edge.request("POST", "/negotiate").open().await;
    feed.send("{\"connectionToken\":");
    assert_eq!(negotiation.head().await.status, 200);
    assert_eq!(negotiation.piece().await, Some(Ok("{\"connectionToken\":".into())));
    feed.send("\"secret\"}");
    assert_eq!(negotiation.piece().await, Some(Ok("\"secret\"}".into())));
    // It is known before the response has ended.
    edge.get("/hub?id=secret").await;
    assert_eq!(outcomes(&edge).await, [1.0, 1.0, 0.0]);
}
