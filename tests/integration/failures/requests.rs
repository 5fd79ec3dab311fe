//! Requests that fail before an endpoint is asked.

use super::{LISTENERS, fails, ways};
use crate::support::{Edge, edge, origin};

/// An edge with these limits on its listeners and a route for `/known`.
async fn answering(limits: &str) -> Edge {
    let document = format!(
        "{LISTENERS}\nroutes: [{{name: known, match: {{path: /known}}, reply: {{status: 204}}}}]\n"
    );
    edge(&document).with("limits", limits).start().await
}

#[tokio::test]
async fn no_route_is_404() {
    let edge = answering("{}").await;
    fails(&edge, 404, "no_route", |client| client.request("GET", "/unknown")).await;
    fails(&edge, 404, "no_route", |client| client.request("POST", "/unknown").body("some")).await;
    assert_eq!(edge.metric("falconer_route_requests_total{route=\"\",class=\"4xx\"}").await, 6.0);
}

#[tokio::test]
async fn an_unknown_host_is_421_where_every_route_names_hosts() {
    let named = "routes: [{match: {host: known.example}, reply: {status: 204}}]";
    let edge = edge(&format!("{LISTENERS}\n{named}\n")).with("limits", "{}").start().await;
    fails(&edge, 421, "unknown_host", |client| client.request("GET", "/")).await;
    let known = edge.request("GET", "/").header("Host", "known.example");
    assert_eq!(known.send().await.status, 204);
}

#[tokio::test]
async fn an_unknown_host_is_404_where_a_route_takes_any() {
    let edge = answering("{}").await;
    fails(&edge, 404, "no_route", |client| client.request("GET", "/").host("other.example")).await;
}

#[tokio::test]
async fn a_malformed_path_is_400() {
    let edge = answering("{}").await;
    fails(&edge, 400, "bad_request", |client| client.request("GET", "/%zz")).await;
}

#[tokio::test]
async fn a_body_announced_too_large_is_413() {
    let edge = answering("{body_size: 100}").await;
    let body = "x".repeat(101);
    fails(&edge, 413, "body_too_large", |client| {
        client.request("POST", "/known").body(body.clone())
    })
    .await;
    for way in ways(&edge) {
        let fits = way.client.request("POST", "/known").body("x".repeat(100));
        assert_eq!(fits.send().await.status, 204, "{}", way.name);
    }
}

#[tokio::test]
async fn a_body_that_grows_too_large_on_its_way_is_413() {
    let app = origin().reply("/", "hello").start().await;
    let document = format!("{LISTENERS}\nupstreams: {{app: {{endpoints: [$app]}}}}\n");
    let edge = edge(&document).with("limits", "{body_size: 100KiB}").with("app", &app);
    let edge = edge.start().await;
    let body = "x".repeat(1 << 20);
    fails(&edge, 413, "body_too_large", |client| {
        client.request("POST", "/").body(body.clone()).chunked()
    })
    .await;
    app.until("uploads given up", |seen| {
        seen.requests.iter().all(|request| request.cancelled && !request.complete)
    })
    .await;
}

#[tokio::test]
async fn an_address_longer_than_its_route_allows_is_414() {
    let route = "routes: [{limits: {uri_size: 20}, reply: {status: 204}}]";
    let edge = edge(&format!("{LISTENERS}\n{route}\n")).with("limits", "{}").start().await;
    fails(&edge, 414, "uri_too_long", |client| client.request("GET", "/a-rather-long-address"))
        .await;
    for way in ways(&edge) {
        assert_eq!(way.client.get("/a-shorter-address").await.status, 204, "{}", way.name);
    }
}
