//! Where the endpoints of one upstream come from.

use super::config::{Config, Resolver};
use super::{Asked, Discovery, Find, Service, Watched};
use crate::upstream::config::{self, Member};
use crate::upstream::endpoint::Address;
use crate::upstream::metrics::Discoveries;
use crate::upstream::url::{Host, Scheme, Url, read_host};
use futures::future::{FutureExt, select_all};
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// An endpoint as it is named, and the addresses it has at the moment.
pub(crate) struct Located {
    pub(crate) member: Member,
    pub(crate) addresses: Vec<Address>,
}

/// What an upstream learns its endpoints from, and what is known of it.
pub(crate) struct Sources {
    discovery: Arc<Discovery>,
    /// Those that are always the same.
    fixed: Vec<Wanted>,
    list: List,
    /// The addresses of the names among all of them.
    addresses: HashMap<Asked, Watched<IpAddr>>,
    discoveries: Discoveries,
}

/// A member, and who is asked for the addresses of its name.
struct Wanted {
    member: Member,
    resolvers: Arc<[SocketAddr]>,
}

/// Members that come and go.
enum List {
    None,
    Services(Watched<Service>, Scheme, Arc<[SocketAddr]>),
    File(Watched<Member>),
}

/// The members of a document that are always the same; names have no addresses yet.
pub(crate) fn fixed(config: &config::Config) -> Vec<Located> {
    wanted(config).iter().map(|wanted| wanted.located(&[])).collect()
}

impl Sources {
    /// The sources of an upstream; `None` if there is nothing to learn.
    ///
    /// It is called inside a tokio runtime, on which they are then kept fresh.
    pub(crate) fn of(
        config: &config::Config,
        discovery: &Arc<Discovery>,
        discoveries: impl FnOnce() -> Discoveries,
    ) -> Option<Self> {
        let fixed = wanted(config);
        let list = match &config.discover {
            Some(Config::Srv(srv)) => {
                let resolvers = listed(&srv.resolvers);
                let asked = Asked { name: srv.name.0.clone(), resolvers: resolvers.clone() };
                List::Services(discovery.services(&asked), scheme(srv.tls), resolvers)
            }
            Some(Config::File(file)) => List::File(discovery.file(&file.path)),
            Some(Config::Dns(_)) | None => List::None,
        };
        if matches!(list, List::None) && fixed.iter().all(|wanted| wanted.asked().is_none()) {
            return None;
        }
        let (addresses, discovery) = (HashMap::new(), discovery.clone());
        let mut sources = Self { discovery, fixed, list, addresses, discoveries: discoveries() };
        sources.follow_names();
        Some(sources)
    }

    /// How long streams of endpoints go on that are no longer found.
    pub(crate) fn drain(&self) -> Duration {
        Duration::from_millis(self.discovery.drain.load(Relaxed))
    }

    /// All endpoints, with the addresses that are known.
    pub(crate) fn located(&self) -> Vec<Located> {
        let located = |wanted: &Wanted| {
            let known = wanted.asked().and_then(|asked| self.addresses.get(&asked));
            match known {
                Some(watched) => wanted.located(&watched.found.now()),
                None => wanted.located(&[]),
            }
        };
        self.fixed.iter().map(located).chain(self.listed().iter().map(located)).collect()
    }

    /// Whether it is known which endpoints there are, if not at which addresses.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.list {
            List::None => true,
            List::Services(services, ..) => services.seen.has_begun(),
            List::File(file) => file.seen.has_begun(),
        }
    }

    /// Whether everything was looked for once, well or badly.
    pub(crate) fn is_settled(&self) -> bool {
        self.is_whole() && self.addresses.values().all(|watched| watched.seen.has_begun())
    }

    /// Waits until something was looked for, and returns whether more is known than before.
    pub(crate) async fn changed(&mut self) -> bool {
        let names = self.addresses.values_mut().map(|watched| watched.tally.changed().boxed());
        let mut looks: Vec<_> = names.collect();
        match &mut self.list {
            List::None => {}
            List::Services(services, ..) => looks.push(services.tally.changed().boxed()),
            List::File(file) => looks.push(file.tally.changed().boxed()),
        }
        if looks.is_empty() {
            return std::future::pending().await;
        }
        // It fails only without a sender, and `self` holds the senders.
        drop(select_all(looks).await);
        let was_whole = self.is_whole();
        let is_other = match &mut self.list {
            List::None => false,
            List::Services(services, ..) => services.count(&self.discoveries),
            List::File(file) => file.count(&self.discoveries),
        };
        if is_other {
            self.follow_names();
        }
        let names = self.addresses.values_mut().map(|watched| watched.count(&self.discoveries));
        let has_moved = names.fold(false, |any, has_moved| any | has_moved);
        is_other || has_moved || was_whole != self.is_whole()
    }

    /// Follows the names of all members, and no others.
    fn follow_names(&mut self) {
        let listed = self.listed();
        let asked: HashSet<_> =
            self.fixed.iter().chain(&listed).filter_map(Wanted::asked).collect();
        self.addresses.retain(|known, _| asked.contains(known));
        for asked in asked {
            if let Entry::Vacant(place) = self.addresses.entry(asked) {
                let watched = self.discovery.addresses(place.key());
                place.insert(watched);
            }
        }
    }

    /// The members that come and go, as they are now.
    fn listed(&self) -> Vec<Wanted> {
        match &self.list {
            List::None => Vec::new(),
            List::Services(services, scheme, resolvers) => {
                let members = targets(&services.found.now(), *scheme).into_iter();
                members.map(|member| Wanted { member, resolvers: resolvers.clone() }).collect()
            }
            List::File(file) => file.found.now().iter().cloned().map(Wanted::from).collect(),
        }
    }
}

impl<T: Find> Watched<T> {
    /// Counts what was looked for since the last time, and returns whether something else was found.
    fn count(&mut self, discoveries: &Discoveries) -> bool {
        let (seen, now) = (self.seen, *self.tally.borrow_and_update());
        self.seen = now;
        discoveries.changed.add(now.changed - seen.changed);
        discoveries.unchanged.add(now.unchanged - seen.unchanged);
        discoveries.failed.add(now.failed - seen.failed);
        now.changed != seen.changed
    }
}

impl Wanted {
    /// What is looked up, if it is a name.
    fn asked(&self) -> Option<Asked> {
        match &self.member.url {
            Url::Tcp { host: Host::Name(name), .. } => {
                Some(Asked { name: name.clone(), resolvers: self.resolvers.clone() })
            }
            _ => None,
        }
    }

    fn located(&self, of_name: &[IpAddr]) -> Located {
        let addresses = match &self.member.url {
            Url::Unix(path) => vec![Address::Unix(path.as_path().into())],
            Url::Tcp { host: Host::Ip(ip), port, .. } => {
                vec![Address::Tcp(SocketAddr::new(*ip, *port))]
            }
            Url::Tcp { host: Host::Name(_), port, .. } => {
                of_name.iter().map(|ip| Address::Tcp(SocketAddr::new(*ip, *port))).collect()
            }
        };
        Located { member: self.member.clone(), addresses }
    }
}

impl From<Member> for Wanted {
    /// One of the document or of a list: the system's name servers know it.
    fn from(member: Member) -> Self {
        Self { member, resolvers: Arc::default() }
    }
}

fn wanted(config: &config::Config) -> Vec<Wanted> {
    let mut all: Vec<_> = config.endpoints.iter().cloned().map(Wanted::from).collect();
    if let Some(Config::Dns(dns)) = &config.discover {
        let host = Host::Name(dns.name.0.clone());
        let url = Url::Tcp { scheme: scheme(dns.tls), host, port: dns.port };
        let member = Member { url, weight: 1, priority: 0 };
        all.push(Wanted { member, resolvers: listed(&dns.resolvers) });
    }
    all
}

/// The targets of a service, their priorities counted from 0 as those of other endpoints are.
/// Whoever has no weight still gets the least share: balancers know no other way to pick it at all.
fn targets(services: &[Service], scheme: Scheme) -> Vec<Member> {
    let reachable = || services.iter().filter_map(|one| Some((one, one.target.as_deref()?)));
    let priorities: BTreeSet<u16> = reachable().map(|(service, _)| service.priority).collect();
    let member = |(service, target): (&Service, &str)| {
        let (host, port) = (read_host(target).ok()?, service.port);
        let url = Url::Tcp { scheme, host, port };
        let weight = u32::from(service.weight).max(1);
        let priority = priorities.range(..service.priority).count();
        Some(Member { url, weight, priority: u32::try_from(priority).unwrap_or(u32::MAX) })
    };
    reachable().filter_map(member).collect()
}

fn scheme(is_tls: bool) -> Scheme {
    if is_tls { Scheme::Https } else { Scheme::Http }
}

fn listed(resolvers: &[Resolver]) -> Arc<[SocketAddr]> {
    resolvers.iter().map(|Resolver(address)| *address).collect()
}

#[cfg(test)]
mod tests;
