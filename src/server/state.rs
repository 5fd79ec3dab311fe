//! The folder in which an edge keeps its state, and by which commands find it.

use super::upgrade::Predecessor;
use crate::config::{Document, Step};
use crate::listener::Bound;
use crate::value::{Diagnostic, Problem};
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The socket for commands, in the state folder.
pub const SOCKET: &str = "falconer.sock";
const LOCK: &str = "falconer.lock";
/// How the sockets of draining processes begin.
const DRAINING: &str = "falconer-";

/// The state folder of a running edge: no other edge has it at the same time.
pub(super) struct State {
    /// Where commands come in; removed before the lock is given back.
    pub(super) socket: Arc<Bound>,
    /// Held as long as any process has it open.
    pub(super) lock: File,
}

/// Why there is no state folder.
enum Lack {
    /// Another edge has it.
    Taken,
    Failed(io::Error),
}

impl State {
    /// Takes the folder, from a predecessor if that has it. Where it cannot be used, the edge runs
    /// without, and says what it lacks.
    pub(super) fn take(
        document: &Document,
        folder: &Path,
        predecessor: Option<&mut Predecessor>,
    ) -> Result<Option<Self>, Diagnostic> {
        if let Some((lock, socket)) = predecessor.and_then(|before| before.state(folder)) {
            tidy(folder);
            let found = Some(socket).filter(|socket| socket.is_reachable());
            let anew = || Bound::private(&folder.join(SOCKET)).map(Arc::new);
            match found.map_or_else(anew, Ok) {
                Ok(socket) => return Ok(Some(Self { socket, lock })),
                Err(error) => return Ok(Self::lacks(folder, &error)),
            }
        }
        match Self::at(folder) {
            Ok(state) => Ok(Some(state)),
            Err(Lack::Taken) => {
                let what = format!("another edge runs with the state in `{}`", folder.display());
                let remedy = "stop it, have it follow a changed document by `falconer reload`, or \
                    give this one another `state_dir`";
                let steps = ["server", "state_dir"].map(Step::from);
                Err(document.error(&steps, Problem::new(what, remedy)))
            }
            Err(Lack::Failed(error)) => Ok(Self::lacks(folder, &error)),
        }
    }

    fn lacks(folder: &Path, error: &io::Error) -> Option<Self> {
        tracing::warn!(
            folder = %folder.display(), %error,
            "the state folder cannot be used: commands such as `falconer reload` do not find this \
            edge, and nothing keeps a second one from starting"
        );
        None
    }

    fn at(folder: &Path) -> Result<Self, Lack> {
        fs::create_dir_all(folder).map_err(Lack::Failed)?;
        // Whoever can open it can hold it, and so keep the edge from starting.
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(folder.join(LOCK)).map_err(Lack::Failed)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => Lack::Taken,
            TryLockError::Error(error) => Lack::Failed(error),
        })?;
        // Whoever may write to it rules the edge.
        let socket = Bound::private(&folder.join(SOCKET)).map_err(Lack::Failed)?;
        tidy(folder);
        Ok(Self { lock, socket: Arc::new(socket) })
    }
}

/// Where a process can be asked how it is that drains because another one took its place.
pub(super) fn socket_of(folder: &Path, process: u32) -> PathBuf {
    folder.join(format!("{DRAINING}{process}.sock"))
}

/// All such places of a folder; some may have been left behind.
pub fn draining(folder: &Path) -> Vec<PathBuf> {
    let is_one = |name: &str| {
        let number = name.strip_prefix(DRAINING).and_then(|name| name.strip_suffix(".sock"));
        number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut all: Vec<_> = entries
        .filter(|entry| entry.file_name().to_str().is_some_and(is_one))
        .map(|entry| entry.path())
        .collect();
    all.sort();
    all
}

/// Removes those that a process left behind when it was killed.
fn tidy(folder: &Path) {
    for socket in draining(folder) {
        let is_dead = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        if UnixStream::connect(&socket).is_err_and(|error| is_dead(&error)) {
            // Whoever removed it already did our work.
            let _ = fs::remove_file(socket);
        }
    }
}
