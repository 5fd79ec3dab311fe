//! Large documents, and many reloads.

use crate::support::{Edge, Load, Reply, edge, is_chaos, origin};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A document with many routes and a tenth as many upstreams, of which some differ by its number.
fn large(routes: usize, number: usize) -> String {
    let upstreams = routes / 10;
    let mut text = String::from("upstreams:\n  app: {endpoints: [$app]}\n");
    for n in 0..upstreams {
        let weight = if n % 5 == number % 5 { 2 } else { 1 };
        let port = 10_000 + n;
        writeln!(
            text,
            "  u{n}: {{endpoints: [{{url: \"http://127.0.0.1:{port}\", weight: {weight}}}]}}"
        )
        .unwrap();
    }
    text += "routes:\n  - {name: app, match: {path: /app}, upstream: app}\n";
    for n in 0..routes {
        let path = if n % 50 == number % 50 { number } else { 0 };
        let (host, upstream) = (n % 100, n % upstreams);
        writeln!(text, "  - {{name: r{n}, match: {{host: h{host}.example, path: /{n}/{path}/*}}, upstream: u{upstream}}}")
            .unwrap();
    }
    text
}

/// Asks one after the other, on a thread of its own: what the test does meanwhile holds up none.
struct Asking {
    enough: Arc<AtomicBool>,
    took: JoinHandle<Vec<Duration>>,
}

impl Asking {
    /// Asks until it is enough, and at least so often.
    fn begin(edge: &Edge, least: usize) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let (client, told) = (edge.client("web"), enough.clone());
        let took = tokio::spawn(async move {
            let mut raw = client.raw().await;
            let mut pace = tokio::time::interval(Duration::from_millis(1));
            let mut took = Vec::new();
            while took.len() < least || !told.load(Ordering::Relaxed) {
                pace.tick().await;
                let start = Instant::now();
                raw.write("GET /app HTTP/1.1\r\nHost: a\r\n\r\n").await;
                assert_eq!(raw.response().await, "hello");
                took.push(start.elapsed());
            }
            took
        });
        Self { enough, took }
    }

    /// The time that 99 of 100 answers did not exceed.
    async fn p99(self) -> Duration {
        self.enough.store(true, Ordering::Relaxed);
        let mut took = self.took.await.expect("nothing but answers");
        took.sort();
        took[took.len() * 99 / 100]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_document_is_followed_beside_live_traffic() {
    let (routes, reloads) = if is_chaos() { (10_000, 10) } else { (500, 3) };
    let app = origin().answer("/app", Reply::ok("hello")).start().await;
    let edge = edge(&large(routes, 0)).with("app", &app).start().await;
    // Made before anything is measured.
    let documents: Vec<_> = (1..=reloads).map(|number| large(routes, number)).collect();
    let quiet = Asking::begin(&edge, 100 * reloads).p99().await;
    let asking = Asking::begin(&edge, 100);
    let mut commands = Vec::new();
    for document in &documents {
        edge.rewrite(document);
        let start = Instant::now();
        let ended = edge.command(&["reload"]).await;
        commands.push(start.elapsed());
        assert_eq!(ended.code, 0, "{}", ended.complained);
    }
    let during = asking.p99().await;
    println!("p99 {quiet:?} without reloads, {during:?} with; the commands took {commands:?}");
    edge.metric_becomes("falconer_runtime_generation", reloads as f64 + 1.0).await;
    if is_chaos() {
        assert!(commands.iter().all(|took| *took < Duration::from_secs(1)), "{commands:?}");
        assert!(during <= quiet * 2, "p99 {quiet:?}, then {during:?}");
    }
}

#[tokio::test]
async fn reloads_leave_nothing_behind() {
    let hundreds = if is_chaos() { 10 } else { 1 };
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
    for n in 1..=hundreds * 100 {
        edge.reload(&document(n)).await;
        if n % 100 == 0 {
            sizes.push(edge.process().resident() >> 20);
        }
    }
    load.end().await;
    println!("MiB after each hundred reloads: {sizes:?}");
    let (first, last) = (sizes[0], sizes[sizes.len() - 1]);
    assert!(last <= first + first / 10, "{sizes:?}");
    // Sockets of listeners that went would be the first to pile up.
    let open = std::fs::read_dir(format!("/proc/{}/fd", edge.process().id())).unwrap().count();
    assert!(open < 60, "{open} descriptors");
}
