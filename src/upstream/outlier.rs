//! Outlier detection: whoever fails where others serve gets no requests for a while.

use super::balance::Candidate;
use super::clock::Moment;
use super::endpoint::Endpoint;
use super::outcome::{FailureKind, FailureKinds, Outcome};
use crate::value::{Duration, Limit, Share};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// When live traffic takes an endpoint out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "outlier")]
pub struct Config {
    /// So many failed attempts in a row take an endpoint out. Default: 5.
    #[schemars(with = "Limit<super::config::OneOrMore>")]
    pub consecutive_failures: Limit<u32>,
    /// So large a share of failed attempts within `window` takes an endpoint out. Default: `50%`.
    pub failure_rate: Limit<Share>,
    /// How long attempts are counted for `failure_rate`, and responses for `slower_than_median`.
    /// Default: `10s`.
    pub window: Duration,
    /// How many attempts within `window` it takes to judge by them. Default: 20.
    #[schemars(range(min = 1))]
    pub minimum_requests: u32,
    /// An endpoint whose responses take so many times as long as the median of all endpoints is
    /// taken out; at least three endpoints are compared. Default: `off`.
    #[schemars(with = "Limit<TwoOrMore>")]
    pub slower_than_median: Limit<u32>,
    /// What counts as a failed attempt. Default: `connect_error`, `reset`, `timeout`,
    /// `invalid_response`, 500, 502, 503, 504.
    pub failures: Vec<FailureKind>,
    /// For how long an endpoint is taken out; doubled each time when it fails again soon. After
    /// that, one request tries. Default: `30s`.
    pub ejection: Duration,
    /// For how long at most. Default: `5m`.
    pub longest_ejection: Duration,
    /// The largest share of the endpoints that may be out at once, rounded down. Default: `50%`.
    pub eject_at_most: Share,
}

/// A number from 2.
#[derive(JsonSchema)]
#[schemars(rename = "two-or-more")]
struct TwoOrMore(
    #[schemars(range(min = 2))]
    #[expect(dead_code, reason = "for the schema")]
    u32,
);

impl Default for Config {
    fn default() -> Self {
        let status = |status| FailureKind::Status(status);
        Self {
            consecutive_failures: Limit::On(5),
            failure_rate: Limit::On(Share::percent(50)),
            window: Duration::secs(10),
            minimum_requests: 20,
            slower_than_median: Limit::Off,
            failures: vec![
                FailureKind::ConnectError,
                FailureKind::Reset,
                FailureKind::Timeout,
                FailureKind::InvalidResponse,
                status(http::StatusCode::INTERNAL_SERVER_ERROR),
                status(http::StatusCode::BAD_GATEWAY),
                status(http::StatusCode::SERVICE_UNAVAILABLE),
                status(http::StatusCode::GATEWAY_TIMEOUT),
            ],
            ejection: Duration::secs(30),
            longest_ejection: Duration::secs(300),
            eject_at_most: Share::percent(50),
        }
    }
}

/// What an upstream judges its endpoints by.
pub(super) struct Outlier {
    config: Config,
    failures: FailureKinds,
    /// Held while one leaves or comes back, so that too many do not leave at once.
    ejecting: Mutex<()>,
}

/// How an endpoint fared lately. Attempts that go well write nothing.
#[derive(Debug, Default)]
pub(super) struct Tally {
    consecutive: AtomicU32,
    window: Mutex<Window>,
    past: Mutex<Past>,
    /// How many responses there were since the last look, and the microseconds they took.
    responses: AtomicU64,
    took: AtomicU64,
}

/// Attempts since a moment.
#[derive(Debug, Default)]
struct Window {
    began: Option<Moment>,
    /// The attempts that the endpoint had seen then.
    requests: u64,
    failures: u64,
}

/// Earlier ejections.
#[derive(Debug, Default)]
struct Past {
    /// How many there were, each soon after the one before.
    times: u32,
    until: Option<Moment>,
    why: String,
}

/// Why an endpoint is taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Consecutive(u32),
    Rate {
        failures: u64,
        requests: u64,
    },
    /// In milliseconds.
    Slow {
        took: u64,
        median: u64,
    },
    /// It failed when it was tried again.
    Still,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consecutive(1) => f.write_str("an attempt failed"),
            Self::Consecutive(failures) => write!(f, "{failures} attempts failed in a row"),
            Self::Rate { failures, requests } => write!(f, "{failures} of {requests} failed"),
            Self::Slow { took, median } => {
                write!(f, "its responses took {took} ms, the median is {median} ms")
            }
            Self::Still => f.write_str("it failed again"),
        }
    }
}

impl Outlier {
    pub(super) fn new(config: Config) -> Self {
        let failures = FailureKinds::new(&config.failures);
        Self { config, failures, ejecting: Mutex::default() }
    }

    /// Judges an endpoint by an attempt; true if it is taken out by it.
    pub(super) fn judge(
        &self,
        all: &Members<'_>,
        endpoint: &Arc<Endpoint>,
        outcome: Outcome,
        is_trial: bool,
        now: Moment,
    ) -> bool {
        let (tally, standing) = (endpoint.tally(), endpoint.standing());
        if let Outcome::Failed(cause) = outcome
            && !cause.is_upstream()
        {
            // It tells of the client.
            if is_trial {
                standing.tells_nothing();
            }
            return false;
        }
        if !self.failures.contain(outcome) {
            if is_trial {
                let _one_at_a_time = self.ejecting.lock();
                standing.readmit();
                let (upstream, endpoint) = (all.upstream, endpoint.label());
                tracing::info!(%upstream, %endpoint, "an endpoint is back: it serves again");
            }
            return false;
        }
        if is_trial {
            return self.eject(all, endpoint, Why::Still, now);
        }
        let failed = tally.failed(&self.config, endpoint.requests(), now);
        failed.is_some_and(|why| self.eject(all, endpoint, why, now))
    }

    /// Whether an attempt that ended so has failed.
    pub(super) fn is_failure(&self, outcome: Outcome) -> bool {
        self.failures.contain(outcome)
    }

    /// Notes how long a response took.
    pub(super) fn responded(&self, endpoint: &Endpoint, took: std::time::Duration) {
        if self.config.slower_than_median.on().is_some() {
            let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
            endpoint.tally().responses.fetch_add(1, Relaxed);
            endpoint.tally().took.fetch_add(micros, Relaxed);
        }
    }

    /// How often [`Self::compare`] is to be called, if at all.
    pub(super) fn compares_every(&self) -> Option<std::time::Duration> {
        self.config.slower_than_median.on().map(|_| self.config.window.0)
    }

    /// Takes those out that are far slower than the others; gives their places.
    pub(super) fn compare(&self, all: &Members<'_>, now: Moment) -> Vec<usize> {
        let Some(times) = self.config.slower_than_median.on() else { return Vec::new() };
        let enough = u64::from(self.config.minimum_requests);
        let mean = |candidate: &Candidate| {
            let tally = candidate.endpoint.tally();
            let (responses, took) = (tally.responses.swap(0, Relaxed), tally.took.swap(0, Relaxed));
            (responses >= enough).then(|| took / responses.max(1))
        };
        let means: Vec<_> = all.candidates.iter().map(mean).collect();
        let mut known: Vec<_> = means.iter().copied().flatten().collect();
        known.sort_unstable();
        // Between two nobody can tell who is the slow one.
        let Some(median) = known.get(known.len() / 2).filter(|_| known.len() >= 3) else {
            return Vec::new();
        };
        let is_slow = |mean: u64| mean > median.saturating_mul(u64::from(times));
        let members = all.candidates.iter().zip(&means).enumerate();
        let slow = members.filter_map(|(place, (candidate, mean))| {
            let took = mean.filter(|mean| is_slow(*mean))?;
            let why = Why::Slow { took: took / 1000, median: median / 1000 };
            self.eject(all, &candidate.endpoint, why, now).then_some(place)
        });
        slow.collect()
    }

    /// Takes an endpoint out, unless too many are out already.
    fn eject(&self, all: &Members<'_>, endpoint: &Arc<Endpoint>, why: Why, now: Moment) -> bool {
        let one_at_a_time = self.ejecting.lock();
        // What began before it was taken out tells nothing new.
        if endpoint.standing().is_ejected() && why != Why::Still {
            return false;
        }
        let is_out = |candidate: &&Candidate| {
            !Arc::ptr_eq(&candidate.endpoint, endpoint)
                && candidate.endpoint.standing().is_ejected()
        };
        let weighty = || all.candidates.iter().filter(|candidate| candidate.weight > 0);
        let out = weighty().filter(is_out).count() as u64;
        let most = self.config.eject_at_most.of(weighty().count() as u64);
        let (upstream, label) = (all.upstream, endpoint.label());
        if out >= most {
            if endpoint.standing().is_ejected() {
                endpoint.standing().readmit();
            }
            tracing::debug!(%upstream, endpoint = %label, %why, out, "enough endpoints are out");
            return false;
        }
        let time = {
            let mut past = endpoint.tally().past.lock();
            past.why = why.to_string();
            past.again(&self.config, now)
        };
        endpoint.standing().eject(now.after(time));
        drop(one_at_a_time);
        let (address, time) = (endpoint.address(), Duration(time));
        tracing::warn!(%upstream, endpoint = %label, %address, %why, %time, "an endpoint is taken out");
        true
    }
}

/// The endpoints of an upstream.
pub(super) struct Members<'a> {
    pub(super) upstream: &'a str,
    pub(super) candidates: &'a [Candidate],
}

impl Tally {
    /// An attempt went well, to its end.
    pub(super) fn succeeded(&self) {
        // An unchanged value is not written, so that the cores can share the line.
        if self.consecutive.load(Relaxed) != 0 {
            self.consecutive.store(0, Relaxed);
        }
    }

    /// Why it was last taken out.
    pub(super) fn why(&self) -> String {
        self.past.lock().why.clone()
    }

    /// Notes a failed attempt; `requests` are all attempts at the endpoint so far.
    fn failed(&self, config: &Config, requests: u64, now: Moment) -> Option<Why> {
        let consecutive = self.consecutive.fetch_add(1, Relaxed).saturating_add(1);
        let rate = self.window.lock().failed(config, requests, now);
        let is_enough = config.consecutive_failures.on().is_some_and(|most| consecutive >= most);
        let why = is_enough.then_some(Why::Consecutive(consecutive)).or(rate)?;
        self.consecutive.store(0, Relaxed);
        *self.window.lock() = Window::default();
        Some(why)
    }
}

impl Window {
    fn failed(&mut self, config: &Config, requests: u64, now: Moment) -> Option<Why> {
        if self.began.is_none_or(|began| now.since(began) > config.window.0) {
            // This attempt is one of them.
            *self = Self { began: Some(now), requests: requests.saturating_sub(1), failures: 0 };
        }
        self.failures += 1;
        let (failures, requests) = (self.failures, requests.saturating_sub(self.requests));
        let share = config.failure_rate.on()?;
        let is_enough = requests >= u64::from(config.minimum_requests);
        (is_enough && share.is_reached_by(failures, requests))
            .then_some(Why::Rate { failures, requests })
    }
}

impl Past {
    /// How long it is taken out this time.
    fn again(&mut self, config: &Config, now: Moment) -> std::time::Duration {
        let time = |times: u32| {
            let doubled = config.ejection.0.saturating_mul(1 << times.min(20));
            doubled.min(config.longest_ejection.0.max(config.ejection.0))
        };
        // Who has served for as long as it was out begins anew.
        let is_soon = |until| now.since(until) <= time(self.times.saturating_sub(1));
        self.times = if self.until.is_some_and(is_soon) { self.times.saturating_add(1) } else { 1 };
        let time = time(self.times - 1);
        self.until = Some(now.after(time));
        time
    }
}

#[cfg(test)]
mod tests {
    use super::super::endpoint::Address;
    use super::*;
    use http::StatusCode;
    use std::time::Duration as Time;

    const GOOD: Outcome = Outcome::Answered(StatusCode::OK);
    const BAD: Outcome = Outcome::Answered(StatusCode::INTERNAL_SERVER_ERROR);

    struct Bench {
        outlier: Outlier,
        candidates: Vec<Candidate>,
    }

    impl Bench {
        fn new(endpoints: u16, config: serde_json::Value) -> Self {
            let candidate = |port: u16| {
                let address = Address::Tcp(([127, 0, 0, 1], port).into());
                let endpoint = Arc::new(Endpoint::new("http://127.0.0.1".into(), address));
                Candidate { endpoint, weight: 1, priority: 0 }
            };
            let outlier = Outlier::new(serde_json::from_value(config).unwrap());
            Self { outlier, candidates: (0..endpoints).map(candidate).collect() }
        }

        /// An attempt at an endpoint; true if it is taken out by it.
        fn attempt(&self, index: usize, outcome: Outcome, now: u64) -> bool {
            let endpoint = &self.candidates[index].endpoint;
            let is_trial = endpoint.standing().begin_trial(Moment(now));
            drop(endpoint.begin());
            if outcome == GOOD {
                endpoint.tally().succeeded();
            }
            self.outlier.judge(&self.members(), endpoint, outcome, is_trial, Moment(now))
        }

        fn members(&self) -> Members<'_> {
            Members { upstream: "u", candidates: &self.candidates }
        }

        fn is_good(&self, index: usize, now: u64) -> bool {
            self.candidates[index].endpoint.standing().is_good(Moment(now), 0)
        }
    }

    #[test]
    fn failures_in_a_row_take_an_endpoint_out() {
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 3}));
        for outcome in [BAD, BAD, GOOD, BAD, BAD] {
            assert!(!bench.attempt(0, outcome, 1000));
        }
        assert!(bench.is_good(0, 1000));
        assert!(bench.attempt(0, BAD, 1000));
        assert!(!bench.is_good(0, 30_999) && bench.is_good(0, 31_000));
    }

    #[test]
    fn one_that_serves_when_it_is_tried_is_back_and_one_that_does_not_is_out_for_longer() {
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 1}));
        assert!(bench.attempt(0, BAD, 0));
        assert!(bench.attempt(0, BAD, 30_000), "tried, and failed");
        assert!(!bench.is_good(0, 89_999) && bench.is_good(0, 90_000), "60 s");
        assert!(!bench.attempt(0, GOOD, 90_000));
        assert!(!bench.candidates[0].endpoint.standing().is_ejected());
        assert!(bench.attempt(0, BAD, 95_000), "soon again");
        assert!(!bench.is_good(0, 214_999) && bench.is_good(0, 215_000), "120 s");
        assert!(!bench.attempt(0, GOOD, 215_000));
        assert!(bench.attempt(0, BAD, 400_000), "after it has served for long");
        assert!(bench.is_good(0, 430_000), "30 s");
    }

    #[test]
    fn the_longest_ejection_bounds_them() {
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 1}));
        let mut now = 0;
        for _ in 0..40 {
            assert!(bench.attempt(0, BAD, now));
            now += 300_000;
            assert!(bench.is_good(0, now));
        }
    }

    #[test]
    fn a_share_of_failures_takes_an_endpoint_out_when_there_were_enough() {
        let config = serde_json::json!({"consecutive_failures": "off", "minimum_requests": 10});
        let bench = Bench::new(2, config);
        for n in 0..4 {
            assert!(!bench.attempt(0, BAD, n));
            assert!(!bench.attempt(0, GOOD, n));
        }
        assert!(!bench.attempt(0, BAD, 5), "five of nine");
        assert!(bench.attempt(0, BAD, 6), "six of ten");
        for n in 0..100 {
            assert!(!bench.attempt(1, if n % 3 == 0 { BAD } else { GOOD }, n), "34 %");
        }
    }

    #[test]
    fn what_is_long_ago_does_not_count() {
        let config = serde_json::json!({"consecutive_failures": "off", "minimum_requests": 4});
        let bench = Bench::new(2, config);
        for n in 0..3 {
            assert!(!bench.attempt(0, BAD, n));
        }
        assert!(!bench.attempt(0, BAD, 20_000));
    }

    #[test]
    fn no_more_than_the_share_are_out_at_once() {
        let bench = Bench::new(4, serde_json::json!({"consecutive_failures": 1}));
        let out = |index| bench.attempt(index, BAD, 0);
        assert_eq!([out(0), out(1), out(2), out(3)], [true, true, false, false]);
        let alone = Bench::new(1, serde_json::json!({"consecutive_failures": 1}));
        assert!(!alone.attempt(0, BAD, 0), "where would its requests go?");
    }

    #[test]
    fn what_began_before_tells_nothing_new() {
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 1}));
        assert!(bench.attempt(0, BAD, 0));
        for now in 0..10 {
            assert!(!bench.attempt(0, BAD, now));
            assert!(!bench.attempt(0, GOOD, now));
        }
        assert!(bench.is_good(0, 30_000));
    }

    #[test]
    fn a_client_that_leaves_tells_nothing() {
        let left = Outcome::Failed(crate::exchange::Cause::ClientClosed);
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 2}));
        assert!(!bench.attempt(0, BAD, 0));
        assert!(!bench.attempt(0, left, 0));
        assert!(bench.attempt(0, BAD, 0), "two in a row all the same");
        assert!(!bench.attempt(0, left, 30_000));
        assert!(bench.candidates[0].endpoint.standing().is_ejected(), "it is not back by that");
        assert!(bench.is_good(0, 30_000), "the next one may try");
    }

    #[test]
    fn failures_at_once_take_an_endpoint_out_once() {
        let bench = Bench::new(2, serde_json::json!({"consecutive_failures": 1}));
        let endpoint = &bench.candidates[0].endpoint;
        let out = std::thread::scope(|scope| {
            let judge = || bench.outlier.judge(&bench.members(), endpoint, BAD, false, Moment(0));
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(judge)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).filter(|out| *out).count()
        });
        assert_eq!(out, 1);
        assert!(bench.is_good(0, 30_000), "for the first time");
    }

    #[test]
    fn far_slower_than_the_median_is_out() {
        let config = serde_json::json!({"slower_than_median": 5, "minimum_requests": 3});
        let bench = Bench::new(5, config);
        let respond = |index: usize, millis| {
            let endpoint = &bench.candidates[index].endpoint;
            bench.outlier.responded(endpoint, Time::from_millis(millis));
        };
        let compare = || bench.outlier.compare(&bench.members(), Moment(0));
        for (index, millis) in [(0, 10), (1, 12), (2, 11), (3, 40)] {
            (0..3).for_each(|_| respond(index, millis));
        }
        respond(4, 9000);
        assert!(compare().is_empty(), "one response is chance");
        for (index, millis) in [(0, 10), (1, 12), (2, 11), (3, 90)] {
            (0..3).for_each(|_| respond(index, millis));
        }
        assert_eq!(compare(), [3]);
        assert!(!bench.is_good(3, 1));
        assert!(compare().is_empty(), "it is counted anew");
    }
}
