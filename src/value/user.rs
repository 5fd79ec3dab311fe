//! Who the process is.

use nix::unistd::{User, geteuid};

/// The user that this process is, by name if it has one; for messages.
pub fn user() -> String {
    let id = geteuid();
    let known = User::from_uid(id).ok().flatten();
    known.map_or_else(|| id.to_string(), |user| user.name)
}
