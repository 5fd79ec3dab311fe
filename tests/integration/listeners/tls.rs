//! TLS: certificates by name, versions, and the protocol agreed on.

use crate::support::{Authority, Certificate, Client, Edge, edge, tool};
use rustls::version::{TLS12, TLS13};
use std::os::unix::fs::PermissionsExt;

const LISTENER: &str = "
    listeners:
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [first, second, third]}}
    certificates:
      first: {chain: first.pem, key: first.key}
      second: {chain: second.pem, key: second.key}
      third: {chain: third.pem, key: third.key}
    routes: [{reply: {status: 200, body: hello}}]
    ";

/// An edge on loopback with one certificate that it makes, and these settings of its listener.
async fn with_listener(settings: &str) -> Edge {
    edge(&format!(
        "
        listeners: {{secure: {{address: \"127.0.0.1:0\", {settings}}}}}
        certificates: {{site: {{self_signed: [localhost]}}}}
        routes: [{{reply: {{status: 200, body: hello}}}}]
        "
    ))
    .start()
    .await
}

async fn agreed_alpn(client: Client, offered: &[&'static str]) -> Option<String> {
    let client = client.with_tls(|tls| tls.alpn = offered.to_vec());
    let (_, agreed) = client.connect().await.expect("a handshake");
    agreed.unwrap().alpn
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_asked_for() {
    let authority = Authority::new();
    let first = authority.issue(&["first.example"]);
    let second = authority.issue(&["*.second.example", "second.example"]);
    let third = authority.issue(&["www.second.example"]);
    let edge = edge(LISTENER)
        .file("first.pem", &first.chain)
        .file("first.key", &first.key)
        .file("second.pem", &second.chain)
        .file("second.key", &second.key)
        .file("third.pem", &third.chain)
        .file("third.key", &third.key)
        .start()
        .await;

    for (name, expected) in [
        (Some("first.example"), &first),
        (Some("second.example"), &second),
        (Some("shop.second.example"), &second),
        (Some("SHOP.Second.Example"), &second),
        (Some("www.second.example"), &third),
        (Some("a.b.second.example"), &first),
        (Some("other.example"), &first),
        (None, &first),
    ] {
        let client = edge.client("secure").with_tls(|tls| tls.name = name.map(str::to_owned));
        let raw = client.raw().await;
        assert_eq!(raw.agreed.unwrap().chain, expected.chain_der(), "{name:?}");
    }

    // The whole chain is sent, so a client that knows the authority alone believes it.
    let checked = edge.client("secure").sni("shop.second.example");
    let checked = checked.with_tls(|tls| tls.authority = Some(authority.pem.clone()));
    assert_eq!(checked.get("/").await, "hello");
}

#[tokio::test]
async fn a_self_signed_certificate_is_made_once_and_kept() {
    let state = tempfile::tempdir().unwrap();
    let mut chains = Vec::new();
    for _ in 0..2 {
        let edge = edge(
            "
            server: {state_dir: $state}
            listeners: {secure: {address: \"127.0.0.1:0\", tls: {certificates: [dev]}}}
            certificates: {dev: {self_signed: [localhost, 127.0.0.1]}}
            routes: [{reply: {status: 200, body: hello}}]
            ",
        )
        .with("state", state.path().display())
        .start()
        .await;
        chains.push(edge.client("secure").tls().raw().await.agreed.unwrap().chain);
        assert_eq!(edge.client("secure").tls().get("/").await, "hello");
    }
    assert_eq!(chains[0], chains[1]);

    let files: Vec<_> = walk(state.path());
    let is_key = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "key");
    let keys: Vec<_> = files.iter().filter(|path| is_key(path)).collect();
    assert_eq!(keys.len(), 1, "{files:?}");
    assert_eq!(keys[0].metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn state_is_kept_beside_the_document_unless_told_otherwise() {
    let edge = with_listener("tls: {certificates: [site]}").await;
    let files = walk(&edge.file("state"));
    assert!(files.iter().any(|path| path.extension().is_some_and(|e| e == "pem")), "{files:?}");
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_served_and_counted() {
    let edge = with_listener("tls: {certificates: [site]}").await;
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let client = edge.client("secure").with_tls(|tls| tls.versions = vec![version]);
        assert_eq!(client.get("/").await, "hello", "{name}");
        let series = "falconer_listener_tls_handshakes_total";
        let series = format!("{series}{{listener=\"secure\",version=\"{name}\"}}");
        edge.metric_becomes(&series, 1.0).await;
    }
}

#[tokio::test]
async fn a_version_below_the_oldest_allowed_is_refused_and_counted() {
    let edge = with_listener("tls: {certificates: [site], min_version: \"1.3\"}").await;
    let old = edge.client("secure").with_tls(|tls| tls.versions = vec![&TLS12]);
    assert!(old.connect().await.is_err());
    edge.metric_becomes("falconer_listener_tls_handshake_failures_total{listener=\"secure\"}", 1.0)
        .await;
    let new = edge.client("secure").with_tls(|tls| tls.versions = vec![&TLS13]);
    assert_eq!(new.get("/").await, "hello");
}

#[tokio::test]
async fn clear_text_on_a_tls_port_is_no_handshake() {
    let edge = with_listener("tls: {certificates: [site]}").await;
    let broken = edge.client("secure").request("GET", "/").try_send().await;
    assert!(broken.is_err(), "{broken:?}");
    edge.metric_becomes("falconer_listener_tls_handshake_failures_total{listener=\"secure\"}", 1.0)
        .await;
}

#[tokio::test]
async fn the_protocol_is_agreed_on_by_alpn() {
    let edge = with_listener("tls: {certificates: [site]}").await;
    let client = edge.client("secure").tls();
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], "h2"),
        (&["http/1.1", "h2"], "h2"),
        (&["http/1.1"], "http/1.1"),
        (&["h2"], "h2"),
    ] {
        assert_eq!(agreed_alpn(client.clone(), offered).await.as_deref(), Some(agreed));
    }
    assert_eq!(client.clone().get("/").await.version, "HTTP/1.1");
    assert_eq!(client.clone().h2().get("/").await.version, "HTTP/2.0");

    // A client that offers nothing speaks HTTP/1.
    let url = format!("https://{}/", edge.address("secure"));
    let answer = tool("curl", &["--silent", "--insecure", "--no-alpn", &url]).await.well();
    assert_eq!(answer, "hello");
}

#[tokio::test]
async fn only_what_a_listener_speaks_is_agreed_on() {
    let h1 = with_listener("tls: {certificates: [site]}, protocols: [h1]").await;
    let client = h1.client("secure").tls();
    let agreed = agreed_alpn(client.clone(), &["h2", "http/1.1"]).await;
    assert_eq!(agreed.as_deref(), Some("http/1.1"));
    let only_h2 = client.with_tls(|tls| tls.alpn = vec!["h2"]);
    assert!(only_h2.connect().await.is_err(), "nothing in common");

    let h2 = with_listener("tls: {certificates: [site]}, protocols: [h2]").await;
    let client = h2.client("secure").tls();
    let agreed = agreed_alpn(client.clone(), &["h2", "http/1.1"]).await;
    assert_eq!(agreed.as_deref(), Some("h2"));
    assert_eq!(client.h2().get("/").await, "hello");
}

#[tokio::test]
async fn tls_runs_over_a_unix_socket_too() {
    let edge = edge(
        "
        listeners: {secure: {address: \"unix:web.sock\", tls: {certificates: [site]}}}
        certificates: {site: {self_signed: [localhost]}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await;
    assert_eq!(edge.client("secure").tls().get("/").await, "hello");
    assert_eq!(edge.client("secure").tls().h2().get("/").await, "hello");
}

#[tokio::test]
async fn one_certificate_serves_several_listeners() {
    let site = Certificate::self_signed(&["localhost"]);
    let edge = edge(
        "
        listeners:
          one: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
          two: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {chain: site.pem, key: site.key}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .file("site.pem", &site.chain)
    .file("site.key", &site.key)
    .start()
    .await;
    for listener in ["one", "two"] {
        let raw = edge.client(listener).tls().raw().await;
        assert_eq!(raw.agreed.unwrap().chain, site.chain_der());
    }
}

/// The files of a folder and all below it.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.unwrap().path());
    let below = |path: std::path::PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}
