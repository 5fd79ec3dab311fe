//! Whether an endpoint may be picked at the moment.

use super::breaker::{Breaker, Circuit};
use super::clock::{Moment, millis};
use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
use std::time::{Duration, Instant};

/// What speaks against an endpoint: nothing, most of the time, and then a pick reads one byte.
#[derive(Debug)]
pub struct Standing {
    doubts: AtomicU8,
    /// Asked only while it is not closed.
    breaker: Breaker,
    /// Another number for each time that it came to be, or fell ill.
    era: AtomicU32,
    /// Since when it is new, or well again; asked only while it is fresh.
    fresh_since: AtomicU64,
    /// How long it is fresh, in milliseconds.
    slow_start: AtomicU64,
    /// Until when it keeps its clients while it drains.
    keeps_until: AtomicU64,
}

static ERAS: AtomicU32 = AtomicU32::new(0);

/// Its health check has had no result yet.
const UNCHECKED: u8 = 1;
/// Its health check failed.
const UNHEALTHY: u8 = 1 << 1;
/// Its circuit breaker is not closed.
const EJECTED: u8 = 1 << 2;
/// It is to get no further requests but those of its clients, and for a while only.
const DRAINING: u8 = 1 << 3;
/// It is new, or well again, and not yet to get its whole share: the only doubt that leaves it some.
const FRESH: u8 = 1 << 4;

/// What a fresh endpoint gets of its share at least, in thousandths.
const LEAST_SHARE: u64 = 100;
/// The whole share.
pub(super) const WHOLE: u64 = 1000;
/// In the place of a time: no document has said how long it is fresh.
const UNKNOWN: u64 = u64::MAX;

/// What health checks know of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It passed, or nobody checks it.
    Healthy,
    /// It is checked for the first time.
    Unchecked,
    /// It failed.
    Unhealthy,
}

impl Default for Standing {
    fn default() -> Self {
        let (doubts, breaker, fresh_since, keeps_until) = Default::default();
        let (era, slow_start) = (AtomicU32::new(next_era()), AtomicU64::new(UNKNOWN));
        Self { doubts, breaker, era, fresh_since, slow_start, keeps_until }
    }
}

fn next_era() -> u32 {
    ERAS.fetch_add(1, Relaxed)
}

impl Standing {
    /// Connections of an earlier era are not used again: what is wrong may be theirs.
    pub(super) fn era(&self) -> u32 {
        self.era.load(Relaxed)
    }

    /// Whether it may be picked; if it is fresh, by a request that drew a number from 0 to below
    /// [`WHOLE`] that is within its share.
    pub(super) fn is_good(&self, now: Moment, drawn: u64) -> bool {
        let doubts = self.doubts.load(Relaxed);
        if doubts == 0 {
            return true;
        }
        match doubts & !FRESH {
            0 => drawn < self.share(now),
            EJECTED => self.breaker.admits(now),
            _ => false,
        }
    }

    /// What it gets of its share now, in thousandths.
    pub(super) fn share(&self, now: Moment) -> u64 {
        if self.doubts.load(Relaxed) & FRESH == 0 {
            return WHOLE;
        }
        let elapsed = millis(now.since(Moment(self.fresh_since.load(Relaxed))));
        let slow_start = self.slow_start.load(Relaxed);
        if elapsed >= slow_start {
            self.doubts.fetch_and(!FRESH, Relaxed);
            return WHOLE;
        }
        (elapsed.saturating_mul(WHOLE) / slow_start).max(LEAST_SHARE)
    }

    /// How long it is fresh from now on whenever it is well again; if it was not known before, it
    /// is that now.
    pub(super) fn starts_slowly(&self, slow_start: Duration) {
        let is_new = self.slow_start.swap(millis(slow_start), Relaxed) == UNKNOWN;
        if is_new {
            self.is_fresh();
        }
    }

    /// It is fresh since then.
    #[cfg(test)]
    pub(super) fn begins_at(&self, moment: Moment) {
        self.fresh_since.store(moment.0, Relaxed);
    }

    /// It is new, or well again.
    fn is_fresh(&self) {
        if !matches!(self.slow_start.load(Relaxed), 0 | UNKNOWN) {
            self.fresh_since.store(Moment::of(Instant::now()).0, Relaxed);
            self.doubts.fetch_or(FRESH, Relaxed);
        }
    }

    /// Whether it may be picked where no other one is left.
    pub(super) fn is_wanted(&self) -> bool {
        self.doubts.load(Relaxed) & DRAINING == 0
    }

    /// Notes what its health checks know now; true if they knew something else.
    pub(super) fn checked(&self, health: Health) -> bool {
        let before = self.health();
        let doubt = match health {
            Health::Healthy => 0,
            Health::Unchecked => UNCHECKED,
            Health::Unhealthy => UNHEALTHY,
        };
        // One task checks; other doubts are not touched.
        self.doubts.fetch_and(!(UNCHECKED | UNHEALTHY) | doubt, Relaxed);
        self.doubts.fetch_or(doubt, Relaxed);
        if health == Health::Unhealthy && before != health {
            self.era.store(next_era(), Relaxed);
        }
        if health == Health::Healthy && before != health {
            self.is_fresh();
        }
        before != health
    }

    /// What its health checks know.
    pub fn health(&self) -> Health {
        match self.doubts.load(Relaxed) {
            doubts if doubts & UNHEALTHY != 0 => Health::Unhealthy,
            doubts if doubts & UNCHECKED != 0 => Health::Unchecked,
            _ => Health::Healthy,
        }
    }

    /// Whether outlier detection has taken it out.
    pub(super) fn is_ejected(&self) -> bool {
        self.doubts.load(Relaxed) & EJECTED != 0
    }

    /// Has a request try whether it serves again; false if it is not the time for that.
    pub(super) fn begin_trial(&self, now: Moment) -> bool {
        self.breaker.begin_trial(now)
    }

    /// The request that tried ended without telling anything.
    pub(super) fn tells_nothing(&self) {
        self.breaker.tells_nothing();
    }

    pub(super) fn eject(&self, until: Moment) {
        self.breaker.open(until);
        self.era.store(next_era(), Relaxed);
        self.doubts.fetch_or(EJECTED, Relaxed);
    }

    pub(super) fn readmit(&self) {
        let before = self.doubts.fetch_and(!EJECTED, Relaxed);
        self.breaker.close();
        if before & EJECTED != 0 {
            self.is_fresh();
        }
    }

    /// What its circuit breaker does.
    pub(super) fn circuit(&self, now: Moment) -> Circuit {
        self.breaker.circuit(now)
    }

    /// How long until a request may try.
    pub(super) fn tries_in(&self, now: Moment) -> Duration {
        self.breaker.opens_at().since(now)
    }

    /// Whether it gets requests of clients that belong to it, fresh or not. One that was not
    /// checked yet does: who has been there knows it.
    pub(super) fn keeps(&self, now: Moment) -> bool {
        let doubts = self.doubts.load(Acquire);
        let is_kept = doubts & DRAINING == 0 || now < self.keeps_until();
        match doubts & !(DRAINING | UNCHECKED | FRESH) {
            0 => is_kept,
            EJECTED => is_kept && self.breaker.admits(now),
            _ => false,
        }
    }

    /// Until when it keeps its clients while it drains.
    pub(super) fn keeps_until(&self) -> Moment {
        Moment(self.keeps_until.load(Relaxed))
    }

    /// Has it get no further requests, but those of its clients until then.
    pub(super) fn drain(&self, keeps_until: Moment) {
        self.keeps_until.store(keeps_until.0, Relaxed);
        self.doubts.fetch_or(DRAINING, Release);
    }

    /// Has it get requests again.
    pub(super) fn resume(&self) {
        if self.doubts.fetch_and(!DRAINING, Relaxed) & DRAINING != 0 {
            self.is_fresh();
        }
    }

    /// Whether it gets no further requests.
    pub fn is_draining(&self) -> bool {
        self.doubts.load(Relaxed) & DRAINING != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN_SECONDS: Duration = Duration::from_secs(10);

    fn fresh() -> (Standing, Moment) {
        let standing = Standing::default();
        standing.starts_slowly(TEN_SECONDS);
        let began = Moment(standing.fresh_since.load(Relaxed));
        (standing, began)
    }

    #[test]
    fn who_is_new_gets_its_share_little_by_little() {
        let (standing, began) = fresh();
        let share = |secs| standing.share(began.after(Duration::from_secs(secs)));
        assert_eq!([0, 1, 5, 9, 10, 11].map(share), [100, 100, 500, 900, 1000, 1000]);
        let middle = began.after(TEN_SECONDS / 2);
        let (standing, _) = fresh();
        assert!(standing.is_good(middle, 499) && !standing.is_good(middle, 500));
    }

    #[test]
    fn a_document_that_follows_begins_nothing_anew() {
        let (standing, began) = fresh();
        let over = began.after(TEN_SECONDS);
        assert_eq!(standing.share(over), WHOLE);
        standing.starts_slowly(2 * TEN_SECONDS);
        assert_eq!(standing.share(over), WHOLE);
    }

    #[test]
    fn who_is_well_again_begins_anew() {
        type Act = fn(&Standing);
        let falls: [(Act, Act); 3] = [
            (|s| _ = s.checked(Health::Unhealthy), |s| _ = s.checked(Health::Healthy)),
            (|s| s.eject(Moment(1)), Standing::readmit),
            (|s| s.drain(Moment(0)), Standing::resume),
        ];
        for (falls, rises) in falls {
            let (standing, began) = fresh();
            let over = began.after(TEN_SECONDS);
            assert_eq!(standing.share(over), WHOLE);
            falls(&standing);
            rises(&standing);
            assert_eq!(standing.doubts.load(Relaxed), FRESH);
        }
    }

    #[test]
    fn clients_are_kept_until_the_deadline_of_a_drain() {
        let standing = Standing::default();
        standing.drain(Moment(1000));
        assert!(standing.keeps(Moment(999)) && !standing.keeps(Moment(1000)));
        assert!(!standing.is_good(Moment(999), 0));
        standing.drain(Moment(500));
        assert!(!standing.keeps(Moment(999)), "it can be said anew");
        standing.resume();
        assert!(standing.keeps(Moment(1000)) && standing.is_good(Moment(1000), 0));
    }

    #[test]
    fn who_is_unhealthy_or_out_keeps_nobody() {
        let standing = Standing::default();
        standing.checked(Health::Unchecked);
        assert!(standing.keeps(Moment(0)));
        standing.checked(Health::Unhealthy);
        assert!(!standing.keeps(Moment(0)));
        standing.checked(Health::Healthy);
        standing.eject(Moment(1000));
        assert!(!standing.keeps(Moment(999)) && standing.keeps(Moment(1000)), "one may try");
        standing.drain(Moment(1500));
        assert!(standing.keeps(Moment(1499)) && !standing.keeps(Moment(1500)));
    }

    #[test]
    fn without_a_slow_start_nobody_is_fresh() {
        let standing = Standing::default();
        standing.starts_slowly(Duration::ZERO);
        standing.checked(Health::Unhealthy);
        standing.checked(Health::Healthy);
        assert_eq!(standing.doubts.load(Relaxed), 0);
    }
}
