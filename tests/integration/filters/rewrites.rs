//! The filter `rewrite`: what goes upstream in place of the target that the client sent.

use super::{before, clients, last, pairs};
use crate::support::{Reply, origin};
use std::fmt::Write;

/// Filters, and the targets that they make of others.
type Cases<'a> = &'a [(&'a str, &'a [(&'a str, &'a str)])];

/// Asks every pair of versions; each set of filters is a route of its own, told by the host.
async fn expect(path: &str, cases: Cases<'_>) {
    let h1 = origin().handler(|_| Reply::new(200)).start().await;
    let h2 = origin().h2c().handler(|_| Reply::new(200)).start().await;
    let mut routes = "routes:\n".to_owned();
    for (index, (filters, _)) in cases.iter().enumerate() {
        let matches = format!("{{host: h{index}.test, path: {path}}}");
        writeln!(routes, "  - {{match: {matches}, filters: [{filters}], upstream: app}}").unwrap();
    }
    for (edge, origin) in pairs(&h1, &h2, &routes).await {
        for client in clients(&edge) {
            for (index, (filters, targets)) in cases.iter().enumerate() {
                for (sent, expected) in *targets {
                    let request = client.request("GET", sent).host(&format!("h{index}.test"));
                    let request = request.header("x-any", "a/b?c#d &e=%2f;ü").send();
                    assert_eq!(request.await.status, 200, "{filters} {sent}");
                    assert_eq!(last(origin).target, *expected, "{filters} {sent}");
                }
            }
        }
    }
}

#[tokio::test]
async fn prefixes_are_stripped_and_added_on_whole_segments_of_the_normal_path() {
    expect(
        "'/{rest*}'",
        &[
            (
                "rewrite: {strip_prefix: /api}",
                &[
                    ("/api/x?y=1", "/x?y=1"),
                    ("/api/x/", "/x/"),
                    ("/api", "/"),
                    ("/api/", "/"),
                    ("/api?x", "/?x"),
                    ("/apis", "/apis"),
                    ("/b/api/x", "/b/api/x"),
                    ("/%61pi/a%2fb", "/a%2Fb"),
                    ("/api/./x/../y", "/y"),
                    ("/api//x", "//x"),
                    // Nothing was stripped, so nothing was changed.
                    ("/api/../%61/./b", "/api/../%61/./b"),
                ],
            ),
            ("rewrite: {strip_prefix: /api/}", &[("/api/x", "/x"), ("/api", "/")]),
            ("rewrite: {strip_prefix: /café}", &[("/caf%c3%a9/x", "/x"), ("/cafe/x", "/cafe/x")]),
            (
                "rewrite: {add_prefix: /v2}",
                &[("/x?y", "/v2/x?y"), ("/", "/v2/"), ("/a/../%62", "/v2/b")],
            ),
            ("rewrite: {add_prefix: /a b/ü}", &[("/x", "/a%20b/%C3%BC/x")]),
            (
                "rewrite: {strip_prefix: /api}, rewrite: {add_prefix: /v2}",
                &[("/api/x", "/v2/x"), ("/y", "/v2/y")],
            ),
            (
                "rewrite: {strip_prefix: /a}, rewrite: {strip_prefix: /b}",
                &[("/a/b/c", "/c"), ("/b/c", "/c"), ("/b/a/c", "/a/c")],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_path_template_makes_a_new_target() {
    expect(
        "['/old/{page}', '/all/{rest*}']",
        &[
            (
                "rewrite: {path: '/new/{path.page}{path.rest}'}",
                &[
                    ("/old/a%2fb?q=1", "/new/a%2Fb?q=1"),
                    ("/old/a%20b", "/new/a%20b"),
                    ("/all/x/y", "/new/x/y"),
                    ("/all/..%2f..%2fetc", "/new/..%2F..%2Fetc"),
                    ("/all/%2e%2e/all/x", "/new/x"),
                ],
            ),
            (
                "rewrite: {path: '/x?from={request.path}&{request.query}'}",
                &[("/old/a?b=c", "/x?from=/old/a&b=c"), ("/old/a%26b", "/x?from=/old/a%26b&")],
            ),
            ("rewrite: {path: 'no/slash'}", &[("/old/a?b", "/no/slash?b")]),
            ("rewrite: {path: '/a b/ü<x>'}", &[("/old/a", "/a%20b/%C3%BC%3Cx%3E")]),
            (
                "rewrite: {path: '/{request.header.x-any}'}",
                &[("/old/a", "/a%2Fb%3Fc%23d%20%26e%3D%252f%3B%C3%BC")],
            ),
            ("rewrite: {path: '{path.rest}'}", &[("/all//evil.test/x", "/evil.test/x")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_regular_expression_replaces_its_first_match() {
    expect(
        "'/{rest*}'",
        &[
            (
                r"rewrite: {regex: {pattern: '^/(\w+)/(?<rest>.*)$', replace: '/$2/$1'}}",
                &[
                    ("/a/b/c?q", "/b/c/a?q"),
                    ("/a/b%2fc", "/b%2Fc/a"),
                    ("/%61/x", "/x/a"),
                    // No match: as it was sent.
                    ("/%61-/./b", "/%61-/./b"),
                ],
            ),
            (
                "rewrite: {regex: {pattern: '^/v(?<n>[0-9]+)/(.*)$', replace: '/$2/$${n}th'}}",
                &[("/v2/x", "/x/2th")],
            ),
            ("rewrite: {regex: {pattern: a, replace: b}}", &[("/aa", "/ba"), ("/c", "/c")]),
            (
                "rewrite: {regex: {pattern: '^/item/(.*)$', replace: '/q?id=$1'}}",
                &[("/item/7", "/q?id=7"), ("/item/7?x=1", "/q?id=7")],
            ),
            ("rewrite: {regex: {pattern: '^/.*', replace: 'a b'}}", &[("/x", "/a%20b")]),
        ],
    )
    .await;
}

#[tokio::test]
async fn query_parameters_are_removed_set_and_appended() {
    expect(
        "'/{rest*}'",
        &[
            (
                "rewrite: {query: {remove: [debug, 'a b'], set: {lang: de, page: '1'}, append: {via: edge}}}",
                &[
                    ("/", "/?lang=de&page=1&via=edge"),
                    ("/?debug&x=1", "/?x=1&lang=de&page=1&via=edge"),
                    ("/?%64ebug=1&a+b=2&a%20b=3", "/?lang=de&page=1&via=edge"),
                    ("/?lang=en&x=1&lang=fr", "/?lang=de&x=1&page=1&via=edge"),
                    ("/?via=client", "/?via=client&lang=de&page=1&via=edge"),
                    ("/?x=%26&y=a+b&z", "/?x=%26&y=a+b&z&lang=de&page=1&via=edge"),
                    // The path is as it was sent.
                    ("/%61/./b?debug", "/%61/./b?lang=de&page=1&via=edge"),
                ],
            ),
            ("rewrite: {query: {remove: [x]}}", &[("/?x=1", "/"), ("/?x=1&y", "/?y")]),
            (
                "rewrite: {query: {set: {'a&b': '{request.header.x-any}', p: '{request.path}'}}}",
                &[("/a%26", "/a%26?a%26b=a%2Fb%3Fc%23d%20%26e%3D%252f%3B%C3%BC&p=/a%26")],
            ),
            (
                "rewrite: {strip_prefix: /a, query: {set: {stripped: 'yes'}}}",
                &[("/a/b", "/b?stripped=yes"), ("/c", "/c?stripped=yes")],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_stripped_prefix_is_told_upstream() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "
filters: [rewrite: {strip_prefix: /a}]
routes: [{filters: [rewrite: {strip_prefix: /b}], upstream: app}]
";
    let edge = before(&origin, "", keys).await;
    let told = |header: Option<&str>| header.map(str::to_owned);
    for (path, expected) in [("/a/b/c", Some("/a/b")), ("/a/c", Some("/a")), ("/c", None)] {
        let request = edge.request("GET", path).header("x-forwarded-prefix", "/forged");
        request.send().await;
        assert_eq!(told(last(&origin).header("x-forwarded-prefix")), told(expected), "{path}");
    }
    let behind = edge.client("behind").request("GET", "/a/c");
    behind.header("x-forwarded-prefix", "/outer").send().await;
    assert_eq!(last(&origin).header("x-forwarded-prefix"), Some("/outer/a"));
}

#[tokio::test]
async fn the_log_and_later_filters_know_the_target_that_the_client_sent() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "
filters:
  - rewrite: {path: '/new?x=y'}
  - headers: {request: {set: {x-path: '{request.path}', x-query: '{request.query}'}}}
";
    let edge = before(&origin, "", keys).await;
    for client in clients(&edge) {
        client.get("/old/%61?a=b").await;
        let seen = last(&origin);
        assert_eq!(seen.target, "/new?x=y");
        assert_eq!((seen.header("x-path"), seen.header("x-query")), (Some("/old/a"), Some("a=b")));
    }
    for line in edge.access_log(2).await {
        assert_eq!((&line["path"], &line["query"]), (&"/old/%61".into(), &"a=b".into()));
    }
}
