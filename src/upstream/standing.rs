//! Whether an endpoint may be picked at the moment.

use super::breaker::{Breaker, Circuit};
use super::clock::Moment;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

/// What speaks against an endpoint: nothing, most of the time, and then a pick reads one byte.
#[derive(Debug)]
pub struct Standing {
    doubts: AtomicU8,
    /// Asked only while it is not closed.
    breaker: Breaker,
    /// Another number for each time that it came to be, or fell ill.
    era: AtomicU32,
}

static ERAS: AtomicU32 = AtomicU32::new(0);

/// Its health check has had no result yet.
const UNCHECKED: u8 = 1;
/// Its health check failed.
const UNHEALTHY: u8 = 1 << 1;
/// Its circuit breaker is not closed.
const EJECTED: u8 = 1 << 2;
/// It is to get no further requests.
const DRAINING: u8 = 1 << 3;

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
        let (doubts, breaker) = Default::default();
        Self { doubts, breaker, era: AtomicU32::new(next_era()) }
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

    /// Whether it may be picked.
    pub(super) fn is_good(&self, now: Moment) -> bool {
        match self.doubts.load(Relaxed) {
            0 => true,
            EJECTED => self.breaker.admits(now),
            _ => false,
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
        self.doubts.fetch_and(!EJECTED, Relaxed);
        self.breaker.close();
    }

    /// What its circuit breaker does.
    pub(super) fn circuit(&self, now: Moment) -> Circuit {
        self.breaker.circuit(now)
    }

    /// How long until a request may try.
    pub(super) fn tries_in(&self, now: Moment) -> Duration {
        self.breaker.opens_at().since(now)
    }

    /// Has it get no further requests, or again.
    pub(super) fn drain(&self, is_draining: bool) {
        match is_draining {
            true => self.doubts.fetch_or(DRAINING, Relaxed),
            false => self.doubts.fetch_and(!DRAINING, Relaxed),
        };
    }

    /// Whether it gets no further requests.
    pub fn is_draining(&self) -> bool {
        self.doubts.load(Relaxed) & DRAINING != 0
    }
}
