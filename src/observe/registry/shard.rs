//! Spreads what all cores write over memory that they do not share.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// More shards cost memory for every series and gain little.
const MOST: usize = 16;

/// One `T` per shard, each on cache lines of its own; a thread always writes the same one.
///
/// It costs at least 64 bytes a shard, and reading it means adding all shards up.
#[derive(Debug)]
pub(super) struct Sharded<T>(Box<[Line<T>]>);

#[derive(Debug, Default)]
#[repr(align(64))]
struct Line<T>(T);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self((0..shards()).map(|_| Line::default()).collect())
    }
}

impl<T> Sharded<T> {
    /// The calling thread's; never `None`, as there is at least one shard.
    pub(super) fn own(&self) -> Option<&T> {
        // The number of shards is a power of two, so that this is a mask and not a division.
        let shard = SHARD.with(|shard| *shard) & (self.0.len() - 1);
        self.0.get(shard).map(|line| &line.0)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|line| &line.0)
    }
}

thread_local! {
    static SHARD: usize = next_shard();
}

fn next_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn shards() -> usize {
    static SHARDS: OnceLock<usize> = OnceLock::new();
    *SHARDS.get_or_init(|| {
        available_parallelism().map_or(1, |cores| cores.get().next_power_of_two().min(MOST))
    })
}
