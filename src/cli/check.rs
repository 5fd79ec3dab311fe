//! `falconer check`.

use super::report::{self, number};
use super::{exit, run};
use crate::observe::Registry;
use crate::runtime::{Retained, compile};
use crate::server::{self, Purpose};
use std::process::ExitCode;

/// Reads the document and every file it names; binds and writes nothing.
pub(super) fn check(args: &run::Args) -> ExitCode {
    let file = match args.document() {
        Ok(file) => file,
        Err(diagnostic) => return report::refused(&diagnostic),
    };
    let (read, mut further) = server::read(&file, Purpose::Check);
    let document = &read.document;
    let retained = Retained::new(Registry::new(), document.metrics.latency);
    further.extend(compile(document, None, &retained, None).1);
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
