//! `peak_ewma`: of two candidates drawn by weight, the one that is likely to answer sooner.

use super::shares::Shares;
use super::{Balance, Candidate, Chance, Eligible, Thread, Tiers};

/// Picks by the power of two choices, by how long responses take and how many are awaited.
pub(crate) struct PeakEwma<C = Thread> {
    tiers: Tiers<Shares>,
    chance: C,
}

impl PeakEwma {
    /// A balancer over these candidates.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        Self::with_chance(candidates, Thread)
    }
}

impl<C: Chance> PeakEwma<C> {
    /// A balancer whose chance is given.
    pub(crate) fn with_chance(candidates: &[Candidate], chance: C) -> Self {
        Self { tiers: Tiers::new(candidates, Shares::new), chance }
    }
}

impl<C: Chance> Balance for PeakEwma<C> {
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        let cost = |index| {
            let endpoint = &eligible.get(index)?.endpoint;
            Some(endpoint.latency().cost(endpoint.in_flight(), eligible.now))
        };
        self.tiers.pick(eligible, |shares, eligible| {
            shares.draw_two(&self.chance, eligible, |a, b| cost(a) <= cost(b))
        })
    }
}
