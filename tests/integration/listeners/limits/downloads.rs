//! How fast a client must take its response, and when it need not.

use super::{clients, limited_before, listeners};
use crate::support::{Client, Feed, Reply, edge, origin, paced, within};
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;

/// Longer than the grace of five seconds.
const LONG: Duration = Duration::from_secs(7);
/// More than all buffers on the way hold.
const LARGE: usize = 32 << 20;

#[tokio::test]
async fn a_client_that_does_not_take_its_response_is_left() {
    let origin = origin().answer("/", Reply::ok(vec![b'x'; LARGE])).start().await;
    let edge = limited_before(&origin, "min_body_rate: 256KiB/s").await;
    let clients = clients(&edge);
    let started = Instant::now();
    let left = clients.iter().map(|client| async {
        let mut flow = client.request("GET", "/").open().await;
        assert_eq!(flow.head().await.status, 200);
        flow
    });
    let mut left = join_all(left).await;
    let gone = |seen: &crate::support::Seen| {
        seen.requests.len() == 4 && seen.requests.iter().all(|request| request.cancelled)
    };
    origin.until("all given up", gone).await;
    let time = started.elapsed();
    assert!((Duration::from_secs(5)..Duration::from_secs(25)).contains(&time), "{time:?}");
    for line in edge.access_log(4).await {
        assert_eq!((&line["cause"], &line["status"]), (&"client_too_slow".into(), &200.into()));
    }
    edge.metric_becomes("falconer_route_failures_total{cause=\"client_too_slow\"}", 4.0).await;
    for flow in &mut left {
        assert!(flow.rest(|_| {}).await.is_err(), "what was cut off must not look whole");
    }
}

#[tokio::test]
async fn a_slow_client_is_measured_by_what_it_takes_and_not_by_what_buffers_hold() {
    let origin = origin().answer("/", Reply::ok(vec![b'x'; LARGE / 4])).start().await;
    let edge = limited_before(&origin, "min_body_rate: 32KiB/s").await;
    let clients = clients(&edge);
    let taken = clients.iter().map(|client| async {
        let mut flow = client.request("GET", "/").open().await;
        flow.head().await;
        let mut length = 0;
        // A buffer of the kernel takes more only when a third of it is free: for longer than the
        // grace nothing moves that a program could see.
        paced(100, Duration::from_millis(120), async |n| {
            while length < (n + 1) * 12_000 {
                length += flow.piece().await.expect("more of the body").expect("more").len();
            }
        })
        .await;
        flow.rest(|piece| length += piece.len()).await.expect("the whole body");
        assert_eq!(length, LARGE / 4);
    });
    join_all(taken).await;
}

#[tokio::test]
async fn an_endpoint_that_is_silent_is_not_the_clients_fault() {
    let feed = Feed::new();
    let events = Reply::new(200).header("Content-Type", "text/event-stream").fed_by(&feed);
    let origin = origin()
        .answer("/events", events)
        .answer("/poll", Reply::ok("late").after(LONG))
        .start()
        .await;
    let edge = limited_before(&origin, "min_body_rate: 1MB/s").await;
    let clients = clients(&edge);
    let events = clients.iter().map(|client| async {
        let mut events = client.request("GET", "/events").open().await;
        events.head().await;
        assert_eq!(events.bytes(5).await, b"first");
        assert_eq!(events.bytes(6).await, b"second");
        events.rest(|_| {}).await.expect("a proper end");
    });
    let polls =
        clients.iter().map(|client| async { assert_eq!(client.get("/poll").await, "late") });
    let feeding = async {
        feed.send("first");
        tokio::time::sleep(LONG).await;
        feed.send("second");
        feed.end();
    };
    tokio::join!(join_all(events), join_all(polls), feeding);
}

#[tokio::test]
async fn who_has_caught_up_is_not_waited_for() {
    let feed = Feed::new();
    let origin = origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
    // What is taken at first would make up for eight seconds.
    let edge = limited_before(&origin, "min_body_rate: 1MiB/s").await;
    let clients = clients(&edge);
    let reads = clients.iter().map(|client| async {
        let mut flow = client.request("GET", "/").open().await;
        flow.head().await;
        // Until then more comes than all buffers hold.
        tokio::time::sleep(Duration::from_secs(2)).await;
        flow.bytes(LARGE / 4).await;
        assert_eq!(flow.bytes(3).await, b"end");
        flow.rest(|_| {}).await.expect("a proper end");
    });
    let feeding = async {
        feed.send(vec![b'x'; LARGE / 4]);
        tokio::time::sleep(Duration::from_secs(3) + LONG).await;
        feed.send("end");
        feed.end();
    };
    tokio::join!(join_all(reads), feeding);
}

#[tokio::test]
async fn a_websocket_is_exempt() {
    let app = origin().answer("/", Reply::websocket()).start().await;
    let edge = limited_before(&app, "min_body_rate: 1MB/s").await;
    let talk = [edge.client("web"), edge.client("secure").tls()].map(|client: Client| async move {
        let mut socket = client.websocket("/", &[]).await.unwrap();
        paced(8, Duration::from_secs(1), async |n| {
            socket.send(Message::text(n.to_string())).await.unwrap();
            let back = within("a message", socket.next()).await.unwrap().unwrap();
            assert_eq!(back, Message::text(n.to_string()));
        })
        .await;
    });
    join_all(talk).await;
}

#[tokio::test]
async fn the_rate_can_be_off_and_a_route_has_its_own() {
    let routes = "
upstreams: {app: {endpoints: [$app]}}
routes:
  - {upstream: app}
  - {match: {path: /off}, upstream: app, limits: {min_body_rate: off}}
  - {match: {path: /more}, upstream: app, limits: {min_body_rate: 1MB/s}}
";
    let app = origin().handler(|_| Reply::ok(vec![b'x'; LARGE])).start().await;
    let start =
        async |limits: &str| edge(&(listeners(limits) + routes)).with("app", &app).start().await;
    let (on, off) = (start("min_body_rate: 1MB/s").await, start("min_body_rate: off").await);
    let cases = [(&on, "/", false), (&on, "/off", true), (&off, "/", true), (&off, "/more", false)];
    let paused = cases.iter().flat_map(|(edge, path, lives)| {
        clients(edge).into_iter().map(move |client| async move {
            let mut flow = client.request("GET", path).open().await;
            flow.head().await;
            tokio::time::sleep(LONG).await;
            let mut length = 0;
            let end = flow.rest(|piece| length += piece.len()).await;
            assert_eq!((end.is_ok(), length == LARGE), (*lives, *lives), "{path}: {end:?}");
        })
    });
    join_all(paused).await;
}
