//! `hash`: requests of one key go to one endpoint, as long as it is there.

use super::{Balance, Candidate, Eligible, Random, Tiers};
use crate::value::Factor;
use xxhash_rust::xxh3::xxh3_64;

/// Points of an endpoint of weight 1, as ketama has them.
const POINTS: u64 = 160;
/// Points of a whole ring: with great weights each unit has fewer.
const MOST: u64 = 1 << 18;

/// Picks on a ring (ketama): when endpoints come and go, only their own keys move.
pub(crate) struct Hash {
    tiers: Tiers<Ring>,
    keyless: Random,
}

struct Ring {
    /// Points in ascending order, each with the index of its candidate.
    points: Vec<(u64, u32)>,
    /// The indices of candidates with their weights.
    members: Box<[(usize, u32)]>,
    /// The sum of the weights.
    total: u64,
    /// How many attempts in flight a candidate may have, of the mean.
    load_at_most: Option<Factor>,
}

impl Hash {
    /// A balancer over these candidates, none of which gets more than so much of the mean.
    pub(crate) fn new(candidates: &[Candidate], load_at_most: Option<Factor>) -> Self {
        let build = |members: &[(usize, u32)]| Ring::new(candidates, members, load_at_most);
        Self { tiers: Tiers::new(candidates, build), keyless: Random::new(candidates) }
    }

    /// The hash of a key; the same in every process and version, so that edges agree.
    pub(crate) fn of(key: &str) -> u64 {
        xxh3_64(key.as_bytes())
    }
}

impl Balance for Hash {
    /// Without a key chance decides: one endpoint must not get all of these.
    fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
        self.keyless.pick(eligible)
    }

    fn pick_by(&self, key: u64, eligible: &Eligible<'_>) -> Option<usize> {
        self.tiers.pick(|ring| ring.find(key, eligible))
    }
}

impl Ring {
    fn new(
        candidates: &[Candidate],
        members: &[(usize, u32)],
        load_at_most: Option<Factor>,
    ) -> Self {
        let total: u64 = members.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let points_per_weight = (MOST / total.max(1)).clamp(1, POINTS);
        let mut points = Vec::new();
        for (index, weight) in members {
            let (Some(candidate), Ok(place)) = (candidates.get(*index), u32::try_from(*index))
            else {
                continue;
            };
            let name = format!("{} {}", candidate.endpoint.label(), candidate.endpoint.address());
            for point in 0..u64::from(*weight) * points_per_weight {
                points.push((Hash::of(&format!("{name} {point}")), place));
            }
        }
        points.sort_unstable();
        Self { points, members: members.into(), total, load_at_most }
    }

    /// The candidate that a key goes to.
    fn find(&self, key: u64, eligible: &Eligible<'_>) -> Option<usize> {
        let Some(load_at_most) = self.load_at_most else {
            return self.first(key, |index| eligible.contains(index));
        };
        let within = |total: u64| {
            self.first(key, |index| {
                eligible.contains(index) && self.is_within(index, load_at_most, total, eligible)
            })
        };
        within(self.total).or_else(|| {
            // Those that are left share what the others do not take.
            let left = self.members.iter().filter(|(index, _)| eligible.contains(*index));
            within(left.map(|(_, weight)| u64::from(*weight)).sum())
        })
    }

    /// Whether a candidate may get one more, as its part of the total weight.
    fn is_within(
        &self,
        index: usize,
        load_at_most: Factor,
        total: u64,
        eligible: &Eligible<'_>,
    ) -> bool {
        let Some(Candidate { endpoint, weight, .. }) = eligible.get(index) else { return false };
        let in_flight = (eligible.in_flight as u64).saturating_add(1);
        let most = load_at_most.of_ratio(in_flight.saturating_mul(u64::from(*weight)), total);
        (endpoint.in_flight() as u64) < most
    }

    /// The candidate of the first point from the key on that will do.
    fn first(&self, key: u64, will_do: impl Fn(usize) -> bool) -> Option<usize> {
        let start = self.points.partition_point(|(point, _)| *point < key);
        let (before, after) = self.points.split_at_checked(start)?;
        let indices = after.iter().chain(before).map(|(_, index)| *index as usize);
        indices.into_iter().find(|index| will_do(*index))
    }
}
