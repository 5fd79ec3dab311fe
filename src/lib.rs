//! falconer: a programmable edge proxy that fronts and hosts application servers.
//!
//! The rooms, from the lowest to the highest; `ARCHITECTURE.md` says who may import whom.

pub mod net;
pub mod value;

pub mod exchange;
pub mod expr;
pub mod observe;

pub mod filter;
pub mod tls;
pub mod upstream;

pub mod listener;
pub mod route;

pub mod config;
pub mod proxy;
pub mod runtime;
