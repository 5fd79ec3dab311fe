//! `falconer reload`.

use super::report::{number, refused, tell};
use super::{edge, exit, failed, run};
use crate::runtime::{Changed, Outcome};
use std::io::{stderr, stdout};
use std::process::ExitCode;

/// Which edge, and whether it shall change.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    document: run::Args,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Has a running edge read its document again, and says what became of it.
pub(super) fn run(args: &Args) -> ExitCode {
    let file = match args.document.document() {
        Ok(file) => file,
        Err(diagnostic) => return refused(&diagnostic),
    };
    let path = if args.dry_run { "/api/reload?dry_run=true" } else { "/api/reload" };
    match edge::ask(&file, &format!("POST {path}")) {
        Ok(outcome) => show(&outcome, &WORDS),
        Err(what) => failed(&what),
    }
}

const WORDS: Words = Words { done: "reloaded", not_done: "not reloaded", noun: "reload" };

/// How a change of documents is called.
pub(super) struct Words {
    pub(super) done: &'static str,
    pub(super) not_done: &'static str,
    pub(super) noun: &'static str,
}

/// Says what became of a document.
pub(super) fn show(outcome: &Outcome, words: &Words) -> ExitCode {
    let Words { done, not_done, noun } = words;
    match outcome {
        Outcome::Applied { generation, changes } => {
            list(changes);
            let changes = number(changes.len(), "change");
            tell(stdout(), format_args!("{done}: {changes}, generation {generation}"));
            ExitCode::SUCCESS
        }
        Outcome::Planned { changes } => {
            list(changes);
            let changes = number(changes.len(), "change");
            tell(stdout(), format_args!("a {noun} would bring {changes}"));
            ExitCode::SUCCESS
        }
        Outcome::Unchanged { generation } => {
            tell(stdout(), format_args!("unchanged: generation {generation} runs already"));
            ExitCode::SUCCESS
        }
        Outcome::Rejected { problems } => {
            problems.iter().for_each(|problem| tell(stderr(), problem));
            let errors = number(problems.len(), "error");
            tell(stderr(), format_args!("rejected: {errors}; the document before goes on"));
            ExitCode::from(exit::PROBLEMS)
        }
        Outcome::NeedsUpgrade { fields } => {
            let what = "read only when a process starts";
            let remedy = "`falconer upgrade` applies what the files say";
            failed(&format!("{not_done}: {what}: {}; {remedy}", fields.join(", ")))
        }
        Outcome::Outdated { generation } => {
            failed(&format!("{not_done}: generation {generation} runs by now"))
        }
    }
}

fn list(changes: &[Changed]) {
    changes.iter().for_each(|changed| tell(stdout(), changed));
}
