//! How many results it takes to change a mind.

use crate::upstream::standing::Health;

/// The results in a row that speak against what is known.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Whether there was a result at all.
    has_begun: bool,
    against: u32,
}

/// After how many results in a row an endpoint is taken for what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thresholds {
    pub(super) healthy_after: u32,
    pub(super) unhealthy_after: u32,
}

impl Tally {
    /// Counts a result, and says what is known after it. The first one decides at once.
    pub(super) fn note(&mut self, known: Health, passed: bool, thresholds: Thresholds) -> Health {
        let (told, needed) = match passed {
            true => (Health::Healthy, thresholds.healthy_after),
            false => (Health::Unhealthy, thresholds.unhealthy_after),
        };
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        self.against = if told == known { 0 } else { self.against.saturating_add(1) };
        if is_first || self.against >= needed {
            self.against = 0;
            return told;
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is known after each of these results: `+` passed, `-` failed.
    fn known(first: Health, results: &str, healthy_after: u32, unhealthy_after: u32) -> String {
        let (mut tally, mut known) = (Tally::default(), first);
        let thresholds = Thresholds { healthy_after, unhealthy_after };
        let shown = results.chars().map(|result| {
            known = tally.note(known, result == '+', thresholds);
            match known {
                Health::Healthy => '+',
                Health::Unhealthy => '-',
                Health::Unchecked => '?',
            }
        });
        shown.collect()
    }

    #[test]
    fn the_first_result_decides_at_once() {
        for first in [Health::Healthy, Health::Unchecked, Health::Unhealthy] {
            assert_eq!(known(first, "+", 9, 9), "+");
            assert_eq!(known(first, "-", 9, 9), "-");
        }
    }

    #[test]
    fn later_ones_only_in_a_row() {
        assert_eq!(known(Health::Unchecked, "+--+---++", 1, 3), "++++++-++");
        assert_eq!(known(Health::Unchecked, "--+-++-+++", 3, 1), "---------+");
        assert_eq!(known(Health::Unchecked, "+-+-+-", 1, 1), "+-+-+-");
        assert_eq!(known(Health::Unchecked, "+--++--", 2, 2), "++--++-");
    }
}
