//! Numbers that grow and shrink.

use super::family::{Family, Series};
use super::shard::Sharded;
use prometheus::proto::{self, Metric, MetricType};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// Gauges of one name.
pub type GaugeFamily<const N: usize> = Family<Gauge, N>;

/// A number that grows and shrinks; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Gauge(Arc<Parts>);

/// The value is the sum of both: steps go to the shards, so that cores do not share a cache
/// line, and setting moves the base under them, so that no step is lost.
#[derive(Debug, Default)]
struct Parts {
    base: AtomicI64,
    steps: Sharded<AtomicI64>,
}

impl Gauge {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// One less; it need not be on the thread that counted it.
    pub fn dec(&self) {
        self.add(-1);
    }

    /// `n` more, or less if it is negative.
    pub fn add(&self, n: i64) {
        if let Some(shard) = self.0.steps.own() {
            shard.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Makes it `value`.
    pub fn set(&self, value: i64) {
        self.0.base.store(value.wrapping_sub(self.steps()), Ordering::Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> i64 {
        self.0.base.load(Ordering::Relaxed).wrapping_add(self.steps())
    }

    fn steps(&self) -> i64 {
        self.0.steps.iter().fold(0, |sum, shard| sum.wrapping_add(shard.load(Ordering::Relaxed)))
    }
}

impl Series for Gauge {
    const TYPE: MetricType = MetricType::GAUGE;

    fn metric(&self) -> Metric {
        let mut gauge = proto::Gauge::default();
        gauge.set_value(self.value() as f64);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        metric
    }

    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}
