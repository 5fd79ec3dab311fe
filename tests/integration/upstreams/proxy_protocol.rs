//! The PROXY header towards endpoints: what it tells, and that a connection stays its client's.

use crate::support::proxy_protocol::{self, told};
use crate::support::{
    Authority, Edge, Gate, Origin, Port, Reply, edge, haproxy, nginx, origin, within,
};
use futures::{SinkExt, StreamExt};
use std::collections::{HashMap, HashSet};
use tokio_tungstenite::tungstenite::Message;

const VERSIONS: [&str; 2] = ["v1", "v2"];
/// How endpoints are spoken to.
const PROTOCOLS: [&str; 2] = ["h1", "h2"];

/// An edge that tells an endpoint of its clients, with these further keys of the upstream.
async fn telling(app: &Origin, version: &str, keys: &str) -> Edge {
    let document = "
        listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$app], proxy_protocol: $version, $keys}}
        ";
    let edge = edge(document).with("app", app).with("version", version).with("keys", keys);
    edge.start().await
}

/// The endpoint was told of a client at this address that connected to the edge.
fn assert_told(own: [u8; 4], edge: &Edge, told: &str) {
    let [a, b, c, d] = own;
    let (ip, port) = edge.address("web").rsplit_once(':').unwrap();
    let begin = format!("TCP4 {a}.{b}.{c}.{d} {ip} ");
    assert!(told.starts_with(&begin) && told.ends_with(&format!(" {port}")), "{told}");
}

#[tokio::test]
async fn an_endpoint_is_told_the_client_and_the_address_that_it_connected_to() {
    for version in VERSIONS {
        for protocol in PROTOCOLS {
            let app = origin().introduced().speaking(protocol).reply("/", "hello").start().await;
            let edge = telling(&app, version, &format!("protocol: {protocol}")).await;
            for (n, own) in [[127, 0, 0, 1], [127, 8, 9, 10]].into_iter().enumerate() {
                assert_eq!(edge.client("web").from(own).get("/").await, "hello");
                let header = app.requests().swap_remove(n).proxy_header;
                assert_eq!(header.starts_with(b"PROXY "), version == "v1", "{header:?}");
                assert_told(own, &edge, &told(&header));
            }
        }
    }
}

#[tokio::test]
async fn the_header_goes_before_tls() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let ways = [("h1", "HTTP/1.1"), ("h2", "HTTP/2.0"), ("auto", "HTTP/2.0")];
    for version in VERSIONS {
        for (protocol, spoken) in ways {
            let app = origin().introduced().tls(&certificate).reply("/", "hello").start().await;
            let keys = format!("protocol: {protocol}, tls: {{ca: ca.pem}}");
            let document = "
                upstreams: {app: {endpoints: [$app], proxy_protocol: $version, $keys}}
                ";
            let edge = edge(document).with("app", &app).with("version", version).with("keys", keys);
            let edge = edge.file("ca.pem", &authority.pem).start().await;
            for _ in 0..2 {
                assert_eq!(edge.client("web").from([127, 0, 0, 5]).get("/").await, "hello");
            }
            for request in app.requests() {
                assert_eq!(request.version, spoken);
                assert_told([127, 0, 0, 5], &edge, &told(&request.proxy_header));
            }
            assert_eq!(app.connections(), 2, "each client is another, by its port");
        }
    }
}

#[tokio::test]
async fn a_unix_socket_gets_the_header_too() {
    for version in VERSIONS {
        let folder = tempfile::tempdir().unwrap();
        let app = origin().introduced().unix(folder.path().join("app.sock"));
        let app = app.reply("/", "hello").start().await;
        let edge = telling(&app, version, "").await;
        assert_eq!(edge.get("/").await, "hello");
        assert_told([127, 0, 0, 1], &edge, &told(&app.request().await.proxy_header));
    }
}

#[tokio::test]
async fn an_upgrade_gets_the_header_too() {
    for version in VERSIONS {
        for protocol in PROTOCOLS {
            let app = origin().introduced().answer("/ws", Reply::websocket()).start().await;
            let edge = telling(&app, version, &format!("protocol: {protocol}")).await;
            let client = edge.client("web").from([127, 0, 0, 6]);
            for _ in 0..20 {
                let mut socket = client.websocket("/ws", &[]).await.unwrap();
                socket.send(Message::text("over")).await.unwrap();
                let back = within("a message", socket.next()).await.unwrap().unwrap();
                assert_eq!(back, Message::text("over"));
            }
            assert_eq!((app.connections(), app.hits()), (20, 20));
            for request in app.requests() {
                assert_told([127, 0, 0, 6], &edge, &told(&request.proxy_header));
            }
        }
    }
}

#[tokio::test]
async fn a_client_without_an_address_is_told_as_such_and_shares_with_nobody() {
    for protocol in PROTOCOLS {
        for (version, word) in [("v1", "UNKNOWN"), ("v2", "LOCAL")] {
            let app = origin().introduced().speaking(protocol).reply("/", "hello").start().await;
            let document = "
                listeners: {web: {address: 'unix:web.sock'}}
                upstreams: {app: {endpoints: [$app], proxy_protocol: $version, protocol: $protocol}}
                ";
            let edge = edge(document).with("app", &app).with("version", version);
            let edge = edge.with("protocol", protocol).start().await;
            let mut clients = [edge.raw("web").await, edge.raw("web").await];
            for _ in 0..2 {
                for raw in &mut clients {
                    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                    assert_eq!(raw.response().await, "hello");
                }
            }
            assert_eq!(app.connections(), 4, "{version}, {protocol}");
            assert!(app.requests().iter().all(|one| told(&one.proxy_header) == word));
            // Nor is one kept for nobody.
            app.until("the end of every connection", |seen| seen.open == 0).await;
        }
    }
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_the_client_is_passed_on() {
    let app = origin().introduced().reply("/", "hello").start().await;
    for version in VERSIONS {
        let edge = edge(
            "
            listeners:
              web: {address: '127.0.0.1:0', trusted_proxies: [127.0.0.1, 10.0.0.1]}
              behind: {address: '127.0.0.1:0', proxy_protocol: require, trusted_proxies: [10.0.0.1]}
            upstreams: {app: {endpoints: [$app], proxy_protocol: $version}}
            ",
        )
        .with("app", &app)
        .with("version", version)
        .start()
        .await;
        let port = edge.address("web").rsplit_once(':').unwrap().1;
        let header = |source| proxy_protocol::v2(source, "203.0.113.1:443", &[]);
        let (web, behind) = (edge.client("web"), edge.client("behind"));
        for (client, field, expected) in [
            // Without a port it is 0.
            (&web, "192.0.2.7", format!("TCP4 192.0.2.7 127.0.0.1 0 {port}")),
            (&web, "192.0.2.7:4711", format!("TCP4 192.0.2.7 127.0.0.1 4711 {port}")),
            // IPv4 and IPv6 in one header are both IPv6.
            (&web, "2001:db8::7", format!("TCP6 2001:db8::7 ::ffff:127.0.0.1 0 {port}")),
            (&behind.clone().after(header("192.0.2.7:1")), "6.6.6.6", {
                "TCP4 192.0.2.7 203.0.113.1 1 443".to_owned()
            }),
            (&behind.clone().after(header("10.0.0.1:1")), "192.0.2.8", {
                "TCP4 192.0.2.8 203.0.113.1 0 443".to_owned()
            }),
        ] {
            let request = client.request("GET", "/").header("X-Forwarded-For", field);
            assert_eq!(request.send().await, "hello");
            let header = app.requests().pop().unwrap().proxy_header;
            assert_eq!(told(&header), expected, "{field}");
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_by_its_client_and_by_nobody_else() {
    for (version, protocol) in [("v1", "h1"), ("v2", "h1"), ("v1", "h2"), ("v2", "h2")] {
        let app = origin().introduced().speaking(protocol).reply("/", "hello").start().await;
        let edge = telling(&app, version, &format!("protocol: {protocol}")).await;
        let mut clients = Vec::new();
        for own in [1, 1, 1, 2, 3] {
            clients.push(edge.client("web").from([127, 0, 0, own]).raw().await);
        }
        for _ in 0..4 {
            for (n, raw) in clients.iter_mut().enumerate() {
                raw.write(format!("GET / HTTP/1.1\r\nHost: a\r\nX-Client: {n}\r\n\r\n")).await;
                assert_eq!(raw.response().await, "hello");
            }
        }
        let (mut of_connection, mut headers) = (HashMap::new(), HashSet::new());
        for request in app.requests() {
            let client = request.header("x-client").unwrap().to_owned();
            let known = of_connection.entry(request.connection).or_insert(client.clone());
            assert_eq!(*known, client, "connection {}, {version}, {protocol}", request.connection);
            headers.insert(request.proxy_header);
        }
        assert_eq!((headers.len(), app.connections()), (5, 5), "{version}, {protocol}");
        let reused = "falconer_upstream_connections_reused_total";
        assert_eq!(edge.metric(reused).await, 15.0, "{version}, {protocol}");
    }
}

#[tokio::test]
async fn clients_of_one_connection_to_us_have_their_own_to_the_endpoint() {
    for protocol in PROTOCOLS {
        let gate = Gate::new();
        let app = origin().introduced().speaking(protocol).answer("/", super::held(&gate));
        let app = app.start().await;
        let document = "
            listeners:
              web: {address: '127.0.0.1:0', protocols: [h2], trusted_proxies: [127.0.0.1]}
            upstreams: {app: {endpoints: [$app], protocol: $protocol, proxy_protocol: v2}}
            ";
        let edge = edge(document).with("app", &app).with("protocol", protocol).start().await;
        // Another proxy brings two clients over one connection, at once.
        let mut h2 = edge.h2("web").await;
        let mut open = Vec::new();
        for n in 0..6 {
            let client = format!("192.0.2.{}", n % 2);
            open.push(h2.start("GET", "/", &[("x-forwarded-for", &client)], true).await);
            app.until(&format!("request {n}"), |seen| seen.requests.len() == n + 1).await;
        }
        gate.open();
        for mut exchange in open {
            assert_eq!(exchange.response().await, "late");
        }
        for request in app.requests() {
            let chain = request.header("x-forwarded-for").unwrap();
            let client = chain.split(',').next().unwrap();
            assert!(told(&request.proxy_header).starts_with(&format!("TCP4 {client} ")), "{chain}");
        }
        let connections = if protocol == "h2" { 2 } else { 6 };
        assert_eq!(app.connections(), connections, "{protocol}");
    }
}

#[tokio::test]
async fn upstreams_of_one_endpoint_that_differ_in_it_share_nothing() {
    let with = origin().introduced().reply("/", "hello").start().await;
    let without = origin().handler(|_| Reply::ok("hello")).start().await;
    let edge = edge(
        "
        upstreams:
          v1: {endpoints: [$with], proxy_protocol: v1}
          v2: {endpoints: [$with], proxy_protocol: v2}
          off: {endpoints: [$without], proxy_protocol: off}
        routes:
          - {match: {host: v1}, upstream: v1}
          - {match: {host: v2}, upstream: v2}
          - {match: {host: off}, upstream: off}
        ",
    )
    .with("with", &with)
    .with("without", &without)
    .start()
    .await;
    let mut raw = edge.raw("web").await;
    for host in ["v1", "v2", "off", "v1", "v2", "off"] {
        raw.write(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        assert_eq!(raw.response().await, "hello", "{host}");
    }
    assert_eq!((with.connections(), without.connections()), (2, 1));
    for request in with.requests() {
        let is_text = request.proxy_header.starts_with(b"PROXY ");
        assert_eq!(request.header("host"), Some(if is_text { "v1" } else { "v2" }));
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_leaves_the_client_to_another() {
    for protocol in PROTOCOLS {
        let bad = origin().refusing().start().await;
        let good = origin().introduced().speaking(protocol).reply("/", "hello").start().await;
        let document = "
            upstreams:
              app: {endpoints: [$bad, $good], proxy_protocol: v2, protocol: $protocol, balance: first}
            ";
        let edge = edge(document).with("bad", &bad).with("good", &good);
        let edge = edge.with("protocol", protocol).start().await;
        assert_eq!(edge.get("/").await, "hello");
        assert_told([127, 0, 0, 1], &edge, &told(&good.request().await.proxy_header));
        let line = edge.logged("the request", |_| true).await;
        assert_eq!(line["attempts"], 2);
    }
    let edge = edge("upstreams: {app: {endpoints: ['unix:/nowhere'], proxy_protocol: v1}}");
    let edge = edge.start().await;
    assert_eq!(edge.get("/").await.status, 502);
}

#[tokio::test]
async fn an_endpoint_that_is_silent_is_not_connected_to_for_ever() {
    let authority = Authority::new();
    let (_held, address) = super::deaf();
    let document = "
        upstreams:
          app: {endpoints: ['https://$address'], proxy_protocol: v1, timeouts: {connect: 300ms}}
        ";
    let edge = edge(document).with("address", &address).trusting(&authority).start().await;
    assert_eq!(edge.get("/").await.status, 504);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_timeout_connect");
}

#[tokio::test]
async fn large_bodies_pass_both_ways() {
    for protocol in PROTOCOLS {
        let app = origin().introduced().speaking(protocol);
        let app = app.handler(|request| Reply::ok(request.body.clone())).start().await;
        let edge = telling(&app, "v2", &format!("protocol: {protocol}")).await;
        let body: Vec<u8> = (0..3_000_000u32).map(|n| n as u8).collect();
        let response = edge.request("POST", "/").body(body.clone()).send().await;
        assert!(response.body == body, "{} bytes came back", response.body.len());
    }
}

#[tokio::test]
async fn haproxy_believes_the_edge() {
    let authority = Authority::new();
    let site = authority.issue(&["127.0.0.1"]);
    let ports: Vec<_> = (0..3).map(|_| Port::free()).collect();
    let [clear, h2c, tls] = ports.as_slice() else { panic!("three ports") };
    let sections = format!(
        "
frontend app
  bind 127.0.0.1:{clear} accept-proxy
  bind 127.0.0.1:{h2c} accept-proxy proto h2
  bind 127.0.0.1:{tls} accept-proxy ssl crt @pair alpn h2,http/1.1
  http-request return status 200 content-type text/plain lf-string \"%[src] %[dst] %[dst_port]\"
"
    );
    let _haproxy = haproxy(&sections, &format!("{}{}", site.chain, site.key)).await;
    let tls = format!("https://127.0.0.1:{tls}");
    believed(
        &authority,
        &[
            (&format!("http://127.0.0.1:{clear}"), "h1"),
            (&format!("http://127.0.0.1:{h2c}"), "h2"),
            (&tls, "h1"),
            (&tls, "h2"),
            (&tls, "auto"),
        ],
    )
    .await;
}

#[tokio::test]
async fn nginx_believes_the_edge() {
    let authority = Authority::new();
    let site = authority.issue(&["127.0.0.1"]);
    let (clear, tls) = (Port::free(), Port::free());
    let told = "$proxy_protocol_addr $proxy_protocol_server_addr $proxy_protocol_server_port";
    let http = format!(
        "
  server {{
    listen 127.0.0.1:{clear} proxy_protocol;
    listen 127.0.0.1:{tls} ssl http2 proxy_protocol;
    ssl_certificate @pair;
    ssl_certificate_key @pair;
    location / {{ return 200 \"{told}\"; }}
  }}
"
    );
    let _nginx = nginx(&http, "", &format!("{}{}", site.chain, site.key)).await;
    let tls = format!("https://127.0.0.1:{tls}");
    believed(
        &authority,
        &[(&format!("http://127.0.0.1:{clear}"), "h1"), (&tls, "h1"), (&tls, "h2"), (&tls, "auto")],
    )
    .await;
}

/// Asks endpoints, each in its protocol, that answer with what they were told.
async fn believed(authority: &Authority, endpoints: &[(&str, &str)]) {
    for (endpoint, protocol) in endpoints {
        for version in VERSIONS {
            let tls = if endpoint.starts_with("https") { "tls: {ca: ca.pem}" } else { "" };
            let document = "
                upstreams:
                  app:
                    {endpoints: ['$app'], proxy_protocol: $version, protocol: $protocol, $tls}
                ";
            let edge = edge(document)
                .with("app", endpoint)
                .with("version", version)
                .with("protocol", protocol)
                .with("tls", tls)
                .file("ca.pem", &authority.pem)
                .start()
                .await;
            let mut raw = edge.client("web").from([127, 0, 0, 7]).raw().await;
            for _ in 0..3 {
                raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
                let (ip, port) = edge.address("web").rsplit_once(':').unwrap();
                let expected = format!("127.0.0.7 {ip} {port}");
                assert_eq!(
                    raw.response().await.text(),
                    expected,
                    "{endpoint} {protocol} {version}"
                );
            }
            let reused = edge.metric("falconer_upstream_connections_reused_total").await;
            assert_eq!(reused, 2.0, "{endpoint} {protocol} {version}");
        }
    }
}
