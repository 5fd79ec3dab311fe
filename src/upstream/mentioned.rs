//! Endpoints as they are named, whatever addresses they have.

use super::metrics::{Handles, Metrics};
use super::url::Url;
use crate::exchange::Ending;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// An endpoint as it is named.
pub(super) struct Mentioned {
    pub(super) label: Arc<str>,
    pub(super) metrics: Handles,
    /// Until when its streams go on; the same as long as the upstream has it.
    pub(super) ending: Arc<Ending>,
}

/// Those of an upstream, by their labels.
pub(super) struct Mentions {
    upstream: Arc<str>,
    metrics: Metrics,
    known: Mutex<HashMap<Arc<str>, Arc<Mentioned>>>,
}

impl Mentions {
    /// Those that the upstream had before, until it is said which there are.
    pub(super) fn going_on_with(
        before: Option<&Self>,
        upstream: &Arc<str>,
        metrics: &Metrics,
    ) -> Self {
        let known = before.map(|before| before.known.lock().clone()).unwrap_or_default();
        Self { upstream: upstream.clone(), metrics: metrics.clone(), known: Mutex::new(known) }
    }

    /// The endpoint of this name.
    pub(super) fn of(&self, url: &Url) -> Arc<Mentioned> {
        let label: Arc<str> = url.to_string().into();
        let mut known = self.known.lock();
        let mention = || {
            let metrics = self.metrics.of(&self.upstream, &label);
            Arc::new(Mentioned { label: label.clone(), metrics, ending: Arc::default() })
        };
        known.entry(label.clone()).or_insert_with(mention).clone()
    }

    /// Keeps these, and has the streams of the others end in so long, if that is said.
    pub(super) fn keep(&self, these: &[Arc<Mentioned>], end: Option<Duration>) {
        let these = these.iter().map(|one| (one.label.clone(), one.clone())).collect();
        let before = std::mem::replace(&mut *self.known.lock(), these);
        if let Some(longest) = end {
            self.end_others(&before, longest);
        }
    }

    /// Has the streams of those end that a newer one lacks; of all, if there is none.
    pub(super) fn end_gone(&self, newer: Option<&Self>, longest: Duration) {
        let known = self.known.lock().clone();
        match newer {
            Some(newer) => newer.end_others(&known, longest),
            None => known.values().for_each(|mentioned| mentioned.ending.end(longest)),
        }
    }

    fn end_others(&self, all: &HashMap<Arc<str>, Arc<Mentioned>>, longest: Duration) {
        let known = self.known.lock();
        let gone = all.iter().filter(|(label, _)| !known.contains_key(&**label));
        gone.for_each(|(_, mentioned)| mentioned.ending.end(longest));
    }
}
