//! How long the responses of an endpoint take: a mean that forgets, and minds peaks at once.

use super::clock::Moment;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How long it takes to forget a peak but for a third.
const FORGETS: Duration = Duration::from_secs(10);
/// A failed attempt counts as one that took so long at least: who fails fast is not fast.
const FAILED: Duration = Duration::from_secs(1);

/// An exponentially weighted moving average that a longer time replaces at once.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// Nanoseconds, as the bits of a float; 0 while nothing is known.
    mean: AtomicU64,
    /// The moment when it was learned.
    at: AtomicU64,
}

impl Latency {
    /// A response took so long.
    pub(super) fn took(&self, time: Duration, now: Moment) {
        let took = time.as_nanos() as f64;
        let mean = f64::from_bits(self.mean.load(Relaxed));
        let next = if took > mean { took } else { took + (mean - took) * self.kept(now) };
        // Of two at once, one may be lost: it is a mean.
        self.mean.store(next.to_bits(), Relaxed);
        self.at.store(now.0, Relaxed);
    }

    /// An attempt failed after so long.
    pub(super) fn failed(&self, time: Duration, now: Moment) {
        self.took(time.max(FAILED), now);
    }

    /// Nanoseconds that a further request takes as far as is known, with so many in flight.
    pub(super) fn cost(&self, in_flight: usize, now: Moment) -> f64 {
        // Who is not known yet is known by its first response: it gets one at a time.
        let mean = match self.mean.load(Relaxed) {
            0 if in_flight > 0 => FAILED.as_nanos() as f64,
            0 => 1.0,
            _ => self.after(now).max(1.0),
        };
        mean * (in_flight as f64 + 1.0)
    }

    /// The mean, of which the longer nothing is learned the less is left.
    fn after(&self, now: Moment) -> f64 {
        f64::from_bits(self.mean.load(Relaxed)) * self.kept(now)
    }

    fn kept(&self, now: Moment) -> f64 {
        let elapsed = now.since(Moment(self.at.load(Relaxed)));
        (-elapsed.as_secs_f64() / FORGETS.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_peak_is_known_at_once_and_forgotten_slowly() {
        let (latency, now) = (Latency::default(), Moment(5));
        (0..100).for_each(|_| latency.took(MS, now));
        let usual = latency.cost(0, now);
        assert!((0.9e6..1.1e6).contains(&usual), "{usual}");
        latency.took(100 * MS, now);
        assert!(latency.cost(0, now) > 99e6);
        let later = now.after(Duration::from_secs(10));
        latency.took(MS, later);
        let forgotten = latency.cost(0, later);
        assert!((10e6..40e6).contains(&forgotten), "{forgotten}");
    }

    #[test]
    fn what_is_in_flight_costs_as_much_again() {
        let (latency, now) = (Latency::default(), Moment(5));
        latency.took(MS, now);
        assert!((latency.cost(3, now) / latency.cost(0, now) - 4.0).abs() < 0.01);
    }

    #[test]
    fn who_fails_fast_is_not_fast() {
        let (latency, now) = (Latency::default(), Moment(5));
        latency.failed(MS, now);
        assert!(latency.cost(0, now) >= 0.99e9);
    }

    #[test]
    fn who_is_not_known_gets_one_at_first() {
        let (latency, now) = (Latency::default(), Moment(5));
        assert!(latency.cost(0, now) < 10.0 && latency.cost(1, now) > 1e9);
    }
}
