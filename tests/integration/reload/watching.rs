//! What the edge sees by itself: files that change.

use crate::support::{Certificate, Edge, edge, eventually};
use std::fs;

const OUTDATED: &str = "falconer_runtime_certificates_outdated";

fn replying(body: &str) -> String {
    format!("routes: [{{name: all, reply: {{status: 200, body: {body}}}}}]")
}

/// Waits until a request is answered so.
async fn replies(edge: &Edge, path: &str, body: &str) {
    eventually(&format!("{body} at {path}"), async || {
        (edge.get(path).await.text() == body).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_watched_document_is_followed_whatever_part_of_it_changes() {
    let watched = |body: &str| {
        format!(
            "
server: {{watch: true}}
include: sites/*.yaml
listeners: {{web: {{address: \"127.0.0.1:0\"}}}}
routes:
  - {{name: all, reply: {{status: 200, body: \"{body}\"}}}}
  - {{name: secret, match: {{path: /secret}}, reply: {{status: 200, body: \"${{file:secret}}\"}}}}
"
        )
    };
    let site = |name: &str| {
        format!("routes: [{{name: {name}, match: {{path: /{name}}}, reply: {{body: {name}}}}}]")
    };
    let edge =
        edge(&watched("one")).file("secret", "first").file("sites/a.yaml", site("a")).start().await;
    replies(&edge, "/", "one").await;
    edge.rewrite(&watched("two"));
    replies(&edge, "/", "two").await;
    fs::write(edge.file("secret"), "second").unwrap();
    replies(&edge, "/secret", "second").await;
    fs::write(edge.file("sites/b.yaml"), site("b")).unwrap();
    replies(&edge, "/b", "b").await;
    fs::remove_file(edge.file("sites/a.yaml")).unwrap();
    replies(&edge, "/a", "two").await;

    edge.rewrite("routes: none");
    edge.metric_becomes("falconer_runtime_document_differs", 1.0).await;
    replies(&edge, "/b", "b").await;
    // A mistake in a file that only the rejected document names is corrected there.
    edge.rewrite(&watched("two"));
    edge.metric_becomes("falconer_runtime_document_differs", 0.0).await;
    fs::write(edge.file("sites/c.yaml"), "routes: none").unwrap();
    edge.metric_becomes("falconer_runtime_document_differs", 1.0).await;
    fs::write(edge.file("sites/c.yaml"), site("c")).unwrap();
    replies(&edge, "/c", "c").await;
    edge.rewrite(&watched("three"));
    replies(&edge, "/", "three").await;
    edge.metric_becomes("falconer_runtime_document_differs", 0.0).await;
}

#[tokio::test]
async fn watching_is_switched_on_and_off_by_a_reload() {
    let mut edge = edge(&replying("one")).start().await;
    let ended = edge.reload(&format!("server: {{watch: true}}\n{}", replying("one"))).await;
    assert!(ended.said.starts_with("changed key server.watch\n"), "{}", ended.said);
    edge.rewrite(&format!("server: {{watch: true}}\n{}", replying("two")));
    replies(&edge, "/", "two").await;
    edge.rewrite(&replying("three"));
    replies(&edge, "/", "three").await;
    edge.rewrite(&replying("four"));
    let ended = edge.command(&["status"]).await;
    assert!(ended.said.contains("generation 4, "), "{}", ended.said);
    edge.reload(&replying("four")).await;
    assert_eq!(edge.get("/").await, "four");
}

#[tokio::test]
async fn certificates_are_renewed_beside_a_document_that_is_rejected() {
    let (first, second) =
        (Certificate::self_signed(&["localhost"]), Certificate::self_signed(&["localhost"]));
    let document = "
        server: {watch: true}
        listeners: {secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}}
        certificates: {site: {chain: site.pem, key: site.key}}
        routes: [{reply: {status: 200}}]
        ";
    let edge = edge(document).file("site.pem", &first.chain).file("site.key", &first.key);
    let edge = edge.start().await;
    shows(&edge, &first).await;
    edge.rewrite("routes: none");
    fs::write(edge.file("site.pem"), &second.chain).unwrap();
    fs::write(edge.file("site.key"), &second.key).unwrap();
    shows(&edge, &second).await;
    edge.metric_becomes("falconer_runtime_document_differs", 1.0).await;
    edge.metric_becomes(OUTDATED, 0.0).await;
}

/// What the listener shows to a client now.
async fn shown(edge: &Edge) -> Vec<u8> {
    let (_, agreed) = edge.client("secure").tls().connect().await.unwrap();
    agreed.unwrap().chain[0].to_vec()
}

async fn shows(edge: &Edge, certificate: &Certificate) {
    eventually("the certificate", async || {
        (shown(edge).await == certificate.chain_der()[0].as_ref()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn certificates_are_renewed_when_their_files_change_and_nothing_else_is() {
    let [first, second, third] = [(); 3].map(|()| Certificate::self_signed(&["localhost"]));
    let other = Certificate::self_signed(&["other.example"]);
    let document = |body: &str| {
        format!(
            "
listeners: {{web: {{address: \"127.0.0.1:0\"}}, secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site, other]}}}}}}
certificates:
  site: {{chain: site.pem, key: site.key}}
  other: {{chain: other.pem, key: other.key}}
{}",
            replying(body)
        )
    };
    let edge = edge(&document("one"))
        .file("site.pem", &first.chain)
        .file("site.key", &first.key)
        .file("other.pem", &other.chain)
        .file("other.key", &other.key)
        .start()
        .await;
    shows(&edge, &first).await;
    // The document is not watched, and what it says now is nobody's wish yet.
    edge.rewrite(&document("two"));

    fs::write(edge.file("site.pem"), &second.chain).unwrap();
    edge.metric_becomes(OUTDATED, 1.0).await;
    let line = edge.stderr().line("what was served before still is").await;
    assert!(line.contains("site.key` does not fit"), "{line}");
    let ready = edge.client("admin").request("GET", "/readyz");
    let ready = ready.header("accept", "application/json").send().await;
    assert_eq!(ready.status, 200, "it serves");
    assert!(ready.json()["problems"][0].as_str().unwrap().contains("site.key"), "{ready:?}");
    assert_eq!(shown(&edge).await, first.chain_der()[0].as_ref());

    fs::write(edge.file("site.key"), &second.key).unwrap();
    shows(&edge, &second).await;
    edge.metric_becomes(OUTDATED, 0.0).await;
    edge.stderr().line("renewed, its files have changed kind=certificate name=site").await;
    let ready = edge.client("admin").request("GET", "/readyz");
    let ready = ready.header("accept", "application/json").send().await;
    assert_eq!(ready.text(), "{\"ready\":true}\n");

    // One that is broken keeps no other from being renewed.
    fs::write(edge.file("other.key"), "nonsense").unwrap();
    fs::write(edge.file("site.pem"), &third.chain).unwrap();
    fs::write(edge.file("site.key"), &third.key).unwrap();
    shows(&edge, &third).await;
    edge.metric_becomes(OUTDATED, 1.0).await;
    assert_eq!(edge.get("/").await, "one");
    edge.metric_becomes("falconer_runtime_reloads_total", 0.0).await;
}
