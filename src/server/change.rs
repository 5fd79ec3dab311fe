//! How another document comes to run.

use super::control::Control;
use super::files::Files;
use super::library::Library;
use crate::config::Texts;
use crate::observe;
use crate::runtime::{Answer, Asked, By, Fate, Outcome, Planned, Running, Wanted, plan};
use crate::value::{Diagnostic, Problem};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Control {
    /// Has another document run: all of it takes effect, or nothing.
    pub(super) async fn change(&mut self, asked: Asked) -> Answer {
        // It would have sockets that this process is about to close.
        self.settle().await;
        let start = Instant::now();
        let Asked { wanted, by, is_dry_run, write, expected } = asked;
        let generation = self.runtime.load().generation;
        if expected.is_some_and(|expected| !expected.contains(&generation)) {
            return Outcome::Outdated { generation }.into();
        }
        let before = self.running.clone();
        let (is_beside, is_kept) = (wanted != Wanted::Files, matches!(wanted, Wanted::Earlier(_)));
        if !is_dry_run {
            self.supervisor.reloading();
        }
        let outcome = match self.plan(wanted, is_dry_run).await {
            Ok(Planned { changes, .. }) if is_dry_run && !changes.is_empty() => {
                Outcome::Planned { changes }
            }
            Ok(_) if is_dry_run => Outcome::Unchanged { generation },
            Ok(planned) => self.take_on(planned, write, is_beside).await,
            Err(outcome) => outcome,
        };
        if is_dry_run {
            return outcome.into();
        }
        let runs = matches!(outcome, Outcome::Applied { .. } | Outcome::Unchanged { .. });
        let differing = if runs && is_beside { self.differing(write).await } else { Vec::new() };
        if runs {
            // All files of certificates were read, and found good.
            self.outdated(Vec::new());
            self.retained.reloads.differs(!differing.is_empty());
        } else if !is_beside {
            self.retained.reloads.differs(true);
        }
        self.retained.reloads.count(&outcome);
        self.last_reload = Some(outcome.name());
        self.supervisor.reloaded(self.runtime.load().generation, &outcome);
        tell(&outcome, by, start.elapsed());
        // One that is kept already is no news if it cannot run any more.
        if let Some(fate) = Fate::of(&outcome).filter(|fate| fate.is_applied() || !is_kept) {
            self.keep(by, fate).await;
        } else if let Outcome::Unchanged { generation } = outcome {
            let reword = move |library: &Library, running: &Texts| {
                library.reword(before.document.source(), running, by, generation);
            };
            self.filed(reword).await;
        }
        Answer { outcome, differing }
    }

    async fn plan(&self, wanted: Wanted, is_dry_run: bool) -> Result<Planned, Outcome> {
        let (library, running) = (self.library.clone(), self.running.clone());
        let (retained, snapshot) = (self.retained.clone(), self.runtime.snapshot());
        let state_dir = self.state_dir.clone().filter(|_| !is_dry_run);
        // Reading files and building tables is no work for a thread that answers.
        let watched = self.watched.clone();
        let planned = tokio::task::spawn_blocking(move || {
            match wanted {
                _ if is_dry_run => {}
                Wanted::Files => watched.reading(),
                Wanted::Text(_) | Wanted::Earlier(_) => watched.reading_certificates(),
            }
            let read = library.read(&wanted, &running.document);
            let read = read.map_err(|problem| Outcome::rejected(&Diagnostic::unplaced(problem)))?;
            if !is_dry_run {
                // If it has mistakes, they may be corrected in files that only it names.
                watched.add(&read.document);
            }
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

    /// Goes on with a planned document, if the files can say it that shall.
    async fn take_on(&mut self, planned: Planned, write: bool, is_beside: bool) -> Outcome {
        let texts = planned.document.source().clone();
        let files = match write {
            true => blocking(move || Files::prepare(&texts)).await,
            false => Ok(Files::default()),
        };
        match files {
            Err(problem) => Outcome::rejected(&Diagnostic::unplaced(problem)),
            Ok(files) if planned.changes.is_empty() => {
                self.unchanged(planned, files, is_beside).await
            }
            Ok(files) => self.apply(planned, files, is_beside).await,
        }
    }

    /// Goes on with a document that says the same, perhaps in other files.
    async fn unchanged(&mut self, planned: Planned, files: Files, is_beside: bool) -> Outcome {
        if let Err(problem) = blocking(move || files.put()).await {
            return Outcome::rejected(&Diagnostic::unplaced(problem));
        }
        let (document, certificates) = (planned.document, planned.compiled.certificates);
        self.runs(Running { document, certificates }, is_beside);
        Outcome::Unchanged { generation: self.runtime.load().generation }
    }

    pub(super) async fn apply(
        &mut self,
        planned: Planned,
        files: Files,
        is_beside: bool,
    ) -> Outcome {
        let Planned { document, compiled, changes, warnings } = planned;
        let ready = match self.listeners.bind(&document, compiled.listeners) {
            Ok(ready) => ready,
            Err(problem) => return Outcome::rejected(&problem),
        };
        // An end of the process that comes meanwhile leaves the files as they were.
        self.warm(compiled.snapshot.upstreams.values()).await;
        // The last that may fail.
        if let Err(problem) = blocking(move || files.put()).await {
            // What runs says again who is checked.
            self.runtime.load().upstreams.values().for_each(|upstream| upstream.check());
            return Outcome::rejected(&Diagnostic::unplaced(problem));
        }
        for warning in warnings {
            tracing::warn!("{warning}");
        }
        let generation = compiled.snapshot.generation;
        observe::log::init(&document.log);
        let before = self.runtime.swap(compiled.snapshot);
        self.guard.follow(document.admin.as_ref().map(|admin| &admin.value));
        self.listeners.apply(ready).await;
        self.discovery.drains_in(document.server.drain.0);
        self.runtime.load().upstreams.values().for_each(|upstream| upstream.serves());
        before.end_gone(&self.runtime.load(), document.server.drain.0);
        self.runs(Running { document, certificates: compiled.certificates }, is_beside);
        Outcome::Applied { generation, changes }
    }

    /// Notes what runs now.
    fn runs(&mut self, running: Running, is_beside: bool) {
        (self.running, self.is_beside) = (Arc::new(running), is_beside);
        self.watched.follow(&self.running.document, is_beside);
    }

    /// The files that say something else than what runs; after they were written, there are none.
    async fn differing(&mut self, written: bool) -> Vec<PathBuf> {
        let watched = self.watched.clone();
        let differing = self.filed(move |_, running| {
            if written {
                watched.reading();
            }
            running.differing()
        });
        let differing = differing.await.unwrap_or_default();
        if differing.is_empty() {
            self.is_beside = false;
            self.watched.follow(&self.running.document, false);
        }
        differing
    }

    pub(super) async fn keep(&self, by: By, fate: Fate) {
        self.filed(move |library, running| library.keep(running, by, fate)).await;
    }

    /// Does something with what runs, and with what is kept, where it may wait for a disk.
    pub(super) async fn filed<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Library, &Texts) -> T + Send + 'static,
    ) -> Option<T> {
        let (library, running) = (self.library.clone(), self.running.clone());
        let done = tokio::task::spawn_blocking(move || act(&library, running.document.source()));
        done.await.ok()
    }
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(act).await;
    done.unwrap_or_else(|error| Err(Problem::new(error.to_string(), "see the log")))
}

fn tell(outcome: &Outcome, by: By, took: Duration) {
    let by = by.name();
    match outcome {
        Outcome::Applied { generation, changes } => {
            for changed in changes {
                let (kind, name) = (&*changed.kind, &*changed.name);
                tracing::debug!(kind, name, "{}", changed.change.name());
            }
            tracing::info!(generation, changes = changes.len(), by, ?took, "reloaded");
        }
        Outcome::Planned { .. } | Outcome::Outdated { .. } => {}
        Outcome::Unchanged { generation } => {
            tracing::info!(generation, by, "the document says what runs already");
        }
        Outcome::Rejected { problems } => {
            for problem in problems {
                tracing::error!("{problem}");
            }
            let errors = problems.len();
            tracing::error!(errors, by, "the document is rejected; the one before goes on");
        }
        Outcome::NeedsUpgrade { fields } => {
            let fields = fields.join(", ");
            let remedy = "`falconer upgrade` applies it";
            tracing::error!(%fields, by, remedy, "not reloaded: read only when a process starts");
        }
    }
}
