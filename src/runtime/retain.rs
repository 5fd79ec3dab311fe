//! What outlives snapshots: state is keyed by identity, so that a reload finds it again.

use super::reload::Metrics;
use crate::observe::Registry;
use crate::{listener, route, upstream};
use parking_lot::Mutex;
use std::sync::Arc;

/// The living state of the process, from the first mention of each thing to its last.
#[derive(Debug)]
pub struct Retained {
    /// Endpoints by label and address.
    pub endpoints: Arc<upstream::States>,
    /// Metric families, registered once.
    pub registry: Registry,
    /// The families of listeners.
    pub listeners: listener::Metrics,
    /// The families of routes.
    pub routes: route::Metrics,
    /// The families of upstreams.
    pub upstreams: upstream::Metrics,
    /// What is counted of reloads.
    pub reloads: Metrics,
    /// The names of listeners; a name's place is its number as long as the process lives.
    numbers: Mutex<Vec<Arc<str>>>,
}

impl Retained {
    /// The state of a process that begins.
    pub fn new(registry: Registry, with_latency: bool) -> Self {
        Self {
            endpoints: Arc::default(),
            listeners: listener::Metrics::new(&registry),
            routes: route::Metrics::new(&registry, with_latency),
            upstreams: upstream::Metrics::new(&registry),
            reloads: Metrics::new(&registry),
            registry,
            numbers: Mutex::default(),
        }
    }

    /// The number of a listener's name.
    pub fn number(&self, name: &str) -> u16 {
        let mut numbers = self.numbers.lock();
        let place = numbers.iter().position(|known| **known == *name).unwrap_or_else(|| {
            numbers.push(name.into());
            numbers.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    /// Every name that has a number, in their order.
    pub fn names(&self) -> Vec<Arc<str>> {
        self.numbers.lock().clone()
    }
}
