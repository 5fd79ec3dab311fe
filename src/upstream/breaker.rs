//! A circuit breaker: an endpoint that failed gets no requests for a while, and then one to try.

use super::clock::Moment;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The circuit breaker of one endpoint; it takes no lock, because every pick may ask it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    /// Until when it is open; 0 is closed.
    until: AtomicU64,
    /// Whether one request tries.
    is_tried: AtomicBool,
}

/// What a circuit breaker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// It lets everything through.
    Closed,
    /// It refuses everything.
    Open,
    /// It lets one request try, and then closes or opens again.
    HalfOpen,
}

impl Breaker {
    /// Whether a request may go through.
    pub(super) fn admits(&self, now: Moment) -> bool {
        self.circuit(now) != Circuit::Open && !self.is_tried.load(Relaxed)
    }

    /// Has one request try; false if it is not time yet, or another one does.
    pub(super) fn begin_trial(&self, now: Moment) -> bool {
        self.circuit(now) == Circuit::HalfOpen
            && self.is_tried.compare_exchange(false, true, Relaxed, Relaxed).is_ok()
    }

    /// The request that tried ended without telling anything.
    pub(super) fn tells_nothing(&self) {
        self.is_tried.store(false, Relaxed);
    }

    pub(super) fn open(&self, until: Moment) {
        self.until.store(until.0.max(1), Relaxed);
        self.is_tried.store(false, Relaxed);
    }

    pub(super) fn close(&self) {
        self.until.store(0, Relaxed);
        self.is_tried.store(false, Relaxed);
    }

    /// When a request may try.
    pub(super) fn opens_at(&self) -> Moment {
        Moment(self.until.load(Relaxed))
    }

    pub(super) fn circuit(&self, now: Moment) -> Circuit {
        match self.until.load(Relaxed) {
            0 => Circuit::Closed,
            until if now.0 < until => Circuit::Open,
            _ => Circuit::HalfOpen,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_tries_when_the_time_is_over() {
        let breaker = Breaker::default();
        assert!(breaker.admits(Moment(5)));
        breaker.open(Moment(10));
        assert_eq!(breaker.circuit(Moment(9)), Circuit::Open);
        assert!(!breaker.admits(Moment(9)) && !breaker.begin_trial(Moment(9)));
        assert_eq!(breaker.circuit(Moment(10)), Circuit::HalfOpen);
        assert!(breaker.admits(Moment(10)) && breaker.begin_trial(Moment(10)));
        assert!(!breaker.admits(Moment(10)) && !breaker.begin_trial(Moment(10)), "one is enough");
    }

    #[test]
    fn what_it_learns_decides() {
        let breaker = Breaker::default();
        breaker.open(Moment(10));
        assert!(breaker.begin_trial(Moment(11)));
        breaker.tells_nothing();
        assert!(breaker.begin_trial(Moment(12)), "the next one tries");
        breaker.open(Moment(30));
        assert!(!breaker.admits(Moment(20)));
        assert!(breaker.begin_trial(Moment(30)));
        breaker.close();
        assert_eq!(breaker.circuit(Moment(31)), Circuit::Closed);
        assert!(breaker.admits(Moment(31)));
    }
}
