//! Which endpoint of an upstream an attempt goes to.

mod chance;
mod eligible;
mod first;
mod hash;
mod least_request;
mod peak_ewma;
mod random;
mod round_robin;
mod shares;
mod tried;

pub(super) use chance::{Chance, Thread};
pub(super) use eligible::Eligible;
pub(super) use first::First;
pub(super) use hash::Hash;
pub(super) use least_request::LeastRequest;
pub(super) use peak_ewma::PeakEwma;
pub(super) use random::Random;
pub(super) use round_robin::RoundRobin;
pub use tried::Tried;

use super::endpoint::Endpoint;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An endpoint that a balancer may pick.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// The living endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share of the traffic in relation to the others'; with 0 it is never picked.
    pub weight: u32,
    /// It is picked only when none of a lower number is left.
    pub priority: u32,
}

/// Picks an endpoint for one attempt, without waiting and without allocation.
pub(super) trait Balance: Send + Sync {
    /// The index of an eligible candidate, of the lowest priority that has one.
    ///
    /// The candidates are those the balancer was built from. `None` means that none is left.
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize>;

    /// The same for a request with a key, which only some balancers mind.
    fn pick_by(&self, _key: u64, eligible: &Eligible<'_>) -> Option<usize> {
        self.pick(eligible)
    }
}

/// The same thing made of the candidates of each priority, the lowest first.
struct Tiers<T>(Box<[T]>);

impl<T> Tiers<T> {
    /// Builds them from pairs of index and weight; no weight is 0.
    fn new(candidates: &[Candidate], build: impl Fn(&[(usize, u32)]) -> T) -> Self {
        let mut tiers = BTreeMap::<_, Vec<_>>::new();
        for (index, candidate) in candidates.iter().enumerate() {
            if candidate.weight > 0 {
                tiers.entry(candidate.priority).or_default().push((index, candidate.weight));
            }
        }
        Self(tiers.into_values().map(|members| build(&members)).collect())
    }

    /// Picks in the first that has one. Where the draw leaves nobody, it is not the turn of the
    /// next, but of who is fresh.
    fn pick(
        &self,
        eligible: &Eligible<'_>,
        pick: impl Fn(&T, &Eligible<'_>) -> Option<usize>,
    ) -> Option<usize> {
        let all = eligible.drawn(0);
        self.0.iter().find_map(|tier| {
            pick(tier, eligible).or_else(|| pick(tier, &all).filter(|_| eligible.is_drawn()))
        })
    }
}

#[cfg(test)]
mod tests;
