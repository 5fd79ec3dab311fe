//! The timeouts of one exchange: how long it may be silent in its phase.
//!
//! The engine has one timeout for each read, whatever is read. Here every phase has its own, and
//! activity in either direction starts it anew. The proxy sets phases and tells of activity; our
//! downstream IO tells when it waits for the client, asks whether the exchange is overdue whenever
//! it is polled, and fails then.

use super::Arrival;
use super::ending::{Footing, Lasting, Manner};
use super::pace::{Excuse, Pace, Way};
use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::time::Sleep;

const NEVER: u64 = u64::MAX;
/// How long after its time an exchange is taken for one that nobody looks after.
const UNNOTICED: Duration = Duration::from_secs(1);
/// How long an exchange that may last asks nobody when it is to end.
const SHORT: u64 = 1_000;

/// What an exchange waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Phase {
    /// Nothing that we limit here.
    Idle,
    /// The client, to send the rest of its body.
    Request,
    /// The endpoint, to send the head of its final response.
    Response,
    /// Either side, to send more of the body.
    Body,
    /// Either side of an upgraded connection.
    Tunnel,
    /// The client, to take a reply of ours.
    Reply,
}

impl Phase {
    fn from_u8(value: u8) -> Self {
        match value {
            1 => Self::Request,
            2 => Self::Response,
            3 => Self::Body,
            4 => Self::Tunnel,
            5 => Self::Reply,
            _ => Self::Idle,
        }
    }
}

/// Why an exchange is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It was silent for too long in this phase.
    Silent(Phase),
    /// Its client is too slow.
    Slow(Way),
    /// What it stands on is gone, and its time is over.
    Ended,
}

/// In the number of an [`Overdue`], that it is [`Overdue::Slow`].
const SLOW: u8 = 0x10;
/// The number of [`Overdue::Ended`].
const ENDED: u8 = 0x20;

/// The phase of an exchange, its longest silence, the last activity, the pace of its client, and the
/// end of a stream.
#[derive(Debug)]
pub struct Watch {
    phase: AtomicU8,
    /// The [`Overdue`], 0 while there is none.
    overdue: AtomicU8,
    /// When something last happened, in milliseconds of [`now`].
    last: AtomicU64,
    /// Milliseconds.
    silence: AtomicU64,
    pace: Pace,
    /// The [`Manner`] of a stream, 0 for what is none.
    manner: AtomicU8,
    /// When a stream ends; as long as there is a footing, when to look whether it is still there.
    ends: AtomicU64,
    footing: Mutex<Option<Footing>>,
}

impl Default for Watch {
    fn default() -> Self {
        Self {
            phase: AtomicU8::new(Phase::Idle as u8),
            overdue: AtomicU8::new(0),
            last: AtomicU64::new(0),
            silence: AtomicU64::new(NEVER),
            pace: Pace::default(),
            manner: AtomicU8::new(0),
            ends: AtomicU64::new(NEVER),
            footing: Mutex::default(),
        }
    }
}

impl Watch {
    /// Begins an exchange whose client must send and take bodies at such a rate, in bytes per
    /// second, whenever it is waited for; `None` is any.
    pub fn limit(&self, least: Option<u64>) {
        self.pace.begin(least);
    }

    /// Excuses the client from sending its body at the least rate.
    pub fn excuse(&self, excuse: Excuse) {
        self.pace.excuse(excuse);
    }

    /// The client was asked for its body.
    pub fn asked(&self) {
        self.pace.asked();
    }

    /// The client is waited for.
    pub fn waits(&self, way: Way) {
        self.pace.wait(way, now);
    }

    /// The client is not waited for.
    pub fn rests(&self) {
        self.pace.rest(now);
    }

    /// The client moved so many bytes.
    pub fn moved(&self, way: Way, length: usize) {
        self.pace.moved(way, length);
        // One that is slow is not silent.
        if self.pace.rest(now) {
            self.touch();
        }
    }

    /// Switches the timeouts off, though not the least rate, and forgets what was overdue.
    pub fn reset(&self) {
        self.set(Phase::Idle, None);
        self.overdue.store(0, Ordering::Relaxed);
        self.manner.store(0, Ordering::Relaxed);
        self.ends.store(NEVER, Ordering::Relaxed);
    }

    /// The exchange is a stream: it may last, though not when what it stands on is gone.
    pub fn lasts(&self, manner: Manner, footing: Footing) {
        *self.footing.lock() = Some(footing);
        self.manner.store(manner as u8, Ordering::Relaxed);
        // A tunnel is hardly ever short.
        let short = if manner == Manner::Close { 0 } else { SHORT };
        self.ends.store(now().saturating_add(short), Ordering::Relaxed);
    }

    /// How the stream can end; `None` if the exchange is none.
    pub fn manner(&self) -> Option<Manner> {
        Manner::from_u8(self.manner.load(Ordering::Relaxed))
    }

    /// Leaves an exchange that has [`Overdue::Ended`] so much time to say so.
    pub fn parts(&self, patience: Duration) {
        let patience = u64::try_from(patience.as_millis()).unwrap_or(NEVER);
        self.ends.store(now().saturating_add(patience), Ordering::Relaxed);
    }

    /// Enters a phase that may be silent for so long; `None` is for ever.
    pub fn set(&self, phase: Phase, silence: Option<Duration>) {
        let silence = silence.map_or(NEVER, |s| s.as_millis().try_into().unwrap_or(NEVER));
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.silence.store(silence, Ordering::Relaxed);
        self.touch();
    }

    /// Tells of activity.
    pub fn touch(&self) {
        if self.silence.load(Ordering::Relaxed) != NEVER {
            self.last.store(now(), Ordering::Relaxed);
        }
    }

    /// The phase it is in.
    pub fn phase(&self) -> Phase {
        Phase::from_u8(self.phase.load(Ordering::Relaxed))
    }

    /// Why it is overdue, if it is.
    pub fn overdue(&self) -> Option<Overdue> {
        match self.overdue.load(Ordering::Relaxed) {
            0 => None,
            ENDED => Some(Overdue::Ended),
            slow if slow == SLOW | Way::Upload as u8 => Some(Overdue::Slow(Way::Upload)),
            slow if slow & SLOW != 0 => Some(Overdue::Slow(Way::Download)),
            phase => Some(Overdue::Silent(Phase::from_u8(phase))),
        }
    }

    fn due(&self) -> u64 {
        self.ends.load(Ordering::Relaxed).min(self.fails_at())
    }

    fn fails_at(&self) -> u64 {
        self.silent_at().min(self.pace.due())
    }

    fn silent_at(&self) -> u64 {
        match self.silence.load(Ordering::Relaxed) {
            NEVER => NEVER,
            silence => self.last.load(Ordering::Relaxed).saturating_add(silence),
        }
    }

    /// Whether the client took more of the response than was known; then it is not overdue yet.
    fn learns(&self, taken: impl Fn() -> u64) -> bool {
        let is_news = self.pace.way() == Some(Way::Download) && self.pace.took(taken());
        if is_news {
            self.touch();
        }
        is_news
    }

    /// What to listen to from here on, if it is time for that and for nothing else.
    fn look(&self) -> Option<Footing> {
        let is_time = self.ends.load(Ordering::Relaxed) < self.fails_at();
        let footing = if is_time { self.footing.lock().take() } else { None };
        if footing.is_some() {
            self.ends.store(NEVER, Ordering::Relaxed);
        }
        footing
    }

    fn expire(&self) {
        let phase = self.phase.load(Ordering::Relaxed);
        let overdue = match self.pace.way() {
            _ if self.ends.load(Ordering::Relaxed) < self.fails_at() => ENDED,
            Some(way) if self.pace.due() <= self.silent_at() => SLOW | way as u8,
            // What is silent is the client, and not the endpoint.
            Some(way @ Way::Download) if self.phase() != Phase::Tunnel => SLOW | way as u8,
            _ => phase,
        };
        self.overdue.store(overdue, Ordering::Relaxed);
        // From here on the exchange only writes its failure; that must not be cut short.
        self.silence.store(NEVER, Ordering::Relaxed);
        self.ends.store(NEVER, Ordering::Relaxed);
        self.pace.forgive();
    }
}

/// What wakes the task of an exchange when its watch may be overdue.
///
/// The sleep is set for the earliest due time seen and checked when it fires, so that a busy
/// keep-alive connection touches the runtime's timers once per silence, not once per request.
#[derive(Debug, Default)]
pub struct Timer {
    sleep: Option<Pin<Box<Sleep>>>,
    /// When the sleep ends, in milliseconds of [`now`].
    until: u64,
    /// Of a stream that has lasted.
    lasting: Option<Box<Lasting>>,
}

impl Timer {
    /// Ready when the watch is overdue.
    pub fn poll(&mut self, watch: &Watch, cx: &mut Context<'_>) -> Poll<()> {
        ready!(self.poll_due(watch, cx));
        self.expire(watch)
    }

    /// The same for a response that passes a buffer: `taken` looks how much of it the client took.
    pub fn poll_taking(
        &mut self,
        watch: &Watch,
        cx: &mut Context<'_>,
        taken: impl Fn() -> u64,
    ) -> Poll<()> {
        loop {
            ready!(self.poll_due(watch, cx));
            if !watch.learns(&taken) {
                return self.expire(watch);
            }
        }
    }

    /// Begins with another exchange.
    pub fn begin(&mut self) {
        self.lasting = None;
    }

    /// Ready when the watch of an exchange has been overdue for a while and nobody asked it; with
    /// the phase it was in. Only an exchange whose uplink is a stream can come to that.
    pub fn poll_unnoticed(&mut self, arrival: &Arrival, cx: &mut Context<'_>) -> Poll<Phase> {
        if !arrival.uplink.is_stream() {
            return Poll::Pending;
        }
        let (watch, grace) = (&arrival.watch, UNNOTICED.as_millis() as u64);
        ready!(self.poll_until(cx, || watch.silent_at().saturating_add(grace)));
        watch.expire();
        Poll::Ready(watch.phase())
    }

    fn expire(&mut self, watch: &Watch) -> Poll<()> {
        self.lasting = None;
        watch.expire();
        Poll::Ready(())
    }

    fn poll_due(&mut self, watch: &Watch, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match &mut self.lasting {
                Some(lasting) if watch.manner().is_some() => {
                    watch.ends.fetch_min(lasting.poll(cx), Ordering::Relaxed);
                }
                _ => self.lasting = None,
            }
            ready!(self.poll_until(cx, || watch.due()));
            match watch.look() {
                Some(footing) => self.lasting = Some(Lasting::new(footing)),
                None => return Poll::Ready(()),
            }
        }
    }

    fn poll_until(&mut self, cx: &mut Context<'_>, due: impl Fn() -> u64) -> Poll<()> {
        loop {
            let due = due();
            if due == NEVER {
                return Poll::Pending;
            }
            let now = now();
            if now >= due {
                return Poll::Ready(());
            }
            let left = Duration::from_millis(due - now);
            let sleep = match &mut self.sleep {
                None => {
                    self.until = due;
                    self.sleep.insert(Box::pin(tokio::time::sleep(left)))
                }
                Some(sleep) => {
                    if self.until > due || sleep.is_elapsed() {
                        self.until = due;
                        sleep.as_mut().reset(tokio::time::Instant::now() + left);
                    }
                    sleep
                }
            };
            match sleep.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(()) => {}
            }
        }
    }
}

/// Milliseconds since the machine started, by the coarse clock: an exchange asks often, and the few
/// milliseconds it lags behind are nothing to a timeout.
pub(super) fn now() -> u64 {
    // The clock is there on every Linux; a negative time is not.
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE).map(Duration::from);
    time.unwrap_or_default().as_millis() as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::time::Instant;

    async fn overdue(watch: &Watch) -> Duration {
        let mut timer = Timer::default();
        let start = Instant::now();
        poll_fn(|cx| timer.poll(watch, cx)).await;
        start.elapsed()
    }

    #[tokio::test]
    async fn silence_in_a_phase_is_overdue() {
        let watch = Watch::default();
        watch.set(Phase::Response, Some(Duration::from_millis(30)));
        assert!(overdue(&watch).await >= Duration::from_millis(29));
        assert_eq!(watch.overdue(), Some(Overdue::Silent(Phase::Response)));
    }

    #[tokio::test]
    async fn activity_starts_the_silence_anew() {
        let watch = Watch::default();
        watch.set(Phase::Body, Some(Duration::from_millis(120)));
        let touch = async {
            tokio::time::sleep(Duration::from_millis(70)).await;
            watch.touch();
        };
        let (waited, ()) = tokio::join!(overdue(&watch), touch);
        assert!(waited >= Duration::from_millis(180), "{waited:?}");
    }

    #[tokio::test]
    async fn a_later_phase_may_be_shorter() {
        let watch = Watch::default();
        let mut timer = Timer::default();
        watch.set(Phase::Response, Some(Duration::from_secs(60)));
        let first = poll_fn(|cx| Poll::Ready(timer.poll(&watch, cx))).await;
        assert!(first.is_pending());
        watch.set(Phase::Body, Some(Duration::from_millis(20)));
        poll_fn(|cx| timer.poll(&watch, cx)).await;
        assert_eq!(watch.overdue(), Some(Overdue::Silent(Phase::Body)));
    }

    #[tokio::test]
    async fn a_stream_is_overdue_when_what_it_stands_on_is_gone_and_its_time_is_over() {
        let watch = Watch::default();
        watch.set(Phase::Tunnel, Some(Duration::from_secs(60)));
        let footing: Footing = Default::default();
        watch.lasts(Manner::Close, footing.clone());
        let (start, mut timer) = (Instant::now(), Timer::default());
        let first = poll_fn(|cx| Poll::Ready(timer.poll(&watch, cx))).await;
        assert!(first.is_pending());
        footing[2].end(Duration::from_millis(200));
        poll_fn(|cx| timer.poll(&watch, cx)).await;
        assert!(start.elapsed() >= Duration::from_millis(170), "{:?}", start.elapsed());
        assert_eq!(watch.overdue(), Some(Overdue::Ended));
        watch.parts(Duration::from_millis(30));
        poll_fn(|cx| timer.poll(&watch, cx)).await;
        assert!(start.elapsed() >= Duration::from_millis(190), "{:?}", start.elapsed());
    }

    #[tokio::test]
    async fn what_is_over_before_it_is_looked_at_is_no_stream() {
        let watch = Watch::default();
        let footing: Footing = Default::default();
        footing[0].end(Duration::ZERO);
        watch.lasts(Manner::Break, footing);
        let mut timer = Timer::default();
        let first = poll_fn(|cx| Poll::Ready(timer.poll(&watch, cx))).await;
        assert!(first.is_pending(), "a short one asks nobody");
        watch.reset();
        assert_eq!((watch.manner(), watch.due()), (None, NEVER));
    }

    #[test]
    fn a_reset_forgets() {
        let watch = Watch::default();
        watch.set(Phase::Tunnel, Some(Duration::ZERO));
        watch.expire();
        watch.reset();
        assert_eq!((watch.overdue(), watch.phase()), (None, Phase::Idle));
    }

    #[tokio::test]
    async fn of_a_silence_while_bytes_wait_for_the_client_the_client_is_the_cause() {
        let watch = Watch::default();
        watch.set(Phase::Body, Some(Duration::from_millis(30)));
        watch.waits(Way::Download);
        overdue(&watch).await;
        assert_eq!(watch.overdue(), Some(Overdue::Slow(Way::Download)));
    }

    #[tokio::test]
    async fn a_client_that_takes_more_is_not_silent() {
        let watch = Watch::default();
        watch.set(Phase::Body, Some(Duration::from_millis(60)));
        watch.waits(Way::Download);
        let (start, mut timer) = (Instant::now(), Timer::default());
        // What the first look shows is news, and the second shows no more.
        poll_fn(|cx| timer.poll_taking(&watch, cx, || 1)).await;
        assert!(start.elapsed() >= Duration::from_millis(90), "{:?}", start.elapsed());
    }
}
