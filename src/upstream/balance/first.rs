//! `first`: the first in the document that is left, whatever the weights.

use super::{Balance, Candidate, Tried};

/// Picks in the order of the document; the others only wait.
pub(crate) struct First;

impl Balance for First {
    fn pick(&self, candidates: &[Candidate], tried: &Tried) -> Option<usize> {
        let first = |backup| {
            let is_left = |(index, candidate): &(usize, &Candidate)| {
                candidate.backup == backup && candidate.weight > 0 && !tried.contains(*index)
            };
            candidates.iter().enumerate().find(is_left).map(|(index, _)| index)
        };
        first(false).or_else(|| first(true))
    }
}
