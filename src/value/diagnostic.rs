//! One located problem of a document.

use super::{Position, Problem};
use std::fmt;

/// How bad a [`Diagnostic`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The document cannot run.
    Error,
    /// The document runs, but hardly as meant.
    Warning,
}

/// One problem of a document: where it stands, what is wrong and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// Whether it stops the document from running.
    pub severity: Severity,
    /// Its place; `None` if it concerns no file (the document itself cannot be read).
    pub position: Option<Position>,
    /// What is wrong and the remedy.
    pub problem: Problem,
    /// The source line, shown with a caret on a terminal.
    pub source: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(position: Position, problem: Problem) -> Self {
        Self { severity: Severity::Error, position: Some(position), problem, source: None }
    }

    /// A warning at a place.
    pub fn warning(position: Position, problem: Problem) -> Self {
        Self { severity: Severity::Warning, ..Self::error(position, problem) }
    }

    /// Whether it stops the document from running.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// As one line, without the source.
    pub fn line(&self) -> String {
        Self { source: None, ..self.clone() }.to_string()
    }

    /// An error without a place.
    pub fn unplaced(problem: Problem) -> Self {
        Self { severity: Severity::Error, position: None, problem, source: None }
    }
}

/// `file:line:column: what; remedy`, then the source line and a caret if the source is known.
impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(position) = &self.position {
            write!(f, "{position}: ")?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        write!(f, "{}", self.problem)?;
        if let (Some(source), Some(position)) = (&self.source, &self.position) {
            let caret = position.column.saturating_sub(1) as usize;
            write!(f, "\n    {source}\n    {:caret$}^", "")?;
        }
        Ok(())
    }
}
