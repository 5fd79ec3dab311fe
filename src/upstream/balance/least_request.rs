//! `least_request`: of two candidates drawn by weight, the one with less in flight.

use super::shares::Shares;
use super::{Balance, Candidate, Chance, Eligible, Thread, Tiers};
use std::cmp::Ordering;

/// Picks by the power of two choices.
///
/// Two are drawn instead of all compared: the cost does not grow with the upstream, and the cores
/// do not all run to the same endpoint at once. When both are as busy the first drawn wins, so
/// that an idle upstream is shared by weight.
pub(crate) struct LeastRequest<C = Thread> {
    tiers: Tiers<Shares>,
    chance: C,
}

impl LeastRequest {
    /// A balancer over these candidates.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        Self::with_chance(candidates, Thread)
    }
}

impl<C: Chance> LeastRequest<C> {
    /// A balancer whose chance is given.
    pub(crate) fn with_chance(candidates: &[Candidate], chance: C) -> Self {
        Self { tiers: Tiers::new(candidates, Shares::new), chance }
    }
}

impl<C: Chance> Balance for LeastRequest<C> {
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        let is_as_idle = |first, second| match (eligible.get(first), eligible.get(second)) {
            (Some(first), Some(second)) => compare(first, second).is_le(),
            _ => true,
        };
        self.tiers
            .pick(eligible, |shares, eligible| shares.draw_two(&self.chance, eligible, is_as_idle))
    }
}

/// Compares what is in flight per weight, multiplied crosswise instead of divided.
fn compare(a: &Candidate, b: &Candidate) -> Ordering {
    let load = |of: &Candidate, other: &Candidate| {
        of.endpoint.in_flight() as u128 * u128::from(other.weight)
    };
    load(a, b).cmp(&load(b, a))
}
