//! `hash`: requests of one key go to one endpoint, as long as it is there.

use super::{Balance, Candidate, Eligible, Random, Tiers};
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

/// Points in ascending order, each with the index of its candidate.
struct Ring(Vec<(u64, u32)>);

impl Hash {
    /// A balancer over these candidates.
    pub(crate) fn new(candidates: &[Candidate]) -> Self {
        let build = |members: &[(usize, u32)]| Ring::new(candidates, members);
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
    fn new(candidates: &[Candidate], members: &[(usize, u32)]) -> Self {
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
        Self(points)
    }

    /// The eligible candidate of the first point from the key on.
    fn find(&self, key: u64, eligible: &Eligible<'_>) -> Option<usize> {
        let start = self.0.partition_point(|(point, _)| *point < key);
        let (before, after) = self.0.split_at_checked(start)?;
        let indices = after.iter().chain(before).map(|(_, index)| *index as usize);
        indices.into_iter().find(|index| eligible.contains(*index))
    }
}
