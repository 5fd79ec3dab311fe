//! Whether a client sends and takes bodies fast enough.
//!
//! Only the time in which the edge waits for the client counts. Over all of that time the client
//! must have moved so many bytes per second on average; so what it moved before makes up for a
//! pause, and holding an exchange open costs a slow client as many bytes as an honest one.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};

const NEVER: u64 = u64::MAX;
/// How long a client may be waited for before its rate counts, in milliseconds.
const GRACE: u64 = 5_000;

/// What the client is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Way {
    /// To send more of its request's body.
    Upload = 1,
    /// To take more of its response.
    Download = 2,
}

/// Why a client need not send at any rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Excuse {
    /// It waits to be asked for its body (RFC 9110, 10.1.1).
    Unasked = 1,
    /// Its body is a stream of messages, which come when there are some.
    Messages = 2,
}

/// The least rate of an exchange, and what its client did so far, each in the order of [`Way`].
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Bytes per second, 0 for no minimum.
    least: AtomicU64,
    /// Since when the client is waited for, in milliseconds.
    since: AtomicU64,
    /// Bytes that the client certainly moved.
    moved: [AtomicU64; 2],
    /// For how long the client was waited for until now, in milliseconds: seven weeks at most.
    waited: [AtomicU32; 2],
    /// The [`Way`] in which the client is waited for, 0 for none.
    way: AtomicU8,
    /// The [`Excuse`] for its upload, 0 for none.
    excuse: AtomicU8,
}

impl Pace {
    /// Begins an exchange with its least rate.
    pub(super) fn begin(&self, least: Option<u64>) {
        self.least.store(least.unwrap_or(0), Relaxed);
        self.way.store(0, Relaxed);
        self.excuse.store(0, Relaxed);
        for way in [Way::Upload, Way::Download] {
            self.waited(way).store(0, Relaxed);
            self.moved_by(way).store(0, Relaxed);
        }
    }

    /// Asks for no rate any more.
    pub(super) fn forgive(&self) {
        self.least.store(0, Relaxed);
    }

    pub(super) fn excuse(&self, excuse: Excuse) {
        self.excuse.store(excuse as u8, Relaxed);
    }

    /// The client was asked for its body, or sends it unasked.
    pub(super) fn asked(&self) {
        if self.excuse.load(Relaxed) == Excuse::Unasked as u8 {
            self.excuse.store(0, Relaxed);
        }
    }

    /// The client is waited for.
    pub(super) fn wait(&self, way: Way, now: impl Fn() -> u64) {
        if self.way.load(Relaxed) == way as u8 {
            return;
        }
        self.rest(&now);
        self.since.store(now(), Relaxed);
        self.way.store(way as u8, Relaxed);
    }

    /// The client is not waited for; true if it was.
    pub(super) fn rest(&self, now: impl Fn() -> u64) -> bool {
        let Some(way) = self.way() else { return false };
        let waited = self.waited(way);
        let passed = now().saturating_sub(self.since.load(Relaxed));
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        waited.store(waited.load(Relaxed).saturating_add(passed), Relaxed);
        self.way.store(0, Relaxed);
        true
    }

    /// The client moved so many bytes.
    pub(super) fn moved(&self, way: Way, length: usize) {
        let moved = self.moved_by(way);
        moved.store(moved.load(Relaxed).saturating_add(length as u64), Relaxed);
        if way == Way::Upload && length > 0 {
            self.asked();
        }
    }

    /// The client took so many bytes of the response in all; true if that is news.
    pub(super) fn took(&self, all: u64) -> bool {
        let is_more = all > self.moved_by(Way::Download).load(Relaxed);
        if is_more {
            self.moved_by(Way::Download).store(all, Relaxed);
        }
        is_more
    }

    /// What the client is waited for.
    pub(super) fn way(&self) -> Option<Way> {
        match self.way.load(Relaxed) {
            1 => Some(Way::Upload),
            2 => Some(Way::Download),
            _ => None,
        }
    }

    /// When the client will have been too slow, if it moves nothing more.
    pub(super) fn due(&self) -> u64 {
        let least = self.least.load(Relaxed);
        let Some(way) = self.way().filter(|way| least > 0 && !self.is_excused(*way)) else {
            return NEVER;
        };
        let earned = self.moved_by(way).load(Relaxed).saturating_mul(1000) / least;
        let left = earned.max(GRACE).saturating_sub(self.waited(way).load(Relaxed).into());
        self.since.load(Relaxed).saturating_add(left)
    }

    fn is_excused(&self, way: Way) -> bool {
        way == Way::Upload && self.excuse.load(Relaxed) != 0
    }

    fn moved_by(&self, way: Way) -> &AtomicU64 {
        let [upload, download] = &self.moved;
        match way {
            Way::Upload => upload,
            Way::Download => download,
        }
    }

    fn waited(&self, way: Way) -> &AtomicU32 {
        let [upload, download] = &self.waited;
        match way {
            Way::Upload => upload,
            Way::Download => download,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(least: u64) -> Pace {
        let pace = Pace::default();
        pace.begin(Some(least));
        pace
    }

    #[test]
    fn the_rate_counts_after_the_grace() {
        let pace = pace(100);
        pace.wait(Way::Upload, || 1_000);
        assert_eq!(pace.due(), 1_000 + GRACE);
        pace.moved(Way::Upload, 300);
        assert_eq!(pace.due(), 1_000 + GRACE, "three seconds' worth is within the grace");
        pace.moved(Way::Upload, 500);
        assert_eq!(pace.due(), 1_000 + 8_000, "eight seconds' worth is not");
    }

    #[test]
    fn only_the_time_of_waiting_counts() {
        let pace = pace(100);
        pace.wait(Way::Upload, || 0);
        assert!(pace.rest(|| 4_000));
        assert_eq!(pace.due(), NEVER, "nobody waits for the client");
        pace.wait(Way::Upload, || 60_000);
        assert_eq!(pace.due(), 61_000, "one second of the grace is left");
        pace.wait(Way::Upload, || 60_500);
        assert_eq!(pace.due(), 61_000, "it is waited for already");
    }

    #[test]
    fn each_way_has_a_time_of_its_own() {
        let pace = pace(100);
        pace.wait(Way::Upload, || 0);
        pace.wait(Way::Download, || 4_000);
        assert_eq!(pace.due(), 4_000 + GRACE);
        pace.wait(Way::Upload, || 5_000);
        assert_eq!(pace.due(), 6_000);
    }

    #[test]
    fn what_was_taken_before_makes_up_for_a_pause() {
        let pace = pace(100);
        pace.wait(Way::Download, || 0);
        assert!(pace.took(6_000) && !pace.took(6_000) && !pace.took(5_000));
        assert_eq!(pace.due(), 60_000);
    }

    #[test]
    fn a_client_that_was_not_asked_need_not_send() {
        let pace = pace(100);
        pace.excuse(Excuse::Unasked);
        pace.wait(Way::Upload, || 0);
        assert_eq!(pace.due(), NEVER);
        pace.asked();
        assert_eq!(pace.due(), GRACE);

        pace.excuse(Excuse::Unasked);
        pace.moved(Way::Upload, 1);
        assert_eq!(pace.due(), GRACE, "it sends unasked");

        pace.excuse(Excuse::Messages);
        pace.asked();
        pace.moved(Way::Upload, 1);
        assert_eq!(pace.due(), NEVER, "messages come when there are some");
    }

    #[test]
    fn without_a_least_rate_nothing_is_due() {
        let pace = Pace::default();
        pace.begin(None);
        pace.wait(Way::Download, || 0);
        assert_eq!((pace.due(), pace.way()), (NEVER, Some(Way::Download)));
    }
}
