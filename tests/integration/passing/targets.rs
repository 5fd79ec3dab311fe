//! Host and target: as the client sent them, unless the document says otherwise.

use super::{By, To, before, pairs};
use crate::support::{Authority, Received, Reply, origin};

fn host(request: &Received) -> Option<&str> {
    request.authority.as_deref().or(request.header("host"))
}

#[tokio::test]
async fn the_host_is_the_clients_the_endpoints_or_a_name() {
    for (by, to) in pairs() {
        let origin = to.origin().status("/", 200).start().await;
        let protocol = if to == To::H2 { ", protocol: h2" } else { "" };
        for (keys, expected) in [
            ("host: client", "Shop.Example:8080"),
            ("host: endpoint", origin.address()),
            ("host: internal.example:81", "internal.example:81"),
        ] {
            let keys = format!("{keys}{protocol}");
            let edge = before(&origin).upstream(&keys).start().await;
            let request = by.client(&edge).request("GET", "/").host("Shop.Example:8080");
            let request =
                if by.is_h2() { request } else { request.header("Host", "Shop.Example:8080") };
            assert_eq!(request.send().await.status, 200);

            let request = origin.requests().pop().unwrap();
            assert_eq!(host(&request), Some(expected), "{by:?} {to:?}");
            assert!(request.headers.all("host").len() <= 1);
            let told = request.header("x-forwarded-host");
            assert_eq!(told, Some("Shop.Example:8080"), "{by:?} {to:?} {keys}");
        }
    }
}

#[tokio::test]
async fn an_absolute_target_goes_upstream_in_origin_form() {
    for to in To::ALL {
        let origin = to.origin().handler(|_| Reply::new(200)).start().await;
        let edge = to.edge(&origin).await;
        for (target, expected) in [
            ("http://a.example/x/../y%2f?b", "/x/../y%2f?b"),
            ("HTTP://a.example/", "/"),
            ("http://a.example", "/"),
            ("http://a.example?b=1", "/?b=1"),
            ("https://a.example//x", "//x"),
        ] {
            let request = edge.request("GET", target).header("Host", "a.example");
            assert_eq!(request.send().await.status, 200, "{target}");
            let request = origin.requests().pop().unwrap();
            assert_eq!(request.target, expected, "{to:?} {target}");
            assert_eq!(host(&request), Some("a.example"), "{to:?} {target}");
        }
    }
}

#[tokio::test]
async fn an_absolute_target_is_routed_by_its_own_host_and_path() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let routes = "routes: [{match: {host: a.example, path: /x/*}, upstream: app}]";
    let edge = before(&origin).rest(routes).start().await;
    let ask = async |target: &str, host: &str| {
        edge.request("GET", target).header("Host", host).send().await.status
    };
    assert_eq!(ask("http://a.example/x/1", "a.example").await, 200);
    assert_eq!(ask("http://a.example/y", "a.example").await, 404);
    assert_eq!(ask("http://b.example/x/1", "b.example").await, 421);
    // Two hosts in one request are nobody's mistake but an attacker's.
    assert_eq!(ask("http://a.example/x/1", "b.example").await, 400);
}

/// Targets that a careless proxy changes.
const TARGETS: [&str; 17] = [
    "/a/../b%2f%41",
    "/../..",
    "/a/./b/.",
    "/%2e%2e/x",
    "//double//slash//",
    "/?",
    "/a?",
    "/a??b?",
    "/a?b=c&&d=%zz&=e",
    "/a?x=/../y",
    "/a;b=c/d,e:f@g!$'()*+~",
    "/%e4%bd%a0%E5%A5%BD?q=%20+",
    "/a%3Fb%23c%25",
    "/a|b\"c",
    "/{curly}/[square]/^\\",
    "/?a=|{}[]^`\\'",
    "/http://x/",
];

#[tokio::test]
async fn the_target_goes_upstream_exactly_as_the_client_sent_it() {
    for to in To::ALL {
        let origin = to.origin().handler(|_| Reply::new(200)).start().await;
        let edge = to.edge(&origin).await;
        for target in TARGETS {
            let mut raw = edge.raw("web").await;
            raw.write(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
            assert_eq!(raw.response().await.status, 200, "{to:?} {target}");
            assert_eq!(origin.requests().pop().unwrap().target, target, "{to:?}");
        }
    }
}

#[tokio::test]
async fn the_target_of_an_http_2_request_goes_upstream_exactly_as_the_client_sent_it() {
    for to in To::ALL {
        let origin = to.origin().handler(|_| Reply::new(200)).start().await;
        let edge = to.edge(&origin).await;
        let mut h2 = edge.h2("web").await;
        for target in TARGETS {
            // What the client's own library does not take for a target, it cannot send.
            if http::uri::PathAndQuery::try_from(target).is_err() {
                continue;
            }
            assert_eq!(h2.get(target).await.status, 200, "{to:?} {target}");
            assert_eq!(origin.requests().pop().unwrap().target, target, "{to:?}");
        }
    }
}

#[tokio::test]
async fn matching_sees_the_normalised_path_and_the_endpoint_the_sent_one() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let routes = "routes: [{match: {path: /b/*}, upstream: app}]";
    let edge = before(&origin).rest(routes).start().await;
    for by in By::CLEAR {
        for (target, status) in [
            ("/a/../b/c", 200),
            ("/%62/c", 200),
            ("/./b", 200),
            ("/b/../a", 404),
            ("/b/%2e%2e/a", 404),
            ("/b%2Fc", 404),
        ] {
            let response = by.client(&edge).get(target).await;
            assert_eq!(response.status, status, "{by:?} {target}");
            if status == 200 {
                assert_eq!(origin.requests().pop().unwrap().target, target, "{by:?}");
            }
        }
    }
}

#[tokio::test]
async fn options_for_the_whole_server_are_those_of_the_edge() {
    let origin = origin().start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let response = by.client(&edge).request("OPTIONS", "*").send().await;
        assert_eq!((response.status, response.text().as_str()), (204, ""), "{by:?}");
        assert!(response.header("allow").unwrap().contains("GET"), "{by:?}");
    }
    let line = edge.logged("the edge's answer", |line| line["path"] == "*").await;
    assert_eq!((&line["status"], &line["route"]), (&204.into(), &serde_json::Value::Null));
    assert_eq!(origin.hits(), 0);
}

#[tokio::test]
async fn methods_pass_as_they_are() {
    for (by, to) in pairs() {
        let origin = to.origin().handler(|_| Reply::new(200)).start().await;
        let edge = to.edge(&origin).await;
        for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "M-SEARCH"] {
            let response = by.client(&edge).request(method, "/").send().await;
            assert_eq!(response.status, 200, "{by:?} {to:?} {method}");
            assert_eq!(origin.requests().pop().unwrap().method, method, "{by:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn the_scheme_towards_http_2_endpoints_is_that_of_the_upstream_connection() {
    let plain = To::H2.origin().status("/", 200).start().await;
    let edge = To::H2.edge(&plain).await;
    for by in By::ALL {
        assert_eq!(by.client(&edge).get("/").await.status, 200);
        assert_eq!(plain.requests().pop().unwrap().scheme.as_deref(), Some("http"), "{by:?}");
    }

    let authority = Authority::new();
    let secure = origin().tls(&authority.issue(&["127.0.0.1"])).status("/", 200).start().await;
    let edge = crate::support::edge(
        "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h1, h2]}
          secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        upstreams: {app: {endpoints: [$app], protocol: h2}}
        ",
    );
    let edge = edge.with("app", &secure).file("ca.pem", &authority.pem);
    let roots = edge.folder().join("ca.pem");
    let edge = edge.env("SSL_CERT_FILE", roots.to_str().unwrap()).start().await;
    for by in By::ALL {
        assert_eq!(by.client(&edge).get("/").await.status, 200, "{by:?}");
        let request = secure.requests().pop().unwrap();
        assert_eq!(request.scheme.as_deref(), Some("https"), "{by:?}");
        let told = if matches!(by, By::Tls | By::TlsH2) { "https" } else { "http" };
        assert_eq!(request.header("x-forwarded-proto"), Some(told), "{by:?}");
    }
}
