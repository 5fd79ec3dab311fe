//! `falconer schema` and `falconer completions`: what editors and shells want to know.

use super::{Arguments, report};
use crate::config;
use clap::{CommandFactory, ValueEnum};
use clap_complete::{Shell, generate};
use std::io::{Write, stdout};
use std::process::ExitCode;

/// In which form.
#[derive(clap::Args)]
pub(super) struct Args {
    /// `json` is a JSON Schema for editors, `markdown` the same to read.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Markdown,
}

/// For which shell.
#[derive(clap::Args)]
pub(super) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Offered,
}

#[derive(Clone, Copy, ValueEnum)]
enum Offered {
    Bash,
    Zsh,
    Fish,
}

/// Prints the schema of the document.
pub(super) fn print(args: &Args) -> ExitCode {
    let text = match args.format {
        Format::Json => format!("{:#}", config::editor_schema()),
        Format::Markdown => config::reference().trim_end().to_owned(),
    };
    report::tell(stdout(), text);
    ExitCode::SUCCESS
}

/// Prints what a shell needs to complete our arguments.
pub(super) fn complete(args: &Completions) -> ExitCode {
    let shell = match args.shell {
        Offered::Bash => Shell::Bash,
        Offered::Zsh => Shell::Zsh,
        Offered::Fish => Shell::Fish,
    };
    // Into memory: the generator panics when its reader has left.
    let mut script = Vec::new();
    generate(shell, &mut Arguments::command(), "falconer", &mut script);
    let _ = stdout().write_all(&script);
    ExitCode::SUCCESS
}
