//! How a running edge is.

use serde::{Deserialize, Serialize};

/// A running edge at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its version.
    pub version: String,
    /// The number of its process.
    pub process: u32,
    /// Seconds since it was ready.
    pub up: u64,
    /// Whether it is about to end.
    pub draining: bool,
    /// The number of the snapshot that runs.
    pub generation: u64,
    /// What became of the last reload; `None` before the first.
    pub last_reload: Option<String>,
    /// Its listeners, and those that are gone or were replaced and still have connections.
    pub listeners: Vec<Listening>,
}

/// One listener at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listening {
    /// Its name.
    pub name: String,
    /// Where it accepts; nowhere if it drains.
    pub addresses: Vec<String>,
    /// Whether it only finishes what is open.
    pub draining: bool,
    /// How many connections are open.
    pub connections: u64,
    /// How many of them do something.
    pub busy: u64,
    /// The age of the oldest, in seconds.
    pub oldest: u64,
}
