//! SIGTERM, SIGINT and SIGQUIT drain, a second one ends at once; SIGHUP reloads; SIGUSR1 opens the
//! access log anew; SIGUSR2 has another process take the place of this one.

use super::control::Standing;
use super::notify::Supervisor;
use crate::admin::Readiness;
use crate::listener::Drain;
use crate::observe::access::Writer;
use crate::runtime::{Asked, By, Commands};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};

/// Why a signal does nothing.
const UNHEARD: &str = "does nothing here: this process ends, or another one has taken its place";

/// How the process stops.
pub(super) struct Stop {
    /// Becomes true when nobody accepts any more.
    pub(super) doors: watch::Receiver<bool>,
    pub(super) standing: watch::Receiver<Standing>,
    /// Becomes true when the process is told to end.
    pub(super) stopping: watch::Sender<bool>,
    pub(super) drain: Arc<Drain>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) supervisor: Supervisor,
    /// How long the process goes on but for its readiness.
    pub(super) delay: Duration,
    /// What is open after so long is cut off.
    pub(super) longest: Duration,
}

/// Drains by itself and then has the engine end at once: the engine's own grace is a fixed sleep.
pub(super) struct Signals {
    stop: Stop,
    access: Arc<Writer>,
    commands: Commands,
    heard: Arc<Notify>,
}

impl Signals {
    pub(super) fn new(stop: Stop, access: Arc<Writer>, commands: Commands) -> Self {
        Self { stop, access, commands, heard: Arc::default() }
    }

    /// What is told as soon as signals are heard; before, one would kill the process.
    pub(super) fn heard(&self) -> Arc<Notify> {
        self.heard.clone()
    }

    /// Ends when draining is over, or with a second signal.
    async fn end(&self, ends: &mut Ends) {
        tokio::select! {
            () = ends.one() => {}
            () = self.stop.superseded() => return,
        }
        tokio::select! {
            () = self.stop.drain() => {}
            () = ends.one() => tracing::warn!("a second signal: ending now"),
        }
    }

    /// Opens the access log anew as often as it is told to.
    async fn reopen(&self, told: &mut Signal) -> Infallible {
        loop {
            hear(told).await;
            tracing::info!("the access log is opened anew");
            self.access.reopen();
        }
    }

    /// Starts another process as often as it is told to; the outcome is in the log.
    async fn upgrade(&self, told: &mut Signal) -> Infallible {
        loop {
            hear(told).await;
            if self.commands.upgrade(None, None).await.is_none() {
                tracing::warn!("SIGUSR2 {UNHEARD}");
            }
        }
    }

    /// Reloads as often as it is told to; the outcome is in the log.
    async fn reload(&self, told: &mut Signal) -> Infallible {
        loop {
            hear(told).await;
            if self.commands.change(Asked::files(By::Sighup)).await.is_none() {
                tracing::warn!("SIGHUP {UNHEARD}");
            }
        }
    }
}

impl Stop {
    /// Ends when another process has taken over and nothing is open here any more.
    async fn superseded(&self) {
        let told =
            self.standing.clone().wait_for(|standing| *standing == Standing::Gone).await.is_ok();
        if !told {
            return std::future::pending().await;
        }
        let start = Instant::now();
        tracing::info!(connections = self.drain.open(), "draining, another process serves");
        self.emptied().await;
        tracing::info!(took = ?start.elapsed(), "drained");
    }

    async fn drain(&self) {
        self.stopping.send_replace(true);
        self.readiness.stop();
        let mut standing = self.standing.clone();
        if *standing.borrow() != Standing::Next {
            self.supervisor.stopping(self.delay + self.longest);
        }
        // Who was replaced gets nothing that could go elsewhere.
        if !self.delay.is_zero() && *standing.borrow() == Standing::Edge {
            tracing::info!(delay = ?self.delay, "stopping: not ready any more, still serving");
            let replaced = standing.wait_for(|standing| *standing != Standing::Edge);
            let _ = tokio::time::timeout(self.delay, replaced).await;
        }
        let open = self.drain.open();
        self.drain.begin();
        self.drain.end(self.longest);
        tracing::info!(connections = open, longest = ?self.longest, "draining");
        let start = Instant::now();
        let emptied = tokio::time::timeout(self.longest, self.emptied()).await;
        let (left, took) = (self.drain.open(), start.elapsed());
        if emptied.is_ok() {
            tracing::info!(?took, "drained");
        } else {
            tracing::warn!(connections = left, ?took, "the drain is over; what is open is cut off");
        }
    }
}

impl Stop {
    /// Waits until nothing is open any more.
    async fn emptied(&self) {
        // Those who wait in the queues of sockets come in first.
        let _ = self.doors.clone().wait_for(|closed| *closed).await;
        self.drain.emptied().await;
    }
}

/// The signals that end the process.
struct Ends([Signal; 3]);

impl Ends {
    async fn one(&mut self) {
        let Self([terminate, interrupt, quit]) = self;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
        }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Signals {
    async fn recv(&self) -> ShutdownSignal {
        let kinds = [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::quit(),
            SignalKind::hangup(),
            SignalKind::user_defined1(),
            SignalKind::user_defined2(),
        ];
        let signals = kinds.map(signal);
        self.heard.notify_one();
        let [Ok(terminate), Ok(interrupt), Ok(quit), Ok(mut hangup), Ok(mut user), Ok(mut second)] =
            signals
        else {
            for error in signals.into_iter().filter_map(Result::err) {
                tracing::error!(%error, "signals cannot be heard; only SIGKILL ends this process");
            }
            return std::future::pending().await;
        };
        let mut ends = Ends([terminate, interrupt, quit]);
        tokio::select! {
            () = self.end(&mut ends) => {}
            never = self.reload(&mut hangup) => match never {},
            never = self.reopen(&mut user) => match never {},
            never = self.upgrade(&mut second) => match never {},
        }
        ShutdownSignal::FastShutdown
    }
}

async fn hear(signal: &mut Signal) {
    // Once no signal can come any more, nothing is to be done.
    if signal.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
}
