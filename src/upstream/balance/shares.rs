//! A draw in which each candidate has as many tickets as its weight.

use super::{Chance, Eligible};

/// The members of one tier with the sums of their weights.
pub(super) struct Shares {
    members: Box<[Member]>,
}

struct Member {
    index: usize,
    weight: u32,
    /// The weights up to and including this one.
    sum: u64,
}

/// So many draws may hit what is ruled out before the rest is counted one by one.
const BLIND_DRAWS: usize = 4;

impl Shares {
    pub(super) fn new(members: &[(usize, u32)]) -> Self {
        let mut sum = 0;
        let member = |&(index, weight)| {
            sum += u64::from(weight);
            Member { index, weight, sum }
        };
        Self { members: members.iter().map(member).collect() }
    }

    /// Draws an eligible candidate other than `except`.
    pub(super) fn draw(
        &self,
        chance: &impl Chance,
        eligible: &Eligible<'_>,
        except: Option<usize>,
    ) -> Option<usize> {
        let is_left = |index| Some(index) != except && eligible.contains(index);
        let total = self.members.last()?.sum;
        let blind = (0..BLIND_DRAWS).find_map(|_| {
            let ticket = chance.below(total);
            let member = self.members.partition_point(|member| member.sum <= ticket);
            self.members.get(member).map(|member| member.index).filter(|index| is_left(*index))
        });
        blind.or_else(|| self.draw_counting(chance, is_left))
    }

    /// Draws two, and keeps the first if it is at least as good.
    pub(super) fn draw_two(
        &self,
        chance: &impl Chance,
        eligible: &Eligible<'_>,
        is_as_good: impl Fn(usize, usize) -> bool,
    ) -> Option<usize> {
        let first = self.draw(chance, eligible, None)?;
        let second = self.draw(chance, eligible, Some(first));
        Some(second.filter(|second| !is_as_good(first, *second)).unwrap_or(first))
    }

    /// Draws among those left by their own sum, so that the shares stay exact.
    fn draw_counting(
        &self,
        chance: &impl Chance,
        is_left: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let left = || self.members.iter().filter(|member| is_left(member.index));
        let total = left().map(|member| u64::from(member.weight)).sum();
        if total == 0 {
            return None;
        }
        let ticket = chance.below(total);
        let mut sum = 0;
        let hit = left().find(|member| {
            sum += u64::from(member.weight);
            ticket < sum
        });
        hit.map(|member| member.index)
    }
}
