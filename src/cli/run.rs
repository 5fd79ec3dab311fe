//! `falconer run`.

use super::{exit, failed, report};
use crate::config::{self, Read};
use crate::observe::{self, Registry};
use crate::runtime::{Retained, compile};
use crate::server::{self, Predecessor, Purpose, Reader, Start};
use crate::value::{Diagnostic, Problem};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Where a document is looked for when none is named.
const PLACES: [&str; 2] = ["conf/falconer.yaml", "/etc/falconer/falconer.yaml"];

/// Which document.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The document. Default: conf/falconer.yaml, then /etc/falconer/falconer.yaml.
    #[arg(short, long = "config", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Args {
    /// The document's file: the one that is named, or else the first that is there.
    pub(super) fn document(&self) -> Result<PathBuf, Diagnostic> {
        let found = || PLACES.iter().map(PathBuf::from).find(|place| place.exists());
        self.config.clone().or_else(found).ok_or_else(|| {
            let what = format!("there is no document in `{}`", PLACES.join("` or `"));
            let remedy = "name one with `-c FILE`, or try `falconer proxy --to URL` without any";
            Diagnostic::unplaced(Problem::new(what, remedy))
        })
    }
}

/// Runs the edge.
pub(super) fn run(args: &Args) -> ExitCode {
    match args.document() {
        Ok(file) => {
            let (read, further) = server::read(&file, Purpose::Run);
            let state_dir = read.is_sound().then(|| server::state_dir(&read.document));
            start(read, further, Arc::new(move || config::read(&file)), state_dir)
        }
        Err(diagnostic) => report::refused(&diagnostic),
    }
}

/// Starts what was read, or says why not; `reader` reads it again.
pub(super) fn start(
    read: Read,
    mut further: Vec<Diagnostic>,
    reader: Reader,
    state_dir: Option<PathBuf>,
) -> ExitCode {
    let predecessor = match Predecessor::of_process() {
        Ok(predecessor) => predecessor,
        Err(error) => return failed(&format!("no place is handed over: {error}")),
    };
    let retained = Retained::new(Registry::new(), read.document.metrics.latency);
    let retained = match &predecessor {
        Some(predecessor) => retained.inheriting(predecessor.inherited()),
        None => retained,
    };
    // A document with problems leaves no trace.
    let is_sound = read.is_sound() && !further.iter().any(Diagnostic::is_error);
    let state_dir = state_dir.filter(|_| is_sound);
    let (compiled, found) = compile(&read.document, None, &retained, state_dir.as_deref());
    further.extend(found);
    let diagnostics = read.diagnostics(further);
    let has_errors = report::report(&diagnostics);
    let Some(compiled) = compiled.filter(|_| !has_errors) else {
        if let Some(predecessor) = predecessor {
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
            predecessor.refuse(errors.map(Diagnostic::line).collect());
        }
        return ExitCode::from(exit::PROBLEMS);
    };
    let document = read.document;
    observe::log::init(&document.log);
    match server::run(Start { document, compiled, retained, reader, state_dir, predecessor }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(diagnostic) => failed(&diagnostic.to_string()),
    }
}
