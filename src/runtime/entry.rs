//! A listener, compiled.

use crate::config::Step;
use crate::exchange::Entrance;
use crate::listener::Config;
use crate::tls::Serving;
use crate::value::OneOrMany;
use std::sync::Arc;

/// A listener, ready to be bound.
#[derive(Debug)]
pub struct Entry {
    /// As written.
    pub config: Config,
    /// What its exchanges know of it.
    pub entrance: Arc<Entrance>,
    /// Its TLS, if it has any.
    pub tls: Option<Serving>,
    /// The way to it in the document.
    pub steps: Vec<Step>,
}

impl Entry {
    /// Whether its connections are treated as those of another; sockets and certificates, which
    /// change under connections that stay, do not matter.
    pub fn treats_like(&self, other: &Self) -> bool {
        self.entrance == other.entrance && lasting(&self.config) == lasting(&other.config)
    }
}

fn lasting(config: &Config) -> Config {
    let mut config = config.clone();
    config.address = OneOrMany(Vec::new());
    if let Some(tls) = &mut config.tls {
        tls.certificates.clear();
    }
    config
}
