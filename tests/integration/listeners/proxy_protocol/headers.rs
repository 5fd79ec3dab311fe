//! Well-formed headers, whole and in parts, and malformed ones.

use super::{DESTINATION, REFUSED, SOURCE, requiring, seen, v1, v2};
use crate::support::{Client, eventually, proxy_protocol};
use futures::StreamExt;
use proxy_protocol::v2_of;

/// Named headers, each with the client that they tell; none is the peer itself.
fn good() -> Vec<(&'static str, Vec<u8>, Option<&'static str>)> {
    let (six, nine) = ("[2001:db8::7]:1", "[2001:db8::9]:443");
    // A name, the version of TLS, and a field that nobody knows.
    let fields = b"\x02\x00\x0cshop.example\x20\x00\x05\x01\x00\x00\x00\x00\xef\x00\x00";
    // Computed by another program.
    let summed = proxy_protocol::v2(SOURCE, DESTINATION, b"\x03\x00\x04\x60\x69\x14\x97");
    vec![
        ("v1 over IPv4", v1(), Some("192.0.2.7 56324")),
        ("v1 over IPv6", proxy_protocol::v1(six, nine), Some("2001:db8::7 1")),
        (
            "v1 of a mapped address",
            { b"PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n".to_vec() },
            Some("192.0.2.7 1"),
        ),
        ("v1 unknown", b"PROXY UNKNOWN\r\n".to_vec(), None),
        ("v1 unknown with more", b"PROXY UNKNOWN ffff::1 ::1 1 2\r\n".to_vec(), None),
        ("v2 over IPv4", v2(), Some("192.0.2.7 56324")),
        ("v2 over IPv6", proxy_protocol::v2(six, nine, &[]), Some("2001:db8::7 1")),
        ("v2 with fields", proxy_protocol::v2(SOURCE, DESTINATION, fields), {
            Some("192.0.2.7 56324")
        }),
        ("v2 with a checksum", summed, Some("192.0.2.7 56324")),
        ("v2 of a unix socket", v2_of(0x21, 0x31, &[b'/'; 216]), Some("0.0.0.0 ")),
        ("v2 local", v2_of(0x20, 0x00, &[]), None),
        ("v2 local with more", v2_of(0x20, 0x11, b"a health check"), None),
        ("v2 unspecified", v2_of(0x21, 0x00, b"whatever"), None),
        ("v2 of datagrams", v2_of(0x21, 0x12, &[7; 12]), None),
    ]
}

/// Asks after a header and holds against it whom the edge took the client for.
async fn check(what: &str, client: Client, told: Option<&str>) {
    let client_seen = seen(&client).await;
    match told {
        Some(told) => assert_eq!(client_seen.trim_end(), told.trim_end(), "{what}"),
        None => assert!(client_seen.starts_with("127.0.0.1 "), "{what}: {client_seen}"),
    }
}

#[tokio::test]
async fn every_header_is_understood_before_each_protocol() {
    let edge = requiring().await;
    let (web, secure) = (edge.client("web"), edge.client("secure").tls());
    for (what, header, told) in good() {
        for client in [web.clone(), web.clone().h2(), secure.clone(), secure.clone().h2()] {
            check(what, client.after(header.clone()), told).await;
        }
    }
    let of_version = |version: &str| {
        format!("falconer_listener_proxy_headers_total{{listener=\"web\",version=\"{version}\"}}")
    };
    assert_eq!(edge.metric(&of_version("v1")).await, 2.0 * 5.0);
    assert_eq!(edge.metric(&of_version("v2")).await, 2.0 * 9.0);
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn every_header_may_come_in_two_parts_split_anywhere() {
    let edge = requiring().await;
    let (web, secure) = (edge.client("web"), edge.client("secure").tls());
    let mut parts = Vec::new();
    for (what, header, told) in good() {
        for at in 1..header.len() {
            parts.push((format!("{what}, split at {at}"), header.clone(), at, told));
        }
    }
    assert!(parts.len() > 500, "{}", parts.len());
    let tries = parts.into_iter().map(async |(what, header, at, told)| {
        let (first, second) = header.split_at(at);
        let parts = [first.to_vec(), second.to_vec()];
        check(&what, web.clone().after_parts(parts.clone()), told).await;
        check(&what, secure.clone().after_parts(parts), told).await;
    });
    futures::stream::iter(tries).buffer_unordered(32).collect::<()>().await;
    assert_eq!(edge.metric(REFUSED).await, 0.0);
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let edge = requiring().await;
    for header in [v1(), v2()] {
        let parts: Vec<_> = header.iter().map(|byte| vec![*byte]).collect();
        for client in [edge.client("web"), edge.client("secure").tls()] {
            assert_eq!(seen(&client.after_parts(parts.clone())).await, "192.0.2.7 56324");
        }
    }
}

#[tokio::test]
async fn what_follows_a_header_in_the_same_packet_is_not_lost() {
    let edge = requiring().await;
    for header in [v1(), v2()] {
        let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2);
        let mut raw = edge.raw("web").await;
        raw.write([&header, requests.as_bytes()].concat()).await;
        for _ in 0..2 {
            assert_eq!(raw.response().await.header("x-client"), Some("192.0.2.7 56324"));
        }
    }
}

#[tokio::test]
async fn a_unix_socket_may_bring_clients_with_an_address() {
    let edge = requiring().await;
    let socket = edge.client("socket");
    for header in [v1(), v2()] {
        for client in [socket.clone(), socket.clone().h2()] {
            assert_eq!(seen(&client.after(header.clone())).await, "192.0.2.7 56324");
        }
    }
    assert_eq!(seen(&socket.after("PROXY UNKNOWN\r\n")).await.trim_end(), "0.0.0.0");
}

#[tokio::test]
async fn the_name_asked_for_over_tls_is_heard_after_a_header() {
    let edge = requiring().await;
    let client = edge.client("secure").sni("shop.example").after(v2());
    let mut h2 = client.open_h2().await;
    assert_eq!(h2.agreed.as_ref().unwrap().alpn.as_deref(), Some("h2"));
    assert_eq!(h2.get("/").await.header("x-sni"), Some("shop.example"));
}

#[tokio::test]
async fn the_destination_is_the_address_that_the_client_connected_to() {
    let edge = crate::support::edge(
        "
        listeners: {web: {address: '127.0.0.1:0', proxy_protocol: require}}
        routes: [{reply: {body: hello}}]
        access_log: {format: w3c, path: iis.log}
        ",
    )
    .start()
    .await;
    let client = edge.client("web").after(v2());
    assert_eq!(client.get("/").await, "hello");
    let line = eventually("a line of the log", async || {
        let text = std::fs::read_to_string(edge.file("iis.log")).ok()?;
        text.lines().find(|line| line.contains(" GET ")).map(str::to_owned)
    })
    .await;
    assert!(line.contains(" 203.0.113.1 GET ") && line.contains(" 443 "), "{line}");
    assert!(line.contains(" 192.0.2.7 "), "{line}");
}

/// Malformed headers with the cause under which each is counted.
fn bad() -> Vec<(Vec<u8>, &'static str)> {
    let line = |line: &str| line.as_bytes().to_vec();
    vec![
        (line("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "absent"),
        (line("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "absent"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), "absent"),
        (line("proxy TCP4 192.0.2.7 203.0.113.1 1 2\r\n"), "absent"),
        (line("\r\n\r\n\0\r\nQUIT\r"), "absent"),
        (line("PROXY TCP4 192.0.2.7 203.0.113.1 1\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.7 203.0.113.1 1 2 3\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.7 203.0.113.1 01 2\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.7 203.0.113.1 1 65536\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.07 203.0.113.1 1 2\r\n"), "malformed"),
        (line("PROXY TCP4 ::1 ::1 1 2\r\n"), "malformed"),
        (line("PROXY TCP6 192.0.2.7 203.0.113.1 1 2\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.7  203.0.113.1 1 2\r\n"), "malformed"),
        (line("PROXY TCP4 192.0.2.7 203.0.113.1 1 2\n"), "malformed"),
        (line("PROXY UNKNOWN\n"), "malformed"),
        (line("PROXY UDP4 192.0.2.7 203.0.113.1 1 2\r\n"), "malformed"),
        (line(&format!("PROXY UNKNOWN {}", "f".repeat(200))), "malformed"),
        (v2_of(0x11, 0x11, &[0; 12]), "malformed"),
        (v2_of(0x22, 0x11, &[0; 12]), "malformed"),
        (v2_of(0x21, 0x11, &[0; 11]), "malformed"),
        (v2_of(0x21, 0x21, &[0; 35]), "malformed"),
        (v2_of(0x21, 0x31, &[0; 215]), "malformed"),
        (v2_of(0x21, 0x41, &[0; 216]), "malformed"),
        (v2_of(0x20, 0x00, &[0; 4081]), "malformed"),
        (proxy_protocol::v2(SOURCE, DESTINATION, &[0x04, 0]), "malformed"),
        (proxy_protocol::v2(SOURCE, DESTINATION, &[0x04, 0, 9, 0]), "malformed"),
        (proxy_protocol::v2(SOURCE, DESTINATION, &[0x03, 0, 4, 0, 0, 0, 0]), "checksum"),
    ]
}

#[tokio::test]
async fn a_connection_without_a_sound_header_is_closed_and_counted_by_its_cause() {
    let edge = requiring().await;
    for (n, (bytes, cause)) in bad().into_iter().enumerate() {
        for listener in ["web", "secure", "socket"] {
            let mut raw = edge.raw(listener).await;
            raw.write(&bytes).await;
            raw.closed().await;
            let of_cause =
                |cause| format!("{REFUSED}{{listener=\"{listener}\",cause=\"{cause}\"}}");
            let before = bad()[..=n].iter().filter(|(_, of)| *of == cause).count();
            edge.metric_becomes(&of_cause(cause), before as f64).await;
        }
    }
    assert_eq!(edge.metric(REFUSED).await, 3.0 * bad().len() as f64);
    // None of it was HTTP or TLS to us.
    for family in ["requests_refused_total", "tls_handshake_failures_total"] {
        assert_eq!(edge.metric(&format!("falconer_listener_{family}")).await, 0.0, "{family}");
    }
    let line = edge.stderr().line("PROXY header").await;
    assert!(line.contains("cause=absent") && line.contains("peer=127.0.0.1"), "{line}");
    let said = edge.stderr().text().matches("PROXY header").count();
    assert!(said < bad().len(), "{said} lines for {} connections", 3 * bad().len());
    assert_eq!(seen(&edge.client("web").after(v1())).await, "192.0.2.7 56324");
}

#[tokio::test]
async fn a_connection_that_ends_within_its_header_is_counted_and_one_that_says_nothing_is_not() {
    let edge = requiring().await;
    drop(edge.raw("web").await);
    let mut raw = edge.raw("web").await;
    raw.write("PROXY TCP4 192").await;
    raw.finish().await;
    raw.closed().await;
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 0.0).await;
    assert_eq!(edge.metric("falconer_listener_connections_total{listener=\"web\"}").await, 2.0);
    assert_eq!(edge.metric(REFUSED).await, 1.0);
    assert_eq!(edge.metric(&format!("{REFUSED}{{cause=\"incomplete\"}}")).await, 1.0);
}
