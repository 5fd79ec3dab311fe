//! How long an endpoint may take to connect and to answer.

use super::{PROTOCOLS, waiting};
use crate::support::{Broken, Gate, Received, Reply, edge, origin, paced};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

/// An endpoint that takes no further connection, and what keeps it so.
fn full() -> ((TcpListener, Vec<TcpStream>), String) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let listener = TcpListener::from(socket);
    let address = listener.local_addr().unwrap();
    let patience = Duration::from_millis(300);
    let connect = || TcpStream::connect_timeout(&address, patience).ok();
    let queued = std::iter::from_fn(connect).take(100).collect();
    ((listener, queued), address.to_string())
}

#[tokio::test]
async fn an_endpoint_that_takes_no_connection_is_given_up_in_time() {
    let (_full, full) = full();
    let good = origin().reply("/", "hello").start().await;
    let document = "
        upstreams:
          full: {endpoints: [\"http://$full\"], timeouts: {connect: 300ms}}
          both: {endpoints: [\"http://$full\", $good], timeouts: {connect: 300ms}}
        routes:
          - {match: {path: /full}, upstream: full}
          - {match: {path: /}, upstream: both}
        ";
    let edge = edge(document).with("full", &full).with("good", &good).start().await;
    assert_eq!(edge.get("/full").await.status, 504);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_timeout_connect");
    assert_eq!(edge.request("POST", "/").body("some").send().await, "hello");
    let line = edge.logged("the other request", |line| line["path"] == "/").await;
    assert_eq!((&line["attempts"], &line["status"]), (&2.into(), &200.into()));
}

#[tokio::test]
async fn a_tls_handshake_belongs_to_the_time_for_connecting() {
    let (_deaf, deaf) = super::deaf();
    let edge =
        edge("upstreams: {app: {endpoints: [\"https://$deaf\"], timeouts: {connect: 300ms}}}")
            .with("deaf", deaf)
            .start()
            .await;
    assert_eq!(edge.get("/").await.status, 504);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_timeout_connect");
}

#[tokio::test]
async fn an_endpoint_that_does_not_take_the_request_is_given_up() {
    let (_deaf, deaf) = super::deaf();
    let edge = waiting(format!("http://{deaf}"), "h1", "response: 1s, idle: 1s").await;
    for client in PROTOCOLS {
        let web = edge.client("web").speaking(client);
        let body = "x".repeat(16 << 20);
        let response = web.request("POST", "/").body(body).send().await;
        assert_eq!(response.status, 504, "{client}");
    }
    for line in edge.access_log(2).await {
        assert_eq!(line["cause"], "upstream_timeout_request", "{line}");
    }
}

#[tokio::test]
async fn nor_over_http_2_though_the_client_only_sees_a_break() {
    let (_deaf, deaf) = super::deaf();
    let edge = waiting(format!("http://{deaf}"), "h2", "response: 1s, idle: 1s").await;
    for client in PROTOCOLS {
        let web = edge.client("web").speaking(client);
        let body = "x".repeat(16 << 20);
        web.request("POST", "/").body(body).try_send().await.expect_err(client);
    }
    for line in edge.access_log(2).await {
        assert_eq!(line["cause"], "upstream_timeout_request", "{line}");
    }
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_not_waited_for() {
    for protocol in PROTOCOLS {
        for (idle, response) in [("20s", "300ms"), ("400ms", "900ms")] {
            let app = origin().speaking(protocol).hanging().start().await;
            let timeouts = format!("response: {response}, idle: {idle}");
            let edge = waiting(&app, protocol, &timeouts).await;
            for client in PROTOCOLS {
                let case = format!("{client} to {protocol}, {timeouts}");
                let web = edge.client("web").speaking(client);
                assert_eq!(web.get("/get").await.status, 504, "{case}");
                let post = web.request("POST", "/post").body("some");
                assert_eq!(post.send().await.status, 504, "{case}");
            }
            for line in edge.access_log(4).await {
                assert_eq!(line["cause"], "upstream_timeout_response", "{line}");
                assert_eq!(line["attempts"], 1, "{line}");
            }
            app.until("four given up", |seen| seen.requests.iter().all(|r| r.cancelled)).await;
        }
    }
}

#[tokio::test]
async fn an_answer_may_take_longer_than_silence_may_last() {
    for protocol in PROTOCOLS {
        let late = Reply::ok("late").after(Duration::from_millis(1500));
        let app = origin().speaking(protocol).answer("/", late).start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 500ms").await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            assert_eq!(web.get("/").await, "late", "{client} to {protocol}");
            let post = web.request("POST", "/").body("some");
            assert_eq!(post.send().await, "late", "{client} to {protocol}");
        }
    }
}

#[tokio::test]
async fn a_long_upload_does_not_count_as_waiting_for_the_answer() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).handler(|r| Reply::ok(r.body.clone())).start().await;
        let edge = waiting(&app, protocol, "response: 1s, idle: 20s").await;

        let mut h1 = edge.raw("web").await;
        h1.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n").await;
        let mut h2 = edge.h2("web").await.start("POST", "/", &[], false).await;
        paced(8, Duration::from_millis(200), async |n| {
            h1.write("x").await;
            h2.write("x", n == 7).await;
        })
        .await;
        assert_eq!(h1.response().await, "xxxxxxxx", "h1 to {protocol}");
        assert_eq!(h2.response().await, "xxxxxxxx", "h2 to {protocol}");
    }
}

#[tokio::test]
async fn after_the_upload_the_answer_is_waited_for_anew() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).hanging().start().await;
        let edge = waiting(&app, protocol, "response: 300ms, idle: 20s").await;
        for client in PROTOCOLS {
            let web = edge.client("web").speaking(client);
            let body = "x".repeat(1 << 20);
            let response = web.request("POST", "/").body(body).send().await;
            assert_eq!(response.status, 504, "{client} to {protocol}");
        }
        for line in edge.access_log(2).await {
            assert_eq!(line["cause"], "upstream_timeout_response", "{line}");
            assert_eq!(line["bytes_received"], 1 << 20, "{line}");
        }
    }
}

#[tokio::test]
async fn an_interim_answer_is_not_the_answer() {
    let early = Reply::never().after_interim(103, &[("Link", "</a.css>; rel=preload")]);
    let app = origin().answer("/", early).start().await;
    let edge = waiting(&app, "h1", "response: 300ms, idle: 20s").await;
    let response = edge.get("/").await;
    assert_eq!((response.status, response.interim.len()), (504, 1));
}

#[tokio::test]
async fn a_client_that_stalls_its_upload_gets_408() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).reply("/", "hello").start().await;
        let edge = waiting(&app, protocol, "response: 20s, idle: 300ms").await;

        let mut length = edge.raw("web").await;
        length.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nsome").await;
        assert_eq!(length.response().await.status, 408, "h1 to {protocol}");
        length.closed().await;
        let mut chunked = edge.raw("web").await;
        chunked
            .write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nso")
            .await;
        assert_eq!(chunked.response().await.status, 408, "h1 to {protocol}");
        let mut h2 = edge.h2("web").await;
        let mut stalled = h2.start("POST", "/", &[], false).await;
        stalled.write("some", false).await;
        assert_eq!(stalled.response().await.status, 408, "h2 to {protocol}");
        assert_eq!(h2.get("/").await, "hello", "the connection serves other streams");

        for line in edge.access_log(3).await.iter().take(3) {
            assert_eq!(
                (&line["cause"], &line["status"]),
                (&"request_body_timeout".into(), &408.into())
            );
        }
        let stalled = |r: &Received| r.method == "POST";
        app.until("uploads given up", |seen| {
            seen.requests.iter().filter(|r| stalled(r)).all(|r| r.cancelled && !r.complete)
        })
        .await;
    }
}

#[tokio::test]
async fn the_timeouts_of_a_route_win() {
    let gate = Gate::new();
    let app = origin()
        .answer("/slow", Reply::ok("slow").after(Duration::from_millis(1200)))
        .answer("/held", super::held(&gate))
        .answer("/half", Reply::ok("half").header("Content-Length", 8))
        .start()
        .await;
    let document = "
        upstreams: {app: {endpoints: [$app], timeouts: {response: 500ms, idle: 20s}}}
        routes:
          - {match: {path: /slow}, upstream: app, timeouts: {response: 20s}}
          - {match: {path: /half}, upstream: app, timeouts: {idle: 300ms}}
          - {upstream: app}
        ";
    let edge = edge(document).with("app", &app).start().await;
    assert_eq!(edge.get("/slow").await, "slow");
    assert_eq!(edge.get("/held").await.status, 504);
    let half = edge.request("GET", "/half").try_send().await.unwrap_err();
    assert!(matches!(half, Broken::InBody(..)), "{half:?}");
}
