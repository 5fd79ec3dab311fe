//! Every number of the process, by name.
//!
//! A room declares its families once and resolves a handle for each set of labels while the
//! document is compiled; counting then touches only the handle. A series lasts as long as its
//! handles: what a new document no longer names ends with its last exchange. Names are written in
//! full, `falconer_<room>_<what>_<unit>`, so that a search finds them.

mod counter;
mod family;
mod gauge;
mod histogram;
mod shard;

pub use counter::{Counter, CounterFamily};
pub use family::Family;
pub use gauge::{Gauge, GaugeFamily};
pub use histogram::{Histogram, HistogramFamily};

use family::Series;
use parking_lot::Mutex;
use prometheus::TextEncoder;
use prometheus::proto::MetricFamily;
use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Owns every family; cheap to clone.
#[derive(Clone, Default)]
pub struct Registry(Arc<Mutex<BTreeMap<&'static str, Box<dyn Source>>>>);

/// What shows numbers when it is asked.
pub(super) trait Source: Any + Send {
    /// Its families with their present values.
    fn collect(&self) -> Vec<MetricFamily>;
}

impl Registry {
    /// A registry without families.
    pub fn new() -> Self {
        Self::default()
    }

    /// The family of counters of that name; whoever asks again gets the same one.
    pub fn counter<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str; N],
    ) -> CounterFamily<N> {
        self.family(name, help, labels)
    }

    /// The family of gauges of that name; whoever asks again gets the same one.
    pub fn gauge<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str; N],
    ) -> GaugeFamily<N> {
        self.family(name, help, labels)
    }

    /// The family of latency histograms of that name; whoever asks again gets the same one.
    pub fn histogram<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str; N],
    ) -> HistogramFamily<N> {
        self.family(name, help, labels)
    }

    /// Every number in Prometheus' text format; families without series are left out.
    pub fn encode(&self) -> String {
        let mut families: Vec<_> = self.0.lock().values().flat_map(|s| s.collect()).collect();
        families.retain(|family| !family.get_metric().is_empty());
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|error| {
            tracing::error!(%error, "metrics cannot be written");
            String::new()
        })
    }

    /// Shows what is not counted but found out at each scrape.
    pub(super) fn show(&self, name: &'static str, source: impl Source) {
        self.0.lock().insert(name, Box::new(source));
    }

    fn family<S: Series, const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[&'static str; N],
    ) -> Family<S, N> {
        let mut families = self.0.lock();
        let Some(known) = families.get(name) else {
            let family = Family::new(name, help, labels);
            families.insert(name, Box::new(family.clone()));
            return family;
        };
        let known: &dyn Any = known.as_ref();
        known.downcast_ref::<Family<S, N>>().cloned().unwrap_or_else(|| {
            tracing::error!(name, "a metric is declared twice, as different things");
            Family::new(name, help, labels)
        })
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
