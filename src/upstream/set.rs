//! An upstream and the endpoints it has at the moment.

mod affine;
mod choose;
mod judge;

pub use choose::{Lack, Terms};

use super::affinity::{self, Affinity, Places};
use super::balance::{Balance, Candidate, First, Hash, LeastRequest, PeakEwma, Random, RoundRobin};
use super::clock::Moment;
use super::config::{self, Config, Timeouts};
use super::discover::{Discovery, Located, Sources, fixed};
use super::endpoint::{Endpoint, States};
use super::health::{Checks, Manner, Turn, Wanted};
use super::limits::Gate;
use super::mentioned::{Mentioned, Mentions};
use super::metrics::{Metrics, OfUpstream};
use super::outcome::Outcome;
use super::outlier::Outlier;
use super::peer::{Follows, Template};
use super::picked::Picked;
use super::proxy_protocol;
use super::retry::Retry;
use super::standing::WHOLE;
use super::status::{Act, EndpointStatus, State, UpstreamStatus};
use super::tls::Security;
use super::url::Url;
use crate::exchange::{Client, Connection};
use crate::expr;
use crate::value::Switch;
use arc_swap::ArcSwap;
use http::HeaderValue;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// A named group of equivalent endpoints, compiled.
pub struct Upstream {
    /// Its name in the document.
    pub name: Arc<str>,
    config: Config,
    security: Security,
    states: Arc<States>,
    affinity: Option<Affinity>,
    retry: Option<Retry>,
    outlier: Option<Outlier>,
    counts: OfUpstream,
    metrics: Metrics,
    mentions: Mentions,
    set: ArcSwap<Set>,
    /// What the set was made of, and whether that is all.
    located: Mutex<(Vec<Located>, bool)>,
    /// Counts what is in flight, where that matters, and has requests wait.
    gate: Option<Arc<Gate>>,
    /// Whether requests go by its document.
    is_serving: AtomicBool,
    /// How its endpoints are checked, if they are.
    manner: Option<Arc<Manner>>,
    checks: Arc<Checks>,
    turn: Turn,
    /// The tasks that learn of its endpoints, and that compare them.
    followers: OnceLock<Vec<AbortHandle>>,
}

/// The endpoints of an upstream at one moment.
struct Set {
    /// Its number among all sets.
    serial: u64,
    candidates: Vec<Candidate>,
    members: Vec<Reached>,
    /// Where clients find their endpoint again.
    places: Places,
    balancer: Box<dyn Balance>,
    /// The largest share of those that serve, and until when nobody looks anew.
    largest_share: AtomicU64,
    looks_at: AtomicU64,
}

/// How often the largest share is looked for: each look asks all endpoints.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

/// How one candidate is reached.
struct Reached {
    template: Template,
    /// The `Host` it is sent if the document says `endpoint`.
    authority: HeaderValue,
    mentioned: Arc<Mentioned>,
}

impl Upstream {
    /// Compiles an upstream. Endpoints that are names have no address before [`Self::follow`].
    /// Streams of those that the one before it had go on. The key is for affinity.
    pub fn new(
        name: Arc<str>,
        config: Config,
        security: Security,
        key: Option<&affinity::Key>,
        states: Arc<States>,
        metrics: &Metrics,
        before: Option<&Self>,
    ) -> Arc<Self> {
        let now = Moment::of(Instant::now());
        let retry = config.retry.clone().map(|retry| Retry::new(retry, now));
        let outlier = config.outlier.clone().map(Outlier::new);
        let affinity = config.affinity.clone().map(|affinity| {
            let before = before.and_then(|before| before.affinity.as_ref());
            Affinity::new(affinity, key, metrics.affinity(&name), before)
        });
        let manner = Manner::new(&config, &security);
        let checks = match before {
            Some(before) => before.checks.clone(),
            None => Checks::new(name.clone(), metrics.clone()),
        };
        let gate = config.counts_all().then(|| {
            // What is in flight for the document before this one is in flight all the same.
            before.and_then(|before| before.gate.clone()).unwrap_or_default()
        });
        let mentions = Mentions::going_on_with(before.map(|b| &b.mentions), &name, metrics);
        let upstream = Self {
            counts: metrics.of_upstream(&name),
            name,
            config,
            security,
            states,
            affinity,
            retry,
            outlier,
            manner,
            turn: checks.turn(),
            checks,
            mentions,
            metrics: metrics.clone(),
            set: ArcSwap::from_pointee(Set::none()),
            located: Mutex::default(),
            gate,
            is_serving: AtomicBool::new(false),
            followers: OnceLock::new(),
        };
        let is_whole = upstream.config.discover.is_none();
        upstream.rebuild(fixed(&upstream.config), is_whole, None);
        Arc::new(upstream)
    }

    /// Whether it is what these would compile to.
    pub fn is(&self, config: &Config, security: &Security) -> bool {
        self.config == *config && self.security.is(security)
    }

    /// Ends the streams of endpoints that a newer one lacks in so long; all, if there is none. It
    /// follows nothing any more.
    pub fn end_gone(&self, newer: Option<&Self>, longest: Duration) {
        if newer.is_some_and(|newer| std::ptr::eq(newer, self)) {
            return;
        }
        if newer.is_none() {
            self.end_checks();
        }
        self.mentions.end_gone(newer.map(|newer| &newer.mentions), longest);
        self.followers.get().into_iter().flatten().for_each(AbortHandle::abort);
        if let Some(newer) = newer {
            newer.show();
        }
    }

    /// Shows how many addresses it has.
    fn show(&self) {
        let count = self.set.load().candidates.len();
        self.counts.endpoints.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// How long it waits, and for what.
    pub fn timeouts(&self) -> Timeouts {
        self.config.timeouts
    }

    /// The `Host` that is sent to a picked endpoint; `None` leaves the client's, if it has one.
    pub fn host<'a>(&'a self, picked: &'a Picked, has_host: bool) -> Option<&'a HeaderValue> {
        match &self.config.host {
            config::Host::Client if has_host => None,
            config::Host::Client | config::Host::Endpoint => Some(&picked.authority),
            config::Host::Name(name) => Some(name),
        }
    }

    /// Whether endpoints get `Forwarded`.
    pub fn sends_forwarded(&self) -> bool {
        self.config.forwarded == Some(Switch::On)
    }

    /// The key by which requests are told apart, if endpoints are picked by one.
    pub fn key(&self) -> Option<&expr::Template> {
        match &self.config.balance {
            config::Balance::Hash(by) => Some(&by.key),
            _ => None,
        }
    }

    /// How its endpoints fare.
    pub fn status(&self) -> UpstreamStatus {
        let (set, now) = (self.set.load(), Moment::of(Instant::now()));
        let room = self.config.limits.room();
        let status = |candidate: &Candidate| EndpointStatus {
            endpoint: candidate.endpoint.label().to_string(),
            address: candidate.endpoint.address().to_string(),
            weight: candidate.weight,
            priority: candidate.priority,
            state: State::of(&candidate.endpoint, self.affinity.is_some(), now),
            in_flight: candidate.endpoint.in_flight(),
            most: Some(room.of(&candidate.endpoint)).filter(|most| *most < usize::MAX),
            requests: candidate.endpoint.requests(),
        };
        let endpoints = set.candidates.iter().map(status).collect();
        let pending = self.gate.as_ref().map_or(0, |gate| gate.waiting());
        UpstreamStatus { upstream: self.name.to_string(), pending, endpoints }
    }

    /// Does this with the endpoints of this label or address; gives how many there are.
    pub fn act(&self, endpoint: &str, act: Act) -> usize {
        let located = self.located.lock();
        let (set, now) = (self.set.load(), Moment::of(Instant::now()));
        let meant = set.candidates.iter().map(|candidate| &candidate.endpoint).filter(|known| {
            **known.label() == *endpoint || known.address().to_string() == endpoint
        });
        let does = |known: &Arc<Endpoint>| match act {
            Act::Drain { keeps_for } => known.standing().drain(now.after(keeps_for)),
            Act::Resume => known.standing().resume(),
            Act::Weigh(weight) => known.weigh(weight),
        };
        let count = meant.map(does).count();
        if matches!(act, Act::Weigh(_)) && count > 0 {
            self.build(&located.0, located.1, None);
        }
        count
    }

    /// A request begins, whose retries are to be paid for.
    pub fn begins(&self) {
        if let Some(retry) = &self.retry {
            retry.begins(|| Moment::of(Instant::now()));
        }
    }

    /// Whether the document has a request sent again, after so many attempts of which the last one
    /// ended so.
    pub fn wants_retry(&self, outcome: Outcome, attempts: u32) -> bool {
        self.retry.as_ref().is_some_and(|retry| retry.wants(outcome, attempts))
    }

    /// Takes a retry out of the budget; false if that is used up.
    pub fn affords_retry(&self) -> bool {
        let Some(retry) = &self.retry else { return false };
        let is_affordable = retry.afford(Moment::of(Instant::now()));
        let metrics = if is_affordable { &self.counts.retries } else { &self.counts.unaffordable };
        metrics.inc();
        is_affordable
    }

    /// How long the attempt after so many may take until its response begins, if a further one is
    /// left.
    pub fn patience(&self, attempts: u32) -> Option<Duration> {
        self.retry.as_ref()?.patience(attempts)
    }

    /// How long to wait before the retry of this number, from 1.
    pub fn wait(&self, number: u32) -> Duration {
        self.retry.as_ref().map_or(Duration::ZERO, |retry| retry.wait(number))
    }

    /// Has a connection to a picked endpoint begin with a PROXY header, if the document says so.
    pub fn announce(&self, picked: &mut Picked, connection: &Connection, client: &Client) {
        if let (Some(version), Some(peer)) =
            (self.config.proxy_protocol.version(), &mut picked.peer)
        {
            proxy_protocol::announce(peer, version, proxy_protocol::ends(connection, client));
        }
    }

    /// Discovers its endpoints, and goes on with that as long as it lives.
    ///
    /// It returns when everything was looked for once, and is called inside a tokio runtime; once
    /// it was called, a further call does nothing.
    pub async fn follow(self: &Arc<Self>, discovery: &Arc<Discovery>) {
        if self.followers.get().is_some() {
            return;
        }
        self.show();
        let sources = Sources::of(&self.config, discovery, || self.metrics.discoveries(&self.name));
        let settled = watch::Sender::new(sources.is_none());
        let mut is_settled = settled.subscribe();
        let follows = sources.map(|sources| {
            tokio::spawn(follow(Arc::downgrade(self), sources, settled)).abort_handle()
        });
        let compares = self
            .outlier
            .as_ref()
            .and_then(Outlier::compares_every)
            .map(|every| tokio::spawn(compare(Arc::downgrade(self), every)).abort_handle());
        // Nobody else was faster: documents follow each other.
        let _ = self.followers.set(follows.into_iter().chain(compares).collect());
        // It fails only if the task was ended, and then nobody waits for its endpoints.
        let _ = is_settled.wait_for(|is_settled| *is_settled).await;
    }

    /// Has its endpoints checked as its document says, from now on and in the place of the one
    /// before it; it is called inside a tokio runtime.
    pub fn check(&self) {
        self.checks.take(self.turn);
        self.keep_checks();
    }

    /// Has none of its endpoints checked any more.
    pub fn end_checks(&self) {
        self.checks.end();
    }

    /// Waits until each of its endpoints that is checked was checked once.
    pub async fn checked(&self) {
        self.checks.settled().await;
    }

    fn keep_checks(&self) {
        self.checks.keep(self.turn, self.manner.as_ref(), || {
            let set = self.set.load();
            let reached = set.candidates.iter().zip(&set.members);
            reached.map(|(candidate, reached)| self.wanted(&candidate.endpoint, reached)).collect()
        });
    }

    fn wanted(&self, endpoint: &Arc<Endpoint>, reached: &Reached) -> Wanted {
        let ask = self.manner.as_ref().map(|manner| {
            let (timeouts, now) = (self.config.timeouts, Instant::now());
            let mut peer = reached.template.peer(endpoint, timeouts, Follows::Nothing, now);
            if let Some(version) = self.config.proxy_protocol.version() {
                proxy_protocol::announce(&mut peer, version, None);
            }
            manner.ask(peer, reached.authority.clone())
        });
        Wanted { endpoint: endpoint.clone(), ask }
    }

    /// Goes on with these endpoints. If they are all there are, those that it had besides are gone,
    /// and their streams end in so long, if that is said.
    fn rebuild(&self, located: Vec<Located>, is_whole: bool, end: Option<Duration>) {
        let mut last = self.located.lock();
        *last = (located, is_whole);
        self.build(&last.0, is_whole, end);
    }

    /// From now on requests go by this document.
    pub fn serves(&self) {
        // Whoever builds another set waits until this one is settled.
        let _located = self.located.lock();
        self.is_serving.store(true, Ordering::Relaxed);
        self.settle(&self.set.load());
        if let Some(affinity) = &self.affinity {
            affinity.serves();
        }
    }

    /// Tells living endpoints what this document makes of them; one that does not serve must not.
    fn settle(&self, set: &Set) {
        for (Candidate { endpoint, .. }, reached) in set.candidates.iter().zip(&set.members) {
            if self.outlier.is_none() {
                // Where nobody is judged, nobody is out.
                endpoint.standing().readmit();
            }
            endpoint.standing().starts_slowly(self.config.slow_start.0);
            let shown = self.config.limits.adaptive.as_ref();
            let label = &reached.mentioned.label;
            endpoint.pace().show(shown.map(|_| self.metrics.concurrency(&self.name, label)));
        }
    }

    /// Whoever calls this holds the lock of `located`.
    fn build(&self, located: &[Located], is_whole: bool, end: Option<Duration>) {
        let mut set = Set::none();
        let mut mentions = Vec::new();
        for Located { member, addresses } in located {
            let mentioned = self.mentions.of(&member.url);
            for address in addresses {
                let template = Template::new(&member.url, address, &self.config, &self.security);
                let Some(template) = template else { continue };
                set.members.push(Reached {
                    template,
                    authority: authority(&member.url),
                    mentioned: mentioned.clone(),
                });
                let endpoint = self.states.endpoint(&self.name, &mentioned.label, address);
                let (weight, priority) = (endpoint.weight(member.weight), member.priority);
                set.candidates.push(Candidate { endpoint, weight, priority });
            }
            mentions.push(mentioned);
        }
        set.balancer = match &self.config.balance {
            config::Balance::RoundRobin => Box::new(RoundRobin::new(&set.candidates)),
            config::Balance::LeastRequest => Box::new(LeastRequest::new(&set.candidates)),
            config::Balance::Random => Box::new(Random::new(&set.candidates)),
            config::Balance::First => Box::new(First::new(&set.candidates)),
            config::Balance::PeakEwma => Box::new(PeakEwma::new(&set.candidates)),
            config::Balance::Hash(by) => Box::new(Hash::new(&set.candidates, by.load_at_most.on())),
        };
        if let Some(affinity) = &self.affinity {
            let endpoints = set.candidates.iter().map(|candidate| &candidate.endpoint);
            set.places = affinity.places(&self.name, endpoints);
        }
        if self.is_serving.load(Ordering::Relaxed) {
            self.settle(&set);
        }
        self.set.store(Arc::new(set));
        self.keep_checks();
        if is_whole {
            self.mentions.keep(&mentions, end);
        }
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.followers.get().into_iter().flatten().for_each(AbortHandle::abort);
    }
}

impl Set {
    fn none() -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(1);
        Self {
            serial: SERIAL.fetch_add(1, Ordering::Relaxed),
            candidates: Vec::new(),
            members: Vec::new(),
            places: Places::default(),
            balancer: Box::new(RoundRobin::new(&[])),
            largest_share: AtomicU64::new(WHOLE),
            looks_at: AtomicU64::new(0),
        }
    }

    /// What the endpoint gets that is fresh for longest, in thousandths of its share; never 0.
    fn largest_share(&self, now: Moment) -> u64 {
        if now.0 >= self.looks_at.load(Ordering::Relaxed) {
            self.looks_at.store(now.after(LOOKS_EVERY).0, Ordering::Relaxed);
            let standings = self.candidates.iter().map(|candidate| candidate.endpoint.standing());
            let good = standings.filter(|standing| standing.is_good(now, 0));
            let largest = good.map(|standing| standing.share(now)).max().unwrap_or(WHOLE);
            self.largest_share.store(largest, Ordering::Relaxed);
        }
        self.largest_share.load(Ordering::Relaxed).max(1)
    }
}

/// Has an upstream go on with what its sources tell.
async fn follow(upstream: Weak<Upstream>, mut sources: Sources, settled: watch::Sender<bool>) {
    let (mut is_first, mut is_news) = (true, true);
    loop {
        let is_settled = sources.is_settled();
        // At first, what is known serves while the rest is looked up. After that, what is new
        // waits for its addresses, and what was there before serves meanwhile.
        if is_news && (is_first || is_settled) {
            let Some(upstream) = upstream.upgrade() else { return };
            // What is gone at first is told by the reload that brought the upstream.
            let end = (!is_first).then(|| sources.drain());
            upstream.rebuild(sources.located(), sources.is_whole(), end);
            upstream.show();
            is_news = false;
        }
        if is_first && is_settled {
            is_first = false;
            settled.send_replace(true);
        }
        is_news |= sources.changed().await;
    }
}

/// Compares endpoints now and then, as long as there is an upstream.
async fn compare(upstream: Weak<Upstream>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(upstream) = upstream.upgrade() else { return };
        upstream.compare();
    }
}

/// The `Host` of an endpoint: without the scheme's own port; a unix socket is `localhost`.
fn authority(url: &Url) -> HeaderValue {
    let text = match url {
        Url::Unix(_) => "localhost".to_owned(),
        Url::Tcp { host, port, .. } => {
            let name = url.name().map_or_else(|| host.to_string(), str::to_owned);
            let default = if url.is_tls() { 443 } else { 80 };
            if *port == default { name } else { format!("{name}:{port}") }
        }
    };
    text.parse().unwrap_or(HeaderValue::from_static("localhost"))
}

impl std::fmt::Debug for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upstream").field("name", &self.name).finish_non_exhaustive()
    }
}
