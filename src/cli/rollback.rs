//! `falconer rollback`.

use super::reload::{self, Words};
use super::report::{number, refused, tell};
use super::{edge, failed, run};
use crate::runtime::{Answer, Fate, Kept};
use std::io::stdout;
use std::process::ExitCode;

/// Which edge, and how far back.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    document: run::Args,
    /// How many documents back; 0 is the one that runs.
    #[arg(value_name = "N", default_value_t = 1)]
    steps: usize,
    /// Write the document to its files, which are left as they are otherwise.
    #[arg(long)]
    write: bool,
    /// Say what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// List the documents that are kept, and change nothing.
    #[arg(long, conflicts_with_all = ["write", "dry_run", "steps"])]
    list: bool,
}

/// Has a running edge go back to a document that ran before, and says what became of it.
pub(super) fn run(args: &Args) -> ExitCode {
    let file = match args.document.document() {
        Ok(file) => file,
        Err(diagnostic) => return refused(&diagnostic),
    };
    if args.list {
        return list(edge::ask(&file, "GET /api/documents"));
    }
    let Args { steps, write, dry_run, .. } = args;
    let query = format!("steps={steps}&write={write}&dry_run={dry_run}");
    match edge::ask::<Answer>(&file, &format!("POST /api/rollback?{query}")) {
        Ok(answer) => {
            let code = reload::show(&answer.outcome, &WORDS);
            differs(&answer);
            code
        }
        Err(what) => failed(&what),
    }
}

const WORDS: Words = Words { done: "rolled back", not_done: "not rolled back", noun: "rollback" };

fn differs(answer: &Answer) {
    for file in &answer.differing {
        let file = file.display();
        tell(stdout(), format_args!("{file} says something else than what runs now"));
    }
    if !answer.differing.is_empty() {
        let remedy = "`falconer reload` follows the files again, `falconer rollback 0 --write` \
            writes what runs";
        tell(stdout(), remedy);
    }
}

fn list(kept: Result<Vec<Kept>, String>) -> ExitCode {
    match kept {
        Ok(kept) => {
            kept.iter().for_each(|kept| tell(stdout(), line(kept)));
            ExitCode::SUCCESS
        }
        Err(what) => failed(&what),
    }
}

fn line(kept: &Kept) -> String {
    let Kept { time, by, fate, steps } = kept;
    let place = match steps {
        Some(0) => "runs".into(),
        Some(steps) => steps.to_string(),
        None => "-".into(),
    };
    let fate = match fate {
        Fate::Applied { generation } => format!("generation {generation}, applied"),
        Fate::Rejected { problems } => {
            let errors = number(problems.len(), "error");
            let first = problems.first().map(|problem| format!(": {problem}"));
            format!("rejected, {errors}{}", first.unwrap_or_default())
        }
        Fate::NeedsUpgrade { fields } => format!("needs an upgrade: {}", fields.join(", ")),
    };
    format!("{place:>4}  {time}  by {:<8}  {fate}", by.name())
}
