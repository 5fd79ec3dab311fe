//! Picking the endpoint of an attempt, as the proxy does: with its peer, and with what is counted.

use criterion::{BenchmarkId, Criterion, Throughput};
use falconer::exchange::Cause;
use falconer::observe::Registry;
use falconer::upstream::{
    Act, Config, Follows, Metrics, Outcome, Picked, Security, States, Terms, Tried, Upstream,
};
use serde_json::{Value, json};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many different keys go round.
const KEYS: usize = 1 << 16;
/// So many attempts are in flight.
const IN_FLIGHT: usize = 64;
/// So many cores pick at once, where several do.
const CORES: usize = 2;

/// How the endpoints fare.
#[derive(Clone, Copy)]
enum State {
    Well,
    /// Every tenth is taken out.
    SomeOut,
    /// Every tenth is new.
    SomeFresh,
    /// All are, as after a start.
    AllFresh,
}

const STATES: [(&str, State); 4] = [
    ("well", State::Well),
    ("some_out", State::SomeOut),
    ("some_fresh", State::SomeFresh),
    ("all_fresh", State::AllFresh),
];

fn policies() -> [(&'static str, Value); 7] {
    let hash = json!({ "hash": { "key": "{client.ip}" } });
    let bounded = json!({ "hash": { "key": "{client.ip}", "load_at_most": "125%" } });
    let [round_robin, least_request, peak_ewma, random, first] =
        ["round_robin", "least_request", "peak_ewma", "random", "first"];
    [
        (round_robin, json!(round_robin)),
        (least_request, json!(least_request)),
        (peak_ewma, json!(peak_ewma)),
        (random, json!(random)),
        (first, json!(first)),
        ("hash", hash),
        ("hash_bounded", bounded),
    ]
}

/// Every policy over few endpoints and many, and over such as do not all fare well.
pub(super) fn pick(criterion: &mut Criterion) {
    let keys: Vec<_> = (0..KEYS).map(|n| format!("203.0.{}.{}", n / 256, n % 256)).collect();
    for (name, state) in STATES {
        let mut group = criterion.benchmark_group(format!("pick/{name}"));
        group.throughput(Throughput::Elements(1));
        for (policy, balance) in policies() {
            for endpoints in [10, 1_000] {
                let upstream = upstream(endpoints, &balance, state);
                let mut picks = Picks::new(&upstream, &keys);
                group.bench_function(BenchmarkId::new(policy, endpoints), |bencher| {
                    bencher.iter(|| picks.next());
                });
            }
        }
        group.finish();
    }
    let mut group = criterion.benchmark_group("pick/two_cores");
    for (policy, balance) in policies() {
        let upstream = upstream(1_000, &balance, State::Well);
        group.bench_function(policy, |bencher| {
            bencher.iter_custom(|times| {
                let began = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..CORES {
                        scope.spawn(|| {
                            let mut picks = Picks::new(&upstream, &keys);
                            (0..times).for_each(|_| picks.next());
                        });
                    }
                });
                began.elapsed()
            });
        });
    }
    group.finish();
}

/// One pick after the other, of which some stay in flight.
struct Picks<'a> {
    upstream: &'a Upstream,
    keys: std::iter::Cycle<std::slice::Iter<'a, String>>,
    in_flight: Vec<Picked>,
    oldest: usize,
}

impl<'a> Picks<'a> {
    fn new(upstream: &'a Upstream, keys: &'a [String]) -> Self {
        let mut keys = keys.iter().cycle();
        let in_flight = keys.by_ref().take(IN_FLIGHT).map(|key| one(upstream, key));
        let in_flight = in_flight.collect();
        Self { upstream, keys, in_flight, oldest: 0 }
    }

    fn next(&mut self) {
        let key = self.keys.next().expect("a key");
        let picked = one(self.upstream, black_box(key));
        self.oldest = (self.oldest + 1) % IN_FLIGHT;
        *self.in_flight.get_mut(self.oldest).expect("an attempt") = picked;
    }
}

fn one(upstream: &Upstream, key: &str) -> Picked {
    let terms = terms(upstream, if upstream.key().is_some() { key } else { "" });
    upstream.pick(&mut Tried::new(), terms).expect("an endpoint")
}

fn terms<'a>(upstream: &Upstream, key: &'a str) -> Terms<'a> {
    let (timeouts, follows) = (upstream.timeouts(), Follows::Nothing);
    Terms { claim: None, key, panics: true, timeouts, follows }
}

fn upstream(endpoints: usize, balance: &Value, state: State) -> Arc<Upstream> {
    let urls: Vec<_> =
        (0..endpoints).map(|n| format!("http://10.0.{}.{}:8080", n / 256, n % 256)).collect();
    let outlier = json!({ "consecutive_failures": 1, "ejection": "1h" });
    let document = |slow_start: &str| {
        let (slow_start, outlier) = (json!(slow_start), outlier.clone());
        json!({
            "endpoints": urls, "balance": balance, "outlier": outlier, "slow_start": slow_start,
        })
    };
    let (states, metrics) = (Arc::<States>::default(), Metrics::new(&Registry::new()));
    let new = |slow_start, before| {
        let config: Config = serde_json::from_value(document(slow_start)).expect("an upstream");
        let (security, states) = (Security::default(), states.clone());
        Upstream::new("app".into(), config, security, None, states, &metrics, before)
    };
    match state {
        State::Well => new("0s", None),
        State::AllFresh => new("1h", None),
        State::SomeOut => {
            let upstream = new("0s", None);
            (0..endpoints).step_by(10).for_each(|index| take_out(&upstream, index, endpoints));
            upstream
        }
        State::SomeFresh => {
            // Those that are there before the document says it are not fresh by it.
            let before = new("0s", None);
            let upstream = new("1h", Some(&*before));
            for url in urls.iter().step_by(10) {
                assert_eq!(upstream.act(url, Act::Drain { keeps_for: Duration::ZERO }), 1);
                upstream.act(url, Act::Resume);
            }
            upstream
        }
    }
}

/// Has the one of this index fail, whatever the policy prefers.
fn take_out(upstream: &Upstream, index: usize, endpoints: usize) {
    let mut tried = Tried::new();
    // The first pick says which set the indices are of.
    drop(upstream.pick(&mut tried, terms(upstream, "")));
    (0..endpoints).filter(|other| *other != index).for_each(|other| tried.insert(other));
    let mut picked = upstream.pick(&mut tried, terms(upstream, "")).expect("the last one");
    upstream.learn(&mut picked, Outcome::Failed(Cause::UpstreamReset));
}
