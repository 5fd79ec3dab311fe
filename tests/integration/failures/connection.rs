//! What a failure leaves of the connection.

use super::LISTENERS;
use crate::support::{Client, Edge, Reply, edge, origin};

/// Both ways by which HTTP/1 comes in.
fn h1(edge: &Edge) -> [Client; 2] {
    [edge.client("clear"), edge.client("secure").tls()]
}

const DOCUMENT: &str = "
upstreams:
  app: {endpoints: [$app]}
  down: {endpoints: [$down]}
  none: {endpoints: [\"http://nonexistent.invalid:81\"]}
routes:
  - {match: {host: known.example, path: /}, upstream: app, limits: {body_size: 10}}
  - {match: {host: known.example, path: /down}, upstream: down}
  - {match: {host: known.example, path: /none}, upstream: none}
";

#[tokio::test]
async fn a_connection_survives_a_request_that_nobody_takes() {
    let app = origin().handler(|r| Reply::ok(r.body.clone())).start().await;
    let edge = edge(&format!("{LISTENERS}{DOCUMENT}")).with("limits", "{}").with("app", &app);
    let edge = edge.with("down", &app).start().await;
    for client in h1(&edge) {
        let mut raw = client.raw().await;
        for (path, host, status) in [("/other", "known.example", 404), ("/", "other.example", 421)]
        {
            for method in ["GET", "HEAD", "DELETE"] {
                raw.write(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
                let response = raw.response_to(method).await;
                assert_eq!(response.status, status);
                assert_ne!(response.header("connection"), Some("close"));
                raw.write(POST.replace("$path", "/")).await;
                assert_eq!(raw.response().await, "some", "after {method} {path} {host}");
            }
        }
    }
}

const POST: &str = "POST $path HTTP/1.1\r\nHost: known.example\r\nContent-Length: 4\r\n\r\nsome";

#[tokio::test]
async fn a_connection_that_does_not_survive_says_so() {
    let down = origin().refusing().start().await;
    let edge = edge(&format!("{LISTENERS}{DOCUMENT}")).with("limits", "{}").with("app", &down);
    let edge = edge.with("down", &down).start().await;
    for client in h1(&edge) {
        for (path, status) in [("/other", 404), ("/down", 502), ("/none", 503)] {
            let mut raw = client.raw().await;
            raw.write(POST.replace("$path", path)).await;
            let response = raw.response().await;
            assert_eq!(response.status, status);
            assert_eq!(response.header("connection"), Some("close"), "{path}");
            raw.closed().await;
        }
    }
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
