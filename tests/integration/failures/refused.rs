//! Requests that are refused before routing.

use super::LISTENERS;
use crate::support::{Client, Edge, edge};

/// An edge with narrow limits.
async fn narrow() -> Edge {
    let limits =
        "{header_timeout: 2s, header_size: 2KiB, header_count: 20, uri_size: 100, keep_alive: 20s}";
    edge(&format!("{LISTENERS}\nroutes: [{{reply: {{status: 204}}}}]\n"))
        .with("limits", limits)
        .start()
        .await
}

/// Both listeners and a client of each.
fn listeners(edge: &Edge) -> [(&'static str, Client); 2] {
    [("clear", edge.client("clear")), ("secure", edge.client("secure").tls())]
}

/// Sends bytes over HTTP/1 and insists on a refusal: an answer, a line in the log, a count.
async fn refuses(edge: &Edge, bytes: &str, status: u16, cause: &str) {
    for (listener, client) in listeners(edge) {
        let series = format!(
            "falconer_listener_requests_refused_total{{listener=\"{listener}\",cause=\"{cause}\"}}"
        );
        let before = edge.metric(&series).await;
        let mut raw = client.raw().await;
        raw.write(bytes).await;
        let method = bytes.split(' ').next().unwrap();
        let response = raw.response_to(method).await;
        raw.closed().await;
        assert_eq!(response.status, status, "{listener}: {bytes:?}");
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(edge.metric(&series).await, before + 1.0);
        if method == "HEAD" {
            continue;
        }
        let text = response.text();
        let (_, id) = text.split_once("Request id: ").expect("a request id");
        let line = edge.logged(id.trim(), |line| line["request_id"] == id.trim()).await;
        let seen = (&line["cause"], &line["listener"], &line["status"]);
        assert_eq!(seen, (&cause.into(), &listener.into(), &status.into()), "{line}");
        assert_eq!(line["attempts"], 0, "{line}");
    }
}

#[tokio::test]
async fn a_malformed_head_is_400() {
    let edge = narrow().await;
    refuses(&edge, "nonsense\r\n\r\n", 400, "bad_request").await;
}

#[tokio::test]
async fn a_head_too_large_is_431() {
    let edge = narrow().await;
    let many = "X: y\r\n".repeat(20);
    let large = "x".repeat(3000);
    refuses(&edge, &format!("GET / HTTP/1.1\r\nHost: a\r\n{many}\r\n"), 431, "header_too_large")
        .await;
    refuses(
        &edge,
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {large}\r\n\r\n"),
        431,
        "header_too_large",
    )
    .await;
    // On HTTP/2 the number of fields is told, too.
    let mut request = edge.client("secure").tls().h2().request("GET", "/");
    for n in 0..21 {
        request = request.header(&format!("x-{n}"), "y");
    }
    assert_eq!(request.send().await.status, 431);
    super::counts(&edge, "header_too_large", 1.0, 0.0).await;
}

#[tokio::test]
async fn an_address_too_long_is_414() {
    let edge = narrow().await;
    let long = format!("/{}", "x".repeat(100));
    let head = format!("GET {long} HTTP/1.1\r\nHost: a\r\n\r\n");
    refuses(&edge, &head, 414, "uri_too_long").await;
    let longer = format!("GET /{}", "x".repeat(3000));
    refuses(&edge, &longer, 414, "uri_too_long").await;
    assert_eq!(edge.client("secure").tls().h2().get(&long).await.status, 414);
    super::counts(&edge, "uri_too_long", 1.0, 0.0).await;
}

#[tokio::test]
async fn a_head_that_does_not_come_is_408() {
    let edge = narrow().await;
    refuses(&edge, "GET / HTTP/1.1\r\nHost: a\r\n", 408, "request_timeout").await;
}

#[tokio::test]
async fn connect_is_405() {
    let edge = narrow().await;
    refuses(&edge, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405, "method_not_allowed").await;
    refuses(&edge, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405, "method_not_allowed").await;

    let mut h2 = edge.client("secure").tls().open_h2().await;
    let connect = http::Request::builder().method("CONNECT").uri("a.example:80").body(()).unwrap();
    let mut connect = h2.begin(connect, false).await;
    assert_eq!(connect.response().await.status, 405);
    edge.logged("CONNECT over HTTP/2", |line| {
        line["cause"] == "method_not_allowed" && line["protocol"] == "HTTP/2.0"
    })
    .await;
    assert_eq!(h2.get("/").await.status, 204);
}

#[tokio::test]
async fn an_unknown_version_is_505_and_an_unknown_coding_501() {
    let edge = narrow().await;
    refuses(&edge, "GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version_not_supported").await;
    let coded = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n";
    refuses(&edge, coded, 501, "coding_not_supported").await;
    let head = "HEAD / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n";
    refuses(&edge, head, 501, "coding_not_supported").await;
}
