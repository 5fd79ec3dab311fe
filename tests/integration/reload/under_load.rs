//! Reloads under constant load: nobody notices.

use crate::support::{Feed, Load, Reply, allow_descriptors, edge, origin};

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
    nobody_notices(25, 4, 2).await;
}

#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn chaos_of_a_hundred_reloads() {
    nobody_notices(100, 200, 50).await;
}

async fn nobody_notices(reloads: usize, websockets: usize, streams: usize) {
    allow_descriptors(16_384);
    let feeds: Vec<_> = (0..streams).map(|_| Feed::new()).collect();
    let mut app = origin().answer("/app", Reply::ok("hello")).answer("/ws", Reply::websocket());
    for (n, feed) in feeds.iter().enumerate() {
        app = app.answer(&format!("/feed-{n}"), Reply::new(200).fed_by(feed));
    }
    let app = app.start().await;
    let mut edge = edge(&document(0)).with("app", &app).start().await;
    let (clear, secure) = (edge.client("web"), edge.client("secure").tls());
    // `changing` is handed to another listener by every second reload.
    let mut load = Load::of(&[clear.clone(), secure.clone()])
        .and_without_keep_alive(&edge.client("changing"))
        .and_without_keep_alive(&edge.client("changing"))
        .and_websockets(&clear, websockets / 2)
        .and_websockets(&secure, websockets / 2);
    for (n, feed) in feeds.iter().enumerate() {
        load = load.and_events([&clear, &secure][n % 2], &format!("/feed-{n}"), feed);
    }
    for n in 1..=reloads {
        edge.reload(&document(n)).await;
        // Every reload meets requests.
        load.goes_on(12).await;
    }
    let (answers, farewells) = load.end().await;
    println!("{reloads} reloads, {answers} answers, {websockets} WebSockets, {streams} streams");
    assert_eq!(farewells, 0, "connections of listeners that stay are kept");
    edge.metric_becomes("falconer_runtime_generation", reloads as f64 + 1.0).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
}
