//! Header fields: which end at the edge, and that the others pass as they are.

use super::{By, To, before, pairs, ways};
use crate::support::{Headers, Reply, origin};

/// The names of fields, sorted and in lower case.
fn names(headers: &Headers) -> Vec<String> {
    let mut names: Vec<_> = headers.names().iter().map(|name| name.to_ascii_lowercase()).collect();
    names.sort();
    names
}

/// What every response of an edge has, whatever its endpoint sent.
const OURS: [&str; 2] = ["connection", "date"];

#[tokio::test]
async fn hop_by_hop_and_nominated_fields_of_an_http_1_request_end_at_the_edge() {
    for to in To::ALL {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let request = edge
            .request("GET", "/")
            .header("Connection", "keep-alive, X-One")
            .header("Connection", "x-TWO ,, x-absent, Host, Content-Length")
            .header("X-One", "1")
            .header("X-Two", "2")
            .header("x-two", "two")
            .header("X-Three", "3")
            .header("Keep-Alive", "timeout=5")
            .header("Proxy-Connection", "keep-alive")
            .header("Proxy-Authorization", "Basic eDp5")
            .header("TE", "gzip")
            .header("Trailer", "X-Sum")
            .header("Upgrade", "h2c")
            .header("HTTP2-Settings", "AAMAAABkAAQAAP__");
        assert_eq!(request.send().await.status, 200, "{to:?}");

        let request = origin.request().await;
        let mut expected = vec![
            "trailer",
            "via",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "x-three",
        ];
        if to == To::H1 {
            expected.insert(0, "host");
        }
        assert_eq!(names(&request.headers), expected, "{to:?}");
    }
}

#[tokio::test]
async fn hop_by_hop_fields_of_an_http_2_request_end_at_the_edge() {
    for to in To::ALL {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let request = By::H2.client(&edge).request("GET", "/").header("x-three", "3");
        let request = request
            .header("proxy-authorization", "Basic eDp5")
            .header("http2-settings", "AAMAAABkAAQAAP__");
        assert_eq!(request.send().await.status, 200, "{to:?}");

        let request = origin.request().await;
        let mut expected =
            vec!["via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-three"];
        if to == To::H1 {
            expected.insert(0, "host");
        }
        assert_eq!(names(&request.headers), expected, "{to:?}");
    }
}

#[tokio::test]
async fn hop_by_hop_and_nominated_fields_of_a_response_end_at_the_edge() {
    let reply = Reply::ok("hello")
        .header("Connection", "keep-alive, X-One")
        .header("connection", "x-TWO,,Content-Length")
        .header("X-One", "1")
        .header("X-Two", "2")
        .header("X-Three", "3")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Connection", "keep-alive")
        .header("Proxy-Authenticate", "Basic realm=x")
        .header("Upgrade", "h2c");
    let origin = origin().answer("/", reply).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in By::ALL {
        let response = by.client(&edge).get("/").await;
        assert_eq!(response, "hello");
        let mut left = names(&response.headers);
        left.retain(|name| !OURS.contains(&name.as_str()));
        assert_eq!(left, ["content-length", "x-three"], "{by:?}");
        let connection = response.header("connection").unwrap_or("keep-alive");
        assert_eq!(connection, "keep-alive", "{by:?}");
    }
}

#[tokio::test]
async fn a_client_cannot_nominate_away_what_the_edge_tells() {
    for to in To::ALL {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let nominated = "x-forwarded-for, x-forwarded-proto, x-forwarded-host, host";
        let request = edge.request("GET", "/").host("a.example").header("Connection", nominated);
        assert_eq!(request.send().await.status, 200);

        let request = origin.request().await;
        assert_eq!(request.header("x-forwarded-for"), Some("127.0.0.1"), "{to:?}");
        assert_eq!(request.header("x-forwarded-proto"), Some("http"), "{to:?}");
        assert!(request.header("x-forwarded-host").is_some(), "{to:?}");
        assert!(!request.header("connection").unwrap_or_default().contains("forwarded"));
    }
}

#[tokio::test]
async fn nothing_but_our_own_is_added_to_a_response() {
    for (by, to) in ways() {
        let reply = Reply::ok("hello").header("X-App", "1").header("Content-Length", 5);
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut left = names(&by.client(&edge).get("/").await.headers);
        left.retain(|name| !OURS.contains(&name.as_str()));
        assert_eq!(left, ["content-length", "x-app"], "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn te_trailers_passes_and_no_other_coding() {
    for (by, to) in pairs() {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        // HTTP/2 allows nothing else in the field.
        let sent = if by.is_h2() { "trailers" } else { "gzip;q=0.5, Trailers" };
        let request = by.client(&edge).request("GET", "/").header("te", sent);
        let request = if by.is_h2() { request } else { request.header("Connection", "TE") };
        assert_eq!(request.send().await.status, 200);

        let request = origin.request().await;
        assert_eq!(request.headers.all("te"), ["trailers"], "{by:?} {to:?}");
        let connection = if to == To::H1 { Some("TE") } else { None };
        assert_eq!(request.header("connection"), connection, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn trailers_of_a_response_pass_over_http_2() {
    let reply = |body: &'static str| {
        Reply::ok(body).trailer("grpc-status", "5").trailer("grpc-message", "gone%20away")
    };
    let origin =
        To::H2.origin().answer("/body", reply("hello")).answer("/bare", reply("")).start().await;
    let edge = To::H2.edge(&origin).await;
    for by in [By::H2, By::TlsH2] {
        for (path, body) in [("/body", "hello"), ("/bare", "")] {
            let response = by.client(&edge).get(path).await;
            assert_eq!(response, body);
            assert_eq!(response.trailers.one("grpc-status"), Some("5"), "{by:?} {path}");
            assert_eq!(response.trailers.one("grpc-message"), Some("gone%20away"));
        }
    }
    // HTTP/1 clients get the body without them.
    assert_eq!(edge.get("/body").await, "hello");
}

#[tokio::test]
async fn names_keep_their_case_between_http_1_peers() {
    let reply = Reply::ok("hello")
        .header("X-oDD-Case", "1")
        .header("x-lower", "2")
        .header("ETAG", "\"3\"")
        .header("X-Twice", "4")
        .header("x-TWICE", "5");
    let origin = origin().answer("/", reply).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in [By::H1, By::Tls] {
        let request = by.client(&edge).request("GET", "/");
        let request = request
            .header("X-oDD-Case", "1")
            .header("x-lower", "2")
            .header("ACCEPT", "*/*")
            .header("X-Twice", "4")
            .header("x-TWICE", "5");
        let response = request.send().await;
        let seen = origin.requests().pop().unwrap();
        for (headers, third) in [(&seen.headers, "ACCEPT"), (&response.headers, "ETAG")] {
            let names = headers.names();
            for name in ["X-oDD-Case", "x-lower", third, "X-Twice", "x-TWICE"] {
                assert!(names.contains(&name), "{name} in {names:?}");
            }
        }
        assert_eq!(seen.headers.all("x-twice"), ["4", "5"]);
        assert_eq!(response.headers.all("x-twice"), ["4", "5"]);
    }
}

#[tokio::test]
async fn several_cookie_fields_of_http_2_become_one_on_http_1() {
    for (by, to) in pairs() {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let mut request = by.client(&edge).request("GET", "/");
        for crumb in ["a=1", "b=2; c=3", "d=\"4\""] {
            request = request.header("cookie", crumb);
        }
        assert_eq!(request.send().await.status, 200);

        let cookies = origin.request().await;
        let cookies = cookies.headers.all("cookie");
        assert_eq!(cookies.join("; "), "a=1; b=2; c=3; d=\"4\"", "{by:?} {to:?}");
        if to == To::H1 {
            assert_eq!(cookies.len(), 1, "{by:?}");
        }
    }
}

#[tokio::test]
async fn each_set_cookie_stays_a_field_of_its_own_in_its_order() {
    let set = ["a=1; Path=/", "b=2; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "a=3; HttpOnly"];
    for (by, to) in pairs() {
        let reply = set.iter().fold(Reply::ok("hello"), |r, set| r.header("set-cookie", set));
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let response = by.client(&edge).get("/").await;
        assert_eq!(response.headers.all("set-cookie"), set, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn unusual_values_pass_untouched_both_ways() {
    let values = [
        ("x-empty", ""),
        ("x-encoded", "%zz%2F%00+%"),
        ("x-utf8", "gr\u{fc}\u{df}e \u{1f980}"),
        ("x-inner", "a  b\tc , ,;=\"quoted\\\" text\""),
        ("x-long", &"v".repeat(20_000)),
    ];
    for (by, to) in pairs() {
        let reply = values.iter().fold(Reply::ok(""), |reply, (n, v)| reply.header(n, v));
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let request = by.client(&edge).request("GET", "/");
        let request = values.iter().fold(request, |request, (n, v)| request.header(n, v));
        let response = request.send().await;
        let request = origin.request().await;
        for (name, value) in values {
            assert_eq!(request.headers.all(name), [value], "{by:?} {to:?}");
            assert_eq!(response.headers.all(name), [value], "{by:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn bytes_beyond_ascii_pass_as_they_are() {
    let wire = b"HTTP/1.1 200 OK\r\nX-Latin: caf\xe9\r\nContent-Length: 0\r\n\r\n";
    let origin = origin().raw(&wire[..]).start().await;
    let edge = To::H1.edge(&origin).await;
    let mut raw = edge.raw("web").await;
    raw.write(b"GET / HTTP/1.1\r\nHost: a\r\nX-Latin: caf\xe9\r\n\r\n").await;
    let head = raw.head().await.raw;
    let has = |bytes: &[u8]| bytes.windows(15).any(|window| window == b"X-Latin: caf\xe9\r\n");
    assert!(has(&head), "{head:?}");
    let request = origin.request().await.raw;
    assert!(has(&request), "{request:?}");
}

#[tokio::test]
async fn a_hundred_fields_pass_both_ways() {
    let names: Vec<_> = (0..99).map(|n| format!("x-field-{n}")).collect();
    for (by, to) in pairs() {
        let reply = names.iter().fold(Reply::ok(""), |reply, name| reply.header(name, name));
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        // On HTTP/1, `Host` is the hundredth.
        let request = by.client(&edge).request("GET", "/");
        let request = names.iter().fold(request, |request, name| request.header(name, name));
        let response = request.send().await;
        assert_eq!(response.status, 200, "{by:?} {to:?}");
        let request = origin.request().await;
        for name in &names {
            assert_eq!(request.header(name), Some(name.as_str()), "{by:?} {to:?}");
            assert_eq!(response.header(name), Some(name.as_str()), "{by:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn filters_see_what_passes_and_their_fields_pass_too() {
    let reply = Reply::ok("hello").header("Server", "app").header("X-Old", "1");
    let origin = origin().answer("/", reply).start().await;
    let filter = "filters: [headers: {request: {set: {x-tenant: '{request.host}'}, rename: \
                  {x-a: x-b}}, response: {remove: [server], rename: {x-old: x-new}}}]";
    let edge = before(&origin).rest(filter).start().await;
    for by in By::ALL {
        let request = by.client(&edge).request("GET", "/").host("shop.example");
        let response = request.header("x-a", "1").send().await;
        let request = origin.requests().pop().unwrap();
        assert_eq!(request.header("x-tenant"), Some("shop.example"), "{by:?}");
        assert_eq!((request.header("x-a"), request.header("x-b")), (None, Some("1")), "{by:?}");
        assert_eq!((response.header("server"), response.header("x-new")), (None, Some("1")));
    }
}
