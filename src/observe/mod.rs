//! Counts, logs and traces; knows names and formats, and no room above `expr`.

pub mod access;
mod json;
pub mod log;
pub mod process;
mod registry;
mod stamp;

pub use registry::{
    Counter, CounterFamily, Family, Gauge, GaugeFamily, Histogram, HistogramFamily, Registry,
};
pub use stamp::Rfc3339;
