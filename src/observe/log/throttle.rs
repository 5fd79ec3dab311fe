//! Keeps repeated lines from filling the log.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Lets a few lines through per span of time and counts the rest.
///
/// It fits into a `static`; the count goes into the line:
/// `if let Some(suppressed) = RESETS.allow() { tracing::warn!(suppressed, "...") }`.
#[derive(Debug)]
pub struct Throttle {
    burst: u32,
    per: Duration,
    /// End of the present span, in microseconds of [`uptime`].
    end: AtomicU64,
    /// Lines that asked in the present span.
    asked: AtomicU32,
}

impl Throttle {
    /// Lets one line through per span.
    pub const fn new(per: Duration) -> Self {
        Self::burst(1, per)
    }

    /// Lets `burst` lines through per span.
    pub const fn burst(burst: u32, per: Duration) -> Self {
        Self { burst, per, end: AtomicU64::new(0), asked: AtomicU32::new(0) }
    }

    /// Whether a line may be written; if so, how many were suppressed in the span before.
    pub fn allow(&self) -> Option<u64> {
        self.allow_at(uptime())
    }

    fn allow_at(&self, now: Duration) -> Option<u64> {
        let end = self.end.load(Ordering::Relaxed);
        let is_over = micros(now) >= end;
        let next = micros(now + self.per);
        // Only one of many threads opens the next span.
        if is_over
            && self.end.compare_exchange(end, next, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        {
            let asked = self.asked.swap(1, Ordering::Relaxed);
            return Some(asked.saturating_sub(self.burst).into());
        }
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        (asked < self.burst).then_some(0)
    }
}

/// Time since the first question; a static cannot hold an [`Instant`].
fn uptime() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_rest_of_a_span_is_counted_and_told_with_the_next_line() {
        let throttle = Throttle::new(SECOND);
        let at = |ms| throttle.allow_at(Duration::from_millis(ms));
        assert_eq!(
            [at(0), at(1), at(999), at(1000), at(1001)],
            [Some(0), None, None, Some(2), None]
        );
        assert_eq!(at(9000), Some(1));
    }

    #[test]
    fn a_burst_lets_several_through() {
        let throttle = Throttle::burst(3, SECOND);
        let allowed = (0..10).filter(|_| throttle.allow_at(Duration::ZERO).is_some()).count();
        assert_eq!(allowed, 3);
        assert_eq!(throttle.allow_at(SECOND), Some(7));
    }

    #[test]
    fn many_threads_lose_no_count() {
        let throttle = Throttle::new(SECOND);
        let ask = || {
            let told = (0..1000).filter_map(|_| throttle.allow_at(Duration::ZERO));
            told.map(|suppressed| 1 + suppressed).sum::<u64>()
        };
        let accounted: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(accounted + throttle.allow_at(SECOND).unwrap(), 4000);
    }
}
