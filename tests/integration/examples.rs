//! The documents of `conf` that need more behind them than the sample application.

use crate::support::proxy_protocol::{self, told};
use crate::support::{Authority, edge, kestrel, node, origin};
use std::fs;
use std::path::Path;

/// An example on a free port.
fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf").join(name);
    put(&fs::read_to_string(path).unwrap(), "\":8080\"", "127.0.0.1:0")
}

fn put(document: &str, place: &str, text: &str) -> String {
    assert!(document.contains(place), "{place} in\n{document}");
    document.replace(place, text)
}

#[tokio::test]
async fn the_example_of_endpoints_that_speak_tls() {
    let (ours, systems) = (Authority::new(), Authority::new());
    let own = ours.issue(&["edge.internal"]);
    let app = origin().tls(&ours.issue(&["app.internal"])).demanding(&[&ours.pem]);
    let app = app.reply("/", "inside").start().await;
    let site = origin().tls(&systems.issue(&["127.0.0.1"])).reply("/page", "outside").start().await;
    let document = example("tls-upstream.yaml");
    let document = put(&document, "https://10.0.0.1:8443, https://10.0.0.2:8443", "$app");
    let document = put(&document, "https://www.example.com", "$site");
    let document =
        put(&document, "{ self_signed: [edge.internal] }", "{ chain: edge.pem, key: edge.key }");
    let edge = edge(&document)
        .exactly()
        .with("app", &app)
        .with("site", &site)
        .file("certs/internal.pem", &ours.pem)
        .file("edge.pem", &own.chain)
        .file("edge.key", &own.key)
        .trusting(&systems)
        .start()
        .await;
    assert_eq!(edge.get("/").await, "inside");
    assert_eq!(app.request().await.hello.sni.as_deref(), Some("app.internal"));
    assert_eq!(edge.get("/outside/page").await, "outside");
    assert_eq!(site.request().await.header("host"), Some(site.address()));
}

#[tokio::test]
async fn the_example_of_kestrel() {
    let Some(kestrel) = kestrel().await else { return };
    let document = example("kestrel.yaml");
    let document = put(&document, "endpoints: [http://127.0.0.1:5001]", "endpoints: [\"$pages\"]");
    let document = put(&document, "endpoints: [http://127.0.0.1:5002]", "endpoints: [\"$grpc\"]");
    let edge = edge(&document)
        .with("pages", kestrel.h1().address)
        .with("grpc", kestrel.h2c().address)
        .start()
        .await;
    let client = edge.client("web").from([127, 9, 8, 7]);
    let seen = client.request("GET", "/echo").host("shop.example.com").send().await.json();
    assert_eq!([&seen["remote"], &seen["host"]], ["127.9.8.7", "shop.example.com"]);
    assert_eq!(seen["protocol"], "HTTP/1.1");

    let call = edge.client("web").h2().request("POST", "/probe.Probe/Fail");
    let call = call.header("te", "trailers").header("content-type", "application/grpc");
    let failed = call.body("\0\0\0\0\0").send().await;
    assert_eq!(failed.header("grpc-message"), Some("asked to fail"));
    let hub = format!("http://{}/hub", edge.address("web"));
    node("signalr.mjs", &[&hub]).await.well();
}

#[tokio::test]
async fn the_example_of_the_proxy_protocol() {
    let app = origin().introduced().reply("/", "hello").start().await;
    let document = example("proxy-protocol.yaml");
    let document = put(&document, "\":8443\"", "127.0.0.1:0");
    let document = put(&document, "http://127.0.0.1:5001", "$app");
    let document = put(&document, "[10.0.0.0/8]", "[127.0.0.1]");
    let edge = edge(&document).with("app", &app).start().await;
    let header = proxy_protocol::v2("192.0.2.7:56324", "203.0.113.1:443", &[]);
    let (web, secure) = (edge.client("web"), edge.client("secure").tls());
    for client in [web.clone().after(header.clone()), secure.after(header)] {
        assert_eq!(client.get("/").await, "hello");
        let header = app.requests().pop().unwrap().proxy_header;
        assert_eq!(told(&header), "TCP4 192.0.2.7 203.0.113.1 56324 443");
    }
    assert_eq!(web.get("/").await, "hello");
}
