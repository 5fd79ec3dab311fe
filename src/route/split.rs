//! `split`: the requests of a route go to several upstreams, each to one of them.

use crate::exchange::Exchange;
use crate::expr::{Escape, Template};
use crate::upstream::Upstream;
use crate::value::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use std::collections::HashSet;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Sets it apart from the hash by which an upstream picks endpoints: keys of one part must not be
/// neighbours there.
const SEED: u64 = 0x73_70_6c_69_74;

/// The upstreams that a route's requests go to, each request to one of them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "split")]
pub struct Config {
    /// The upstreams, each with its share of the requests.
    #[schemars(length(min = 2))]
    pub to: Vec<PartConfig>,
    /// Requests of which this is the same go to the same upstream, a template:
    /// `{request.cookie.sid}`. Requests in which it is empty go by chance. Default: all go by
    /// chance.
    pub sticky: Option<Template>,
}

/// One of the upstreams of a split.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "split-part")]
pub struct PartConfig {
    /// Its share in relation to the others'; with 0 it gets nothing.
    #[schemars(range(max = 65535))]
    pub weight: u32,
    /// The name of the upstream.
    pub upstream: String,
}

/// A compiled split.
#[derive(Debug)]
pub struct Split {
    parts: Box<[Part]>,
    total: u64,
    sticky: Option<Template>,
}

/// One of the upstreams of a split.
#[derive(Debug)]
pub struct Part {
    /// Where its requests go.
    pub upstream: Arc<Upstream>,
    /// Its share in relation to the others'.
    pub weight: u32,
}

/// Which part of a split a request goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The place of the part.
    pub part: usize,
    /// Whether the request's key says so, and not chance.
    pub by_key: bool,
}

impl Config {
    /// What is wrong with it, each with the place of the part that it is about, if it is one.
    pub fn problems(&self) -> Vec<(Option<usize>, Problem)> {
        let mut seen = HashSet::new();
        let twice = self.to.iter().enumerate().filter(|(_, part)| !seen.insert(&part.upstream));
        let mut problems: Vec<_> = twice
            .map(|(place, part)| {
                let what = format!("the upstream `{}` is there already", part.upstream);
                (Some(place), Problem::new(what, "add the weights up, and remove this one"))
            })
            .collect();
        if self.to.iter().all(|part| part.weight == 0) {
            let remedy = "give one of them a weight from 1 on";
            problems
                .push((None, Problem::new("no part gets a request: all weights are 0", remedy)));
        }
        problems
    }

    /// The compiled split; `None` if an upstream is not there.
    pub fn compile(&self, upstream: impl Fn(&str) -> Option<Arc<Upstream>>) -> Option<Split> {
        let part = |part: &PartConfig| {
            Some(Part { upstream: upstream(&part.upstream)?, weight: part.weight })
        };
        let parts = self.to.iter().map(part).collect::<Option<Box<[_]>>>()?;
        let total = parts.iter().map(|part| u64::from(part.weight)).sum();
        Some(Split { parts, total, sticky: self.sticky.clone() })
    }
}

impl Split {
    /// The parts, in the order of the document.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Which share of the requests a part gets, in percent with two decimals.
    pub fn percent(&self, part: &Part) -> f64 {
        let hundredths = f64::from(part.weight) * 10_000.0 / (self.total.max(1) as f64);
        hundredths.round() / 100.0
    }

    /// The key by which requests are told apart, if they are.
    pub fn sticky(&self) -> Option<&Template> {
        self.sticky.as_ref()
    }

    /// Chooses the part that a request goes to.
    pub fn choose(&self, exchange: &Exchange<'_>) -> Choice {
        let mut key = String::new();
        if let Some(sticky) = &self.sticky {
            sticky.render(exchange, Escape::Text, &mut key);
        }
        self.choose_by(&key, || fastrand::u64(..))
    }

    fn choose_by(&self, key: &str, chance: impl FnOnce() -> u64) -> Choice {
        let by_key = !key.is_empty();
        let point = if by_key { xxh3_64_with_seed(key.as_bytes(), SEED) } else { chance() };
        Choice { part: self.part_at(point), by_key }
    }

    /// The part that a point of the whole range of 64 bits lies in: the parts follow each other
    /// there, each as long as its share.
    fn part_at(&self, point: u64) -> usize {
        let place = (u128::from(point) * u128::from(self.total)) >> 64;
        let mut end = 0;
        let holds = |part: &Part| {
            end += u128::from(part.weight);
            place < end
        };
        // The last one ends with the range.
        self.parts.iter().position(holds).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Registry;
    use crate::upstream::{Metrics, Security};

    fn split(weights: &[u32]) -> Split {
        let to = weights.iter().enumerate();
        let to = to.map(|(place, weight)| PartConfig {
            weight: *weight,
            upstream: format!("upstream-{place}"),
        });
        let config = Config { to: to.collect(), sticky: None };
        let metrics = Metrics::new(&Registry::new());
        let upstream = |name: &str| {
            let config = serde_json::json!({ "endpoints": ["http://127.0.0.1:1"] });
            let config = serde_json::from_value(config).unwrap();
            let security = Security::default();
            Some(Upstream::new(name.into(), config, security, None, Arc::default(), &metrics, None))
        };
        config.compile(upstream).unwrap()
    }

    /// How many of so many points, evenly spread, each part gets.
    fn shares(split: &Split, points: u64) -> Vec<u64> {
        let (mut shares, step) = (vec![0; split.parts().len()], u64::MAX / points);
        for point in 0..points {
            shares[split.part_at(point * step + step / 2)] += 1;
        }
        shares
    }

    #[test]
    fn every_part_gets_its_share() {
        assert_eq!(shares(&split(&[95, 5]), 10_000), [9500, 500]);
        assert_eq!(shares(&split(&[1, 2, 1]), 4000), [1000, 2000, 1000]);
        assert_eq!(shares(&split(&[0, 3, 0]), 100), [0, 100, 0]);
        assert_eq!(shares(&split(&[65_535, 0, 65_535]), 100), [50, 0, 50]);
    }

    #[test]
    fn the_ends_of_the_range_belong_to_parts_with_a_weight() {
        let split = split(&[0, 1, 1, 0]);
        assert_eq!((split.part_at(0), split.part_at(u64::MAX)), (1, 2));
    }

    #[test]
    fn a_key_stays_with_its_part() {
        let split = split(&[95, 5]);
        let chance = || unreachable!("the key decides");
        let part = |key: usize| split.choose_by(&format!("session-{key}"), chance).part;
        let second: Vec<usize> = (0..200).filter(|key| part(*key) == 1).collect();
        // Another process and another version must say the same.
        assert_eq!(second, [6, 22, 72, 92, 107, 124]);
    }

    #[test]
    fn without_a_key_chance_decides() {
        let split = split(&[1, 1]);
        let choice = |point| split.choose_by("", || point);
        assert_eq!(choice(0), Choice { part: 0, by_key: false });
        assert_eq!(choice(u64::MAX), Choice { part: 1, by_key: false });
        assert!(split.choose_by("key", || 0).by_key);
    }

    #[test]
    fn when_weights_change_only_as_many_keys_move() {
        let (before, after) = (split(&[95, 5]), split(&[180, 20]));
        let moved = |key: &usize| {
            let part = |split: &Split| split.choose_by(&key.to_string(), || 0).part;
            let (before, after) = (part(&before), part(&after));
            assert!(before == after || (before, after) == (0, 1), "nobody comes back");
            before != after
        };
        let moved = (0..10_000).filter(moved).count();
        assert!((400..600).contains(&moved), "{moved} of 10000 moved for 5 %");
    }

    #[test]
    fn keys_spread_by_weight() {
        let split = split(&[95, 5]);
        let second = (0..10_000).filter(|n| split.choose_by(&n.to_string(), || 0).part == 1);
        // 500 are expected, and 22 is the standard deviation.
        let second = second.count();
        assert!((400..600).contains(&second), "{second} of 10000 for 5 %");
    }

    #[test]
    fn shares_are_told_in_percent() {
        let split = split(&[95, 5, 0, 100]);
        let told: Vec<_> = split.parts().iter().map(|part| split.percent(part)).collect();
        assert_eq!(told, [47.5, 2.5, 0.0, 50.0]);
    }

    #[test]
    fn what_is_wrong_is_told_at_its_part() {
        let part = |weight, upstream: &str| PartConfig { weight, upstream: upstream.into() };
        let config = |to| Config { to, sticky: None };
        let problems = config(vec![part(1, "a"), part(1, "b"), part(2, "a")]).problems();
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].0, Some(2));
        let problems = config(vec![part(0, "a"), part(0, "b")]).problems();
        assert_eq!((problems.len(), problems[0].0), (1, None));
        assert!(config(vec![part(0, "a"), part(1, "b")]).problems().is_empty());
    }
}
