//! Implements the engine's hooks; each is a call into one phase.

mod accept;
mod affinity;
mod ctx;
mod failure;
mod finish;
mod forward;
mod hooks;
mod http10;
mod lasting;
mod mirror;
mod request;
mod response;
mod retry;
mod witness;

pub use hooks::Proxy;
pub use witness::{Sight, Witness};
