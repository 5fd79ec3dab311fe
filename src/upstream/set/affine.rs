//! Requests of clients that belong to an endpoint.

use super::choose::{Lack, Terms};
use super::{Set, Upstream};
use crate::exchange::Target;
use crate::upstream::affinity::{Claim, Failure, Listener, is_negotiation};
use crate::upstream::balance::Tried;
use crate::upstream::clock::Moment;
use crate::upstream::config::Panic;
use crate::upstream::endpoint::{Endpoint, InFlight};
use crate::upstream::picked::Picked;
use http::{HeaderMap, Method};
use std::time::Instant;

impl Upstream {
    /// The endpoint that a request says it belongs to, if clients belong to endpoints.
    pub fn claim(&self, headers: &HeaderMap, query: &str) -> Option<Claim> {
        self.affinity.as_ref()?.claim(headers, query, Moment::of(Instant::now()))
    }

    /// Whether the response to a negotiation is to be read, and so must come as it is.
    pub fn reads(&self, method: &Method, target: &Target) -> bool {
        self.affinity.as_ref().is_some_and(|affinity| affinity.learns())
            && is_negotiation(method, target.path())
    }

    /// What reads the response to a negotiation.
    pub fn listener(&self, picked: &Picked) -> Option<Listener> {
        self.affinity.as_ref()?.listener(picked.endpoint())
    }

    /// Says that a client was told where it belongs.
    pub fn told(&self) {
        if let Some(affinity) = &self.affinity {
            affinity.counts.new.inc();
        }
    }

    /// Counts what became of a claim.
    pub(super) fn count_claim(&self, is_kept: bool) {
        if let Some(affinity) = &self.affinity {
            let counter = if is_kept { &affinity.counts.kept } else { &affinity.counts.lost };
            counter.inc();
        }
    }

    /// Takes the endpoint of a claim, if it was not tried; `None` leaves it to the balancer. One
    /// that drains is taken until its deadline; one that something speaks against only where that
    /// will do and nobody is better.
    pub(super) fn claimed(
        &self,
        set: &Set,
        tried: &Tried,
        terms: &Terms<'_>,
        now: Moment,
    ) -> Result<Option<(usize, InFlight)>, Lack> {
        let (Some(claim), Some(affinity)) = (terms.claim, &self.affinity) else { return Ok(None) };
        let place = set.places.find(claim).filter(|place| !tried.contains(*place));
        let candidate = place.and_then(|place| Some((place, set.candidates.get(place)?)));
        if let Some((place, candidate)) = candidate {
            let endpoint = &candidate.endpoint;
            if !self.config.limits.room().is_left_at(endpoint) {
                return Err(Lack::Room);
            }
            let is_trial = match endpoint.standing().keeps(now) {
                true => self.tries(endpoint, now),
                false => (terms.panics && self.is_best(set, endpoint, now)).then_some(false),
            };
            if let Some(is_trial) = is_trial {
                let begun = self.begin_as(endpoint, is_trial).map_err(|_| Lack::Room)?;
                return Ok(Some((place, begun)));
            }
        }
        match affinity.failure() {
            Failure::Redistribute => Ok(None),
            Failure::Reply => {
                self.count_claim(false);
                Err(Lack::Own)
            }
        }
    }

    /// Whether nobody is better than an endpoint that something speaks against.
    fn is_best(&self, set: &Set, endpoint: &Endpoint, now: Moment) -> bool {
        let standing = endpoint.standing();
        self.config.panic == Panic::UseAll
            && (standing.is_wanted() || now < standing.keeps_until())
            && !set.candidates.iter().any(|other| other.endpoint.standing().is_good(now, 0))
    }
}
