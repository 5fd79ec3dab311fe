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
            outlier.responded(picked.endpoint(), now.saturating_duration_since(picked.started));
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
    fn measure(&self, picked: &Picked, outcome: Outcome) {
        let (adaptive, is_peak) =
            (&self.config.limits.adaptive, self.config.balance == Balance::PeakEwma);
        if adaptive.is_none() && !is_peak {
            return;
        }
        let (endpoint, now) = (picked.endpoint(), Instant::now());
        let (took, now) = (now.saturating_duration_since(picked.started), Moment::of(now));
        match outcome {
            Outcome::Answered(_) if is_peak => endpoint.latency().took(took, now),
            Outcome::Failed(_) if is_peak => endpoint.latency().failed(took, now),
            _ => {}
        }
        // Who fails fast says nothing of how much it can take.
        let is_told = matches!(
            outcome,
            Outcome::Answered(_) | Outcome::Failed(Cause::UpstreamTimeoutResponse)
        );
        if let Some(config) = adaptive.as_ref().filter(|_| is_told) {
            endpoint.pace().took(config, took, endpoint.in_flight(), now);
        }
    }

    /// Learns that a response was whole.
    pub fn completed(&self, picked: &Picked) {
        if self.outlier.is_some() && !picked.has_failed {
            picked.endpoint().tally().succeeded();
        }
    }

    /// From now on requests go by this document: where nobody is judged, nobody is out.
    pub fn serves(&self) {
        if self.outlier.is_none() {
            let set = self.set.load();
            set.candidates.iter().for_each(|candidate| candidate.endpoint.standing().readmit());
        }
        if let Some(affinity) = &self.affinity {
            affinity.serves();
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
