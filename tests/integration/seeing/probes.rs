//! The admin address: probes, and nothing that it should not show.

use crate::support::{Client, edge};
use serde_json::json;

#[tokio::test]
async fn probes_answer_in_text_and_readiness_in_json_on_request() {
    let edge = edge("routes: [reply: {}]").start().await;
    let admin = edge.client("admin");
    for (path, body) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let response = admin.get(path).await;
        assert_eq!((response.status, response.text().as_str()), (200, body), "{path}");
        assert_eq!(response.header("content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        let head = admin.request("HEAD", path).send().await;
        assert_eq!((head.status, head.text().as_str()), (200, ""), "{path}");
        assert_eq!(head.header("content-length"), response.header("content-length"), "{path}");
    }
    let request = admin.request("GET", "/readyz").header("accept", "application/json");
    let response = request.send().await;
    assert_eq!(response.header("content-type"), Some("application/json"));
    assert_eq!(response.json(), json!({"ready": true}));
}

#[tokio::test]
async fn the_admin_address_only_shows() {
    let edge = edge("routes: [reply: {}]").start().await;
    let admin = edge.client("admin");
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        for path in ["/metrics", "/healthz", "/readyz", "/"] {
            let response = admin.request(method, path).send().await;
            assert_eq!(response.status, 405, "{method} {path}");
        }
    }
    assert!(admin.get("/").await.text().contains("/metrics"));
    for path in ["/nothing", "/metrics/", "/healthz/x", "/api/"] {
        assert_eq!(admin.get(path).await.status, 404, "{path}");
    }
    // Its routes are not the document's, and its exchanges are no exchanges of the edge.
    edge.get("/seen").await;
    let lines = edge.access_log(1).await;
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert_eq!(edge.metric("falconer_route_requests_total").await, 1.0);
    assert_eq!(edge.get("/metrics").await, "");
}

#[tokio::test]
async fn there_is_no_admin_address_unless_it_is_written() {
    let edge = edge("listeners: {web: {address: '127.0.0.1:0'}}\nroutes: [reply: {}]")
        .exactly()
        .start()
        .await;
    assert!(!edge.stderr().text().contains("listener=admin"));
}

#[tokio::test]
async fn the_admin_address_can_be_several_and_a_unix_socket() {
    let document = "routes: [reply: {}]\nadmin: {address: ['127.0.0.1:0', unix:admin.sock]}";
    let edge = edge(document).start().await;
    for address in edge.addresses("admin") {
        assert_eq!(Client::new(address).get("/healthz").await, "ok\n", "{address}");
    }
    assert_eq!(edge.addresses("admin").len(), 2);
}
