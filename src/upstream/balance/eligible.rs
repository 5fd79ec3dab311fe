//! Which candidates may be picked.

use super::{Candidate, Tried};
use crate::upstream::clock::Moment;
use crate::upstream::limits::Room;

/// The candidates of an upstream, as one exchange sees them.
#[derive(Clone, Copy, Debug)]
pub(in crate::upstream) struct Eligible<'a> {
    pub(super) candidates: &'a [Candidate],
    tried: &'a Tried,
    /// When they are looked at.
    pub(super) now: Moment,
    /// Whether those too are taken that something speaks against.
    is_any: bool,
    /// The draw by which the fresh get their share; 0 does not mind that they are.
    drawn: u64,
    room: Room,
    /// Attempts in flight at all of them; counted only where a balancer asks.
    pub(super) in_flight: usize,
}

impl<'a> Eligible<'a> {
    /// Those that nothing speaks against.
    pub(in crate::upstream) fn good(
        candidates: &'a [Candidate],
        tried: &'a Tried,
        now: Moment,
    ) -> Self {
        let (is_any, drawn, room, in_flight) = (false, 0, Room::ENDLESS, 0);
        Self { candidates, tried, now, is_any, drawn, room, in_flight }
    }

    /// All that are to get requests, however they fared.
    pub(in crate::upstream) fn wanted(self) -> Self {
        Self { is_any: true, ..self }
    }

    /// Whether those too are there that something speaks against.
    pub(in crate::upstream) fn is_any(&self) -> bool {
        self.is_any
    }

    /// Those of them that have room.
    pub(in crate::upstream) fn within(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// Those of them that a request with this draw may get, as long as some are fresh.
    pub(in crate::upstream) fn drawn(self, drawn: u64) -> Self {
        Self { drawn, ..self }
    }

    /// Whether a request with a draw looks.
    pub(super) fn is_drawn(&self) -> bool {
        self.drawn > 0
    }

    /// The same, of which so many attempts are in flight.
    pub(in crate::upstream) fn busy(self, in_flight: usize) -> Self {
        Self { in_flight, ..self }
    }

    /// Whether one may be picked.
    pub(super) fn contains(&self, index: usize) -> bool {
        !self.tried.contains(index)
            && self.candidates.get(index).is_some_and(|Candidate { endpoint, .. }| {
                let standing = endpoint.standing();
                let is_fit = match self.is_any {
                    false => standing.is_good(self.now, self.drawn),
                    true => standing.is_wanted(),
                };
                is_fit && self.room.is_left_at(endpoint)
            })
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a Candidate> {
        self.candidates.get(index)
    }
}
