//! How a request reached us: what the listener knows and the proxy must find.
//!
//! The engine makes the request's context deep inside its own future. The listener runs that
//! future inside [`Arrival::scope`], so that the context finds its connection and its watch.

use super::{Connection, Uplink, Watch};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch::Receiver;

tokio::task_local! {
    static CURRENT: Arc<Arrival>;
}

/// One exchange as its listener sees it; on HTTP/1 it serves one exchange after the other.
#[derive(Debug)]
pub struct Arrival {
    /// The connection.
    pub connection: Arc<Connection>,
    /// The timeouts of the exchange.
    pub watch: Watch,
    /// The way of the request's body.
    pub uplink: Uplink,
    /// Becomes true when the process drains.
    pub drain: Receiver<bool>,
    /// Whether a request of it reached the hooks; the rest was refused by the engine.
    entered: AtomicBool,
    /// Whether a response broke off, so that the connection must not end like a complete one.
    broken: AtomicBool,
    /// Whether a stream ended so that its client sees why.
    parted: AtomicBool,
    /// Whether a response was given to the client whole.
    answered: AtomicBool,
}

impl Arrival {
    /// An arrival on a connection, with a watch that is off.
    pub fn new(connection: Arc<Connection>, drain: Receiver<bool>) -> Arc<Self> {
        Arc::new(Self {
            connection,
            watch: Watch::default(),
            uplink: Uplink::default(),
            drain,
            entered: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            parted: AtomicBool::new(false),
            answered: AtomicBool::new(false),
        })
    }

    /// Runs the engine's future so that [`Arrival::current`] finds this arrival inside it.
    pub fn scope<F: Future>(self: Arc<Self>, future: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(self, future)
    }

    /// The arrival whose exchange is being served; `None` outside a listener's task.
    pub fn current() -> Option<Arc<Self>> {
        CURRENT.try_with(Arc::clone).ok()
    }

    /// Says that a request reached the hooks.
    pub fn enter(&self) {
        self.entered.store(true, Ordering::Relaxed);
    }

    /// Whether a request reached the hooks since this was last asked.
    pub fn take_entered(&self) -> bool {
        self.entered.swap(false, Ordering::Relaxed)
    }

    /// Says that the stream's response is whole; on HTTP/1 the hooks see it.
    pub fn answers(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the stream's response is whole.
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Says that a stream ended so that its client sees why.
    pub fn parts(&self) {
        self.parted.store(true, Ordering::Relaxed);
    }

    /// Whether a stream ended so that its client sees why.
    pub fn has_parted(&self) -> bool {
        self.parted.load(Ordering::Relaxed)
    }

    /// Says that a response broke off half-way.
    pub fn breaks_off(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether a response broke off half-way.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
}
