//! The service that brings the edge up, and then has it follow its document.

use super::admin::AdminDoors;
use super::listeners::Listeners;
use super::state::{self, State};
use super::upgrade::{Predecessor, StandBy, Successor};
use super::watched::{News, Watched};
use crate::admin::Readiness;
use crate::config::Read;
use crate::listener::{Bound, Drain};
use crate::observe;
use crate::runtime::{Handle, Outcome, Planned, Requested, Retained, Running, Status, plan, renew};
use crate::upstream::{Names, Upstream};
use crate::value::Diagnostic;
use async_trait::async_trait;
use futures::future::join_all;
use pingora::server::{ListenFds, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::MissedTickBehavior;

/// How long the first look-up of names may hold up what waits for it.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often files are looked at. A change counts when a second look finds nothing new: who writes
/// several files is given the time.
const LOOK: Duration = Duration::from_millis(500);

/// Reads the document anew.
pub type Reader = Arc<dyn Fn() -> Read + Send + Sync>;

/// Looks the names of endpoints up, says that the edge is ready, and then reloads when asked.
pub(super) struct Control {
    pub(super) reader: Reader,
    pub(super) running: Arc<Running>,
    pub(super) retained: Arc<Retained>,
    pub(super) runtime: Arc<Handle>,
    pub(super) names: Names,
    pub(super) listeners: Listeners,
    pub(super) admin: AdminDoors,
    pub(super) state: Option<State>,
    pub(super) state_dir: Option<PathBuf>,
    pub(super) drain: Arc<Drain>,
    /// Becomes true when nobody accepts any more.
    pub(super) closed: watch::Sender<bool>,
    pub(super) readiness: Arc<Readiness>,
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
    /// Becomes true when another process has taken the place of this one.
    pub(super) superseded: watch::Sender<bool>,
    pub(super) watched: Watched,
    /// Since when it is ready.
    pub(super) ready: Option<Instant>,
    /// What became of the last reload.
    pub(super) last_reload: Option<&'static str>,
}

impl Control {
    /// Reloads as often as it is asked to, and when files change. It returns when another process
    /// has taken the place of this one.
    async fn obey(&mut self) -> Successor {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let requested = match self.deferred.pop_front() {
                Some(requested) => Some(requested),
                None => tokio::select! {
                    Some(requested) = self.requests.recv() => Some(requested),
                    () = until(self.stand_by.as_ref()) => {
                        self.settle().await;
                        None
                    }
                    _ = look.tick() => {
                        self.look().await;
                        None
                    }
                },
            };
            match requested {
                Some(Requested::Reload { is_dry_run, answer }) => {
                    let outcome = self.reload(is_dry_run).await;
                    // Whoever asked may have gone.
                    let _ = answer.send(outcome);
                }
                Some(Requested::Status(answer)) => drop(answer.send(self.status(false))),
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
    async fn serve(&mut self, generation: u64) {
        self.take_over(generation).await;
        if let Some(state) = &self.state {
            self.admin.obey(&state.socket);
        }
        if let Some(stand_by) = &self.stand_by {
            stand_by.taken().await;
        }
        loop {
            let successor = self.obey().await;
            if self.stand_by(successor).await {
                self.superseded.send_replace(true);
                return;
            }
        }
    }

    /// Accepts nothing any more.
    async fn end(&mut self) -> Option<Bound> {
        if !*self.superseded.borrow() {
            self.listeners.close().await;
            return None;
        }
        self.listeners.end(self.running.document.server.upgrade_drain.0).await;
        self.admin.close();
        // The lock and the socket for commands are another's; this process is asked elsewhere.
        self.state = None;
        let own = state::socket_of(self.state_dir.as_deref()?, std::process::id());
        let own = state::command_socket(&own).ok()?;
        self.admin.obey(&own);
        Some(own)
    }

    async fn tell_all(&mut self) {
        while let Some(requested) = self.requests.recv().await {
            self.tell(requested);
        }
    }

    /// Says how it is; it does nothing else any more.
    pub(super) fn tell(&self, requested: Requested) {
        match requested {
            Requested::Reload { answer, .. } => drop(answer),
            Requested::Upgrade { answer, .. } => drop(answer),
            Requested::Status(answer) => drop(answer.send(self.status(true))),
        }
    }

    /// Takes the place of the process before, if there is one, as soon as it accepts no more.
    async fn take_over(&mut self, generation: u64) {
        let Some(predecessor) = self.predecessor.take() else { return };
        let process = predecessor.process();
        self.stand_by = predecessor.take_over(generation).await;
        match &self.stand_by {
            Some(_) => tracing::info!(process, "took over from the process before"),
            None => tracing::warn!(process, "the process before is gone, this one serves alone"),
        }
    }

    /// Lets the process before go.
    async fn settle(&mut self) {
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

    async fn look(&mut self) {
        let (watched, is_wanted) = (self.watched.clone(), self.running.document.server.watch);
        // A file system may be far away, and slow.
        let looked = tokio::task::spawn_blocking(move || watched.look(is_wanted)).await;
        let Ok(News { document, certificates }) = looked else { return };
        let mut are_read = false;
        if document {
            tracing::info!("the document has changed on disk");
            let outcome = self.reload(false).await;
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
                    let outcome = self.apply(planned).await;
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
    fn outdated(&self, problems: Vec<String>) {
        for problem in &problems {
            tracing::error!("{problem}; what was served before still is");
        }
        self.retained.reloads.outdated(problems.len());
        self.readiness.tell(problems);
    }

    /// Reads the document again; all of it takes effect, or nothing.
    async fn reload(&mut self, is_dry_run: bool) -> Outcome {
        // It would have sockets that this process is about to close.
        self.settle().await;
        let start = Instant::now();
        let outcome = match self.plan(is_dry_run).await {
            Ok(planned) if planned.changes.is_empty() => self.unchanged(planned, is_dry_run),
            Ok(Planned { changes, .. }) if is_dry_run => Outcome::Planned { changes },
            Ok(planned) => self.apply(planned).await,
            Err(outcome) => outcome,
        };
        if !is_dry_run {
            if matches!(outcome, Outcome::Applied { .. } | Outcome::Unchanged { .. }) {
                // All files were read, and found good.
                self.outdated(Vec::new());
            }
            self.retained.reloads.count(&outcome);
            self.last_reload = Some(outcome.name());
            tell(&outcome, start.elapsed());
        }
        outcome
    }

    async fn plan(&self, is_dry_run: bool) -> Result<Planned, Outcome> {
        let (reader, running) = (self.reader.clone(), self.running.clone());
        let (retained, snapshot) = (self.retained.clone(), self.runtime.snapshot());
        let state_dir = self.state_dir.clone();
        // Reading files and building tables is no work for a thread that answers.
        let watched = self.watched.clone();
        let planned = tokio::task::spawn_blocking(move || {
            if is_dry_run {
                return plan(reader(), &running, &snapshot, &retained, None);
            }
            watched.reading();
            let read = reader();
            // If it has mistakes, they may be corrected in files that only it names.
            watched.add(&read.document);
            plan(read, &running, &snapshot, &retained, state_dir.as_deref())
        });
        match planned.await {
            Ok(planned) => planned,
            Err(error) => {
                let problems = vec![format!("the document could not be compiled: {error}")];
                Err(Outcome::Rejected { problems })
            }
        }
    }

    /// Goes on with a document that says the same, perhaps in other files.
    fn unchanged(&mut self, planned: Planned, is_dry_run: bool) -> Outcome {
        if !is_dry_run {
            let (document, certificates) = (planned.document, planned.compiled.certificates);
            self.running = Arc::new(Running { document, certificates });
            self.watched.follow(&self.running.document);
        }
        Outcome::Unchanged { generation: self.runtime.load().generation }
    }

    async fn apply(&mut self, planned: Planned) -> Outcome {
        let Planned { document, compiled, changes, warnings } = planned;
        let ready = match self.listeners.bind(&document, compiled.listeners) {
            Ok(ready) => ready,
            Err(problem) => return Outcome::rejected(&problem),
        };
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        self.warm(compiled.snapshot.upstreams.values()).await;
        let generation = compiled.snapshot.generation;
        observe::log::init(&document.log);
        let before = self.runtime.swap(compiled.snapshot);
        self.listeners.apply(ready).await;
        before.end_gone(&self.runtime.load(), document.server.drain.0);
        self.running = Arc::new(Running { document, certificates: compiled.certificates });
        self.watched.follow(&self.running.document);
        Outcome::Applied { generation, changes }
    }

    /// Looks up what has a name. A name server that is silent delays, but does not prevent.
    async fn warm(&self, upstreams: impl Iterator<Item = &Arc<Upstream>>) {
        let follow = join_all(upstreams.map(|upstream| upstream.follow(&self.names)));
        let _ = tokio::time::timeout(PATIENCE, follow).await;
    }
}

/// When the process before is needed no more; never if there is none.
async fn until(stand_by: Option<&StandBy>) {
    match stand_by {
        Some(stand_by) => tokio::time::sleep_until(stand_by.until).await,
        None => std::future::pending().await,
    }
}

fn tell(outcome: &Outcome, took: Duration) {
    match outcome {
        Outcome::Applied { generation, changes } => {
            for changed in changes {
                let (kind, name) = (&*changed.kind, &*changed.name);
                tracing::debug!(kind, name, "{}", changed.change.name());
            }
            tracing::info!(generation, changes = changes.len(), ?took, "reloaded");
        }
        Outcome::Planned { .. } => {}
        Outcome::Unchanged { generation } => {
            tracing::info!(generation, "the document says what runs already");
        }
        Outcome::Rejected { problems } => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            let errors = problems.len();
            tracing::error!(errors, "the document is rejected; the one before goes on");
        }
        Outcome::NeedsUpgrade { fields } => {
            let fields = fields.join(", ");
            let remedy = "`falconer upgrade` applies it";
            tracing::error!(%fields, remedy, "not reloaded: read only when a process starts");
        }
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
        self.warm(snapshot.upstreams.values()).await;
        let generation = snapshot.generation;
        drop(snapshot);
        self.heard.notified().await;
        ready.notify_ready();
        self.readiness.begin();
        self.ready = Some(Instant::now());
        self.retained.reloads.starts(generation);
        tracing::info!(generation, "ready");
        let mut drain = self.drain.watch();
        tokio::select! {
            () = self.serve(generation) => {}
            _ = drain.wait_for(|stop| *stop) => {}
        }
        self.settle().await;
        let own = self.end().await;
        self.closed.send_replace(true);
        // The names are followed by tasks of this service's runtime, so it runs to the end.
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
