//! Finds the most specific route for host, path, method and headers.

mod conditions;
mod config;
mod host;
mod matcher;
mod metrics;
pub mod mirror;
mod path;
mod query;
pub mod split;
pub mod table;
mod target;
mod text;

pub use config::{Config, Limits};
pub use host::HostPattern;
pub use matcher::{Fault, Match, Matcher};
pub use metrics::{Ended, Handles, InFlight, Metrics};
pub use mirror::Mirror;
pub use path::PathPattern;
pub use split::{Choice, Split};
pub use table::Table;
pub use target::Target;
pub use text::TextPattern;

use crate::exchange::Ending;
use crate::filter::Chain;
use crate::upstream::TimeoutOverrides;
use std::sync::Arc;

/// A route of a snapshot: what it does with the requests it takes.
#[derive(Debug)]
pub struct Route {
    /// Its name in the document, or the one from its place.
    pub name: Arc<str>,
    /// The names that its paths capture, by their place in `Captures`.
    pub captures: Vec<String>,
    /// What happens before and after the target.
    pub chain: Chain,
    /// What it does in the end.
    pub target: Target,
    /// Where copies of its requests go.
    pub mirror: Option<Arc<Mirror>>,
    /// Its own caps.
    pub limits: Limits,
    /// Whether its exchanges are in the access log.
    pub is_logged: bool,
    /// Its own timeouts; they win over its upstream's.
    pub timeouts: TimeoutOverrides,
    /// What it counts.
    pub metrics: Arc<Handles>,
    /// Until when its streams go on.
    pub ending: Arc<Ending>,
    /// Whether they end when it changes.
    pub drains_on_change: bool,
}
