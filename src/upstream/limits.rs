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
    /// take. Default: it is not looked for.
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
        Room { most, is_adaptive: self.adaptive.is_some() }
    }
}

/// How many requests an endpoint may get at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    most: usize,
    is_adaptive: bool,
}

impl Room {
    /// As many as come.
    pub(super) const ENDLESS: Self = Self { most: usize::MAX, is_adaptive: false };

    /// Whether this one may get one more.
    pub(super) fn is_left_at(self, endpoint: &Endpoint) -> bool {
        let is_endless = self.most == usize::MAX && !self.is_adaptive;
        is_endless || endpoint.in_flight() < self.of(endpoint)
    }

    /// How many this one may get; the largest number is no limit.
    pub(super) fn of(self, endpoint: &Endpoint) -> usize {
        match self.is_adaptive {
            true => self.most.min(endpoint.pace().most()),
            false => self.most,
        }
    }
}
