//! The way of a request's body to its endpoint: when the next piece may go there.
//!
//! While the engine writes to an endpoint it reads nothing from it. An endpoint that answers while
//! it reads would come to wait for us while we wait for it. So our downstream IO gives the engine a
//! piece only when writing it will not block: over HTTP/1 the endpoint's socket tells; an HTTP/2
//! stream tells nobody its window, and there the response has the right of way instead.

use arc_swap::ArcSwapOption;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use tokio::net::TcpStream;

/// The most that is read of a body at once.
const PIECE: usize = 64 * 1024;
const LEAST_PIECE: usize = 2 * 1024;
/// A writable socket has room for a third of its buffer, and the engine holds up to six pieces.
const PIECES_PER_BUFFER: usize = 16;
/// What the smallest window of an HTTP/2 stream takes without anybody reading (RFC 9113, 6.9.2).
const WINDOW: usize = 65_535;
/// Looks at the response without finding any after which a piece of the request goes.
const QUIET: u8 = 2;
/// Pieces of the response after which one of the request goes in any case.
const PATIENCE: u32 = 64;

/// The way to the endpoint of the current attempt, if something is known of it.
#[derive(Debug, Default)]
pub struct Uplink(ArcSwapOption<Way>);

#[derive(Debug)]
struct Way {
    /// The connection, if it is this exchange's alone; else a stream of HTTP/2.
    socket: Option<OwnedFd>,
    /// Pieces of the response that passed.
    answered: AtomicU32,
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

    /// A piece of the response passed.
    pub fn answered(&self) {
        if let Some(way) = &*self.0.load() {
            way.answered.fetch_add(1, Ordering::Relaxed);
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
        let (answered, is_blocked) = (AtomicU32::new(0), AtomicBool::new(false));
        self.0.store(Some(Arc::new(Way { socket, answered, is_blocked })));
    }
}

/// What lets a request's body pass piece by piece. Boxed, because few bodies need it.
#[derive(Debug, Default)]
pub struct Gate(Option<Box<Passing>>);

#[derive(Debug, Default)]
struct Passing {
    blocked: Option<TcpStream>,
    /// Bytes that passed.
    passed: usize,
    answered: u32,
    quiet: u8,
    waited: u32,
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
        let Some(socket) = &way.socket else { return passing.poll_quiet(way, cx) };
        let piece = passing.poll_socket(socket, cx);
        way.is_blocked.store(piece.is_pending(), Ordering::Relaxed);
        piece
    }

    /// So many bytes went.
    pub fn pass(&mut self, length: usize) {
        if let Some(passing) = &mut self.0 {
            passing.passed = passing.passed.saturating_add(length);
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

    /// Looks again and again whether the response moves; each look lets the engine move it.
    fn poll_quiet(&mut self, way: &Way, cx: &mut Context<'_>) -> Poll<usize> {
        if self.passed < WINDOW {
            return Poll::Ready(WINDOW - self.passed);
        }
        let answered = way.answered.load(Ordering::Relaxed);
        if answered != self.answered {
            self.waited = self.waited.saturating_add(answered.wrapping_sub(self.answered));
            self.answered = answered;
            self.quiet = 0;
        }
        if self.quiet < QUIET && self.waited < PATIENCE {
            self.quiet += 1;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.quiet = 0;
        self.waited = 0;
        Poll::Ready(PIECE)
    }
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

    #[test]
    fn on_a_stream_the_response_goes_first() {
        let (uplink, mut gate) = (Uplink::default(), Gate::default());
        uplink.by_stream();
        assert_eq!(now(&mut gate, &uplink), Poll::Ready(WINDOW));
        gate.pass(WINDOW);
        for _ in 0..3 {
            uplink.answered();
            assert!(now(&mut gate, &uplink).is_pending());
        }
        assert!(now(&mut gate, &uplink).is_pending());
        assert!(now(&mut gate, &uplink).is_ready());
    }

    #[test]
    fn a_response_without_end_leaves_a_turn_to_the_request() {
        let (uplink, mut gate) = (Uplink::default(), Gate::default());
        uplink.by_stream();
        assert!(now(&mut gate, &uplink).is_ready());
        gate.pass(WINDOW);
        let turn = (0..=PATIENCE).position(|_| {
            uplink.answered();
            now(&mut gate, &uplink).is_ready()
        });
        assert_eq!(turn, Some(PATIENCE as usize - 1));
    }
}
