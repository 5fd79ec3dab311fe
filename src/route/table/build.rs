//! Arranges the routes of one priority.

use super::Spec;
use super::index::Index;
use super::level::{Candidate, Choice, Extra, Leaf, Level, Places, Plan, Scope, Search};
use super::level::{NO_PLACES, hash_name, label_bit};
use super::shape::{Cut, Shape};
use crate::route::HostPattern;
use crate::route::conditions::Conditions;
use crate::route::path::{Kind, MAX_CAPTURES, PathPattern, Segments};
use indexmap::{IndexMap, IndexSet};
use std::cmp::Reverse;

impl Level {
    /// Arranges routes, each with its place in the document.
    pub(super) fn build(routes: &[(u32, &Spec)]) -> Self {
        let mut builder = Builder::new(routes);
        let mut hosts = Vec::new();
        let mut wildcards = Vec::new();
        let mut labels = 0;
        let mut any = None;
        for (host, named) in routes_by_host(routes) {
            let scope = builder.scope(named);
            match host {
                HostPattern::Exact(name) => hosts.push((hash_name(name), name.clone(), scope)),
                HostPattern::Wildcard(name) => {
                    labels |= label_bit(name.split('.').count());
                    wildcards.push((hash_name(name), name.clone(), scope));
                }
                HostPattern::Any => any = Some(scope),
            }
        }
        Self {
            hosts: Index::build(hosts),
            wildcards: Index::build(wildcards),
            labels,
            any,
            extras: builder.extras.into(),
            plans: builder.plans.into_iter().collect(),
            leaves: Index::build(builder.leaves),
            candidates: builder.candidates.into(),
            conditions: builder.conditions.into(),
            places: builder.places.into_iter().collect(),
        }
    }
}

/// The routes, as places in the list, that name each host.
fn routes_by_host<'a>(routes: &[(u32, &'a Spec)]) -> IndexMap<&'a HostPattern, Vec<usize>> {
    let mut named = IndexMap::<_, Vec<_>>::new();
    for (at, (_, route)) in routes.iter().enumerate() {
        for host in &route.matcher.hosts {
            let all = named.entry(host).or_default();
            if all.last() != Some(&at) {
                all.push(at);
            }
        }
    }
    named
}

/// The level's lists while they grow.
struct Builder<'a> {
    routes: Vec<Member<'a>>,
    /// Hosts that the same routes name share a scope, so a route of many hosts and many paths
    /// costs their sum and not their product.
    scopes: IndexMap<Vec<usize>, Scope>,
    extras: Vec<Extra>,
    plans: IndexSet<Plan>,
    leaves: Vec<(u64, String, Leaf)>,
    candidates: Vec<Candidate>,
    conditions: Vec<Conditions>,
    places: IndexSet<Places>,
}

/// A route and what its candidates have in common.
struct Member<'a> {
    spec: &'a Spec,
    candidate: Candidate,
}

/// The routes of one scope by path, with their matchers' number.
#[derive(Default)]
struct Paths {
    leaves: IndexMap<(Shape, String), Vec<(u32, Candidate)>>,
    searches: Vec<Search>,
}

impl<'a> Builder<'a> {
    fn new(routes: &[(u32, &'a Spec)]) -> Self {
        let mut conditions = Vec::new();
        let members = routes.iter().map(|(route, spec)| {
            let own = &spec.matcher.conditions;
            let place = (own.count() > 0).then(|| {
                conditions.push(own.clone());
                offset(conditions.len() - 1)
            });
            let candidate = Candidate { route: *route, conditions: place, places: NO_PLACES };
            Member { spec, candidate }
        });
        Self {
            routes: members.collect(),
            scopes: IndexMap::new(),
            extras: Vec::new(),
            plans: IndexSet::new(),
            leaves: Vec::new(),
            candidates: Vec::new(),
            conditions,
            places: IndexSet::from([[u8::MAX; MAX_CAPTURES]]),
        }
    }

    /// The scope of the hosts that these routes name.
    fn scope(&mut self, named: Vec<usize>) -> Scope {
        if let Some(scope) = self.scopes.get(&named) {
            return *scope;
        }
        let id = offset(self.scopes.len());
        let members = || named.iter().filter_map(|at| self.routes.get(*at));
        let listeners = known_on(members());
        let Paths { mut leaves, searches } = Paths::of(members(), &mut self.places);
        let root = leaves.swap_remove(&(Shape::ROOT, String::new()));
        let root = root.map_or(Choice::NONE, |routes| self.choice(routes));
        let mut shapes: IndexSet<Shape> = leaves.keys().map(|(shape, _)| *shape).collect();
        shapes.sort_by_key(Shape::rank);
        let (before_regex, after_regex) = shapes.into_iter().partition(Shape::precedes_regex);
        let plan = Plan { before_regex, has_regex: !searches.is_empty(), after_regex };
        let (plan, _) = self.plans.insert_full(plan);
        for ((shape, text), routes) in leaves {
            let hash = Cut::new(&text, shape.depth()).hash_literals(id, shape);
            let choice = self.choice(routes);
            self.leaves.push((hash, text, Leaf { scope: id, shape, choice }));
        }
        self.extras.push(Extra { searches, listeners });
        let scope = Scope { id, plan: offset(plan), root };
        self.scopes.insert(named, scope);
        scope
    }

    fn choice(&mut self, mut routes: Vec<(u32, Candidate)>) -> Choice {
        routes.sort_by_key(|(matchers, candidate)| (Reverse(*matchers), candidate.route));
        match routes.as_slice() {
            [(_, only)] if only.conditions.is_none() => Choice::Route(only.route, only.places),
            _ => {
                let from = offset(self.candidates.len());
                self.candidates.extend(routes.into_iter().map(|(_, candidate)| candidate));
                Choice::Candidates(from, offset(self.candidates.len()))
            }
        }
    }
}

impl Paths {
    fn of<'a>(
        members: impl Iterator<Item = &'a Member<'a>>,
        places: &mut IndexSet<Places>,
    ) -> Self {
        let mut all = Self::default();
        for member in members {
            match &member.spec.matcher.paths {
                None => all.add_leaf(&Segments::ANY, member, member.candidate),
                Some(paths) => paths.iter().for_each(|path| all.add(path, member, places)),
            }
        }
        all
    }

    fn add(&mut self, path: &PathPattern, member: &Member<'_>, known: &mut IndexSet<Places>) {
        let (places, _) = known.insert_full(places(path, member.spec.matcher.names()));
        let candidate = Candidate { places: offset(places), ..member.candidate };
        match path.kind() {
            Kind::Segments(pattern) => self.add_leaf(pattern, member, candidate),
            Kind::Regex(regex) => self.searches.push(Search { regex: regex.clone(), candidate }),
        }
    }

    fn add_leaf(&mut self, pattern: &Segments, member: &Member<'_>, candidate: Candidate) {
        let routes = self.leaves.entry(Shape::of(pattern)).or_default();
        routes.push((member.spec.matchers(), candidate));
    }
}

/// The listeners on which one of the routes is there; `None` means all.
fn known_on<'a>(members: impl Iterator<Item = &'a Member<'a>>) -> Option<Vec<u16>> {
    let mut known = Vec::new();
    for member in members {
        known.extend(member.spec.matcher.conditions.listeners.as_ref()?);
    }
    known.sort_unstable();
    known.dedup();
    Some(known)
}

/// Where each part that the path captures belongs among the names.
fn places(path: &PathPattern, names: &[String]) -> Places {
    let mut places = [u8::MAX; MAX_CAPTURES];
    for (slot, name) in places.iter_mut().zip(path.names()) {
        let place = names.iter().position(|known| known == name);
        *slot = place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
    }
    places
}

/// Four bytes reach further than any document; what lay beyond would only cease to match.
fn offset(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}
