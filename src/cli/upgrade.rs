//! `falconer upgrade`.

use super::report::{number, refused, tell};
use super::{edge, exit, failed, run};
use crate::runtime::Upgrade;
use crate::value::Duration;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use std::io::{stderr, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What a path may hold as it is in a query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.');

/// Which edge, and what takes its place.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    document: run::Args,
    /// The binary to start. Default: the one that the edge was started with, by its name; it may
    /// be newer now.
    binary: Option<PathBuf>,
    /// How long it may take until it serves.
    #[arg(long, value_name = "DURATION", default_value = "60s")]
    timeout: Duration,
}

/// Has another process take the place of a running edge, and says what became of it.
pub(super) fn run(args: &Args) -> ExitCode {
    let file = match args.document.document() {
        Ok(file) => file,
        Err(diagnostic) => return refused(&diagnostic),
    };
    let mut path =
        format!("/api/upgrade?timeout={}", args.timeout.0.as_millis().div_ceil(1000).max(1));
    if let Some(binary) = &args.binary {
        match place(binary) {
            Ok(place) => {
                path += &format!("&binary={}", percent_encode(place.as_os_str().as_bytes(), PATH))
            }
            Err(what) => return failed(&what),
        }
    }
    match edge::ask(&file, &format!("POST {path}")) {
        Ok(upgrade) => show(&upgrade),
        Err(what) => failed(&what),
    }
}

/// Where a binary lies, for a process that runs in another folder.
fn place(binary: &Path) -> Result<PathBuf, String> {
    let place = std::path::absolute(binary);
    match place {
        Ok(place) if place.is_file() => Ok(place),
        Ok(place) => {
            Err(format!("there is no file `{}`: name the binary by its path", place.display()))
        }
        Err(error) => Err(format!("`{}` cannot be found: {error}", binary.display())),
    }
}

fn show(upgrade: &Upgrade) -> ExitCode {
    match upgrade {
        Upgrade::Done { process, falconer, generation, before, connections } => {
            tell(
                stdout(),
                format_args!(
                    "upgraded: process {process} (falconer {falconer}) serves generation {generation}"
                ),
            );
            let connections = number(*connections, "connection");
            tell(stdout(), format_args!("process {before} drains: {connections}"));
            ExitCode::SUCCESS
        }
        Upgrade::Failed { problems } => {
            problems.iter().for_each(|problem| tell(stderr(), problem));
            tell(stderr(), "falconer: not upgraded; the process that was there goes on");
            ExitCode::from(exit::FAILED)
        }
    }
}
