//! Where a balancer's chance comes from.

/// A source of random numbers; tests bring one that repeats itself.
pub(crate) trait Chance: Send + Sync {
    /// A number from 0 to below `bound`, each equally likely; `bound` is not 0.
    fn below(&self, bound: u64) -> u64;
}

/// The generator of the running thread, which no other core waits for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thread;

impl Chance for Thread {
    fn below(&self, bound: u64) -> u64 {
        fastrand::u64(..bound.max(1))
    }
}
