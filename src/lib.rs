//! falconer: a programmable edge proxy that fronts and hosts application servers.
//!
//! The rooms, from the lowest to the highest; `ARCHITECTURE.md` says who may import whom.

pub mod value;

pub mod net;

pub mod exchange;

pub mod expr;

pub mod observe;

pub mod tls;

pub mod upstream;

pub mod filter;

pub mod route;

pub mod listener;

pub mod config;

pub mod runtime;

pub mod proxy;

pub mod admin;

pub mod server;

pub mod cli;

/// The version of the package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it was built from.
pub const COMMIT: &str = env!("FALCONER_COMMIT");

/// Version, commit and features.
pub const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("FALCONER_COMMIT"),
    "; features: rustls with aws-lc-rs, h1, h2)"
);
