//! `random`: each pick by chance alone, in proportion to the weights.

use super::shares::Shares;
use super::{Balance, Candidate, Chance, Eligible, Thread, Tiers};

/// Picks by weighted chance.
pub(crate) struct Random<C = Thread> {
    tiers: Tiers<Shares>,
    chance: C,
}

impl Random {
    /// A balancer over these candidates.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        Self::with_chance(candidates, Thread)
    }
}

impl<C: Chance> Random<C> {
    /// A balancer whose chance is given.
    pub(crate) fn with_chance(candidates: &[Candidate], chance: C) -> Self {
        Self { tiers: Tiers::new(candidates, Shares::new), chance }
    }
}

impl<C: Chance> Balance for Random<C> {
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        self.tiers.pick(eligible, |shares, eligible| shares.draw(&self.chance, eligible, None))
    }
}
