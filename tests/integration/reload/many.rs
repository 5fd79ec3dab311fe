//! Large documents, and many reloads.

use crate::support::{Edge, Load, Reply, edge, origin};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ROUTES: usize = 10_000;
const UPSTREAMS: usize = 1_000;

/// A document with many routes and upstreams, of which some hundreds differ by its number.
fn large(number: usize) -> String {
    let mut text = String::from("upstreams:\n  app: {endpoints: [$app]}\n");
    for n in 0..UPSTREAMS {
        let weight = if n % 5 == number % 5 { 2 } else { 1 };
        let port = 10_000 + n;
        writeln!(
            text,
            "  u{n}: {{endpoints: [{{url: \"http://127.0.0.1:{port}\", weight: {weight}}}]}}"
        )
        .unwrap();
    }
    text += "routes:\n  - {name: app, match: {path: /app}, upstream: app}\n";
    for n in 0..ROUTES {
        let path = if n % 50 == number % 50 { number } else { 0 };
        let (host, upstream) = (n % 100, n % UPSTREAMS);
        writeln!(text, "  - {{name: r{n}, match: {{host: h{host}.example, path: /{n}/{path}/*}}, upstream: u{upstream}}}")
            .unwrap();
    }
    text
}

/// Asks one after the other until told to stop, and gives how long each answer took.
async fn answers(edge: &Edge, stop: Arc<AtomicBool>) -> Vec<Duration> {
    let mut raw = edge.raw("web").await;
    let mut took = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let start = Instant::now();
        raw.write("GET /app HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.response().await, "hello");
        took.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    took.sort();
    took
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted[sorted.len() * 99 / 100]
}

#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn chaos_of_ten_thousand_routes() {
    let app = origin().answer("/app", Reply::ok("hello")).start().await;
    let edge = edge(&large(0)).with("app", &app).start().await;
    let measure = async |reloads: usize| {
        let stop = Arc::new(AtomicBool::new(false));
        let working = async {
            let mut longest = Duration::ZERO;
            let start = Instant::now();
            for number in 1..=reloads {
                edge.rewrite(&large(number));
                let start = Instant::now();
                let ended = edge.command(&["reload"]).await;
                longest = longest.max(start.elapsed());
                assert_eq!(ended.code, 0, "{}", ended.complained);
            }
            tokio::time::sleep(Duration::from_secs(5).saturating_sub(start.elapsed())).await;
            stop.store(true, Ordering::Relaxed);
            longest
        };
        let (took, longest) = tokio::join!(answers(&edge, stop.clone()), working);
        (p99(&took), longest)
    };
    let (quiet, _) = measure(0).await;
    let (during, longest) = measure(10).await;
    let log = edge.stderr().text();
    let took = log.lines().filter(|line| line.contains(" reloaded "));
    let took: Vec<_> = took.filter_map(|line| line.split_once("took=")).map(|(_, t)| t).collect();
    println!("p99 {quiet:?} without reloads, {during:?} with");
    println!("the edge took {took:?}, the longest command {longest:?}");
    assert_eq!(took.len(), 10);
    assert!(took.iter().all(|took| took.ends_with("ms")), "a second or more");
}

#[tokio::test]
#[ignore = "takes minutes: make chaos"]
async fn chaos_of_a_thousand_reloads() {
    let app = origin().answer("/app", Reply::ok("hello")).start().await;
    let document = |n: usize| {
        let mut text = format!("
            listeners:
              web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
              secure: {{address: \"127.0.0.1:0\", tls: {{certificates: [site]}}, limits: {{uri_size: {}KiB}}}}
              l{}: {{address: \"127.0.0.1:0\"}}
            certificates: {{site: {{self_signed: [localhost]}}}}
            upstreams:
              app: {{endpoints: [$app]}}
              other: {{endpoints: [\"http://127.0.0.1:{}\"]}}
            routes:
              - {{name: app, upstream: app}}
", n % 2 + 8, n % 3, n % 7 + 1);
        for route in 0..100 {
            writeln!(
                text,
                "              - {{name: r{route}, match: {{path: /{route}/{}}}, upstream: other}}",
                n % 11
            )
            .unwrap();
        }
        text
    };
    let mut edge = edge(&document(0)).with("app", &app).start().await;
    let load = Load::of(&[edge.client("web")]);
    let mut sizes = Vec::new();
    for n in 1..=1_000 {
        edge.reload(&document(n)).await;
        if n % 100 == 0 {
            sizes.push(edge.process().resident() >> 20);
        }
    }
    load.end().await;
    println!("MiB after each hundred reloads: {sizes:?}");
    let (first, last) = (sizes[0], sizes[9]);
    assert!(last <= first + first / 10, "{sizes:?}");
}
