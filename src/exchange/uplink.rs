//! The way of a request's body to its endpoint: when the next piece may go there.
//!
//! While the engine writes to an endpoint it reads nothing from it. An endpoint that answers while
//! it reads would come to wait for us while we wait for it. So our downstream IO gives the engine a
//! piece only when writing it will not block: over HTTP/1 the endpoint's socket tells; an HTTP/2
//! stream tells nobody its window, and there the response has the right of way instead.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{getsockopt, sockopt};
use parking_lot::Mutex;
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

/// The way to the endpoint of the current attempt.
#[derive(Debug, Default)]
pub struct Uplink {
    way: Mutex<Way>,
    /// Pieces of responses that passed.
    answered: AtomicU32,
    is_blocked: AtomicBool,
}

#[derive(Clone, Debug, Default)]
enum Way {
    /// Nothing is known of it.
    #[default]
    Open,
    /// A connection of its own.
    Socket(Arc<OwnedFd>),
    /// A stream of a connection.
    Stream,
}

impl Uplink {
    /// The way is a stream of an HTTP/2 connection.
    pub fn by_stream(&self) {
        *self.way.lock() = Way::Stream;
    }

    /// The way is a connection of its own. Holds a duplicate of it until [`Uplink::close`].
    pub fn by_socket(&self, socket: BorrowedFd<'_>) {
        // Without a descriptor to spare it goes as it goes.
        let way = socket.try_clone_to_owned().map_or(Way::Open, |own| Way::Socket(Arc::new(own)));
        *self.way.lock() = way;
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
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the body waits for the endpoint, and not for the client.
    pub fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// The exchange is over.
    pub fn close(&self) {
        *self.way.lock() = Way::Open;
        self.is_blocked.store(false, Ordering::Relaxed);
    }
}

/// What lets a request's body pass piece by piece.
#[derive(Debug, Default)]
pub struct Gate {
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
        *self = Self::default();
    }

    /// Ready when a piece may go, with its greatest length. Ask when there is one.
    pub fn poll(&mut self, uplink: &Uplink, cx: &mut Context<'_>) -> Poll<usize> {
        let way = uplink.way.lock().clone();
        match way {
            Way::Open => Poll::Ready(PIECE),
            Way::Socket(socket) => {
                let piece = self.poll_socket(&socket, cx);
                uplink.is_blocked.store(piece.is_pending(), Ordering::Relaxed);
                piece
            }
            Way::Stream => self.poll_quiet(uplink, cx),
        }
    }

    /// So many bytes went.
    pub fn pass(&mut self, length: usize) {
        self.passed = self.passed.saturating_add(length);
    }

    fn poll_socket(&mut self, socket: &Arc<OwnedFd>, cx: &mut Context<'_>) -> Poll<usize> {
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
    fn poll_quiet(&mut self, uplink: &Uplink, cx: &mut Context<'_>) -> Poll<usize> {
        if self.passed < WINDOW {
            return Poll::Ready(WINDOW - self.passed);
        }
        let answered = uplink.answered.load(Ordering::Relaxed);
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
        gate.pass(WINDOW);
        let turn = (0..=PATIENCE).position(|_| {
            uplink.answered();
            now(&mut gate, &uplink).is_ready()
        });
        assert_eq!(turn, Some(PATIENCE as usize - 1));
    }
}
