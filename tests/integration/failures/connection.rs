//! What a failure leaves of the connection.

use super::LISTENERS;
use crate::support::{Client, Edge, Reply, edge, origin};

/// Both ways by which HTTP/1 comes in.
fn h1(edge: &Edge) -> [Client; 2] {
    [edge.client("clear"), edge.client("secure").tls()]
}

#[tokio::test]
async fn a_connection_survives_what_failed_before_an_endpoint_was_asked() {
    let app = origin().handler(|r| Reply::ok(r.body.clone())).start().await;
    let document = format!(
        "{LISTENERS}
upstreams:
  app: {{endpoints: [$app]}}
  none: {{endpoints: [\"http://nonexistent.invalid:81\"]}}
routes:
  - {{match: {{host: known.example, path: /app}}, upstream: app, limits: {{body_size: 10}}}}
  - {{match: {{host: known.example, path: /none}}, upstream: none}}
"
    );
    let edge = edge(&document).with("limits", "{}").with("app", &app).start().await;
    let failures = [
        ("GET /other HTTP/1.1\r\nHost: known.example\r\n\r\n", 404),
        ("POST /other HTTP/1.1\r\nHost: known.example\r\nContent-Length: 4\r\n\r\nsome", 404),
        (
            "POST /other HTTP/1.1\r\nHost: known.example\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n0\r\n\r\n",
            404,
        ),
        ("GET /app HTTP/1.1\r\nHost: other.example\r\n\r\n", 421),
        ("GET /none HTTP/1.1\r\nHost: known.example\r\n\r\n", 503),
        ("POST /app HTTP/1.1\r\nHost: known.example\r\nContent-Length: 11\r\n\r\nsome larger", 413),
    ];
    for client in h1(&edge) {
        let mut raw = client.raw().await;
        for (request, status) in failures {
            raw.write(request).await;
            assert_eq!(raw.response().await.status, status, "{request}");
            raw.write("POST /app HTTP/1.1\r\nHost: known.example\r\nContent-Length: 4\r\n\r\nback")
                .await;
            assert_eq!(raw.response().await, "back", "after {request}");
        }
    }
    let mut h2 = edge.client("secure").tls().open_h2().await;
    for _ in 0..3 {
        assert_eq!(h2.get("/app").await.status, 421);
    }
    let connections = "falconer_listener_connections_total{listener=\"secure\"}";
    assert_eq!(edge.metric(connections).await, 2.0);
}

#[tokio::test]
async fn http_2_goes_on_after_any_failure_of_a_stream() {
    let app = origin().refusing().start().await;
    let document = format!(
        "{LISTENERS}
upstreams: {{app: {{endpoints: [$app]}}}}
routes:
  - {{match: {{path: /app}}, upstream: app}}
  - {{match: {{path: /small}}, limits: {{body_size: 10}}, reply: {{status: 204}}}}
"
    );
    let edge = edge(&document).with("limits", "{}").with("app", &app).start().await;
    let mut h2 = edge.client("secure").tls().open_h2().await;
    for _ in 0..3 {
        assert_eq!(h2.get("/app").await.status, 502);
        assert_eq!(h2.get("/other").await.status, 404);
        let mut large = h2.start("POST", "/small", &[("content-length", "11")], false).await;
        assert_eq!(large.response().await.status, 413);
        assert_eq!(h2.get("/small").await.status, 204);
    }
    let connections = "falconer_listener_connections_total{listener=\"secure\"}";
    assert_eq!(edge.metric(connections).await, 1.0);
}

#[tokio::test]
async fn a_client_that_is_still_sending_reads_why_it_is_refused() {
    let app = origin().reply("/", "hello").start().await;
    let upstream = "upstreams: {app: {endpoints: [$app]}}";
    let edge = edge(&format!("{LISTENERS}\n{upstream}\n"))
        .with("limits", "{body_size: 1KiB}")
        .with("app", &app)
        .start()
        .await;
    let body = "x".repeat(8 << 20);
    for client in h1(&edge) {
        let request = client.request("POST", "/").body(body.clone());
        assert_eq!(request.clone().send().await.status, 413);
        assert_eq!(request.chunked().send().await.status, 413);
    }
    let h2 = edge.client("secure").tls().h2();
    assert_eq!(h2.request("POST", "/").body(body).send().await.status, 413);
}
