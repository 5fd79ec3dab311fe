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
            asked: (follows != Follows::Body).then_some(started),
            peer: Some(reached.template.peer(endpoint, timeouts, follows, started)),
            in_flight,
            has_failed: false,
            has_answered: false,
            told: set.places.tell(index).filter(|_| !is_own),
            authority: reached.authority.clone(),
            mentioned: reached.mentioned.clone(),
        })
    }

    /// A place among the requests that wait for room; `None` if too many wait already. Who
    /// is particular does not take any endpoint.
    pub fn queue(&self, is_particular: bool) -> Option<Place> {
        let gate = self.gate.as_ref()?;
        gate.queue(self.config.limits.pending as usize, is_particular, &self.counts.pending)
    }

    /// Whether requests wait that take any endpoint, so that whoever comes now waits behind them.
    pub fn has_line(&self) -> bool {
        self.gate.as_ref().is_some_and(|gate| gate.has_line())
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
        let is_slow = !self.config.slow_start.0.is_zero();
        let drawn = if is_slow { fastrand::u64(..set.largest_share(now)) } else { 0 };
        let found = self.take(set, terms.key, good.drawn(drawn), now);
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
        let most = limits.requests.on().map_or(usize::MAX, |most| most as usize);
        if self.gate.as_ref().is_some_and(|gate| gate.in_flight() >= most) {
            return Err(Full::Upstream);
        }
        // The upstream comes last: whoever left it again would call those who wait.
        let in_flight = endpoint.begin_within(limits.room()).ok_or(Full::Endpoint)?;
        let Some(gate) = &self.gate else { return Ok(in_flight) };
        Ok(in_flight.through(Some(gate.enter(most).ok_or(Full::Upstream)?)))
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
    use crate::upstream::standing::WHOLE;
    use crate::upstream::{Config, Metrics, Security};
    use std::time::Duration;

    fn upstream(document: serde_json::Value) -> Arc<Upstream> {
        let config: Config = serde_json::from_value(document).unwrap();
        let (metrics, states) = (Metrics::new(&Registry::new()), Arc::default());
        Upstream::new("app".into(), config, Security::default(), None, states, &metrics, None)
    }

    fn terms(upstream: &Upstream) -> Terms<'static> {
        let (timeouts, follows) = (upstream.timeouts(), Follows::Nothing);
        Terms { claim: None, key: "", panics: true, timeouts, follows }
    }

    #[test]
    fn who_is_fresher_gets_less_however_fresh_all_are() {
        let upstream = upstream(serde_json::json!({
            "endpoints": ["http://127.0.0.1:1", "http://127.0.0.1:2"], "slow_start": "10s",
        }));
        upstream.serves();
        let set = upstream.set.load();
        let later = Moment::of(Instant::now()).after(Duration::from_secs(9));
        // The second one has just begun.
        let second = set.candidates[1].endpoint.standing();
        second.drain(Moment(0));
        second.resume();
        second.begins_at(later);
        let mut picks = [0; 2];
        for _ in 0..10_000 {
            let (index, _) =
                upstream.choose(&set, &Tried::new(), &terms(&upstream), later).unwrap();
            picks[index] += 1;
        }
        assert!((300..1_300).contains(&picks[1]), "{picks:?}");
    }

    #[test]
    fn a_backup_gets_nothing_while_who_goes_before_it_is_fresh() {
        let upstream = upstream(serde_json::json!({
            "endpoints": ["http://127.0.0.1:1", { "url": "http://127.0.0.1:2", "backup": true }],
            "slow_start": "10s",
        }));
        upstream.serves();
        let (set, now) = (upstream.set.load(), Moment::of(Instant::now()));
        let late = now.after(Duration::from_secs(11));
        assert_eq!(set.candidates[1].endpoint.standing().share(late), WHOLE);
        for _ in 0..1_000 {
            let (index, _) = upstream.choose(&set, &Tried::new(), &terms(&upstream), now).unwrap();
            assert_eq!(index, 0);
        }
    }

    #[test]
    fn who_is_refused_calls_nobody_who_waits() {
        let upstream = upstream(serde_json::json!({
            "endpoints": ["http://127.0.0.1:1"],
            "limits": { "requests_per_endpoint": 1, "requests": 5 },
        }));
        let _held = upstream.pick(&mut Tried::new(), terms(&upstream)).unwrap();
        let place = upstream.queue(false).unwrap();
        let endpoint = upstream.set.load().candidates[0].endpoint.clone();
        for _ in 0..3 {
            assert_eq!(upstream.begin_as(&endpoint, false).err(), Some(Full::Endpoint));
        }
        assert!(!place.is_called() && upstream.has_line());
    }
}
