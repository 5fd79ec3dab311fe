//! What the endpoints of an upstream are at one moment, for people and programs.

use super::breaker::Circuit;
use super::clock::Moment;
use super::endpoint::Endpoint;
use super::standing::{Health, WHOLE};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What an operator has done with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It gets no further requests, but those of clients that belong to it for so long.
    Drain {
        /// How long.
        keeps_for: Duration,
    },
    /// It gets requests again.
    Resume,
    /// It gets another weight than the document gives it, or that again.
    Weigh(Option<u32>),
}

/// An upstream and its endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub upstream: String,
    /// Requests that wait until an endpoint has room.
    pub pending: usize,
    /// Each of its addresses, in the order of the document.
    pub endpoints: Vec<EndpointStatus>,
}

/// One address of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointStatus {
    /// The endpoint as the document has it.
    pub endpoint: String,
    /// Where it is.
    pub address: String,
    /// Its share in relation to the others', whoever gave it.
    pub weight: u32,
    /// It is used only when none of a lower number is left.
    pub priority: u32,
    /// Whether it gets requests.
    #[serde(flatten)]
    pub state: State,
    /// Requests that it has not answered yet.
    pub in_flight: usize,
    /// How many it may get at once; `None` if that is not limited.
    pub most: Option<usize>,
    /// Requests that it got since it was first mentioned.
    pub requests: u64,
}

/// Whether an endpoint gets requests, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It does.
    Serving,
    /// It does, but is new or well again, and gets a part of its share only.
    Fresh {
        /// How much, in percent.
        share: u64,
    },
    /// Its health check has had no result yet.
    Unchecked,
    /// Its health check failed.
    Unhealthy {
        /// Why.
        why: String,
    },
    /// Outlier detection took it out.
    Ejected {
        /// Why.
        why: String,
        /// Seconds until one request tries.
        tries_in: u64,
    },
    /// One request is to try whether it serves again.
    Trying {
        /// Why it was taken out.
        why: String,
    },
    /// An operator wants it to get no further ones.
    Draining {
        /// Seconds for which clients that belong to it are kept; absent where none do.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keeps_for: Option<u64>,
    },
}

impl State {
    pub(super) fn of(endpoint: &Endpoint, has_clients: bool, now: Moment) -> Self {
        let standing = endpoint.standing();
        if standing.is_draining() {
            let left = standing.keeps_until().since(now).as_secs();
            return Self::Draining { keeps_for: has_clients.then_some(left) };
        }
        match standing.health() {
            Health::Unhealthy => return Self::Unhealthy { why: endpoint.illness() },
            Health::Unchecked => return Self::Unchecked,
            Health::Healthy => {}
        }
        let why = || endpoint.tally().why();
        match standing.circuit(now) {
            Circuit::Closed => match standing.share(now) {
                WHOLE => Self::Serving,
                share => Self::Fresh { share: share * 100 / WHOLE },
            },
            Circuit::Open => {
                Self::Ejected { why: why(), tries_in: standing.tries_in(now).as_secs() }
            }
            Circuit::HalfOpen => Self::Trying { why: why() },
        }
    }
}
