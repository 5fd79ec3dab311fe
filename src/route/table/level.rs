//! The routes of one priority.

use super::index::Index;
use super::shape::{Cut, Shape};
use super::{Captures, Found, Request};
use crate::route::conditions::Conditions;
use crate::route::path::MAX_CAPTURES;
use regex::Regex;
use std::hash::{BuildHasher, Hasher};

/// The routes of one priority, arranged by host and path.
#[derive(Debug)]
pub(super) struct Level {
    pub(super) hosts: Index<Scope>,
    /// By what follows `*.`.
    pub(super) wildcards: Index<Scope>,
    /// How many labels the names in `wildcards` have, as bits.
    pub(super) labels: u64,
    /// The routes for every host.
    pub(super) any: Option<Scope>,
    /// By scope.
    pub(super) extras: Box<[Extra]>,
    pub(super) plans: Box<[Plan]>,
    /// By literals, scope and shape.
    pub(super) leaves: Index<Leaf>,
    pub(super) candidates: Box<[Candidate]>,
    pub(super) conditions: Box<[Conditions]>,
    /// The different ways to capture; at [`NO_PLACES`] is the one of a path that captures nothing.
    pub(super) places: Box<[Places]>,
}

/// Where each part that a path captures belongs among the names of its route.
pub(super) type Places = [u8; MAX_CAPTURES];

/// Which of a level's places capture nothing.
pub(super) const NO_PLACES: u32 = 0;

/// The routes that a host leads to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    pub(super) id: u32,
    /// Its place in the level's plans.
    pub(super) plan: u32,
    /// The routes for every path; they need no search.
    pub(super) root: Choice,
}

/// What is seldom asked of a scope.
#[derive(Debug)]
pub(super) struct Extra {
    /// The routes whose path is a regex, in document order.
    pub(super) searches: Vec<Search>,
    /// The listeners on which its hosts are known; `None` means all.
    pub(super) listeners: Option<Vec<u16>>,
}

/// What must be tried in a scope, by precedence; many scopes have the same plan.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub(super) before_regex: Vec<Shape>,
    pub(super) has_regex: bool,
    pub(super) after_regex: Vec<Shape>,
}

/// One path pattern of a scope, whatever its captures are named.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) scope: u32,
    pub(super) shape: Shape,
    pub(super) choice: Choice,
}

/// The routes of equal host and path.
#[derive(Clone, Copy, Debug)]
pub(super) enum Choice {
    /// This route, which demands nothing, and captures so; all in one place, for it is the usual one.
    Route(u32, u32),
    /// A part of the level's candidates, by precedence.
    Candidates(u32, u32),
}

/// One of several routes, or one that demands something.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) route: u32,
    /// Its place in the level's conditions; `None` demands nothing.
    pub(super) conditions: Option<u32>,
    /// Which of the level's places it captures by.
    pub(super) places: u32,
}

/// A route whose path is a regex.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) regex: Regex,
    pub(super) candidate: Candidate,
}

impl Choice {
    /// No route at all.
    pub(super) const NONE: Self = Self::Candidates(0, 0);
}

impl Level {
    /// The most specific route of this priority.
    pub(super) fn find(
        &self,
        request: &Request<'_>,
        cut: &Cut<'_>,
        allow: &impl Fn(usize) -> bool,
    ) -> Option<Found> {
        self.scopes(request.host).find_map(|scope| {
            let search = Attempt { level: self, scope, request, cut, allow };
            search.find()
        })
    }

    /// Whether a route on this listener names the host.
    pub(super) fn knows_host(&self, host: &str, listener: u16) -> bool {
        self.named(host).any(|scope| {
            let listeners = self.extras.get(scope.id as usize).map(|extra| &extra.listeners);
            listeners.is_some_and(|any| any.as_ref().is_none_or(|any| any.contains(&listener)))
        })
    }

    /// The segments of the longest pattern that is not one text.
    pub(super) fn depth(&self) -> usize {
        let shapes = self.plans.iter().flat_map(|plan| [&plan.before_regex, &plan.after_regex]);
        shapes.flatten().map(Shape::depth).max().unwrap_or(0)
    }

    /// What the host leads to, the most specific first.
    fn scopes(&self, host: &str) -> impl Iterator<Item = Scope> {
        self.named(host).chain(self.any)
    }

    fn named(&self, host: &str) -> impl Iterator<Item = Scope> {
        let host_in_wildcards = if self.labels == 0 { "" } else { host };
        let wildcards = suffixes(host_in_wildcards)
            .filter(|(labels, _)| self.labels & label_bit(*labels) != 0)
            .filter_map(|(_, suffix)| find_name(&self.wildcards, suffix));
        find_name(&self.hosts, host).into_iter().chain(wildcards)
    }
}

/// One look for a route under one host.
struct Attempt<'a, F> {
    level: &'a Level,
    scope: Scope,
    request: &'a Request<'a>,
    cut: &'a Cut<'a>,
    allow: &'a F,
}

impl<F: Fn(usize) -> bool> Attempt<'_, F> {
    fn find(&self) -> Option<Found> {
        let plan = self.level.plans.get(self.scope.plan as usize)?;
        let by_regex = || if plan.has_regex { self.search() } else { None };
        let by_shape = |shape: &Shape| self.choose(self.leaf(*shape)?, *shape);
        let before = plan.before_regex.iter().find_map(by_shape);
        before
            .or_else(by_regex)
            .or_else(|| plan.after_regex.iter().find_map(by_shape))
            .or_else(|| self.choose(self.scope.root, Shape::ROOT))
    }

    fn leaf(&self, shape: Shape) -> Option<Choice> {
        let hash = self.cut.hash(self.scope.id, shape)?;
        let leaf = self.level.leaves.find(hash, |leaf, text| {
            leaf.scope == self.scope.id && leaf.shape == shape && self.cut.reads(shape, text)
        });
        leaf.map(|leaf| leaf.choice)
    }

    fn choose(&self, choice: Choice, shape: Shape) -> Option<Found> {
        let (route, places) = match choice {
            Choice::Route(route, places) => {
                (self.allow)(route as usize).then_some((route, places))?
            }
            Choice::Candidates(from, to) => {
                let candidates = self.level.candidates.get(from as usize..to as usize)?;
                let taken = candidates.iter().find(|one| self.takes(one))?;
                (taken.route, taken.places)
            }
        };
        let mut captures = Captures::default();
        if places != NO_PLACES {
            for (place, span) in self.places(places).iter().zip(self.cut.captured(shape)) {
                captures.set(*place, span);
            }
        }
        Some(Found { index: route as usize, captures })
    }

    fn search(&self) -> Option<Found> {
        let extra = self.level.extras.get(self.scope.id as usize)?;
        extra.searches.iter().filter(|search| self.takes(&search.candidate)).find_map(|search| {
            let places = self.places(search.candidate.places);
            let captures = search.captures(self.request.path, places)?;
            Some(Found { index: search.candidate.route as usize, captures })
        })
    }

    fn places(&self, which: u32) -> &[u8] {
        self.level.places.get(which as usize).map_or(&[], |places| places)
    }

    fn takes(&self, candidate: &Candidate) -> bool {
        let holds = candidate.conditions.is_none_or(|place| {
            let conditions = self.level.conditions.get(place as usize);
            conditions.is_some_and(|conditions| conditions.hold(self.request))
        });
        holds && (self.allow)(candidate.route as usize)
    }
}

impl Search {
    /// `None` if the path does not match. Only a regex with named groups allocates.
    fn captures(&self, path: &str, places: &[u8]) -> Option<Captures> {
        let mut captures = Captures::default();
        if self.candidate.places == NO_PLACES {
            return self.regex.is_match(path).then_some(captures);
        }
        let groups = self.regex.captures(path)?;
        let names = self.regex.capture_names().zip(groups.iter());
        let named = names.filter(|(name, _)| name.is_some());
        for ((_, group), place) in named.zip(places) {
            if let Some(group) = group {
                captures.set(*place, (group.start(), group.end()));
            }
        }
        Some(captures)
    }
}

/// The hash by which hosts are found.
pub(super) fn hash_name(name: &str) -> u64 {
    let mut hasher = foldhash::fast::FixedState::default().build_hasher();
    hasher.write(name.as_bytes());
    hasher.finish()
}

/// The number of labels as a bit.
pub(super) fn label_bit(labels: usize) -> u64 {
    1 << labels.min(63)
}

fn find_name(names: &Index<Scope>, name: &str) -> Option<Scope> {
    names.find(hash_name(name), |_, found| found == name.as_bytes()).copied()
}

/// What follows each dot but a leading one, and how many labels that is.
fn suffixes(host: &str) -> impl Iterator<Item = (usize, &str)> {
    let dots = host.bytes().filter(|byte| *byte == b'.').count();
    let after = host.match_indices('.').enumerate();
    after.filter(|(_, (at, _))| *at > 0).filter_map(move |(before, (at, _))| {
        Some((dots.saturating_sub(before), host.get(at + 1..)?))
    })
}
