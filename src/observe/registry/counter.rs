//! Numbers that only grow.

use super::family::{Family, Series};
use super::shard::Sharded;
use prometheus::proto::{self, Metric, MetricType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one name.
pub type CounterFamily<const N: usize> = Family<Counter, N>;

/// A number that only grows; cheap to clone, and cores that count it do not share a cache line.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Sharded<AtomicU64>>);

impl Counter {
    /// Counts one.
    pub fn inc(&self) {
        self.add(1);
    }

    /// Counts `n`.
    pub fn add(&self, n: u64) {
        if let Some(shard) = self.0.own() {
            shard.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// What was counted so far.
    pub fn value(&self) -> u64 {
        self.0.iter().fold(0, |sum, shard| sum.wrapping_add(shard.load(Ordering::Relaxed)))
    }
}

impl Series for Counter {
    const TYPE: MetricType = MetricType::COUNTER;

    fn metric(&self) -> Metric {
        let mut counter = proto::Counter::default();
        counter.set_value(self.value() as f64);
        let mut metric = Metric::default();
        metric.set_counter(counter);
        metric
    }

    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
