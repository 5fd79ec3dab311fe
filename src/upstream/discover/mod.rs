//! How upstreams learn their endpoints: names, services and files, asked beside the requests.

mod config;
mod dns;
mod file;
mod found;
mod sources;

pub use config::{Config, Name, Resolver};
pub use dns::Dns;
pub(super) use sources::{Located, Sources, fixed};

use super::clock::millis;
use super::config::Member;
use crate::value::Diagnostic;
use async_trait::async_trait;
use found::{Find, Found, Tally, keep_fresh};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;

/// Asks once.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// All addresses of a name, IPv4 and IPv6.
    async fn addresses(&self, asked: &Asked) -> Result<Answer<IpAddr>, Failure>;

    /// All targets of a service.
    async fn services(&self, asked: &Asked) -> Result<Answer<Service>, Failure>;
}

/// What is asked for, and who is asked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Asked {
    /// The name of hosts or of a service.
    pub name: Box<str>,
    /// The name servers, each asked if those before it give no answer; none are the system's.
    pub resolvers: Arc<[SocketAddr]>,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    /// In any order; none is a failure.
    pub found: Vec<T>,
    /// How long it holds, if that was told.
    pub ttl: Option<Duration>,
}

/// A target of a service (SRV, RFC 2782).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// The lowest goes first.
    pub priority: u16,
    /// Its share among those of its priority.
    pub weight: u16,
    /// Its port.
    pub port: u16,
    /// Its name, without a dot at its end; `None` says that the service is not to be had.
    pub target: Option<Box<str>>,
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { priority, weight, port, target } = self;
        write!(f, "{priority} {weight} {port} {}", target.as_deref().unwrap_or("."))
    }
}

/// Why nothing could be found.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// Reads the endpoints that stand in a file.
pub type ReadList = fn(&Path) -> Result<Vec<Member>, Vec<Diagnostic>>;

/// The names, services and files in use; each is followed by one task however often it is mentioned.
pub struct Discovery {
    lookup: Arc<dyn Lookup>,
    read: ReadList,
    /// Milliseconds.
    drain: AtomicU64,
    addresses: Living<Asked, IpAddr>,
    services: Living<Asked, Service>,
    files: Living<PathBuf, Member>,
}

/// What is followed as long as somebody wants to know, so that a reload keeps what the document
/// before it learned.
type Living<K, T> = Mutex<HashMap<K, Weak<Found<T>>>>;

impl Discovery {
    /// Nothing yet; `lookup` will be asked, and `read` will read files. Streams of endpoints that
    /// are no longer found end after `drain`.
    pub fn new(lookup: Arc<dyn Lookup>, read: ReadList, drain: Duration) -> Arc<Self> {
        let (addresses, services, files) = Default::default();
        let drain = AtomicU64::new(millis(drain));
        Arc::new(Self { lookup, read, drain, addresses, services, files })
    }

    /// Streams of endpoints that are no longer found end after this from now on.
    pub fn drains_in(&self, drain: Duration) {
        self.drain.store(millis(drain), Relaxed);
    }

    fn addresses(&self, asked: &Asked) -> Watched<IpAddr> {
        watch(&self.addresses, asked, || {
            let (lookup, wanted) = (self.lookup.clone(), asked.clone());
            let ask = move || {
                let (lookup, wanted) = (lookup.clone(), wanted.clone());
                async move { lookup.addresses(&wanted).await }
            };
            Found::start(&asked.name, |known| keep_fresh(known, ask))
        })
    }

    fn services(&self, asked: &Asked) -> Watched<Service> {
        watch(&self.services, asked, || {
            let (lookup, wanted) = (self.lookup.clone(), asked.clone());
            let ask = move || {
                let (lookup, wanted) = (lookup.clone(), wanted.clone());
                async move { lookup.services(&wanted).await }
            };
            Found::start(&asked.name, |known| keep_fresh(known, ask))
        })
    }

    fn file(&self, path: &PathBuf) -> Watched<Member> {
        watch(&self.files, path, || {
            let (read, path) = (self.read, path.clone());
            Found::start(&path.display().to_string(), |known| file::keep_fresh(known, path, read))
        })
    }
}

/// Something that is found, and how much of its tally was seen.
struct Watched<T> {
    found: Arc<Found<T>>,
    tally: watch::Receiver<Tally>,
    seen: Tally,
}

/// What lives, or else what is started now; it is called inside a tokio runtime.
fn watch<K: Clone + Eq + Hash, T: Find>(
    living: &Living<K, T>,
    key: &K,
    start: impl FnOnce() -> Arc<Found<T>>,
) -> Watched<T> {
    let mut living = living.lock();
    if let Some(found) = living.get(key).and_then(Weak::upgrade) {
        let tally = found.tally();
        let seen = *tally.borrow();
        return Watched { found, tally, seen };
    }
    living.retain(|_, found| found.strong_count() > 0);
    let found = start();
    living.insert(key.clone(), Arc::downgrade(&found));
    let mut tally = found.tally();
    // It may have been looked for already, on another thread.
    tally.mark_changed();
    Watched { found, tally, seen: Tally::default() }
}

#[cfg(test)]
mod tests;
