//! All series of one name.

use super::Source;
use parking_lot::RwLock;
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
    series: RwLock<BTreeMap<[Box<str>; N], S>>,
}

/// What a family is made of.
pub trait Series: Clone + Default + Send + Sync + 'static {
    /// How Prometheus calls it.
    const TYPE: MetricType;

    /// Its present value, without labels.
    fn metric(&self) -> Metric;
}

impl<S: Series, const N: usize> Family<S, N> {
    pub(super) fn new(name: &'static str, help: &'static str, labels: &[&'static str; N]) -> Self {
        Self(Arc::new(Inner { name, help, labels: *labels, series: RwLock::default() }))
    }

    /// The series of these label values, made at zero if it is new.
    ///
    /// It locks and allocates: call it while the document is compiled, not for a request.
    pub fn handle(&self, values: &[&str; N]) -> S {
        self.0.series.write().entry(values.map(Box::from)).or_default().clone()
    }

    /// Ends a series: it is no longer shown, and handles that are left count unseen.
    pub fn remove(&self, values: &[&str; N]) {
        self.0.series.write().remove(&values.map(Box::from));
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
        let series = self.0.series.read();
        let metric = |(values, series): (&[Box<str>; N], &S)| {
            let mut metric = series.metric();
            metric.set_label(self.label(values));
            metric
        };
        family.set_metric(series.iter().map(metric).collect());
        vec![family]
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
