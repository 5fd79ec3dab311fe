//! Which endpoint has which connection of SignalR.

use super::config::SignalR;
use crate::upstream::clock::{Moment, millis};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use xxhash_rust::xxh3::xxh3_64;

/// As many locks: cores that look something up seldom meet at one.
const SHARDS: usize = 256;

/// The connections of an upstream, as many as it may keep in mind: hashes only, of which each takes at
/// most 64 bytes.
#[derive(Debug)]
pub(super) struct Learned {
    shards: Box<[RwLock<Shard>]>,
    /// How many a shard may hold.
    most: AtomicU32,
    /// Milliseconds.
    forget_after: AtomicU64,
}

type Shard = HashMap<u64, Entry, foldhash::fast::RandomState>;

#[derive(Debug)]
struct Entry {
    /// The number of its endpoint.
    endpoint: u64,
    /// When it was asked for last, in seconds.
    used: AtomicU32,
}

impl Learned {
    /// No connection yet.
    pub(super) fn new(bounds: SignalR) -> Self {
        let learned = Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            most: AtomicU32::new(0),
            forget_after: AtomicU64::new(0),
        };
        learned.bound(bounds);
        learned
    }

    /// Keeps so many in mind from now on, each for so long after it was asked for.
    pub(super) fn bound(&self, bounds: SignalR) {
        self.most.store(bounds.capacity.div_ceil(SHARDS as u32), Relaxed);
        self.forget_after.store(millis(bounds.forget_after.0), Relaxed);
        let most = self.most();
        for shard in &self.shards {
            let mut shard = shard.write();
            while shard.len() > most {
                forget_oldest(&mut shard);
            }
            shard.shrink_to(most);
        }
    }

    /// The number of the endpoint that has a connection.
    pub(super) fn find(&self, id: &str, now: Moment) -> Option<u64> {
        let hash = xxh3_64(id.as_bytes());
        let shard = self.shard(hash)?.read();
        let entry = shard.get(&hash)?;
        if self.is_over(entry, now) {
            return None;
        }
        entry.used.store(seconds(now), Relaxed);
        Some(entry.endpoint)
    }

    /// A connection is at the endpoint of this number.
    pub(super) fn insert(&self, id: &str, endpoint: u64, now: Moment) {
        let hash = xxh3_64(id.as_bytes());
        let Some(shard) = self.shard(hash) else { return };
        let mut shard = shard.write();
        if shard.len() == shard.capacity() || shard.len() >= self.most() {
            shard.retain(|_, entry| !self.is_over(entry, now));
        }
        if shard.len() >= self.most() && !shard.contains_key(&hash) {
            forget_oldest(&mut shard);
        }
        shard.insert(hash, Entry { endpoint, used: AtomicU32::new(seconds(now)) });
    }

    fn shard(&self, hash: u64) -> Option<&RwLock<Shard>> {
        // The remainder is below their number, which fits.
        self.shards.get((hash % SHARDS as u64) as usize)
    }

    fn most(&self) -> usize {
        self.most.load(Relaxed) as usize
    }

    fn is_over(&self, entry: &Entry, now: Moment) -> bool {
        let used = Moment(u64::from(entry.used.load(Relaxed)) * 1000);
        now.since(used).as_millis() > u128::from(self.forget_after.load(Relaxed)) + 1000
    }
}

fn forget_oldest(shard: &mut Shard) {
    let oldest = shard.iter().min_by_key(|(_, entry)| entry.used.load(Relaxed));
    if let Some(hash) = oldest.map(|(hash, _)| *hash) {
        shard.remove(&hash);
    }
}

fn seconds(now: Moment) -> u32 {
    u32::try_from(now.0 / 1000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Duration;

    fn at(seconds: u64) -> Moment {
        Moment(seconds * 1000)
    }

    fn learned(capacity: u32, forget_after: u64) -> Learned {
        Learned::new(SignalR { capacity, forget_after: Duration::secs(forget_after) })
    }

    fn count(learned: &Learned) -> usize {
        learned.shards.iter().map(|shard| shard.read().len()).sum()
    }

    #[test]
    fn a_connection_is_found_at_its_endpoint() {
        let learned = learned(1000, 60);
        learned.insert("a", 1, at(0));
        learned.insert("b", 2, at(0));
        assert_eq!(learned.find("a", at(1)), Some(1));
        assert_eq!(learned.find("b", at(1)), Some(2));
        assert_eq!(learned.find("c", at(1)), None);
        learned.insert("a", 3, at(1));
        assert_eq!(learned.find("a", at(1)), Some(3));
    }

    #[test]
    fn one_that_is_asked_for_stays() {
        let learned = learned(1000, 60);
        learned.insert("used", 1, at(0));
        learned.insert("silent", 2, at(0));
        for now in [50, 100, 150] {
            assert_eq!(learned.find("used", at(now)), Some(1));
        }
        assert_eq!(learned.find("silent", at(150)), None);
    }

    #[test]
    fn memory_is_bounded_and_the_silent_go_first() {
        let learned = learned(512, 60);
        for n in 0..100_000_u64 {
            learned.insert(&n.to_string(), n, at(n / 1000));
        }
        assert!(count(&learned) <= 512, "{}", count(&learned));
        let last = (99_000..100_000).filter(|n| learned.find(&n.to_string(), at(100)) == Some(*n));
        assert!(last.count() >= 400, "of the last thousand nearly all that it may hold");
        // Each entry, its control byte, and room for as many again.
        assert!(2 * (size_of::<(u64, Entry)>() + 1) <= 64);
    }

    #[test]
    fn what_is_over_makes_room() {
        let learned = learned(100_000, 60);
        for n in 0..50_000_u64 {
            learned.insert(&n.to_string(), n, at(0));
        }
        for n in 50_000..100_000_u64 {
            learned.insert(&n.to_string(), n, at(1000));
        }
        assert!(count(&learned) < 90_000, "{}", count(&learned));
    }

    #[test]
    fn a_smaller_bound_holds_at_once() {
        let learned = learned(100_000, 60);
        for n in 0..10_000_u64 {
            learned.insert(&n.to_string(), n, at(n / 100));
        }
        learned.bound(SignalR { capacity: 256, forget_after: Duration::secs(60) });
        assert!(count(&learned) <= 256);
    }
}
