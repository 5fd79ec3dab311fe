//! Retries: a further attempt at another endpoint, within a budget.

use super::clock::Moment;
use super::outcome::{FailureKind, FailureKinds, Outcome};
use crate::value::{Duration, Limit, Share};
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration as Time;

/// Which requests are sent again, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "retry")]
pub struct Config {
    /// How many attempts a request gets, the first one included. A connection that failed is none.
    /// Default: 2.
    #[schemars(range(min = 1, max = 10))]
    pub attempts: u32,
    /// How long an attempt may take until the head of its response is there, while a further one is
    /// left. Default: `off`.
    pub per_try: Limit<Duration>,
    /// How many retries there may be, as a share of the requests of the last ten seconds.
    /// Default: `20%`.
    pub budget: Share,
    /// So many retries within ten seconds are within the budget however few requests there are.
    /// Default: 10.
    pub budget_floor: u32,
    /// The longest wait before the first retry; doubled for each further one, and of that a random
    /// part. Default: `25ms`.
    pub backoff: Duration,
    /// After what a request is sent again. Default: `connect_error`, `reset`, `timeout`, 502, 503,
    /// 504.
    pub on: Vec<FailureKind>,
}

impl Default for Config {
    fn default() -> Self {
        let status = |status| FailureKind::Status(status);
        Self {
            attempts: 2,
            per_try: Limit::Off,
            budget: Share::percent(20),
            budget_floor: 10,
            backoff: Duration(Time::from_millis(25)),
            on: vec![
                FailureKind::ConnectError,
                FailureKind::Reset,
                FailureKind::Timeout,
                status(http::StatusCode::BAD_GATEWAY),
                status(http::StatusCode::SERVICE_UNAVAILABLE),
                status(http::StatusCode::GATEWAY_TIMEOUT),
            ],
        }
    }
}

/// How long requests and retries are counted.
const WINDOW: Time = Time::from_secs(10);
/// How far looks at the counters are apart.
const STEP: Time = Time::from_millis(500);
/// So many requests are between looks that nothing failed for.
const SAMPLE: u64 = 256;
/// The longest wait before a retry.
const LONGEST_WAIT: Time = Time::from_secs(1);

/// The retries of one upstream.
#[derive(Debug)]
pub(super) struct Retry {
    config: Config,
    on: FailureKinds,
    budget: Budget,
}

/// How many retries there were beside how many requests.
#[derive(Debug)]
struct Budget {
    requests: AtomicU64,
    /// Touched where a request failed, and now and then.
    looks: Mutex<Looks>,
}

#[derive(Debug)]
struct Looks {
    retries: u64,
    /// What was counted at moments of the window, the oldest first; never empty.
    at: VecDeque<(Moment, Counted)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    requests: u64,
    retries: u64,
}

impl Retry {
    pub(super) fn new(config: Config, now: Moment) -> Self {
        let on = FailureKinds::new(&config.on);
        let looks = Looks { retries: 0, at: VecDeque::from([(now, Counted::default())]) };
        let budget = Budget { requests: AtomicU64::new(0), looks: Mutex::new(looks) };
        Self { config, on, budget }
    }

    /// A request begins.
    pub(super) fn begins(&self, now: impl FnOnce() -> Moment) {
        let requests = self.budget.requests.fetch_add(1, Relaxed).wrapping_add(1);
        // So that it is known of busy times when they were, though nothing fails then.
        if requests.is_multiple_of(SAMPLE)
            && let Some(mut looks) = self.budget.looks.try_lock()
        {
            looks.look(requests, now());
        }
    }

    /// Whether a request that got so many attempts gets another one after this.
    pub(super) fn wants(&self, outcome: Outcome, attempts: u32) -> bool {
        attempts < self.config.attempts && self.on.contain(outcome)
    }

    /// Takes a retry out of the budget; false if it is used up.
    pub(super) fn afford(&self, now: Moment) -> bool {
        self.budget.take(&self.config, now)
    }

    /// How long an attempt may wait for its response, if another one is left.
    pub(super) fn patience(&self, attempts: u32) -> Option<Time> {
        let has_more = attempts < self.config.attempts && self.on.contain(TIMEOUT);
        self.config.per_try.on().filter(|_| has_more).map(|patience| patience.0)
    }

    /// How long to wait before the retry of this number, from 1.
    pub(super) fn wait(&self, number: u32) -> Time {
        let doubled = self.config.backoff.0.saturating_mul(1 << number.saturating_sub(1).min(10));
        doubled.min(LONGEST_WAIT).mul_f64(fastrand::f64())
    }
}

const TIMEOUT: Outcome = Outcome::Failed(crate::exchange::Cause::UpstreamTimeoutResponse);

impl Budget {
    fn take(&self, config: &Config, now: Moment) -> bool {
        let requests = self.requests.load(Relaxed);
        let mut looks = self.looks.lock();
        let within = looks.within(requests, now);
        let budget = config.budget.of(within.requests).max(u64::from(config.budget_floor));
        if within.retries >= budget {
            return false;
        }
        looks.retries += 1;
        true
    }
}

impl Looks {
    /// Notes what was counted until now.
    fn look(&mut self, requests: u64, now: Moment) {
        // The last look from before the window is where it begins.
        while self.at.get(1).is_some_and(|(moment, _)| now.since(*moment) >= WINDOW) {
            self.at.pop_front();
        }
        let counted = Counted { requests, retries: self.retries };
        if self.at.back().is_none_or(|(moment, _)| now.since(*moment) >= STEP) {
            self.at.push_back((now, counted));
        }
    }

    /// What was counted within the window.
    fn within(&mut self, requests: u64, now: Moment) -> Counted {
        self.look(requests, now);
        let counted = Counted { requests, retries: self.retries };
        let (began, before) = self.at.front().copied().unwrap_or((now, counted));
        // Each retry looks: those that a look of long ago has not seen came soon after it.
        let is_long_ago = now.since(began) >= WINDOW + STEP;
        let later = self.at.get(1).filter(|_| is_long_ago).map(|(_, later)| later.retries);
        let retries_before = later.unwrap_or(before.retries);
        let requests = requests.saturating_sub(before.requests);
        // Nobody looked for long: what came meanwhile came evenly, as far as anyone knows.
        let elapsed = now.since(began).max(WINDOW);
        let requests = u128::from(requests) * WINDOW.as_millis() / elapsed.as_millis().max(1);
        Counted {
            requests: u64::try_from(requests).unwrap_or(u64::MAX),
            retries: self.retries.saturating_sub(retries_before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(config: serde_json::Value) -> Retry {
        Retry::new(serde_json::from_value(config).unwrap(), Moment(0))
    }

    /// Requests that all want one retry, so many in each millisecond; gives how many got it.
    fn storm(retry: &Retry, from: u64, millis: u64, each: u64) -> u64 {
        let mut got = 0;
        for now in from..from + millis {
            for _ in 0..each {
                retry.begins(|| Moment(now));
                got += u64::from(retry.afford(Moment(now)));
            }
        }
        got
    }

    #[test]
    fn a_storm_gets_its_share_and_no_more() {
        let retry = retry(serde_json::json!({"budget": "20%"}));
        let mut from = 1_000;
        for _ in 0..5 {
            let got = storm(&retry, from, 10_000, 2);
            assert!(got <= 4_010, "{got} of 20,000");
            assert!(got >= 3_500, "{got} of 20,000");
            from += 10_000;
        }
    }

    #[test]
    fn a_few_are_always_allowed() {
        let retry = retry(serde_json::json!({"budget": "0%", "budget_floor": 3}));
        assert_eq!(storm(&retry, 0, 10, 1), 3);
        assert_eq!(storm(&retry, 5_000, 10, 1), 0);
        assert_eq!(storm(&retry, 20_000, 10, 1), 3, "another ten seconds");
        assert_eq!(storm(&retry, 3_600_000, 10, 1), 3, "after an hour of quiet");
    }

    #[test]
    fn what_was_long_ago_lends_no_budget() {
        let retry = retry(serde_json::json!({"budget": "20%", "budget_floor": 0}));
        assert!(storm(&retry, 0, 10_000, 10) > 0);
        for now in 50_000..100_000 {
            (0..20).for_each(|_| retry.begins(|| Moment(now)));
        }
        // A million, but not of late.
        let got = storm(&retry, 200_000, 1, 1_000);
        assert!((20..=420).contains(&got), "{got}");
    }

    #[test]
    fn attempts_are_counted_with_the_first() {
        let three = retry(serde_json::json!({"attempts": 3, "per_try": "2s"}));
        let failed = Outcome::Failed(crate::exchange::Cause::UpstreamReset);
        assert!(three.wants(failed, 1) && three.wants(failed, 2) && !three.wants(failed, 3));
        assert!(!three.wants(Outcome::Answered(http::StatusCode::NOT_FOUND), 1));
        let patience = [1, 2, 3].map(|attempts| three.patience(attempts));
        assert_eq!(patience, [Some(Time::from_secs(2)), Some(Time::from_secs(2)), None]);
        let none = retry(serde_json::json!({"on": ["reset"], "per_try": "2s"}));
        assert_eq!(none.patience(1), None, "a timeout would not be tried again");
    }

    #[test]
    fn waits_grow_and_are_random() {
        let retry = retry(serde_json::json!({"backoff": "40ms"}));
        for (number, longest) in [(1, 40), (2, 80), (3, 160), (9, 1000)] {
            let waits: Vec<_> = (0..200).map(|_| retry.wait(number)).collect();
            assert!(waits.iter().all(|wait| *wait <= Time::from_millis(longest)));
            assert!(waits.iter().max() > waits.iter().min());
        }
    }
}
