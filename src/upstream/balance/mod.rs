//! Which endpoint of an upstream an attempt goes to.

mod chance;
mod first;
mod hash;
mod least_request;
mod random;
mod round_robin;
mod shares;
mod tried;

pub(super) use chance::{Chance, Thread};
pub(super) use first::First;
pub(super) use hash::Hash;
pub(super) use least_request::LeastRequest;
pub(super) use random::Random;
pub(super) use round_robin::RoundRobin;
pub use tried::Tried;

use super::endpoint::Endpoint;
use std::sync::Arc;

/// An endpoint that a balancer may pick.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The living endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share of the traffic in relation to the others'; with 0 it is never picked.
    pub weight: u32,
    /// Whether it is picked only when no primary is left.
    pub backup: bool,
}

/// Picks an endpoint for one attempt, without waiting and without allocation.
pub(super) trait Balance: Send + Sync {
    /// The index of a candidate that is not in `tried`, a primary as long as there is one.
    ///
    /// `candidates` are those the balancer was built from. `None` means that none is left.
    fn pick(&self, candidates: &[Candidate], tried: &Tried) -> Option<usize>;

    /// The same for a request with a key, which only some balancers mind.
    fn pick_by(&self, _key: u64, candidates: &[Candidate], tried: &Tried) -> Option<usize> {
        self.pick(candidates, tried)
    }
}

/// The same thing made of the primaries and of the backups, which wait until no primary is left.
struct Tiers<T> {
    primaries: T,
    backups: T,
}

impl<T> Tiers<T> {
    /// Builds both from pairs of index and weight; no weight is 0.
    fn new(candidates: &[Candidate], build: impl Fn(&[(usize, u32)]) -> T) -> Self {
        let tier = |backup| {
            let members = candidates.iter().enumerate().filter_map(|(index, candidate)| {
                let is_member = candidate.backup == backup && candidate.weight > 0;
                is_member.then_some((index, candidate.weight))
            });
            build(&members.collect::<Vec<_>>())
        };
        Self { primaries: tier(false), backups: tier(true) }
    }

    fn pick(&self, pick: impl Fn(&T) -> Option<usize>) -> Option<usize> {
        pick(&self.primaries).or_else(|| pick(&self.backups))
    }
}

#[cfg(test)]
mod tests;
