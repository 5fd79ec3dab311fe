//! What outlives snapshots: state is keyed by identity, so that a reload finds it again.

use super::reload::Metrics;
use crate::observe::Registry;
use crate::tls::{TicketKey, Tickets};
use crate::upstream::affinity;
use crate::{listener, route, upstream};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

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
    /// The keys of session tickets.
    pub tickets: Arc<Tickets>,
    /// The key of affinity, once a document needed it.
    pub key: OnceLock<affinity::Key>,
    /// The number of the first snapshot.
    pub first: u64,
    /// The names of listeners; a name's place is its number as long as the process lives.
    numbers: Mutex<Vec<Arc<str>>>,
}

/// What a process goes on with where the one before it stopped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherited {
    /// The number of the last snapshot.
    pub generation: u64,
    /// The keys of session tickets.
    pub tickets: Vec<TicketKey>,
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
            tickets: Arc::default(),
            key: OnceLock::new(),
            first: 1,
            registry,
            numbers: Mutex::default(),
        }
    }

    /// The same, of a process that takes the place of another.
    #[must_use]
    pub fn inheriting(self, inherited: &Inherited) -> Self {
        let tickets = Arc::new(Tickets::adopt(&inherited.tickets));
        Self { tickets, first: inherited.generation + 1, ..self }
    }

    /// What the next process goes on with, when this snapshot is the last.
    pub fn bequeath(&self, generation: u64) -> Inherited {
        Inherited { generation, tickets: self.tickets.keys() }
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
