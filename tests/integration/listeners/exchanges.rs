//! Several exchanges on one connection, and when their bytes leave.

use crate::support::{Client, Edge, Feed, Gate, Origin, Reply, edge, origin};

/// An origin that answers with what it was asked for and sent.
async fn echo() -> Origin {
    origin()
        .handler(|request| {
            let body = String::from_utf8_lossy(&request.body);
            Reply::ok(format!("{} {} {body}", request.method, request.target))
        })
        .start()
        .await
}

async fn before(origin: &Origin) -> Edge {
    let document = "
        listeners:
          web: {address: \"127.0.0.1:0\"}
          secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        upstreams: {app: {endpoints: [$app]}}
        ";
    edge(document).with("app", origin).start().await
}

/// Clients of HTTP/1, in clear text and over TLS.
fn clients(edge: &Edge) -> [Client; 2] {
    [edge.client("web"), edge.client("secure").tls()]
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let origin = echo().await;
    let edge = before(&origin).await;
    for client in clients(&edge) {
        let mut raw = client.raw().await;
        raw.write(
            "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /2 HTTP/1.1\r\nHost: a\r\n\r\n\
             POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nthree\
             POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
             2\r\nfo\r\n2;x=y\r\nur\r\n0\r\nX-Trailer: 1\r\n\r\n\
             HEAD /5 HTTP/1.1\r\nHost: a\r\n\r\n\
             GET /6 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .await;
        assert_eq!(raw.response().await, "GET /1 ");
        assert_eq!(raw.response().await, "GET /2 ");
        assert_eq!(raw.response().await, "POST /3 three");
        assert_eq!(raw.response().await, "POST /4 four");
        assert_eq!(raw.response_to("HEAD").await, "");
        assert_eq!(raw.response().await, "GET /6 ");
        raw.ended().await;
    }
    assert_eq!(origin.hits(), 12);
}

#[tokio::test]
async fn a_slow_first_answer_still_comes_before_a_fast_second() {
    let gates = [Gate::new(), Gate::new()];
    let origin = origin()
        .answer("/0", Reply::ok("slow").behind(&gates[0]))
        .answer("/1", Reply::ok("slow").behind(&gates[1]))
        .reply("/fast", "fast")
        .start()
        .await;
    let edge = before(&origin).await;
    for (n, (client, gate)) in clients(&edge).iter().zip(&gates).enumerate() {
        let mut raw = client.raw().await;
        raw.write(format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
        let slow = format!("/{n}");
        origin.until("it", |seen| seen.requests.iter().any(|r| r.target == slow)).await;
        // While an answer is awaited, the edge reads only to see whether the client is there.
        raw.write("GET /fast HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(edge.get("/fast").await, "fast");
        gate.open();
        assert_eq!(raw.response().await, "slow");
        assert_eq!(raw.response().await, "fast");
    }
}

#[tokio::test]
async fn what_is_sent_after_the_last_request_does_not_reset_its_answer_away() {
    let body = "x".repeat(4 << 20);
    let origin = origin().reply("/", &body).start().await;
    let edge = before(&origin).await;
    for client in clients(&edge) {
        let mut raw = client.raw().await;
        let last = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        raw.write([last, &"GET /more HTTP/1.1\r\nHost: a\r\n\r\n".repeat(100)].concat()).await;
        assert_eq!(raw.response().await.body.len(), body.len());
        raw.ended().await;
    }
    assert!(origin.requests().iter().all(|request| request.target == "/"));
}

#[tokio::test]
async fn much_may_be_sent_ahead() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let mut raw = edge.raw("web").await;
    // More than any buffer of the edge holds.
    let count = 2_000;
    let all: String = (0..count).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    let reading = async {
        raw.write(all).await;
        for n in 0..count {
            assert_eq!(raw.response().await, format!("GET /{n} ").as_str());
        }
    };
    reading.await;
    assert_eq!(origin.hits(), count);
}

#[tokio::test]
async fn a_line_end_too_many_after_a_body_does_no_harm() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let mut raw = edge.raw("web").await;
    let post = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\r\n";
    raw.write([post, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
    assert_eq!(raw.response().await, "POST /1 abc");
    assert_eq!(raw.response().await, "GET /2 ");
    raw.write(post).await;
    assert_eq!(raw.response().await, "POST /1 abc");
    raw.write("\r\n\r\nGET /3 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.response().await, "GET /3 ");
}

#[tokio::test]
async fn a_body_is_told_from_the_next_request_wherever_it_is_cut() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let all = "POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
               3\r\nabc\r\n0\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n";
    let body = all.find("\r\n\r\n").unwrap();
    for cut in body..all.len() {
        let (first, second) = all.split_at(cut);
        let mut raw = edge.raw("web").await;
        raw.write(first).await;
        assert_eq!(edge.get("/else").await, "GET /else ");
        raw.write(second).await;
        assert_eq!(raw.response().await, "POST /1 abc", "cut at {cut}");
        assert_eq!(raw.response().await, "GET /2 ", "cut at {cut}");
    }
}

#[tokio::test]
async fn an_upgrade_field_that_connection_does_not_name_changes_nothing() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let mut raw = edge.raw("web").await;
    raw.write(
        "POST /1 HTTP/1.1\r\nHost: a\r\nUpgrade: foo/2\r\nContent-Length: 3\r\n\r\nabc\
         GET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
    )
    .await;
    assert_eq!(raw.response().await, "POST /1 abc");
    assert_eq!(raw.response().await, "GET /2 ");
    assert_eq!(origin.request().await.header("upgrade"), None);
}

#[tokio::test]
async fn a_declined_upgrade_leaves_a_connection_for_further_requests() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let mut raw = edge.raw("web").await;
    let upgrade = "GET /1 HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: foo/2\r\n\r\n";
    raw.write(upgrade).await;
    assert_eq!(raw.response().await, "GET /1 ");
    raw.write("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.response().await, "GET /2 ");
}

#[tokio::test]
async fn http_1_0_is_closed_after_its_answer_unless_it_asks_to_be_kept() {
    let origin = echo().await;
    let edge = before(&origin).await;
    let mut raw = edge.raw("web").await;
    raw.write("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").await;
    let kept = raw.response().await;
    assert_eq!((kept.text().as_str(), kept.header("connection")), ("GET /1 ", Some("keep-alive")));
    raw.write("GET /2 HTTP/1.0\r\n\r\n").await;
    let last = raw.response().await;
    assert_eq!((last.text().as_str(), last.header("connection")), ("GET /2 ", Some("close")));
    raw.closed().await;
}

#[tokio::test]
async fn head_and_body_of_a_small_answer_leave_in_one_write() {
    let origin = origin().reply("/", "hello").start().await;
    let edge = before(&origin).await;
    for client in clients(&edge) {
        let mut raw = client.raw().await;
        // Whoever waits in a read would see the head alone, sooner or later.
        for _ in 0..50 {
            raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            let read = String::from_utf8_lossy(&raw.read().await).into_owned();
            assert!(read.starts_with("HTTP/1.1 200 OK\r\n"), "{read:?}");
            assert!(read.ends_with("\r\n\r\nhello"), "{read:?}");
        }
    }
}

#[tokio::test]
async fn a_trickled_body_is_never_held_back() {
    for length in [Some(9), None] {
        let feeds = [Feed::new(), Feed::new(), Feed::new()];
        let mut origin = origin();
        for (n, feed) in feeds.iter().enumerate() {
            let reply = Reply::new(200).fed_by(feed);
            let reply = match length {
                Some(length) => reply.header("Content-Length", length),
                None => reply,
            };
            origin = origin.answer(&format!("/{n}"), reply);
        }
        let origin = origin.start().await;
        let edge = before(&origin).await;
        let [clear, secure] = clients(&edge);
        let all = [clear, secure.clone(), secure.h2()];

        for (n, (client, feed)) in all.iter().zip(&feeds).enumerate() {
            let mut flow = client.request("GET", &format!("/{n}")).open().await;
            assert_eq!(flow.head().await.status, 200);
            // The next piece is sent only when the one before has arrived.
            for piece in ["one", "two", "six"] {
                feed.send(piece);
                assert_eq!(flow.bytes(3).await, piece.as_bytes(), "client {n}, {length:?}");
            }
            feed.end();
            assert!(flow.piece().await.is_none());
        }
    }
}

#[tokio::test]
async fn a_trickled_request_body_is_never_held_back() {
    let gate = Gate::new();
    let origin = origin().before_body().answer("/", Reply::ok("done").behind(&gate)).start().await;
    let edge = before(&origin).await;
    let [clear, secure] = clients(&edge);
    for (n, client) in [clear, secure.clone(), secure.h2()].into_iter().enumerate() {
        let request = client.request("POST", "/").header("content-length", 6);
        let mut flow = request.open().await;
        for (sent, piece) in [(3, "one"), (6, "two")] {
            flow.write(piece).await;
            let arrived = |seen: &crate::support::Seen| {
                seen.requests.get(n).is_some_and(|request| request.length == sent)
            };
            origin.until("the piece", arrived).await;
        }
        gate.open();
        assert_eq!(flow.head().await.status, 200);
    }
}

#[tokio::test]
async fn a_reply_that_needs_no_body_is_read_whole_though_the_body_is_still_coming() {
    let edge = edge("routes: [{reply: {status: 200, body: hello}}]").start().await;
    let mut raw = edge.raw("web").await;
    let body = "x".repeat(200_000);
    let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
    raw.write(head + &body).await;
    assert_eq!(raw.response().await, "hello");
}

#[tokio::test]
async fn a_body_that_never_comes_holds_no_connection() {
    let edge = edge("routes: [{reply: {status: 200, body: hello}}]").start().await;
    let mut raw = edge.raw("web").await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n").await;
    assert_eq!(raw.response().await, "hello");
    raw.closed().await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 0.0).await;
}
