//! Compiles a document into an immutable snapshot and lends it to requests.

mod compile;
mod entry;
pub mod explain;
mod reload;
mod retain;
mod snapshot;

pub use compile::{Compiled, compile};
pub use entry::Entry;
pub use reload::{Changed, Metrics, Outcome, Planned, Reloads, Requested, Running, plan, renew};
pub use retain::Retained;
pub use snapshot::{Handle, Snapshot};

#[cfg(test)]
mod tests;
