//! Which endpoint of an upstream an attempt goes to.

use super::{Set, Upstream};
use crate::upstream::affinity::Claim;
use crate::upstream::balance::{Eligible, Hash, Tried};
use crate::upstream::breaker::Circuit;
use crate::upstream::clock::Moment;
use crate::upstream::config::{self, Timeouts};
use crate::upstream::endpoint::{Endpoint, InFlight};
use crate::upstream::limits::Place;
use crate::upstream::peer::Follows;
use crate::upstream::picked::Picked;
use crate::upstream::standing::WHOLE;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an attempt goes by.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The endpoint that the client belongs to, if it says so.
    pub claim: Option<Claim>,
    /// What tells the request apart; empty is nothing.
    pub key: &'a str,
    /// Whether an endpoint will do that something speaks against, if the document agrees and no
    /// other is left.
    pub panics: bool,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// What follows its head.
    pub follows: Follows,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// None is left.
    Endpoint,
    /// Those that are left have as many requests as they may.
    Room,
    /// The one that the client belongs to, and no other will do.
    Own,
}

impl Upstream {
    /// Picks an endpoint that was not tried.
    pub fn pick(&self, tried: &mut Tried, terms: Terms<'_>) -> Result<Picked, Lack> {
        let set = self.set.load();
        tried.begin(set.serial);
        let started = Instant::now();
        let now = Moment::of(started);
        let own = self.claimed(&set, tried, &terms, now)?;
        let is_own = own.is_some();
        let (index, in_flight) = match own {
            Some(own) => own,
            None => self.choose(&set, tried, &terms, now)?,
        };
        if terms.claim.is_some() {
            self.count_claim(is_own);
        }
        let reached = set.members.get(index).ok_or(Lack::Endpoint)?;
        reached.mentioned.metrics.attempts.inc();
        let endpoint = in_flight.endpoint();
        let Terms { timeouts, follows, .. } = terms;
        Ok(Picked {
            index,
            started,
            peer: Some(reached.template.peer(endpoint, timeouts, follows, started)),
            in_flight,
            has_failed: false,
            told: set.places.tell(index).filter(|_| !is_own),
            authority: reached.authority.clone(),
            mentioned: reached.mentioned.clone(),
        })
    }

    /// A place among the requests that wait for room; `None` if too many wait already.
    pub fn queue(&self) -> Option<Place> {
        let gate = self.gate.as_ref()?;
        gate.queue(self.config.limits.pending as usize, &self.counts.pending)
    }

    /// How long a request waits for room.
    pub fn longest_pending(&self) -> Duration {
        self.config.limits.pending_timeout.0
    }

    fn choose(
        &self,
        set: &Set,
        tried: &Tried,
        terms: &Terms<'_>,
        now: Moment,
    ) -> Result<(usize, InFlight), Lack> {
        let in_flight = self.gate.as_ref().map_or(0, |gate| gate.in_flight());
        let good = Eligible::good(&set.candidates, tried, now).busy(in_flight);
        let is_slow = !self.config.slow_start.0.is_zero() && !set.is_alike(now);
        let drawn = if is_slow { fastrand::u64(..WHOLE) } else { 0 };
        let mut found = self.take(set, terms.key, good.drawn(drawn), now);
        if drawn > 0
            && let Err(lack) = found
        {
            // Whoever is left is fresh.
            found = self.take(set, terms.key, good, now);
            if lack == Lack::Endpoint && found.is_ok() && tried.is_empty() {
                set.all_are_fresh(now);
            }
        }
        match found {
            Err(Lack::Endpoint) if terms.panics && self.config.panic != config::Panic::Fail => {
                self.take(set, terms.key, good.wanted(), now)
            }
            found => found,
        }
    }

    /// Takes one of these, if there is room.
    fn take(
        &self,
        set: &Set,
        key: &str,
        eligible: Eligible<'_>,
        now: Moment,
    ) -> Result<(usize, InFlight), Lack> {
        let pick = |eligible: &Eligible<'_>| match key {
            "" => set.balancer.pick(eligible),
            key => set.balancer.pick_by(Hash::of(key), eligible),
        };
        let roomy = eligible.within(self.config.limits.room());
        // A breaker that has one request try refuses the next, and so does who is full: this ends.
        while let Some(index) = pick(&roomy) {
            let endpoint = &set.candidates.get(index).ok_or(Lack::Endpoint)?.endpoint;
            let is_trial = match eligible.is_any() {
                true => false,
                false => match self.tries(endpoint, now) {
                    Some(is_trial) => is_trial,
                    None => continue,
                },
            };
            match self.begin_as(endpoint, is_trial) {
                Ok(in_flight) => return Ok((index, in_flight)),
                Err(Full::Upstream) => return Err(Lack::Room),
                Err(Full::Endpoint) => {}
            }
        }
        match self.config.limits.limits() && pick(&eligible).is_some() {
            true => Err(Lack::Room),
            false => Err(Lack::Endpoint),
        }
    }

    /// Whether the request that goes to an endpoint tries whether it serves again; `None` if another
    /// one does.
    pub(super) fn tries(&self, endpoint: &Endpoint, now: Moment) -> Option<bool> {
        let standing = endpoint.standing();
        if !standing.is_ejected() {
            return Some(false);
        }
        if self.outlier.is_some() {
            if standing.begin_trial(now) {
                return Some(true);
            }
            if standing.circuit(now) != Circuit::Closed {
                return None;
            }
        }
        // Nobody judges here what comes of a trial.
        standing.readmit();
        Some(false)
    }

    /// A request begins, on which the endpoint's breaker may wait.
    pub(super) fn begin_as(
        &self,
        endpoint: &Arc<Endpoint>,
        is_trial: bool,
    ) -> Result<InFlight, Full> {
        match self.begin(endpoint) {
            Ok(in_flight) if is_trial => Ok(in_flight.on_trial()),
            Ok(in_flight) => Ok(in_flight),
            Err(full) => {
                if is_trial {
                    endpoint.standing().tells_nothing();
                }
                Err(full)
            }
        }
    }

    fn begin(&self, endpoint: &Arc<Endpoint>) -> Result<InFlight, Full> {
        let limits = &self.config.limits;
        let entered = match &self.gate {
            Some(gate) => {
                let most = limits.requests.on().map_or(usize::MAX, |most| most as usize);
                Some(gate.enter(most).ok_or(Full::Upstream)?)
            }
            None => None,
        };
        let in_flight = endpoint.begin_within(limits.room().of(endpoint)).ok_or(Full::Endpoint)?;
        Ok(in_flight.through(entered))
    }
}

/// Who has as many requests as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Upstream,
    Endpoint,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Registry;
    use crate::upstream::balance::{Balance, Candidate, First};
    use crate::upstream::{Config, Metrics, Security};
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    /// Counts how often it is asked.
    struct Counting(Arc<AtomicUsize>, First);

    impl Balance for Counting {
        fn pick(&self, eligible: &Eligible<'_>) -> Option<usize> {
            self.0.fetch_add(1, Relaxed);
            self.1.pick(eligible)
        }
    }

    #[test]
    fn where_all_are_fresh_few_picks_look_for_others() {
        let document = serde_json::json!({
            "endpoints": ["http://127.0.0.1:1"], "slow_start": "1h",
        });
        let config: Config = serde_json::from_value(document).unwrap();
        let metrics = Metrics::new(&Registry::new());
        let (security, states) = (Security::default(), Arc::default());
        let upstream = Upstream::new("app".into(), config, security, None, states, &metrics, None);
        let endpoint = upstream.set.load().candidates[0].endpoint.clone();
        let asked = Arc::<AtomicUsize>::default();
        let mut set = Set::none();
        set.candidates.push(Candidate { endpoint, weight: 1, priority: 0 });
        set.balancer = Box::new(Counting(asked.clone(), First::new(&set.candidates)));

        let (timeouts, follows) = (upstream.timeouts(), Follows::Nothing);
        let terms = Terms { claim: None, key: "", panics: true, timeouts, follows };
        let now = Moment::of(Instant::now());
        for _ in 0..1_000 {
            assert!(upstream.choose(&set, &Tried::new(), &terms, now).is_ok());
        }
        assert!(asked.load(Relaxed) < 1_100, "{asked:?}");
        // When it was long ago it is looked for again.
        let before = asked.load(Relaxed);
        let later = now.after(Duration::from_secs(1));
        for _ in 0..100 {
            assert!(upstream.choose(&set, &Tried::new(), &terms, later).is_ok());
        }
        assert!(asked.load(Relaxed) > before + 100);
    }
}
