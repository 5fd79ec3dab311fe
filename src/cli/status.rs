//! `falconer status`.

use super::report::{number, refused, tell};
use super::{edge, failed, run};
use crate::runtime::{Listening, Status};
use std::io::stdout;
use std::process::ExitCode;
use std::time::Duration;

/// Says how a running edge is: what it runs, and what is open, also in processes that drain because
/// it took their place.
pub(super) fn status(args: &run::Args) -> ExitCode {
    let file = match args.document() {
        Ok(file) => file,
        Err(diagnostic) => return refused(&diagnostic),
    };
    match edge::ask(&file, "GET /api/status") {
        Ok(status) => {
            lines(&status).iter().for_each(|line| tell(stdout(), line));
            // Only now: one of them may be slow to answer.
            let draining = edge::ask_draining(&file, "GET /api/status");
            draining.iter().flat_map(lines).for_each(|line| tell(stdout(), line));
            ExitCode::SUCCESS
        }
        Err(what) => failed(&what),
    }
}

/// How one process is.
fn lines(status: &Status) -> Vec<String> {
    let Status { version, process, up, generation, .. } = status;
    let doing = if status.draining { "draining" } else { "up" };
    let up = Duration::from_secs(*up);
    let reload = status.last_reload.as_deref().unwrap_or("none");
    let mut lines = vec![
        format!("falconer {version}, process {process}: {doing}, ready for {up:?}"),
        format!("generation {generation}, last reload: {reload}"),
    ];
    lines.extend(status.listeners.iter().map(line));
    lines
}

fn line(listener: &Listening) -> String {
    let Listening { name, connections, busy, oldest, .. } = listener;
    let place = if listener.draining { "draining".into() } else { listener.addresses.join(", ") };
    let open = number(usize::try_from(*connections).unwrap_or(usize::MAX), "connection");
    let oldest = Duration::from_secs(*oldest);
    format!("listener {name} ({place}): {open}, {busy} busy, the oldest for {oldest:?}")
}
