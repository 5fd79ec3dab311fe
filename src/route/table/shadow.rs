//! Finds routes that can never win.

use super::Spec;
use super::shape::Shape;
use crate::route::HostPattern;
use crate::route::path::{End, Kind, MAX_SEGMENTS, PathPattern, Segment, Segments};
use indexmap::{IndexMap, IndexSet};
use std::cmp::{Ordering, Reverse};
use std::collections::HashMap;

/// How many rivals of one host and path a route is compared with, so that the time stays in
/// proportion to the document.
const RIVALS: usize = 100;

/// A route with more pairs of host and path is not considered as a winner, for the same reason.
const PAIRS: usize = 10_000;

/// Routes that can never win, each with one that always wins over it, as places in the list.
///
/// What is told is certain; not all is told: a route may also lose to several together, or to a
/// regex or a capture that happens to match all it matches.
pub fn shadowed(routes: &[Spec]) -> Vec<(usize, usize)> {
    let views: Vec<View<'_>> = routes.iter().enumerate().map(View::new).collect();
    let mut by_pair = HashMap::<_, Vec<&View<'_>>>::new();
    for view in views.iter().filter(|view| view.hosts.len() * view.paths.len() <= PAIRS) {
        for host in &view.hosts {
            for path in view.paths.keys() {
                by_pair.entry((host, path)).or_default().push(view);
            }
        }
    }
    let winner = |loser: &View<'_>| {
        let hosts = wider_hosts(loser.hosts.first()?);
        let (path, segments) = loser.paths.first()?;
        let paths = wider_paths(path, segments);
        let pairs = hosts.iter().flat_map(|host| paths.iter().map(move |path| (host, path)));
        let mut rivals = pairs.filter_map(|pair| by_pair.get(&pair)).flat_map(|rivals| {
            // The nearest before it are the likeliest; where there are few, all are asked.
            let before = rivals.partition_point(|rival| rival.index < loser.index);
            rivals.iter().skip(before.saturating_sub(RIVALS / 2)).take(RIVALS)
        });
        rivals.find(|rival| rival.beats(loser)).map(|rival| rival.index)
    };
    views.iter().filter_map(|loser| Some((loser.index, winner(loser)?))).collect()
}

/// A route as it competes with others.
struct View<'a> {
    index: usize,
    spec: &'a Spec,
    hosts: IndexSet<HostPattern>,
    /// With the segments of each; a regex has none.
    paths: IndexMap<Path, &'a [Segment]>,
}

/// A path pattern without the names of its captures.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Path {
    Regex(String),
    Segments(Shape, String),
}

impl<'a> View<'a> {
    fn new((index, spec): (usize, &'a Spec)) -> Self {
        let hosts = spec.matcher.hosts.iter().cloned().collect();
        let paths = match &spec.matcher.paths {
            Some(paths) => paths.iter().map(Path::of).collect(),
            None => IndexMap::from([(Path::of_segments(&Segments::ANY), [].as_slice())]),
        };
        Self { index, spec, hosts, paths }
    }

    /// Whether this route wins whatever the loser matches.
    fn beats(&self, loser: &Self) -> bool {
        let (own, others) = (&self.spec.matcher.conditions, &loser.spec.matcher.conditions);
        if self.spec.guarded || !own.follow_from(others) {
            return false;
        }
        match self.spec.priority.cmp(&loser.spec.priority) {
            Ordering::Less => false,
            Ordering::Equal => self.precedes(loser),
            Ordering::Greater => self.covers(loser),
        }
    }

    /// Whether it stands before the loser wherever that stands; in one priority a wider pattern
    /// would stand behind.
    fn precedes(&self, loser: &Self) -> bool {
        let rank = |view: &Self| (Reverse(view.spec.matchers()), view.index);
        loser.hosts.is_subset(&self.hosts)
            && loser.paths.keys().all(|path| {
                let is_before = match path {
                    Path::Regex(_) => self.index < loser.index,
                    Path::Segments(..) => rank(self) < rank(loser),
                };
                is_before && self.paths.contains_key(path)
            })
    }

    fn covers(&self, loser: &Self) -> bool {
        let has_wider_host =
            |host| wider_hosts(host).iter().any(|wider| self.hosts.contains(wider));
        let has_wider_path = |(path, segments): (&Path, &&[Segment])| {
            wider_paths(path, segments).iter().any(|wider| self.paths.contains_key(wider))
        };
        loser.hosts.iter().all(has_wider_host) && loser.paths.iter().all(has_wider_path)
    }
}

impl Path {
    fn of(pattern: &PathPattern) -> (Self, &[Segment]) {
        match pattern.kind() {
            Kind::Regex(regex) => (Self::Regex(regex.as_str().to_owned()), &[]),
            Kind::Segments(pattern) => (Self::of_segments(pattern), &pattern.segments),
        }
    }

    fn of_segments(pattern: &Segments) -> Self {
        let (shape, text) = Shape::of(pattern);
        Self::Segments(shape, text)
    }
}

/// The host and the patterns that match all it matches.
fn wider_hosts(host: &HostPattern) -> Vec<HostPattern> {
    let mut wider = vec![host.clone()];
    if let HostPattern::Exact(name) | HostPattern::Wildcard(name) = host {
        let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
        let suffixes = dots.filter_map(|(at, _)| name.get(at + 1..));
        wider.extend(suffixes.map(|suffix| HostPattern::Wildcard(suffix.to_owned())));
        wider.push(HostPattern::Any);
    }
    wider
}

/// The path and the open patterns that match all it matches.
fn wider_paths(path: &Path, segments: &[Segment]) -> Vec<Path> {
    let open = (0..=segments.len().min(MAX_SEGMENTS)).filter_map(|depth| {
        let segments = segments.get(..depth)?.to_vec();
        Some(Path::of_segments(&Segments { segments, end: End::Open }))
    });
    open.chain([path.clone()]).collect()
}
