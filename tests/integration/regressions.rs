//! Bugs that were there once.

use crate::support::{Reply, edge, origin};
use std::time::Duration;

/// An HTTP/2 frame.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test]
async fn a_client_that_takes_its_request_back_at_once_is_gone_and_we_are_not_at_fault() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h2]}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    );
    let edge = edge.start().await;
    let settings = frame(4, 0, 0, &[]);
    // GET http://a/ in static entries of the table, and the authority as a literal.
    let headers = frame(1, 5, 1, b"\x82\x86\x84\x41\x01a");
    let cancel = frame(3, 0, 1, &8_u32.to_be_bytes());
    let mut raw = edge.raw("web").await;
    raw.write([b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &*settings, &headers, &cancel].concat()).await;

    let line = edge.access_log(1).await.swap_remove(0);
    assert_eq!((&line["status"], &line["cause"]), (&499.into(), &"client_closed".into()), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_with_its_answer_in_hand_may_keep_the_rest_of_its_request() {
    for (status, body) in [(413, ""), (413, "too large"), (200, "fine")] {
        let answer = Reply::new(status).body(body);
        let origin = origin().before_body().answer("/", answer).start().await;
        let edge = edge(
            "
            listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
            upstreams: {app: {endpoints: [$app]}}
            ",
        );
        let edge = edge.with("app", &origin).start().await;
        for client in [edge.client("web"), edge.client("web").h2()] {
            let post = client.request("POST", "/").header("content-length", 1_000_000);
            let mut post = post.open().await;
            post.write("a beginning").await;
            assert_eq!(post.head().await.status, status);
            post.rest(|_| {}).await.expect("a proper end");
        }
        for line in edge.access_log(2).await {
            assert_eq!(
                (&line["status"], line["cause"].is_null()),
                (&status.into(), true),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_sends_on_for_a_while_still_reads_why_it_was_refused() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', limits: {body_size: 10}}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    );
    let edge = edge.start().await;
    let mut raw = edge.raw("web").await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n").await;
    // Longer than a client that is silent is waited for.
    for _ in 0..30 {
        raw.write([b'x'; 1000]).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(raw.response().await.status, 413);
}
