//! `first`: the first in the document that is left, whatever the weights.

use super::{Balance, Candidate, Eligible, Tiers};

/// Picks in the order of the document; the others only wait.
pub(crate) struct First {
    tiers: Tiers<Box<[usize]>>,
}

impl First {
    /// A balancer over these candidates.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        let indices = |members: &[(usize, u32)]| members.iter().map(|(index, _)| *index).collect();
        Self { tiers: Tiers::new(candidates, indices) }
    }
}

impl Balance for First {
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        self.tiers.pick(eligible, |tier, eligible| {
            tier.iter().copied().find(|index| eligible.contains(*index))
        })
    }
}
