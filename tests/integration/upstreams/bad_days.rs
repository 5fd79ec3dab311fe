//! Instances of an application that die, freeze and come back under constant load: clients do not
//! notice.

mod kestrel;

use crate::support::{Edge, Load, Signal, edge, eventually, is_chaos};

/// An application of which a process is easily killed: an edge that answers by itself.
async fn instance(address: &str) -> Edge {
    let document = "
        listeners: {web: {address: \"$address\", protocols: [h1, h2]}}
        routes: [{match: {path: /app}, reply: {body: hello}}]
        ";
    edge(document).with("address", address).start().await
}

const DOCUMENT: &str = "
    listeners:
      web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
    certificates: {site: {self_signed: [localhost]}}
    upstreams:
      app:
        endpoints: [\"http://$a\", \"http://$b\", \"http://$c\"]
        protocol: $protocol
        balance: $balance
        health: {path: /app, interval: 200ms, timeout: 300ms}
        retry: {attempts: 3, per_try: 300ms}
        outlier: {consecutive_failures: 3, ejection: 500ms}
    ";

const RETRIES: &str = "falconer_upstream_retries_total";

/// Waits until all three get requests.
async fn all_serve(edge: &Edge) {
    eventually("all instances to serve", async || {
        let said = edge.command(&["upstreams"]).await.said;
        (said.matches(": serving;").count() == 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn no_client_notices_an_instance_that_dies_or_freezes() {
    let (rounds, answers) = if is_chaos() { (5, 3000) } else { (1, 300) };
    for (protocol, balance) in [("h1", "round_robin"), ("h2", "least_request")] {
        let any = "127.0.0.1:0";
        let [mut a, b, c] = [instance(any).await, instance(any).await, instance(any).await];
        let address = a.address("web").to_owned();
        let edge = edge(DOCUMENT).with("protocol", protocol).with("balance", balance);
        let edge = edge.with("a", &address).with("b", b.address("web"));
        let edge = edge.with("c", c.address("web")).start().await;
        all_serve(&edge).await;
        let load = Load::of(&[edge.client("web"), edge.client("secure").tls()]);
        for _ in 0..rounds {
            load.goes_on(answers).await;
            a.signal(Signal::SIGKILL);
            load.goes_on(answers).await;
            a.wait_exit().await;
            a = instance(&address).await;
            all_serve(&edge).await;

            for frozen in [&b, &c] {
                let before = edge.metric(RETRIES).await;
                frozen.signal(Signal::SIGSTOP);
                // Until somebody has met it.
                edge.metric_reaches(RETRIES, before + 1.0).await;
                load.goes_on(answers).await;
                frozen.signal(Signal::SIGCONT);
                all_serve(&edge).await;
            }
        }
        let (answers, _) = load.end().await;
        let retries = edge.metric(RETRIES).await;
        println!("{protocol}, {balance}: {answers} answers, {retries} retries, nothing failed");
        edge.metric_becomes("falconer_route_requests_total{class=\"2xx\"}", answers as f64).await;
        edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
    }
}
