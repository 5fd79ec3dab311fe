//! Whether the edge can serve.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the edge can serve: bound, names looked up, not stopping.
#[derive(Debug, Default)]
pub struct Readiness {
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
    /// What is not as it should be, though the edge serves.
    problems: Mutex<Vec<String>>,
}

impl Readiness {
    /// Says that it can serve.
    pub fn begin(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// Says that it stops; it is not ready any more, whatever is said after that.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Says what is not as it should be from here on.
    pub fn tell(&self, problems: Vec<String>) {
        *self.problems.lock() = problems;
    }

    /// Whether it can serve.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed) && !self.is_stopping.load(Ordering::Relaxed)
    }

    pub(super) fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }
}
