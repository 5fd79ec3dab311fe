//! Affinity: a client's requests go to the endpoint that served its first one.

mod arr;
mod config;
mod cookie;
mod key;
mod learned;
mod places;
mod signalr;

pub(super) use config::Failure;
pub use config::{Config, Domain, Fault, Name, Path};
pub use key::{Key, Unkept};
pub(super) use places::Places;
pub use places::Told;
pub use signalr::Listener;
pub(super) use signalr::is_negotiation;

use super::clock::Moment;
use super::endpoint::Endpoint;
use super::metrics::Affine;
use config::Mode;
use http::HeaderMap;
use learned::Learned;
use std::sync::Arc;

/// The affinity of an upstream, compiled.
#[derive(Debug)]
pub(super) struct Affinity {
    config: Config,
    key: Option<Key>,
    /// The connections of SignalR, which documents hand on.
    learned: Option<Arc<Learned>>,
    pub(super) counts: Arc<Affine>,
}

/// The endpoint that a request says it belongs to, by its number among all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Claim(u128);

impl Affinity {
    /// The affinity that a document wants. Without a key of its own the process's is used; without
    /// any, nobody is told where to come back.
    pub(super) fn new(
        config: Config,
        key: Option<&Key>,
        counts: Affine,
        before: Option<&Self>,
    ) -> Self {
        let key = config.secret.as_ref().map(Key::of).or_else(|| key.cloned());
        let before = before.and_then(|before| before.learned.clone());
        let learned = before.or_else(|| config.signalr.map(Learned::new).map(Arc::new));
        Self { config, key, learned, counts: Arc::new(counts) }
    }

    /// What is done with a request whose endpoint does not serve.
    pub(super) fn failure(&self) -> Failure {
        self.config.failure
    }

    /// From now on requests go by this document.
    pub(super) fn serves(&self) {
        if let (Some(signalr), Some(learned)) = (self.config.signalr, &self.learned) {
            learned.bound(signalr);
        }
    }

    /// Where each of an upstream's endpoints is found again.
    pub(super) fn places<'a>(
        &self,
        upstream: &str,
        endpoints: impl Iterator<Item = &'a Arc<Endpoint>>,
    ) -> Places {
        let endpoints: Vec<_> = endpoints.collect();
        match (self.config.mode(), &self.key) {
            (Ok(Mode::Cookie(cookie)), Some(key)) => {
                let values = endpoints.iter().map(|endpoint| key.value(upstream, endpoint));
                Places::told(values, |value| cookie.told(value))
            }
            (Ok(Mode::Header(name)), Some(key)) => {
                let values = endpoints.iter().map(|endpoint| key.value(upstream, endpoint));
                Places::told(values, |value| Told::field(&name.0, value))
            }
            (Ok(Mode::Arr(cookie)), _) => {
                let names = arr::names(&endpoints);
                let also = names.iter().map(|name| arr::plain(name));
                let values = names.iter().map(|name| arr::value(name));
                Places::told(values, |value| cookie.told(value)).and(also)
            }
            (Ok(Mode::SignalR), _) => {
                Places::untold(endpoints.iter().map(|endpoint| signalr::number(endpoint)))
            }
            _ => Places::default(),
        }
    }

    /// The endpoint that a request says it belongs to; what nobody here can have told is nothing.
    pub(super) fn claim(&self, headers: &HeaderMap, query: &str, now: Moment) -> Option<Claim> {
        let mode = self.config.mode().ok()?;
        if matches!(mode, Mode::Cookie(_) | Mode::Header(_)) && self.key.is_none() {
            // Without a key nobody was told anything.
            return None;
        }
        match mode {
            Mode::Cookie(cookie) => cookie.values(headers).find_map(key::claim),
            Mode::Arr(cookie) => cookie.values(headers).find_map(arr::claim),
            Mode::Header(name) => {
                let mut values = headers.get_all(&name.0).iter();
                let only = values.next().filter(|_| values.next().is_none())?;
                key::claim(only.to_str().ok()?)
            }
            Mode::SignalR => {
                let learned = self.learned.as_ref()?;
                learned.find(&signalr::id(query)?, now).map(Claim::of)
            }
        }
    }

    /// What learns from an endpoint's response to a negotiation of SignalR.
    pub(super) fn listener(&self, endpoint: &Endpoint) -> Option<Listener> {
        let learned = self.learned.as_ref().filter(|_| self.learns())?;
        Some(Listener::new(signalr::number(endpoint), learned.clone(), self.counts.clone()))
    }

    /// Whether it learns from responses.
    pub(super) fn learns(&self) -> bool {
        self.config.signalr.is_some()
    }
}

impl Claim {
    fn of(number: u64) -> Self {
        Self(number.into())
    }

    /// From the first 32 digits of so many of base 16, in either case.
    fn read(text: &str, digits: usize) -> Option<Self> {
        let is_form = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let first = text.get(..32).filter(|_| is_form)?;
        u128::from_str_radix(first, 16).ok().map(Self)
    }
}
