//! How accepting ends: new work is refused, open work is finished.

use crate::exchange::Ending;
use parking_lot::Mutex;
use pingora::server::ShutdownWatch;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Every exchange asks whether we drain; one channel for all would be a lock shared by all cores.
const SHARDS: usize = 64;

/// Whether the process or a listener drains, and how many connections are still open.
#[derive(Debug)]
pub struct Drain {
    stop: Vec<watch::Sender<bool>>,
    next: AtomicUsize,
    open: AtomicUsize,
    emptied: Notify,
    ending: Arc<Ending>,
    /// What it is a part of.
    whole: Option<Arc<Self>>,
    parts: Mutex<Vec<Weak<Self>>>,
}

/// One open connection, counted until dropped.
#[derive(Debug)]
pub(super) struct Open(Arc<Drain>);

impl Default for Drain {
    fn default() -> Self {
        Self {
            stop: (0..SHARDS).map(|_| watch::channel(false).0).collect(),
            next: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            emptied: Notify::new(),
            ending: Arc::default(),
            whole: None,
            parts: Mutex::default(),
        }
    }
}

impl Drain {
    /// A part, which drains with the whole or by itself; its connections are the whole's too.
    pub(super) fn part(self: &Arc<Self>) -> Arc<Self> {
        let part = Arc::new(Self { whole: Some(self.clone()), ..Self::default() });
        let mut parts = self.parts.lock();
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part));
        // Under the lock: the whole looks for its parts after it has begun.
        if self.has_begun() {
            part.begin();
        }
        drop(parts);
        part
    }

    /// Begins to drain.
    pub fn begin(&self) {
        for stop in &self.stop {
            stop.send_replace(true);
        }
        for part in self.parts.lock().iter().filter_map(Weak::upgrade) {
            part.begin();
        }
    }

    /// Ends the streams of its connections in so long.
    pub fn end(&self, longest: Duration) {
        self.ending.end(longest);
        for part in self.parts.lock().iter().filter_map(Weak::upgrade) {
            part.end(longest);
        }
    }

    /// What its streams stand on.
    pub(super) fn ending(&self) -> Arc<Ending> {
        self.ending.clone()
    }

    fn and_wholes(&self) -> impl Iterator<Item = &Self> {
        std::iter::successors(Some(self), |drain| drain.whole.as_deref())
    }

    fn has_begun(&self) -> bool {
        self.stop.first().is_none_or(|stop| *stop.borrow())
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Waits until no connection is open.
    pub async fn emptied(&self) {
        loop {
            let notified = self.emptied.notified();
            if self.open() == 0 {
                return;
            }
            notified.await;
        }
    }

    /// What becomes true when draining begins; one for each connection.
    pub fn watch(&self) -> ShutdownWatch {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        match self.stop.get(next % SHARDS) {
            Some(stop) => stop.subscribe(),
            None => watch::channel(true).1,
        }
    }

    /// Counts a connection.
    pub(super) fn open_connection(self: &Arc<Self>) -> Open {
        for drain in self.and_wholes() {
            drain.open.fetch_add(1, Ordering::Relaxed);
        }
        Open(self.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        for drain in self.0.and_wholes() {
            if drain.open.fetch_sub(1, Ordering::Release) == 1 {
                drain.emptied.notify_waiters();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_empty_when_the_last_connection_is_gone() {
        let drain = Arc::new(Drain::default());
        drain.emptied().await;
        let (first, second) = (drain.open_connection(), drain.open_connection());
        let waiting = tokio::spawn({
            let drain = drain.clone();
            async move { drain.emptied().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_part_drains_by_itself_or_with_the_whole_and_counts_for_it() {
        let whole = Arc::new(Drain::default());
        let (one, other) = (whole.part(), whole.part());
        let open = [one.open_connection(), other.open_connection()];
        assert_eq!((whole.open(), one.open()), (2, 1));
        one.begin();
        let begun = || [&one, &other, &whole].map(|drain| *drain.watch().borrow());
        assert_eq!(begun(), [true, false, false]);
        whole.begin();
        assert_eq!(begun(), [true; 3]);
        assert!(*whole.part().watch().borrow(), "one that came too late");
        drop(open);
        whole.emptied().await;
    }

    #[test]
    fn every_watch_hears_of_it() {
        let drain = Drain::default();
        let before: Vec<_> = (0..SHARDS * 2).map(|_| drain.watch()).collect();
        assert!(before.iter().all(|w| !*w.borrow()));
        drain.begin();
        assert!(before.iter().all(|w| *w.borrow()) && *drain.watch().borrow());
    }
}
