//! Which candidates may be picked.

use super::{Candidate, Tried};
use crate::upstream::clock::Moment;

/// The candidates of an upstream, as one exchange sees them.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Eligible<'a> {
    pub(super) candidates: &'a [Candidate],
    tried: &'a Tried,
    /// When they are looked at; `None` takes those too of which something speaks against.
    now: Option<Moment>,
}

impl<'a> Eligible<'a> {
    /// Those that nothing speaks against.
    pub(in crate::upstream) fn good(
        candidates: &'a [Candidate],
        tried: &'a Tried,
        now: Moment,
    ) -> Self {
        Self { candidates, tried, now: Some(now) }
    }

    /// All that are to get requests, however they fared.
    pub(in crate::upstream) fn wanted(candidates: &'a [Candidate], tried: &'a Tried) -> Self {
        Self { candidates, tried, now: None }
    }

    /// Whether one may be picked.
    pub(super) fn contains(&self, index: usize) -> bool {
        !self.tried.contains(index)
            && self.candidates.get(index).is_some_and(|candidate| {
                let standing = candidate.endpoint.standing();
                self.now.map_or_else(|| standing.is_wanted(), |now| standing.is_good(now))
            })
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a Candidate> {
        self.candidates.get(index)
    }
}
