//! Who is believed, and what follows from it for matchers, forwarded fields and endpoints.

use super::{REFUSED, requiring, seen, telling, v1, v2};
use crate::support::{edge, origin, proxy_protocol};

const TRUSTING: &str = "proxy_protocol: accept, trusted_proxies: [127.0.0.1, 10.0.0.0/8]";

#[tokio::test]
async fn a_trusted_peer_may_come_with_a_header_and_without() {
    let edge = telling(TRUSTING).await;
    let (web, secure) = (edge.client("web"), edge.client("secure").tls());
    for client in [web.clone(), web.h2(), secure.clone(), secure.h2()] {
        for header in [v1(), v2()] {
            assert_eq!(seen(&client.clone().after(header)).await, "192.0.2.7 56324");
        }
        assert!(seen(&client).await.starts_with("127.0.0.1 "));
    }
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn to_a_stranger_a_header_is_none_and_fails_as_http_or_tls() {
    let edge = telling(TRUSTING).await;
    for header in [v1(), v2()] {
        let client = edge.client("web").from([127, 0, 0, 2]).after(header.clone());
        let mut raw = client.raw().await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.response().await.status, 400);
        raw.rest().await;
        let mut raw = edge.client("secure").from([127, 0, 0, 2]).after(header).raw().await;
        raw.finish().await;
        raw.rest().await;
    }
    let refused = "falconer_listener_requests_refused_total{cause=\"bad_request\"}";
    edge.metric_becomes(refused, 2.0).await;
    edge.metric_becomes("falconer_listener_tls_handshake_failures_total", 2.0).await;
    assert_eq!(edge.metric(REFUSED).await, 0.0);
    assert_eq!(edge.metric("falconer_listener_proxy_headers_total").await, 0.0);
    // Without one it is a client like any other.
    assert!(seen(&edge.client("web").from([127, 0, 0, 2])).await.starts_with("127.0.0.2 "));
}

#[tokio::test]
async fn a_unix_socket_has_no_trusted_peers() {
    let edge = telling(TRUSTING).await;
    assert_eq!(seen(&edge.client("socket")).await.trim_end(), "0.0.0.0");
    let mut raw = edge.client("socket").after(v1()).raw().await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!(raw.response().await.status, 400);
}

#[tokio::test]
async fn of_a_trusted_peer_a_malformed_header_is_refused_and_what_only_begins_like_one_is_not() {
    let edge = telling(TRUSTING).await;
    let mut raw = edge.raw("web").await;
    raw.write("PROXY TCP4 192.0.2.7\r\n").await;
    raw.closed().await;
    edge.metric_becomes(&format!("{REFUSED}{{cause=\"malformed\"}}"), 1.0).await;
    for at in 1..10 {
        let request = "PROPFIND / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        let (first, second) = request.split_at(at);
        let client = edge.client("web").after_parts([first.into(), second.into()]);
        let mut raw = client.raw().await;
        assert_eq!(raw.response_to("PROPFIND").await.status, 200, "split at {at}");
        raw.rest().await;
    }
    for at in 1..5 {
        let (first, second) = b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".split_at(at);
        let client = edge.client("web").after_parts([first.into(), second.into()]);
        assert_eq!(client.raw().await.response().await.status, 200, "split at {at}");
    }
    assert_eq!(edge.metric(REFUSED).await, 1.0);

    let mut raw = edge.raw("secure").await;
    raw.write("PR").await;
    raw.write("I * HTTP/2.0\r\n\r\n").await;
    raw.rest().await;
    edge.metric_becomes("falconer_listener_tls_handshake_failures_total", 1.0).await;
}

#[tokio::test]
async fn where_it_is_off_a_header_is_none_from_anyone() {
    let edge = telling("trusted_proxies: [127.0.0.0/8]").await;
    for header in [v1(), v2()] {
        let mut raw = edge.client("web").after(header).raw().await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.response().await.status, 400);
    }
}

#[tokio::test]
async fn routes_are_found_by_the_client_of_the_header() {
    let edge = requiring().await;
    let from = |source| proxy_protocol::v2(source, "203.0.113.1:80", &[]);
    for (source, body) in [("192.0.2.7:1", "near"), ("198.51.100.7:1", "hello")] {
        assert_eq!(edge.client("web").after(from(source)).get("/").await, body, "{source}");
    }
    let line = edge.logged("a request", |line| line["route"] == "near").await;
    assert_eq!(line["client"], "192.0.2.7");
}

#[tokio::test]
async fn forwarded_fields_are_believed_when_the_client_of_the_header_is_trusted() {
    let app = origin().status("/", 200).start().await;
    let edge = edge(
        "
        listeners:
          web:
            address: '127.0.0.1:0'
            proxy_protocol: accept
            trusted_proxies: [127.0.0.1, 10.0.0.0/8]
        upstreams: {app: {endpoints: [$app]}}
        ",
    )
    .with("app", &app)
    .start()
    .await;
    for (n, (source, client, chain)) in [
        // A stranger's field is a forgery, though the balancer that brings it is trusted.
        (Some("192.0.2.7:1"), "192.0.2.7", "192.0.2.7"),
        (Some("10.1.2.3:1"), "198.51.100.7", "198.51.100.7, 10.1.2.3"),
        (None, "198.51.100.7", "198.51.100.7, 127.0.0.1"),
    ]
    .into_iter()
    .enumerate()
    {
        let header = source.map(|source| proxy_protocol::v1(source, "203.0.113.1:80"));
        let asking = edge.client("web").after(header.unwrap_or_default());
        let request = asking.request("GET", "/").header("X-Forwarded-For", "198.51.100.7");
        assert_eq!(request.send().await.status, 200);
        let told = app.requests().swap_remove(n);
        assert_eq!(told.headers.all("x-forwarded-for"), [chain], "{source:?}");
        let line = edge.access_log(n + 1).await.swap_remove(n);
        assert_eq!(line["client"], client, "{source:?}");
    }
}
