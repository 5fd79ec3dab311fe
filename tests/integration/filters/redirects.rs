//! The target `redirect`: where clients are sent.

use super::clients;
use crate::support::{Edge, edge};

/// An edge whose routes send clients by these templates, each told by its host.
async fn sending(path: &str, templates: &[&str]) -> Edge {
    let route = |(index, to): (usize, &&str)| {
        format!("- {{match: {{host: h{index}.test, path: {path}}}, redirect: {{to: '{to}'}}}}")
    };
    let routes: Vec<_> = templates.iter().enumerate().map(route).collect();
    edge("listeners: $listeners\nroutes:\n$routes")
        .with("listeners", super::LISTENERS)
        .with("routes", routes.join("\n"))
        .start()
        .await
}

/// Templates, and what they make of targets.
async fn expect(path: &str, cases: &[(&str, &[(&str, &str)])]) {
    let templates: Vec<_> = cases.iter().map(|(to, _)| *to).collect();
    let edge = sending(path, &templates).await;
    for client in clients(&edge) {
        for (index, (to, targets)) in cases.iter().enumerate() {
            for (target, location) in *targets {
                let host = format!("H{index}.test:8080");
                let request = client.request("GET", target).host(&host);
                let request = request.header("x-to", "//evil.test/a b\u{e9}?c&d");
                let response = request.send().await;
                assert_eq!(response.status, 308, "{to} {target}");
                assert_eq!(response.headers.all("location"), [*location], "{to} {target}");
            }
        }
    }
}

#[tokio::test]
async fn the_address_is_a_template_over_the_request() {
    expect(
        "['/old/{page}', '/{rest*}']",
        &[
            (
                "https://{request.host}{request.path}?{request.query}",
                &[
                    ("/a%20b/%61?x=1&y=%26", "https://h0.test/a%20b/a?x=1&y=%26"),
                    // A `?` that nothing follows is left out.
                    ("/", "https://h0.test/"),
                    ("/?", "https://h0.test/"),
                ],
            ),
            ("/new/{path.page}", &[("/old/a%2fb", "/new/a%2Fb"), ("/old/x?y", "/new/x")]),
            ("https://example.com/", &[("/anything", "https://example.com/")]),
            ("https://{request.host}:8443{request.path}", &[("/x", "https://h3.test:8443/x")]),
            ("{request.scheme}://{request.host}/x", &[("/", "http://h4.test/x")]),
            ("/login?back={request.path}&n=1", &[("/a&b+c", "/login?back=/a%26b%2Bc&n=1")]),
            ("/q?{request.query}#top", &[("/?a=b", "/q?a=b#top")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn no_request_chooses_another_host_or_another_field() {
    expect(
        "'/{rest*}'",
        &[
            (
                "{request.path}",
                &[
                    ("//evil.test/x", "/evil.test/x"),
                    ("///evil.test", "/evil.test"),
                    ("/%2Fevil.test", "/%2Fevil.test"),
                    ("/x/..//evil.test", "/evil.test"),
                ],
            ),
            (
                "/{path.rest}",
                &[("//evil.test", "/evil.test"), ("/https://evil.test", "/https://evil.test")],
            ),
            (
                "{path.rest}",
                &[
                    ("/https://evil.test/x", "/https://evil.test/x"),
                    ("//evil.test", "/evil.test"),
                    ("/javascript:alert(1)", "/javascript:alert(1)"),
                    ("/", "/"),
                ],
            ),
            ("{request.header.x-to}", &[("/", "/%2F%2Fevil.test%2Fa%20b%C3%A9%3Fc%26d")]),
            (
                "https://{request.header.x-to}/x",
                &[("/", "https://%2F%2Fevil.test%2Fa%20b%C3%A9%3Fc%26d/x")],
            ),
            (
                "https://example.com:80{path.rest}",
                &[("/@evil.test", "https://example.com:80%40evil.test")],
            ),
            (
                "/x{request.path}?{request.query}",
                &[("/a%0d%0aset-cookie:b?c%0D%0Ad", "/x/a%0D%0Aset-cookie:b?c%0D%0Ad")],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_backslash_is_no_way_out_either() {
    let edge = sending("'/{rest*}'", &["{request.path}", "/{path.rest}"]).await;
    for host in ["h0.test", "h1.test"] {
        let mut raw = edge.raw("web").await;
        raw.write(format!("GET /\\evil.test HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let response = raw.response().await;
        let location = response.header("location");
        assert!(matches!(location, None | Some("/%5Cevil.test")), "{response:?}");
        assert!(location.is_some() || response.status == 400, "{response:?}");
    }
}

#[tokio::test]
async fn every_status_that_redirects_can_be_sent() {
    let edge = edge(
        "
        listeners: $listeners
        routes:
          - {match: {path: /301}, redirect: {to: /x, status: 301}}
          - {match: {path: /302}, redirect: {to: /x, status: 302}}
          - {match: {path: /303}, redirect: {to: /x, status: 303}}
          - {match: {path: /307}, redirect: {to: /x, status: 307}}
          - {match: {path: /308}, redirect: {to: /x}}
        ",
    )
    .with("listeners", super::LISTENERS)
    .start()
    .await;
    for client in clients(&edge) {
        for status in [301, 302, 303, 307, 308] {
            for method in ["GET", "HEAD", "POST"] {
                let response = client.request(method, &format!("/{status}")).send().await;
                assert_eq!((response.status, response.header("location")), (status, Some("/x")));
                assert_eq!(response, "", "{method}");
                assert_eq!(response.header("content-length"), Some("0"), "{method}");
            }
        }
    }
}
