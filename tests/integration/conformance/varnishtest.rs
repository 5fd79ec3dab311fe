//! varnishtest on both sides of the edge: its client before it, its server behind it.

use crate::support::{Edge, Port, edge, tool};
use std::io::Write;
use std::path::{Path, PathBuf};

/// An edge before whoever will listen on this port.
async fn before(port: &Port) -> Edge {
    edge("upstreams: {app: {endpoints: ['http://127.0.0.1:$port']}}")
        .with("port", port)
        .start()
        .await
}

/// Runs a script against an edge before this port.
async fn passes(script: &Path, port: &Port) {
    let edge = before(port).await;
    let (proxy, port) = (format!("-Dproxy={}", edge.address("web")), format!("-Dport={port}"));
    tool("varnishtest", &[&proxy, &port, &script.to_string_lossy()]).await.well();
}

#[tokio::test]
async fn hop_by_hop_fields_end_at_the_edge_in_both_directions() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/hop_by_hop.vtc");
    passes(&script, &Port::free()).await;
}

#[tokio::test]
async fn the_shared_suite_passes() {
    let Some(suite) = suite() else { return };
    let script = std::fs::read_to_string(suite).expect("the suite");
    // Its port is fixed, and may be somebody else's.
    let (fixed, port) = ("127.0.0.1:9100", Port::free());
    assert!(script.contains(&format!("-listen \"{fixed}\"")), "another port:\n{script}");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("generic.vtc");
    std::fs::write(&copy, script.replace(fixed, &format!("127.0.0.1:{port}"))).expect("a copy");
    passes(&copy, &port).await;
}

/// The suite, where there is one.
fn suite() -> Option<PathBuf> {
    let suite = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/suites/generic.vtc");
    if !suite.is_file() {
        // Written past the test's captured output, so that everybody reads it.
        let _ = writeln!(
            std::io::stderr(),
            "the suite of varnishtest is skipped: there is no ../shared/suites/generic.vtc"
        );
        return None;
    }
    Some(suite)
}
