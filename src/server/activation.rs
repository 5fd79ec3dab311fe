//! Sockets that systemd bound and hands over: the protocol of `sd_listen_fds`.

use crate::config::env;
use crate::listener::Bound;
use std::fs;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The number of the first one.
const FIRST: RawFd = 3;

/// A socket that was handed over, and the name that its unit has for it.
pub(super) struct Activated {
    pub(super) name: String,
    pub(super) bound: Bound,
}

/// Takes the sockets that are meant for this process; what cannot be accepted on is told.
///
/// It is called once, and before anything else owns descriptors.
pub(super) fn sockets() -> Vec<Activated> {
    let Some(names) = names(env::variable) else { return Vec::new() };
    let take = |(number, name): (RawFd, String)| match own(number).and_then(Bound::adopt) {
        Ok(mut bound) => {
            bound.leave_file();
            Some(Activated { name, bound })
        }
        Err(error) => {
            tracing::warn!(name, number, %error, "a socket of systemd's is of no use to this edge");
            None
        }
    };
    (FIRST..).zip(names).filter_map(take).collect()
}

/// The name of each, if there are some for this process.
fn names(variable: impl Fn(&str) -> Option<String>) -> Option<Vec<String>> {
    let is_ours = variable("LISTEN_PID")?.parse() == Ok(std::process::id());
    // More than a thousand is a mistake.
    let count = variable("LISTEN_FDS")?.parse().ok().filter(|count| is_ours && *count <= 1000)?;
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let names = names.split(':').map(str::to_owned).chain(std::iter::repeat(String::new()));
    Some(names.take(count).collect())
}

/// A descriptor that was handed over. It must be a socket, because then it is none of this
/// process's own: those it opened itself by now are files.
fn own(number: RawFd) -> io::Result<OwnedFd> {
    let what = fs::read_link(format!("/proc/self/fd/{number}"))?;
    if !what.to_string_lossy().starts_with("socket:") {
        return Err(io::Error::other("this is no socket"));
    }
    #[expect(unsafe_code, reason = "systemd tells a descriptor by its number, and leaves it to us")]
    // SAFETY: it is open, and its only owner is whoever it was handed to, which is this process.
    let socket = unsafe { OwnedFd::from_raw_fd(number) };
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_taken_by_the_process_they_are_meant_for() {
        let own = std::process::id().to_string();
        let of = |process: &str, count: &str, names: &str| {
            super::names(|name| match name {
                "LISTEN_PID" => Some(process.to_owned()),
                "LISTEN_FDS" => Some(count.to_owned()),
                "LISTEN_FDNAMES" => Some(names.to_owned()),
                _ => None,
            })
        };
        let named = |names: [&str; 2]| Some(names.map(str::to_owned).to_vec());
        assert_eq!(of(&own, "2", "web:secure"), named(["web", "secure"]));
        assert_eq!(of(&own, "2", "web"), named(["web", ""]));
        for (process, count) in [("1", "2"), ("", "2"), (&*own, "-1"), (&*own, "9999999")] {
            assert_eq!(of(process, count, "web"), None);
        }
        assert_eq!(super::names(|_| None), None);
    }

    #[test]
    fn what_is_no_socket_is_not_owned() {
        assert!(own(-1).is_err());
        let file = tempfile::tempfile().unwrap();
        assert!(own(std::os::fd::AsRawFd::as_raw_fd(&file)).is_err());
    }
}
