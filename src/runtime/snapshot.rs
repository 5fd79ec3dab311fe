//! The compiled, immutable whole in use.

use crate::route::{Handles, Route, Table};
use crate::upstream::Upstream;
use arc_swap::{ArcSwap, Guard};
use indexmap::IndexMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Everything a request needs, resolved: nothing in it is looked up by name.
#[derive(Debug)]
pub struct Snapshot {
    /// Grows with each snapshot of the process.
    pub generation: u64,
    /// Finds the route of a request.
    pub table: Table,
    /// The routes, in the order of the table's numbers.
    pub routes: Vec<Arc<Route>>,
    /// The upstreams by name; requests hold them through their routes.
    pub upstreams: IndexMap<String, Arc<Upstream>>,
    /// Counts exchanges that no route took.
    pub unrouted: Arc<Handles>,
}

impl Snapshot {
    /// Has the routes that match begin anew: their streams of before are not theirs.
    pub(super) fn part_from(&mut self, is_meant: impl Fn(&Route) -> bool) {
        for route in &mut self.routes {
            if is_meant(route)
                && let Some(route) = Arc::get_mut(route)
            {
                route.ending = Arc::default();
            }
        }
    }

    /// Ends the streams of routes and endpoints that a newer one does not go on with, in so long.
    pub fn end_gone(&self, newer: &Self, longest: Duration) {
        let kept: HashSet<_> =
            newer.routes.iter().map(|route| Arc::as_ptr(&route.ending)).collect();
        for route in &self.routes {
            if !kept.contains(&Arc::as_ptr(&route.ending)) {
                route.ending.end(longest);
            }
        }
        for (name, upstream) in &self.upstreams {
            upstream.end_gone(newer.upstreams.get(name).map(|newer| &**newer), longest);
        }
    }
}

/// Where the current snapshot is found.
#[derive(Debug)]
pub struct Handle {
    current: ArcSwap<Snapshot>,
}

impl Handle {
    /// A handle that holds a first snapshot.
    pub fn new(first: Snapshot) -> Arc<Self> {
        Arc::new(Self { current: ArcSwap::from_pointee(first) })
    }

    /// The current snapshot; hold it for no longer than the request.
    pub fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// The current snapshot, to keep.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts another snapshot in the place of the current one, all of it at once, and returns that.
    pub fn swap(&self, next: Snapshot) -> Arc<Snapshot> {
        self.current.swap(Arc::new(next))
    }
}
