//! Reloads under constant load: nobody notices.

use crate::support::{Client, Edge, Origin, Reply, edge, origin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

const RELOADS: usize = 25;

fn document(n: usize) -> String {
    let (path, weight, size) = (n % 7, n % 3 + 1, n % 2 + 8);
    let more = if n.is_multiple_of(2) {
        ""
    } else {
        "\n  more: {address: [\"127.0.0.1:0\", \"unix:more.sock\"]}"
    };
    format!(
        "
server: {{drain: 120s}}
listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
  secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site, other]}}}}
  changing: {{address: \"127.0.0.1:0\", limits: {{uri_size: {size}KiB}}}}{more}
certificates:
  site: {{self_signed: [localhost]}}
  other: {{self_signed: [\"{path}.example\"]}}
upstreams:
  app: {{endpoints: [{{url: $app, weight: {weight}}}]}}
  other: {{endpoints: [\"http://127.0.0.1:{weight}\"]}}
routes:
  - {{name: app, match: {{path: /*}}, upstream: app}}
  - {{name: path-{path}, match: {{path: /{path}}}, upstream: other}}
"
    )
}

/// Asks until told to stop, on one connection or on a new one for each request.
async fn load(client: Client, keeps: bool, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let mut raw = client.raw().await;
    while !stop.load(Ordering::Relaxed) {
        let close = if keeps { "" } else { "Connection: close\r\n" };
        raw.write(format!("GET /app HTTP/1.1\r\nHost: a\r\n{close}\r\n")).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{response:?}");
        let connection = if keeps { "keep-alive" } else { "close" };
        assert_eq!(response.header("connection"), Some(connection), "{response:?}");
        count.fetch_add(1, Ordering::Relaxed);
        if !keeps {
            raw = client.raw().await;
        }
    }
}

async fn load_h2(client: Client, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) {
    let mut h2 = client.open_h2().await;
    while !stop.load(Ordering::Relaxed) {
        assert_eq!(h2.get("/app").await, "hello");
        count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn start(origin: &Origin) -> Edge {
    edge(&document(0)).with("app", origin).start().await
}

#[tokio::test]
async fn no_request_fails_and_no_connection_is_lost() {
    let app = origin().answer("/app", Reply::ok("hello")).start().await;
    let mut edge = start(&app).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = Vec::new();
    for client in [edge.client("web"), edge.client("secure").tls()] {
        for keeps in [true, false] {
            tasks.push(tokio::spawn(load(client.clone(), keeps, stop.clone(), count.clone())));
        }
        tasks.push(tokio::spawn(load_h2(client.clone().h2(), stop.clone(), count.clone())));
    }
    // Here every second reload hands the socket to another listener.
    for _ in 0..2 {
        let client = edge.client("changing");
        tasks.push(tokio::spawn(load(client, false, stop.clone(), count.clone())));
    }
    for n in 1..=RELOADS {
        let before = count.load(Ordering::Relaxed);
        edge.reload(&document(n)).await;
        // Every reload meets requests.
        while count.load(Ordering::Relaxed) < before + 12 && tasks.iter().all(|t| !t.is_finished())
        {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await.expect("a client that noticed nothing");
    }
    let asked = count.load(Ordering::Relaxed) as f64;
    edge.metric_becomes("falconer_route_requests_total{route=\"app\",class=\"2xx\"}", asked).await;
    edge.metric_becomes("falconer_runtime_generation", RELOADS as f64 + 1.0).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
}
