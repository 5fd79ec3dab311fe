//! Debian's `slowhttptest` in its three modes against `conf/limits.yaml`, while others are served.

use crate::support::{Edge, Origin, Reply, Seen, edge, origin, tool};
use std::path::Path;

const ATTACKERS: f64 = 100.0;

/// The document of `conf`, on a free port and before an application of ours.
async fn bounded() -> (Edge, Origin) {
    let app = origin()
        .reply("/", "hello")
        .answer("/large", Reply::ok(vec![b'x'; 16 << 20]))
        .start()
        .await;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf/limits.yaml");
    let document = std::fs::read_to_string(path).unwrap();
    let document = document.replace("\":8080\"", "127.0.0.1:0");
    let document = document.replace("http://127.0.0.1:5001", "$app");
    (edge(&document).with("app", &app).start().await, app)
}

/// Attacks with these arguments, serves others meanwhile, and insists that the edge ends every
/// connection of the attack and counts it here. Gives what the attacker tells.
async fn attack(edge: &Edge, path: &str, arguments: &[&str], counter: &str) -> String {
    let (url, count) = (edge.url(path), ATTACKERS.to_string());
    let common = ["-u", &url, "-c", &count, "-r", "200", "-l", "20", "-p", "10", "-v", "1"];
    let arguments = [arguments, &common].concat();
    let attack = tool("slowhttptest", &arguments);
    let others = async {
        edge.metric_reaches("falconer_listener_connections_total{listener=\"web\"}", ATTACKERS)
            .await;
        let client = edge.client("web").from([127, 0, 0, 2]);
        for _ in 0..200 {
            assert_eq!(client.get("/").await, "hello");
        }
        edge.metric_becomes(counter, ATTACKERS).await;
    };
    let (finished, ()) = tokio::join!(attack, others);
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 0.0).await;
    finished.well()
}

#[tokio::test]
async fn slow_heads_are_ended_while_others_are_served() {
    let (edge, _app) = bounded().await;
    let refused = "falconer_listener_requests_refused_total{cause=\"request_timeout\"}";
    let told = attack(&edge, "/", &["-H", "-i", "2", "-x", "10"], refused).await;
    assert!(told.contains("No open connections left"), "{told}");
    let line = edge.logged("a slow head", |line| line["status"] == 408).await;
    assert_eq!(line["cause"], "request_timeout");
}

#[tokio::test]
async fn slow_bodies_are_ended_while_others_are_served() {
    let (edge, _app) = bounded().await;
    let slowly = ["-B", "-i", "2", "-x", "10", "-s", "8192"];
    let failures = "falconer_route_failures_total{cause=\"request_body_timeout\"}";
    let told = attack(&edge, "/", &slowly, failures).await;
    assert!(told.contains("No open connections left"), "{told}");
    let line = edge.logged("a slow body", |line| line["status"] == 408).await;
    assert_eq!(line["cause"], "request_body_timeout");
}

#[tokio::test]
async fn slow_readers_are_ended_while_others_are_served() {
    let (edge, app) = bounded().await;
    // The attacker sees an end only when it has read what its own buffer holds, which takes long.
    let slowly = ["-X", "-n", "2", "-z", "32", "-w", "256", "-y", "512"];
    let failures = "falconer_route_failures_total{cause=\"client_too_slow\"}";
    attack(&edge, "/large", &slowly, failures).await;
    let line = edge.logged("a slow reader", |line| line["cause"] == "client_too_slow").await;
    assert_eq!(line["status"], 200, "what was sent");
    let given_up = |seen: &Seen| {
        seen.requests.iter().filter(|request| request.cancelled).count() >= ATTACKERS as usize
    };
    app.until("all given up", given_up).await;
}
