//! How the problems of a document are shown.

use super::exit;
use crate::value::{Diagnostic, Severity};
use std::fmt::Display;
use std::io::{IsTerminal, Write, stderr};
use std::process::ExitCode;

/// Writes diagnostics to stderr: one line each, with the source and a caret on a terminal.
///
/// Returns whether one of them is an error.
pub(super) fn report(diagnostics: &[Diagnostic]) -> bool {
    let is_terminal = stderr().is_terminal();
    for diagnostic in diagnostics {
        let source = if is_terminal { diagnostic.source.clone() } else { None };
        tell(stderr(), Diagnostic { source, ..diagnostic.clone() });
    }
    let errors = count(diagnostics, Severity::Error);
    if errors > 0 {
        let warnings = count(diagnostics, Severity::Warning);
        let (errors, warnings) = (number(errors, "error"), number(warnings, "warning"));
        tell(stderr(), format_args!("{errors}, {warnings}"));
    }
    errors > 0
}

/// Says why there is no document to read.
pub(super) fn refused(diagnostic: &Diagnostic) -> ExitCode {
    tell(stderr(), diagnostic);
    ExitCode::from(exit::PROBLEMS)
}

/// Writes a line; that its reader has left is no failure of ours.
pub(super) fn tell(mut to: impl Write, line: impl Display) {
    let _ = writeln!(to, "{line}");
}

fn count(diagnostics: &[Diagnostic], severity: Severity) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == severity).count()
}

/// `1 error`, `2 errors`.
pub(super) fn number(count: usize, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}
