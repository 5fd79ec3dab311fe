//! Reloads under constant load: nobody notices.

use crate::support::{Edge, Load, Origin, Reply, edge, origin};

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

async fn start(origin: &Origin) -> Edge {
    edge(&document(0)).with("app", origin).start().await
}

#[tokio::test]
async fn no_request_fails_and_no_connection_is_lost() {
    let app = origin().answer("/app", Reply::ok("hello")).start().await;
    let mut edge = start(&app).await;
    // `changing` is handed to another listener by every second reload.
    let load = Load::of(&[edge.client("web"), edge.client("secure").tls()])
        .and_without_keep_alive(&edge.client("changing"))
        .and_without_keep_alive(&edge.client("changing"));
    for n in 1..=RELOADS {
        edge.reload(&document(n)).await;
        // Every reload meets requests.
        load.goes_on(12).await;
    }
    let (answers, farewells) = load.end().await;
    assert_eq!(farewells, 0, "connections of listeners that stay are kept");
    let asked = answers as f64;
    edge.metric_becomes("falconer_route_requests_total{route=\"app\",class=\"2xx\"}", asked).await;
    edge.metric_becomes("falconer_runtime_generation", RELOADS as f64 + 1.0).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
}
