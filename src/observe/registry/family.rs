//! All series of one name.

use super::Source;
use parking_lot::Mutex;
use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// All series of one name, told apart by `N` labels; cheap to clone.
pub struct Family<S, const N: usize>(Arc<Inner<S, N>>);

struct Inner<S, const N: usize> {
    name: &'static str,
    help: &'static str,
    labels: [&'static str; N],
    series: Mutex<AllSeries<S, N>>,
}

struct AllSeries<S, const N: usize> {
    by_values: BTreeMap<[Box<str>; N], S>,
    forget_at: usize,
}

/// What a family is made of.
pub trait Series: Clone + Default + Send + Sync + 'static {
    /// How Prometheus calls it.
    const TYPE: MetricType;

    /// Its present value, without labels.
    fn metric(&self) -> Metric;

    /// Whether there is a handle besides the family's own.
    fn is_held(&self) -> bool;
}

impl<S: Series, const N: usize> Family<S, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: &[&'static str; N]) -> Self {
        let series = Mutex::new(AllSeries { by_values: BTreeMap::new(), forget_at: 0 });
        Self(Arc::new(Inner { name, help, labels: *labels, series }))
    }

    /// The series of these label values, made at zero if it is new; it is shown as long as a
    /// handle of it lives.
    ///
    /// It locks and allocates: call it while the document is compiled, not for a request.
    pub fn handle(&self, values: &[&str; N]) -> S {
        let mut series = self.0.series.lock();
        // Whenever it has doubled, so that a handle costs little on average.
        if series.by_values.len() >= series.forget_at {
            series.forget();
            series.forget_at = (2 * series.by_values.len()).max(64);
        }
        series.by_values.entry(values.map(Box::from)).or_default().clone()
    }

    /// How many series are remembered.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.series.lock().by_values.len()
    }

    fn label(&self, values: &[Box<str>; N]) -> Vec<LabelPair> {
        let pair = |(name, value): (&&str, &str)| {
            let mut pair = LabelPair::default();
            pair.set_name((*name).to_owned());
            pair.set_value(value.to_owned());
            pair
        };
        self.0.labels.iter().zip(values.iter().map(AsRef::as_ref)).map(pair).collect()
    }
}

impl<S: Series, const N: usize> Source for Family<S, N> {
    fn collect(&self) -> Vec<MetricFamily> {
        let mut family = MetricFamily::default();
        family.set_name(self.0.name.to_owned());
        family.set_help(self.0.help.to_owned());
        family.set_field_type(S::TYPE);
        let mut series = self.0.series.lock();
        series.forget();
        let metric = |(values, series): (&[Box<str>; N], &S)| {
            let mut metric = series.metric();
            metric.set_label(self.label(values));
            metric
        };
        family.set_metric(series.by_values.iter().map(metric).collect());
        vec![family]
    }
}

impl<S: Series, const N: usize> AllSeries<S, N> {
    /// Ends the series that nobody counts any more.
    fn forget(&mut self) {
        self.by_values.retain(|_, series| series.is_held());
    }
}

impl<S, const N: usize> Clone for Family<S, N> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<S, const N: usize> fmt::Debug for Family<S, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Family").field(&self.0.name).finish()
    }
}
