//! The checks that are under way.

use super::probe::Manner;
use super::tally::Tally;
use super::{Ask, Failure, warm_up};
use crate::observe::Gauge;
use crate::upstream::endpoint::{Address, Endpoint};
use crate::upstream::metrics::{Checked, Metrics};
use crate::upstream::standing::Health;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// The checks of an upstream's endpoints. Documents that follow each other hand them on, so that
/// the results outlive what does not change; only one document at a time says who is checked.
pub(in crate::upstream) struct Checks {
    upstream: Arc<str>,
    metrics: Metrics,
    turns: AtomicU64,
    living: Mutex<Living>,
}

/// One document's right to say who is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::upstream) struct Turn(u64);

/// An address that an upstream has.
pub(in crate::upstream) struct Wanted {
    /// The living endpoint.
    pub endpoint: Arc<Endpoint>,
    /// How it is asked; `None` if it is not.
    pub ask: Option<Arc<dyn Ask>>,
}

/// A label and an address.
type Identity = (Arc<str>, Address);

struct Living {
    /// Whose turn it is.
    turn: Turn,
    endpoints: HashMap<Identity, Known>,
    /// The number of the last task.
    last: u64,
}

/// An address and, if it is checked, by what.
struct Known {
    endpoint: Arc<Endpoint>,
    task: Option<Task>,
}

/// A task that asks one endpoint again and again, until this is dropped.
struct Task {
    number: u64,
    manner: Arc<Manner>,
    tally: Tally,
    metrics: Checked,
    /// Becomes true with the first result.
    has_result: watch::Sender<bool>,
    handle: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl Checks {
    /// Nothing is checked yet.
    pub(in crate::upstream) fn new(upstream: Arc<str>, metrics: Metrics) -> Arc<Self> {
        let living = Living { turn: Turn(0), endpoints: HashMap::new(), last: 0 };
        Arc::new(Self { upstream, metrics, turns: AtomicU64::new(0), living: Mutex::new(living) })
    }

    /// The turn of a further document, which begins with [`Self::take`].
    pub(in crate::upstream) fn turn(&self) -> Turn {
        Turn(self.turns.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// From now on a document says who is checked.
    pub(in crate::upstream) fn take(&self, turn: Turn) {
        self.living.lock().turn = turn;
    }

    /// Checks these from now on, and nobody else, if it is the turn of who says so. It is called
    /// inside a tokio runtime; `wanted` is looked at when no other call can come between.
    pub(in crate::upstream) fn keep(
        self: &Arc<Self>,
        turn: Turn,
        manner: Option<&Arc<Manner>>,
        wanted: impl FnOnce() -> Vec<Wanted>,
    ) {
        let mut living = self.living.lock();
        if living.turn != turn {
            return;
        }
        let mut before = std::mem::take(&mut living.endpoints);
        for Wanted { endpoint, ask } in wanted() {
            let identity = (Arc::clone(endpoint.label()), endpoint.address().clone());
            if living.endpoints.contains_key(&identity) {
                continue;
            }
            let known = before.remove(&identity);
            let is_new = known.is_none();
            let is_warm = !is_new && endpoint.standing().health() == Health::Healthy;
            let task = match (manner.zip(ask), known.and_then(|known| known.task)) {
                (Some((manner, _)), Some(task)) if task.manner.is(manner) => Some(task),
                // The one before ends when the new one has its metrics, so that they go on.
                (Some((manner, ask)), _before) => {
                    if is_new {
                        endpoint.standing().checked(Health::Unchecked);
                    }
                    living.last += 1;
                    Some(self.start(living.last, &identity, manner, ask, is_warm))
                }
                (None, _) => {
                    endpoint.standing().checked(Health::Healthy);
                    None
                }
            };
            living.endpoints.insert(identity, Known { endpoint, task });
        }
        living.show();
    }

    /// Checks nobody any more, until a document takes its turn.
    pub(in crate::upstream) fn end(&self) {
        let mut living = self.living.lock();
        living.turn = Turn(0);
        living.endpoints.clear();
    }

    /// Waits until each has had a result.
    pub(in crate::upstream) async fn settled(&self) {
        let tasks = |living: &Living| -> Vec<_> {
            let tasks = living.endpoints.values().filter_map(|known| known.task.as_ref());
            tasks.map(|task| task.has_result.subscribe()).collect()
        };
        let waiting = tasks(&self.living.lock());
        for mut has_result in waiting {
            // It fails only if the check has ended.
            let _ = has_result.wait_for(|has_result| *has_result).await;
        }
    }

    fn start(
        self: &Arc<Self>,
        number: u64,
        identity: &Identity,
        manner: &Arc<Manner>,
        ask: Arc<dyn Ask>,
        is_warm: bool,
    ) -> Task {
        let metrics = self.metrics.checked(&self.upstream, &identity.0);
        let (manner, tally) = (Arc::clone(manner), Tally::default());
        let (checks, identity) = (Arc::downgrade(self), identity.clone());
        let asking = Asking { checks, identity, number, manner: manner.clone(), ask, is_warm };
        let handle = tokio::spawn(asking.again()).abort_handle();
        Task { number, manner, tally, metrics, has_result: watch::Sender::new(false), handle }
    }

    /// Takes the result of a task and gives what is known after it; `None` if it is wanted no more.
    fn note(
        &self,
        identity: &Identity,
        number: u64,
        result: &Result<(), Failure>,
    ) -> Option<Health> {
        let (endpoint, before, now) = {
            let mut living = self.living.lock();
            let Some(Known { endpoint, task: Some(task) }) = living.endpoints.get_mut(identity)
            else {
                return None;
            };
            if task.number != number {
                return None;
            }
            let before = endpoint.standing().health();
            let now = match &task.manner.check {
                Some(check) => {
                    let Checked { passed, failed, .. } = &task.metrics;
                    if result.is_ok() {
                        passed.inc()
                    } else {
                        failed.inc()
                    }
                    task.tally.note(before, result.is_ok(), check.thresholds)
                }
                None => Health::Healthy,
            };
            if let Err(Failure(why)) = result {
                endpoint.falls_ill(why);
            }
            endpoint.standing().checked(now);
            let endpoint = Arc::clone(endpoint);
            task.has_result.send_replace(true);
            living.show();
            (endpoint, before, now)
        };
        self.tell(&endpoint, before, now, result);
        Some(now)
    }

    fn tell(&self, endpoint: &Endpoint, before: Health, now: Health, result: &Result<(), Failure>) {
        let (upstream, address) = (&*self.upstream, endpoint.address());
        let endpoint = &**endpoint.label();
        match result {
            Err(why) if now == Health::Unhealthy && before != now => {
                tracing::warn!(upstream, endpoint, %address, %why, "an endpoint is unhealthy");
            }
            Ok(()) if now == Health::Healthy && before == Health::Unhealthy => {
                tracing::info!(upstream, endpoint, %address, "an endpoint is healthy again");
            }
            _ => {}
        }
    }
}

impl Living {
    /// Shows how many addresses of each label are healthy.
    fn show(&self) {
        let mut healthy: HashMap<&str, (&Gauge, i64)> = HashMap::new();
        for ((label, _), known) in &self.endpoints {
            if let Some(task) = &known.task {
                let (_, count) = healthy.entry(label).or_insert((&task.metrics.healthy, 0));
                *count += i64::from(known.endpoint.standing().health() == Health::Healthy);
            }
        }
        healthy.values().for_each(|(gauge, count)| gauge.set(*count));
    }
}

/// What a task goes by.
struct Asking {
    checks: Weak<Checks>,
    identity: Identity,
    number: u64,
    manner: Arc<Manner>,
    ask: Arc<dyn Ask>,
    /// Whether the endpoint serves, or could as far as its warm-up goes.
    is_warm: bool,
}

impl Asking {
    async fn again(mut self) {
        loop {
            let began = Instant::now();
            let result = self.once().await;
            if result.is_ok() && !self.is_warm {
                self.warm().await;
            }
            let Some(checks) = self.checks.upgrade() else { return };
            match checks.note(&self.identity, self.number, &result) {
                Some(Health::Unhealthy) => self.is_warm = false,
                Some(_) => {}
                None => return,
            }
            drop(checks);
            // Without a check, nothing else is asked.
            let Some(check) = &self.manner.check else { return };
            tokio::time::sleep_until(began + jittered(check.interval)).await;
        }
    }

    async fn once(&self) -> Result<(), Failure> {
        let Some(check) = &self.manner.check else { return Ok(()) };
        let told = tokio::time::timeout(check.timeout.0, self.ask.ask()).await;
        let late = || Failure(format!("it did not answer within {}", check.timeout));
        told.unwrap_or_else(|_| Err(late()))
    }

    async fn warm(&mut self) {
        let upstream = self.checks.upgrade().map(|checks| checks.upstream.clone());
        if let (Some(warm_up), Some(upstream)) = (&self.manner.warm_up, upstream) {
            warm_up::warm(warm_up, &*self.ask, &upstream, &self.identity.0).await;
        }
        self.is_warm = true;
    }
}

/// A tenth more or less, so that many checks do not stay in step.
fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

#[cfg(test)]
mod tests;
