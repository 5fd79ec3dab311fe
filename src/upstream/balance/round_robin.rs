//! `round_robin`: one after the other, the heavier more often, never in bursts.

use super::{Balance, Candidate, Eligible, Tiers};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Picks along a cycle laid out once, so that the cores share a counter instead of a lock.
///
/// The cycle is that of smooth weighted round robin: each candidate appears as often as its weight
/// says, as evenly spread as can be. Weights are first reduced by their common divisor; if their
/// sum still exceeds 4096 they are scaled down to about as many turns, each candidate keeping one
/// at least, and shares are off by less than one turn.
pub(crate) struct RoundRobin {
    tiers: Tiers<Cycle>,
}

impl RoundRobin {
    /// A balancer over these candidates, beginning with the heaviest.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        Self { tiers: Tiers::new(candidates, Cycle::new) }
    }
}

impl Balance for RoundRobin {
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        self.tiers.pick(eligible, Cycle::pick)
    }
}

const LONGEST_CYCLE: u64 = 4096;

struct Cycle {
    turns: Box<[usize]>,
    next: AtomicUsize,
}

impl Cycle {
    fn new(members: &[(usize, u32)]) -> Self {
        let weights = reduce(members.iter().map(|(_, weight)| *weight));
        let indices = members.iter().map(|(index, _)| *index);
        let turns = smooth(indices.zip(weights).collect());
        Self { turns, next: AtomicUsize::new(0) }
    }

    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        if self.turns.is_empty() {
            return None;
        }
        let turn = self.next.fetch_add(1, Relaxed) % self.turns.len();
        let (before, from_turn) = self.turns.split_at(turn);
        let mut ahead = from_turn.iter().chain(before).enumerate();
        let Some((skipped, index)) = ahead.find(|(_, index)| eligible.contains(**index)) else {
            // Nobody had this turn: whoever looks among others has it, and all go on in turn.
            self.next.fetch_sub(1, Relaxed);
            return None;
        };
        if skipped > 0 {
            // Turns passed over are used up: what was ruled out is shared by all the others
            // instead of doubling the load of its neighbour.
            self.next.fetch_add(skipped, Relaxed);
        }
        Some(*index)
    }
}

/// Small weights in the same relation, or nearly the same if they would make too long a cycle.
fn reduce(weights: impl Iterator<Item = u32> + Clone) -> impl Iterator<Item = u64> {
    let divisor = weights.clone().fold(0, greatest_common_divisor).max(1);
    let sum = weights.clone().map(|weight| u64::from(weight / divisor)).sum::<u64>();
    weights.map(move |weight| {
        let weight = u64::from(weight / divisor);
        if sum <= LONGEST_CYCLE {
            return weight;
        }
        // Rounded to the nearest; at most 2^32 * 2^12, which cannot overflow.
        ((weight * LONGEST_CYCLE + sum / 2) / sum).max(1)
    })
}

fn greatest_common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

/// Lays out one cycle: at each turn everybody gains its weight, the richest goes and pays the sum.
fn smooth(members: Vec<(usize, u64)>) -> Box<[usize]> {
    let sum: i64 = members.iter().map(|(_, weight)| weight.cast_signed()).sum();
    if members.iter().all(|(_, weight)| *weight == 1) {
        return members.into_iter().map(|(index, _)| index).collect();
    }
    let mut credits = vec![0; members.len()];
    let turn = |_| {
        let mut richest: Option<(usize, &mut i64)> = None;
        for ((index, weight), credit) in members.iter().zip(&mut credits) {
            *credit += weight.cast_signed();
            if richest.as_ref().is_none_or(|(_, most)| *credit > **most) {
                richest = Some((*index, credit));
            }
        }
        let (index, credit) = richest?;
        *credit -= sum;
        Some(index)
    };
    (0..sum).filter_map(turn).collect()
}
