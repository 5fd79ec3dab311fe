//! What a reload does not change is not touched; what it takes away ends in time, and politely.

use crate::support::{
    Client, Edge, Feed, Flow, Gate, Origin, Raw, Received, Reply, Stream, edge, eventually, origin,
    within,
};
use futures::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

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

/// An edge with short times, and besides `web` what a test writes.
fn short(rest: &str) -> String {
    format!(
        "
server: {{drain: 2s, idle_grace: 0s}}
listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
  secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}}}
certificates: {{site: {{self_signed: [localhost]}}}}
{rest}"
    )
}

const APP: &str = "upstreams: {app: {endpoints: [$app]}}";
const KEPT: &str = "{name: kept, match: {path: /kept/*}, upstream: app}";
const GONE: &str = "{name: gone, match: {path: /gone/*}, upstream: app}";

/// What the drain of [`short`] lasts at least, by a clock that is a little coarse.
const DRAIN: Duration = Duration::from_millis(1790);

fn both() -> String {
    short(&format!("{APP}\nroutes: [{KEPT}, {GONE}]"))
}

fn one() -> String {
    short(&format!("{APP}\nroutes: [{KEPT}]"))
}

fn always(reply: Reply) -> impl Fn(&Received) -> Reply {
    move |_| reply.clone()
}

type Socket = WebSocketStream<Stream>;

async fn goes_on(socket: &mut Socket) {
    let text = Message::text("still here");
    socket.send(text.clone()).await.unwrap();
    assert_eq!(within("an echo", socket.next()).await.unwrap().unwrap(), text);
}

/// The edge says that it restarts the service, and then ends the connection in the proper way.
async fn is_sent_away(socket: &mut Socket) {
    let last = within("a Close frame", socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(close)) = last else { panic!("{last:?}") };
    assert_eq!(close.code, CloseCode::Restart);
    assert!(within("the end", socket.next()).await.is_none());
}

#[tokio::test]
async fn a_websocket_of_a_removed_route_is_sent_away_and_no_other() {
    let app = origin().handler(always(Reply::websocket())).start().await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let clients = [edge.client("web"), edge.client("secure").tls()];
    let (mut kept, mut gone) = (Vec::new(), Vec::new());
    for client in &clients {
        kept.push(client.websocket("/kept/ws", &[]).await.unwrap());
        gone.push(client.websocket("/gone/ws", &[]).await.unwrap());
    }
    let begun = Instant::now();
    edge.reload(&one()).await;
    for socket in gone.iter_mut().chain(&mut kept) {
        goes_on(socket).await;
    }
    for socket in &mut gone {
        is_sent_away(socket).await;
    }
    assert!(begun.elapsed() >= DRAIN, "{:?}", begun.elapsed());
    for socket in &mut kept {
        goes_on(socket).await;
    }
    for line in edge.access_log(2).await {
        let told = (&line["route"], &line["status"], &line["cause"]);
        assert_eq!(told, (&"gone".into(), &101.into(), &"drain_over".into()), "{line}");
    }
    app.until("the endpoint to see the ends", |seen| seen.open == 2).await;
}

/// A WebSocket by hand, whose endpoint sends every byte back.
async fn by_hand(client: &Client, path: &str) -> Raw {
    let mut raw = client.raw().await;
    let head = "Host: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n";
    raw.write(format!("GET {path} HTTP/1.1\r\n{head}")).await;
    assert_eq!(raw.head().await.word(1), "101");
    raw
}

#[tokio::test]
async fn a_frame_is_finished_before_a_websocket_is_sent_away() {
    const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xf4];
    let app = origin().handler(always(Reply::tunnel("websocket"))).start().await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let client = edge.client("web");
    let mut quiet = Vec::new();
    for _ in 0..8 {
        quiet.push(by_hand(&client, "/gone/ws").await);
    }
    let (mut slow, mut stuck) =
        (by_hand(&client, "/gone/ws").await, by_hand(&client, "/gone/ws").await);
    // A frame of 300 bytes, as far as half of its length, or half of itself.
    let frame = [&[0x82, 126, 1, 44][..], &[0x88; 300]].concat();
    for (raw, part) in [(&mut slow, 3), (&mut stuck, 100)] {
        raw.write(&frame[..part]).await;
        assert_eq!(raw.exactly(part).await, &frame[..part]);
    }
    edge.reload(&one()).await;
    for raw in &mut quiet {
        assert_eq!(raw.exactly(4).await, CLOSE);
    }
    // The endpoint may say what it likes: nothing follows the Close frame.
    slow.write([&frame[3..], &frame].concat()).await;
    let last = slow.until(CLOSE).await;
    assert!(last.starts_with(&frame[3..]), "{last:?}");
    let frames = (last.len() - CLOSE.len()) + 3;
    assert_eq!(frames % frame.len(), 0, "between two frames");
    slow.ended().await;
    stuck.closed().await;
    for raw in &mut quiet {
        raw.ended().await;
    }
    for line in edge.access_log(10).await {
        assert_eq!(line["cause"], "drain_over", "{line}");
    }
    app.until("the endpoint to see the ends", |seen| seen.open == 0).await;
}

#[tokio::test]
async fn a_tunnel_of_another_protocol_is_broken_off() {
    let app = origin().handler(always(Reply::tunnel("chat"))).start().await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let mut raw = by_hand(&edge.client("web"), "/gone/chat").await;
    raw.write("hello").await;
    assert_eq!(raw.exactly(5).await, "hello");
    edge.reload(&one()).await;
    raw.closed().await;
    assert_eq!(edge.access_log(1).await[0]["cause"], "drain_over");
}

#[tokio::test]
async fn a_websocket_of_a_removed_endpoint_is_sent_away_and_no_other() {
    let first = origin().handler(always(Reply::websocket())).start().await;
    let second = origin().handler(always(Reply::websocket())).start().await;
    let upstream = |endpoints: &str| {
        short(&format!("upstreams: {{app: {{endpoints: [{endpoints}]}}}}\nroutes: [{KEPT}]"))
    };
    let two = edge(&upstream("$first, $second")).with("first", &first).with("second", &second);
    let mut edge = two.start().await;
    let mut sockets = Vec::new();
    for n in 0..2 {
        let socket = edge.client("web").websocket(&format!("/kept/{n}"), &[]).await.unwrap();
        sockets.push(socket);
    }
    let gone = usize::from(second.requests()[0].path() == "/kept/1");
    edge.reload(&upstream("$first, \"http://127.0.0.1:1\"")).await;
    is_sent_away(&mut sockets[gone]).await;
    goes_on(&mut sockets[1 - gone]).await;
    let line = edge.logged("the end", |line| line["cause"] == "drain_over").await;
    assert_eq!(line["endpoint"], second.to_string());

    // One that is there again is another one.
    edge.reload(&upstream("$second")).await;
    is_sent_away(&mut sockets[1 - gone]).await;
}

#[tokio::test]
async fn a_route_that_says_so_drains_when_it_or_its_upstream_changes() {
    let app = origin().handler(always(Reply::websocket())).start().await;
    let document = |idle: u32, more: &str, filters: &str| {
        let route = |name: &str, drains: &str| {
            format!("{{name: {name}, match: {{path: /{name}/*}}, upstream: app{more}{drains}}}")
        };
        short(&format!(
            "filters: [{filters}]
upstreams: {{app: {{endpoints: [$app], timeouts: {{idle: {idle}s}}}}}}
routes: [{}, {}]",
            route("stays", ""),
            route("drains", ", drain_on_change: true"),
        ))
    };
    let mut edge = edge(&document(100, "", "")).with("app", &app).start().await;
    let client = edge.client("web");
    let mut stays = client.websocket("/stays/ws", &[]).await.unwrap();
    let changes = [
        document(50, "", ""),
        document(50, ", timeouts: {tunnel: 2h}", ""),
        document(50, ", timeouts: {tunnel: 2h}", "headers: {response: {remove: [server]}}"),
    ];
    for document in changes {
        let mut before = client.websocket("/drains/ws", &[]).await.unwrap();
        edge.reload(&document).await;
        let mut after = client.websocket("/drains/ws", &[]).await.unwrap();
        is_sent_away(&mut before).await;
        goes_on(&mut after).await;
        goes_on(&mut stays).await;
        after.close(None).await.unwrap();
    }
}

#[tokio::test]
async fn a_split_changes_with_each_of_its_upstreams() {
    let app = origin().handler(always(Reply::websocket())).start().await;
    let document = |idle: u32| {
        format!(
            "server: {{drain: 1s}}
upstreams:
  one: {{endpoints: [$app]}}
  two: {{endpoints: [$app], timeouts: {{idle: {idle}s}}}}
routes:
  - name: app
    drain_on_change: true
    split: {{to: [{{weight: 1, upstream: one}}, {{weight: 0, upstream: two}}]}}"
        )
    };
    let mut edge = edge(&document(50)).with("app", &app).start().await;
    let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
    goes_on(&mut socket).await;
    edge.reload(&document(60)).await;
    is_sent_away(&mut socket).await;
}

#[tokio::test]
async fn streams_of_a_removed_route_end_as_their_clients_take_it_best() {
    let feed = Feed::new();
    let fed = |kind: &str| Reply::new(200).header("Content-Type", kind).fed_by(&feed);
    let app = origin()
        .answer("/gone/events", fed("Text/Event-Stream; charset=utf-8"))
        .answer("/gone/plain", fed("text/plain"))
        .answer("/gone/long", fed("text/plain").header("Content-Length", 8))
        .start()
        .await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let clients = clients(&edge);
    let mut flows = Vec::new();
    for path in ["events", "plain", "long"] {
        for client in &clients {
            let mut flow = client.request("GET", &format!("/gone/{path}")).open().await;
            assert_eq!(flow.head().await.status, 200);
            flows.push(flow);
        }
    }
    feed.send("four");
    for flow in &mut flows {
        assert_eq!(flow.bytes(4).await, b"four");
    }
    let begun = Instant::now();
    edge.reload(&one()).await;
    let mut long = flows.split_off(8);
    let mut plain = flows.split_off(4);
    for events in &mut flows {
        assert!(events.piece().await.is_none(), "a proper end");
    }
    for plain in &mut plain {
        assert!(plain.piece().await.unwrap().is_err(), "what is cut off must not look whole");
    }
    assert!(begun.elapsed() >= DRAIN, "{:?}", begun.elapsed());
    feed.send("more");
    for long in &mut long {
        assert_eq!(long.bytes(4).await, b"more");
        assert!(long.piece().await.is_none(), "an end that was known");
    }
    let log = edge.access_log(12).await;
    let drained = log.iter().filter(|line| line["cause"] == "drain_over");
    assert_eq!(drained.count(), 8, "{log:?}");
}

#[tokio::test]
async fn a_stream_of_http_2_is_told_that_it_is_not_needed_any_more() {
    let feed = Feed::new();
    let app = origin().handler(always(Reply::new(200).fed_by(&feed))).start().await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let mut h2 = edge.h2("web").await;
    let mut stream = h2.start("GET", "/gone/", &[], true).await;
    stream.head().await;
    feed.send("four");
    assert_eq!(stream.piece().await.unwrap().unwrap(), "four");
    edge.reload(&one()).await;
    let error = stream.piece().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
    assert_eq!(h2.get("/gone/").await.status, 404, "the connection goes on");
}

#[tokio::test]
async fn a_call_of_a_removed_route_gets_a_status_that_makes_its_client_call_again() {
    let feed = Feed::new();
    let call = Reply::new(200).header("content-type", "application/grpc").fed_by(&feed);
    let app = origin()
        .h2c()
        .before_body()
        .answer("/gone/answers", call)
        .answer("/gone/silent", Reply::never())
        .start()
        .await;
    let h2 = |document: String| document.replace("[$app]", "[$app], protocol: h2");
    let mut edge = edge(&h2(both())).with("app", &app).start().await;
    let mut connection = edge.h2("web").await;
    let fields = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut whole = connection.start("POST", "/gone/answers", &fields, false).await;
    let mut silent = connection.start("POST", "/gone/silent", &fields, false).await;
    let mut ended = connection.start("POST", "/gone/answers", &fields, true).await;
    whole.head().await;
    ended.head().await;
    feed.send(&b"\0\0\0\0\x04four"[..]);
    for stream in [&mut whole, &mut ended] {
        assert_eq!(stream.piece().await.unwrap().unwrap().len(), 9);
    }
    app.until("all requests", |seen| seen.requests.len() == 3).await;
    edge.reload(&h2(one())).await;
    for stream in [&mut whole, &mut ended] {
        assert!(stream.piece().await.is_none());
        assert_eq!(stream.trailers().await.one("grpc-status"), Some("14"));
    }
    assert_eq!(silent.response().await.status, 503);
}

#[tokio::test]
async fn a_call_that_is_amid_a_message_is_reset() {
    let feed = Feed::new();
    let call = Reply::new(200).header("content-type", "application/grpc").fed_by(&feed);
    let app = origin().handler(always(call)).start().await;
    let mut edge = edge(&both()).with("app", &app).start().await;
    let mut stream = edge.h2("web").await.start("POST", "/gone/", &[], true).await;
    stream.head().await;
    feed.send(&b"\0\0\0\0\x04fo"[..]);
    assert_eq!(stream.piece().await.unwrap().unwrap().len(), 7);
    edge.reload(&one()).await;
    let error = stream.piece().await.unwrap().unwrap_err();
    assert_eq!(error.reason(), Some(h2::Reason::CANCEL));
}

#[tokio::test]
async fn streams_of_a_removed_listener_are_sent_away_before_what_is_left_is_cut_off() {
    let feed = Feed::new();
    let events = Reply::new(200).header("content-type", "text/event-stream").fed_by(&feed);
    let app =
        origin().answer("/kept/events", events).handler(always(Reply::websocket())).start().await;
    let with_more = one().replace("listeners:", "listeners:\n  more: {address: \"127.0.0.1:0\"}");
    let mut edge = edge(&with_more).with("app", &app).start().await;
    let mut gone = edge.client("more").websocket("/kept/ws", &[]).await.unwrap();
    let mut kept = edge.client("web").websocket("/kept/ws", &[]).await.unwrap();
    let mut events = edge.client("more").request("GET", "/kept/events").open().await;
    assert_eq!(events.head().await.status, 200);
    feed.send("data: 1\n\n");
    assert_eq!(events.bytes(9).await, b"data: 1\n\n");
    edge.reload(&one()).await;
    is_sent_away(&mut gone).await;
    assert!(events.piece().await.is_none(), "a proper end");
    goes_on(&mut kept).await;
    for line in edge.access_log(2).await {
        assert_eq!((&line["listener"], &line["cause"]), (&"more".into(), &"drain_over".into()));
    }
}
