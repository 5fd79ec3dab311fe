//! `limits`: how many requests an upstream and its endpoints get at once, and who waits.

mod adaptive;
mod gate;

pub(super) use adaptive::Pace;
pub use gate::Place;
pub(super) use gate::{Entered, Gate};

use super::endpoint::Endpoint;
use crate::value::{Duration, Limit};
use schemars::JsonSchema;
use serde::Deserialize;

/// How many requests an upstream and its endpoints get at once. An upgraded connection counts as
/// long as it lasts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "upstream-limits")]
pub struct Config {
    /// For all endpoints together. Default: `off`.
    #[schemars(with = "Limit<super::config::OneOrMore>")]
    pub requests: Limit<u32>,
    /// For each endpoint. Default: `off`.
    #[schemars(with = "Limit<super::config::OneOrMore>")]
    pub requests_per_endpoint: Limit<u32>,
    /// Finds for each endpoint how many requests it can take at once, by how long its responses
    /// take; those that it has begun to answer do not count. Default: it is not looked for.
    pub adaptive: Option<adaptive::Config>,
    /// How many requests wait for their turn; further ones get 503 at once. Default: 500.
    pub pending: u32,
    /// How long a request waits for its turn, before it gets 503. Default: `5s`.
    pub pending_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests: Limit::Off,
            requests_per_endpoint: Limit::Off,
            adaptive: None,
            pending: 500,
            pending_timeout: Duration::secs(5),
        }
    }
}

impl Config {
    /// Whether something is limited.
    pub fn limits(&self) -> bool {
        self.requests.on().is_some()
            || self.requests_per_endpoint.on().is_some()
            || self.adaptive.is_some()
    }

    /// What each endpoint may get.
    pub(super) fn room(&self) -> Room {
        let most = self.requests_per_endpoint.on().map_or(usize::MAX, |most| most as usize);
        let bounds = self
            .adaptive
            .as_ref()
            .map(|adaptive| (adaptive.least as usize, adaptive.most.max(adaptive.least) as usize));
        Room { most, bounds }
    }
}

/// How many requests an endpoint may get at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    most: usize,
    /// Between which what was found is kept, of those whose responses are awaited.
    bounds: Option<(usize, usize)>,
}

impl Room {
    /// As many as come.
    pub(super) const ENDLESS: Self = Self { most: usize::MAX, bounds: None };

    /// Whether this one may get one more.
    pub(super) fn is_left_at(self, endpoint: &Endpoint) -> bool {
        let has_place = self.most == usize::MAX || endpoint.in_flight() < self.most;
        has_place && self.found(endpoint).is_none_or(|most| endpoint.awaited() < most)
    }

    /// How many may be in flight; the largest number is no limit.
    pub(super) fn most(self) -> usize {
        self.most
    }

    /// How many responses of this one may be awaited, if that is looked for.
    pub(super) fn found(self, endpoint: &Endpoint) -> Option<usize> {
        self.bounds.map(|(least, most)| endpoint.pace().most().clamp(least, most))
    }

    /// What this one may get, whatever limits it; the largest number is no limit.
    pub(super) fn of(self, endpoint: &Endpoint) -> usize {
        self.found(endpoint).map_or(self.most, |most| most.min(self.most))
    }
}
