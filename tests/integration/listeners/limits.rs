//! Every limit of a listener: what happens beyond it, and that it can be off.

use crate::support::{
    Client, Edge, Feed, Gate, Origin, Raw, Reply, allow_descriptors, edge, origin,
};
use std::time::{Duration, Instant};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// An edge that replies by itself, in clear text and over TLS, with these limits.
async fn limited(limits: &str) -> Edge {
    edge(&format!(
        "
        listeners:
          web: {{address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {{{limits}}}}}
          secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}, limits: {{{limits}}}}}
        certificates: {{site: {{self_signed: [localhost]}}}}
        routes: [{{reply: {{status: 200, body: hello}}}}]
        "
    ))
    .start()
    .await
}

/// The same before an origin.
async fn limited_before(origin: &Origin, limits: &str) -> Edge {
    edge(&format!(
        "
        listeners:
          web: {{address: \"127.0.0.1:0\", protocols: [h1, h2], limits: {{{limits}}}}}
          secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}, limits: {{{limits}}}}}
        certificates: {{site: {{self_signed: [localhost]}}}}
        upstreams: {{app: {{endpoints: [$app]}}}}
        routes:
          - {{upstream: app}}
          - {{match: {{path: /narrow}}, upstream: app, limits: {{body_size: 5}}}}
          - {{match: {{path: /wide}}, upstream: app, limits: {{body_size: 1MiB}}}}
          - {{match: {{path: /any}}, upstream: app, limits: {{body_size: off}}}}
        "
    ))
    .with("app", origin)
    .start()
    .await
}

/// Clients of every kind: HTTP/1 and HTTP/2, in clear text and over TLS.
fn clients(edge: &Edge) -> [Client; 4] {
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    [clear.clone(), clear.h2(), secure.clone(), secure.h2()]
}

/// Sends a request that is answered, so that the connection is certainly served.
async fn use_once(raw: &mut Raw) {
    raw.write(GET).await;
    assert_eq!(raw.response().await, "hello");
}

// Connections

#[tokio::test]
async fn further_connections_wait_until_there_is_room() {
    let edge = limited("connections: 2").await;
    let (mut first, mut second) = (edge.raw("web").await, edge.raw("web").await);
    use_once(&mut first).await;
    use_once(&mut second).await;

    let mut third = edge.raw("web").await;
    third.write(GET).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"connections\"}";
    edge.metric_reaches(paused, 1.0).await;
    assert_eq!(edge.metric("falconer_listener_connections{listener=\"web\"}").await, 2.0);
    assert_eq!(edge.metric("falconer_listener_connections_total{listener=\"web\"}").await, 2.0);
    // Those that are in are served as before.
    use_once(&mut first).await;
    use_once(&mut second).await;

    drop(first);
    assert_eq!(third.response().await, "hello");
    use_once(&mut second).await;
}

#[tokio::test]
async fn a_full_house_says_so_only_when_somebody_is_left_outside() {
    let edge = limited("connections: 1").await;
    let mut only = edge.raw("web").await;
    use_once(&mut only).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"connections\"}";
    assert_eq!(edge.metric(paused).await, 0.0);
}

#[tokio::test]
async fn room_goes_to_whichever_address_is_asked() {
    let edge = edge(
        "
        listeners:
          web: {address: [\"127.0.0.1:0\", \"[::1]:0\"], limits: {connections: 1}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    for address in edge.addresses("web").into_iter().rev() {
        assert_eq!(Client::new(address).get("/").await, "hello", "{address}");
    }
}

#[tokio::test]
async fn all_listeners_together_have_a_limit_too() {
    let edge = edge(
        "
        server: {limits: {connections: 1}}
        listeners: {one: {address: \"127.0.0.1:0\"}, two: {address: \"127.0.0.1:0\"}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    assert_eq!(edge.client("two").get("/").await, "hello");
    let mut one = edge.raw("one").await;
    use_once(&mut one).await;

    let mut two = edge.raw("two").await;
    two.write(GET).await;
    let paused = "falconer_listener_accept_pauses_total{listener=\"two\",reason=\"connections\"}";
    edge.metric_reaches(paused, 1.0).await;
    drop(one);
    assert_eq!(two.response().await, "hello");
}

#[tokio::test]
async fn a_client_with_too_many_connections_is_turned_away() {
    let edge = limited("connections_per_client: 2").await;
    let (mut first, mut second) = (edge.raw("web").await, edge.raw("web").await);
    use_once(&mut first).await;
    use_once(&mut second).await;

    edge.raw("web").await.closed().await;
    let turned_away = "falconer_listener_connections_refused_total\
                       {listener=\"web\",limit=\"connections_per_client\"}";
    edge.metric_becomes(turned_away, 1.0).await;
    use_once(&mut first).await;

    drop(second);
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 1.0).await;
    use_once(&mut edge.raw("web").await).await;
    edge.metric_becomes(turned_away, 1.0).await;
}

#[tokio::test]
async fn a_trusted_proxy_may_have_any_number_of_connections() {
    let edge = edge(
        "
        listeners:
          web:
            address: \"127.0.0.1:0\"
            trusted_proxies: [127.0.0.0/8]
            limits: {connections_per_client: 1}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(edge.raw("web").await);
    }
    for raw in &mut all {
        use_once(raw).await;
    }
}

#[tokio::test]
async fn running_out_of_descriptors_pauses_accepting_and_no_more() {
    let edge = edge(
        "
        server: {threads: 1, limits: {connections: off}}
        listeners: {web: {address: \"127.0.0.1:0\", limits: {connections: off}}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .descriptors(64, 64)
    .start()
    .await;
    // Asked for on a connection that is there already, because there will be none to be had.
    let mut admin = edge.raw("admin").await;
    let mut all = Vec::new();
    for _ in 0..100 {
        let mut raw = edge.raw("web").await;
        raw.write(GET).await;
        all.push(raw);
    }
    edge.stderr().line("accepting pauses").await;
    admin.write("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    let metrics = admin.response().await.text();
    drop(admin);
    let paused = "falconer_listener_accept_pauses_total{listener=\"web\",reason=\"descriptors\"} ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(paused));
    let count: f64 = line.expect("the metric").parse().unwrap();
    assert!(count >= 1.0, "{count}");

    // Every answer that comes makes room for another connection.
    for mut raw in all {
        assert_eq!(raw.response().await, "hello");
    }
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn the_soft_limit_on_descriptors_is_raised_at_the_start() {
    let edge = edge("routes: [{reply: {status: 200, body: hello}}]");
    let edge = edge.descriptors(64, 512).start().await;
    let limits = format!("/proc/{}/limits", edge.process().id());
    let limits = std::fs::read_to_string(limits).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..2], ["512", "512"], "soft and hard: {line}");
}

// Time

#[tokio::test]
async fn a_tls_handshake_that_takes_too_long_is_ended() {
    let edge = limited("handshake_timeout: 200ms").await;
    let mut silent = edge.raw("secure").await;
    silent.closed().await;
    let failures = "falconer_listener_tls_handshake_failures_total{listener=\"secure\"}";
    edge.metric_becomes(failures, 1.0).await;
    assert_eq!(edge.client("secure").tls().get("/").await, "hello");
}

#[tokio::test]
async fn an_h2_preface_that_never_comes_is_not_waited_for() {
    let edge = limited("handshake_timeout: 200ms").await;
    let silent = edge.client("secure").with_tls(|tls| tls.alpn = vec!["h2"]);
    let mut raw = silent.raw().await;
    raw.rest().await;
    edge.metric_becomes("falconer_listener_connections{listener=\"secure\"}", 0.0).await;
}

#[tokio::test]
async fn a_client_that_never_asks_is_left_after_the_time_for_a_head() {
    let edge = limited("header_timeout: 300ms").await;
    edge.raw("web").await.closed().await;
    edge.client("secure").tls().raw().await.closed().await;
}

#[tokio::test]
async fn the_time_for_a_head_is_one_for_the_whole_head() {
    let edge = limited("header_timeout: 500ms").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        let started = Instant::now();
        raw.write("GET / HTTP/1.1\r\nX: ").await;
        let answer = loop {
            raw.write("x").await;
            let pace = Duration::from_millis(50);
            if let Ok(answer) = tokio::time::timeout(pace, raw.read()).await {
                break String::from_utf8_lossy(&answer).into_owned();
            }
        };
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n"), "{answer}");
        assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
        let line = edge.logged("the timeout", |line| line["status"] == 408).await;
        assert_eq!(line["cause"], "request_timeout");
    }
    let refused = "falconer_listener_requests_refused_total{cause=\"request_timeout\"}";
    edge.metric_becomes(refused, 2.0).await;
}

#[tokio::test]
async fn the_time_for_a_head_begins_anew_with_each_request() {
    let edge = limited("header_timeout: 400ms, keep_alive: 60s").await;
    let mut raw = edge.raw("web").await;
    let started = Instant::now();
    // The connection lives longer than a head may take.
    while started.elapsed() < Duration::from_millis(1200) {
        use_once(&mut raw).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_half_head_on_a_kept_connection_gets_408_too() {
    let edge = limited("header_timeout: 300ms").await;
    let mut raw = edge.raw("web").await;
    use_once(&mut raw).await;
    raw.write("GET / HTTP/1.1\r\nHos").await;
    assert_eq!(raw.response().await.status, 408);
    raw.closed().await;
}

#[tokio::test]
async fn a_line_end_too_many_is_no_request_to_wait_for() {
    let edge = limited("header_timeout: 300ms, keep_alive: 1s").await;
    let mut raw = edge.raw("web").await;
    raw.write([GET, "\r\n"].concat()).await;
    assert_eq!(raw.response().await, "hello");
    // Idle like any other: closed without a word when the time of keep-alive is over.
    raw.closed().await;
    assert_eq!(edge.access_log(1).await.len(), 1);
}

#[tokio::test]
async fn an_idle_connection_is_closed_when_keep_alive_is_over() {
    let edge = limited("keep_alive: 1s").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        use_once(&mut raw).await;
        raw.ended().await;
    }
    let mut h2 = edge.h2("web").await;
    assert_eq!(h2.get("/").await, "hello");
    h2.left().await.expect("a proper end");
    let mut h2 = edge.client("secure").tls().open_h2().await;
    assert_eq!(h2.get("/").await, "hello");
    h2.left().await.expect("a proper end");
    assert_eq!(edge.access_log(4).await.len(), 4);
}

#[tokio::test]
async fn a_listener_of_many_addresses_has_one_clock() {
    let edge = edge(
        "
        listeners:
          web:
            address: [\"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\", \"127.0.0.1:0\"]
            limits: {keep_alive: 2s}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    let mut raw = edge.raw("web").await;
    use_once(&mut raw).await;
    let idle_since = Instant::now();
    raw.ended().await;
    assert!(idle_since.elapsed() >= Duration::from_secs(2), "{:?}", idle_since.elapsed());
}

#[tokio::test]
async fn a_long_exchange_is_not_idle() {
    let (feed, gate) = (Feed::new(), Gate::new());
    let origin = origin()
        .answer("/fed", Reply::new(200).fed_by(&feed))
        .answer("/late", Reply::ok("late").behind(&gate))
        .reply("/", "hello")
        .start()
        .await;
    let edge = limited_before(&origin, "keep_alive: 1s, header_timeout: 1s").await;
    let mut late = edge.request("GET", "/late").open().await;
    let mut fed = edge.client("web").h2().request("GET", "/fed").open().await;
    assert_eq!(fed.head().await.status, 200);

    // Another connection becomes idle after them, and is closed before them.
    let mut idle = edge.raw("web").await;
    use_once(&mut idle).await;
    idle.closed().await;

    gate.open();
    feed.send("fed");
    feed.end();
    assert_eq!(late.head().await.status, 200);
    assert_eq!(late.bytes(4).await, b"late");
    assert_eq!(fed.bytes(3).await, b"fed");
}

// Sizes

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

// Off

#[tokio::test]
async fn every_limit_can_be_off() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let off = "connections: off, connections_per_client: off, handshake_timeout: off, \
               header_timeout: off, header_size: off, header_count: off, uri_size: off, \
               keep_alive: off, body_size: off";
    let edge = limited_before(&origin, off).await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let long = format!("/?{}", "x".repeat(60_000));
        assert_eq!(client.get(&long).await, "0");

        let mut many = client.request("GET", "/");
        for n in 0..200 {
            many = many.header(&format!("x-{n}"), "x".repeat(2_000));
        }
        assert_eq!(many.send().await, "0");

        // 30 MB is the limit where none is written.
        let large = client.request("POST", "/").body(vec![b'x'; 32_000_000]);
        assert_eq!(large.send().await, "32000000");
    }

    // One client may have 500 connections where no limit is written.
    allow_descriptors(2_000);
    let mut all = Vec::new();
    for _ in 0..510 {
        all.push(edge.raw("web").await);
    }
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 510.0).await;
}

#[tokio::test]
async fn what_no_uri_can_hold_is_refused_though_the_limit_is_off() {
    let edge = limited("uri_size: off, header_size: off").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let longest = client.get(&format!("/{}", "x".repeat(65_533))).await;
        assert_eq!(longest.status, 200);
        let refused = client.get(&format!("/{}", "x".repeat(70_000))).await;
        assert_eq!((refused.status, refused.header("connection")), (414, Some("close")));
    }
}

#[tokio::test]
async fn more_fields_than_the_engine_knows_are_refused_though_the_limit_is_off() {
    let edge = limited("header_count: off").await;
    let mut request = edge.request("GET", "/");
    for n in 0..300 {
        request = request.header(&format!("x-{n}"), n);
    }
    assert_eq!(request.send().await.status, 431);
}
