//! The service that brings the edge up, and then has it follow its document.

use super::admin::AdminDoors;
use super::files::Files;
use super::library::Library;
use super::listeners::Listeners;
use super::notify::Supervisor;
use super::pid_file::PidFile;
use super::state::{self, State};
use super::upgrade::{Predecessor, StandBy, Successor, Takeover};
use super::watched::{News, Watched};
use crate::admin::{Guard, Readiness};
use crate::config::Read;
use crate::listener::{Bound, Drain};
use crate::runtime::{
    Asked, By, Fate, Handle, Outcome, Requested, Retained, Running, Status, renew,
};
use crate::upstream::{Act, Discovery, Upstream, UpstreamStatus};
use crate::value::Diagnostic;
use async_trait::async_trait;
use futures::future::join_all;
use nix::sys::signal::{Signal, raise};
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

/// How long the first look-up of names, and the first check of endpoints, may hold up what waits for
/// them.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often files are looked at. A change counts when a second look finds nothing new: who writes
/// several files is given the time.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the document anew.
pub type Reader = Arc<dyn Fn() -> Read + Send + Sync>;

/// Looks the names of endpoints up, says that the edge is ready, and then reloads when asked.
pub(super) struct Control {
    pub(super) library: Arc<Library>,
    pub(super) running: Arc<Running>,
    /// Whether what runs came from elsewhere than its files.
    pub(super) is_beside: bool,
    pub(super) retained: Arc<Retained>,
    pub(super) runtime: Arc<Handle>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) listeners: Listeners,
    pub(super) admin: AdminDoors,
    pub(super) state: Option<State>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) drain: Arc<Drain>,
    /// Becomes true when nobody accepts any more.
    pub(super) closed: watch::Sender<bool>,
    pub(super) readiness: Arc<Readiness>,
    pub(super) guard: Arc<Guard>,
    pub(super) supervisor: Supervisor,
    pub(super) pid_file: Option<PidFile>,
    /// Told when signals are heard.
    pub(super) heard: Arc<Notify>,
    pub(super) requests: mpsc::Receiver<Requested>,
    /// Those that came while an upgrade was under way.
    pub(super) deferred: VecDeque<Requested>,
    /// What an upgrade starts, unless it is told another one.
    pub(super) binary: PathBuf,
    /// The process whose place this one takes.
    pub(super) predecessor: Option<Predecessor>,
    /// The same, when it accepts no more.
    pub(super) stand_by: Option<StandBy>,
    pub(super) standing: watch::Sender<Standing>,
    /// Becomes true when the process is told to end.
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) watched: Watched,
    /// Since when it is ready.
    pub(super) ready: Option<Instant>,
    /// What became of the last reload.
    pub(super) last_reload: Option<&'static str>,
}

/// What the process is to its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing yet: another process is the edge.
    Next,
    /// The edge.
    Edge,
    /// Beside another process that has its place, and would have it again.
    Lent,
    /// Another process has its place, for good.
    Gone,
}

impl Control {
    /// Changes as often as it is asked to, and when files change. It returns when another process
    /// has taken the place of this one.
    async fn obey(&mut self) -> Successor {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let requested = match self.deferred.pop_front() {
                Some(requested) => Some(requested),
                None => tokio::select! {
                    Some(requested) = self.requests.recv() => Some(requested),
                    _ = look.tick() => {
                        self.look().await;
                        None
                    }
                },
            };
            match requested {
                Some(Requested::Change(asked, answer)) => {
                    let told = self.change(asked).await;
                    // Whoever asked may have gone.
                    let _ = answer.send(told);
                }
                Some(Requested::Document(answer)) => {
                    let generation = self.runtime.load().generation;
                    drop(answer.send((generation, self.running.document.clone())));
                }
                Some(Requested::Kept(answer)) => {
                    let list = self.filed(|library, running| library.list(running)).await;
                    drop(answer.send(list.unwrap_or_default()));
                }
                Some(Requested::Status(answer)) => drop(answer.send(self.status(false))),
                Some(Requested::Upstreams(answer)) => drop(answer.send(self.upstreams())),
                Some(Requested::Act { upstream, endpoint, act, answer }) => {
                    drop(answer.send(self.act(&upstream, &endpoint, act)));
                }
                Some(Requested::Upgrade { binary, patience, answer }) => {
                    self.settle().await;
                    let (upgrade, successor) = self.upgrade(binary, patience).await;
                    let _ = answer.send(upgrade);
                    if let Some(successor) = successor {
                        return successor;
                    }
                }
                None => {}
            }
        }
    }

    /// Is the edge, until another process has taken its place and gets along without this one.
    async fn serve(&mut self, generation: u64) -> Successor {
        if !self.take_over(generation).await {
            return std::future::pending().await;
        }
        if let Some(state) = &self.state {
            self.admin.obey(&state.socket);
        }
        self.keep(By::Start, Fate::Applied { generation }).await;
        loop {
            let successor = self.obey().await;
            let process = successor.process();
            if let Some(successor) = self.wait_beside(successor).await {
                self.supervisor.hand_over(process);
                return successor;
            }
        }
    }

    /// Accepts nothing any more.
    async fn end(&mut self, successor: Option<Successor>) -> Option<Bound> {
        let Some(successor) = successor else {
            self.listeners.close().await;
            return None;
        };
        self.listeners.end(self.running.document.server.upgrade_drain.0).await;
        // What is still under way needs no news, and the other process asks for itself.
        self.runtime.load().upstreams.values().for_each(|upstream| upstream.end_checks());
        self.admin.close();
        // The lock and the socket for commands are another's; this process is asked elsewhere.
        self.state = None;
        // Only now it hears that nothing of it is held here.
        drop(successor);
        self.standing.send_replace(Standing::Gone);
        let own = state::socket_of(self.state_dir.as_deref()?, std::process::id());
        let own = Bound::private(&own).ok()?;
        self.admin.tell(&own);
        Some(own)
    }

    async fn tell_all(&mut self) {
        while let Some(requested) = self.requests.recv().await {
            self.tell(requested);
        }
    }

    /// Says how it is; it does nothing else any more.
    pub(super) fn tell(&self, requested: Requested) {
        if let Requested::Status(answer) = requested {
            drop(answer.send(self.status(true)));
        }
    }

    /// Takes the place of the process before, if there is one, as soon as it accepts no more. Returns
    /// whether the place is its own.
    async fn take_over(&mut self, generation: u64) -> bool {
        let Some(predecessor) = self.predecessor.take() else { return true };
        let process = predecessor.process();
        let mut stopping = self.stopping.clone();
        if *stopping.borrow() {
            predecessor.refuse(vec!["the new process was told to stop".to_owned()]);
            return false;
        }
        let taken = tokio::select! {
            taken = predecessor.take_over(generation) => taken,
            _ = stopping.wait_for(|stopping| *stopping) => return false,
        };
        match taken {
            Takeover::From(stand_by) => {
                stand_by.taken().await;
                self.stand_by = Some(stand_by);
                tracing::info!(process, "took over from the process before");
            }
            Takeover::Alone => {
                tracing::warn!(process, "the process before is gone, this one serves alone");
            }
            Takeover::Withdrawn => {
                tracing::error!(process, "the process before goes on, so this one ends");
                if let Err(error) = raise(Signal::SIGTERM) {
                    tracing::error!(%error, "this process cannot end by itself");
                }
                return false;
            }
        }
        self.standing.send_replace(Standing::Edge);
        self.announce(generation);
        true
    }

    /// Tells the system that this process is the edge.
    fn announce(&self, generation: u64) {
        self.pid_file.iter().for_each(PidFile::write);
        self.supervisor.ready(generation);
        tokio::spawn(self.supervisor.clone().keep_telling(self.listeners.pulse()));
    }

    /// Lets the process before go.
    pub(super) async fn settle(&mut self) {
        if let Some(stand_by) = self.stand_by.take() {
            stand_by.settle().await;
        }
    }

    pub(super) fn status(&self, draining: bool) -> Status {
        Status {
            version: crate::VERSION.to_owned(),
            process: std::process::id(),
            up: self.ready.map_or(0, |ready| ready.elapsed().as_secs()),
            draining,
            generation: self.runtime.load().generation,
            last_reload: self.last_reload.map(str::to_owned),
            listeners: self.listeners.status(),
        }
    }

    fn upstreams(&self) -> Vec<UpstreamStatus> {
        self.runtime.load().upstreams.values().map(|upstream| upstream.status()).collect()
    }

    /// Has an endpoint get no further requests, or again.
    fn act(&self, name: &str, endpoint: &str, act: Act) -> Result<Vec<UpstreamStatus>, String> {
        let snapshot = self.runtime.load();
        let Some(upstream) = snapshot.upstreams.get(name) else {
            return Err(format!("there is no upstream `{name}`; `falconer upstreams` lists them"));
        };
        if upstream.act(endpoint, act) == 0 {
            return Err(format!(
                "the upstream `{name}` has no endpoint `{endpoint}`; `falconer upstreams` lists them"
            ));
        }
        match act {
            Act::Drain { .. } => tracing::info!(upstream = name, endpoint, "an endpoint drains"),
            Act::Resume => tracing::info!(upstream = name, endpoint, "an endpoint drains no more"),
            Act::Weigh(Some(weight)) => {
                tracing::info!(upstream = name, endpoint, weight, "an endpoint has another weight");
            }
            Act::Weigh(None) => {
                tracing::info!(upstream = name, endpoint, "an endpoint has its weight again");
            }
        }
        Ok(vec![upstream.status()])
    }

    async fn look(&mut self) {
        let (watched, is_wanted) = (self.watched.clone(), self.running.document.server.watch);
        // A file system may be far away, and slow.
        let looked = tokio::task::spawn_blocking(move || watched.look(is_wanted)).await;
        let Ok(News { document, certificates }) = looked else { return };
        let mut are_read = false;
        if document {
            tracing::info!("the document has changed on disk");
            let outcome = self.change(Asked::files(By::Watch)).await.outcome;
            are_read = matches!(outcome, Outcome::Applied { .. } | Outcome::Unchanged { .. });
        }
        if certificates && !are_read {
            self.renew().await;
        }
    }

    /// Serves what the files of certificates hold now; a bad pair changes nothing.
    async fn renew(&mut self) {
        let (running, retained) = (self.running.clone(), self.retained.clone());
        let (snapshot, state_dir) = (self.runtime.snapshot(), self.state_dir.clone());
        let planned = tokio::task::spawn_blocking(move || {
            renew(&running, &snapshot, &retained, state_dir.as_deref())
        });
        let problems = match planned.await {
            Ok(Ok(planned)) => {
                let problems = planned.compiled.outdated.iter().map(Diagnostic::line).collect();
                if !planned.changes.is_empty() {
                    for changed in &planned.changes {
                        let (kind, name) = (&*changed.kind, &*changed.name);
                        tracing::info!(kind, name, "renewed, its files have changed");
                    }
                    let outcome = self.apply(planned, Files::default(), self.is_beside).await;
                    self.retained.reloads.renewed(&outcome);
                }
                problems
            }
            Ok(Err(Outcome::Rejected { problems })) => problems,
            Ok(Err(_)) => Vec::new(),
            Err(error) => vec![format!("the certificates could not be read: {error}")],
        };
        self.outdated(problems);
    }

    /// Tells what keeps certificates from being those of their files.
    pub(super) fn outdated(&self, problems: Vec<String>) {
        for problem in &problems {
            tracing::error!("{problem}; what was served before still is");
        }
        self.retained.reloads.outdated(problems.len());
        self.readiness.tell(problems);
    }

    /// Discovers endpoints, and checks what is to be checked. A name server or an endpoint that
    /// is silent delays, but does not prevent.
    pub(super) async fn warm(&self, upstreams: impl Iterator<Item = &Arc<Upstream>>) {
        let ready = join_all(upstreams.map(async |upstream| {
            upstream.check();
            upstream.follow(&self.discovery).await;
            upstream.checked().await;
        }));
        let _ = tokio::time::timeout(PATIENCE, ready).await;
    }
}

#[async_trait]
impl ServiceWithDependents for Control {
    async fn start_service(
        &mut self,
        _fds: Option<ListenFds>,
        mut shutdown: ShutdownWatch,
        _tasks: usize,
        ready: ServiceReadyNotifier,
    ) {
        let snapshot = self.runtime.snapshot();
        snapshot.upstreams.values().for_each(|upstream| upstream.serves());
        self.warm(snapshot.upstreams.values()).await;
        let generation = snapshot.generation;
        drop(snapshot);
        self.heard.notified().await;
        ready.notify_ready();
        self.readiness.begin();
        self.ready = Some(Instant::now());
        self.retained.reloads.starts(generation);
        if self.predecessor.is_none() {
            self.announce(generation);
        }
        tracing::info!(generation, "ready");
        let mut drain = self.drain.watch();
        let successor = tokio::select! {
            successor = self.serve(generation) => Some(successor),
            _ = drain.wait_for(|stop| *stop) => None,
        };
        self.settle().await;
        let own = self.end(successor).await;
        self.closed.send_replace(true);
        // Endpoints are discovered by tasks of this service's runtime, so it runs to the end.
        tokio::select! {
            () = self.tell_all() => {}
            _ = shutdown.wait_for(|stop| *stop) => {}
        }
        drop(own);
    }

    fn name(&self) -> &str {
        "control"
    }

    fn threads(&self) -> Option<usize> {
        Some(1)
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        Some(Vec::new())
    }
}
