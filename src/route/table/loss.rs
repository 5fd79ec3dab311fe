//! Why a route did not take a request.

use super::shape::Shape;
use super::{Outcome, Request, Spec, Table};
use crate::route::conditions::Unmet;
use crate::route::path::{Kind, PathPattern, Segments};
use crate::route::{HostPattern, Matcher};
use std::cmp::Reverse;

/// The first matcher by which a route lost; of a map, with the entry's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It serves other hosts.
    Host,
    /// It is not there on this listener.
    Listener,
    /// It serves other paths.
    Path,
    /// It takes other methods.
    Method,
    /// It takes other clients.
    Client,
    /// A header field is not as it demands.
    Header(String),
    /// A query parameter is not as it demands.
    Query(String),
    /// A cookie is not as it demands.
    Cookie(String),
    /// It matches, and another one is more specific.
    To(Rule),
}

/// The rule of precedence that decided between two routes that match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The higher priority.
    Priority,
    /// The more specific host.
    Host,
    /// The more specific path.
    Path,
    /// More matchers besides host and path.
    Matchers,
    /// The earlier place in the document.
    Order,
}

/// Why the route at a place of the list did not take a request that the winner took, or nobody;
/// `None` for the winner itself.
pub fn loss(
    routes: &[Spec],
    place: usize,
    winner: Option<usize>,
    request: &Request<'_>,
) -> Option<Loss> {
    if winner == Some(place) {
        return None;
    }
    let route = routes.get(place)?;
    if let Some(unmet) = unmet(&route.matcher, request) {
        return Some(unmet);
    }
    let winner = winner?;
    let (own, better) = (rank(route, request)?, rank(routes.get(winner)?, request)?);
    Some(Loss::To(if own.priority != better.priority {
        Rule::Priority
    } else if own.host != better.host {
        Rule::Host
    } else if own.path != better.path {
        Rule::Path
    } else if own.matchers != better.matchers {
        Rule::Matchers
    } else {
        Rule::Order
    }))
}

fn unmet(matcher: &Matcher, request: &Request<'_>) -> Option<Loss> {
    if !matcher.hosts.iter().any(|host| takes_host(host, request)) {
        return Some(Loss::Host);
    }
    let unmet = matcher.conditions.unmet(request);
    let paths = matcher.paths.as_ref();
    let takes_path = paths.is_none_or(|paths| paths.iter().any(|path| takes_path(path, request)));
    match unmet {
        Some(Unmet::Listener) => Some(Loss::Listener),
        _ if !takes_path => Some(Loss::Path),
        Some(Unmet::Method) => Some(Loss::Method),
        Some(Unmet::Client) => Some(Loss::Client),
        Some(Unmet::Header(name)) => Some(Loss::Header(name.to_owned())),
        Some(Unmet::Query(name)) => Some(Loss::Query(name.to_owned())),
        Some(Unmet::Cookie(name)) => Some(Loss::Cookie(name.to_owned())),
        None => None,
    }
}

fn takes_host(host: &HostPattern, request: &Request<'_>) -> bool {
    takes(Matcher::of(vec![host.clone()], None), request)
}

fn takes_path(path: &PathPattern, request: &Request<'_>) -> bool {
    takes(Matcher::of(vec![HostPattern::Any], Some(vec![path.clone()])), request)
}

/// Asks a table of one route, so that nothing else has an opinion on what matches.
fn takes(matcher: Matcher, request: &Request<'_>) -> bool {
    let route = Spec { matcher, priority: 0, guarded: false };
    matches!(Table::build(&[route], &[]).find(request), Outcome::Found(_))
}

/// How specific a route is for a request; less is better.
struct Rank<P> {
    priority: Reverse<i32>,
    host: (u8, Reverse<usize>),
    path: P,
    matchers: Reverse<u32>,
}

/// The rank of a route by the most specific of its hosts and of its paths that match.
fn rank(route: &Spec, request: &Request<'_>) -> Option<Rank<impl Ord + use<>>> {
    let matcher = &route.matcher;
    let hosts = matcher.hosts.iter().filter(|host| takes_host(host, request));
    let path = match &matcher.paths {
        None => path_rank(None),
        Some(paths) => {
            let paths = paths.iter().filter(|path| takes_path(path, request));
            paths.map(|path| path_rank(Some(path))).min()?
        }
    };
    // Regexes are tried in the order of the document, whatever else they demand.
    let matchers = if path.0 == REGEX { 0 } else { route.matchers() };
    Some(Rank {
        priority: Reverse(route.priority),
        host: hosts.map(host_rank).min()?,
        path,
        matchers: Reverse(matchers),
    })
}

fn host_rank(host: &HostPattern) -> (u8, Reverse<usize>) {
    match host {
        HostPattern::Exact(_) => (0, Reverse(0)),
        HostPattern::Wildcard(suffix) => (1, Reverse(suffix.split('.').count())),
        HostPattern::Any => (2, Reverse(0)),
    }
}

const REGEX: u8 = 1;

fn path_rank(path: Option<&PathPattern>) -> (u8, impl Ord + use<>) {
    let segments = match path.map(PathPattern::kind) {
        None => &Segments::ANY,
        Some(Kind::Segments(segments)) => segments,
        Some(Kind::Regex(_)) => return (REGEX, None),
    };
    let (shape, _) = Shape::of(segments);
    (if shape.precedes_regex() { 0 } else { 2 }, Some(shape.rank()))
}
