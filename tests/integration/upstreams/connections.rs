//! How endpoints are reached: schemes, TLS and versions.

use super::PROTOCOLS;
use crate::support::{Authority, Certificate, Gate, Reply, edge, origin, within};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test]
async fn a_clear_text_endpoint_is_asked_by_http_1_unless_the_document_says_h2() {
    for (protocol, version) in [("h1", "HTTP/1.1"), ("auto", "HTTP/1.1"), ("h2", "HTTP/2.0")] {
        let app = origin().speaking(protocol).reply("/", "hello").start().await;
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
            .with("app", &app)
            .with("protocol", protocol)
            .start()
            .await;
        assert_eq!(edge.get("/").await, "hello");
        assert_eq!(app.request().await.version, version, "{protocol}");
        let line = edge.logged("the request", |_| true).await;
        assert_eq!((&line["upstream"], &line["attempts"]), (&"app".into(), &1.into()));
        assert_eq!(line["endpoint"], app.endpoint());
    }
}

#[tokio::test]
async fn a_unix_socket_is_an_endpoint_in_both_versions() {
    for protocol in PROTOCOLS {
        let folder = tempfile::tempdir().unwrap();
        let app = origin().speaking(protocol).unix(folder.path().join("app.sock"));
        let app = app.handler(|request| Reply::ok(request.body.clone())).start().await;
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
            .with("app", &app)
            .with("protocol", protocol)
            .start()
            .await;
        assert_eq!(edge.request("POST", "/").body("over a file").send().await, "over a file");
        let line = edge.logged("the request", |_| true).await;
        assert_eq!(line["endpoint"], app.endpoint());
    }
}

#[tokio::test]
async fn a_verified_endpoint_is_asked_over_tls() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let app = origin().tls(&certificate).reply("/", "hello").start().await;
    let versions = [("h1", "HTTP/1.1"), ("h2", "HTTP/2.0"), ("auto", "HTTP/2.0")];
    for (n, (protocol, version)) in versions.into_iter().enumerate() {
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
            .with("app", &app)
            .with("protocol", protocol)
            .trusting(&authority)
            .start()
            .await;
        assert_eq!(edge.get("/").await, "hello");
        let request = app.requests().swap_remove(n);
        assert_eq!(request.version, version, "{protocol}");
        let scheme = (version == "HTTP/2.0").then_some("https");
        assert_eq!(request.scheme.as_deref(), scheme);
    }
}

#[tokio::test]
async fn an_endpoint_that_offers_no_http_2_is_asked_by_http_1_where_the_document_leaves_it_open() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    for alpn in [&["http/1.1"][..], &[]] {
        let app = origin().tls_with(&certificate, alpn).reply("/", "hello").start().await;
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: auto}}")
            .with("app", &app)
            .trusting(&authority)
            .start()
            .await;
        assert_eq!(edge.get("/").await, "hello");
        assert_eq!(app.request().await.version, "HTTP/1.1");
    }
}

#[tokio::test]
async fn an_endpoint_without_http_2_fails_where_the_document_insists_on_it() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    let app = origin().tls_with(&certificate, &["http/1.1"]).reply("/", "hello").start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app], protocol: h2}}")
        .with("app", &app)
        .trusting(&authority)
        .start()
        .await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_tls_failed");
    assert_eq!(app.hits(), 0);
}

#[tokio::test]
async fn an_endpoint_that_takes_the_preface_of_http_2_for_nonsense_gives_an_invalid_response() {
    let app = origin().raw_then_close("HTTP/1.1 400 Bad Request\r\n\r\n").start().await;
    let edge =
        edge("upstreams: {app: {endpoints: [$app], protocol: h2}}").with("app", &app).start().await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_invalid_response");
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_not_believed() {
    let authority = Authority::new();
    let certificates = [
        ("self-signed", Certificate::self_signed(&["127.0.0.1"])),
        ("of another authority", Authority::new().issue(&["127.0.0.1"])),
        ("for another name", authority.issue(&["shop.example.com"])),
    ];
    for (what, certificate) in certificates {
        let app = origin().tls(&certificate).reply("/", "hello").start().await;
        for protocol in ["h1", "h2", "auto"] {
            let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
                .with("app", &app)
                .with("protocol", protocol)
                .trusting(&authority)
                .start()
                .await;
            assert_eq!(edge.get("/").await.status, 502, "{what}, {protocol}");
            let line = edge.logged("the request", |_| true).await;
            assert_eq!(line["cause"], "upstream_tls_failed", "{what}, {protocol}");
        }
        assert_eq!(app.hits(), 0, "{what}");
    }
}

#[tokio::test]
async fn a_certificate_is_checked_against_the_name_of_the_endpoint() {
    let authority = Authority::new();
    let app = origin().tls(&authority.issue(&["localhost"])).reply("/", "hello").start().await;
    let edge = edge(
        "
        upstreams:
          by_name: {endpoints: [\"https://localhost:$port\"]}
          by_address: {endpoints: [\"https://127.0.0.1:$port\"]}
        routes:
          - {match: {host: name}, upstream: by_name}
          - {match: {host: address}, upstream: by_address}
        ",
    )
    .with("port", app.port())
    .trusting(&authority)
    .start()
    .await;
    let ask = async |host: &str| edge.request("GET", "/").header("Host", host).send().await;
    assert_eq!(ask("name").await, "hello");
    assert_eq!(ask("address").await.status, 502);
}

#[tokio::test]
async fn authorities_that_cannot_be_loaded_are_one_clear_message() {
    let edge = edge("routes: [{reply: {status: 204}}]");
    let path = edge.folder().join("authorities.pem");
    let (code, said) = edge
        .file("authorities.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .env("SSL_CERT_FILE", path.to_str().unwrap())
        .fails_with()
        .await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("SSL_CERT_FILE") && !said.contains("panicked"), "{said}");
}

#[tokio::test]
async fn an_endpoint_that_speaks_no_tls_fails_the_handshake() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let greeting = tokio::spawn(async move {
        let (mut io, _) = listener.accept().await.unwrap();
        io.write_all(b"220 mail.example.com ready\r\n").await.unwrap();
        // It stays open until the other side has had enough.
        let _ = io.read_to_end(&mut Vec::new()).await;
    });
    let edge =
        edge("upstreams: {app: {endpoints: [\"https://$address\"], timeouts: {connect: 20s}}}")
            .with("address", address)
            .start()
            .await;
    assert_eq!(edge.get("/").await.status, 502);
    let line = edge.logged("the request", |_| true).await;
    assert_eq!(line["cause"], "upstream_tls_failed");
    within("the end of the connection", greeting).await.unwrap();
}

#[tokio::test]
async fn the_host_sent_is_the_clients_the_endpoints_or_a_name() {
    for protocol in PROTOCOLS {
        let app = origin().speaking(protocol).reply("/", "hello").start().await;
        let hosts = [
            ("client", "shop.example.com"),
            ("endpoint", app.address()),
            ("inner.example:81", "inner.example:81"),
        ];
        for (n, (said, sent)) in hosts.into_iter().enumerate() {
            let document =
                "upstreams: {app: {endpoints: [$app], protocol: $protocol, host: \"$host\"}}";
            let edge = edge(document)
                .with("app", &app)
                .with("protocol", protocol)
                .with("host", said)
                .start()
                .await;
            let request = edge.request("GET", "/").header("Host", "shop.example.com");
            assert_eq!(request.send().await, "hello");
            let request = app.requests().swap_remove(n);
            let host = if protocol == "h2" {
                request.authority.as_deref()
            } else {
                request.header("host")
            };
            assert_eq!(host, Some(sent), "{protocol}, {said}");
        }
    }
}

#[tokio::test]
async fn requests_at_once_share_one_http_2_connection() {
    let gate = Gate::new();
    let app = origin().speaking("h2").reply("/", "hello").answer("/held", super::held(&gate));
    let app = app.start().await;
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$app], protocol: h2}}
        ";
    let edge = edge(document).with("app", &app).start().await;
    assert_eq!(edge.get("/").await, "hello");
    let mut client = edge.h2("web").await;
    let mut open = Vec::new();
    for n in 2..22 {
        open.push(client.start("GET", "/held", &[], true).await);
        app.until(&format!("request {n}"), |seen| seen.requests.len() == n).await;
    }
    gate.open();
    for mut exchange in open {
        assert_eq!(exchange.response().await, "late");
    }
    assert_eq!(app.connections(), 1);
}

#[tokio::test]
async fn an_upgrade_goes_by_http_1_and_leaves_the_others_their_http_2() {
    let authority = Authority::new();
    let certificate = authority.issue(&["127.0.0.1"]);
    for protocol in ["h2", "auto"] {
        let app = origin().tls(&certificate).reply("/", "hello").answer("/ws", Reply::websocket());
        let app = app.start().await;
        let edge = edge("upstreams: {app: {endpoints: [$app], protocol: $protocol}}")
            .with("app", &app)
            .with("protocol", protocol)
            .trusting(&authority)
            .start()
            .await;
        let client = edge.client("web");
        // Refused, its connection stays open; that must not become the way of other requests.
        assert!(client.websocket("/", &[]).await.is_err());
        assert_eq!(client.get("/").await, "hello");
        let mut socket = client.websocket("/ws", &[]).await.unwrap();
        assert_eq!(client.get("/").await, "hello");
        socket.send(Message::text("still there")).await.unwrap();
        let back = within("a message", socket.next()).await.unwrap().unwrap();
        assert_eq!(back, Message::text("still there"));

        let versions: Vec<_> = app.requests().into_iter().map(|request| request.version).collect();
        assert_eq!(versions, ["HTTP/1.1", "HTTP/2.0", "HTTP/1.1", "HTTP/2.0"], "{protocol}");
    }
}

#[tokio::test]
async fn a_connection_that_was_upgraded_serves_nobody_else() {
    let app = origin().reply("/", "hello").answer("/ws", Reply::websocket()).start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    let client = edge.client("web");
    for _ in 0..3 {
        assert_eq!(client.get("/").await, "hello");
        let mut socket = client.websocket("/ws", &[]).await.unwrap();
        assert_eq!(client.get("/").await, "hello");
        socket.send(Message::text("one")).await.unwrap();
        let back = within("a message", socket.next()).await.unwrap().unwrap();
        assert_eq!(back, Message::text("one"));
        socket.close(None).await.unwrap();
    }
    let requests = app.requests();
    for upgraded in requests.iter().filter(|request| request.path() == "/ws") {
        let last = requests.iter().rfind(|request| request.connection == upgraded.connection);
        assert_eq!(last.unwrap().path(), "/ws", "connection {}", upgraded.connection);
    }
}
