//! Silence after the head, and in tunnels.

use super::{PROTOCOLS, deaf, waiting};
use crate::support::{Broken, Feed, Reply, Seen, Stream, edge, origin, paced, within};
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const PING: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_response_that_falls_silent_breaks() {
    for protocol in PROTOCOLS {
        let feed = Feed::new();
        feed.send("some");
        let app = origin().speaking(protocol).answer("/", Reply::new(200).fed_by(&feed));
        let app = app.start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 300ms").await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            let broken = web.request("GET", "/").try_send().await.unwrap_err();
            assert!(matches!(broken, Broken::InBody(..)), "{client} to {protocol}: {broken:?}");
            assert_eq!(broken.response(), "some");
        }
        for line in edge.access_log(2).await {
            let seen = (&line["cause"], &line["status"]);
            assert_eq!(seen, (&"upstream_timeout_idle".into(), &200.into()), "{line}");
        }
        app.until("both given up", |seen| seen.requests.iter().all(|r| r.cancelled)).await;
    }
}

#[tokio::test]
async fn events_with_pings_between_live() {
    for protocol in PROTOCOLS {
        let feed = Feed::new();
        let events = Reply::new(200).header("Content-Type", "text/event-stream").fed_by(&feed);
        let app = origin().speaking(protocol).answer("/", events).start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 1500ms").await;
        let pings = async {
            paced(8, PING, async |_| feed.send(": ping\n\n")).await;
            feed.end();
        };
        let [h1, h2] = PROTOCOLS.map(|client| edge.client("web").speaking(client));
        let (h1, h2, ()) = tokio::join!(h1.get("/"), h2.get("/"), pings);
        let all = ": ping\n\n".repeat(8);
        assert_eq!(h1, all.as_str(), "h1 to {protocol}");
        assert_eq!(h2, all.as_str(), "h2 to {protocol}");
    }
}

#[tokio::test]
async fn an_upload_keeps_a_silent_response_alive() {
    for protocol in PROTOCOLS {
        let feed = Feed::new();
        feed.send("early");
        let app = origin().speaking(protocol).before_body();
        let app = app.answer("/", Reply::new(200).fed_by(&feed)).start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 1500ms").await;

        let mut h1 = edge.raw("web").await;
        h1.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n").await;
        let mut h2 = edge.h2("web").await.start("POST", "/", &[], false).await;
        paced(8, PING, async |n| {
            h1.write("x").await;
            h2.write("x", n == 7).await;
        })
        .await;
        feed.send(" and late");
        feed.end();
        assert_eq!(h1.response().await, "early and late", "h1 to {protocol}");
        assert_eq!(h2.response().await, "early and late", "h2 to {protocol}");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_left() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).answer("/", Reply::ok(vec![b'x'; 64 << 20]));
        let app = app.start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 500ms").await;

        let mut h1 = edge.raw("web").await;
        h1.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(h1.head().await.word(1), "200");
        let mut h2 = edge.h2("web").await.start("GET", "/", &[], true).await;
        assert_eq!(h2.head().await.status(), 200);

        let both =
            |seen: &Seen| seen.requests.len() == 2 && seen.requests.iter().all(|r| r.cancelled);
        app.until("both given up", both).await;
        for line in edge.access_log(2).await {
            assert_eq!(line["cause"], "client_too_slow", "{line}");
        }
        assert!(h1.try_response().await.is_err());
    }
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_served() {
    for protocol in PROTOCOLS {
        let body = vec![b'x'; 4 << 20];
        let app = origin().speaking(protocol).answer("/", Reply::ok(body.clone())).start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 1500ms").await;
        let mut h2 = edge.h2("web").await.start("GET", "/", &[], true).await;
        h2.head().await;
        let mut length = 0;
        paced(8, PING, async |n| {
            while length < (n + 1) * (body.len() / 8) {
                length += h2.piece().await.unwrap().unwrap().len();
            }
        })
        .await;
        while let Some(piece) = h2.piece().await {
            length += piece.unwrap().len();
        }
        assert_eq!(length, body.len(), "{protocol}");
    }
}

#[tokio::test]
async fn a_silent_tunnel_is_closed() {
    for protocol in ["h1", "auto"] {
        let app = origin().answer("/", Reply::websocket()).start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 20s, tunnel: 300ms").await;
        let mut socket = edge.client("web").websocket("/", &[]).await.unwrap();
        let end = within("the end of the tunnel", socket.next()).await;
        assert!(!matches!(end, Some(Ok(_))), "{end:?}");
        let line = edge.logged("the tunnel", |_| true).await;
        assert_eq!((&line["cause"], &line["status"]), (&"tunnel_timeout".into(), &101.into()));
        app.closed().await;
    }
}

#[tokio::test]
async fn a_tunnel_may_be_silent_for_longer_than_a_response() {
    let app = origin().answer("/", Reply::websocket()).start().await;
    let edge = waiting(&app, "h1", "response: 2s, idle: 2s, tunnel: 20s").await;
    let mut socket = edge.client("web").websocket("/", &[]).await.unwrap();
    echoes(&mut socket, 2, Duration::from_secs(3)).await;
}

#[tokio::test]
async fn messages_keep_a_tunnel_open() {
    let app = origin().answer("/", Reply::websocket()).start().await;
    let edge = waiting(&app, "h1", "response: 20s, idle: 20s, tunnel: 1500ms").await;
    let mut socket = edge.client("web").websocket("/", &[]).await.unwrap();
    echoes(&mut socket, 8, PING).await;
}

type Socket = WebSocketStream<Stream>;

async fn echoes(socket: &mut Socket, times: usize, apart: Duration) {
    paced(times, apart, async |n| {
        socket.send(Message::text(n.to_string())).await.unwrap();
        let back = within("a message", socket.next()).await.unwrap().unwrap();
        assert_eq!(back, Message::text(n.to_string()));
    })
    .await;
}

#[tokio::test]
async fn an_endpoint_that_gives_no_sign_of_life_is_left() {
    let (_listener, deaf) = deaf();
    let document = "
        upstreams:
          app:
            endpoints: [\"http://$deaf\"]
            protocol: h2
            keep_alive: {ping: 300ms}
            timeouts: {response: 1m}
        ";
    let edge = edge(document).with("deaf", deaf).start().await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = edge.access_log(1).await.pop().unwrap();
    assert_eq!(line["cause"], "upstream_reset", "{line}");
}
