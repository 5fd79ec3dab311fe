//! Real clients: curl, nghttp, a WebSocket library and gRPC.

use super::To;
use crate::support::{Authority, Process, Reply, edge, origin, python, tool};
use socket2::{Domain, Socket, Type};
use std::net::SocketAddr;
use std::path::Path;

#[tokio::test]
async fn curl_gets_and_posts_by_every_version() {
    let origin = origin()
        .handler(|r| Reply::ok([r.method.as_bytes(), b" ", &r.body[..]].concat()))
        .start()
        .await;
    let edge = To::H1.edge(&origin).await;
    let clear = format!("http://{}/", edge.address("web"));
    let secure = format!("https://{}/", edge.address("secure"));
    let large = "x".repeat(100_000);
    for (url, option, version) in [
        (&clear, "--http1.0", "1.0"),
        (&clear, "--http1.1", "1.1"),
        // An upgrade to h2c, which is not taken.
        (&clear, "--http2", "1.1"),
        (&clear, "--http2-prior-knowledge", "2"),
        (&secure, "--http1.1", "1.1"),
        (&secure, "--http2", "2"),
    ] {
        let common = [option, "-sSk", "-w", " %{http_version} %{response_code}", url];
        let got = tool("curl", &common).await.well();
        // The version as curl names it, of the response.
        let version = if version == "1.0" { "1.1" } else { version };
        assert_eq!(got, format!("GET  {version} 200"), "{option} {url}");
        let post = [&common[..], &["--data-binary", &large]].concat();
        let got = tool("curl", &post).await.well();
        assert_eq!(got, format!("POST {large} {version} 200"), "{option} {url}");
    }
}

#[tokio::test]
async fn nghttp_multiplexes_gets_and_posts() {
    let origin = origin()
        .handler(|r| Reply::ok([r.target.as_bytes(), b" ", &r.body[..], b"\n"].concat()))
        .start()
        .await;
    let edge = To::H1.edge(&origin).await;
    for url in
        [format!("http://{}", edge.address("web")), format!("https://{}", edge.address("secure"))]
    {
        let urls: Vec<_> = (0..20).map(|n| format!("{url}/{n}")).collect();
        let arguments: Vec<_> =
            ["--no-verify-peer"].into_iter().chain(urls.iter().map(|u| &**u)).collect();
        let got = tool("nghttp", &arguments).await.well();
        let mut lines: Vec<_> = got.lines().map(str::trim).collect();
        lines.sort_by_key(|line| line[1..].parse::<u32>().unwrap());
        let expected: Vec<_> = (0..20).map(|n| format!("/{n}")).collect();
        assert_eq!(lines, expected, "{url}");

        let body = edge.file("body");
        std::fs::write(&body, "x".repeat(200_000)).unwrap();
        let data = format!("--data={}", body.display());
        let got = tool("nghttp", &["--no-verify-peer", &data, &format!("{url}/post")]).await.well();
        assert_eq!(got, format!("/post {}", "x".repeat(200_000)));
    }
}

#[tokio::test]
async fn a_websocket_library_talks_with_the_sample_application() {
    let demo = Process::falconer(&["demo", "--listen", "127.0.0.1:0"]);
    let line = demo.stdout().line("demo listening on ").await;
    let endpoint = line.rsplit(' ').next().unwrap();
    for protocol in ["h1", "h2"] {
        let edge = edge(
            "
            listeners:
              web: {address: '127.0.0.1:0', protocols: [h1, h2]}
              secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
            certificates: {site: {self_signed: [localhost]}}
            upstreams: {app: {endpoints: [$endpoint], protocol: $protocol}}
            ",
        );
        let edge = edge.with("endpoint", endpoint).with("protocol", protocol).start().await;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/websocket.mjs");
        for url in [
            format!("ws://{}/ws", edge.address("web")),
            format!("wss://{}/ws", edge.address("secure")),
        ] {
            let believing = "NODE_TLS_REJECT_UNAUTHORIZED=0";
            tool("env", &[believing, "node", script, &url]).await.well();
        }
    }
}

/// A port that only who shares it on purpose, as gRPC's server does, can listen on.
fn shared_port() -> (Socket, u16) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_port(true).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = socket.local_addr().unwrap().as_socket().unwrap().port();
    (socket, port)
}

#[tokio::test]
async fn grpc_behaves_in_all_its_ways_in_clear_text_and_over_tls() {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites/grpc_check.py");
    assert!(suite.is_file(), "{} is missing", suite.display());
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    for listener in ["web", "secure"] {
        let (_held, port) = shared_port();
        let edge = edge(
            "
            listeners:
              web: {address: '127.0.0.1:0', protocols: [h1, h2]}
              secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
            certificates: {site: {chain: site.pem, key: site.key}}
            upstreams: {app: {endpoints: [http://127.0.0.1:$port], protocol: h2}}
            ",
        );
        let edge = edge.with("port", port).file("site.pem", &certificate.chain);
        let edge = edge.file("site.key", &certificate.key).file("ca.pem", &authority.pem);
        let edge = edge.start().await;
        let (port, ca) = (port.to_string(), edge.file("ca.pem"));
        let mut arguments = vec![&*port, edge.address(listener)];
        if listener == "secure" {
            arguments.extend(["--tls", ca.to_str().unwrap()]);
        }
        let said = python(&suite, &arguments).await.well();
        assert!(said.ends_with("18 ok, 0 failed"), "{said}");
    }
}
