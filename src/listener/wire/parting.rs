//! How a stream of HTTP/1 ends when its time is over, so that its client sees why.
//!
//! A WebSocket gets a Close frame between two frames, and nothing after it. What the client still
//! says goes on to the endpoint, its own Close too: so the endpoint is told by the client. Events
//! get the last chunk. Whatever cannot be said in time is broken off.

use super::{Wire, borrow};
use crate::exchange::{Manner, Overdue};
use crate::listener::messages::{Kind, Messages};
use crate::listener::transport::Transport;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long the endpoint may take to end what it has begun to send, and the client to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// A Close frame: the service restarts (1012).
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xf4];
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A stream that can end politely.
#[derive(Debug)]
pub(super) struct Parting {
    manner: Manner,
    messages: Messages,
    step: Step,
}

/// How far it has come with that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// It goes on.
    No,
    /// The end of a message is waited for.
    Due,
    /// The client was told.
    Said,
    /// It has had its time to answer.
    Over,
}

impl Parting {
    /// For a stream that ends in this manner.
    fn of(manner: Manner) -> Option<Box<Self>> {
        let kind = match manner {
            Manner::Close => Kind::Frames,
            Manner::Events => Kind::Chunks,
            // A call has no trailers over HTTP/1.
            Manner::Break | Manner::Status => return None,
        };
        Some(Box::new(Self { manner, messages: Messages::new(kind), step: Step::No }))
    }
}

impl<S: Transport> Wire<S> {
    /// Whether the exchange is a stream, or was one when it began to end.
    pub(super) fn is_stream(&self) -> bool {
        self.parting.is_some() || self.arrival.watch.manner().is_some()
    }

    /// Writes what goes to the client of a stream, and keeps the place if it can end politely.
    pub(super) fn poll_stream(
        &mut self,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.parting.is_none() {
            self.parting = self.arrival.watch.manner().and_then(Parting::of);
        }
        let Some(parting) = &self.parting else { return self.poll_put(cx, buf) };
        let most = match parting.step {
            Step::No => buf.len(),
            Step::Due => parting.messages.clone().pass(buf),
            // Nothing may follow the end.
            Step::Said | Step::Over => return Poll::Ready(Ok(buf.len())),
        };
        let buf = buf.get(..most).unwrap_or_default();
        let put = self.poll_put(cx, buf);
        if let (Poll::Ready(Ok(length)), Some(parting)) = (&put, &mut self.parting) {
            parting.messages.follow(buf.get(..*length).unwrap_or_default());
            self.part_between();
        }
        put
    }

    /// Goes on with the end of a stream that is overdue; false if there is no more to be done.
    pub(super) fn parts(&mut self, cx: &mut Context<'_>) -> bool {
        let is_ended = self.arrival.watch.overdue() == Some(Overdue::Ended);
        let Some(parting) = self.parting.as_mut().filter(|_| is_ended) else { return false };
        if parting.step != Step::No {
            return false;
        }
        parting.step = Step::Due;
        self.arrival.watch.parts(PATIENCE);
        self.part_between();
        // What is not taken now, or not at all, the next poll sees.
        let _ = self.poll_sent(cx);
        true
    }

    /// Whether the stream is at its end for the engine: the client of a WebSocket was told, and has
    /// had its time to answer.
    pub(super) fn is_over(&mut self) -> bool {
        self.parting.as_ref().is_some_and(|parting| parting.step == Step::Over)
    }

    /// Takes the time that is over for the end, if the client of a WebSocket was told.
    pub(super) fn gives_up(&mut self) -> bool {
        let told = self
            .parting
            .as_mut()
            .filter(|parting| parting.manner == Manner::Close && parting.step == Step::Said);
        told.map(|parting| parting.step = Step::Over).is_some()
    }

    /// Tells the client, if it is time and a message has just ended.
    fn part_between(&mut self) {
        let Some(parting) = &mut self.parting else { return };
        if parting.step != Step::Due || !parting.messages.is_between() {
            return;
        }
        parting.step = Step::Said;
        let last = match parting.manner {
            // The endpoint was faster.
            _ if parting.messages.has_ended() => &[],
            Manner::Close => CLOSE,
            _ => LAST_CHUNK,
        };
        if parting.manner != Manner::Close {
            // Nobody answers to it.
            self.arrival.watch.parts(Duration::ZERO);
        }
        if self.out.capacity() == 0 {
            self.out = borrow();
        }
        self.out.extend_from_slice(last);
        self.is_unflushed = true;
        self.arrival.parts();
    }
}
