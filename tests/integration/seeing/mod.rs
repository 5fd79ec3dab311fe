//! What is seen of the edge: access log, program log, metrics and probes.

mod access_log;
mod grafana;
mod metrics;
mod probes;
mod program_log;
