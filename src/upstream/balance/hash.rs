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
    /// The places where the parts of the ring begin, of which there are about as many as points.
    parts: Box<[u32]>,
    /// How far a key is shifted to its part.
    shift: u32,
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
        self.tiers.pick(eligible, |ring, eligible| ring.find(key, eligible))
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
        let bits = points.len().next_power_of_two().ilog2().max(1);
        let (shift, mut place) = (u64::BITS - bits, 0);
        let begin = |part| {
            while points.get(place).is_some_and(|(point, _)| point >> shift < part) {
                place += 1;
            }
            u32::try_from(place).unwrap_or(u32::MAX)
        };
        let parts = (0..1 << bits).map(begin).collect();
        Self { points, parts, shift, members: members.into(), total, load_at_most }
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
        within(self.total)
            .or_else(|| {
                // Those that are left share what the others do not take.
                let left = self.members.iter().filter(|(index, _)| eligible.contains(*index));
                within(left.map(|(_, weight)| u64::from(*weight)).sum())
            })
            // What was counted may be out of date: the key's own endpoint is better than none.
            .or_else(|| self.first(key, |index| eligible.contains(index)))
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
        let (before, after) = self.points.split_at_checked(self.start(key))?;
        let mut indices = after.iter().chain(before).map(|(_, index)| *index as usize);
        let near = indices.by_ref().take(self.members.len()).find(|index| will_do(*index));
        // Each has many points: before all of them are asked, each candidate is.
        near.or_else(|| match self.members.iter().any(|(index, _)| will_do(*index)) {
            true => indices.find(|index| will_do(*index)),
            false => None,
        })
    }

    /// The place of the first point from the key on.
    fn start(&self, key: u64) -> usize {
        let part = usize::try_from(key >> self.shift).unwrap_or_default();
        let from = self.parts.get(part).map_or(0, |place| *place as usize);
        let points = self.points.get(from..).unwrap_or_default();
        from + points.iter().take_while(|(point, _)| *point < key).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::endpoint::{Address, Endpoint};
    use std::cell::Cell;
    use std::sync::Arc;

    fn ring(endpoints: u16) -> Ring {
        let candidate = |port| {
            let address = Address::Tcp(([127, 0, 0, 1], port).into());
            let endpoint = Arc::new(Endpoint::new("http://a".into(), address));
            Candidate { endpoint, weight: 1, priority: 0 }
        };
        let candidates: Vec<_> = (0..endpoints).map(candidate).collect();
        let members: Vec<_> = (0..candidates.len()).map(|index| (index, 1)).collect();
        Ring::new(&candidates, &members, None)
    }

    #[test]
    fn a_key_begins_at_the_first_point_that_is_not_before_it() {
        for ring in [0, 1, 2, 7, 300].map(ring) {
            let near = ring.points.iter().flat_map(|(p, _)| [p.wrapping_sub(1), *p, p + 1]);
            for key in near.chain([0, 1, u64::MAX / 2, u64::MAX]) {
                let first = ring.points.partition_point(|(point, _)| *point < key);
                assert_eq!(ring.start(key), first);
            }
        }
    }

    #[test]
    fn a_ring_on_which_nobody_will_do_is_not_walked_to_its_end() {
        let (ring, asked) = (ring(100), Cell::new(0));
        let will_do = |index, who| {
            asked.set(asked.get() + 1);
            Some(index) == who
        };
        assert_eq!(ring.first(7, |index| will_do(index, None)), None);
        assert!(asked.get() <= 200, "{}", asked.get());
        assert_eq!(ring.first(7, |index| will_do(index, Some(99))), Some(99));
    }
}
