//! What an upstream learns of its endpoints from live traffic.

use super::Upstream;
use crate::exchange::Cause;
use crate::upstream::clock::Moment;
use crate::upstream::config::Balance;
use crate::upstream::outcome::Outcome;
use crate::upstream::outlier::Members;
use crate::upstream::picked::Picked;
use std::time::Instant;

impl Upstream {
    /// Learns what came of an attempt.
    pub fn learn(&self, picked: &mut Picked, outcome: Outcome) {
        if let Outcome::Failed(cause) = outcome {
            picked.mentioned.metrics.count_failure(cause);
        }
        self.measure(picked, outcome);
        let Some(outlier) = &self.outlier else { return };
        let (now, is_trial) = (Instant::now(), picked.in_flight.is_trial());
        picked.has_failed = outlier.is_failure(outcome);
        if let Outcome::Answered(_) = outcome {
            if let Some(took) = picked.took(now) {
                outlier.responded(picked.endpoint(), took);
            }
            // Of a good head only a trial learns: its body may break off.
            if !is_trial && !picked.has_failed {
                return;
            }
        }
        let set = self.set.load();
        let members = Members { upstream: &self.name, candidates: &set.candidates };
        if outlier.judge(&members, picked.endpoint(), outcome, is_trial, Moment::of(now)) {
            picked.mentioned.metrics.ejections.inc();
        }
    }

    /// Learns how long an attempt took, where that matters.
    fn measure(&self, picked: &mut Picked, outcome: Outcome) {
        let (adaptive, is_peak) =
            (&self.config.limits.adaptive, self.config.balance == Balance::PeakEwma);
        if adaptive.is_none() && !is_peak {
            return;
        }
        let now = Instant::now();
        let took = picked.took(now);
        // After the head, how long it takes is up to the client and to what it asked for.
        if std::mem::replace(&mut picked.has_answered, true) {
            return;
        }
        let now = Moment::of(now);
        let (endpoint, awaited) = (picked.endpoint(), picked.endpoint().awaited());
        match (outcome, took) {
            (Outcome::Answered(_), Some(took)) if is_peak => endpoint.latency().took(took, now),
            (Outcome::Failed(cause), took) if is_peak && cause.is_upstream() => {
                endpoint.latency().failed(took.unwrap_or_default(), now);
            }
            _ => {}
        }
        // Who fails fast says nothing of how much it can take.
        let is_told = matches!(
            outcome,
            Outcome::Answered(_) | Outcome::Failed(Cause::UpstreamTimeoutResponse)
        );
        if let (Some(config), Some(took), true) = (adaptive, took, is_told) {
            endpoint.pace().took(config, took, awaited, now);
        }
        picked.in_flight.is_answered();
    }

    /// Learns that a response was whole.
    pub fn completed(&self, picked: &Picked) {
        if self.outlier.is_some() && !picked.has_failed {
            picked.endpoint().tally().succeeded();
        }
    }

    /// Takes out whoever is far slower than the others.
    pub(super) fn compare(&self) {
        let set = self.set.load();
        let Some(outlier) = &self.outlier else { return };
        let members = Members { upstream: &self.name, candidates: &set.candidates };
        for place in outlier.compare(&members, Moment::of(Instant::now())) {
            if let Some(reached) = set.members.get(place) {
                reached.mentioned.metrics.ejections.inc();
            }
        }
    }
}
