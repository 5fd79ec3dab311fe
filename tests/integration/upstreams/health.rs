//! Endpoints are asked whether they are well, beside the requests.

mod grpc;
mod reload;

use super::names::on_one_port;
use crate::support::{
    Authority, Edge, Feed, OriginBuilder, Port, Reply, edge, origin, proxy_protocol, within,
};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

const HEALTHY: &str = r#"falconer_upstream_endpoint_healthy{upstream="app"}"#;
const PASSED: &str = r#"falconer_upstream_health_checks_total{upstream="app",result="passed"}"#;
const FAILED: &str = r#"falconer_upstream_health_checks_total{upstream="app",result="failed"}"#;
const UNHEALTHY: &str = "an endpoint is unhealthy";
const AGAIN: &str = "an endpoint is healthy again";

/// An edge whose upstream `app` has these endpoints, checked like this many times a second, and
/// these further keys.
async fn checking(app: impl Display, health: &str, keys: &str) -> Edge {
    let edge = edge(CHECKING).with("app", app).with("health", health);
    edge.with("keys", keys).start().await
}

const CHECKING: &str = "
    upstreams:
      app:
        endpoints: [$app]
        health: {$health, interval: 50ms, timeout: 5s}
        $keys
    ";

/// The status that an origin answers checks with, for a test to change.
#[derive(Clone)]
struct Mood(Arc<AtomicU16>);

impl Mood {
    fn new() -> Self {
        Self(Arc::new(AtomicU16::new(200)))
    }

    fn is(&self, status: u16) {
        self.0.store(status, Ordering::Relaxed);
    }

    /// Has an origin answer like this.
    fn of(&self, origin: OriginBuilder) -> OriginBuilder {
        let mood = self.clone();
        origin.handler(move |_| Reply::new(mood.0.load(Ordering::Relaxed)).body("hello"))
    }
}

/// The endpoint falls ill and gets well, and the edge says so each time, once.
async fn follows(edge: &Edge, mood: &Mood, endpoint: &str) {
    edge.metric_becomes(HEALTHY, 1.0).await;
    assert!(!edge.stderr().text().contains("an endpoint is"), "a good start is no news");
    mood.is(503);
    let said = edge.stderr().line(UNHEALTHY).await;
    edge.metric_becomes(HEALTHY, 0.0).await;
    for part in ["WARN", "upstream=app", endpoint, "it answered with 503"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let failed = edge.metric(FAILED).await;
    edge.metric_reaches(FAILED, failed + 3.0).await;
    mood.is(200);
    let said = edge.stderr().line(AGAIN).await;
    edge.metric_becomes(HEALTHY, 1.0).await;
    assert!(said.contains("INFO") && said.contains(endpoint), "{said}");
    let passed = edge.metric(PASSED).await;
    edge.metric_reaches(PASSED, passed + 3.0).await;
    let said = edge.stderr().text();
    assert_eq!([UNHEALTHY, AGAIN].map(|line| said.matches(line).count()), [1, 1], "{said}");
}

/// Why an endpoint that was never well is not.
async fn ill(edge: &Edge) -> String {
    edge.metric_becomes(HEALTHY, 0.0).await;
    let said = edge.stderr().line(UNHEALTHY).await;
    edge.metric_reaches(FAILED, 3.0).await;
    assert_eq!(edge.metric(PASSED).await, 0.0);
    said
}

#[tokio::test]
async fn an_endpoint_is_asked_in_the_version_of_its_requests() {
    for protocol in ["h1", "h2"] {
        let mood = Mood::new();
        let app = mood.of(origin().speaking(protocol)).start().await;
        let edge = checking(&app, "path: /healthz?a=1", &format!("protocol: {protocol}")).await;
        follows(&edge, &mood, app.endpoint()).await;
        let asked = app.request().await;
        assert_eq!((&*asked.method, &*asked.target), ("GET", "/healthz?a=1"));
        let (host, scheme) = match protocol {
            "h1" => (asked.header("host"), None),
            _ => (asked.authority.as_deref(), Some("http")),
        };
        assert_eq!((host, asked.scheme.as_deref()), (Some(app.address()), scheme));
        assert_eq!(asked.header("user-agent"), Some("falconer-health-check"));
    }
}

#[tokio::test]
async fn tls_is_that_of_its_requests() {
    let authority = Authority::new();
    let own = authority.issue(&["edge.internal"]);
    for protocol in ["h1", "h2", "auto"] {
        let mood = Mood::new();
        let app = origin().tls(&authority.issue(&["app.internal"])).demanding(&[&authority.pem]);
        let app = mood.of(app).start().await;
        let keys = format!(
            "tls: {{ca: ca.pem, sni: app.internal, client_certificate: edge}}, protocol: {protocol}"
        );
        let document = "
            certificates: {edge: {chain: edge.pem, key: edge.key}}
            upstreams:
              app: {endpoints: [$app], health: {path: /, interval: 50ms}, $keys}
              stranger: {endpoints: [$app], health: {path: /, interval: 1h}, tls: {verify: false}}
              doubting: {endpoints: [$app], health: {path: /, interval: 1h}}
        ";
        let edge = edge(document).with("app", &app).with("keys", keys);
        let edge = edge.file("ca.pem", &authority.pem).file("edge.pem", &own.chain);
        let edge = edge.file("edge.key", &own.key).start().await;
        for upstream in ["stranger", "doubting"] {
            let series = format!("falconer_upstream_endpoint_healthy{{upstream=\"{upstream}\"}}");
            assert_eq!(edge.metric(&series).await, 0.0, "{upstream}");
        }
        edge.metric_becomes(HEALTHY, 1.0).await;
        mood.is(500);
        edge.metric_becomes(HEALTHY, 0.0).await;
        mood.is(204);
        edge.metric_becomes(HEALTHY, 1.0).await;
        let asked = app.request().await;
        let version = if protocol == "h1" { "HTTP/1.1" } else { "HTTP/2.0" };
        assert_eq!(asked.version, version, "{protocol}");
        assert_eq!(asked.hello.sni.as_deref(), Some("app.internal"));
        assert!(asked.hello.shows(&own));
    }
}

#[tokio::test]
async fn a_unix_socket_is_asked_too() {
    let folder = tempfile::tempdir().unwrap();
    for (n, health) in ["path: /", "tcp: {}"].into_iter().enumerate() {
        let path = folder.path().join(format!("{n}.sock"));
        let mood = Mood::new();
        let app = mood.of(origin()).unix(&path).start().await;
        let edge = checking(&app, health, "").await;
        if n == 0 {
            follows(&edge, &mood, app.endpoint()).await;
            assert_eq!(app.request().await.header("host"), Some("localhost"));
        }
        edge.metric_becomes(HEALTHY, 1.0).await;
        drop(app);
        edge.metric_becomes(HEALTHY, 0.0).await;
        std::fs::remove_file(&path).unwrap();
        let _app = origin().unix(&path).reply("/", "hello").start().await;
        edge.metric_becomes(HEALTHY, 1.0).await;
    }
}

#[tokio::test]
async fn the_request_is_the_operators() {
    let app = origin().handler(|_| Reply::new(401)).start().await;
    let health = "http: {method: POST, path: /status, host: shop.internal, \
                  headers: {authorization: Basic eDp5, x-probe: '1'}, expect: [200-299, 401]}";
    let edge = checking(&app, health, "").await;
    edge.metric_becomes(HEALTHY, 1.0).await;
    let asked = app.request().await;
    assert_eq!((&*asked.method, &*asked.target), ("POST", "/status"));
    for (name, value) in [
        ("host", "shop.internal"),
        ("authorization", "Basic eDp5"),
        ("x-probe", "1"),
        ("content-length", "0"),
        ("connection", "close"),
    ] {
        assert_eq!(asked.header(name), Some(value), "{name}");
    }
}

#[tokio::test]
async fn a_body_must_hold_what_is_expected_in_its_first_64_kib() {
    for protocol in ["h1", "h2"] {
        let keys = format!("protocol: {protocol}");
        let with = async |length: usize| {
            let body = format!("{}ready{}", " ".repeat(length), " ".repeat(100_000));
            let app = origin().speaking(protocol).reply("/", &body).start().await;
            let edge = checking(&app, "http: {body: ready}", &keys).await;
            (edge, app)
        };
        let (edge, _app) = with(65_531).await;
        edge.metric_reaches(PASSED, 3.0).await;
        assert_eq!((edge.metric(HEALTHY).await, edge.metric(FAILED).await), (1.0, 0.0));
        let (edge, _app) = with(65_532).await;
        let said = ill(&edge).await;
        assert!(said.contains("the 65536 bytes of its body lack what is expected"), "{said}");
    }
}

#[tokio::test]
async fn each_check_has_a_connection_of_its_own_that_is_closed() {
    for (protocol, health) in
        [("h1", "path: /"), ("h2", "path: /"), ("h1", "tcp: {}"), ("h2", "tcp: {}")]
    {
        let app = origin().speaking(protocol).reply("/", "hello").start().await;
        let edge = checking(&app, health, &format!("protocol: {protocol}")).await;
        app.until("five connections", |seen| seen.connections >= 5 && seen.open <= 1).await;
        // A request has another one, and leaves it to the next.
        for n in 1..=3 {
            assert_eq!(edge.get("/").await, "hello");
            edge.access_log(n).await;
        }
        assert_eq!(edge.metric("falconer_upstream_connects_total").await, 1.0);
        if health == "path: /" {
            let of_requests = app
                .requests()
                .into_iter()
                .filter(|request| request.header("user-agent") != Some("falconer-health-check"));
            let numbers: Vec<_> = of_requests.map(|request| request.connection).collect();
            assert!(numbers.len() == 3 && numbers.iter().all(|n| *n == numbers[0]), "{numbers:?}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_is_unhealthy_when_its_time_is_over() {
    let document = "
        upstreams:
          app:
            endpoints: [$app]
            protocol: $protocol
            health: {http: {body: ready}, interval: 50ms, timeout: 300ms}
        ";
    for protocol in ["h1", "h2"] {
        let feed = Feed::new();
        feed.send("not yet, ");
        for app in [origin().hanging(), origin().handler(move |_| Reply::new(200).fed_by(&feed))] {
            let app = app.speaking(protocol).start().await;
            let start = Instant::now();
            let edge = edge(document).with("app", &app).with("protocol", protocol).start().await;
            let said = ill(&edge).await;
            assert!(said.contains("it did not answer within 300ms"), "{said}");
            assert!(start.elapsed() >= Duration::from_millis(900), "each takes its time");
            app.until("hung up connections", |seen| seen.connections >= 3 && seen.open <= 1).await;
        }
    }
}

#[tokio::test]
async fn whatever_else_an_endpoint_does_is_no_answer() {
    let raw = |bytes: &'static str| origin().raw_then_close(bytes);
    for (app, keys, why) in [
        (origin().refusing(), "", "it refuses connections"),
        (origin().resetting(), "", "why="),
        (raw(""), "", "it closed the connection without an answer"),
        (raw("SSH-2.0-OpenSSH_9.9\r\n\r\n"), "", "its answer is not HTTP"),
        (raw("HTTP/1.1 200 OK\r\n"), "", "it closed the connection"),
        (raw("HTTP/1.1 103 Early Hints\r\n\r\n"), "", "it closed the connection"),
        (raw("HTTP/1.1 101 Switching Protocols\r\n\r\n"), "", "why="),
        (raw("HTTP/1.1 404 Not Found\r\n\r\n"), "", "it answered with 404"),
        (raw("HTTP/1.1 200 OK\r\n\r\n"), "protocol: h2", "HTTP/2 failed"),
        (origin().h2c().reply("/", "hello"), "", "why="),
        (origin().h2c().answer("/", Reply::ok("a").then_reset()), "protocol: h2", ""),
    ] {
        if why.is_empty() {
            // Its head was whole, and nothing is asked of its body.
            let app = app.start().await;
            checking(&app, "path: /", keys).await.metric_reaches(PASSED, 3.0).await;
            continue;
        }
        let app = app.start().await;
        let edge = checking(&app, "path: /", keys).await;
        let said = ill(&edge).await;
        assert!(said.contains(why), "{why} in {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[tokio::test]
async fn an_answer_after_interim_ones_is_the_one_that_counts() {
    let app = Reply::ok("ready").after_interim(103, &[("link", "</a>")]).after_interim(102, &[]);
    let app = origin().answer("/", app).start().await;
    let edge = checking(&app, "http: {body: ready, expect: 200}", "").await;
    edge.metric_reaches(PASSED, 3.0).await;
    assert_eq!(edge.metric(FAILED).await, 0.0);
}

#[tokio::test]
async fn by_tcp_it_is_enough_to_take_connections() {
    let port = Port::free();
    // Clear text behind `https`: nothing is said over the connection, not even a handshake.
    let edge = checking(format!("https://127.0.0.1:{port}"), "tcp: {}", "").await;
    let said = ill(&edge).await;
    assert!(said.contains("it refuses connections"), "{said}");
    let address = format!("127.0.0.1:{port}");
    let app = TcpListener::bind(&address).await.unwrap();
    edge.metric_becomes(HEALTHY, 1.0).await;
    for _ in 0..3 {
        let (mut taken, _) = within("a check", app.accept()).await.unwrap();
        let mut sent = Vec::new();
        within("its end", taken.read_to_end(&mut sent)).await.unwrap();
        assert_eq!(sent, b"");
    }
    drop(app);
    edge.metric_becomes(HEALTHY, 0.0).await;
    let _app = TcpListener::bind(&address).await.unwrap();
    edge.metric_becomes(HEALTHY, 1.0).await;
}

#[tokio::test]
async fn an_endpoint_that_wants_a_proxy_header_hears_that_the_edge_speaks_for_itself() {
    for (version, header) in
        [("v1", b"PROXY UNKNOWN\r\n".to_vec()), ("v2", proxy_protocol::v2_of(0x20, 0, &[]))]
    {
        let app = origin().introduced().reply("/", "hello").start().await;
        let edge = checking(&app, "path: /", &format!("proxy_protocol: {version}")).await;
        edge.metric_becomes(HEALTHY, 1.0).await;
        assert_eq!(app.request().await.proxy_header, header);
        let edge = checking(&app, "tcp: {}", &format!("proxy_protocol: {version}")).await;
        edge.metric_becomes(HEALTHY, 1.0).await;
    }
}

#[tokio::test]
async fn every_address_of_a_name_is_asked() {
    let Some((four, six)) = on_one_port().await else { return };
    let edge = checking(format!("\"http://app.localhost:{}\"", four.port()), "path: /", "").await;
    assert_eq!(edge.metric(HEALTHY).await, 2.0, "both, before it was ready");
    drop(six);
    edge.metric_becomes(HEALTHY, 1.0).await;
    let said = edge.stderr().line(UNHEALTHY).await;
    assert!(said.contains(&format!("address=[::1]:{}", four.port())), "{said}");
    drop(four);
    edge.metric_becomes(HEALTHY, 0.0).await;
}

#[tokio::test]
async fn upstreams_know_for_themselves_how_the_same_endpoint_is() {
    let app = origin().status("/a", 200).status("/b", 500).start().await;
    let document = "
        upstreams:
          one: {endpoints: [$app], health: {path: /a, interval: 50ms}}
          two: {endpoints: [$app], health: {path: /b, interval: 50ms}}
          three: {endpoints: [$app]}
        ";
    let edge = edge(document).with("app", &app).start().await;
    let healthy = async |upstream: &str| {
        edge.metric(&format!("falconer_upstream_endpoint_healthy{{upstream=\"{upstream}\"}}")).await
    };
    assert_eq!((healthy("one").await, healthy("two").await), (1.0, 0.0));
    let metrics = edge.metrics().await;
    let of_three = |line: &&str| line.contains("endpoint_healthy") && line.contains("three");
    assert_eq!(metrics.lines().find(of_three), None);
}

#[tokio::test]
async fn the_edge_is_ready_when_each_was_asked_once() {
    let slow = Reply::ok("hello").after(Duration::from_millis(700));
    let app = origin().answer("/", slow).start().await;
    let document = "upstreams: {app: {endpoints: [$app], health: {path: /, interval: 1h}}}";
    let edge = edge(document).with("app", &app).start().await;
    assert_eq!((edge.metric(HEALTHY).await, app.hits()), (1.0, 1));
}

#[tokio::test]
async fn one_that_does_not_answer_holds_up_the_start_for_no_longer_than_three_seconds() {
    let app = origin().hanging().start().await;
    let document = "
        upstreams: {app: {endpoints: [$app], health: {path: /, interval: 1h, timeout: 1h}}}
        ";
    let start = Instant::now();
    let edge = edge(document).with("app", &app).start().await;
    assert!(start.elapsed() >= Duration::from_secs(3));
    assert_eq!(edge.metric(HEALTHY).await, 0.0);
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
}

#[tokio::test]
async fn who_is_unhealthy_gets_no_requests() {
    let mood = Mood::new();
    let (one, two) = (mood.of(origin()).start().await, Mood::new().of(origin()).start().await);
    let document = "
        upstreams: {app: {endpoints: [$one, $two], health: {path: /healthz, interval: 50ms}}}
        ";
    let edge = edge(document).with("one", &one).with("two", &two).start().await;
    let asked = |app: &crate::support::Origin| {
        app.requests().iter().filter(|request| request.path() == "/").count()
    };
    mood.is(500);
    edge.metric_becomes(HEALTHY, 1.0).await;
    let before = (asked(&one), asked(&two));
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    assert_eq!((asked(&one), asked(&two)), (before.0, before.1 + 10));
    mood.is(200);
    edge.metric_becomes(HEALTHY, 2.0).await;
    for _ in 0..10 {
        edge.get("/").await;
    }
    assert!(asked(&one) > before.0);
}

#[tokio::test]
async fn nobody_is_asked_to_explain_a_request() {
    let app = origin().reply("/", "hello").start().await;
    let document = "upstreams: {app: {endpoints: [$app], health: {path: /, interval: 1h}}}";
    let edge = edge(document).with("app", &app).start().await;
    let told = edge.command(&["explain", "GET", "http://localhost/"]).await;
    assert_eq!(told.code, 0, "{}", told.complained);
    assert_eq!(app.connections(), 1, "the check at the start");
}
