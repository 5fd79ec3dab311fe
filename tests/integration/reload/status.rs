//! What a running edge says of itself, also while it ends.

use crate::support::{Edge, Feed, Reply, Signal, edge, eventually, origin};

/// The lines of `falconer status`.
async fn status(edge: &Edge) -> Vec<String> {
    let ended = edge.command(&["status"]).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    ended.said.lines().map(str::to_owned).collect()
}

/// Waits until some line begins and ends so.
async fn says(edge: &Edge, begin: &str, end: &str) {
    eventually(&format!("{begin} ... {end}"), async || {
        let lines = status(edge).await;
        lines.iter().any(|line| line.starts_with(begin) && line.contains(end)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn status_shows_what_is_open_also_of_what_is_gone_and_while_the_process_ends() {
    let feed = Feed::new();
    let app = origin().answer("/", Reply::new(200).fed_by(&feed)).start().await;
    let document = |more: &str| {
        format!(
            "server: {{idle_grace: 0s}}
listeners: {{web: {{address: \"127.0.0.1:0\"}}{more}}}
upstreams: {{app: {{endpoints: [$app]}}}}"
        )
    };
    let with_more = document(", more: {address: \"127.0.0.1:0\"}");
    let mut edge = edge(&with_more).with("app", &app).start().await;
    let lines = status(&edge).await;
    let process = format!("process {}: up, ready for ", edge.process().id());
    assert!(lines[0].contains(&process), "{lines:?}");
    assert_eq!(lines[1], "generation 1, last reload: none");
    let more = edge.address("more").to_owned();
    says(&edge, &format!("listener more ({more}): 0 connections, 0 busy"), "").await;

    let mut stream = edge.client("more").request("GET", "/").open().await;
    assert_eq!(stream.head().await.status, 200);
    says(&edge, &format!("listener more ({more}): 1 connection, 1 busy"), "the oldest for ").await;
    edge.reload(&document("")).await;
    says(&edge, "generation 2, last reload: applied", "").await;
    says(&edge, "listener more (draining): 1 connection, 1 busy", "").await;

    edge.signal(Signal::SIGTERM);
    says(&edge, "falconer ", ": draining, ready for ").await;
    says(&edge, "listener more (draining): 1 connection, 1 busy", "").await;
    let refused = edge.command(&["reload"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.complained.contains("This process is about to end"), "{}", refused.complained);
    feed.end();
    assert_eq!(edge.wait_exit().await, 0);
}
