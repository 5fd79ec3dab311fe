use super::*;
use crate::exchange::{ClientAddress, Entrance, Limits, Tls};
use std::net::SocketAddr;
use std::sync::Arc;

fn connection(peer: Option<&str>, trusted: &str, is_tls: bool) -> Connection {
    let limits = Limits {
        header_timeout: None,
        header_size: None,
        header_count: None,
        uri_size: None,
        longest_uri: None,
        body_size: None,
        min_body_rate: None,
    };
    let entrance = Entrance {
        name: "web".into(),
        index: 0,
        trusted_proxies: trusted.split_whitespace().map(|cidr| cidr.parse().unwrap()).collect(),
        client_address: ClientAddress::default(),
        via: None,
        limits,
    };
    let tls = is_tls.then_some(Tls::new("TLSv1.3", "", None));
    let peer: Option<SocketAddr> = peer.map(|peer| peer.parse().unwrap());
    Connection::new(Arc::new(entrance), peer, None, tls, Arc::default())
}

fn request(version: Version, fields: &[(&'static str, &'static str)]) -> RequestHeader {
    let mut request = RequestHeader::build("GET", b"/", None).unwrap();
    request.set_version(version);
    for (name, value) in fields {
        request.append_header(*name, *value).unwrap();
    }
    request
}

fn introduced<'a>(
    connection: &'a Connection,
    client: &'a Client,
    host: Option<&'a HeaderValue>,
    request: &RequestHeader,
) -> Introduced<'a> {
    let (received, minded) = (request.version, Minded::of(&request.headers));
    Introduced { connection, client, host, received, minded }
}

/// The fields that go upstream, sorted.
fn sent(connection: &Connection, mut request: RequestHeader, prefix: Option<&str>) -> Vec<String> {
    let client = Client::of(connection, &request.headers);
    let host = request.headers.get(header::HOST).cloned();
    let facts = introduced(connection, &client, host.as_ref(), &request);
    introduce(&mut request, &facts).unwrap();
    let outgoing = Outgoing { host: None, stripped_prefix: prefix, forwarded: None };
    prepare(&mut request, &outgoing).unwrap();
    let mut fields: Vec<_> =
        request.headers.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
    fields.sort();
    fields
}

#[test]
fn what_a_stranger_says_of_itself_is_removed() {
    let request = request(
        Version::HTTP_11,
        &[
            ("host", "a.example"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-ssl", "on"),
            ("x-real-ip", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
        ],
    );
    assert_eq!(
        sent(&connection(Some("192.0.2.7:1"), "", false), request, None),
        [
            "host: a.example",
            "x-forwarded-for: 192.0.2.7",
            "x-forwarded-host: a.example",
            "x-forwarded-proto: http",
        ]
    );
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_extended() {
    let request = request(
        Version::HTTP_11,
        &[
            ("host", "inner.example"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "a.example"),
            ("x-forwarded-prefix", "/outer"),
        ],
    );
    assert_eq!(
        sent(&connection(Some("10.0.0.1:1"), "10.0.0.0/8", false), request, Some("/api")),
        [
            "host: inner.example",
            "x-forwarded-for: 192.0.2.7, 10.0.0.1",
            "x-forwarded-host: a.example",
            "x-forwarded-prefix: /outer/api",
            "x-forwarded-proto: https",
        ]
    );
}

#[test]
fn tls_and_a_unix_peer_are_told_as_they_are() {
    let secure = connection(None, "", true);
    let request = request(Version::HTTP_11, &[("host", "a.example")]);
    assert_eq!(
        sent(&secure, request, None),
        ["host: a.example", "x-forwarded-host: a.example", "x-forwarded-proto: https"]
    );
}

#[test]
fn te_keeps_its_trailers_in_the_form_of_the_version() {
    let client = connection(None, "", false);
    let te = &[("te", "gzip, trailers"), ("connection", "te")];
    assert_eq!(
        sent(&client, request(Version::HTTP_11, te), None),
        ["connection: TE", "te: trailers", "x-forwarded-proto: http"]
    );
    assert_eq!(
        sent(&client, request(Version::HTTP_2, te), None),
        ["te: trailers", "x-forwarded-proto: http"]
    );
}

#[test]
fn an_upgrade_passes_and_h2c_does_not() {
    let client = connection(None, "", false);
    let websocket = &[("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
    assert_eq!(
        sent(&client, request(Version::HTTP_11, websocket), None),
        ["connection: Upgrade", "upgrade: websocket", "x-forwarded-proto: http"]
    );
    let h2c = &[("connection", "Upgrade, HTTP2-Settings"), ("upgrade", "h2c")];
    assert_eq!(sent(&client, request(Version::HTTP_11, h2c), None), ["x-forwarded-proto: http"]);
}

#[test]
fn split_cookies_are_one_on_http_1() {
    let client = connection(None, "", false);
    let cookies = &[("cookie", "a=1"), ("cookie", "b=2")];
    assert_eq!(
        sent(&client, request(Version::HTTP_11, cookies), None),
        ["cookie: a=1; b=2", "x-forwarded-proto: http"]
    );
    assert_eq!(
        sent(&client, request(Version::HTTP_2, cookies), None),
        ["cookie: a=1", "cookie: b=2", "x-forwarded-proto: http"]
    );
}

#[test]
fn nothing_waits_for_a_100_over_http_2() {
    let client = connection(None, "", false);
    let expect = &[("expect", "100-continue")];
    assert_eq!(sent(&client, request(Version::HTTP_2, expect), None), ["x-forwarded-proto: http"]);
    assert_eq!(
        sent(&client, request(Version::HTTP_11, expect), None),
        ["expect: 100-continue", "x-forwarded-proto: http"]
    );
}

/// The `Forwarded` that goes upstream, for an upstream that wants it.
fn forwarded(connection: &Connection, fields: &[(&'static str, &'static str)]) -> String {
    let mut request = request(Version::HTTP_11, fields);
    let client = Client::of(connection, &request.headers);
    let host = request.headers.get(header::HOST).cloned();
    let facts = introduced(connection, &client, host.as_ref(), &request);
    introduce(&mut request, &facts).unwrap();
    let outgoing = Outgoing { host: None, stripped_prefix: None, forwarded: Some(facts) };
    prepare(&mut request, &outgoing).unwrap();
    request.headers.get("forwarded").unwrap().to_str().unwrap().to_owned()
}

#[test]
fn forwarded_tells_of_the_peer_and_replaces_a_strangers() {
    let stranger = connection(Some("192.0.2.7:4711"), "", true);
    let told = [("host", "a.example:8443"), ("forwarded", "for=6.6.6.6")];
    let expected = r#"for=192.0.2.7;proto=https;host="a.example:8443""#;
    assert_eq!(forwarded(&stranger, &told), expected);
    let v6 = connection(Some("[2001:db8::1]:4711"), "", false);
    assert_eq!(forwarded(&v6, &[]), r#"for="[2001:db8::1]";proto=http"#);
    let unix = connection(None, "", false);
    assert_eq!(forwarded(&unix, &[]), "for=unknown;proto=http");
}

#[test]
fn forwarded_of_a_trusted_proxy_is_kept_and_extended() {
    let proxy = connection(Some("10.0.0.1:80"), "10.0.0.0/8", false);
    let told = [("forwarded", "for=192.0.2.7;proto=https"), ("forwarded", "for=10.0.0.2")];
    let expected = "for=192.0.2.7;proto=https, for=10.0.0.2, for=10.0.0.1;proto=http";
    assert_eq!(forwarded(&proxy, &told), expected);
}
