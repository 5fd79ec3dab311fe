//! Which endpoint of an upstream an attempt goes to.

use super::{Set, Upstream};
use crate::upstream::balance::{Eligible, Hash, Tried};
use crate::upstream::breaker::Circuit;
use crate::upstream::clock::Moment;
use crate::upstream::config::{self, Timeouts};
use crate::upstream::endpoint::InFlight;
use crate::upstream::peer::Follows;
use crate::upstream::picked::Picked;
use std::time::Instant;

impl Upstream {
    /// Picks an endpoint that was not tried; `None` if there is none. An empty key is none. Those
    /// that something speaks against are picked only if `panics`, and the document agrees.
    pub fn pick(
        &self,
        tried: &mut Tried,
        key: &str,
        panics: bool,
        timeouts: Timeouts,
        follows: Follows,
    ) -> Option<Picked> {
        let set = self.set.load();
        tried.begin(set.serial);
        let started = Instant::now();
        let (index, in_flight) = self.choose(&set, tried, key, panics, Moment::of(started))?;
        let reached = set.members.get(index)?;
        reached.mentioned.metrics.attempts.inc();
        let endpoint = in_flight.endpoint();
        Some(Picked {
            index,
            started,
            peer: Some(reached.template.peer(endpoint, timeouts, follows, started)),
            in_flight,
            has_failed: false,
            authority: reached.authority.clone(),
            mentioned: reached.mentioned.clone(),
        })
    }

    fn choose(
        &self,
        set: &Set,
        tried: &Tried,
        key: &str,
        panics: bool,
        now: Moment,
    ) -> Option<(usize, InFlight)> {
        let pick = |eligible: &Eligible<'_>| match key {
            "" => set.balancer.pick(eligible),
            key => set.balancer.pick_by(Hash::of(key), eligible),
        };
        // A breaker that has one request try refuses the next: so this ends.
        while let Some(index) = pick(&Eligible::good(&set.candidates, tried, now)) {
            let endpoint = &set.candidates.get(index)?.endpoint;
            let standing = endpoint.standing();
            if standing.is_ejected() {
                if standing.begin_trial(now) && self.outlier.is_some() {
                    return Some((index, endpoint.begin().on_trial()));
                }
                if self.outlier.is_some() && standing.circuit(now) != Circuit::Closed {
                    continue;
                }
                // Nobody judges here what comes of a trial.
                standing.readmit();
            }
            return Some((index, endpoint.begin()));
        }
        if !panics || self.config.panic == config::Panic::Fail {
            return None;
        }
        let index = pick(&Eligible::wanted(&set.candidates, tried))?;
        Some((index, set.candidates.get(index)?.endpoint.begin()))
    }
}
