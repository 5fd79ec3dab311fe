//! The corners of HTTP: interim answers, expectations, messages without a body, HTTP/1.0.

use super::{By, To, before, pairs, ways};
use crate::support::{Gate, Raw, Reply, origin};

const EXPECTING: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    for to in To::ALL {
        let origin = to.origin().handler(|r| Reply::ok(r.body.clone())).start().await;
        let edge = to.edge(&origin).await;
        for by in [By::H1, By::Tls] {
            let mut raw = by.client(&edge).raw().await;
            raw.write(EXPECTING).await;
            assert_eq!(raw.head().await.word(1), "100", "{by:?} {to:?}");
            raw.write("hi").await;
            let response = raw.response().await;
            assert_eq!(response, "hi", "{by:?} {to:?}");
            assert_eq!(response.interim.len(), 0, "a second 100");
            // The connection is as good as before.
            raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(raw.response().await.status, 200, "{by:?} {to:?}");
        }
        let expectation = if to == To::H1 { Some("100-continue") } else { None };
        assert_eq!(origin.request().await.header("expect"), expectation, "{to:?}");
    }
}

#[tokio::test]
async fn an_expectation_over_http_2_delays_nothing() {
    for to in To::ALL {
        let origin = to.origin().handler(|r| Reply::ok(r.body.clone())).start().await;
        let edge = to.edge(&origin).await;
        let request = By::H2.client(&edge).request("POST", "/").header("expect", "100-continue");
        assert_eq!(request.body("hello").send().await, "hello", "{to:?}");
    }
}

#[tokio::test]
async fn an_endpoint_may_answer_instead_of_asking_for_the_body() {
    let origin = origin().raw_then_close(
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
    );
    let origin = origin.before_body().start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        raw.write(EXPECTING).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.interim.len()), (401, 0), "{by:?}");
        assert_eq!(response, "no");
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_large_is_refused_unread() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin).listener("limits: {body_size: 10B}").start().await;
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        raw.write(EXPECTING.replace("Length: 2", "Length: 11")).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.interim.len()), (413, 0), "{by:?}");
    }
    for by in By::CLEAR {
        let request = by.client(&edge).request("POST", "/").header("expect", "100-continue");
        let mut flow = request.header("content-length", 11).open().await;
        assert_eq!(flow.head().await.status, 413, "{by:?}");
    }
    assert_eq!(origin.hits(), 0);
    let line = edge.access_log(1).await.swap_remove(0);
    assert_eq!((&line["status"], &line["cause"]), (&413.into(), &"body_too_large".into()));
}

#[tokio::test]
async fn the_answer_to_head_keeps_its_length_and_has_no_body() {
    for (by, to) in ways() {
        let reply = Reply::new(200).header("content-length", 5).header("etag", "\"x\"");
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let response = by.client(&edge).request("HEAD", "/").send().await;
        assert_eq!((response.status, response.body.len()), (200, 0), "{by:?} {to:?}");
        assert_eq!(response.header("content-length"), Some("5"), "{by:?} {to:?}");
        assert_eq!(response.header("etag"), Some("\"x\""));
        assert_eq!(origin.request().await.method, "HEAD");
    }
}

#[tokio::test]
async fn messages_without_a_body_leave_the_connection_in_step() {
    for to in To::ALL {
        let origin = to.origin();
        let origin = origin
            .answer("/head", Reply::new(200).header("content-length", 5))
            .answer("/none", Reply::new(204))
            .answer("/same", Reply::new(304).header("etag", "\"x\"").header("content-length", 5))
            .answer("/empty", Reply::new(200).header("content-length", 0))
            .reply("/", "hello")
            .start()
            .await;
        let edge = to.edge(&origin).await;
        let mut raw = edge.raw("web").await;
        for (method, path, status, length) in [
            ("HEAD", "/head", 200, Some("5")),
            ("GET", "/none", 204, None),
            ("GET", "/same", 304, Some("5")),
            ("POST", "/empty", 200, Some("0")),
            ("HEAD", "/none", 204, None),
        ] {
            raw.write(format!("{method} {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            let response = raw.response_to(method).await;
            assert_eq!(response.status, status, "{to:?} {method} {path}");
            assert_eq!(response.header("content-length"), length, "{to:?} {method} {path}");
            assert_eq!(response.header("transfer-encoding"), None, "{to:?} {method} {path}");
            raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(raw.response().await, "hello", "{to:?} after {method} {path}");
        }
    }
}

#[tokio::test]
async fn the_answer_to_head_may_be_of_unknown_length() {
    for (by, to) in ways() {
        let wire = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let origin = match to {
            To::H1 => origin().raw(wire).start().await,
            To::H2 => origin().h2c().status("/", 200).start().await,
        };
        let edge = to.edge(&origin).await;
        let response = by.client(&edge).request("HEAD", "/").send().await;
        assert_eq!((response.status, response.body.len()), (200, 0), "{by:?} {to:?}");
        assert_eq!(response.header("content-length"), None, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_closes_its_connections_leaves_the_clients_open() {
    let reply = Reply::ok("hello").header("Connection", "close");
    let origin = origin().answer("/", reply).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        for _ in 0..3 {
            raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let response = raw.response().await;
            assert_eq!(response, "hello", "{by:?}");
            assert_ne!(response.header("connection"), Some("close"), "{by:?}");
        }
        raw.write("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        assert_eq!(raw.response().await.header("connection"), Some("close"), "{by:?}");
        raw.closed().await;
    }
}

#[tokio::test]
async fn an_answer_comes_before_a_body_that_nobody_reads() {
    for (by, to) in ways() {
        let never = Gate::new();
        let reply = Reply::new(403).body("no");
        let origin = to.origin().before_body().reads_body_after(&never).answer("/", reply);
        let origin = origin.start().await;
        let edge = to.edge(&origin).await;
        let length = 20 << 20;
        let request = by.client(&edge).request("POST", "/").header("content-length", length);
        let mut flow = request.open().await;
        flow.write("the first of many bytes").await;
        assert_eq!(flow.head().await.status, 403, "{by:?} {to:?}");
        assert_eq!(flow.bytes(2).await, b"no", "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn a_request_has_a_body_only_if_the_client_sent_one() {
    for (by, to) in pairs() {
        let origin = to.origin().handler(|_| Reply::new(200)).start().await;
        let edge = to.edge(&origin).await;
        for method in ["GET", "HEAD", "DELETE", "POST", "PUT"] {
            let request = by.client(&edge).request(method, "/");
            assert_eq!(request.send().await.status, 200, "{by:?} {to:?} {method}");
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.length, 0);
            assert_eq!(seen.header("transfer-encoding"), None, "{by:?} {to:?} {method}");
            let length = seen.header("content-length").unwrap_or("0");
            assert_eq!(length, "0", "{by:?} {to:?} {method}");

            let request = by.client(&edge).request(method, "/").body("hello");
            assert_eq!(request.send().await.status, 200, "{by:?} {to:?} {method}");
            let seen = origin.requests().pop().unwrap();
            assert_eq!(seen.body, b"hello", "{by:?} {to:?} {method}");
            assert_eq!(seen.header("content-length"), Some("5"), "{by:?} {to:?} {method}");
        }
    }
}

#[tokio::test]
async fn early_hints_reach_an_http_1_client_before_the_answer() {
    let gate = Gate::new();
    let reply = Reply::ok("late")
        .after_interim(
            103,
            &[("Link", "</a.css>; rel=preload"), ("Connection", "x-hop"), ("X-Hop", "1")],
        )
        .after_interim(103, &[("Link", "</b.js>; rel=preload")])
        .behind(&gate);
    let origin = origin().answer("/", reply).start().await;
    let edge = To::H1.edge(&origin).await;
    let mut waiting = Vec::new();
    for by in [By::H1, By::Tls] {
        let mut raw = by.client(&edge).raw().await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        for link in ["</a.css>; rel=preload", "</b.js>; rel=preload"] {
            let early = raw.head().await;
            assert_eq!(early.word(1), "103", "{by:?}");
            assert_eq!(early.headers.one("link"), Some(link), "{by:?}");
            assert_eq!(early.headers.one("x-hop"), None, "{by:?}");
        }
        waiting.push(raw);
    }
    gate.open();
    for raw in &mut waiting {
        assert_eq!(raw.response().await, "late");
    }
    // HTTP/2 clients get the final answer alone.
    assert_eq!(By::H2.client(&edge).get("/").await, "late");
    let line = edge.access_log(3).await.swap_remove(0);
    assert_eq!((&line["status"], &line["cause"]), (&200.into(), &serde_json::Value::Null));
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_interim_answers() {
    let reply = Reply::ok("late").after_interim(103, &[("Link", "</a.css>")]);
    let origin = origin().answer("/", reply).start().await;
    let edge = To::H1.edge(&origin).await;
    let response = edge.request("GET", "/").http10().send().await;
    assert_eq!((response.interim.len(), response.text().as_str()), (0, "late"));
}

async fn old(raw: &mut Raw, fields: &str) {
    raw.write(format!("GET / HTTP/1.0\r\nHost: a\r\n{fields}\r\n")).await;
}

#[tokio::test]
async fn an_http_1_0_client_gets_no_chunks() {
    for (by, to) in [(By::H1, To::H1), (By::H1, To::H2), (By::Tls, To::H1)] {
        let feed = crate::support::Feed::new();
        feed.send("one");
        feed.send("two");
        feed.end();
        let origin = to.origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
        let edge = to.edge(&origin).await;
        for fields in ["", "Connection: keep-alive\r\n"] {
            let mut raw = by.client(&edge).raw().await;
            old(&mut raw, fields).await;
            let head = raw.head().await;
            assert_eq!(head.headers.one("transfer-encoding"), None, "{by:?} {to:?}");
            assert!(!head.lists("connection", "keep-alive"), "{by:?} {to:?} {fields}");
            assert_eq!(raw.rest().await, "onetwo", "{by:?} {to:?} {fields}");
        }
    }
}

#[tokio::test]
async fn an_http_1_0_connection_is_kept_only_if_the_client_asks() {
    for to in To::ALL {
        let reply = Reply::ok("hello").header("content-length", 5);
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut raw = edge.raw("web").await;
        for _ in 0..3 {
            old(&mut raw, "Connection: keep-alive\r\n").await;
            let response = raw.response().await;
            assert_eq!(response, "hello");
            assert_eq!(response.header("connection"), Some("keep-alive"), "{to:?}");
        }
        old(&mut raw, "").await;
        assert_eq!(raw.response().await, "hello");
        raw.closed().await;
    }
}

#[tokio::test]
async fn an_http_1_0_request_without_host_is_sent_with_the_endpoints() {
    for to in To::ALL {
        let origin = to.origin().reply("/", "hello").start().await;
        let edge = to.edge(&origin).await;
        let mut raw = edge.raw("web").await;
        raw.write("GET / HTTP/1.0\r\n\r\n").await;
        assert_eq!(raw.response().await, "hello", "{to:?}");
        let request = origin.request().await;
        let host = request.authority.as_deref().or(request.header("host"));
        assert_eq!(host, Some(origin.address()), "{to:?}");
        assert_eq!(request.header("x-forwarded-host"), None);
    }
}

#[tokio::test]
async fn an_http_1_0_body_goes_up_whole() {
    for to in To::ALL {
        let origin = to.origin().handler(|r| Reply::ok(r.body.clone())).start().await;
        let edge = to.edge(&origin).await;
        let response = edge.request("POST", "/").http10().body("hello").send().await;
        assert_eq!(response, "hello", "{to:?}");
    }
}
