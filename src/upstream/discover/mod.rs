//! Names of endpoints and the addresses they stand for, looked up beside the requests.

mod dns;

pub use dns::Dns;

use arc_swap::{ArcSwap, Guard};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Asks once what addresses a name stands for.
#[async_trait]
pub trait Lookup: Send + Sync + 'static {
    /// All its addresses, IPv4 and IPv6.
    async fn lookup(&self, name: &str) -> Result<Answer, Failure>;
}

/// The addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// In any order; none is a failure.
    pub addresses: Vec<IpAddr>,
    /// How long they hold, if that was told.
    pub ttl: Option<Duration>,
}

/// Why a name could not be looked up.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

/// The names in use; each is looked up by one task however often it is mentioned.
pub struct Names {
    lookup: Arc<dyn Lookup>,
    living: Mutex<HashMap<Arc<str>, Weak<Discovered>>>,
}

impl Names {
    /// No name yet; all will be asked of `lookup`.
    pub fn new(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, living: Mutex::default() }
    }

    /// The living addresses of a name, so that a reload keeps what the document before it learned.
    ///
    /// It is called inside a tokio runtime, on which the look-ups then run.
    pub fn discover(&self, name: &str) -> Arc<Discovered> {
        let mut living = self.living.lock();
        if let Some(discovered) = living.get(name).and_then(Weak::upgrade) {
            return discovered;
        }
        living.retain(|_, discovered| discovered.strong_count() > 0);
        let discovered = Discovered::start(name.into(), Arc::clone(&self.lookup));
        living.insert(Arc::clone(&discovered.known.name), Arc::downgrade(&discovered));
        discovered
    }
}

/// The addresses of one name, kept fresh until this is dropped.
pub struct Discovered {
    known: Arc<Known>,
    /// `None` if the name is an address, which never changes.
    refresh: Option<AbortHandle>,
}

impl Discovered {
    /// Looks a name up at once and then again by its TTL; it is called inside a tokio runtime.
    pub fn start(name: Arc<str>, lookup: Arc<dyn Lookup>) -> Arc<Self> {
        let literal: Option<IpAddr> = name.parse().ok();
        let known = Arc::new(Known {
            name,
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            generation: watch::Sender::new(0),
            is_settled: watch::Sender::new(literal.is_some()),
        });
        let refresh = literal.is_none().then(|| {
            let known = Arc::clone(&known);
            tokio::spawn(async move { keep_fresh(&known, &*lookup).await }).abort_handle()
        });
        Arc::new(Self { known, refresh })
    }

    /// The name as the document writes it.
    pub fn name(&self) -> &str {
        &self.known.name
    }

    /// The last good answer, sorted; it is empty as long as there was none.
    pub fn addresses(&self) -> Guard<Arc<Vec<IpAddr>>> {
        self.known.addresses.load()
    }

    /// A generation that grows whenever the addresses change; subscribe before reading them.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.known.generation.subscribe()
    }

    /// Waits until the first look-up has ended, well or badly.
    pub async fn settled(&self) {
        // It fails only without a sender, and `self` holds the sender.
        let _ = self.known.is_settled.subscribe().wait_for(|is_settled| *is_settled).await;
    }
}

impl Drop for Discovered {
    fn drop(&mut self) {
        if let Some(refresh) = &self.refresh {
            refresh.abort();
        }
    }
}

/// What the task and those who read share.
struct Known {
    name: Arc<str>,
    addresses: ArcSwap<Vec<IpAddr>>,
    generation: watch::Sender<u64>,
    is_settled: watch::Sender<bool>,
}

const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(3600);
const WITHOUT_TTL: Duration = Duration::from_secs(30);

const FIRST_RETRY: Duration = Duration::from_secs(1);
const LAST_RETRY: Duration = Duration::from_secs(30);

async fn keep_fresh(known: &Known, lookup: &dyn Lookup) {
    // `None` as long as the last look-up went well.
    let mut retry = None;
    loop {
        let wait = match known.ask(lookup).await {
            Ok(answer) => {
                if retry.take().is_some() {
                    tracing::info!(name = &*known.name, "the name is looked up again");
                }
                known.learn(answer.addresses);
                answer.ttl.unwrap_or(WITHOUT_TTL).clamp(SHORTEST, LONGEST)
            }
            Err(error) => {
                if retry.is_none() {
                    known.warn(&error);
                }
                let wait = retry.map_or(FIRST_RETRY, |last: Duration| (last * 2).min(LAST_RETRY));
                *retry.insert(wait)
            }
        };
        known.is_settled.send_if_modified(|is_settled| !std::mem::replace(is_settled, true));
        tokio::time::sleep(wait).await;
    }
}

impl Known {
    async fn ask(&self, lookup: &dyn Lookup) -> Result<Answer, Failure> {
        let answer = lookup.lookup(&self.name).await?;
        if answer.addresses.is_empty() {
            return Err(Failure("the answer holds no address".into()));
        }
        Ok(answer)
    }

    fn learn(&self, mut addresses: Vec<IpAddr>) {
        // Servers rotate their answers, which is no change.
        addresses.sort_unstable();
        addresses.dedup();
        if **self.addresses.load() == addresses {
            return;
        }
        tracing::info!(name = &*self.name, ?addresses, "the name has new addresses");
        self.addresses.store(Arc::new(addresses));
        self.generation.send_modify(|generation| *generation += 1);
    }

    fn warn(&self, error: &Failure) {
        let kept = self.addresses.load().len();
        let name = &*self.name;
        if kept > 0 {
            tracing::warn!(name, %error, kept, "cannot look up a name; its addresses are kept");
        } else {
            tracing::warn!(name, %error, "cannot look up a name; it has no address yet");
        }
    }
}

#[cfg(test)]
mod tests;
