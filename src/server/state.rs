//! The folder in which an edge keeps its state, and by which commands find it.

use crate::config::{Document, Step};
use crate::listener::{Address, Bound};
use crate::value::{Diagnostic, Problem};
use nix::fcntl::{Flock, FlockArg};
use nix::sys::stat::{Mode, umask};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The socket for commands, in the state folder.
pub const SOCKET: &str = "falconer.sock";
const LOCK: &str = "falconer.lock";

/// The state folder of a running edge: no other edge has it at the same time.
pub(super) struct State {
    /// Where commands come in; removed before the lock is given back.
    pub(super) socket: Bound,
    _lock: Flock<File>,
}

/// Why there is no state folder.
enum Lack {
    /// Another edge has it.
    Taken,
    Failed(io::Error),
}

impl State {
    /// Takes the folder. Where it cannot be used, the edge runs without, and says what it lacks.
    pub(super) fn take(document: &Document, folder: &Path) -> Result<Option<Self>, Diagnostic> {
        match Self::at(folder) {
            Ok(state) => Ok(Some(state)),
            Err(Lack::Taken) => {
                let what = format!("another edge runs with the state in `{}`", folder.display());
                let remedy = "stop it, have it follow a changed document by `falconer reload`, or \
                    give this one another `state_dir`";
                let steps = ["server", "state_dir"].map(Step::from);
                Err(document.error(&steps, Problem::new(what, remedy)))
            }
            Err(Lack::Failed(error)) => {
                tracing::warn!(
                    folder = %folder.display(), %error,
                    "the state folder cannot be used: commands such as `falconer reload` do not find this \
                    edge, and nothing keeps a second one from starting"
                );
                Ok(None)
            }
        }
    }

    fn at(folder: &Path) -> Result<Self, Lack> {
        fs::create_dir_all(folder).map_err(Lack::Failed)?;
        // Whoever can open it can hold it, and so keep the edge from starting.
        let mut options = File::options();
        options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(folder.join(LOCK)).map_err(Lack::Failed)?;
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock);
        let lock = lock.map_err(|(_, error)| match error {
            nix::errno::Errno::EWOULDBLOCK => Lack::Taken,
            error => Lack::Failed(error.into()),
        })?;
        // Whoever may write to it rules the edge. No other thread makes files yet.
        let usual = umask(Mode::from_bits_truncate(0o177));
        let address: Result<Address, _> = format!("unix:{}", folder.join(SOCKET).display()).parse();
        let socket = match address {
            Ok(address) => Bound::new(&address, false),
            Err(problem) => Err(io::Error::other(problem.to_string())),
        };
        umask(usual);
        Ok(Self { _lock: lock, socket: socket.map_err(Lack::Failed)? })
    }
}
