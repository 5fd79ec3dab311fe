//! What an origin answers, and the hands a test keeps on it.

use super::wire::Headers;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// An answer of an origin.
#[derive(Clone)]
pub struct Reply {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Body,
    pub(super) trailers: Headers,
    pub(super) interim: Vec<(u16, Headers)>,
    pub(super) waits: Vec<Wait>,
    pub(super) ending: Ending,
}

#[derive(Clone)]
pub(super) enum Body {
    Whole(Bytes),
    Fed(Feed),
    /// These bytes are the whole answer, head included.
    Wire(Bytes),
    /// The request's body as it comes, in pieces of at most this length.
    Echo(usize),
    /// Upgraded, and every message comes back.
    WebSocket,
    /// Upgraded to a protocol of this name, and every byte comes back.
    Tunnel(String),
}

#[derive(Clone)]
pub(super) enum Wait {
    Gate(Gate),
    Time(Duration),
    Work(Workers, Duration),
    Forever,
}

/// What becomes of the connection (of the stream, on HTTP/2) after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Keep,
    Close,
    Reset,
}

impl Reply {
    /// An answer with this status and no body.
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Headers::default(),
            body: Body::Whole(Bytes::new()),
            trailers: Headers::default(),
            interim: Vec::new(),
            waits: Vec::new(),
            ending: Ending::Keep,
        }
    }

    /// An answer with status 200 and this body.
    pub fn ok(body: impl Into<Bytes>) -> Self {
        Self::new(200).body(body)
    }

    /// Exactly these bytes instead of an answer, on HTTP/1.
    pub fn wire(bytes: impl Into<Bytes>) -> Self {
        Self { body: Body::Wire(bytes.into()), ..Self::new(0) }
    }

    /// No answer at all; the connection stays.
    pub fn never() -> Self {
        Self { waits: vec![Wait::Forever], ..Self::new(0) }
    }

    /// A reset instead of an answer.
    pub fn reset() -> Self {
        Self::wire(Bytes::new()).then_reset()
    }

    /// Sends the request's body back as it comes, from an origin that answers `before_body`.
    pub fn echo() -> Self {
        Self::echo_in(usize::MAX)
    }

    /// An echo in pieces of at most this length.
    pub fn echo_in(largest: usize) -> Self {
        Self { body: Body::Echo(largest), ..Self::new(200) }
    }

    /// Becomes a WebSocket that sends back every message.
    pub fn websocket() -> Self {
        Self { body: Body::WebSocket, ..Self::new(101) }
    }

    /// Upgrades to this protocol and sends back every byte.
    pub fn tunnel(protocol: &str) -> Self {
        Self { body: Body::Tunnel(protocol.to_owned()), ..Self::new(101) }
    }

    /// Adds a field, spelled like this on HTTP/1; a `Content-Length` is believed, right or wrong.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// Takes the body from a feed, as it is fed; in chunks unless a length is set.
    pub fn fed_by(mut self, feed: &Feed) -> Self {
        self.body = Body::Fed(feed.clone());
        self
    }

    /// Adds a trailer; the body goes in chunks then.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name, value);
        self
    }

    /// Sends an interim answer before, such as 103 with `Link`, on HTTP/1.
    pub fn after_interim(mut self, status: u16, headers: &[(&str, &str)]) -> Self {
        let mut all = Headers::default();
        headers.iter().for_each(|(name, value)| all.push(name, value));
        self.interim.push((status, all));
        self
    }

    /// Waits until the gate opens; interim answers go out before.
    pub fn behind(mut self, gate: &Gate) -> Self {
        self.waits.push(Wait::Gate(gate.clone()));
        self
    }

    /// Takes so long to answer.
    pub fn after(mut self, time: Duration) -> Self {
        self.waits.push(Wait::Time(time));
        self
    }

    /// Takes one of these workers so long, and waits for one that is free before.
    pub fn worked(mut self, by: &Workers, time: Duration) -> Self {
        self.waits.push(Wait::Work(by.clone(), time));
        self
    }

    /// Closes the connection after the answer.
    pub fn then_close(mut self) -> Self {
        self.ending = Ending::Close;
        self
    }

    /// Resets the connection (the stream, on HTTP/2) after what was sent of the answer.
    pub fn then_reset(mut self) -> Self {
        self.ending = Ending::Reset;
        self
    }

    pub(super) async fn wait(&self) {
        for wait in &self.waits {
            match wait {
                Wait::Gate(gate) => gate.opened().await,
                Wait::Time(time) => tokio::time::sleep(*time).await,
                Wait::Work(workers, time) => {
                    let _one = workers.0.acquire().await.expect("workers that stay");
                    tokio::time::sleep(*time).await;
                }
                Wait::Forever => std::future::pending().await,
            }
        }
    }
}

/// Holds answers back until the test opens it.
#[derive(Clone)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// One that was never closed.
    pub(super) fn wide() -> Self {
        Self(Arc::new(watch::Sender::new(true)))
    }

    /// Lets everything through, from now on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// So many answers at once can an application work at; the others wait for their turn.
#[derive(Clone)]
pub struct Workers(Arc<Semaphore>);

impl Workers {
    /// So many.
    pub fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count)))
    }
}

/// A body that the test sends piece by piece, the same to everyone who asks.
#[derive(Clone)]
pub struct Feed(Arc<watch::Sender<Fed>>);

#[derive(Default)]
struct Fed {
    pieces: Vec<Bytes>,
    ended: bool,
    /// Of the one who is furthest.
    sent: usize,
}

impl Feed {
    /// A body of which nothing has come yet.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Fed::default())))
    }

    /// Sends a piece.
    pub fn send(&self, piece: impl Into<Bytes>) {
        self.0.send_modify(|fed| fed.pieces.push(piece.into()));
    }

    /// Ends the body; the reply's own ending follows.
    pub fn end(&self) {
        self.0.send_modify(|fed| fed.ended = true);
    }

    /// How many pieces an origin has handed to the system so far.
    pub fn sent(&self) -> usize {
        self.0.borrow().sent
    }

    /// The n-th piece, when it comes; `None` if the body ends before. All before it were sent.
    pub(super) async fn piece(&self, n: usize) -> Option<Bytes> {
        self.0.send_if_modified(|fed| {
            fed.sent = fed.sent.max(n);
            false
        });
        let mut fed = self.0.subscribe();
        let fed = fed.wait_for(|fed| fed.ended || n < fed.pieces.len()).await.ok()?;
        fed.pieces.get(n).cloned()
    }
}
