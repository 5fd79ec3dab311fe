//! Who enters an upstream at once, and who waits before it.

use crate::observe::Gauge;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;
use tokio::sync::Notify;

/// Counts the attempts in flight of all endpoints, and keeps those that wait in their order.
///
/// As long as nobody waits it takes no lock.
#[derive(Debug, Default)]
pub(in crate::upstream) struct Gate {
    in_flight: AtomicUsize,
    waiting: AtomicUsize,
    /// Of those that wait, how many take any endpoint.
    in_line: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    next: u64,
    places: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    turn: Arc<Notify>,
    /// Whether it was told to look, and has not yet.
    is_called: bool,
    /// Whether only some endpoints will do.
    is_particular: bool,
}

/// What nobody calls for is looked for so often: an endpoint that recovers, or is new.
const LOOKS_EVERY: Duration = Duration::from_millis(100);

impl Gate {
    /// Attempts in flight.
    pub(in crate::upstream) fn in_flight(&self) -> usize {
        self.in_flight.load(SeqCst)
    }

    /// Requests that wait.
    pub(in crate::upstream) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Whether somebody waits who takes any endpoint: who comes now waits behind.
    pub(in crate::upstream) fn has_line(&self) -> bool {
        self.in_line.load(SeqCst) > 0
    }

    /// Lets an attempt in; `None` if so many are in already.
    pub(in crate::upstream) fn enter(self: &Arc<Self>, most: usize) -> Option<Entered> {
        let is_in = |count: usize| (count < most).then_some(count + 1);
        self.in_flight.fetch_update(SeqCst, SeqCst, is_in).ok()?;
        Some(Entered(Arc::clone(self)))
    }

    /// A place behind all others, which is shown; `None` if so many wait already.
    pub(in crate::upstream) fn queue(
        self: &Arc<Self>,
        most: usize,
        is_particular: bool,
        shown: &Gauge,
    ) -> Option<Place> {
        let turn = Arc::new(Notify::new());
        let mut queue = self.queue.lock();
        if queue.places.len() >= most {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        queue.places.insert(number, Waiter { turn: turn.clone(), is_called: false, is_particular });
        self.count(&queue);
        shown.inc();
        Some(Place { gate: Arc::clone(self), number, turn, shown: shown.clone() })
    }

    fn count(&self, queue: &Queue) {
        let in_line = queue.places.values().filter(|waiter| !waiter.is_particular).count();
        self.waiting.store(queue.places.len(), SeqCst);
        self.in_line.store(in_line, SeqCst);
    }

    /// Has the first look, of those with this number or a later one, that was not called yet.
    fn call(&self, from: u64) {
        if self.waiting() == 0 {
            return;
        }
        let mut queue = self.queue.lock();
        if let Some((_, first)) = queue.places.range_mut(from..).find(|(_, w)| !w.is_called) {
            first.is_called = true;
            first.turn.notify_one();
        }
    }
}

/// An attempt that is in, until this is dropped.
#[must_use = "the attempt leaves when the guard is dropped"]
#[derive(Debug)]
pub(in crate::upstream) struct Entered(Arc<Gate>);

impl Entered {
    /// Says that there may be room, though the attempt goes on.
    pub(in crate::upstream) fn makes_room(&self) {
        self.0.call(0);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, SeqCst);
        self.0.call(0);
    }
}

/// A place in the queue; whoever drops it leaves.
#[derive(Debug)]
pub struct Place {
    gate: Arc<Gate>,
    number: u64,
    turn: Arc<Notify>,
    shown: Gauge,
}

impl Place {
    /// Waits until it is worth looking whether there is room. Who waits longer is called first.
    pub async fn turn(&self) {
        let passes_on = {
            let mut queue = self.gate.queue.lock();
            let waiter = queue.places.get_mut(&self.number);
            waiter
                .is_some_and(|waiter| std::mem::take(&mut waiter.is_called) && waiter.is_particular)
        };
        if passes_on {
            // The room that it was called for was not for it, but may be for the next.
            self.gate.call(self.number + 1);
        }
        // An error is the time that is over, and then it looks as well.
        let _ = tokio::time::timeout(LOOKS_EVERY, self.turn.notified()).await;
    }
}

#[cfg(test)]
impl Place {
    /// Whether it was called since it was asked last.
    pub(in crate::upstream) fn is_called(&self) -> bool {
        let queue = self.gate.queue.lock();
        queue.places.get(&self.number).is_some_and(|waiter| waiter.is_called)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shown.dec();
        {
            let mut queue = self.gate.queue.lock();
            queue.places.remove(&self.number);
            self.gate.count(&queue);
        }
        // There may be room for more than one; and who leaves may have been called.
        self.gate.call(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::Registry;

    fn gate() -> Arc<Gate> {
        Arc::default()
    }

    impl Gate {
        fn line(self: &Arc<Self>, most: usize) -> Option<Place> {
            let gauges = Registry::new().gauge::<0>("falconer_places", "Places.", &[]);
            self.queue(most, false, &gauges.handle(&[]))
        }
    }

    #[test]
    fn no_more_enter_than_may() {
        let gate = gate();
        let (first, second) = (gate.enter(2).unwrap(), gate.enter(2).unwrap());
        assert!(gate.enter(2).is_none());
        drop(first);
        let third = gate.enter(2).unwrap();
        assert_eq!(gate.in_flight(), 2);
        drop((second, third));
        assert_eq!(gate.in_flight(), 0);
    }

    #[test]
    fn no_more_wait_than_may() {
        let gate = gate();
        assert!(gate.line(0).is_none());
        let first = gate.line(2).unwrap();
        let _second = gate.line(2).unwrap();
        assert!(gate.line(2).is_none());
        drop(first);
        assert_eq!(gate.waiting(), 1);
        assert!(gate.line(2).is_some());
    }

    #[test]
    fn who_waits_longest_is_called_first_and_each_once() {
        let gate = gate();
        let (one, other) = (gate.enter(2).unwrap(), gate.enter(2).unwrap());
        let places: [Place; 3] = std::array::from_fn(|_| gate.line(9).unwrap());
        drop(one);
        assert_eq!(places.each_ref().map(Place::is_called), [true, false, false]);
        drop(other);
        assert_eq!(places.each_ref().map(Place::is_called), [true, true, false]);
        let [first, _, third] = places;
        drop(first);
        assert!(third.is_called(), "there may be room for more");
    }

    #[tokio::test(start_paused = true)]
    async fn only_who_is_particular_offers_to_the_next_what_is_not_for_it() {
        for is_particular in [true, false] {
            let gate = gate();
            let gauges = Registry::new().gauge::<0>("falconer_places", "Places.", &[]);
            let entered = gate.enter(1).unwrap();
            let first = gate.queue(9, is_particular, &gauges.handle(&[])).unwrap();
            let second = gate.line(9).unwrap();
            assert!(gate.has_line());
            drop(entered);
            assert!(first.is_called() && !second.is_called());
            // It looked, found nothing for it, and waits on.
            first.turn().await;
            assert!(!first.is_called());
            assert_eq!(second.is_called(), is_particular);
            drop(second);
            assert_eq!(gate.has_line(), !is_particular);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_called_looks_all_the_same() {
        let gate = gate();
        let place = gate.line(1).unwrap();
        let began = tokio::time::Instant::now();
        place.turn().await;
        assert_eq!(began.elapsed(), LOOKS_EVERY);
    }
}
