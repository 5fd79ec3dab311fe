//! What the document has to do with one request: why each route took it or lost it, and what the
//! route that took it goes by.

mod explanation;

pub use explanation::{
    Considered, Explanation, Part, Reply, Request, Split, Taken, Timeout, Upstream,
};

use super::compile::{below, spec};
use super::{Retained, Snapshot};
use crate::config::{Document, Step};
use crate::exchange::Cause;
use crate::route;
use crate::route::table::{self, Loss, Rule, Spec, loss};
use crate::route::{Choice, Route, Target};
use crate::upstream::{TimeoutOverrides, Timeouts};
use crate::value::Duration;
use http::{HeaderMap, Method};
use indexmap::IndexMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What an upstream does where its document says nothing.
const DEFAULTS: [(&str, &str); 4] =
    [("protocol", "h1"), ("balance", "round_robin"), ("host", "client"), ("forwarded", "off")];

/// What matching saw of a request, kept.
#[derive(Clone, Debug)]
pub struct Asked {
    listener: u16,
    method: Method,
    host: String,
    path: String,
    query: String,
    headers: HeaderMap,
    client: IpAddr,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// What the table of routes was asked; `None` if the request could not be read.
    pub asked: Option<Asked>,
    /// The name of the route that took it.
    pub route: Option<Arc<str>>,
    /// What the route's path captured, by name.
    pub captures: IndexMap<String, String>,
    /// Which part of a split it went to.
    pub choice: Option<Choice>,
    /// Why it failed.
    pub cause: Option<Cause>,
}

impl From<table::Request<'_>> for Asked {
    fn from(request: table::Request<'_>) -> Self {
        Self {
            listener: request.listener,
            method: request.method.clone(),
            host: request.host.to_owned(),
            path: request.path.to_owned(),
            query: request.query.to_owned(),
            headers: request.headers.clone(),
            client: request.client,
        }
    }
}

impl Asked {
    /// What the table is asked.
    pub fn request(&self) -> table::Request<'_> {
        table::Request {
            listener: self.listener,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: &self.query,
            headers: &self.headers,
            client: self.client,
        }
    }
}

/// A document and what it was compiled to.
#[derive(Clone, Copy, Debug)]
pub struct Explainer<'a> {
    /// The document.
    pub document: &'a Document,
    /// What it was compiled to.
    pub snapshot: &'a Snapshot,
    /// What listeners are numbered by.
    pub retained: &'a Retained,
}

impl Explainer<'_> {
    /// Adds what the document says to a request and what became of it.
    pub fn explain(
        &self,
        request: Request,
        seen: &Seen,
        sent: Option<Vec<String>>,
        reply: Option<Reply>,
    ) -> Explanation {
        let routes = &self.snapshot.routes;
        let is_winner = |route: &Arc<Route>| Some(&route.name) == seen.route.as_ref();
        let winner = routes.iter().position(is_winner);
        let route = winner.and_then(|place| Some((place, routes.get(place)?)));
        // What is refused has come no further than to its route.
        let is_refused = reply.as_ref().is_some_and(|reply| reply.cause.is_some());
        let passed = route.filter(|_| !is_refused);
        let veil = |lines: Vec<String>| -> Vec<String> {
            lines.iter().map(|line| self.document.veiled(line)).collect()
        };
        let request = match &seen.asked {
            None => request,
            Some(asked) => Request {
                client: request.peer.map(|_| asked.client),
                host: Some(asked.host.clone()),
                path: Some(asked.path.clone()),
                ..request
            },
        };
        Explanation {
            request,
            route: route.map(|(place, route)| self.taken(place, route, seen)),
            considered: self.considered(winner, seen),
            filters: passed.map(|(place, _)| self.filters(place)).unwrap_or_default(),
            mirror: passed.and_then(|(place, _)| self.shown(self.steps(place), "mirror")),
            split: passed.and_then(|(_, route)| split(route, seen.choice?)),
            upstream: passed.and_then(|(_, route)| self.upstream(route, seen)),
            sent: sent.map(veil),
            reply: reply.map(|reply| Reply {
                fields: veil(reply.fields),
                body: self.document.veiled(&reply.body),
                ..reply
            }),
        }
    }

    fn steps(&self, place: usize) -> &[Step] {
        self.document.routes.get(place).map_or(&[], |route| &route.steps)
    }

    fn shown(&self, steps: &[Step], key: &str) -> Option<String> {
        self.document.shown(&below(steps, key))
    }

    fn name(&self, place: usize) -> String {
        self.snapshot.routes.get(place).map_or_else(String::new, |route| route.name.to_string())
    }

    fn taken(&self, place: usize, route: &Route, seen: &Seen) -> Taken {
        let steps = self.steps(place);
        let matchers = below(steps, "match");
        let keys = ["host", "path", "method", "header", "query", "cookie", "client", "listener"];
        let written = |key| Some(format!("{key}: {}", self.shown(&matchers, key)?));
        Taken {
            name: route.name.to_string(),
            place: self.document.position(steps).to_string(),
            matchers: keys.into_iter().filter_map(written).collect(),
            captures: seen.captures.clone(),
        }
    }

    fn considered(&self, winner: Option<usize>, seen: &Seen) -> Vec<Considered> {
        let Some(asked) = &seen.asked else { return Vec::new() };
        let names = self.retained.names();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        // What was compiled once compiles again.
        let specs = self.document.routes.iter().map(|route| spec(&route.value, &names));
        let specs: Vec<Spec> = specs.filter_map(Result::ok).collect();
        let request = asked.request();
        let losses = (0..specs.len()).filter_map(|place| {
            let loss = loss(&specs, place, winner, &request)?;
            Some(self.lost(place, winner, &loss))
        });
        losses.collect()
    }

    fn lost(&self, place: usize, winner: Option<usize>, loss: &Loss) -> Considered {
        let (lost_by, entry) = match loss {
            Loss::Host => ("host", None),
            Loss::Listener => ("listener", None),
            Loss::Path => ("path", None),
            Loss::Method => ("method", None),
            Loss::Client => ("client", None),
            Loss::Header(name) => ("header", Some(name)),
            Loss::Query(name) => ("query", Some(name)),
            Loss::Cookie(name) => ("cookie", Some(name)),
            Loss::To(_) => ("precedence", None),
        };
        let steps = self.steps(place);
        let why = match (loss, entry) {
            (Loss::To(rule), _) => self.rule(place, winner.unwrap_or(place), *rule),
            (_, Some(name)) => {
                let matcher = below(&below(steps, "match"), lost_by);
                // Names of header fields may be written in capitals.
                let written = self.document.entry(&matcher, name).unwrap_or_default();
                format!("{name}: {written}")
            }
            (_, None) => self.shown(&below(steps, "match"), lost_by).unwrap_or_default(),
        };
        let position = self.document.position(steps).to_string();
        Considered { route: self.name(place), place: position, lost_by, why }
    }

    /// The rule by which a route lost to another, with what both say about it.
    fn rule(&self, place: usize, winner: usize, rule: Rule) -> String {
        let both = |key: &str, none: &str| {
            let [winner, loser] = [winner, place].map(|place| {
                let steps = self.steps(place);
                let steps = if key == "priority" { steps.to_vec() } else { below(steps, "match") };
                self.shown(&steps, key).unwrap_or_else(|| none.to_owned())
            });
            format!("{winner} goes before {loser}")
        };
        match rule {
            Rule::Priority => format!("priority: {}", both("priority", "0")),
            Rule::Host => format!("the more specific host: {}", both("host", "any host")),
            Rule::Path => format!("the more specific path: {}", both("path", "any path")),
            Rule::Matchers => "more matchers besides host and path win".to_owned(),
            Rule::Order => "the earlier in the document wins".to_owned(),
        }
    }

    /// The filters for every route, then the route's own.
    fn filters(&self, place: usize) -> Vec<String> {
        let own = below(self.steps(place), "filters");
        let count = |steps: &[Step]| self.document.items(steps);
        let lists = [vec![Step::from("filters")], own];
        let items = lists.iter().flat_map(|list| {
            (0..count(list)).map(|place| [list.as_slice(), &[place.into()]].concat())
        });
        items
            .filter_map(|steps| self.document.shown(&steps))
            .map(|filter| unbraced(&filter))
            .collect()
    }

    fn upstream(&self, route: &Route, seen: &Seen) -> Option<Upstream> {
        let upstream = route.target.upstream(seen.choice)?;
        let placed = self.document.upstreams.get(&*upstream.name)?;
        let steps = &placed.steps;
        let endpoints = below(steps, "endpoints");
        let count = placed.value.endpoints.len();
        let endpoint =
            |item: usize| self.document.shown(&[&endpoints, &[item.into()][..]].concat());
        let discover = self.shown(steps, "discover");
        let discovered = discover.map(|how| format!("discover: {how}"));
        let mut options: IndexMap<_, _> = DEFAULTS
            .into_iter()
            .map(|(key, default)| (key, self.shown(steps, key).unwrap_or(default.to_owned())))
            .collect();
        if placed.value.speaks_tls() {
            let by_default = "verified against the system's authorities".to_owned();
            options.insert("tls", self.shown(steps, "tls").unwrap_or(by_default));
        }
        Some(Upstream {
            name: upstream.name.to_string(),
            endpoints: (0..count).filter_map(endpoint).chain(discovered).collect(),
            options,
            timeouts: timeouts(upstream.timeouts(), route.timeouts),
        })
    }
}

fn split(route: &Route, choice: Choice) -> Option<Split> {
    let Target::Split(split) = &route.target else { return None };
    let part = |part: &route::split::Part| Part {
        upstream: part.upstream.name.to_string(),
        percent: split.percent(part),
    };
    Some(Split {
        sticky: split.sticky().map(ToString::to_string),
        by_key: choice.by_key,
        parts: split.parts().iter().map(part).collect(),
    })
}

fn timeouts(of_upstream: Timeouts, own: TimeoutOverrides) -> IndexMap<&'static str, Timeout> {
    let all = own.over(of_upstream);
    let timeout = |time: Duration, own: Option<Duration>| Timeout {
        time: time.to_string(),
        of_route: own.is_some(),
    };
    IndexMap::from([
        ("connect", timeout(all.connect, own.connect)),
        ("response", timeout(all.response, own.response)),
        ("idle", timeout(all.idle, own.idle)),
        ("tunnel", timeout(all.tunnel, own.tunnel)),
    ])
}

/// `rewrite: {...}`: a filter without the braces around its name.
fn unbraced(filter: &str) -> String {
    let inner = filter.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inner.map_or(filter, |inner| inner.strip_suffix(": {}").unwrap_or(inner)).to_owned()
}

#[cfg(test)]
mod tests;
