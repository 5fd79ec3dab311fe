//! All routes of a snapshot, arranged so that the most specific one is found at once.
//!
//! Routes of one priority form a level. In a level, a host leads to its scope: the routes that
//! name it. In a scope, paths of one shape (as long, with captures in the same segments) are keys
//! of a hash index, and the shapes are tried from the most to the least specific. So a lookup
//! costs a few hashes, however many hosts and paths there are; what it does cost is one more hash
//! for every further shape in use under a host.

mod build;
mod index;
mod level;
mod loss;
mod shadow;
mod shape;
#[cfg(test)]
mod tests;

use super::path::MAX_CAPTURES;
use super::{HostPattern, Matcher};
use level::Level;
use shape::Cut;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

pub use loss::{Loss, Rule, loss};
pub use shadow::shadowed;

/// A route as far as the table is concerned.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Which requests it takes.
    pub matcher: Matcher,
    /// Goes before all specificity; higher wins.
    pub priority: i32,
    /// Whether it has a condition that only the caller of [`Table::find_if`] can ask.
    pub guarded: bool,
}

impl Spec {
    /// How many matchers it has besides host and path.
    fn matchers(&self) -> u32 {
        self.matcher.conditions.count().saturating_add(u32::from(self.guarded))
    }
}

/// What matching sees of a request.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The listener's place in the list that the matchers were compiled with.
    pub listener: u16,
    /// The method.
    pub method: &'a http::Method,
    /// The host in lower case, without port and trailing dot.
    pub host: &'a str,
    /// The normalised path.
    pub path: &'a str,
    /// The query without `?`.
    pub query: &'a str,
    /// The header fields.
    pub headers: &'a http::HeaderMap,
    /// The client's address, after trusted proxies.
    pub client: IpAddr,
}

/// What became of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// This route takes the request.
    Found(Found),
    /// No route does: 404.
    NoRoute,
    /// All routes of the listener name hosts, and none names this one: 421.
    UnknownHost,
}

/// The route that takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its place in the list that the table was built from.
    pub index: usize,
    /// What it captured from the path.
    pub captures: Captures,
}

/// Captured parts of a path, as places in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captures {
    spans: [(u32, u32); MAX_CAPTURES],
}

impl Captures {
    /// The value at a place of [`Matcher::names`], given the path that was matched; empty if the
    /// path that matched does not capture that name.
    pub fn value<'a>(&self, place: usize, path: &'a str) -> &'a str {
        let (from, to) = self.spans.get(place).copied().unwrap_or_default();
        path.get(from as usize..to as usize).unwrap_or_default()
    }

    fn set(&mut self, place: u8, span: (usize, usize)) {
        if let (Some(slot), Ok(from), Ok(to)) =
            (self.spans.get_mut(usize::from(place)), u32::try_from(span.0), u32::try_from(span.1))
        {
            *slot = (from, to);
        }
    }
}

/// All routes of a snapshot.
#[derive(Debug)]
pub struct Table {
    /// Highest priority first.
    levels: Box<[Level]>,
    /// Segments in the longest pattern with captures or an open end.
    depth: usize,
    /// For each listener, whether all its routes name hosts.
    by_name: Box<[bool]>,
}

impl Table {
    /// Builds the table of routes in document order.
    pub fn build(routes: &[Spec], listeners: &[&str]) -> Self {
        let mut by_priority = BTreeMap::<_, Vec<_>>::new();
        for (index, route) in (0..).zip(routes) {
            by_priority.entry(Reverse(route.priority)).or_default().push((index, route));
        }
        let levels: Box<[Level]> =
            by_priority.into_values().map(|routes| Level::build(&routes)).collect();
        let depth = levels.iter().map(Level::depth).max().unwrap_or(0);
        let places = 0..u16::try_from(listeners.len()).unwrap_or(u16::MAX);
        let by_name = places.map(|listener| is_by_name(routes, listener)).collect();
        Self { levels, depth, by_name }
    }

    /// Finds the most specific route of all that match.
    pub fn find(&self, request: &Request<'_>) -> Outcome {
        self.find_if(request, |_| true)
    }

    /// The same, of those that the caller allows too.
    pub fn find_if(&self, request: &Request<'_>, allow: impl Fn(usize) -> bool) -> Outcome {
        let cut = Cut::new(request.path, self.depth);
        let found = self.levels.iter().find_map(|level| level.find(request, &cut, &allow));
        match found {
            Some(found) => Outcome::Found(found),
            None if self.is_unknown(request.host, request.listener) => Outcome::UnknownHost,
            None => Outcome::NoRoute,
        }
    }

    /// Whether a route on this listener names the host, exactly or by a wildcard.
    pub fn knows_host(&self, host: &str, listener: u16) -> bool {
        self.levels.iter().any(|level| level.knows_host(host, listener))
    }

    fn is_unknown(&self, host: &str, listener: u16) -> bool {
        let by_name = self.by_name.get(usize::from(listener)).copied().unwrap_or(false);
        by_name && !self.knows_host(host, listener)
    }
}

/// Whether the listener has routes and all of them name hosts.
fn is_by_name(routes: &[Spec], listener: u16) -> bool {
    let mut here = routes.iter().filter(|route| route.matcher.conditions.serves(listener));
    let names_hosts = |route: &Spec| !route.matcher.hosts.contains(&HostPattern::Any);
    here.clone().next().is_some() && here.all(names_hosts)
}
