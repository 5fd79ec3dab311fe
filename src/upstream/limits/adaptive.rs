//! `adaptive`: how many requests an endpoint can take at once, found by how long it takes.

use crate::observe::Gauge;
use crate::upstream::clock::Moment;
use crate::value::Factor;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Finds how many requests an endpoint can take at once: fewer while its responses take longer than
/// they usually do, more while they do not and the requests are there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "adaptive")]
pub struct Config {
    /// An endpoint gets so many at once however slow it is. Default: 4.
    #[schemars(range(min = 1))]
    pub least: u32,
    /// And so many at most. Default: 1000.
    #[schemars(range(min = 1))]
    pub most: u32,
    /// How long responses may take, of what they usually take, before it gets fewer. Default:
    /// `150%`.
    pub tolerance: Factor,
}

impl Default for Config {
    fn default() -> Self {
        Self { least: 4, most: 1000, tolerance: Factor::percent(150) }
    }
}

/// So many an endpoint gets before anything is known of it.
const FIRST: usize = 20;
/// How much of what a window says is taken over.
const SMOOTHING: f64 = 0.2;
/// After so many windows it gets the fewest for two of them, which shows what its responses take
/// while it is not busy.
const PROBES_EVERY: u32 = 300;
/// How much of a longer time is usual after each window in which it gets hardly more than the fewest.
const DRIFT: f64 = 0.1;
/// A window holds as many responses, and takes as long, at least.
const RESPONSES: u64 = 20;
/// So many while it gets the fewest, for that must not last.
const PROBED: u64 = 5;
const WINDOW: Duration = Duration::from_millis(100);

/// How many requests an endpoint can take at once, as far as is known. It is a gradient: what
/// responses usually take by what they take now.
#[derive(Debug)]
pub(in crate::upstream) struct Pace {
    most: AtomicUsize,
    /// Of the window: microseconds of all responses, their number, and how many were in flight.
    micros: AtomicU64,
    responses: AtomicU64,
    busiest: AtomicUsize,
    /// Whether it gets the fewest for a while.
    is_probing: AtomicBool,
    /// Touched once in a window.
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    most: f64,
    /// Microseconds that responses take while it is not busy.
    usual: f64,
    windows: u32,
    began: Moment,
    shown: Option<Shown>,
}

/// What it adds to a number that is shown.
#[derive(Debug)]
struct Shown {
    gauge: Gauge,
    part: i64,
}

impl Shown {
    fn set(&mut self, part: usize) {
        let part = i64::try_from(part).unwrap_or(i64::MAX);
        self.gauge.add(part - std::mem::replace(&mut self.part, part));
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Default for Pace {
    fn default() -> Self {
        let known = Known {
            most: FIRST as f64,
            usual: f64::MAX,
            windows: 0,
            began: Moment(0),
            shown: None,
        };
        let (micros, responses, busiest, is_probing) = Default::default();
        let (most, known) = (AtomicUsize::new(FIRST), Mutex::new(known));
        Self { most, micros, responses, busiest, is_probing, known }
    }
}

impl Pace {
    /// How many it gets at once.
    pub(in crate::upstream) fn most(&self) -> usize {
        self.most.load(Relaxed)
    }

    /// Adds it to this from now on, or to nothing.
    pub(in crate::upstream) fn show(&self, gauge: Option<Gauge>) {
        let mut known = self.known.lock();
        known.shown = gauge.map(|gauge| Shown { gauge, part: 0 });
        known.shown.iter_mut().for_each(|shown| shown.set(self.most()));
    }

    /// A response took so long, with so many awaited.
    pub(in crate::upstream) fn took(
        &self,
        config: &Config,
        time: Duration,
        in_flight: usize,
        now: Moment,
    ) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX / 2).min(u64::MAX / 1024);
        self.micros.fetch_add(micros, Relaxed);
        self.busiest.fetch_max(in_flight, Relaxed);
        let needed = if self.is_probing.load(Relaxed) { PROBED } else { RESPONSES };
        if self.responses.fetch_add(1, Relaxed) + 1 < needed {
            return;
        }
        // Whoever is not first has nothing to do.
        let Some(mut known) = self.known.try_lock() else { return };
        if now.since(known.began) < WINDOW {
            return;
        }
        let (micros, responses) = (self.micros.swap(0, Relaxed), self.responses.swap(0, Relaxed));
        let busiest = self.busiest.swap(0, Relaxed);
        known.began = now;
        let most = known.learn(config, micros as f64 / responses.max(1) as f64, busiest);
        self.most.store(most, Relaxed);
        self.is_probing.store(known.is_probing(), Relaxed);
        known.shown.iter_mut().for_each(|shown| shown.set(most));
    }
}

impl Known {
    fn is_probing(&self) -> bool {
        self.windows % PROBES_EVERY < 2
    }

    /// Learns from a window, and gives how many requests it gets in the next.
    fn learn(&mut self, config: &Config, took: f64, busiest: usize) -> usize {
        let (took, least) = (took.max(1.0), f64::from(config.least));
        self.windows = self.windows.wrapping_add(1);
        match self.windows % PROBES_EVERY {
            // What begins in a window may end in the next.
            0 | 1 => return least as usize,
            2 => self.usual = took,
            _ if took < self.usual => self.usual = took,
            // It is not busy, and takes longer all the same.
            _ if self.most <= least * 2.0 => self.usual += (took - self.usual) * DRIFT,
            _ => {}
        }
        let gradient = (config.tolerance.as_f64() * self.usual / took).clamp(0.5, 1.0);
        // As many more as a queue of the root of it: so a large limit grows faster.
        let next = self.most * gradient + self.most.sqrt();
        // Of what is not used, nobody knows whether it could be more.
        if next <= self.most || busiest as f64 * 2.0 >= self.most {
            let most = f64::from(config.most).max(least);
            self.most = (self.most + (next - self.most) * SMOOTHING).clamp(least, most);
        }
        self.most as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an endpoint gets that takes `most` at once and then makes requests wait in line: after
    /// so many windows in each of which all room is used.
    fn settles(pace: &Pace, capacity: usize, windows: u64, from: u64) -> usize {
        let mut found = Vec::new();
        for window in from..from + windows {
            let in_flight = pace.most();
            let queued = in_flight.max(capacity) as f64 / capacity as f64;
            let took = Duration::from_millis(10).mul_f64(queued);
            for response in 0..RESPONSES {
                let now = Moment(window * 100 + 100 * u64::from(response == RESPONSES - 1));
                pace.took(&Config::default(), took, in_flight, now);
            }
            if window >= from + windows / 2 {
                found.push(pace.most());
            }
        }
        found.sort_unstable();
        found[found.len() / 2]
    }

    #[test]
    fn it_finds_what_an_endpoint_can_take() {
        let pace = Pace::default();
        let found = settles(&pace, 100, 200, 1);
        assert!((100..250).contains(&found), "{found}");
    }

    #[test]
    fn it_follows_an_endpoint_that_becomes_slower() {
        let pace = Pace::default();
        settles(&pace, 100, 200, 1);
        let found = settles(&pace, 10, 40, 1000);
        assert!((4..40).contains(&found), "{found}");
    }

    #[test]
    fn who_takes_longer_without_being_busy_is_not_held_back_for_ever() {
        let pace = Pace::default();
        settles(&pace, 100, 200, 1);
        let slow = |window: u64| {
            for _ in 0..RESPONSES {
                let took = Duration::from_millis(50);
                pace.took(&Config::default(), took, pace.most(), Moment(window * 100));
            }
        };
        let before = pace.most();
        (1000..1010).for_each(slow);
        assert!(pace.most() < before / 2, "{}", pace.most());
        let most = |window| {
            slow(window);
            pace.most()
        };
        let found = (1010..1400).map(most).max();
        assert!(found > Some(before), "{found:?} after {before}");
    }

    #[test]
    fn what_is_not_used_does_not_grow() {
        let pace = Pace::default();
        for window in 1..100 {
            for _ in 0..RESPONSES {
                pace.took(&Config::default(), Duration::from_millis(5), 3, Moment(window * 100));
            }
            assert!(pace.most() <= FIRST);
        }
    }

    #[test]
    fn it_keeps_within_its_bounds() {
        let config = Config { least: 8, most: 30, ..Config::default() };
        let (pace, slow) = (Pace::default(), Duration::from_secs(5));
        let fill = |took: Duration, window: u64| {
            for _ in 0..RESPONSES {
                pace.took(&config, took, pace.most(), Moment(window * 100));
            }
        };
        (1..40).for_each(|window| fill(Duration::from_millis(1), window));
        assert_eq!(pace.most(), 30);
        let fewest = (40..100).map(|window| {
            fill(slow, window);
            pace.most()
        });
        assert!(fewest.min() <= Some(16), "until it is known that it is slow anyway");
        (100..1000).for_each(|window| {
            fill(slow.mul_f64(1.0 + fastrand::f64()), window);
            assert!((8..=30).contains(&pace.most()));
        });
    }
}
