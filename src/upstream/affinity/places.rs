//! Where the endpoints of a set are found again, computed when the set is.

use super::Claim;
use http::{HeaderName, HeaderValue};
use std::collections::HashMap;
use std::sync::Arc;

/// The endpoints of a set by what requests claim, and what clients of each are told.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Places {
    by_claim: HashMap<Claim, usize, foldhash::fast::RandomState>,
    told: Vec<Option<Arc<Told>>>,
}

/// A field of a response by which the client learns where it belongs.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// Its name.
    pub name: HeaderName,
    pub(super) in_clear: HeaderValue,
    pub(super) by_tls: HeaderValue,
}

impl Places {
    /// Endpoints with the value that their clients are told, and how.
    pub(super) fn told(
        values: impl Iterator<Item = (Claim, String)>,
        told: impl Fn(&str) -> Option<Told>,
    ) -> Self {
        let mut places = Self::default();
        for (place, (claim, value)) in values.enumerate() {
            places.by_claim.entry(claim).or_insert(place);
            places.told.push(told(&value).map(Arc::new));
        }
        places
    }

    /// Endpoints whose clients are told nothing.
    pub(super) fn untold(numbers: impl Iterator<Item = u64>) -> Self {
        let by_claim = numbers.enumerate().map(|(place, number)| (Claim::of(number), place));
        Self { by_claim: by_claim.collect(), told: Vec::new() }
    }

    /// The same endpoints under further claims.
    pub(super) fn and(mut self, also: impl Iterator<Item = Claim>) -> Self {
        for (place, claim) in also.enumerate() {
            self.by_claim.entry(claim).or_insert(place);
        }
        self
    }

    /// The place of the endpoint of a claim.
    pub(in crate::upstream) fn find(&self, claim: Claim) -> Option<usize> {
        self.by_claim.get(&claim).copied()
    }

    /// What a new client of the endpoint at a place is told.
    pub(in crate::upstream) fn tell(&self, place: usize) -> Option<Arc<Told>> {
        self.told.get(place)?.clone()
    }
}

impl Told {
    /// A field that is the same over TLS.
    pub(super) fn field(name: &HeaderName, value: &str) -> Option<Self> {
        let value: HeaderValue = value.parse().ok()?;
        Some(Self { name: name.clone(), in_clear: value.clone(), by_tls: value })
    }

    /// Its value for a client that came by TLS, or not.
    pub fn value(&self, is_tls: bool) -> &HeaderValue {
        if is_tls { &self.by_tls } else { &self.in_clear }
    }
}
