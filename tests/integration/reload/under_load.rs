//! Reloads under constant load: nobody notices.

use crate::support::{Load, allow_descriptors, app_for_load, edge, is_chaos};

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

#[tokio::test]
async fn no_request_fails_and_no_connection_is_lost() {
    let (reloads, websockets, streams) = if is_chaos() { (100, 200, 50) } else { (25, 4, 2) };
    allow_descriptors(16_384);
    let (app, feeds) = app_for_load(streams).await;
    let mut edge = edge(&document(0)).with("app", &app).start().await;
    let clients = [edge.client("web"), edge.client("secure").tls()];
    // `changing` is handed to another listener by every second reload.
    let load = Load::of(&clients)
        .and_without_keep_alive(&edge.client("changing"))
        .and_without_keep_alive(&edge.client("changing"))
        .and_streams(&clients, websockets, &feeds);
    for n in 1..=reloads {
        edge.reload(&document(n)).await;
        // Every reload meets requests.
        load.goes_on(12).await;
    }
    let (answers, farewells) = load.end().await;
    println!("{reloads} reloads, {answers} answers, {websockets} WebSockets, {streams} streams");
    assert_eq!(farewells, 0, "connections of listeners that stay are kept");
    // Nothing was asked twice; it is the client that leaves a stream of events (499).
    for (class, seen) in [("1xx", websockets), ("2xx", answers), ("4xx", streams)] {
        let series = format!("falconer_route_requests_total{{route=\"app\",class=\"{class}\"}}");
        edge.metric_becomes(&series, seen as f64).await;
    }
    edge.metric_becomes("falconer_runtime_generation", reloads as f64 + 1.0).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
}
