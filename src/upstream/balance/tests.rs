use super::super::endpoint::Address;
use super::*;
use crate::upstream::Health;
use crate::upstream::clock::Moment;
use crate::value::Factor;
use parking_lot::Mutex;

/// Chance that repeats itself from run to run.
struct Seeded(Mutex<fastrand::Rng>);

impl Chance for Seeded {
    fn below(&self, bound: u64) -> u64 {
        self.0.lock().u64(..bound)
    }
}

fn seeded() -> Seeded {
    Seeded(Mutex::new(fastrand::Rng::with_seed(7)))
}

fn among<'a>(candidates: &'a [Candidate], tried: &'a Tried) -> Eligible<'a> {
    Eligible::good(candidates, tried, Moment(0))
}

fn candidate(weight: u32, backup: bool) -> Candidate {
    let address = Address::Tcp(([127, 0, 0, 1], 80).into());
    let endpoint = Arc::new(Endpoint::new("http://127.0.0.1:80".into(), address));
    Candidate { endpoint, weight, priority: u32::from(backup) }
}

fn primaries(weights: &[u32]) -> Vec<Candidate> {
    weights.iter().map(|weight| candidate(*weight, false)).collect()
}

fn tried(indices: &[usize]) -> Tried {
    let mut tried = Tried::new();
    indices.iter().for_each(|index| tried.insert(*index));
    tried
}

fn picks(
    balancer: &dyn Balance,
    candidates: &[Candidate],
    tried: &Tried,
    times: usize,
) -> Vec<usize> {
    (0..times).map(|_| balancer.pick(&among(candidates, tried)).unwrap()).collect()
}

fn counts(picks: &[usize], of: usize) -> Vec<usize> {
    (0..of).map(|index| picks.iter().filter(|pick| **pick == index).count()).collect()
}

/// Every policy over the same candidates.
fn every(candidates: &[Candidate]) -> [(&'static str, Box<dyn Balance>); 5] {
    [
        ("round_robin", Box::new(RoundRobin::new(candidates))),
        ("least_request", Box::new(LeastRequest::with_chance(candidates, seeded()))),
        ("peak_ewma", Box::new(PeakEwma::with_chance(candidates, seeded()))),
        ("random", Box::new(Random::with_chance(candidates, seeded()))),
        // Without keys.
        ("hash", Box::new(Hash::new(candidates, None))),
    ]
}

mod every_policy {
    use super::*;

    #[test]
    fn nothing_is_picked_of_nothing() {
        for (name, balancer) in every(&[]) {
            assert_eq!(balancer.pick(&among(&[], &Tried::new())), None, "{name}");
        }
    }

    #[test]
    fn what_was_tried_is_not_picked_again_until_none_is_left() {
        let candidates = primaries(&[1, 5, 2, 1]);
        for (name, balancer) in every(&candidates) {
            let mut tried = Tried::new();
            for _ in 0..candidates.len() {
                let index = balancer.pick(&among(&candidates, &tried)).unwrap();
                assert!(!tried.contains(index), "{name}");
                tried.insert(index);
            }
            assert_eq!(balancer.pick(&among(&candidates, &tried)), None, "{name}");
        }
    }

    #[test]
    fn backups_wait_until_no_primary_is_left() {
        let candidates = [candidate(1, true), candidate(1, false), candidate(9, true)];
        for (name, balancer) in every(&candidates) {
            let fresh = picks(&*balancer, &candidates, &Tried::new(), 100);
            assert_eq!(counts(&fresh, 3), [0, 100, 0], "{name}");
            let retries = picks(&*balancer, &candidates, &tried(&[1]), 100);
            let [light, primary, heavy] = counts(&retries, 3)[..] else { panic!("{name}") };
            assert!(primary == 0 && heavy > light && light > 0, "{name}: {retries:?}");
            assert_eq!(balancer.pick(&among(&candidates, &tried(&[0, 1, 2]))), None, "{name}");
        }
    }

    #[test]
    fn backups_alone_are_picked() {
        let candidates = [candidate(1, true), candidate(1, true)];
        for (name, balancer) in every(&candidates) {
            let picks = picks(&*balancer, &candidates, &Tried::new(), 100);
            assert!(counts(&picks, 2).iter().all(|count| *count > 0), "{name}");
        }
    }

    #[test]
    fn a_candidate_without_weight_is_never_picked() {
        let candidates = primaries(&[0, 1, 0]);
        for (name, balancer) in every(&candidates) {
            let fresh = picks(&*balancer, &candidates, &Tried::new(), 50);
            assert_eq!(counts(&fresh, 3), [0, 50, 0], "{name}");
            assert_eq!(balancer.pick(&among(&candidates, &tried(&[1]))), None, "{name}");
        }
    }

    #[test]
    fn an_idle_upstream_is_shared_by_weight() {
        let candidates = primaries(&[1, 2, 7]);
        for (name, balancer) in every(&candidates) {
            let picks = picks(&*balancer, &candidates, &Tried::new(), 10_000);
            for (count, expected) in counts(&picks, 3).into_iter().zip([1_000, 2_000, 7_000]) {
                assert!(count.abs_diff(expected) < 200, "{name}: {count} for {expected}");
            }
        }
    }

    #[test]
    fn what_is_ruled_out_is_shared_by_the_others_by_weight() {
        let candidates = primaries(&[3, 4, 2, 1]);
        let tried = tried(&[1]);
        for (name, balancer) in every(&candidates) {
            let picks = picks(&*balancer, &candidates, &tried, 6_000);
            for (count, expected) in counts(&picks, 4).into_iter().zip([3_000, 0, 2_000, 1_000]) {
                assert!(count.abs_diff(expected) < 150, "{name}: {count} for {expected}");
            }
        }
    }

    #[test]
    fn priorities_are_used_up_in_their_order() {
        let of = |priority| Candidate { priority, ..candidate(1, false) };
        let candidates = [of(7), of(0), of(3), of(3)];
        for (name, balancer) in every(&candidates) {
            assert_eq!(balancer.pick(&among(&candidates, &Tried::new())), Some(1), "{name}");
            let third = picks(&*balancer, &candidates, &tried(&[1]), 100);
            let [_, _, a, b] = counts(&third, 4)[..] else { panic!("{name}") };
            assert!(a > 0 && b > 0 && a + b == 100, "{name}: {third:?}");
            assert_eq!(balancer.pick(&among(&candidates, &tried(&[1, 2, 3]))), Some(0), "{name}");
        }
    }

    #[test]
    fn what_something_speaks_against_is_skipped_until_nothing_else_is_left() {
        let candidates = primaries(&[1, 1, 1, 1]);
        let standing = |index: usize| candidates[index].endpoint.standing();
        standing(0).checked(Health::Unhealthy);
        standing(1).eject(Moment(100));
        standing(2).drain(Moment(0));
        let none = Tried::new();
        for (name, balancer) in every(&candidates) {
            let good = picks(&*balancer, &candidates, &none, 100);
            assert_eq!(counts(&good, 4), [0, 0, 0, 100], "{name}");
            let rest = tried(&[3]);
            assert_eq!(balancer.pick(&among(&candidates, &rest)), None, "{name}");
            let any = || balancer.pick(&among(&candidates, &rest).wanted()).unwrap();
            let any: Vec<_> = (0..100).map(|_| any()).collect();
            let [unhealthy, ejected, draining, last] = counts(&any, 4)[..] else { panic!() };
            assert!(unhealthy > 0 && ejected > 0, "{name}: {any:?}");
            assert_eq!((draining, last), (0, 0), "{name}: who drains gets none at all");
            let later = Eligible::good(&candidates, &rest, Moment(100));
            assert_eq!(balancer.pick(&later), Some(1), "{name}: it may try");
        }
    }

    #[test]
    fn many_candidates_are_all_reached() {
        let candidates = primaries(&[1; 300]);
        let mut all_but_one = Tried::new();
        (0..299).for_each(|index| all_but_one.insert(index));
        for (name, balancer) in every(&candidates) {
            assert_eq!(balancer.pick(&among(&candidates, &all_but_one)), Some(299), "{name}");
        }
    }
}

mod round_robin {
    use super::*;

    fn cycle(weights: &[u32], times: usize) -> Vec<usize> {
        let candidates = primaries(weights);
        picks(&RoundRobin::new(&candidates), &candidates, &Tried::new(), times)
    }

    #[test]
    fn the_heavy_one_is_spread_among_the_others() {
        assert_eq!(cycle(&[5, 1, 1], 14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(cycle(&[1, 1, 1], 6), [0, 1, 2, 0, 1, 2]);
        assert_eq!(cycle(&[2, 1], 6), [0, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn over_a_cycle_every_count_is_exact_and_no_burst_is_longer_than_need_be() {
        let mut chance = fastrand::Rng::with_seed(11);
        for _ in 0..300 {
            let weights: Vec<u32> = (0..chance.usize(1..9)).map(|_| chance.u32(1..40)).collect();
            let sum: u32 = weights.iter().sum();
            // Three cycles, begun anywhere, so that the seam between two is looked at as well.
            let picks = cycle(&weights, 3 * sum as usize);
            for window in picks.windows(sum as usize) {
                let counts = counts(window, weights.len());
                let exact: Vec<_> = weights.iter().map(|weight| *weight as usize).collect();
                assert_eq!(counts, exact, "{weights:?}");
            }
            for (index, weight) in weights.iter().enumerate().filter(|(_, w)| **w < sum) {
                let others = (sum - weight) as usize;
                let run = longest_run(&picks, index);
                // Twice the most that an even spread would put between two of the others.
                let bound = 2 * (*weight as usize).div_ceil(others);
                assert!(run <= bound, "{run} of {index} in {weights:?}");
            }
        }
    }

    fn longest_run(picks: &[usize], index: usize) -> usize {
        let runs = picks.chunk_by(|a, b| a == b).filter(|run| run[0] == index);
        runs.map(<[usize]>::len).max().unwrap()
    }

    #[test]
    fn weights_are_reduced_by_their_common_divisor() {
        assert_eq!(cycle(&[2_000_000_000, 1_000_000_000], 3), [0, 1, 0]);
        assert_eq!(cycle(&[u32::MAX], 2), [0, 0]);
    }

    #[test]
    fn huge_weights_are_scaled_and_the_light_one_keeps_a_turn() {
        let candidates = primaries(&[1_000_003, 500_000, 1]);
        let balancer = RoundRobin::new(&candidates);
        let picks = picks(&balancer, &candidates, &Tried::new(), 4097);
        assert_eq!(counts(&picks, 3), [2731, 1365, 1]);
    }

    #[test]
    fn a_neighbour_does_not_inherit_the_whole_load_of_what_is_ruled_out() {
        let candidates = primaries(&[1, 1, 1]);
        let balancer = RoundRobin::new(&candidates);
        assert_eq!(picks(&balancer, &candidates, &tried(&[0]), 6), [1, 2, 1, 2, 1, 2]);
    }

    #[test]
    fn who_looks_again_among_others_goes_on_in_turn() {
        let candidates = primaries(&[1, 1]);
        candidates.iter().for_each(|candidate| candidate.endpoint.standing().eject(Moment(100)));
        let (balancer, none) = (RoundRobin::new(&candidates), Tried::new());
        let pick = || {
            let good = among(&candidates, &none);
            balancer.pick(&good).or_else(|| balancer.pick(&good.wanted())).unwrap()
        };
        assert_eq!([pick(), pick(), pick(), pick()], [0, 1, 0, 1]);
    }

    #[test]
    fn cores_that_pick_at_once_share_one_cycle() {
        let candidates = primaries(&[3, 2, 1]);
        let balancer = RoundRobin::new(&candidates);
        let all = std::thread::scope(|scope| {
            let pick = || picks(&balancer, &candidates, &Tried::new(), 3_000);
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(pick)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(counts(&all, 3), [6_000, 4_000, 2_000]);
    }
}

mod least_request {
    use super::*;

    #[test]
    fn of_two_the_less_busy_is_always_picked() {
        let candidates = primaries(&[1, 1]);
        let balancer = LeastRequest::with_chance(&candidates, seeded());
        let _busy = candidates[0].endpoint.begin();
        let fresh = picks(&balancer, &candidates, &Tried::new(), 50);
        assert_eq!(counts(&fresh, 2), [0, 50]);
        assert_eq!(
            balancer.pick(&among(&candidates, &tried(&[1]))),
            Some(0),
            "busy, but all that is left"
        );
    }

    #[test]
    fn a_heavier_one_may_have_more_in_flight() {
        let candidates = primaries(&[1, 3]);
        let balancer = LeastRequest::with_chance(&candidates, seeded());
        let _light = candidates[0].endpoint.begin();
        let _heavy: Vec<_> = (0..2).map(|_| candidates[1].endpoint.begin()).collect();
        let more = picks(&balancer, &candidates, &Tried::new(), 50);
        assert_eq!(counts(&more, 2), [0, 50], "two of three are less than one of one");

        let _heavier: Vec<_> = (0..2).map(|_| candidates[1].endpoint.begin()).collect();
        let enough = picks(&balancer, &candidates, &Tried::new(), 50);
        assert_eq!(counts(&enough, 2), [50, 0], "four of three are more than one of one");
    }

    #[test]
    fn the_busiest_of_many_is_never_picked() {
        let candidates = primaries(&[1; 8]);
        let balancer = LeastRequest::with_chance(&candidates, seeded());
        let _busy = candidates[5].endpoint.begin();
        let fresh = picks(&balancer, &candidates, &Tried::new(), 500);
        let counts = counts(&fresh, 8);
        assert_eq!(counts[5], 0);
        assert!(counts.iter().enumerate().all(|(index, count)| index == 5 || *count > 30));
    }

    #[test]
    fn load_stays_level_while_attempts_pile_up() {
        let candidates = primaries(&[1, 1, 2]);
        let balancer = LeastRequest::with_chance(&candidates, seeded());
        let attempts: Vec<_> = (0..400)
            .map(|_| balancer.pick(&among(&candidates, &Tried::new())).unwrap())
            .map(|index| candidates[index].endpoint.begin())
            .collect();
        let load: Vec<_> = candidates.iter().map(|c| c.endpoint.in_flight()).collect();
        for (load, expected) in load.iter().zip([100_usize, 100, 200]) {
            assert!(load.abs_diff(expected) <= 8, "{load} for {expected}");
        }
        drop(attempts);
    }
}

mod random {
    use super::*;

    #[test]
    fn the_generator_of_the_thread_reaches_everybody() {
        let candidates = primaries(&[1, 1]);
        let picks = picks(&Random::new(&candidates), &candidates, &Tried::new(), 1_000);
        assert!(counts(&picks, 2).iter().all(|count| *count > 300));
    }

    #[test]
    fn huge_weights_do_not_overflow() {
        let candidates = primaries(&[u32::MAX, u32::MAX, u32::MAX]);
        let balancer = Random::with_chance(&candidates, seeded());
        let picks = picks(&balancer, &candidates, &tried(&[0]), 1_000);
        let counts = counts(&picks, 3);
        assert_eq!(counts[0], 0);
        assert!(counts[1].abs_diff(counts[2]) < 200);
    }
}

mod first {
    use super::*;

    #[test]
    fn the_order_of_the_document_decides_and_backups_wait() {
        let candidates =
            [candidate(1, true), candidate(0, false), candidate(1, false), candidate(9, false)];
        let first = First::new(&candidates);
        assert_eq!(picks(&first, &candidates, &Tried::new(), 3), [2, 2, 2]);
        assert_eq!(first.pick(&among(&candidates, &tried(&[2]))), Some(3));
        assert_eq!(first.pick(&among(&candidates, &tried(&[2, 3]))), Some(0));
        assert_eq!(first.pick(&among(&candidates, &tried(&[0, 2, 3]))), None);
    }
}

mod hash {
    use super::*;

    fn at(port: u16, weight: u32) -> Candidate {
        let address = Address::Tcp(([127, 0, 0, 1], port).into());
        let label = format!("http://127.0.0.1:{port}");
        let endpoint = Arc::new(Endpoint::new(label.as_str().into(), address));
        Candidate { endpoint, weight, priority: 0 }
    }

    fn ports(candidates: &[Candidate], keys: u32) -> Vec<Option<String>> {
        let hash = Hash::new(candidates, None);
        let pick = |key: u32| {
            let index =
                hash.pick_by(Hash::of(&key.to_string()), &among(candidates, &Tried::new()))?;
            Some(candidates[index].endpoint.label().to_string())
        };
        (0..keys).map(pick).collect()
    }

    #[test]
    fn keys_are_spread_by_weight() {
        let candidates = [at(1, 1), at(2, 3)];
        let heavy = ports(&candidates, 10_000);
        let heavy = heavy.iter().flatten().filter(|label| label.ends_with(":2")).count();
        assert!((6_800..8_200).contains(&heavy), "{heavy}");
    }

    #[test]
    fn when_an_endpoint_goes_only_its_own_keys_move() {
        let all = [at(1, 1), at(2, 1), at(3, 1)];
        let before = ports(&all, 3_000);
        // In another order, as a document may be edited.
        let after = ports(&[all[2].clone(), all[0].clone()], 3_000);
        for (before, after) in before.iter().zip(&after) {
            let is_gone = before.as_ref().is_some_and(|label| label.ends_with(":2"));
            assert!(is_gone || before == after);
        }
    }

    #[test]
    fn a_key_whose_endpoint_was_tried_goes_to_the_next() {
        let candidates = [at(1, 1), at(2, 1), at(3, 1)];
        let balancer = Hash::new(&candidates, None);
        let mut seen = Tried::new();
        for _ in 0..3 {
            let index = balancer.pick_by(7, &among(&candidates, &seen)).unwrap();
            assert!(!seen.contains(index));
            seen.insert(index);
        }
        assert_eq!(balancer.pick_by(7, &among(&candidates, &seen)), None);
    }

    #[test]
    fn great_weights_make_no_giant_ring() {
        let candidates = [at(1, 65_535), at(2, 65_535)];
        let labels = ports(&candidates, 1_000);
        assert!(labels.iter().all(Option::is_some));
    }

    #[test]
    fn an_eleventh_endpoint_takes_its_own_part_of_the_keys_and_no_more() {
        let ten: Vec<Candidate> = (1..=10).map(|port| at(port, 1)).collect();
        let eleven: Vec<Candidate> = (1..=11).map(|port| at(port, 1)).collect();
        let (before, after) = (ports(&ten, 10_000), ports(&eleven, 10_000));
        let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        assert!((700..=1_200).contains(&moved), "{moved} of 10,000");
    }

    /// Gives each of these keys to an endpoint that keeps it; then how many each has.
    fn busy(candidates: &[Candidate], seen: &Tried, keys: u64) -> Vec<usize> {
        let hash = Hash::new(candidates, Some(Factor::percent(125)));
        let mut attempts = Vec::new();
        for key in 0..keys {
            // Few keys get most of the requests, as in life.
            let key = Hash::of(&(key % 7).to_string());
            let eligible = among(candidates, seen).busy(attempts.len());
            let index = hash.pick_by(key, &eligible).unwrap();
            attempts.push(candidates[index].endpoint.begin());
            for candidate in candidates {
                let weights: u64 = candidates.iter().map(|c| u64::from(c.weight)).sum();
                let fair = attempts.len() as u64 * u64::from(candidate.weight);
                let most = Factor::percent(125).of_ratio(fair, weights);
                let left = candidates.len() - usize::from(!seen.is_empty());
                let in_flight = candidate.endpoint.in_flight() as u64;
                assert!(in_flight <= most || left < candidates.len(), "{in_flight} of {most}");
            }
        }
        candidates.iter().map(|candidate| candidate.endpoint.in_flight()).collect()
    }

    #[test]
    fn no_load_is_over_its_bound() {
        let candidates: Vec<Candidate> = (1..=10).map(|port| at(port, 1)).collect();
        let loads = busy(&candidates, &Tried::new(), 1_000);
        assert!(loads.iter().all(|load| *load <= 125), "{loads:?}");
        let heavy = [at(1, 3), at(2, 1), at(3, 1)];
        let loads = busy(&heavy, &Tried::new(), 1_000);
        assert!(loads[0] > 400, "{loads:?}");
    }

    #[test]
    fn where_one_is_out_the_others_have_bounds_of_their_own() {
        let candidates = [at(1, 1), at(2, 1), at(3, 1)];
        let loads = busy(&candidates, &tried(&[1]), 1_000);
        assert_eq!(loads[1], 0);
        assert!(loads.iter().all(|load| *load <= 625), "{loads:?}");
    }
}

mod peak_ewma {
    use super::*;
    use std::time::Duration;

    #[test]
    fn who_takes_long_gets_less() {
        let candidates = primaries(&[1, 1, 1, 1]);
        for (index, candidate) in candidates.iter().enumerate() {
            let took = if index == 0 { 100 } else { 10 };
            candidate.endpoint.latency().took(Duration::from_millis(took), Moment(0));
        }
        let balancer = PeakEwma::with_chance(&candidates, seeded());
        let counts = counts(&picks(&balancer, &candidates, &Tried::new(), 1_000), 4);
        assert_eq!(counts[0], 0, "{counts:?}");
    }

    #[test]
    fn the_fast_one_may_have_more_in_flight() {
        let candidates = primaries(&[1, 1]);
        for (candidate, took) in candidates.iter().zip([10, 100]) {
            candidate.endpoint.latency().took(Duration::from_millis(took), Moment(0));
        }
        let balancer = PeakEwma::with_chance(&candidates, seeded());
        let mut attempts = Vec::new();
        for _ in 0..110 {
            let index = balancer.pick(&among(&candidates, &Tried::new())).unwrap();
            attempts.push(candidates[index].endpoint.begin());
        }
        let slow = candidates[1].endpoint.in_flight();
        assert!((9..=11).contains(&slow), "{slow}");
    }
}

mod fresh {
    use super::*;
    use crate::upstream::standing::WHOLE;
    use std::time::Duration;

    #[test]
    fn every_policy_gives_it_its_part() {
        let ten_seconds = Duration::from_secs(10);
        // By a whole key for each, `hash` gives it what it takes from its neighbours.
        for (name, half) in [("round_robin", 0), ("least_request", 1), ("random", 3)] {
            let candidates = primaries(&[1, 1, 1, 1]);
            candidates[0].endpoint.standing().starts_slowly(ten_seconds);
            let now = Moment::of(std::time::Instant::now()).after(ten_seconds / 2);
            let balancer = &every(&candidates)[half];
            assert_eq!(balancer.0, name);
            let (none, mut rng) = (Tried::new(), fastrand::Rng::with_seed(3));
            let mut picks = Vec::new();
            for _ in 0..10_000 {
                let eligible = Eligible::good(&candidates, &none, now).drawn(rng.u64(..WHOLE));
                picks.push(balancer.1.pick(&eligible).unwrap());
            }
            let counts = counts(&picks, 4);
            // A seventh would be exact; of two draws the other one is never fresh for itself.
            assert!((1_000..1_800).contains(&counts[0]), "{name}: {counts:?}");
        }
    }
}
