//! How an edge ends: what is open is finished, and then it is gone.

use crate::support::{
    Client, Edge, Feed, Gate, Origin, Port, Reply, Signal, edge, eventually, origin, within,
};
use futures::{SinkExt, StreamExt};
use std::io::ErrorKind;
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Longer than any test waits.
const LONG: &str = "drain: 120s, idle_grace: 120s";

/// What could end a connection besides takes as long.
const LIMITS: &str = "{header_timeout: 120s, handshake_timeout: 120s, keep_alive: 120s}";

/// An edge before an origin, in clear text and over TLS, with these times to end in.
async fn before(origin: &Origin, times: &str) -> Edge {
    edge(&format!(
        "
        server: {{{times}}}
        listeners:
          web: {{address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {LIMITS}}}
          secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}, limits: {LIMITS}}}
        certificates: {{site: {{self_signed: [localhost]}}}}
        upstreams: {{app: {{endpoints: [$app]}}}}
        "
    ))
    .with("app", origin)
    .start()
    .await
}

fn clients(edge: &Edge) -> [Client; 4] {
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    [clear.clone(), clear.h2(), secure.clone(), secure.h2()]
}

/// Tells the edge to end, and waits until it has heard.
async fn drain(edge: &Edge) {
    edge.signal(Signal::SIGTERM);
    edge.stderr().line("draining").await;
}

/// Waits for a good end that came before `drain` was over.
async fn leaves_well(edge: &mut Edge) {
    assert_eq!(edge.wait_exit().await, 0);
    let said = edge.stderr().whole().await;
    assert!(said.contains(" drained"), "{said}");
}

#[tokio::test]
async fn an_answer_in_flight_is_completed_on_either_signal() {
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let gate = Gate::new();
        let origin = origin().answer("/", Reply::ok("late").behind(&gate)).start().await;
        let mut edge = before(&origin, LONG).await;
        let clients = clients(&edge);
        let waiting = clients.map(|client| tokio::spawn(async move { client.get("/").await }));
        origin.until("all requests", |seen| seen.requests.len() == 4).await;

        edge.signal(signal);
        edge.stderr().line("draining").await;
        gate.open();
        for answer in waiting {
            let answer = within("an answer", answer).await.unwrap();
            assert_eq!(answer, "late", "{answer:?}");
            if answer.version == "HTTP/1.1" {
                assert_eq!(answer.header("connection"), Some("close"), "{answer:?}");
            }
        }
        leaves_well(&mut edge).await;
        assert_eq!(edge.access_log(4).await.len(), 4, "what ended last is logged too");
    }
}

#[tokio::test]
async fn an_answer_that_has_begun_is_completed() {
    let feed = Feed::new();
    let origin = origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
    let mut edge = before(&origin, "drain: 120s, idle_grace: 100ms").await;
    feed.send("one");
    let mut flows = Vec::new();
    for client in clients(&edge) {
        let mut flow = client.request("GET", "/").open().await;
        assert_eq!(flow.head().await.status, 200);
        assert_eq!(flow.bytes(3).await, b"one");
        flows.push(flow);
    }

    drain(&edge).await;
    feed.send("two");
    for flow in &mut flows {
        assert_eq!(flow.bytes(3).await, b"two");
    }
    feed.end();
    for flow in &mut flows {
        assert!(flow.piece().await.is_none(), "a proper end");
    }
    drop(flows);
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn a_slow_reader_gets_the_whole_of_a_large_answer() {
    let body = "x".repeat(8 << 20);
    let origin = origin().reply("/", &body).start().await;
    let mut edge = before(&origin, "drain: 120s, idle_grace: 50ms").await;
    let mut flows = Vec::new();
    for client in clients(&edge) {
        let mut flow = client.request("GET", "/").open().await;
        assert_eq!(flow.head().await.status, 200);
        flows.push(flow);
    }

    drain(&edge).await;
    for flow in &mut flows {
        let mut length = 0;
        flow.rest(|piece| length += piece.len()).await.expect("a proper end");
        assert_eq!(length, body.len());
    }
    drop(flows);
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn new_connections_are_refused_while_what_is_open_goes_on() {
    let gate = Gate::new();
    let origin = origin().answer("/", Reply::ok("late").behind(&gate)).start().await;
    let mut edge = before(&origin, LONG).await;
    let client = edge.client("web");
    let waiting = tokio::spawn(async move { client.get("/").await });
    origin.until("the request", |seen| seen.requests.len() == 1).await;
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);

    drain(&edge).await;
    for listener in ["web", "secure"] {
        let client = edge.client(listener);
        // One whose handshake meets the end of the listener is reset instead.
        let refused = async || {
            let error = client.connect().await.err()?;
            (error.kind() == ErrorKind::ConnectionRefused).then_some(())
        };
        eventually("connections to be refused", refused).await;
    }
    // Whoever spreads the load sees it, and whoever watches the process still sees it live.
    assert_eq!(edge.client("admin").get("/readyz").await.status, 503);
    assert_eq!(edge.client("admin").get("/healthz").await.status, 200);
    assert_eq!(edge.metric("falconer_route_requests_in_flight").await, 1.0);

    gate.open();
    assert_eq!(waiting.await.unwrap(), "late");
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn load_balancers_are_told_before_anything_is_closed() {
    let origin = origin().reply("/", "hello").start().await;
    let mut edge = before(&origin, "shutdown_delay: 3s, idle_grace: 0s").await;
    let mut kept = edge.raw("web").await;
    edge.signal(Signal::SIGQUIT);
    edge.stderr().line("stopping: not ready any more, still serving").await;
    assert_eq!(edge.client("admin").get("/readyz").await.status, 503);
    for client in clients(&edge) {
        assert_eq!(client.get("/").await, "hello");
    }
    kept.write(GET).await;
    assert_eq!(kept.response().await.header("connection"), Some("keep-alive"));
    edge.stderr().line("draining").await;
    kept.ended().await;
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn a_request_on_an_idle_connection_is_answered_within_the_grace() {
    let origin = origin().reply("/", "hello").start().await;
    let mut edge = before(&origin, LONG).await;
    let mut raws = [edge.raw("web").await, edge.client("secure").tls().raw().await];
    for raw in &mut raws {
        raw.write(GET).await;
        assert_eq!(raw.response().await.header("connection"), Some("keep-alive"));
    }
    let mut fresh = edge.raw("web").await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 2.0).await;

    drain(&edge).await;
    for raw in raws.iter_mut().chain([&mut fresh]) {
        raw.write(GET).await;
        let answer = raw.response().await;
        assert_eq!((answer.text().as_str(), answer.header("connection")), ("hello", Some("close")));
        raw.closed().await;
    }
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn idle_connections_are_closed_when_the_grace_is_over() {
    let origin = origin().reply("/", "hello").start().await;
    let mut edge = before(&origin, "drain: 120s, idle_grace: 200ms").await;
    let secure = edge.client("secure");
    let mut used = [edge.raw("web").await, secure.clone().tls().raw().await];
    for raw in &mut used {
        raw.write(GET).await;
        assert_eq!(raw.response().await, "hello");
    }
    let mut h2s = [edge.h2("web").await, secure.clone().tls().open_h2().await];
    for h2 in &mut h2s {
        assert_eq!(h2.get("/").await, "hello");
    }
    // None of these ever asked: fresh, in the middle of the preface, before and after a handshake.
    let mut fresh = [
        edge.raw("web").await,
        edge.raw("web").await,
        edge.raw("secure").await,
        secure.clone().tls().raw().await,
        secure.clone().with_tls(|tls| tls.alpn = vec!["h2"]).raw().await,
    ];
    edge.metric_becomes("falconer_listener_connections", 1.0 + 4.0 + 5.0).await;

    drain(&edge).await;
    for raw in &mut used {
        raw.closed().await;
    }
    for raw in &mut fresh {
        raw.rest().await;
    }
    for h2 in &mut h2s {
        h2.left().await.expect("GOAWAY without an error");
    }
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn h2_takes_no_new_streams_and_finishes_the_open_ones() {
    let gate = Gate::new();
    let origin =
        origin().answer("/late", Reply::ok("late").behind(&gate)).reply("/", "hello").start().await;
    let mut edge = before(&origin, LONG).await;
    let mut h2s = [edge.h2("web").await, edge.client("secure").tls().open_h2().await];
    let mut open = Vec::new();
    for h2 in &mut h2s {
        open.push(h2.start("GET", "/late", &[], true).await);
    }
    origin.until("both requests", |seen| seen.requests.len() == 2).await;

    drain(&edge).await;
    for h2 in &mut h2s {
        // Until GOAWAY has arrived, a stream that was on its way is served.
        eventually("GOAWAY", async || {
            let request = http::Request::get("http://localhost/").body(()).unwrap();
            match h2.try_begin(request, true).await {
                Err(_) => Some(()),
                Ok(mut stream) => match stream.try_response().await {
                    Err(_) => Some(()),
                    Ok(response) => {
                        assert_eq!(response, "hello");
                        None
                    }
                },
            }
        })
        .await;
    }
    gate.open();
    for mut late in open {
        assert_eq!(late.response().await, "late");
    }
    for mut h2 in h2s {
        h2.left().await.expect("GOAWAY without an error");
    }
    leaves_well(&mut edge).await;
    let log = edge.access_log(2).await;
    assert_eq!(log.iter().filter(|line| line["path"] == "/late").count(), 2, "{log:?}");
}

#[tokio::test]
async fn without_a_connection_the_edge_is_gone_at_once() {
    let origin = origin().start().await;
    let mut edge = before(&origin, LONG).await;
    drain(&edge).await;
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn a_signal_at_the_very_start_is_heard() {
    for _ in 0..10 {
        let mut edge = edge("routes: [{reply: {status: 200}}]").start().await;
        edge.signal(Signal::SIGTERM);
        assert_eq!(edge.wait_exit().await, 0);
    }
}

#[tokio::test]
async fn what_does_not_end_is_cut_off_when_the_drain_is_over() {
    let origin = origin().hanging().start().await;
    let mut edge = before(&origin, "drain: 500ms").await;
    let waiting = clients(&edge).map(|client| {
        let request = client.request("GET", "/");
        tokio::spawn(async move { request.try_send().await })
    });
    origin.until("all requests", |seen| seen.requests.len() == 4).await;

    let started = Instant::now();
    drain(&edge).await;
    for answer in waiting {
        assert!(answer.await.unwrap().is_err(), "cut off, and not ended as if it were whole");
    }
    assert_eq!(edge.wait_exit().await, 0);
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    edge.stderr().line("connections=4").await;
}

#[tokio::test]
async fn a_websocket_lives_until_the_drain_is_over() {
    let origin = origin().answer("/ws", Reply::websocket()).start().await;
    let mut edge = before(&origin, "drain: 4s, idle_grace: 50ms").await;
    let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();

    drain(&edge).await;
    for n in 0..3 {
        let message = Message::text(format!("message {n}"));
        socket.send(message.clone()).await.unwrap();
        let back = within("the message", socket.next()).await.unwrap().unwrap();
        assert_eq!(back, message);
    }
    let end = within("the end of the WebSocket", socket.next()).await.unwrap().unwrap();
    assert!(
        matches!(&end, Message::Close(Some(close)) if close.code == CloseCode::Restart),
        "{end:?}"
    );
    assert!(within("the end of its connection", socket.next()).await.is_none());
    drop(socket);
    leaves_well(&mut edge).await;
    let line = edge.logged("it", |line| line["path"] == "/ws").await;
    assert_eq!(line["cause"], "drain_over");
}

#[tokio::test]
async fn a_websocket_that_closes_ends_the_drain() {
    let origin = origin().answer("/ws", Reply::websocket()).start().await;
    let mut edge = before(&origin, LONG).await;
    let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
    drain(&edge).await;
    socket.close(None).await.unwrap();
    drop(socket);
    leaves_well(&mut edge).await;
}

#[tokio::test]
async fn a_second_signal_ends_at_once() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let origin = origin().hanging().start().await;
        let mut edge = before(&origin, LONG).await;
        let client = edge.client("web");
        let waiting = tokio::spawn(async move { client.request("GET", "/").try_send().await });
        origin.until("the request", |seen| seen.requests.len() == 1).await;

        drain(&edge).await;
        edge.signal(second);
        edge.wait_exit().await;
        assert!(waiting.await.unwrap().is_err());
    }
}

#[tokio::test]
async fn a_drain_under_load_breaks_nothing() {
    let origin = origin().reply("/", "hello").start().await;
    let mut edge = before(&origin, LONG).await;
    let load: Vec<_> = (0..10)
        .map(|n| {
            let client = edge.client(if n % 2 == 0 { "web" } else { "secure" });
            let client = if n % 2 == 0 { client } else { client.tls() };
            tokio::spawn(async move {
                let mut raw = client.raw().await;
                let mut answered = 0;
                loop {
                    raw.write(GET).await;
                    let answer = raw.response().await;
                    assert_eq!(answer, "hello");
                    answered += 1;
                    if answer.header("connection") == Some("close") {
                        raw.closed().await;
                        return answered;
                    }
                }
            })
        })
        .collect();
    origin.until("some load", |seen| seen.requests.len() > 100).await;

    drain(&edge).await;
    let mut answered = 0;
    for client in load {
        answered += within("a client to be sent away", client).await.expect("no broken answer");
    }
    leaves_well(&mut edge).await;
    assert_eq!(edge.access_log(answered).await.len(), answered);
}

#[tokio::test]
async fn the_next_edge_can_take_the_address_at_once() {
    let port = Port::free();
    let document = "
        listeners: {web: {address: \"127.0.0.1:$port\"}}
        routes: [{reply: {status: 200, body: hello}}]
        ";
    for _ in 0..3 {
        let mut edge = edge(document).with("port", &port).start().await;
        // The edge closes this connection, and the kernel remembers that for a while.
        let answer = edge.request("GET", "/").header("connection", "close").send().await;
        assert_eq!(answer, "hello");
        edge.signal(Signal::SIGTERM);
        assert_eq!(edge.wait_exit().await, 0);
    }
}
