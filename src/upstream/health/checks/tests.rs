use super::*;
use crate::observe::Registry;
use crate::upstream::config::Config;
use crate::upstream::endpoint::States;
use crate::upstream::tls::Security;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;

/// Gives its answers one by one, the last for ever, and remembers when it was asked.
struct Script {
    answers: Mutex<VecDeque<Answer>>,
    asked: watch::Sender<Vec<Instant>>,
    warmed: AtomicUsize,
}

#[derive(Clone, Copy)]
enum Answer {
    Well,
    Ill,
    Never,
}

#[async_trait]
impl Ask for Script {
    async fn ask(&self) -> Result<(), Failure> {
        self.asked.send_modify(|asked| asked.push(Instant::now()));
        let answer = {
            let mut answers = self.answers.lock();
            if answers.len() == 1 { answers.front().copied() } else { answers.pop_front() }
        };
        match answer {
            Some(Answer::Well) => Ok(()),
            Some(Answer::Ill) => Err(Failure("it is ill".into())),
            _ => std::future::pending().await,
        }
    }

    /// Each takes a second.
    async fn warm(&self) -> Result<(), Failure> {
        passes(Duration::from_secs(1)).await;
        self.warmed.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

impl Script {
    /// `+` is well, `-` is ill, `.` says nothing.
    fn new(answers: &str) -> Arc<Self> {
        let answers = answers.chars().map(|answer| match answer {
            '+' => Answer::Well,
            '-' => Answer::Ill,
            _ => Answer::Never,
        });
        Arc::new(Self {
            answers: Mutex::new(answers.collect()),
            asked: watch::Sender::new(Vec::new()),
            warmed: AtomicUsize::new(0),
        })
    }

    async fn asked(&self, times: usize) -> Vec<Instant> {
        let mut asked = self.asked.subscribe();
        asked.wait_for(|asked| asked.len() >= times).await.unwrap().clone()
    }

    fn warmed(&self) -> usize {
        self.warmed.load(Ordering::Relaxed)
    }

    fn times(&self) -> usize {
        self.asked.borrow().len()
    }
}

/// An upstream without what else there is to one.
struct Bench {
    registry: Registry,
    states: States,
    checks: Arc<Checks>,
}

impl Bench {
    fn new() -> Self {
        let registry = Registry::new();
        let checks = Checks::new("shop".into(), Metrics::new(&registry));
        Self { registry, states: States::default(), checks }
    }

    fn endpoint(&self, label: &str, port: u16) -> Arc<Endpoint> {
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        self.states.endpoint(&"shop".into(), &label.into(), &address)
    }

    /// Has these checked, by a document of its own; nobody, if there is no script.
    fn check(&self, health: Value, wanted: &[(&Arc<Endpoint>, Option<&Arc<Script>>)]) -> Turn {
        let turn = self.checks.turn();
        self.checks.take(turn);
        self.keep(turn, health, wanted);
        turn
    }

    fn keep(&self, turn: Turn, health: Value, wanted: &[(&Arc<Endpoint>, Option<&Arc<Script>>)]) {
        let wanted = || -> Vec<Wanted> {
            let one = |(endpoint, script): &(&Arc<Endpoint>, Option<&Arc<Script>>)| Wanted {
                endpoint: Arc::clone(endpoint),
                ask: script.map(|script| Arc::clone(script) as Arc<dyn Ask>),
            };
            wanted.iter().map(one).collect()
        };
        self.checks.keep(turn, manner(health).as_ref(), wanted);
    }

    fn shown(&self, series: &str) -> Option<String> {
        let text = self.registry.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.map(str::to_owned)
    }

    fn healthy(&self, label: &str) -> Option<String> {
        let labels = format!("upstream=\"shop\",endpoint=\"{label}\"");
        self.shown(&format!("falconer_upstream_endpoint_healthy{{{labels}}}"))
    }
}

/// How endpoints are asked: as `health` says, of which `warm_up` may be a part.
fn manner(mut health: Value) -> Option<Arc<Manner>> {
    let mut config = json!({ "endpoints": ["http://127.0.0.1:1"] });
    if let Some(parts) = health.as_object_mut() {
        config["warm_up"] = parts.remove("warm_up").unwrap_or_default();
    }
    config["health"] = if health == json!({}) { Value::Null } else { health };
    let config: Config = serde_json::from_value(config).unwrap();
    Manner::new(&config, &Security::default())
}

fn tcp() -> Value {
    json!({ "tcp": {}, "interval": "10s", "timeout": "2s" })
}

/// Has the clock of the test pass so far, and tasks do what is due until then.
async fn passes(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Lets tasks do what is due.
async fn pause() {
    passes(Duration::from_millis(1)).await;
}

const MINUTE: Duration = Duration::from_secs(60);

const LABEL: &str = "http://a:1";

#[tokio::test(start_paused = true)]
async fn the_first_check_comes_at_once_and_the_next_after_about_the_interval() {
    let (bench, script) = (Bench::new(), Script::new("+"));
    let (endpoint, start) = (bench.endpoint(LABEL, 1), Instant::now());
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    assert_eq!(endpoint.standing().health(), Health::Unchecked);
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("0"));
    bench.checks.settled().await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(endpoint.standing().health(), Health::Healthy);
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("1"));

    let asked = script.asked(50).await;
    let waits: Vec<_> = asked.windows(2).map(|pair| (pair[1] - pair[0]).as_millis()).collect();
    assert!(waits.iter().all(|wait| (8_999..=11_002).contains(wait)), "{waits:?}");
    assert!(waits.iter().any(|wait| *wait != waits[0]), "they are not in step: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_check_has_one_time_for_all_of_it() {
    let (bench, script) = (Bench::new(), Script::new("."));
    let (endpoint, start) = (bench.endpoint(LABEL, 1), Instant::now());
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    assert_eq!(start.elapsed().as_secs(), 2);
    assert_eq!(endpoint.standing().health(), Health::Unhealthy);
    let failed = bench.shown(
        "falconer_upstream_health_checks_total{upstream=\"shop\",endpoint=\"http://a:1\",\
         result=\"failed\"}",
    );
    assert_eq!(failed.as_deref(), Some("1"));
}

#[tokio::test(start_paused = true)]
async fn it_takes_some_results_in_a_row_to_change_a_mind() {
    let (bench, script) = (Bench::new(), Script::new("+-+--+++"));
    let endpoint = bench.endpoint(LABEL, 1);
    let mut health = tcp();
    health["healthy_after"] = 2.into();
    bench.check(health, &[(&endpoint, Some(&script))]);
    let mut known = Vec::new();
    for times in 1..=7 {
        script.asked(times).await;
        pause().await;
        known.push(endpoint.standing().health());
    }
    use Health::{Healthy as Well, Unhealthy as Ill};
    assert_eq!(known, [Well, Well, Well, Well, Ill, Ill, Well]);
}

#[tokio::test(start_paused = true)]
async fn a_document_that_asks_the_same_lets_a_check_go_on() {
    let (bench, script, other) = (Bench::new(), Script::new("+"), Script::new("-"));
    let endpoint = bench.endpoint(LABEL, 1);
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    bench.check(tcp(), &[(&endpoint, Some(&other))]);
    bench.checks.settled().await;
    script.asked(5).await;
    assert_eq!((other.times(), endpoint.standing().health()), (0, Health::Healthy));
}

#[tokio::test(start_paused = true)]
async fn another_check_decides_with_its_first_result_and_until_then_nothing_changes() {
    let bench = Bench::new();
    let (well, ill) = (bench.endpoint(LABEL, 1), bench.endpoint(LABEL, 2));
    let (plus, minus) = (Script::new("+"), Script::new("-"));
    bench.check(tcp(), &[(&well, Some(&plus)), (&ill, Some(&minus))]);
    bench.checks.settled().await;
    let known = || [well.standing().health(), ill.standing().health()];
    assert_eq!(known(), [Health::Healthy, Health::Unhealthy]);
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("1"), "of two addresses");

    let health = json!({ "path": "/", "healthy_after": 9, "unhealthy_after": 9 });
    let (before, asked) = (plus.times(), [Script::new("-"), Script::new("+")]);
    bench.check(health, &[(&well, Some(&asked[0])), (&ill, Some(&asked[1]))]);
    assert_eq!(known(), [Health::Healthy, Health::Unhealthy]);
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("1"));
    bench.checks.settled().await;
    assert_eq!(known(), [Health::Unhealthy, Health::Healthy]);
    asked[0].asked(9).await;
    assert_eq!(plus.times(), before, "the check before has ended");
}

#[tokio::test(start_paused = true)]
async fn what_served_unchecked_serves_until_a_check_says_otherwise() {
    let (bench, script) = (Bench::new(), Script::new(".+-"));
    let endpoint = bench.endpoint(LABEL, 1);
    bench.check(Value::Null, &[(&endpoint, None)]);
    assert_eq!((endpoint.standing().health(), bench.healthy(LABEL)), (Health::Healthy, None));
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    pause().await;
    assert_eq!(endpoint.standing().health(), Health::Healthy);
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("1"));
    bench.checks.settled().await;
    assert_eq!(endpoint.standing().health(), Health::Unhealthy, "it did not answer");
}

#[tokio::test(start_paused = true)]
async fn without_checks_an_endpoint_is_healthy_again_and_nobody_asks() {
    let (bench, script) = (Bench::new(), Script::new("-"));
    let endpoint = bench.endpoint(LABEL, 1);
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    assert_eq!(endpoint.standing().health(), Health::Unhealthy);
    bench.check(Value::Null, &[(&endpoint, None)]);
    assert_eq!((endpoint.standing().health(), bench.healthy(LABEL)), (Health::Healthy, None));
    let asked = script.times();
    passes(MINUTE).await;
    assert_eq!((script.times(), endpoint.standing().health()), (asked, Health::Healthy));
}

#[tokio::test(start_paused = true)]
async fn an_address_that_leaves_is_asked_no_more_and_one_that_comes_at_once() {
    let bench = Bench::new();
    let (one, two) = (bench.endpoint(LABEL, 1), bench.endpoint(LABEL, 2));
    let (first, second) = (Script::new("+"), Script::new("+"));
    let turn = bench.check(tcp(), &[(&one, Some(&first)), (&one, Some(&first))]);
    bench.checks.settled().await;
    assert_eq!(first.times(), 1, "what is named twice is asked once");
    bench.keep(turn, tcp(), &[(&two, Some(&second))]);
    assert_eq!(two.standing().health(), Health::Unchecked);
    bench.checks.settled().await;
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("1"));
    second.asked(9).await;
    assert_eq!(first.times(), 1);

    bench.keep(turn, tcp(), &[(&one, Some(&first)), (&two, Some(&second))]);
    assert_eq!(one.standing().health(), Health::Unchecked, "it may have changed meanwhile");
    bench.checks.settled().await;
    assert_eq!(bench.healthy(LABEL).as_deref(), Some("2"));
}

#[tokio::test(start_paused = true)]
async fn only_the_document_that_came_last_says_who_is_checked() {
    let (bench, script) = (Bench::new(), Script::new("+"));
    let endpoint = bench.endpoint(LABEL, 1);
    let first = bench.check(tcp(), &[(&endpoint, Some(&script))]);
    let planned = bench.checks.turn();
    bench.keep(planned, Value::Null, &[]);
    script.asked(3).await;
    bench.checks.take(planned);
    bench.keep(planned, Value::Null, &[]);
    bench.keep(first, tcp(), &[(&endpoint, Some(&script))]);
    let asked = script.times();
    passes(MINUTE).await;
    assert_eq!(script.times(), asked);
    bench.checks.take(first);
    bench.keep(first, tcp(), &[(&endpoint, Some(&script))]);
    script.asked(asked + 3).await;
}

#[tokio::test(start_paused = true)]
async fn nobody_is_asked_for_an_upstream_that_is_gone() {
    let (bench, script) = (Bench::new(), Script::new("+"));
    let endpoint = bench.endpoint(LABEL, 1);
    let turn = bench.check(tcp(), &[(&endpoint, Some(&script))]);
    script.asked(2).await;
    bench.checks.end();
    assert_eq!(bench.healthy(LABEL), None);
    // Its names are followed as long as a stream holds it.
    bench.keep(turn, tcp(), &[(&endpoint, Some(&script))]);
    passes(MINUTE).await;
    assert_eq!(script.times(), 2);

    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    script.asked(4).await;
    let Bench { checks, .. } = bench;
    drop(checks);
    passes(MINUTE).await;
    assert_eq!(script.times(), 4);
}

/// [`tcp`], with a warm-up of so many requests and so long.
fn warming(requests: u32, timeout: &str) -> Value {
    let mut health = tcp();
    health["warm_up"] = json!({ "requests": requests, "timeout": timeout });
    health
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_warm_before_it_serves_and_again_after_it_was_ill() {
    let (bench, script) = (Bench::new(), Script::new("++---+"));
    let endpoint = bench.endpoint(LABEL, 1);
    let known = || (script.warmed(), endpoint.standing().health());
    bench.check(warming(3, "30s"), &[(&endpoint, Some(&script))]);
    passes(Duration::from_millis(2_500)).await;
    assert_eq!(known(), (2, Health::Unchecked));
    bench.checks.settled().await;
    assert_eq!(known(), (3, Health::Healthy));

    script.asked(4).await;
    pause().await;
    assert_eq!(known(), (3, Health::Unhealthy));
    script.asked(6).await;
    passes(Duration::from_millis(2_500)).await;
    assert_eq!(known(), (5, Health::Unhealthy));
    passes(Duration::from_secs(1)).await;
    assert_eq!(known(), (6, Health::Healthy));
}

#[tokio::test(start_paused = true)]
async fn a_warm_up_that_takes_too_long_ends() {
    let (bench, script) = (Bench::new(), Script::new("+"));
    let endpoint = bench.endpoint(LABEL, 1);
    bench.check(warming(100, "5500ms"), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    assert_eq!((script.warmed(), endpoint.standing().health()), (5, Health::Healthy));
}

#[tokio::test(start_paused = true)]
async fn who_serves_already_is_warm() {
    let (bench, script) = (Bench::new(), Script::new("+"));
    let endpoint = bench.endpoint(LABEL, 1);
    bench.check(tcp(), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    bench.check(warming(3, "30s"), &[(&endpoint, Some(&script))]);
    bench.checks.settled().await;
    passes(MINUTE).await;
    assert_eq!((script.warmed(), endpoint.standing().health()), (0, Health::Healthy));
}

#[tokio::test(start_paused = true)]
async fn without_a_check_it_is_warmed_once() {
    let (bench, script) = (Bench::new(), Script::new("-"));
    let endpoint = bench.endpoint(LABEL, 1);
    let health = json!({ "warm_up": { "requests": 2 } });
    bench.check(health, &[(&endpoint, Some(&script))]);
    assert_eq!(endpoint.standing().health(), Health::Unchecked);
    bench.checks.settled().await;
    passes(MINUTE).await;
    let known = (script.times(), script.warmed(), endpoint.standing().health());
    assert_eq!(known, (0, 2, Health::Healthy));
}
