//! How streams end when what they came by is gone.
//!
//! A short exchange asks nobody. One that may last tells its watch what it stands on, and when it
//! has lasted for a while, its timer listens there. To end all streams of a route is then one store,
//! and one wake for each of them.

use super::watch::now;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::sync::Notify;

const NEVER: u64 = u64::MAX;
/// Streams end in this part of a drain, the last one: in its first half, one after the other.
const LAST: u64 = 10;

/// What a stream stands on: its listener, its route and its endpoint.
pub type Footing = [Arc<Ending>; 3];

/// How a stream can end so that its client takes it for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Manner {
    /// Nothing tells an end from a whole response: it is broken off.
    Break = 1,
    /// A WebSocket, by a Close frame.
    Close = 2,
    /// Server-sent events: who sees their end asks for them again.
    Events = 3,
    /// A call of gRPC, by its status.
    Status = 4,
}

impl Manner {
    pub(super) fn from_u8(value: u8) -> Option<Self> {
        match value {
            1 => Some(Self::Break),
            2 => Some(Self::Close),
            3 => Some(Self::Events),
            4 => Some(Self::Status),
            _ => None,
        }
    }
}

/// Until when streams go on that came by a route, an endpoint or a listener: for ever, as long as
/// it is there.
#[derive(Debug)]
pub struct Ending {
    /// In milliseconds of [`now`].
    last: AtomicU64,
    /// How long before that they begin to end, in milliseconds.
    spread: AtomicU64,
    told: Notify,
}

impl Default for Ending {
    fn default() -> Self {
        Self { last: AtomicU64::new(NEVER), spread: AtomicU64::new(0), told: Notify::new() }
    }
}

impl Ending {
    /// Lets streams go on for so long. Told again, the earlier end holds.
    pub fn end(&self, longest: Duration) {
        let longest = u64::try_from(longest.as_millis()).unwrap_or(NEVER);
        let last = now().saturating_add(longest);
        if self.last.load(Ordering::Acquire) <= last {
            return;
        }
        self.spread.store(longest / LAST, Ordering::Release);
        if self.last.fetch_min(last, Ordering::AcqRel) > last {
            self.told.notify_waiters();
        }
    }

    /// When a stream ends that drew this lot.
    fn due(&self, lot: u8) -> u64 {
        match self.last.load(Ordering::Acquire) {
            NEVER => NEVER,
            last => {
                let spread = self.spread.load(Ordering::Acquire);
                last.saturating_sub(spread) + spread / 2 * u64::from(lot) / 256
            }
        }
    }
}

/// A stream that listens to what it stands on.
pub(super) struct Lasting {
    footing: Footing,
    /// Its place among those that end with it.
    lot: u8,
    /// All ends, as far as they are known, as one number.
    known: u64,
    told: Told,
    waker: Option<Waker>,
}

type Told = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

impl Lasting {
    pub(super) fn new(footing: Footing) -> Box<Self> {
        let told = Box::pin(told(footing.clone()));
        Box::new(Self { told, footing, lot: fastrand::u8(..), known: 0, waker: None })
    }

    /// When the stream ends; the task is woken when that changes. Asked often it takes no lock.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> u64 {
        let is_heard = self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        if !is_heard || self.known != self.ends() {
            while self.told.as_mut().poll(cx).is_ready() {
                self.told = Box::pin(told(self.footing.clone()));
            }
            self.waker = Some(cx.waker().clone());
            // Only now: of what was told before, nobody wakes us.
            self.known = self.ends();
        }
        self.footing.iter().map(|ending| ending.due(self.lot)).min().unwrap_or(NEVER)
    }

    fn ends(&self) -> u64 {
        let ends = self.footing.iter().map(|ending| ending.last.load(Ordering::Acquire));
        ends.fold(0, u64::wrapping_add)
    }
}

/// Waits until one of them is told an end.
async fn told([listener, route, endpoint]: Footing) {
    tokio::select! {
        () = listener.told.notified() => {}
        () = route.told.notified() => {}
        () = endpoint.told.notified() => {}
    }
}

impl std::fmt::Debug for Lasting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lasting").field("footing", &self.footing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::task::noop_waker;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn the_lots_lie_in_the_first_half_of_the_last_tenth() {
        let ending = Ending::default();
        assert_eq!(ending.due(7), NEVER);
        let before = now();
        ending.end(Duration::from_secs(100));
        let (first, last) = (ending.due(0) - before, ending.due(255) - before);
        assert!((90_000..91_000).contains(&first), "{first}");
        assert!((94_900..96_000).contains(&last), "{last}");
    }

    #[test]
    fn of_two_ends_the_earlier_holds() {
        let ending = Ending::default();
        ending.end(Duration::from_secs(60));
        let first = ending.due(0);
        ending.end(Duration::from_secs(3600));
        assert_eq!(ending.due(0), first);
        ending.end(Duration::from_secs(10));
        assert!(ending.due(0) < first);
    }

    #[test]
    fn a_stream_hears_of_every_end_of_each_thing_it_stands_on() {
        let footing: Footing = std::array::from_fn(|_| Arc::default());
        let mut lasting = Lasting::new(footing.clone());
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        assert_eq!(lasting.poll(&mut cx), NEVER);
        let mut due = NEVER;
        for (times, secs) in [(1, 3000), (2, 2000), (3, 1000)] {
            footing[3 - times].end(Duration::from_secs(secs));
            assert_eq!(woken.0.load(Ordering::Relaxed), times);
            let earlier = lasting.poll(&mut cx);
            assert!(earlier < due);
            due = earlier;
        }
        footing[1].end(Duration::from_secs(1500));
        assert_eq!(woken.0.load(Ordering::Relaxed), 4, "a second time");
        assert_eq!(lasting.poll(&mut cx), due, "and it is not the first to end");
        footing[1].end(Duration::from_secs(1));
        assert_eq!(woken.0.load(Ordering::Relaxed), 5, "a third");
        assert!(lasting.poll(&mut cx) < due);
    }

    #[test]
    fn another_task_is_woken_in_the_place_of_the_first() {
        let footing: Footing = std::array::from_fn(|_| Arc::default());
        let mut lasting = Lasting::new(footing.clone());
        lasting.poll(&mut Context::from_waker(&noop_waker()));
        let woken = Arc::new(Woken::default());
        lasting.poll(&mut Context::from_waker(&Waker::from(woken.clone())));
        footing[0].end(Duration::ZERO);
        assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    }
}
