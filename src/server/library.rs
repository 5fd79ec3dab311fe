//! Where the next document comes from.

use super::control::Reader;
use super::kept::History;
use crate::config::{self, Document, Read, Texts};
use crate::runtime::{By, Fate, Kept, Wanted};
use crate::value::Problem;
use parking_lot::Mutex;
use std::io;
use std::path::{Path, PathBuf};

/// The operator's files, and the documents that ran before; all of it waits for a disk.
pub(super) struct Library {
    reader: Reader,
    main: PathBuf,
    state_dir: Option<PathBuf>,
    /// Opened when it is first needed: nobody waits for it to start.
    history: Mutex<Option<History>>,
}

impl Library {
    /// Without a state folder, nothing is kept.
    pub(super) fn new(reader: Reader, main: &Path, state_dir: Option<PathBuf>) -> Self {
        Self { reader, main: main.into(), state_dir, history: Mutex::default() }
    }

    /// Reads a document.
    pub(super) fn read(&self, wanted: &Wanted, running: &Document) -> Result<Read, Problem> {
        match wanted {
            Wanted::Files => Ok((self.reader)()),
            Wanted::Text(text) => Ok(config::read_text(&self.main, text)),
            Wanted::Earlier(0) => Ok(config::read_texts(running.source())),
            Wanted::Earlier(steps) => {
                self.earlier(*steps, running.source()).map(|texts| config::read_texts(&texts))
            }
        }
    }

    /// Keeps the document that runs, or that one did not come to run instead.
    pub(super) fn keep(&self, running: &Texts, by: By, fate: Fate) {
        tell(self.history(|history| history.keep(running, by, fate)));
    }

    /// Keeps the document that runs in the place of one that says the same in other words.
    pub(super) fn reword(&self, before: &Texts, running: &Texts, by: By, generation: u64) {
        tell(self.history(|history| history.reword(before, running, by, generation)));
    }

    /// What is kept, the newest first.
    pub(super) fn list(&self, running: &Texts) -> Vec<Kept> {
        self.history(|history| history.list(running)).unwrap_or_default()
    }

    fn earlier(&self, steps: usize, running: &Texts) -> Result<Texts, Problem> {
        match self.history(|history| history.earlier(running, steps)) {
            None => {
                let remedy = "let the edge's user write to the state folder, and start it anew";
                Err(Problem::new("no documents are kept: there is no state folder", remedy))
            }
            Some(Ok(None)) => {
                let what = match steps {
                    1 => "no document is kept that ran before this one".into(),
                    _ => format!("no document is kept from {steps} steps back"),
                };
                Err(Problem::new(what, "`falconer rollback --list` shows what is kept"))
            }
            Some(Ok(Some(texts))) => Ok(texts),
            Some(Err(error)) => {
                let what = format!("that document cannot be read: {error}");
                Err(Problem::new(what, "look into `documents` in the state folder"))
            }
        }
    }

    fn history<T>(&self, act: impl FnOnce(&mut History) -> T) -> Option<T> {
        let state_dir = self.state_dir.as_ref()?;
        let mut history = self.history.lock();
        Some(act(history.get_or_insert_with(|| History::open(state_dir, &self.main))))
    }
}

fn tell(kept: Option<io::Result<()>>) {
    if let Some(Err(error)) = kept {
        tracing::warn!(%error, "this document is not kept: no `falconer rollback` finds it");
    }
}
