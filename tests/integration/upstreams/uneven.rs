//! Endpoints that are not alike, under constant load: shares by weight, and one that is slow.

use crate::support::{
    Client, Load, Origin, Reply, Request, Traffic, Workers, edge, is_chaos, origin,
};
use std::time::Duration;

/// How long an answer takes, and how many an endpoint works at.
const FAST: Duration = Duration::from_millis(20);
const SLOW: Duration = Duration::from_millis(200);
const WORKERS: usize = 8;
/// The slow one can take 40 of it, and a quarter is its part in turn.
const PER_SECOND: u32 = 240;

async fn working(time: Duration) -> Origin {
    origin().answer("/", Reply::ok("hello").worked(&Workers::new(WORKERS), time)).start().await
}

fn page(client: &Client, _number: usize) -> Request {
    client.request("GET", "/")
}

/// The time that 99 of 100 answers did not exceed, where one endpoint of four takes ten times as
/// long as the others.
async fn p99(balance: &str, seconds: usize) -> (Duration, f64) {
    let mut app = Vec::new();
    for time in [FAST, FAST, FAST, SLOW] {
        app.push(working(time).await);
    }
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {balance: $balance, endpoints: [$endpoints]}}
        ";
    let endpoints: Vec<_> = app.iter().map(Origin::endpoint).collect();
    let edge = edge(document).with("balance", balance).with("endpoints", endpoints.join(", "));
    let edge = edge.start().await;
    let clients = [edge.client("web"), edge.client("web")];
    let mut traffic = Traffic::of(&clients, PER_SECOND, page).await;
    traffic.goes_on(PER_SECOND as usize * seconds).await;
    let asked = traffic.end().await;
    let mut took: Vec<_> = asked.iter().map(|asked| asked.took).collect();
    assert!(asked.iter().all(|asked| asked.is_good()), "{balance}");
    took.sort();
    let (median, p99) = (took[took.len() / 2], took[took.len() * 99 / 100]);
    let slow = app[3].hits();
    println!(
        "{balance}: {} answers, {slow} of the slow one, p50 {median:?}, p99 {p99:?}",
        took.len()
    );
    (p99, slow as f64 / took.len() as f64)
}

#[tokio::test]
async fn one_that_is_ten_times_slower_is_spared_by_those_who_look() {
    let seconds = if is_chaos() { 15 } else { 3 };
    let (blind, _) = p99("round_robin", seconds).await;
    for balance in ["least_request", "peak_ewma"] {
        let (looking, share) = p99(balance, seconds).await;
        assert!(share < 0.15, "{balance} gives the slow one {share} of all");
        // In a short run beside others, the tail is the machine's.
        assert!(!is_chaos() || looking * 3 <= blind, "{balance}: {looking:?}, {blind:?} in turn");
    }
}

#[tokio::test]
async fn ten_thousand_requests_are_shared_by_weight() {
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams:
          app:
            balance: $policy
            endpoints: [{url: $a, weight: 5}, {url: $b, weight: 3}, {url: $c, weight: 2}]
        ";
    // The first is exact; chance alone would miss the second bound once in a million of runs.
    for (policy, bound) in [("round_robin", 0.02 * 0.2), ("random", 0.025)] {
        let [a, b, c] = [(); 3].map(|()| origin().reply("/app", "hello"));
        let (a, b, c) = (a.start().await, b.start().await, c.start().await);
        let edge = edge(document).with("policy", policy);
        let edge = edge.with("a", &a).with("b", &b).with("c", &c).start().await;
        let load = Load::of(&[edge.client("web")]);
        load.goes_on(10_000).await;
        let (answers, _) = load.end().await;
        let shares = [&a, &b, &c].map(|app| app.hits() as f64 / answers as f64);
        println!("{policy}: {answers} answers, shared {shares:.4?}");
        let meant = [0.5, 0.3, 0.2];
        let off = shares.iter().zip(meant).map(|(share, meant)| (share - meant).abs());
        assert!(off.into_iter().all(|off| off <= bound), "{policy}: {shares:?}");
    }
}
