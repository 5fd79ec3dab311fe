//! Sizes: of heads, targets and bodies.

use super::{clients, limited, limited_before};
use crate::support::{Reply, edge, origin};

#[tokio::test]
async fn a_head_that_is_too_large_gets_431() {
    let edge = limited("header_size: 1KiB").await;
    for client in clients(&edge) {
        let most = "x".repeat(500);
        assert_eq!(client.request("GET", "/").header("x-most", &most).send().await, "hello");
        let refused = client.request("GET", "/").header("x-more", "x".repeat(1500)).send().await;
        assert_eq!(refused.status, 431, "{refused:?}");
    }
}

#[tokio::test]
async fn a_head_with_too_many_fields_gets_431() {
    let edge = limited("header_count: 10").await;
    for client in clients(&edge) {
        // `Host` is one more on HTTP/1.
        for (count, status) in [(9, 200), (11, 431)] {
            let mut request = client.request("GET", "/");
            for n in 0..count {
                request = request.header(&format!("x-{n}"), n);
            }
            assert_eq!(request.send().await.status, status, "{count}");
        }
        let line = edge.logged("it", |line| line["status"] == 431).await;
        assert_eq!(line["cause"], "header_too_large");
    }
}

#[tokio::test]
async fn an_address_that_is_too_long_gets_414() {
    let edge = limited("uri_size: 100").await;
    for client in clients(&edge) {
        let most = format!("/{}", "x".repeat(99));
        assert_eq!(client.get(&most).await, "hello");
        for more in [format!("{most}x"), format!("/?{}", "x".repeat(99))] {
            assert_eq!(client.get(&more).await.status, 414);
        }
        let line = edge.logged("it", |line| line["status"] == 414).await;
        assert_eq!(line["cause"], "uri_too_long");
    }
}

#[tokio::test]
async fn a_route_may_take_longer_or_only_shorter_addresses() {
    let edge = edge(
        "
        listeners:
          web: {address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {uri_size: 100}}
        routes:
          - {match: {path: /any/*}, limits: {uri_size: 200}, reply: {status: 200}}
          - {match: {path: /few/*}, limits: {uri_size: 50}, reply: {status: 200}}
          - {match: {path: /as/*}, reply: {status: 200}}
        ",
    )
    .start()
    .await;
    for client in [edge.client("web"), edge.client("web").h2()] {
        for (path, length, status) in [
            ("/any/", 200, 200),
            ("/any/", 201, 414),
            ("/few/", 50, 200),
            ("/few/", 51, 414),
            ("/as/", 100, 200),
            ("/as/", 101, 414),
            ("/none/", 100, 404),
            ("/none/", 101, 414),
        ] {
            let target = format!("{path}{}", "x".repeat(length - path.len()));
            assert_eq!(client.get(&target).await.status, status, "{path} {length}");
        }
    }
}

#[tokio::test]
async fn an_upgraded_connection_has_no_body_to_limit() {
    let origin = origin().answer("/", Reply::tunnel("echo")).start().await;
    let edge = limited_before(&origin, "body_size: 10").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
        raw.write(upgrade).await;
        assert_eq!(raw.head().await.word(1), "101");
        let much = "x".repeat(100_000) + "end";
        raw.write(&much).await;
        assert_eq!(raw.until(b"end").await.len(), much.len());
    }
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_gets_413_before_it_is_read() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let edge = limited_before(&origin, "body_size: 10").await;
    for client in clients(&edge) {
        let post =
            |path: &str, length: usize| client.request("POST", path).body("x".repeat(length));
        assert_eq!(post("/", 10).send().await, "10");
        let hits = origin.hits();
        assert_eq!(post("/", 11).send().await.status, 413);
        assert_eq!(post("/narrow", 6).send().await.status, 413);
        assert_eq!(origin.hits(), hits, "refused by the length alone");

        // A route's own limit wins, be it narrower or wider.
        assert_eq!(post("/narrow", 5).send().await, "5");
        assert_eq!(post("/wide", 1 << 20).send().await, "1048576");
        assert_eq!(post("/wide", (1 << 20) + 1).send().await.status, 413);
        assert_eq!(post("/any", 2 << 20).send().await, "2097152");
    }
    let line = edge.logged("it", |line| line["status"] == 413).await;
    assert_eq!(line["cause"], "body_too_large");
    edge.metric_becomes("falconer_route_failures_total{cause=\"body_too_large\"}", 12.0).await;
}

#[tokio::test]
async fn a_body_of_unknown_length_is_counted() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let edge = limited_before(&origin, "body_size: 10").await;
    let clients = clients(&edge);
    for client in &clients {
        for (path, most) in [("/", 10), ("/narrow", 5), ("/wide", 1 << 20)] {
            for (length, status) in [(most, 200), (most + 1, 413)] {
                let request = client.request("POST", path).body("x".repeat(length));
                let response = request.chunked().send().await;
                assert_eq!(response.status, status, "{path} {length}");
            }
        }
    }
    let whole = |seen: &crate::support::Seen| {
        seen.requests.iter().filter(|request| request.complete).count()
    };
    origin.until("the small bodies", |seen| whole(seen) == 3 * clients.len()).await;
}

#[tokio::test]
async fn a_refused_upload_is_answered_while_it_is_sent() {
    let origin = origin().hanging().start().await;
    let edge = limited_before(&origin, "body_size: 100").await;
    for client in clients(&edge) {
        // Much more than all buffers on the way hold.
        let body = "x".repeat(20 << 20);
        let plain = client.request("POST", "/").body(body.clone());
        assert_eq!(plain.send().await.status, 413);
        let chunked = client.request("POST", "/").body(body).chunked();
        assert_eq!(chunked.send().await.status, 413);
    }
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_no() {
    let origin = origin().hanging().start().await;
    let edge = limited_before(&origin, "body_size: 100").await;
    let mut raw = edge.raw("web").await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n")
        .await;
    let refused = raw.response().await;
    assert_eq!((refused.status, refused.interim.len()), (413, 0));
    raw.closed().await;
}
