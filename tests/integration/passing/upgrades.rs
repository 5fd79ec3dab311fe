//! WebSockets and other upgrades pass as tunnels, by HTTP/1 whatever the endpoint's protocol.

use super::large::{BOUND, TOTAL, body, settled};
use super::{By, To, before};
use crate::support::{Authority, Edge, Reply, origin, within};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Talks with an echo behind the edge, and says goodbye.
async fn converse(edge: &Edge, by: By, path: &str) {
    let mut socket = by.client(edge).websocket(path, &[("X-Test", "1")]).await.unwrap();
    for message in [
        Message::text("gr\u{fc}\u{df}e"),
        Message::binary(vec![0, 255, 1]),
        Message::text(""),
        Message::binary(vec![7; 1 << 20]),
    ] {
        socket.send(message.clone()).await.unwrap();
        let back = within("a message", socket.next()).await.unwrap();
        let back = back.unwrap_or_else(|e| panic!("{by:?} {} bytes: {e}", message.len()));
        assert!(back == message, "{by:?}");
    }
    let goodbye = CloseFrame { code: CloseCode::Library(4242), reason: "enough".into() };
    socket.close(Some(goodbye)).await.unwrap();
    let back = within("a close frame", socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(frame)) = back else { panic!("{back:?}") };
    assert_eq!(u16::from(frame.code), 4242);
    assert!(within("the end", socket.next()).await.is_none());
}

#[tokio::test]
async fn a_websocket_passes() {
    for upstream in ["", "protocol: h2", "protocol: auto"] {
        let origin = origin().answer("/ws", Reply::websocket()).start().await;
        let edge = before(&origin).upstream(upstream).start().await;
        for by in [By::H1, By::Tls] {
            converse(&edge, by, "/ws").await;
            origin.closed().await;
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.version, "HTTP/1.1");
            assert_eq!(request.header("connection"), Some("Upgrade"));
            assert_eq!(request.header("upgrade"), Some("websocket"));
            assert_eq!(request.header("x-test"), Some("1"));
            assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"));
        }
        for line in edge.access_log(2).await {
            let told = (&line["status"], &line["cause"]);
            assert_eq!(told, (&101.into(), &Value::Null), "{line}");
        }
    }
}

#[tokio::test]
async fn a_websocket_goes_by_http_1_to_an_endpoint_that_speaks_http_2_too() {
    let authority = Authority::new();
    let origin = origin()
        .tls(&authority.issue(&["127.0.0.1"]))
        .answer("/ws", Reply::websocket())
        .reply("/", "hello")
        .start()
        .await;
    for protocol in ["h2", "auto"] {
        let edge = crate::support::edge(
            "
            listeners: {web: {address: '127.0.0.1:0'}}
            upstreams: {app: {endpoints: [$app], protocol: $protocol}}
            ",
        );
        let edge = edge.with("app", &origin).with("protocol", protocol);
        let edge = edge.file("ca.pem", &authority.pem);
        let roots = edge.folder().join("ca.pem");
        let edge = edge.env("SSL_CERT_FILE", roots.to_str().unwrap()).start().await;
        for _ in 0..2 {
            assert_eq!(edge.get("/").await, "hello");
            assert_eq!(origin.requests().pop().unwrap().version, "HTTP/2.0", "{protocol}");
            converse(&edge, By::H1, "/ws").await;
            assert_eq!(origin.requests().pop().unwrap().version, "HTTP/1.1", "{protocol}");
        }
    }
}

#[tokio::test]
async fn filters_run_on_upgrades() {
    let origin = origin().answer("/ws", Reply::websocket()).start().await;
    let routes = "routes: [{match: {path: /api/*}, upstream: app, filters: [rewrite: \
                  {strip_prefix: /api}, request_id: {}, headers: {request: {set: {x-tenant: a}}, \
                  response: {set: {x-answered: '{response.status}'}}}]}]";
    let edge = before(&origin).rest(routes).start().await;
    let mut raw = edge.raw("web").await;
    raw.write(
        "GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    )
    .await;
    let head = raw.head().await;
    assert_eq!(head.word(1), "101");
    assert_eq!(head.headers.one("x-answered"), Some("101"));
    let accept = head.headers.one("sec-websocket-accept");
    assert_eq!(accept, Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    assert_eq!(head.headers.one("upgrade"), Some("websocket"));
    assert!(head.lists("connection", "upgrade"));

    let request = origin.request().await;
    assert_eq!(request.target, "/ws");
    assert_eq!(request.header("x-tenant"), Some("a"));
    assert_eq!(request.header("x-forwarded-prefix"), Some("/api"));
    assert!(request.header("x-request-id").is_some());
}

#[tokio::test]
async fn another_protocol_passes_byte_by_byte() {
    let origin = origin().answer("/", Reply::tunnel("foo/2")).start().await;
    let edge = before(&origin).listener("limits: {body_size: 10B}").start().await;
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        // A client may be so sure that it does not wait.
        raw.write(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo/2\r\n\r\nearly",
        )
        .await;
        let head = raw.head().await;
        assert_eq!((head.word(1), head.headers.one("upgrade")), ("101", Some("foo/2")), "{by:?}");
        assert_eq!(raw.until(b"early").await, "early", "{by:?}");
        for word in ["one", "GET / HTTP/1.1\r\n\r\n", "\0\r\n", &"long".repeat(50_000)] {
            raw.write(word).await;
            let back = raw.until(&word.as_bytes()[word.len() - 3..]).await;
            let mut back = back.to_vec();
            while back.len() < word.len() {
                back.extend(raw.until(&word.as_bytes()[word.len() - 3..]).await);
            }
            assert!(back == word.as_bytes(), "{by:?}");
        }
        drop(raw);
        origin.closed().await;
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("upgrade"), Some("foo/2"));
    }
}

#[tokio::test]
async fn a_tunnel_holds_back_who_writes_and_does_not_read() {
    let origin = origin().answer("/", Reply::tunnel("foo")).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let before = edge.process().resident();
        let (io, _) = by.client(&edge).connect().await.unwrap();
        let (mut reader, mut writer) = tokio::io::split(io);
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n";
        writer.write_all(head.as_bytes()).await.unwrap();
        let mut byte = [0];
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            within("the head", reader.read_exact(&mut byte)).await.unwrap();
            seen.push(byte[0]);
        }
        let (pieces, expected) = body(TOTAL);
        let written = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&written);
        let writing = tokio::spawn(async move {
            for piece in pieces {
                writer.write_all(&piece).await.unwrap();
                writer.flush().await.unwrap();
                counter.fetch_add(piece.len() as u64, Ordering::Relaxed);
            }
            writer
        });
        let held = settled("the client to be held back", || written.load(Ordering::Relaxed)).await;
        assert!(held < TOTAL, "{by:?}: all was taken");

        let mut hash = Sha256::new();
        let mut left = TOTAL;
        let mut buffer = vec![0; 1 << 20];
        while left > 0 {
            let read = within("an echo", reader.read(&mut buffer)).await.unwrap();
            assert!(read > 0, "{by:?}: the tunnel ended with {left} bytes to come");
            hash.update(&buffer[..read]);
            left -= read as u64;
        }
        assert_eq!(format!("{:x}", hash.finalize()), expected, "{by:?}");
        drop(writing.await.unwrap());
        let grown = edge.process().peak().saturating_sub(before);
        assert!(grown < BOUND, "{by:?}: grew by {grown} bytes");
    }
}

#[tokio::test]
async fn a_tunnel_ends_for_the_client_when_the_endpoint_ends_it() {
    let wire = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nbye";
    let origin = origin().raw_then_close(wire).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\n").await;
        assert_eq!(raw.head().await.word(1), "101");
        assert_eq!(raw.rest().await, "bye", "{by:?}");
    }
    for line in edge.access_log(2).await {
        assert_eq!((&line["status"], &line["cause"]), (&101.into(), &Value::Null), "{line}");
    }
}

#[tokio::test]
async fn an_answer_other_than_101_passes_as_an_ordinary_response() {
    let reply = Reply::new(403).body("not you").header("X-Why", "1");
    let feed = crate::support::Feed::new();
    feed.send("in ");
    feed.send("chunks");
    feed.end();
    let origin = origin()
        .answer("/ws", reply)
        .answer("/chunks", Reply::new(200).fed_by(&feed))
        .start()
        .await;
    for upstream in ["", "protocol: h2"] {
        let edge = before(&origin).upstream(upstream).start().await;
        for by in [By::H1, By::Tls] {
            let Err(refused) = by.client(&edge).websocket("/ws", &[]).await else {
                panic!("{by:?}: a WebSocket");
            };
            let Error::Http(response) = *refused else { panic!("{refused}") };
            assert_eq!(response.status(), 403);
            assert_eq!(response.headers()["x-why"], "1");
            assert_eq!(response.body().as_deref(), Some(&b"not you"[..]));

            let request = by.client(&edge).request("GET", "/chunks");
            let request = request.header("Connection", "Upgrade").header("Upgrade", "foo");
            let response = request.send().await;
            assert_eq!((response.status, response.text().as_str()), (200, "in chunks"), "{by:?}");
        }
        for line in edge.access_log(4).await {
            assert_eq!(line["cause"], Value::Null, "{line}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_to_h2c_is_served_as_an_ordinary_request() {
    for to in To::ALL {
        let origin = to.origin().reply("/", "hello").start().await;
        let edge = to.edge(&origin).await;
        let request = edge
            .request("GET", "/")
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAMAAABkAAQAAP__");
        let response = request.send().await;
        assert_eq!(response, "hello");
        assert_eq!(response.header("upgrade"), None);
        let request = origin.request().await;
        for name in ["upgrade", "http2-settings", "connection"] {
            assert_eq!(request.header(name), None, "{to:?}");
        }
    }
}

#[tokio::test]
async fn upgrade_without_connection_and_from_http_1_0_is_no_upgrade() {
    for to in To::ALL {
        let origin = to.origin().reply("/", "hello").start().await;
        let edge = to.edge(&origin).await;
        let alone = edge.request("GET", "/").header("Upgrade", "websocket");
        assert_eq!(alone.send().await, "hello", "{to:?}");
        let old = edge.request("GET", "/").header("Upgrade", "websocket");
        let old = old.header("Connection", "Upgrade").http10();
        assert_eq!(old.send().await, "hello", "{to:?}");
        for request in origin.requests() {
            assert_eq!(request.header("upgrade"), None, "{to:?}");
        }
    }
}

#[tokio::test]
async fn a_switch_of_protocols_that_nobody_asked_for_is_an_invalid_response() {
    let wire =
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: foo\r\n\r\nbytes";
    let origin = origin().raw(wire).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in By::ALL {
        let response = by.client(&edge).get("/").await;
        assert_eq!(response.status, 502, "{by:?}");
    }
    for line in edge.access_log(4).await {
        assert_eq!(line["cause"], "upstream_invalid_response", "{line}");
    }
}
