//! How a connection is closed, so that nothing of ours is lost.

use super::Wire;
use crate::exchange::Phase;
use crate::listener::body::Framing;
use crate::listener::transport::Transport;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;

/// How long a peer that neither reads nor sends may hold up a close.
const LINGER: Duration = Duration::from_secs(2);
/// How long one that goes on sending may, until it reads why nobody listens.
const LINGER_MOST: Duration = Duration::from_secs(30);

/// How far closing has come.
#[derive(Clone, Copy)]
pub(super) enum Leaving {
    No,
    /// Our side is being closed.
    Ours,
    /// The peer's side is waited for, at most until then.
    Theirs(Instant),
}

impl<S: Transport> Wire<S> {
    /// Closes our side, and then waits for what the peer still sends: the rest of a request, or
    /// an answer to a GOAWAY. Closing over unread bytes would reset our last ones away.
    pub(super) fn poll_leave(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            match self.leaving {
                Leaving::No => {
                    self.arrival.watch.set(Phase::Idle, Some(LINGER));
                    self.leaving = Leaving::Ours;
                }
                Leaving::Ours => {
                    ready!(self.poll_drain(cx))?;
                    ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
                    self.leaving = self.await_peer();
                }
                Leaving::Theirs(until) => return self.poll_discard(cx, until).map(Ok),
            }
        }
    }

    fn await_peer(&mut self) -> Leaving {
        let ahead = std::mem::take(&mut self.ahead);
        if self.framing.admit(&ahead) < ahead.len() {
            // Further requests, which nobody will answer: there may be more of them on the way.
            self.framing = Framing::Endless;
        }
        self.arrival.watch.touch();
        let is_short = self.is_h2 || *self.arrival.drain.borrow();
        Leaving::Theirs(Instant::now() + if is_short { LINGER } else { LINGER_MOST })
    }

    fn poll_discard(&mut self, cx: &mut Context<'_>, until: Instant) -> Poll<()> {
        let mut discard = [0; 4096];
        while !self.framing.is_done() && Instant::now() < until {
            let mut buffer = ReadBuf::new(&mut discard);
            let read = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            self.framing.admit(buffer.filled());
            self.arrival.watch.touch();
        }
        Poll::Ready(())
    }
}
