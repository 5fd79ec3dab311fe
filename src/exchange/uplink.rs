//! The way of a request's body to its endpoint: when the next piece may go there.
//!
//! While the engine writes to an endpoint it reads nothing from it. An endpoint that answers while
//! it reads would come to wait for us while we wait for it. So our downstream IO gives the engine a
//! piece only when writing it will not block: over HTTP/1 the endpoint's socket tells; an HTTP/2
//! stream tells nobody its window, and there it goes by what comes back.

use arc_swap::ArcSwapOption;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// The most that is read of a body at once.
const PIECE: usize = 64 * 1024;
const LEAST_PIECE: usize = 2 * 1024;
/// A writable socket has room for a third of its buffer, and the engine holds up to six pieces.
const PIECES_PER_BUFFER: usize = 16;
/// What the smallest window of an HTTP/2 stream takes without anybody reading (RFC 9113, 6.9.2).
const WINDOW: usize = 65_535;
/// The most that goes between two pauses of an endpoint that does not answer.
const MOST_AT_ONCE: usize = 4 * 1024 * 1024;
/// An endpoint that got as much without answering more than its head reads before it answers.
const READS_FIRST: u64 = 1024 * 1024;
/// For how long nothing of a response comes, when the endpoint is taken to have read all it got.
const PAUSE: Duration = Duration::from_millis(2);
/// The same of an endpoint that answered less than it did before for as much.
const LONG_PAUSE: Duration = Duration::from_millis(40);
/// After a pause, looks by which the connection's own task had its turn to read.
const LOOKS: u8 = 2;
/// For how long a response without a pause keeps the request waiting; each time twice as long.
const PATIENCE: Duration = Duration::from_millis(100);
/// An endpoint that answers more than so many times what it gets tells nothing of what it read.
const ECHO: u64 = 2;
/// How much of an echo is believed between two pauses.
const BELIEVED: usize = 1024 * 1024;

/// The way to the endpoint of the current attempt, if something is known of it.
#[derive(Debug, Default)]
pub struct Uplink(ArcSwapOption<Way>);

#[derive(Debug)]
struct Way {
    /// The connection, if it is this exchange's alone; else a stream of HTTP/2.
    socket: Option<OwnedFd>,
    /// Bytes of the response's body that passed.
    answered: AtomicU64,
    is_blocked: AtomicBool,
}

impl Uplink {
    /// The way is a stream of an HTTP/2 connection.
    pub fn by_stream(&self) {
        self.open(None);
    }

    /// The way is a connection of its own. Holds a duplicate of it until [`Uplink::close`].
    pub fn by_socket(&self, socket: BorrowedFd<'_>) {
        // Without a descriptor to spare it goes as it goes.
        match socket.try_clone_to_owned() {
            Ok(own) => self.open(Some(own)),
            Err(_) => self.close(),
        }
    }

    /// As [`Uplink::by_socket`], for a connection of which only the number is known. It must be
    /// open; a negative one is none.
    pub fn by_descriptor(&self, descriptor: RawFd) {
        if descriptor < 0 {
            return;
        }
        #[allow(unsafe_code, reason = "the engine tells a connection by its number; see ADR 6")]
        // SAFETY: the caller holds the connection, and the borrow ends with this call.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        self.by_socket(socket);
    }

    /// The response has begun.
    pub fn begun(&self) {
        self.answered(1);
    }

    /// So many bytes of the response's body passed.
    pub fn answered(&self, length: usize) {
        if let Some(way) = &*self.0.load() {
            way.answered.fetch_add(length as u64, Ordering::Relaxed);
        }
    }

    /// Whether the way is a stream of an HTTP/2 connection.
    pub fn is_stream(&self) -> bool {
        self.0.load().as_ref().is_some_and(|way| way.socket.is_none())
    }

    /// Whether the body waits for the endpoint, and not for the client.
    pub fn is_blocked(&self) -> bool {
        self.0.load().as_ref().is_some_and(|way| way.is_blocked.load(Ordering::Relaxed))
    }

    /// The exchange is over.
    pub fn close(&self) {
        // Reading costs next to nothing, and few exchanges opened a way.
        if self.0.load().is_some() {
            self.0.store(None);
        }
    }

    fn open(&self, socket: Option<OwnedFd>) {
        let (answered, is_blocked) = (AtomicU64::new(0), AtomicBool::new(false));
        self.0.store(Some(Arc::new(Way { socket, answered, is_blocked })));
    }
}

/// What lets a request's body pass piece by piece. Boxed, because few bodies need it.
#[derive(Debug, Default)]
pub struct Gate(Option<Box<Passing>>);

#[derive(Debug, Default)]
struct Passing {
    blocked: Option<TcpStream>,
    turns: Turns,
}

/// How a request and its response take turns on a stream.
///
/// The endpoint is known to take [`WINDOW`] bytes. A pause of the response tells that it read all,
/// and when it answered no more than it got until then, what comes back after tells how much of the
/// rest. So no more is in flight than it takes, unless it pauses with much to answer.
#[derive(Debug)]
struct Turns {
    /// Bytes of the request that passed.
    passed: u64,
    /// Those of them that the endpoint may not have read.
    unread: usize,
    /// As much of them as may be.
    most: usize,
    /// Bytes of the response that were seen to pass, and so many at the last turn.
    answered: u64,
    last_answered: u64,
    /// What had passed at the pause until which most was answered for it, and what of the response.
    caught_up: (u64, u64),
    /// How much of what comes back is believed to be read.
    believed: usize,
    waiting: Option<Waiting>,
    patience: Duration,
}

#[derive(Debug)]
struct Waiting {
    since: Instant,
    pause: Pin<Box<Sleep>>,
    is_long: bool,
    looks: u8,
}

impl Gate {
    /// Begins another body.
    pub fn reset(&mut self) {
        self.0 = None;
    }

    /// Ready when a piece may go, with its greatest length. Ask when there is one.
    pub fn poll(&mut self, uplink: &Uplink, cx: &mut Context<'_>) -> Poll<usize> {
        let Some(way) = &*uplink.0.load() else { return Poll::Ready(PIECE) };
        let passing = self.0.get_or_insert_default();
        let Some(socket) = &way.socket else { return passing.turns.poll(way, cx) };
        let piece = passing.poll_socket(socket, cx);
        way.is_blocked.store(piece.is_pending(), Ordering::Relaxed);
        piece
    }

    /// So many bytes went.
    pub fn pass(&mut self, length: usize) {
        if let Some(passing) = &mut self.0 {
            passing.turns.pass(length);
        }
    }
}

impl Passing {
    fn poll_socket(&mut self, socket: &OwnedFd, cx: &mut Context<'_>) -> Poll<usize> {
        while !is_writable(socket.as_fd()) {
            let blocked = match self.blocked.take() {
                Some(blocked) => blocked,
                // Anew each time: it tells of edges only, and of the first state.
                None => match registered(socket) {
                    Ok(blocked) => blocked,
                    Err(_) => break,
                },
            };
            if blocked.poll_write_ready(cx).is_pending() {
                self.blocked = Some(blocked);
                return Poll::Pending;
            }
        }
        self.blocked = None;
        let buffer = getsockopt(socket, sockopt::SndBuf).unwrap_or(0);
        Poll::Ready((buffer / PIECES_PER_BUFFER).clamp(LEAST_PIECE, PIECE))
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            passed: 0,
            unread: 0,
            most: WINDOW,
            answered: 0,
            last_answered: 0,
            caught_up: (1, 0),
            believed: 0,
            waiting: None,
            patience: PATIENCE,
        }
    }
}

impl Turns {
    fn pass(&mut self, length: usize) {
        self.passed = self.passed.saturating_add(length as u64);
        self.unread = self.unread.saturating_add(length);
    }

    fn poll(&mut self, way: &Way, cx: &mut Context<'_>) -> Poll<usize> {
        self.look(way.answered.load(Ordering::Relaxed));
        if self.unread >= self.most {
            ready!(self.poll_wait(cx));
            self.waiting = None;
            self.unread = 0;
            let is_silent = self.answered == self.last_answered;
            if self.answered == 0 || is_silent && self.passed >= READS_FIRST {
                self.most = (self.most * 2).min(MOST_AT_ONCE);
            }
            self.last_answered = self.answered;
        }
        Poll::Ready((self.most - self.unread).min(PIECE))
    }

    fn look(&mut self, answered: u64) {
        let came = answered.saturating_sub(self.answered);
        if came == 0 {
            return;
        }
        self.answered = answered;
        self.most = WINDOW;
        let read = self.believed.min(usize::try_from(came).unwrap_or(usize::MAX));
        self.believed -= read;
        self.unread = self.unread.saturating_sub(read);
        if let Some(waiting) = &mut self.waiting {
            waiting.pause.as_mut().reset(Instant::now() + PAUSE);
            waiting.is_long = false;
            waiting.looks = 0;
        }
    }

    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let has_caught_up = self.has_caught_up();
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: Instant::now(),
            pause: Box::pin(sleep(PAUSE)),
            is_long: false,
            looks: 0,
        });
        if waiting.since.elapsed() >= self.patience {
            self.patience *= 2;
            return Poll::Ready(());
        }
        ready!(waiting.pause.as_mut().poll(cx));
        if !waiting.is_long && !has_caught_up {
            waiting.is_long = true;
            waiting.pause.as_mut().reset(Instant::now() + LONG_PAUSE);
            ready!(waiting.pause.as_mut().poll(cx));
        }
        if waiting.looks < LOOKS {
            waiting.looks += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.patience = PATIENCE;
        if waiting.is_long || self.is_most_for_what_passed() {
            self.caught_up = (self.passed, self.answered);
        }
        self.believed = if self.is_echo() { BELIEVED } else { 0 };
        Poll::Ready(())
    }

    fn is_echo(&self) -> bool {
        (1..=self.passed.saturating_mul(ECHO)).contains(&self.answered)
    }

    /// Whether so much came for so little for the first time.
    fn is_most_for_what_passed(&self) -> bool {
        let (passed, answered) = self.caught_up;
        product(self.answered, passed) >= product(answered, self.passed)
    }

    /// Whether the endpoint answered about what is to be expected of it for what it got.
    fn has_caught_up(&self) -> bool {
        let (passed, answered) = self.caught_up;
        let read = product(self.answered, passed).checked_div(u128::from(answered));
        let is_read = |read| read + WINDOW as u128 / 2 >= u128::from(self.passed);
        self.answered <= self.passed.saturating_mul(ECHO) || read.is_none_or(is_read)
    }
}

fn product(a: u64, b: u64) -> u128 {
    u128::from(a) * u128::from(b)
}

/// The socket as the runtime knows one; of what kind it is does not matter for waiting.
fn registered(socket: &OwnedFd) -> io::Result<TcpStream> {
    TcpStream::from_std(std::net::TcpStream::from(socket.try_clone()?))
}

fn is_writable(socket: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::new(socket, PollFlags::POLLOUT)];
    // An error or a hang-up is found by writing.
    !matches!(poll(&mut asked, PollTimeout::ZERO), Ok(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    fn now(gate: &mut Gate, uplink: &Uplink) -> Poll<usize> {
        gate.poll(uplink, &mut Context::from_waker(std::task::Waker::noop()))
    }

    #[tokio::test]
    async fn a_full_socket_holds_the_body_back_until_it_is_read() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (uplink, mut gate) = (Uplink::default(), Gate::default());
        uplink.by_socket(ours.as_fd());
        let piece = match now(&mut gate, &uplink) {
            Poll::Ready(piece) => piece,
            Poll::Pending => panic!("an empty socket takes a piece"),
        };
        assert!((LEAST_PIECE..=PIECE).contains(&piece));

        while ours.write(&vec![0; piece]).is_ok() {}
        assert!(now(&mut gate, &uplink).is_pending());
        let mut buffer = vec![0; PIECE];
        while theirs.read(&mut buffer).is_ok() {}
        let woken = poll_fn(|cx| gate.poll(&uplink, cx));
        tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    }

    #[tokio::test]
    async fn a_socket_that_the_peer_closed_holds_nothing_back() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (uplink, mut gate) = (Uplink::default(), Gate::default());
        uplink.by_socket(ours.as_fd());
        while ours.write(&[0; 4096]).is_ok() {}
        assert!(now(&mut gate, &uplink).is_pending());
        drop(theirs);
        let woken = poll_fn(|cx| gate.poll(&uplink, cx));
        tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    }

    #[test]
    fn the_duplicate_goes_with_the_exchange() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let uplink = Uplink::default();
        uplink.by_socket(ours.as_fd());
        drop(ours);
        uplink.close();
        assert_eq!(theirs.read(&mut [0; 1]).unwrap(), 0);
    }

    /// A gate before a stream, all of whose first window went.
    fn full() -> (Uplink, Gate) {
        let (uplink, mut gate) = (Uplink::default(), Gate::default());
        uplink.by_stream();
        assert_eq!(now(&mut gate, &uplink), Poll::Ready(WINDOW));
        gate.pass(WINDOW);
        assert!(now(&mut gate, &uplink).is_pending());
        (uplink, gate)
    }

    async fn waited(gate: &mut Gate, uplink: &Uplink) -> (usize, Duration) {
        let begun = Instant::now();
        (poll_fn(|cx| gate.poll(uplink, cx)).await, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_echo_what_comes_back_makes_room_after_a_pause() {
        let (uplink, mut gate) = full();
        uplink.answered(WINDOW);
        assert!(now(&mut gate, &uplink).is_pending());
        assert_eq!(waited(&mut gate, &uplink).await.0, WINDOW);
        gate.pass(WINDOW);
        uplink.answered(1000);
        assert_eq!(now(&mut gate, &uplink), Poll::Ready(1000));
        gate.pass(1000);
        uplink.answered(BELIEVED);
        assert_eq!(now(&mut gate, &uplink), Poll::Ready(WINDOW));
        gate.pass(WINDOW);
        uplink.answered(1000);
        assert!(now(&mut gate, &uplink).is_pending(), "not for ever");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_of_the_response_is_the_turn_of_the_request() {
        let (uplink, mut gate) = full();
        uplink.answered(10 * WINDOW);
        let (piece, time) = waited(&mut gate, &uplink).await;
        assert_eq!(piece, WINDOW);
        assert!((PAUSE..2 * PAUSE).contains(&time), "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_endpoint_that_pauses_early_is_waited_for_longer() {
        let (uplink, mut gate) = full();
        uplink.answered(10 * WINDOW);
        waited(&mut gate, &uplink).await;
        gate.pass(WINDOW);
        uplink.answered(WINDOW);
        assert!(waited(&mut gate, &uplink).await.1 >= LONG_PAUSE);
        gate.pass(WINDOW);
        uplink.answered(9 * WINDOW);
        let time = waited(&mut gate, &uplink).await.1;
        assert!(time < LONG_PAUSE, "it is not held to what it did at first: {time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_head_of_a_response_no_more_goes_until_it_is_clear_that_nothing_comes() {
        let (uplink, mut gate) = full();
        uplink.begun();
        let mut passed = WINDOW as u64;
        while passed < READS_FIRST {
            let piece = waited(&mut gate, &uplink).await.0;
            assert!(piece <= WINDOW);
            gate.pass(piece);
            passed += piece as u64;
        }
        waited(&mut gate, &uplink).await;
        gate.pass(WINDOW);
        assert!(now(&mut gate, &uplink).is_ready());
    }

    #[tokio::test(start_paused = true)]
    async fn before_the_response_more_and_more_goes_at_once() {
        let (uplink, mut gate) = full();
        let mut at_once = Vec::new();
        for _ in 0..8 {
            waited(&mut gate, &uplink).await;
            let mut went = 0;
            while let Poll::Ready(piece) = now(&mut gate, &uplink) {
                gate.pass(piece);
                went += piece;
            }
            at_once.push(went);
        }
        assert_eq!(at_once[..3], [2 * WINDOW, 4 * WINDOW, 8 * WINDOW]);
        assert_eq!(at_once[7], MOST_AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_without_a_pause_leaves_a_turn_to_the_request_ever_more_rarely() {
        let (uplink, mut gate) = full();
        uplink.answered(10 * WINDOW);
        let mut pace = tokio::time::interval(PAUSE / 2);
        for patience in [PATIENCE, 2 * PATIENCE, 4 * PATIENCE] {
            let begun = Instant::now();
            loop {
                pace.tick().await;
                uplink.answered(WINDOW);
                if now(&mut gate, &uplink).is_ready() {
                    break;
                }
            }
            let time = begun.elapsed();
            assert!((patience..patience + 2 * PAUSE).contains(&time), "{time:?}");
            gate.pass(WINDOW);
        }
    }
}
