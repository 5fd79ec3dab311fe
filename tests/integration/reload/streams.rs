//! What a reload does not change is not touched.

use crate::support::{
    Client, Edge, Feed, Flow, Gate, Origin, Reply, edge, eventually, origin, within,
};
use futures::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A document that has, besides what stays, something that is new with each number.
fn document(n: usize) -> String {
    let level = ["info", "warn"][n % 2];
    format!(
        "
log: {{level: {level}}}
listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
  secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}}}
  other-{n}: {{address: \"127.0.0.1:0\"}}
certificates:
  site: {{self_signed: [localhost]}}
  other: {{self_signed: [\"{n}.example\"]}}
upstreams:
  app: {{endpoints: [$app]}}
  other-{n}: {{endpoints: [\"http://127.0.0.1:{port}\"]}}
routes:
  - {{name: app, upstream: app}}
  - {{name: other-{n}, match: {{path: /other-{n}}}, upstream: other-{n}}}
  - {{name: changed, match: {{path: /changed}}, reply: {{status: 200, body: \"{n}\"}}}}
",
        port = n + 1
    )
}

async fn start(origin: &Origin) -> Edge {
    edge(&document(0)).with("app", origin).start().await
}

fn clients(edge: &Edge) -> [Client; 4] {
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    [clear.clone(), clear.h2(), secure.clone(), secure.h2()]
}

async fn answers(flow: &mut Flow, feed: &Feed, text: &'static str) {
    feed.send(text);
    assert_eq!(flow.bytes(text.len()).await, text.as_bytes());
}

#[tokio::test]
async fn streams_of_every_kind_live_through_reloads() {
    let feeds: Vec<_> = (0..4).map(|_| Feed::new()).collect();
    let mut app = origin();
    for (n, feed) in feeds.iter().enumerate() {
        app = app.answer(&format!("/feed-{n}"), Reply::new(200).fed_by(feed));
    }
    let app = app.answer("/ws", Reply::websocket()).start().await;
    let mut edge = start(&app).await;
    let mut flows = Vec::new();
    for (n, client) in clients(&edge).iter().enumerate() {
        flows.push(client.request("GET", &format!("/feed-{n}")).open().await);
        assert_eq!(flows[n].head().await.status, 200);
        answers(&mut flows[n], &feeds[n], "begun").await;
    }
    let mut sockets = Vec::new();
    for client in [edge.client("web"), edge.client("secure").tls()] {
        sockets.push(client.websocket("/ws", &[]).await.unwrap());
    }
    for n in 1..6 {
        edge.reload(&document(n)).await;
        assert_eq!(edge.get("/changed").await, n.to_string().as_str());
        for (flow, feed) in flows.iter_mut().zip(&feeds) {
            answers(flow, feed, "goes on").await;
        }
        for socket in &mut sockets {
            let text = Message::text(format!("after {n}"));
            socket.send(text.clone()).await.unwrap();
            assert_eq!(within("an echo", socket.next()).await.unwrap().unwrap(), text);
        }
    }
    assert_eq!(app.requests().iter().filter(|request| request.cancelled).count(), 0);
}

#[tokio::test]
async fn an_exchange_in_flight_finishes_with_the_document_it_began_with() {
    let gate = Gate::new();
    let app = origin().answer("/", Reply::ok("late").behind(&gate)).start().await;
    let document = |name: &str| {
        format!(
            "upstreams: {{app: {{endpoints: [$app]}}}}
routes: [{{name: {name}, upstream: app, filters: [headers: {{response: {{set: {{x-by: {name}}}}}}}]}}]"
        )
    };
    let mut edge = edge(&document("first")).with("app", &app).start().await;
    let client = edge.client("web");
    let late = tokio::spawn(async move { client.get("/").await });
    app.until("the request", |seen| seen.requests.len() == 1).await;
    edge.reload(&document("second")).await;
    gate.open();
    let late = within("the answer", late).await.unwrap();
    assert_eq!((late.text().as_str(), late.header("x-by")), ("late", Some("first")));
    assert_eq!(edge.get("/").await.header("x-by"), Some("second"));
    let line = edge.logged("it", |line| line["route"] == "first").await;
    assert_eq!(line["status"], 200);
}

#[tokio::test]
async fn connections_on_both_sides_and_counters_go_on() {
    let app = origin().reply("/", "hello").start().await;
    let mut edge = start(&app).await;
    let mut raw = edge.raw("web").await;
    let mut h2 = edge.h2("web").await;
    let mut secure = edge.client("secure").tls().raw().await;
    for n in 1..6 {
        for raw in [&mut raw, &mut secure] {
            raw.write(GET).await;
            let response = raw.response().await;
            assert_eq!(
                (response.text().as_str(), response.header("connection")),
                ("hello", Some("keep-alive"))
            );
        }
        assert_eq!(h2.get("/").await, "hello");
        edge.reload(&document(n)).await;
    }
    // Each of the three may once have been faster than the pool was given back what it needs.
    assert!(app.connections() <= 3, "the pool is the process's");
    let counted = "falconer_route_requests_total{route=\"app\",class=\"2xx\"}";
    edge.metric_becomes(counted, 15.0).await;
    edge.metric_becomes("falconer_upstream_attempts_total{upstream=\"app\"}", 15.0).await;
    // Of what is gone, no series is left once its grace is over.
    eventually("the series to end", async || {
        let metrics = edge.metrics().await;
        (!metrics.contains("other-0") && !metrics.contains("other-4")).then_some(())
    })
    .await;
    assert!(edge.metrics().await.contains("other-5"));
}
