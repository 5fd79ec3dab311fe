//! One address of an upstream and what is learned of it while it is in use.

use super::latency::Latency;
use super::limits::{Entered, Pace, Room};
use super::outlier::Tally;
use super::standing::Standing;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// What is connected to: never a name, which may stand for several.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// The path of a unix socket.
    Unix(Arc<Path>),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The living state of one endpoint; it lasts from its first mention to its last.
#[derive(Debug)]
pub struct Endpoint {
    label: Arc<str>,
    address: Address,
    in_flight: AtomicUsize,
    /// Of those in flight, how many it has not begun to answer; counted where that matters.
    awaited: AtomicUsize,
    requests: AtomicU64,
    /// 0 is unknown, [`SILENT`] is no hint, anything else is one more than the seconds.
    keep_alive: AtomicU32,
    /// What takes the place of the document's weight; [`DOCUMENTED`] is nothing.
    weight: AtomicU32,
    standing: Standing,
    tally: Tally,
    latency: Latency,
    pace: Pace,
    /// Why its last health check failed.
    illness: Mutex<Option<Arc<str>>>,
}

/// In the place of a weight: that of the document holds.
const DOCUMENTED: u32 = u32::MAX;

const SILENT: u32 = u32::MAX;

/// What an endpoint has said about how long it keeps an idle connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepAlive {
    /// It has not answered yet.
    Unknown,
    /// It has answered and said nothing.
    Silent,
    /// It closes an idle connection after this time.
    Timeout(Duration),
}

impl Endpoint {
    /// An endpoint of which nothing is known; [`States::endpoint`] reuses one that lives.
    pub fn new(label: Arc<str>, address: Address) -> Self {
        Self {
            label,
            address,
            in_flight: AtomicUsize::new(0),
            awaited: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            keep_alive: AtomicU32::new(0),
            weight: AtomicU32::new(DOCUMENTED),
            standing: Standing::default(),
            tally: Tally::default(),
            latency: Latency::default(),
            pace: Pace::default(),
            illness: Mutex::default(),
        }
    }

    /// The document's canonical text for it, in metrics and logs.
    pub fn label(&self) -> &Arc<str> {
        &self.label
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Whether it may be picked.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// How it fared lately.
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// How long its responses take.
    pub(super) fn latency(&self) -> &Latency {
        &self.latency
    }

    /// How many requests it can take at once, as far as is known.
    pub(super) fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Why its last health check failed; empty if none did.
    pub(super) fn illness(&self) -> String {
        self.illness.lock().as_deref().unwrap_or_default().to_owned()
    }

    /// Its health check failed.
    pub(super) fn falls_ill(&self, why: &str) {
        *self.illness.lock() = Some(why.into());
    }

    /// Its share in relation to the others', of which the document says this.
    pub(super) fn weight(&self, documented: u32) -> u32 {
        match self.weight.load(Relaxed) {
            DOCUMENTED => documented,
            weight => weight,
        }
    }

    /// Gives it another weight than the document does, or the document's again.
    pub(super) fn weigh(&self, weight: Option<u32>) {
        self.weight.store(weight.unwrap_or(DOCUMENTED), Relaxed);
    }

    /// Counts an attempt as in flight until the guard is dropped.
    pub fn begin(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Relaxed);
        self.begun()
    }

    /// The same, if there is room for it.
    pub(super) fn begin_within(self: &Arc<Self>, room: Room) -> Option<InFlight> {
        let below = |most| move |count: usize| (count < most).then_some(count + 1);
        let found = room.found(self);
        if let Some(most) = found {
            self.awaited.fetch_update(Relaxed, Relaxed, below(most)).ok()?;
        }
        if self.in_flight.fetch_update(Relaxed, Relaxed, below(room.most())).is_err() {
            if found.is_some() {
                self.awaited.fetch_sub(1, Relaxed);
            }
            return None;
        }
        let mut begun = self.begun();
        begun.is_awaited = found.is_some();
        Some(begun)
    }

    fn begun(self: &Arc<Self>) -> InFlight {
        self.requests.fetch_add(1, Relaxed);
        let endpoint = Arc::clone(self);
        InFlight { endpoint, has_ended: false, is_trial: false, is_awaited: false, entered: None }
    }

    /// Attempts that it has not begun to answer, where that is counted.
    pub(super) fn awaited(&self) -> usize {
        self.awaited.load(Relaxed)
    }

    /// Attempts that have begun and not ended.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Relaxed)
    }

    /// Attempts that have begun since the endpoint was first mentioned.
    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    /// What it has said about idle connections.
    pub fn keep_alive(&self) -> KeepAlive {
        match self.keep_alive.load(Relaxed) {
            0 => KeepAlive::Unknown,
            SILENT => KeepAlive::Silent,
            more => KeepAlive::Timeout(Duration::from_secs(u64::from(more) - 1)),
        }
    }

    /// Learns from the `Keep-Alive` field of a response, or from its absence.
    ///
    /// Silence does not unlearn a timeout: many servers leave the field out of some responses.
    pub fn learn(&self, field: Option<&str>) {
        let known = self.keep_alive.load(Relaxed);
        let learned = match field.and_then(timeout) {
            Some(secs) => secs.saturating_add(1).min(SILENT - 1),
            None if known == 0 => SILENT,
            None => known,
        };
        // An unchanged value is not written, so that the cores can share the line.
        if learned != known {
            self.keep_alive.store(learned, Relaxed);
        }
    }
}

/// The seconds in `timeout=5, max=100`.
fn timeout(field: &str) -> Option<u32> {
    field.split(',').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_timeout = name.trim().eq_ignore_ascii_case("timeout");
        is_timeout.then(|| value.trim().trim_matches('"').parse().ok())?
    })
}

/// One attempt in flight at an endpoint.
#[must_use = "the attempt ends when the guard is dropped"]
#[derive(Debug)]
pub struct InFlight {
    endpoint: Arc<Endpoint>,
    has_ended: bool,
    /// Whether its circuit breaker waits for what comes of it.
    is_trial: bool,
    /// Whether it counts among those that the endpoint has not begun to answer.
    is_awaited: bool,
    /// Its place in the upstream, where places are counted.
    entered: Option<Entered>,
}

impl InFlight {
    /// The endpoint of the attempt.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Says that the circuit breaker of the endpoint waits for what comes of it.
    pub(super) fn on_trial(mut self) -> Self {
        self.is_trial = true;
        self
    }

    /// Leaves the upstream when it ends.
    pub(super) fn through(mut self, entered: Option<Entered>) -> Self {
        self.entered = entered;
        self
    }

    /// Whether the circuit breaker waits; it is told now.
    pub(super) fn is_trial(&mut self) -> bool {
        std::mem::take(&mut self.is_trial)
    }

    /// The endpoint begins to answer.
    pub(super) fn is_answered(&mut self) {
        if std::mem::take(&mut self.is_awaited) {
            self.endpoint.awaited.fetch_sub(1, Relaxed);
            self.entered.iter().for_each(Entered::makes_room);
        }
    }

    /// Ends the attempt before the guard is dropped: the endpoint has done its part.
    pub fn end(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.is_answered();
            self.endpoint.in_flight.fetch_sub(1, Relaxed);
            // Whoever waits looks at the endpoint next.
            self.entered = None;
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.end();
        if self.is_trial {
            self.endpoint.standing.tells_nothing();
        }
    }
}

/// The endpoints that live, found again by upstream, label and address when a document is compiled
/// anew.
#[derive(Debug, Default)]
pub struct States {
    living: Mutex<Living>,
}

/// The names of upstream and endpoint, and an address.
type Identity = (Arc<str>, Arc<str>, Address);

#[derive(Debug, Default)]
struct Living {
    endpoints: HashMap<Identity, Weak<Endpoint>, foldhash::fast::RandomState>,
    prune_at: usize,
}

impl States {
    /// The living endpoint of this identity, or a new one.
    pub fn endpoint(
        &self,
        upstream: &Arc<str>,
        label: &Arc<str>,
        address: &Address,
    ) -> Arc<Endpoint> {
        let identity = (Arc::clone(upstream), Arc::clone(label), address.clone());
        let mut living = self.living.lock();
        if let Some(endpoint) = living.endpoints.get(&identity).and_then(Weak::upgrade) {
            return endpoint;
        }
        living.prune();
        let endpoint = Arc::new(Endpoint::new(Arc::clone(label), address.clone()));
        living.endpoints.insert(identity, Arc::downgrade(&endpoint));
        endpoint
    }
}

impl Living {
    /// Forgets the dead whenever the map has doubled, so that a look-up costs little on average.
    fn prune(&mut self) {
        if self.endpoints.len() >= self.prune_at {
            self.endpoints.retain(|_, endpoint| endpoint.strong_count() > 0);
            self.prune_at = (2 * self.endpoints.len()).max(16);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(port: u16) -> Address {
        Address::Tcp(([127, 0, 0, 1], port).into())
    }

    fn endpoint() -> Arc<Endpoint> {
        Arc::new(Endpoint::new("http://a:80".into(), tcp(80)))
    }

    #[test]
    fn an_attempt_is_in_flight_until_its_guard_is_dropped() {
        let endpoint = endpoint();
        let first = endpoint.begin();
        let second = endpoint.begin();
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (2, 2));
        drop(first);
        assert_eq!((second.endpoint().in_flight(), endpoint.requests()), (1, 2));
        drop(second);
        assert_eq!((endpoint.in_flight(), endpoint.requests()), (0, 2));
        let mut third = endpoint.begin();
        third.end();
        assert_eq!(endpoint.in_flight(), 0);
        drop(third);
        assert_eq!(endpoint.in_flight(), 0);
    }

    #[test]
    fn the_timeout_is_read_from_the_field() {
        for (field, secs) in [
            ("timeout=5", 5),
            ("timeout=5, max=100", 5),
            ("max=100,Timeout = 75", 75),
            ("timeout=\"30\"", 30),
            ("timeout=0", 0),
            ("timeout=4294967295", 4_294_967_293),
        ] {
            let endpoint = endpoint();
            endpoint.learn(Some(field));
            let learned = KeepAlive::Timeout(Duration::from_secs(secs));
            assert_eq!(endpoint.keep_alive(), learned, "{field}");
        }
    }

    #[test]
    fn a_field_without_a_timeout_is_silence() {
        for field in
            ["", "max=100", "timeout", "timeout=", "timeout=-1", "timeout=soon", "timeouts=5"]
        {
            let endpoint = endpoint();
            endpoint.learn(Some(field));
            assert_eq!(endpoint.keep_alive(), KeepAlive::Silent, "{field}");
        }
    }

    #[test]
    fn silence_is_learned_but_unlearns_nothing() {
        let endpoint = endpoint();
        assert_eq!(endpoint.keep_alive(), KeepAlive::Unknown);
        endpoint.learn(None);
        assert_eq!(endpoint.keep_alive(), KeepAlive::Silent);
        endpoint.learn(Some("timeout=5"));
        endpoint.learn(None);
        assert_eq!(endpoint.keep_alive(), KeepAlive::Timeout(Duration::from_secs(5)));
        endpoint.learn(Some("timeout=65"));
        assert_eq!(endpoint.keep_alive(), KeepAlive::Timeout(Duration::from_secs(65)));
    }

    #[test]
    fn a_living_endpoint_is_found_again() {
        let states = States::default();
        let label: Arc<str> = "http://a:80".into();
        let first = states.endpoint(&"u".into(), &label, &tcp(1));
        let attempt = first.begin();
        let again = states.endpoint(&"u".into(), &"http://a:80".into(), &tcp(1));
        assert!(Arc::ptr_eq(&first, &again));
        assert_eq!(again.in_flight(), 1);

        let elsewhere = states.endpoint(&"u".into(), &label, &tcp(2));
        assert!(!Arc::ptr_eq(&first, &elsewhere), "another address is another endpoint");
        let other = states.endpoint(&"v".into(), &label, &tcp(1));
        assert!(!Arc::ptr_eq(&first, &other), "another upstream may judge it otherwise");
        drop(attempt);
    }

    #[test]
    fn an_attempt_keeps_its_endpoint_alive() {
        let states = States::default();
        let label: Arc<str> = "unix:/run/a".into();
        let address = Address::Unix(Path::new("/run/a").into());
        let attempt = states.endpoint(&"u".into(), &label, &address).begin();
        assert_eq!(states.endpoint(&"u".into(), &label, &address).in_flight(), 1);
        drop(attempt);
        assert_eq!(
            states.endpoint(&"u".into(), &label, &address).requests(),
            0,
            "it was forgotten"
        );
    }

    #[test]
    fn the_dead_are_forgotten() {
        let states = States::default();
        let label: Arc<str> = "http://a:80".into();
        let kept = states.endpoint(&"u".into(), &label, &tcp(1));
        for port in 2..10_000 {
            states.endpoint(&"u".into(), &label, &tcp(port));
        }
        assert!(states.living.lock().endpoints.len() <= 16);
        assert!(Arc::ptr_eq(&kept, &states.endpoint(&"u".into(), &label, &tcp(1))));
    }
}
