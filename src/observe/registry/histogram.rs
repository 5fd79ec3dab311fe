//! How long things take.

use super::family::{Family, Series};
use super::shard::Sharded;
use prometheus::proto::{self, Metric, MetricType};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Latency histograms of one name.
pub type HistogramFamily<const N: usize> = Family<Histogram, N>;

/// How often something took how long; cheap to clone, and cores that count do not share a
/// cache line.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Sharded<Cells>>);

/// Each bucket counts for itself; they are added up when they are read.
#[derive(Debug, Default)]
struct Cells {
    buckets: [AtomicU64; BOUNDS.len()],
    beyond: AtomicU64,
    /// In microseconds: nanoseconds would overflow within days under many long exchanges.
    sum: AtomicU64,
}

/// What a bucket holds at most, in microseconds.
const BOUNDS: [u64; 15] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

impl Histogram {
    /// Counts one that took so long.
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(cells) = self.0.own() {
            let fitting = BOUNDS.partition_point(|bound| *bound < micros);
            let bucket = cells.buckets.get(fitting).unwrap_or(&cells.beyond);
            bucket.fetch_add(1, Ordering::Relaxed);
            cells.sum.fetch_add(micros, Ordering::Relaxed);
        }
    }

    /// How often something was counted.
    pub fn count(&self) -> u64 {
        let bucket = |place| self.sum_of(|cells| cells.buckets.get(place));
        (0..BOUNDS.len()).map(bucket).sum::<u64>() + self.sum_of(|cells| Some(&cells.beyond))
    }

    fn sum_of(&self, cell: impl Fn(&Cells) -> Option<&AtomicU64>) -> u64 {
        let cells = self.0.iter().filter_map(cell);
        cells.fold(0, |sum, cell| sum.wrapping_add(cell.load(Ordering::Relaxed)))
    }
}

impl Series for Histogram {
    const TYPE: MetricType = MetricType::HISTOGRAM;

    fn metric(&self) -> Metric {
        // Every cell is read once and the total is made of them, so that it fits the buckets
        // even while others count.
        let mut total = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for (place, bound) in BOUNDS.iter().enumerate() {
            total += self.sum_of(|cells| cells.buckets.get(place));
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(seconds(*bound));
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        total += self.sum_of(|cells| Some(&cells.beyond));
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(seconds(self.sum_of(|cells| Some(&cells.sum))));
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        metric
    }

    fn is_held(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}
