//! Bugs that were there once.

use crate::support::frames::{END, GET, RESET, SETTINGS, frame, http2};
use crate::support::{Reply, edge, origin, paced, tool};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

#[tokio::test]
async fn a_client_that_takes_its_request_back_at_once_is_gone_and_we_are_not_at_fault() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h2]}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    );
    let edge = edge.start().await;
    let cancel = frame(RESET, 0, 1, &8_u32.to_be_bytes());
    let mut raw = edge.raw("web").await;
    raw.write([http2(&GET, END), cancel].concat()).await;

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
    paced(30, Duration::from_millis(100), async |_| raw.write([b'x'; 1000]).await).await;
    assert_eq!(raw.response().await.status, 413);
}

#[tokio::test]
async fn curl_reads_over_http_2_that_its_upload_is_too_large() {
    let edge = edge(
        "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h2], limits: {body_size: 10}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    );
    let edge = edge.file("upload", vec![b'x'; 10 << 20]).start().await;
    let upload = format!("@{}", edge.file("upload").display());
    let status = ["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"];
    let url = edge.url("/");
    let request = ["--http2-prior-knowledge", "--data-binary", &upload, &url];
    assert_eq!(tool("curl", &[&status[..], &request].concat()).await.well(), "413");
}

/// Reads an HTTP/1 request with a body of known length, and gives the body.
async fn read_request(io: &mut UnixStream) -> Vec<u8> {
    let mut read = Vec::new();
    let body = loop {
        assert!(io.read_buf(&mut read).await.expect("a request") > 0, "the head broke off");
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&read[..body]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().expect("a length"));
    while read.len() < body + length {
        assert!(io.read_buf(&mut read).await.expect("a body") > 0, "the body broke off");
    }
    read.split_off(body)
}

#[tokio::test]
async fn a_body_that_is_sent_again_is_sent_whole_and_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h2], limits: {body_size: 80KiB}}}
        upstreams: {app: {endpoints: ['unix:$path']}}
        ",
    );
    let edge = edge.with("path", path.display()).start().await;
    let hello = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (taken, mut bodies) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let taken = taken.clone();
            tokio::spawn(async move {
                let mut served = 0;
                loop {
                    let mut first = [0; 3];
                    if io.read_exact(&mut first).await.is_err() {
                        return;
                    }
                    if first == *b"PUT" && served > 0 {
                        // It takes some of it, and is gone.
                        let _ = io.read_exact(&mut [0; 20_000]).await;
                        return;
                    }
                    taken.send(read_request(&mut io).await).unwrap();
                    io.write_all(hello).await.unwrap();
                    served += 1;
                }
            });
        }
    });
    let body: Vec<u8> = (0..60_000_u32).map(|n| (n % 251) as u8).collect();
    let web = edge.client("web").h2();
    for round in 0..20 {
        assert_eq!(web.get("/").await.status, 200);
        assert_eq!(bodies.recv().await, Some(Vec::new()));
        // When it is logged, its connection is back in the pool.
        edge.access_log(2 * round + 1).await;
        let response = web.request("PUT", "/").body(body.clone()).send().await;
        if response.status == 200 {
            let taken = bodies.recv().await.expect("a body");
            assert!(taken == body, "{} bytes arrived", taken.len());
        } else {
            // The engine does not try again when it was writing as the endpoint left.
            assert_eq!(response.status, 502);
        }
    }
    let log = edge.access_log(40).await;
    assert!(log.iter().any(|line| line["attempts"] == 2 && line["status"] == 200), "{log:?}");
}

#[tokio::test]
async fn a_client_that_leaves_after_the_trailers_has_had_its_answer() {
    let reply = Reply::ok("hello").trailer("grpc-status", "3");
    let origin = origin().h2c().before_body().answer("/", reply).start().await;
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h2]}}
        upstreams: {app: {endpoints: [$app], protocol: h2}}
        ",
    );
    let edge = edge.with("app", &origin).start().await;
    let mut flow = edge.client("web").h2().request("POST", "/").chunked().open().await;
    assert_eq!(flow.head().await.status, 200);
    flow.rest(|_| {}).await.unwrap();
    drop(flow);
    let line = edge.access_log(1).await.swap_remove(0);
    assert_eq!((&line["status"], &line["cause"]), (&200.into(), &Value::Null), "{line}");
}

#[tokio::test]
async fn a_client_that_opens_no_window_does_not_hold_a_reply_for_ever() {
    let edge = edge(
        "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h2]}}
        routes: [{timeouts: {idle: 300ms}, reply: {status: 200, body: hello}}]
        ",
    );
    let edge = edge.start().await;
    let mut raw = edge.raw("web").await;
    let no_window = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let opening = http2(&GET, END);
    let (preface, rest) = opening.split_at(24);
    raw.write([preface, &no_window, &rest[9..]].concat()).await;
    let line = edge.access_log(1).await.swap_remove(0);
    assert_eq!(line["cause"], "client_too_slow", "{line}");
}
