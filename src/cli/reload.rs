//! `falconer reload`.

use super::report::{number, refused, tell};
use super::{edge, exit, failed, run};
use crate::config;
use crate::runtime::{Changed, Outcome};
use crate::server;
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
    // A document with mistakes still says where its edge is.
    let folder = server::state_dir(&config::read(&file).document);
    let path = if args.dry_run { "/api/reload?dry_run=true" } else { "/api/reload" };
    let outcome = edge::post(&folder.join(server::SOCKET), path)
        .and_then(|answer| serde_json::from_str(&answer).map_err(|_| answer));
    match outcome {
        Ok(outcome) => show(&outcome),
        Err(what) => failed(what.trim_end()),
    }
}

fn show(outcome: &Outcome) -> ExitCode {
    match outcome {
        Outcome::Applied { generation, changes } => {
            list(changes);
            let changes = number(changes.len(), "change");
            tell(stdout(), format_args!("reloaded: {changes}, generation {generation}"));
            ExitCode::SUCCESS
        }
        Outcome::Planned { changes } => {
            list(changes);
            let changes = number(changes.len(), "change");
            tell(stdout(), format_args!("a reload would bring {changes}"));
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
            let what = "not reloaded: read only when an edge starts";
            failed(&format!("{what}: {}; start it anew, or undo that", fields.join(", ")))
        }
    }
}

fn list(changes: &[Changed]) {
    changes.iter().for_each(|changed| tell(stdout(), changed));
}
