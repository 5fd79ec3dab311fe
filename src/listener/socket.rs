//! Bound sockets.

use super::address::Address;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The kernel caps it at `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// A bound socket, listening already: connections wait in its queue until they are accepted. The
/// file of a unix socket is removed with it.
#[derive(Debug)]
pub struct Bound {
    socket: Kind,
    file: Option<PathBuf>,
}

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds an address and listens.
    pub fn new(address: &Address, with_ipv4: bool) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(address) => {
                Self { socket: Kind::Tcp(tcp(*address, with_ipv4)?), file: None }
            }
            Address::Unix(path) => {
                Self { socket: Kind::Unix(unix(path)?), file: Some(path.clone()) }
            }
        })
    }

    /// The address, with the port that was picked for port 0.
    pub fn address(&self) -> io::Result<Address> {
        match &self.socket {
            Kind::Tcp(socket) => socket.local_addr().map(Address::Tcp),
            Kind::Unix(socket) => {
                let address = socket.local_addr()?;
                Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).into()))
            }
        }
    }
}

/// A socket to accept on, beside the [`Bound`] that it is of.
#[derive(Debug)]
pub struct Doorway(pub(super) Kind);

impl Bound {
    /// The socket to accept on; it needs a descriptor, of which there may be none left.
    pub fn doorway(&self) -> io::Result<Doorway> {
        match &self.socket {
            Kind::Tcp(socket) => socket.try_clone().map(Kind::Tcp),
            Kind::Unix(socket) => socket.try_clone().map(Kind::Unix),
        }
        .map(Doorway)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(path) = &self.file {
            // Whoever removed it already did our work.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn tcp(address: SocketAddr, with_ipv4: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!(with_ipv4 && address.ip().is_unspecified()))?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
    // A socket that nobody answers was left behind by a process that is gone.
    let is_dead = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(|error| is_dead(&error)) {
        std::fs::remove_file(path)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> io::Result<Bound> {
        Bound::new(&text.parse().unwrap(), true)
    }

    #[test]
    fn port_0_picks_one_and_says_which() {
        let bound = bind("127.0.0.1:0").unwrap();
        let Address::Tcp(address) = bound.address().unwrap() else { panic!("not TCP") };
        assert_ne!(address.port(), 0);
    }

    #[test]
    fn an_address_in_use_is_an_error() {
        let bound = bind("127.0.0.1:0").unwrap();
        let again = bind(&bound.address().unwrap().to_string());
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_socket_left_behind_is_replaced_and_a_living_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address = format!("unix:{}", path.display());
        let other = UnixListener::bind(&path).unwrap();
        assert_eq!(bind(&address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(other);
        assert!(path.exists(), "nobody removed it");
        let bound = bind(&address).unwrap();
        drop(bound);
        assert!(!path.exists(), "it leaves nothing behind");
    }
}
