//! `falconer check`.

use super::report::{self, number};
use super::{exit, run};
use crate::config;
use crate::observe::Registry;
use crate::runtime::{Retained, compile};
use std::process::ExitCode;

/// Reads the document and every file it names; binds and writes nothing.
pub(super) fn check(args: &run::Args) -> ExitCode {
    let file = match args.document() {
        Ok(file) => file,
        Err(diagnostic) => return report::refused(&diagnostic),
    };
    let read = config::read(&file);
    let document = &read.document;
    let retained = Retained::new(Registry::new(), document.metrics.latency);
    let (_, further) = compile(document, None, &retained, None);
    if report::report(&read.diagnostics(further)) {
        return ExitCode::from(exit::PROBLEMS);
    }
    let counts = [
        number(read.files(), "file"),
        number(document.listeners.len(), "listener"),
        number(document.routes.len(), "route"),
        number(document.upstreams.len(), "upstream"),
    ];
    let summary = format!("{} is sound: {}", file.display(), counts.join(", "));
    report::tell(std::io::stdout(), summary);
    ExitCode::SUCCESS
}
