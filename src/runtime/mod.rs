//! Compiles a document into an immutable snapshot and lends it to requests.

mod compile;
pub mod explain;
mod retain;
mod snapshot;

pub use compile::{Compiled, Entry, compile};
pub use retain::Retained;
pub use snapshot::{Handle, Snapshot};

#[cfg(test)]
mod tests;
