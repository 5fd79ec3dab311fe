//! Idle connections: when each became idle, and how those that are overdue end.
//!
//! A timer for each idle period would cost heap and a lock for each request. Here going idle and
//! busy is one atomic store each; a sweeper looks at the table once a second and shuts the read
//! side of overdue sockets down, so that their tasks read the end and leave by the normal way.

use nix::sys::socket::{Shutdown, shutdown};
use parking_lot::Mutex;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

const SHARDS: usize = 16;
const BUSY: u32 = 0;
const ENDED: u32 = u32::MAX;
/// Idle since a second that never comes: no time is up for it, and only a sweep of all ends it.
const UNUSED: u32 = u32::MAX - 1;

/// The connections of a listener.
#[derive(Debug, Default)]
pub(super) struct Table {
    shards: [Mutex<Shard>; SHARDS],
    /// The next shard to take a connection.
    next: AtomicUsize,
    /// Coarse seconds, from 1; the sweeper counts.
    now: AtomicU32,
}

/// The connections of a listener at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// How many are open.
    pub open: u64,
    /// How many of them are not waiting for a next request: exchanges, streams and tunnels, and
    /// every one that speaks HTTP/2.
    pub busy: u64,
    /// The age of the oldest, in seconds.
    pub oldest: u64,
}

/// Seconds since the first connection of the process.
fn seconds() -> u32 {
    static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
    u32::try_from(FIRST.elapsed().as_secs()).unwrap_or(u32::MAX)
}

#[derive(Debug, Default)]
struct Shard {
    entries: Vec<Option<Arc<Entry>>>,
    free: Vec<usize>,
}

#[derive(Debug)]
struct Entry {
    descriptor: RawFd,
    /// The second of [`seconds`] in which it came.
    came: u32,
    /// `BUSY`, `ENDED`, `UNUSED`, or the second since when it is idle.
    state: AtomicU32,
}

/// A connection's place in the table; it leaves when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    table: Arc<Table>,
    entry: Arc<Entry>,
    shard: usize,
    index: usize,
}

impl Table {
    /// A place for a socket, busy at first.
    pub(super) fn enter(self: &Arc<Self>, descriptor: RawFd) -> Slot {
        let entry = Arc::new(Entry { descriptor, came: seconds(), state: AtomicU32::new(BUSY) });
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut index = 0;
        if let Some(shard) = self.shards.get(shard) {
            let mut shard = shard.lock();
            index = shard.free.pop().unwrap_or(shard.entries.len());
            match shard.entries.get_mut(index) {
                Some(place) => *place = Some(entry.clone()),
                None => shard.entries.push(Some(entry.clone())),
            }
        }
        Slot { table: self.clone(), entry, shard, index }
    }

    /// Counts a second; call it once each.
    pub(super) fn tick(&self) {
        self.now.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the connections that have been idle for at least so many seconds.
    pub(super) fn sweep(&self, at_least: u32) {
        let now = self.now.load(Ordering::Relaxed) + 1;
        for shard in &self.shards {
            // Held across shutdown(2): a slot leaves under this lock before its socket closes, so
            // the number cannot be another socket's.
            for entry in shard.lock().entries.iter().flatten() {
                entry.end_if_idle(now, at_least);
            }
        }
    }

    /// What is open now.
    pub(super) fn open(&self) -> Connections {
        let (now, mut found) = (seconds(), Connections::default());
        for shard in &self.shards {
            for entry in shard.lock().entries.iter().flatten() {
                found.open += 1;
                found.busy += u64::from(entry.state.load(Ordering::Relaxed) == BUSY);
                found.oldest = found.oldest.max(u64::from(now.saturating_sub(entry.came)));
            }
        }
        found
    }

    /// Ends all connections, whatever they do.
    pub(super) fn cut(&self) {
        for shard in &self.shards {
            for entry in shard.lock().entries.iter().flatten() {
                // As above: the number cannot be another socket's.
                let _ = shutdown(entry.descriptor, Shutdown::Both);
            }
        }
    }
}

impl Entry {
    fn end_if_idle(&self, now: u32, at_least: u32) {
        let state = self.state.load(Ordering::Relaxed);
        if state == BUSY || state == ENDED || now.saturating_sub(state) < at_least {
            return;
        }
        let ended = self.state.compare_exchange(state, ENDED, Ordering::AcqRel, Ordering::Relaxed);
        if ended.is_ok() {
            // The peer may have gone already; there is nothing to do about it.
            let _ = shutdown(self.descriptor, Shutdown::Read);
        }
    }
}

impl Slot {
    /// Says that the connection waits for its next request.
    pub(super) fn idle(&self) {
        // One more than the clock, so that it is never `BUSY`.
        let now = self.table.now.load(Ordering::Relaxed) + 1;
        self.entry.state.store(now, Ordering::Release);
    }

    /// Says that the connection waits for its first request, which has a time of its own.
    pub(super) fn unused(&self) {
        self.entry.state.store(UNUSED, Ordering::Release);
    }

    /// Says that it is in use again; false if the sweeper was faster.
    pub(super) fn busy(&self) -> bool {
        self.entry.state.swap(BUSY, Ordering::AcqRel) != ENDED
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(shard) = self.table.shards.get(self.shard) {
            let mut shard = shard.lock();
            if let Some(place) = shard.entries.get_mut(self.index) {
                *place = None;
            }
            shard.free.push(self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;

    fn connection(table: &Arc<Table>) -> (UnixStream, UnixStream, Slot) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let slot = table.enter(ours.as_raw_fd());
        (ours, theirs, slot)
    }

    fn has_ended(mut stream: &UnixStream) -> bool {
        stream.read(&mut [0]).is_ok_and(|n| n == 0)
    }

    #[test]
    fn only_the_overdue_idle_ones_end() {
        let table = Arc::new(Table::default());
        let (busy, _peer1, _slot1) = connection(&table);
        let (old, _peer2, slot2) = connection(&table);
        slot2.idle();
        (0..5).for_each(|_| table.tick());
        let (young, _peer3, slot3) = connection(&table);
        slot3.idle();
        table.sweep(5);
        assert!(!has_ended(&busy) && has_ended(&old) && !has_ended(&young));
        assert!(!slot2.busy(), "the sweeper was faster");
        assert!(slot3.busy());
    }

    #[test]
    fn an_unused_one_ends_with_all_others_only() {
        let table = Arc::new(Table::default());
        let (unused, _peer, slot) = connection(&table);
        slot.unused();
        (0..5).for_each(|_| table.tick());
        table.sweep(1);
        assert!(!has_ended(&unused));
        table.sweep(0);
        assert!(has_ended(&unused) && !slot.busy());
    }

    #[test]
    fn what_is_open_is_counted() {
        let table = Arc::new(Table::default());
        let (_busy, _peer1, _slot1) = connection(&table);
        let (_idle, _peer2, slot2) = connection(&table);
        slot2.idle();
        let Connections { open, busy, .. } = table.open();
        assert_eq!((open, busy), (2, 1));
        drop(slot2);
        assert_eq!(table.open().open, 1);
    }

    #[test]
    fn a_cut_ends_the_busy_ones_too() {
        let table = Arc::new(Table::default());
        let (busy, peer, _slot) = connection(&table);
        table.cut();
        assert!(has_ended(&busy) && has_ended(&peer));
    }

    #[test]
    fn a_place_is_used_again() {
        let table = Arc::new(Table::default());
        for _ in 0..1000 {
            let (_ours, _theirs, _slot) = connection(&table);
        }
        let places: usize = table.shards.iter().map(|s| s.lock().entries.len()).sum();
        assert!(places <= SHARDS, "{places}");
    }
}
