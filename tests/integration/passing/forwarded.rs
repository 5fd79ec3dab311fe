//! Who the client is, and what the endpoint is told of it.

use super::{By, To, before, ways};
use crate::support::{Edge, Received, edge, origin};
use serde_json::Value;

const TRUSTING: &str = "trusted_proxies: [127.0.0.0/8, 10.0.0.0/8, '2001:db8:1::/48']";

/// What an endpoint and the access log make of a request with these fields.
async fn told(edge: &Edge, origin: &crate::support::Origin, fields: &[(&str, &str)]) -> Told {
    let before = origin.hits();
    let request = edge.request("GET", "/").host("shop.example");
    let request = fields.iter().fold(request, |request, (name, value)| request.header(name, value));
    assert_eq!(request.send().await.status, 200, "{fields:?}");
    let request = origin.requests().swap_remove(before);
    let line = edge.access_log(before + 1).await.swap_remove(before);
    Told { request, line }
}

struct Told {
    request: Received,
    line: Value,
}

impl Told {
    fn client(&self) -> &str {
        self.line["client"].as_str().unwrap()
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.request.headers.all(name)
    }
}

#[tokio::test]
async fn what_an_untrusted_peer_says_of_the_client_is_removed_whether_we_send_it_or_not() {
    for (by, to) in ways() {
        let origin = to.origin().status("/", 200).start().await;
        let edge = to.edge(&origin).await;
        let mut request = by.client(&edge).request("GET", "/").host("shop.example");
        for name in [
            "x-forwarded-for",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "x-forwarded-prefix",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-foo",
            "x-real-ip",
            "forwarded",
        ] {
            request = request.header(name, "for=203.0.113.9");
        }
        assert_eq!(request.send().await.status, 200);

        let request = origin.request().await;
        assert_eq!(request.headers.all("x-forwarded-for"), ["127.0.0.1"], "{by:?} {to:?}");
        let scheme = if matches!(by, By::Tls | By::TlsH2) { "https" } else { "http" };
        assert_eq!(request.headers.all("x-forwarded-proto"), [scheme], "{by:?} {to:?}");
        assert_eq!(request.headers.all("x-forwarded-host"), ["shop.example"], "{by:?} {to:?}");
        let forged = request.headers.0.iter().find(|(_, value)| value.contains("203.0.113.9"));
        assert_eq!(forged, None, "{by:?} {to:?}");
        let line = edge.access_log(1).await.swap_remove(0);
        assert_eq!(line["client"], "127.0.0.1", "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn x_forwarded_for_is_read_from_the_right_to_the_first_untrusted_address() {
    let origin = origin().status("/", 200).start().await;
    let edge = before(&origin).listener(TRUSTING).start().await;
    for (fields, client) in [
        (&["203.0.113.9, 198.51.100.7, 10.1.2.3"][..], "198.51.100.7"),
        (&["203.0.113.9", "198.51.100.7", "10.1.2.3, 127.0.0.5"], "198.51.100.7"),
        (&["198.51.100.7"], "198.51.100.7"),
        (&["  198.51.100.7  ,10.0.0.1"], "198.51.100.7"),
        (&["198.51.100.7:4711"], "198.51.100.7"),
        (&["2001:db8:2::1, 2001:db8:1::9"], "2001:db8:2::1"),
        (&["[2001:db8:2::1]:4711"], "2001:db8:2::1"),
        (&["::ffff:198.51.100.7"], "198.51.100.7"),
        // All are trusted: the leftmost is the client.
        (&["10.9.9.9, 10.1.2.3"], "10.9.9.9"),
        // Nothing left of what is no address can be believed.
        (&["198.51.100.7, unknown, 10.1.2.3"], "10.1.2.3"),
        (&["nonsense"], "127.0.0.1"),
        (&[""], "127.0.0.1"),
    ] {
        let sent: Vec<_> = fields.iter().map(|field| ("X-Forwarded-For", *field)).collect();
        let told = told(&edge, &origin, &sent).await;
        assert_eq!(told.client(), client, "{fields:?}");
    }
    let told = told(&edge, &origin, &[]).await;
    assert_eq!(told.client(), "127.0.0.1");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_extended() {
    for to in To::ALL {
        let origin = to.origin().status("/", 200).start().await;
        let protocol = if to == To::H2 { "protocol: h2" } else { "" };
        let edge = before(&origin).listener(TRUSTING).upstream(protocol).start().await;
        let told = told(
            &edge,
            &origin,
            &[
                ("X-Forwarded-For", "203.0.113.9, 198.51.100.7"),
                ("X-Forwarded-For", "10.1.2.3"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "outside.example"),
                ("X-Forwarded-Port", "8443"),
                ("X-Real-IP", "198.51.100.7"),
                ("Forwarded", "for=198.51.100.7"),
            ],
        )
        .await;
        let chain = told.all("x-forwarded-for").join(", ");
        assert_eq!(chain, "203.0.113.9, 198.51.100.7, 10.1.2.3, 127.0.0.1", "{to:?}");
        assert_eq!(told.all("x-forwarded-proto"), ["https"], "{to:?}");
        assert_eq!(told.all("x-forwarded-host"), ["outside.example"], "{to:?}");
        assert_eq!(told.all("x-forwarded-port"), ["8443"], "{to:?}");
        assert_eq!(told.all("x-real-ip"), ["198.51.100.7"], "{to:?}");
        assert_eq!(told.all("forwarded"), ["for=198.51.100.7"], "{to:?}");
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_left_out_the_edge_fills_in() {
    let origin = origin().status("/", 200).start().await;
    let edge = before(&origin).listener(TRUSTING).start().await;
    let told = told(&edge, &origin, &[]).await;
    assert_eq!(told.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(told.all("x-forwarded-proto"), ["http"]);
    assert_eq!(told.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(told.all("x-forwarded-prefix"), [""; 0]);
}

#[tokio::test]
async fn the_client_is_read_from_forwarded_if_that_is_the_field_named() {
    let origin = origin().status("/", 200).start().await;
    let listener = format!("{TRUSTING}, client_address: forwarded");
    let edge = before(&origin).listener(&listener).start().await;
    for (forwarded, client) in [
        ("for=203.0.113.9, for=198.51.100.7;proto=https, for=10.1.2.3", "198.51.100.7"),
        ("proto=https; For=\"[2001:db8:2::1]:4711\" ;by=10.0.0.1", "2001:db8:2::1"),
        ("for=\"198.51.100.7:4711\"", "198.51.100.7"),
        ("for=_hidden, for=10.1.2.3", "10.1.2.3"),
        ("for=unknown", "127.0.0.1"),
    ] {
        // The field that was not named says nothing.
        let sent = [("Forwarded", forwarded), ("X-Forwarded-For", "192.0.2.1")];
        let told = told(&edge, &origin, &sent).await;
        assert_eq!(told.client(), client, "{forwarded}");
        assert_eq!(told.all("forwarded"), [forwarded]);
    }
}

#[tokio::test]
async fn the_client_is_read_from_a_field_of_the_operators_choice() {
    let origin = origin().status("/", 200).start().await;
    let listener = format!("{TRUSTING}, client_address: {{header: cf-connecting-ip}}");
    let edge = before(&origin).listener(&listener).start().await;
    let sent = [("CF-Connecting-IP", "198.51.100.7"), ("X-Forwarded-For", "192.0.2.1")];
    let told = told(&edge, &origin, &sent).await;
    assert_eq!(told.client(), "198.51.100.7");
    assert_eq!(told.all("cf-connecting-ip"), ["198.51.100.7"]);
    assert_eq!(told.all("x-forwarded-for"), ["192.0.2.1, 127.0.0.1"]);
}

#[tokio::test]
async fn only_a_listeners_own_trusted_proxies_are_believed() {
    let origin = origin().status("/", 200).start().await;
    let edge = before(&origin).listener("trusted_proxies: [192.0.2.0/24]").start().await;
    let told = told(&edge, &origin, &[("X-Forwarded-For", "198.51.100.7")]).await;
    assert_eq!(told.client(), "127.0.0.1");
    assert_eq!(told.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[tokio::test]
async fn each_attempt_tells_of_the_client_once() {
    let bad = origin().refusing().start().await;
    let good = origin().status("/", 200).start().await;
    let document = "upstreams: {app: {balance: first, endpoints: [$bad, $good]}}";
    let edge = edge(document).with("bad", &bad).with("good", &good).start().await;
    assert_eq!(edge.get("/").await.status, 200);
    assert_eq!(edge.access_log(1).await[0]["attempts"], 2);
    let request = good.request().await;
    for (name, told) in [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http")] {
        assert_eq!(request.headers.all(name), [told]);
    }
    assert_eq!(request.headers.all("via").len(), 1);
}

#[tokio::test]
async fn a_balancer_sees_what_the_endpoint_is_told_of_the_client() {
    let (one, other) = (origin().status("/", 200), origin().status("/", 200));
    let (one, other) = (one.start().await, other.start().await);
    let key = "{request.header.x-forwarded-for}";
    let document = "
        upstreams: {app: {balance: {hash: {key: \"$key\"}}, endpoints: [$one, $other]}}
        ";
    let edge = edge(document).with("key", key).with("one", &one).with("other", &other);
    let edge = edge.start().await;
    for _ in 0..10 {
        assert_eq!(edge.get("/").await.status, 200);
    }
    // Without a key they would be spread.
    assert_eq!(one.hits().max(other.hits()), 10);
}

#[tokio::test]
async fn a_prefix_is_told_only_when_it_was_stripped() {
    let origin = origin().handler(|_| crate::support::Reply::new(200)).start().await;
    let routes = "routes: [{match: {path: /api/*}, filters: [rewrite: {strip_prefix: /api}], \
                  upstream: app}, {upstream: app}]";
    for (listener, outer, expected) in [
        ("", None, Some("/api")),
        ("", Some("/forged"), Some("/api")),
        (TRUSTING, None, Some("/api")),
        (TRUSTING, Some("/outer"), Some("/outer/api")),
    ] {
        let edge = before(&origin).listener(listener).rest(routes).start().await;
        let ask = async |path: &str| {
            let request = edge.request("GET", path);
            let request = match outer {
                Some(outer) => request.header("X-Forwarded-Prefix", outer),
                None => request,
            };
            assert_eq!(request.send().await.status, 200);
            let seen = origin.requests().pop().unwrap();
            (seen.target.clone(), seen.header("x-forwarded-prefix").map(str::to_owned))
        };
        let told = ask("/api/users?x=1").await;
        assert_eq!(told, ("/users?x=1".to_owned(), expected.map(str::to_owned)), "{outer:?}");
        assert_eq!(ask("/api").await.0, "/");
        let kept = if listener.is_empty() { None } else { outer.map(str::to_owned) };
        assert_eq!(ask("/other").await, ("/other".to_owned(), kept), "{outer:?}");
    }
}
