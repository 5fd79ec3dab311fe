//! What is counted, under which names, and by what.

use crate::docs;
use crate::support::{Edge, Gate, Origin, Reply, edge, eventually, origin, tool};
use std::collections::{BTreeMap, BTreeSet};

/// An edge of every kind of listener and target before an origin and one that is gone.
async fn busy(origin: &Origin, gone: &Origin) -> Edge {
    let document = "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h1, h2]}
          secure: {address: '127.0.0.1:0', tls: {certificates: [own]}}
        certificates: {own: {self_signed: [localhost]}}
        upstreams:
          app: {endpoints: [$app]}
          gone: {endpoints: [$gone], health: {tcp: {}}, limits: {adaptive: {}}, affinity: {cookie: node}}
          named: {endpoints: ['http://localhost:1']}
        routes:
          - {name: app, match: {path: /app/*}, upstream: app}
          - {name: gone, match: {path: /gone}, upstream: gone, mirror: {upstream: app, compare: {}}}
          - {name: reply, match: {path: '/reply/{any}', listener: web}, reply: {body: hello}}
          - {name: named, match: {host: '*.named.test'}, redirect: {to: /}}
    ";
    edge(document).with("app", origin).with("gone", gone).start().await
}

/// One exchange of each kind.
async fn use_all(edge: &Edge) {
    let secure = edge.client("secure").tls();
    for client in [edge.client("web"), edge.client("web").h2(), secure.clone(), secure.h2()] {
        for path in ["/app/x", "/gone", "/reply/x", "/none"] {
            client.get(path).await;
        }
        client.request("POST", "/").host("a.named.test").body("abc").send().await;
    }
    edge.request("GET", "/%zz").send().await;
}

#[tokio::test]
async fn promtool_finds_nothing_wrong() {
    let app = origin().handler(|_| Reply::ok("hi")).start().await;
    let gone = origin().refusing().start().await;
    let edge = busy(&app, &gone).await;
    use_all(&edge).await;
    let url = format!("http://{}/metrics", edge.address("admin"));
    let check = format!("curl -sf {url} | promtool check metrics");
    let checked = tool("sh", &["-c", &check]).await;
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{}", checked.stdout);
    let served = edge.client("admin").get("/metrics").await;
    assert_eq!(served.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
}

/// The kind of a family and its labels.
type Family = (String, BTreeSet<String>);

#[tokio::test]
async fn every_family_is_documented_and_every_documented_one_is_there() {
    let app = origin().handler(|_| Reply::ok("hi")).start().await;
    let gone = origin().refusing().start().await;
    let edge = busy(&app, &gone).await;
    use_all(&edge).await;
    let page = docs::page("docs/metrics.md");
    let mut documented = BTreeMap::<String, Family>::new();
    for row in docs::rows(&page) {
        let [names, kind, labels, what] = row[..] else { panic!("{row:?}") };
        assert!(!what.is_empty(), "{names}");
        let labels: BTreeSet<_> = docs::code(labels).map(str::to_owned).collect();
        let families =
            docs::code(names).map(|name| (name.to_owned(), (kind.into(), labels.clone())));
        documented.extend(families);
    }
    assert_eq!(families(&edge.metrics().await), documented);
}

/// The families of a scrape; what every histogram has is not told.
fn families(metrics: &str) -> BTreeMap<String, Family> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    for line in metrics.lines() {
        if let Some(told) = line.strip_prefix("# TYPE ") {
            let (name, kind) = told.split_once(' ').unwrap();
            current = name.to_owned();
            families.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if !line.starts_with('#') {
            let labels = line.split_once('{').map_or("", |(_, labels)| labels);
            let names = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0));
            let known = &mut families.get_mut(&current).expect("its type stands above it").1;
            known.extend(names.filter(|name| *name != "le").map(str::to_owned));
        }
    }
    families
}

/// The names of all series, with their labels and without their values.
async fn series(edge: &Edge) -> BTreeSet<String> {
    let metrics = edge.metrics().await;
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect()
}

#[tokio::test]
async fn nothing_that_clients_send_becomes_a_label() {
    let app = origin().handler(|_| Reply::ok("hi")).start().await;
    let gone = origin().refusing().start().await;
    let edge = busy(&app, &gone).await;
    use_all(&edge).await;
    // The last one is counted after its answer.
    edge.metric_reaches("falconer_route_failures_total{cause=\"bad_request\"}", 1.0).await;
    let before = series(&edge).await;

    let word = || -> String { (0..8).map(|_| fastrand::alphabetic()).collect() };
    let mut raw = edge.raw("web").await;
    let mut h2 = edge.h2("web").await;
    for n in 0..1000 {
        let path = match n % 4 {
            0 => format!("/app/{}?{}", word(), word()),
            1 => format!("/reply/{}", word()),
            _ => format!("/{}/{}", word(), word()),
        };
        let (method, host) = (word().to_uppercase(), format!("{}.named.test", word()));
        let agent = word();
        if n % 10 == 0 {
            let uri = format!("http://{host}{path}");
            let head = http::Request::builder().method(method.as_str()).uri(uri);
            let head = head.header(word().to_lowercase(), word()).body(()).unwrap();
            h2.begin(head, true).await.response().await;
        } else {
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nX-{agent}: {agent}\r\n\r\n");
            raw.write(head).await;
            raw.response().await;
        }
    }
    for _ in 0..20 {
        let mut raw = edge.raw("web").await;
        raw.write(format!("{} {} {}\r\n\r\n", word(), word(), word())).await;
        raw.rest().await;
    }
    let sni = format!("{}.test", word().to_lowercase());
    edge.client("secure").sni(&sni).get("/none").await;

    let after = series(&edge).await;
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{new:?}");
}

#[tokio::test]
async fn exchanges_are_counted_by_listener_route_and_class() {
    let app = origin()
        .handler(|request| Reply::new(if request.path() == "/app/bad" { 500 } else { 201 }))
        .start()
        .await;
    let gone = origin().refusing().start().await;
    let edge = busy(&app, &gone).await;
    let secure = edge.client("secure").tls();
    for path in ["/app/a", "/app/b", "/app/bad", "/gone", "/reply/a", "/none"] {
        edge.get(path).await;
    }
    for path in ["/app/a", "/reply/a"] {
        secure.get(path).await;
    }
    edge.request("GET", "/").host("a.named.test").send().await;
    for (labels, expected) in [
        (r#"listener="web",route="app",class="2xx""#, 2.0),
        (r#"listener="web",route="app",class="5xx""#, 1.0),
        (r#"listener="secure",route="app",class="2xx""#, 1.0),
        (r#"listener="web",route="gone",class="5xx""#, 1.0),
        (r#"listener="web",route="reply",class="2xx""#, 1.0),
        (r#"listener="web",route="named",class="3xx""#, 1.0),
        (r#"listener="web",route="",class="4xx""#, 1.0),
        (r#"listener="secure",route="",class="4xx""#, 1.0),
    ] {
        let name = format!("falconer_route_requests_total{{{labels}}}");
        edge.metric_becomes(&name, expected).await;
    }
    edge.metric_becomes("falconer_route_requests_total", 9.0).await;
    let failed = r#"falconer_route_failures_total{route="gone",cause="upstream_connect_refused"}"#;
    edge.metric_becomes(failed, 1.0).await;
    edge.metric_becomes(r#"falconer_route_failures_total{route="",cause="no_route"}"#, 2.0).await;
    edge.metric_becomes("falconer_route_failures_total", 3.0).await;
}

#[tokio::test]
async fn bytes_and_open_exchanges_are_counted_by_route() {
    let gate = Gate::new();
    let slow = Reply::ok("x".repeat(2_000)).behind(&gate);
    let app = origin().answer("/app/slow", slow).handler(|_| Reply::new(204)).start().await;
    let gone = origin().refusing().start().await;
    let edge = busy(&app, &gone).await;
    let request = edge.request("POST", "/app/slow").body("y".repeat(1_000));
    let (response, ()) = tokio::join!(request.send(), async {
        edge.metric_becomes(r#"falconer_route_requests_in_flight{route="app"}"#, 1.0).await;
        edge.metric_becomes("falconer_route_requests_in_flight", 1.0).await;
        gate.open();
    });
    assert_eq!(response.body.len(), 2_000);
    edge.metric_becomes(r#"falconer_route_requests_in_flight{route="app"}"#, 0.0).await;
    edge.metric_becomes(r#"falconer_route_received_bytes_total{route="app"}"#, 1_000.0).await;
    edge.metric_becomes(r#"falconer_route_sent_bytes_total{route="app"}"#, 2_000.0).await;
    edge.metric_becomes("falconer_route_received_bytes_total", 1_000.0).await;
    edge.metric_becomes("falconer_route_sent_bytes_total", 2_000.0).await;
}

#[tokio::test]
async fn attempts_connects_and_reuse_are_counted_by_endpoint() {
    let app = origin().handler(|_| Reply::ok("hi")).start().await;
    let gone = origin().refusing().start().await;
    let document = "upstreams: {app: {endpoints: [{url: $gone, weight: 9}, $app]}}";
    let edge = edge(document).with("app", &app).with("gone", &gone).start().await;
    for n in 1..=10 {
        assert_eq!(edge.get("/").await.status, 200);
        // The connection is back in the pool when the exchange is logged.
        edge.access_log(n).await;
    }
    let count = async |family: &str, endpoint: &Origin| {
        let labels = format!("upstream=\"app\",endpoint=\"{}\"", endpoint.endpoint());
        edge.metric(&format!("falconer_upstream_{family}_total{{{labels}}}")).await
    };
    assert_eq!(count("attempts", &app).await, 10.0);
    assert_eq!(count("connects", &app).await, app.connections() as f64);
    assert_eq!(count("connections_reused", &app).await, 10.0 - app.connections() as f64);
    let refused = count("attempts", &gone).await;
    assert!(refused >= 8.0, "{refused} of 10 began with the endpoint of weight 9");
    assert_eq!(count("connects", &gone).await, 0.0);
    assert_eq!(count("failures", &gone).await, refused);
    assert_eq!(count("failures", &app).await, 0.0);
    // The exchanges themselves did not fail.
    assert_eq!(edge.metric(r#"falconer_route_requests_total{class="2xx"}"#).await, 10.0);
}

#[tokio::test]
async fn connections_and_handshakes_are_counted_by_listener() {
    let edge = busy(&origin().start().await, &origin().refusing().start().await).await;
    let open = r#"falconer_listener_connections{listener="web"}"#;
    edge.metric_becomes(open, 0.0).await;
    let (one, two) = (edge.raw("web").await, edge.raw("web").await);
    edge.metric_becomes(open, 2.0).await;
    drop((one, two));
    edge.metric_becomes(open, 0.0).await;
    edge.metric_becomes(r#"falconer_listener_connections_total{listener="web"}"#, 2.0).await;

    for (versions, count) in
        [(vec![&rustls::version::TLS12], 2), (vec![&rustls::version::TLS13], 3)]
    {
        let client = edge.client("secure").with_tls(|tls| tls.versions = versions.clone());
        for _ in 0..count {
            client.get("/none").await;
        }
    }
    let mut clear = edge.raw("secure").await;
    clear.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    clear.rest().await;
    for (series, expected) in [
        (r#"falconer_listener_tls_handshakes_total{listener="secure",version="TLSv1.2"}"#, 2.0),
        (r#"falconer_listener_tls_handshakes_total{listener="secure",version="TLSv1.3"}"#, 3.0),
        (r#"falconer_listener_tls_handshakes_total"#, 5.0),
        (r#"falconer_listener_tls_handshake_failures_total{listener="secure"}"#, 1.0),
        (r#"falconer_listener_connections_total{listener="secure"}"#, 6.0),
    ] {
        edge.metric_becomes(series, expected).await;
    }
}

#[tokio::test]
async fn every_route_has_a_latency_histogram_unless_it_is_turned_off() {
    let edge_with = async |metrics: &str| {
        let document = "routes: [{name: r, match: {path: /r}, reply: {}}]\nmetrics: $metrics";
        let edge = edge(document).with("metrics", metrics).start().await;
        for path in ["/r", "/r", "/none"] {
            edge.get(path).await;
        }
        edge.metric_becomes("falconer_route_requests_total", 3.0).await;
        edge
    };
    let edge = edge_with("{latency: true}").await;
    let name = "falconer_route_request_duration_seconds";
    edge.metric_becomes(&format!("{name}_count{{route=\"r\"}}"), 2.0).await;
    edge.metric_becomes(&format!("{name}_count{{route=\"\"}}"), 1.0).await;
    edge.metric_becomes(&format!("{name}_bucket{{route=\"r\",le=\"+Inf\"}}"), 2.0).await;
    assert!(edge.metric(&format!("{name}_sum{{route=\"r\"}}")).await > 0.0);

    let edge = edge_with("{latency: false}").await;
    assert!(!edge.metrics().await.contains("duration_seconds"));
}

#[tokio::test]
async fn the_process_and_its_build_are_shown() {
    let edge = edge("routes: [reply: {}]").start().await;
    let memory = edge.metric("process_resident_memory_bytes").await;
    assert!(memory > 1e6 && memory < 1e9, "{memory}");
    for family in ["process_open_fds", "process_max_fds", "process_threads"] {
        assert!(edge.metric(family).await > 3.0, "{family}");
    }
    let start = edge.metric("process_start_time_seconds").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert!((now.as_secs_f64() - start).abs() < 60.0, "{start}");
    eventually("some time on the cores", async || {
        (edge.metric("process_cpu_seconds_total").await > 0.0).then_some(())
    })
    .await;
    let build = format!("falconer_build_info{{version=\"{}\"}}", falconer::VERSION);
    assert_eq!(edge.metric(&build).await, 1.0);
}
