//! The language itself: origins and clients understand each other without an edge between.

use crate::support::{Authority, Broken, Certificate, Client, Feed, Gate, Reply, origin, within};
use futures::{SinkExt, StreamExt};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_scripted_reply_is_read_and_the_request_recorded_as_it_was_sent() {
    let origin = origin().reply("/", "hello").status("/gone", 410).start().await;
    let client = Client::new(&origin);

    let sent = client.request("POST", "/?a=b").header("X-oDD", "1").body("abc").send().await;
    assert_eq!(sent, "hello");
    assert_eq!(client.get("/gone").await.status, 410);
    assert_eq!(client.get("/else").await.status, 404);

    assert_eq!(origin.hits(), 3);
    assert_eq!(origin.connections(), 3);
    let request = origin.request().await;
    let expected = format!(
        "POST /?a=b HTTP/1.1\r\nHost: {}\r\nX-oDD: 1\r\nContent-Length: 3\r\n\r\n",
        origin.address()
    );
    assert_eq!(request.raw, expected);
    assert_eq!((request.body.as_slice(), request.path()), (&b"abc"[..], "/"));
}

#[tokio::test]
async fn a_connection_is_kept_for_further_requests() {
    let origin = origin().reply("/", "hello").start().await;
    let mut raw = Client::new(&origin).raw().await;
    for _ in 0..3 {
        raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.response().await, "hello");
    }
    assert_eq!((origin.hits(), origin.connections(), origin.open()), (3, 1, 1));
    drop(raw);
    origin.closed().await;
}

#[tokio::test]
async fn an_http_1_0_client_is_left_after_its_answer() {
    let origin = origin().reply("/", "hello").start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("GET / HTTP/1.0\r\n\r\n").await;
    assert_eq!(raw.response().await, "hello");
    raw.closed().await;
}

#[tokio::test]
async fn chunks_and_trailers_pass_both_ways() {
    let origin = origin()
        .handler(|request| Reply::ok(request.body.clone()).trailer("X-Sum", "7"))
        .start()
        .await;
    let body = "x".repeat(100_000);
    let request = Client::new(&origin).request("POST", "/").body(body.clone());
    let response = request.trailer("X-Check", "5").send().await;
    assert_eq!(response, body.as_str());
    assert_eq!(response.trailers.one("x-sum"), Some("7"));
    assert_eq!(origin.request().await.trailers.one("x-check"), Some("5"));
}

#[tokio::test]
async fn a_fed_body_arrives_piece_by_piece() {
    let feed = Feed::new();
    let origin = origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.head().await.headers.one("transfer-encoding"), Some("chunked"));
    feed.send("one");
    assert_eq!(raw.until(b"one\r\n").await, "3\r\none\r\n");
    feed.send("two");
    feed.end();
    assert_eq!(raw.until(b"0\r\n\r\n").await, "3\r\ntwo\r\n0\r\n\r\n");
}

#[tokio::test]
async fn an_interim_answer_comes_before_a_gate_opens() {
    let gate = Gate::new();
    let reply = Reply::ok("late").after_interim(103, &[("Link", "</a.css>")]).behind(&gate);
    let origin = origin().answer("/", reply).start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let early = raw.head().await;
    assert_eq!((early.word(1), early.headers.one("link")), ("103", Some("</a.css>")));
    gate.open();
    assert_eq!(raw.response().await, "late");
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let origin = origin().handler(|request| Reply::ok(request.body.clone())).start().await;
    let mut raw = Client::new(&origin).raw().await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    raw.write(head).await;
    assert_eq!(raw.head().await.word(1), "100");
    raw.write("hi").await;
    assert_eq!(raw.response().await, "hi");
}

#[tokio::test]
async fn an_answer_may_come_before_the_body() {
    let origin = origin().before_body().reply("/", "early").start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n").await;
    assert_eq!(raw.response().await, "early");
    raw.write("hi").await;
    assert_eq!(origin.request().await.body, b"hi");
}

#[tokio::test]
async fn a_refusing_origin_refuses_and_a_resetting_one_resets() {
    let refusing = origin().refusing().start().await;
    let broken = Client::new(&refusing).request("GET", "/").try_send().await.unwrap_err();
    assert!(matches!(&broken, Broken::BeforeHead(why) if why.contains("refused")), "{broken:?}");

    let resetting = origin().resetting().start().await;
    let broken = Client::new(&resetting).request("GET", "/").try_send().await.unwrap_err();
    assert!(matches!(broken, Broken::BeforeHead(_)), "{broken:?}");
    assert_eq!(resetting.connections(), 1);
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_origin_is_seen() {
    let origin = origin().hanging().start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(!origin.request().await.cancelled);
    drop(raw);
    origin.cancelled().await;
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_taken_for_whole() {
    let feed = Feed::new();
    let origin = origin()
        .answer("/short", Reply::ok("half").header("Content-Length", 8).then_close())
        .answer("/chunks", Reply::new(200).fed_by(&feed).then_reset())
        .start()
        .await;
    let client = Client::new(&origin);
    let short = client.request("GET", "/short").try_send().await.unwrap_err();
    assert_eq!(short.response(), "half");
    let mut raw = client.raw().await;
    raw.write("GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n").await;
    feed.send("some");
    raw.until(b"some").await;
    feed.end();
    assert!(raw.try_response().await.is_err());
}

#[tokio::test]
async fn raw_bytes_are_sent_as_they_are() {
    let bytes = "HTTP/1.1 200 OK\r\nX:  y\r\nContent-Length: 0\r\n\r\n";
    let origin = origin().raw_then_close(bytes).start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.rest().await, bytes);
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_the_origin_says_so() {
    let origin = origin().reply("/", "hello").idle(Duration::from_millis(10)).start().await;
    let mut raw = Client::new(&origin).raw().await;
    raw.closed().await;
    let nobody_left = |seen: &crate::support::Seen| seen.open == 0;
    origin.until("no open connection", nobody_left).await;
}

#[tokio::test]
async fn a_unix_socket_is_an_origin_too() {
    let folder = tempfile::tempdir().unwrap();
    let origin = origin().reply("/", "hello").unix(folder.path().join("app.sock")).start().await;
    assert_eq!(Client::new(&origin).get("/").await, "hello");
}

#[tokio::test]
async fn http_2_by_prior_knowledge_carries_bodies_and_trailers() {
    let origin = origin()
        .h2c()
        .handler(|request| Reply::ok(request.body.clone()).trailer("grpc-status", "0"))
        .start()
        .await;
    let body = "x".repeat(3 << 20);
    let request = Client::new(&origin).h2().request("POST", "/a?b").body(body.clone());
    let response = request.host("shop.example.com").send().await;
    assert_eq!(response, body.as_str());
    assert_eq!(response.trailers.one("grpc-status"), Some("0"));
    let request = origin.request().await;
    assert_eq!(request.scheme.as_deref(), Some("http"));
    assert_eq!(request.authority.as_deref(), Some("shop.example.com"));
    assert_eq!(request.target, "/a?b");
}

#[tokio::test]
async fn http_2_streams_are_fed_cancelled_and_reset() {
    let feed = Feed::new();
    let origin = origin()
        .h2c()
        .answer("/feed", Reply::new(200).fed_by(&feed))
        .answer("/never", Reply::never())
        .answer("/reset", Reply::ok("half").then_reset())
        .start()
        .await;
    let mut h2 = Client::new(&origin).open_h2().await;

    let mut fed = h2.start("GET", "/feed", &[], true).await;
    assert_eq!(fed.head().await.status(), 200);
    feed.send("one");
    assert_eq!(fed.piece().await.unwrap().unwrap(), "one");
    feed.end();
    assert!(fed.piece().await.is_none());

    let broken = h2.start("GET", "/reset", &[], true).await.try_response().await.unwrap_err();
    assert!(matches!(&broken, Broken::InBody(..)), "{broken:?}");

    let mut never = h2.start("GET", "/never", &[], true).await;
    origin.until("three requests", |seen| seen.requests.len() == 3).await;
    never.reset();
    origin.cancelled().await;
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn tls_is_checked_against_an_authority_or_believed() {
    let authority = Authority::new();
    let certificate = authority.issue(&["shop.example.com", "127.0.0.1"]);
    let origin = origin().tls(&certificate).reply("/", "hello").start().await;
    let client = Client::new(origin.address());

    assert_eq!(Client::new(&origin).get("/").await, "hello");
    assert_eq!(client.clone().tls().h2().get("/").await, "hello");
    let checked = client.clone().sni("shop.example.com");
    let checked = checked.with_tls(|tls| tls.authority = Some(authority.pem.clone()));
    assert_eq!(checked.get("/").await, "hello");
    let raw = checked.raw().await;
    let agreed = raw.agreed.as_ref().unwrap();
    assert_eq!(agreed.chain, certificate.chain_der());
    assert_eq!(agreed.alpn.as_deref(), Some("http/1.1"));

    let other = Certificate::self_signed(&["shop.example.com"]);
    let fooled = checked.with_tls(|tls| tls.authority = Some(other.chain));
    assert!(fooled.request("GET", "/").try_send().await.is_err());
}

#[tokio::test]
async fn a_websocket_sends_messages_back() {
    let origin = origin().answer("/ws", Reply::websocket()).start().await;
    let client = Client::new(&origin);
    let mut socket = client.websocket("/ws", &[("x-test", "1")]).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let back = within("a message", socket.next()).await.unwrap().unwrap();
    assert_eq!(back, Message::text("hello"));
    socket.close(None).await.unwrap();
    origin.closed().await;
    assert_eq!(origin.request().await.header("x-test"), Some("1"));
    assert!(client.websocket("/other", &[]).await.is_err());
}
