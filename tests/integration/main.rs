//! The integration tests: the real binary on real sockets, one theme a module.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    unreachable_pub,
    reason = "a test may fail, may wait, and has no consumer"
)]

mod commands;
mod conformance;
mod cost;
mod docs;
mod editor;
mod ending;
mod examples;
mod explain;
mod failures;
mod filters;
mod forwarding;
mod golden;
mod kestrel;
mod language;
mod listeners;
mod passing;
mod refusals;
mod regressions;
mod reload;
mod routes;
mod seeing;
mod service;
mod support;
mod upgrade;
mod upstreams;
