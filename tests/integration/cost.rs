//! What one exchange costs: a guard against getting slower that no busy machine disturbs.
//!
//! Instructions and heap allocations of the real binary, counted by callgrind, over exchanges on one
//! kept connection. The binary is that of the tests, without link-time optimization, so both are
//! higher than those of the release.

use crate::support::{Edge, Signal, edge, origin};
use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// Exchanges before the counting and in it. The difference of two runs leaves only the latter.
const WARM: u64 = 50;
const COUNTED: u64 = 500;

/// What the machine may add: its C library copies with other instructions, a timer fires more often.
const SLACK: f64 = 1.05;

/// Measured 2026-11. Raise one only with its reason in the commit.
const HTTP1: Cost = Cost { instructions: 109_000.0, allocations: 97.5 };
const HTTP2: Cost = Cost { instructions: 120_500.0, allocations: 78.0 };

#[derive(Clone, Copy, Debug)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

#[tokio::test]
async fn an_exchange_over_http_1_costs_no_more_than_is_written_down() {
    let exchanges = async |edge: &Edge, count| {
        let mut raw = edge.raw("web").await;
        for _ in 0..count {
            raw.write("GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: cost\r\n\r\n").await;
            assert_eq!(raw.response().await.status, 200);
        }
    };
    let few = spent(async |edge| exchanges(edge, WARM).await).await;
    let many = spent(async |edge| exchanges(edge, WARM + COUNTED).await).await;
    judge("http/1", few, many, HTTP1);
}

#[tokio::test]
async fn an_exchange_over_http_2_costs_no_more_than_is_written_down() {
    let exchanges = async |edge: &Edge, count| {
        let mut client = edge.h2("web").await;
        for _ in 0..count {
            assert_eq!(client.get("/").await.status, 200);
        }
    };
    let few = spent(async |edge| exchanges(edge, WARM).await).await;
    let many = spent(async |edge| exchanges(edge, WARM + COUNTED).await).await;
    judge("http/2", few, many, HTTP2);
}

/// What an edge spends from its start to its end.
async fn spent(exchanges: impl AsyncFnOnce(&Edge)) -> Cost {
    let origin = origin().reply("/", &"x".repeat(100)).start().await;
    let builder = edge(
        "
        server: {threads: 1}
        listeners: {web: {address: '127.0.0.1:0', protocols: [h1, h2]}}
        upstreams: {origin: {endpoints: [$origin]}}
        ",
    );
    let counted = builder.folder().join("counted");
    let to = format!("--callgrind-out-file={}", counted.display());
    let builder = builder.with("origin", &origin).under(&["valgrind", "--tool=callgrind", &to]);
    let mut edge = builder.start().await;
    exchanges(&edge).await;
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    cost(&counted)
}

/// Reads what callgrind wrote.
fn cost(counted: &Path) -> Cost {
    let text = fs::read_to_string(counted).unwrap();
    let (mut names, mut caller, mut callee) = (HashMap::new(), "", "");
    let mut cost = Cost { instructions: 0.0, allocations: 0.0 };
    for line in text.lines() {
        let Some((key, value)) = line.split_once(['=', ':']) else { continue };
        match key {
            "totals" => cost.instructions = value.trim().parse().unwrap(),
            "fn" => caller = name(&mut names, value),
            "cfn" => callee = name(&mut names, value),
            "calls" if allocates(callee) && !caller.contains("mi_") => {
                let calls = value.split(' ').next().unwrap();
                cost.allocations += calls.parse::<f64>().unwrap();
            }
            _ => {}
        }
    }
    assert!(cost.instructions > 0.0 && cost.allocations > 0.0, "nothing was counted: {cost:?}");
    cost
}

/// A name is written once, as `(7) name`, and is `(7)` from then on.
fn name<'a>(names: &mut HashMap<&'a str, &'a str>, value: &'a str) -> &'a str {
    match value.split_once(' ') {
        Some((id, name)) => {
            names.insert(id, name);
            name
        }
        None => names.get(value).copied().unwrap_or_default(),
    }
}

fn allocates(function: &str) -> bool {
    ["mi_malloc", "mi_zalloc", "mi_realloc"]
        .iter()
        .any(|kind| matches!(function.strip_prefix(kind), Some("" | "_aligned")))
}

fn judge(protocol: &str, few: Cost, many: Cost, most: Cost) {
    let each = |few: f64, many: f64| (many - few) / COUNTED as f64;
    let instructions = each(few.instructions, many.instructions);
    let allocations = each(few.allocations, many.allocations);
    let figures =
        format!("{protocol}: {instructions:.0} instructions, {allocations:.1} allocations");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::write(folder.join(format!("cost-{}", protocol.replace('/', ""))), figures.clone() + "\n")
        .unwrap();
    assert!(instructions <= most.instructions * SLACK, "{figures}; at most {most:?}");
    assert!(allocations <= most.allocations * SLACK, "{figures}; at most {most:?}");
}
