//! Compiles a document into an immutable snapshot and lends it to requests.

mod asked;
mod compile;
mod entry;
pub mod explain;
mod reload;
mod retain;
mod snapshot;
mod status;

pub use crate::upstream::{Act, EndpointStatus, State, UpstreamStatus};
pub use asked::{Answer, Asked, By, Fate, Kept, Wanted};
pub use compile::{Compiled, compile};
pub use entry::Entry;
pub use reload::{
    Changed, Commands, Metrics, Outcome, Planned, Requested, Running, Upgrade, plan, renew,
};
pub use retain::{Inherited, Retained};
pub use snapshot::{Handle, Snapshot};
pub use status::{Listening, Status};

#[cfg(test)]
mod tests;
