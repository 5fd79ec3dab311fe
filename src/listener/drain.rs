//! How accepting ends: new work is refused, open work is finished.

use pingora::server::ShutdownWatch;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, watch};

/// Every exchange asks whether we drain; one channel for all would be a lock shared by all cores.
const SHARDS: usize = 64;

/// Whether the process drains, and how many connections are still open.
#[derive(Debug)]
pub struct Drain {
    stop: Vec<watch::Sender<bool>>,
    next: AtomicUsize,
    open: AtomicUsize,
    emptied: Notify,
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
        }
    }
}

impl Drain {
    /// Begins to drain.
    pub fn begin(&self) {
        for stop in &self.stop {
            stop.send_replace(true);
        }
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

    /// What becomes true when draining begins, for one connection.
    pub(super) fn watch(&self) -> ShutdownWatch {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        match self.stop.get(next % SHARDS) {
            Some(stop) => stop.subscribe(),
            None => watch::channel(true).1,
        }
    }

    /// Counts a connection.
    pub(super) fn open_connection(self: &Arc<Self>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(self.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::Release) == 1 {
            self.0.emptied.notify_waiters();
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

    #[test]
    fn every_watch_hears_of_it() {
        let drain = Drain::default();
        let before: Vec<_> = (0..SHARDS * 2).map(|_| drain.watch()).collect();
        assert!(before.iter().all(|w| !*w.borrow()));
        drain.begin();
        assert!(before.iter().all(|w| *w.borrow()) && *drain.watch().borrow());
    }
}
