//! Bound sockets.

use super::address::Address;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// The kernel caps it at `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// A bound socket, listening already: connections wait in its queue until they are accepted. The
/// file of a unix socket is removed with it, unless it was given away.
#[derive(Debug)]
pub struct Bound {
    socket: Kind,
    file: Option<SocketFile>,
    is_given: AtomicBool,
}

/// The file of a unix socket.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    /// By which it is told from another one at the same path; `None` if it was gone already.
    id: Option<FileId>,
    /// Whether it is removed with the socket.
    is_own: bool,
}

/// Device and inode.
type FileId = (u64, u64);

#[derive(Debug)]
pub(super) enum Kind {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Bound {
    /// Binds an address and listens.
    pub fn new(address: &Address, with_ipv4: bool) -> io::Result<Self> {
        Ok(match address {
            Address::Tcp(address) => Self::of(Kind::Tcp(tcp(*address, with_ipv4)?), None),
            Address::Unix(path) => Self::of(Kind::Unix(unix(path, None)?), Some(path.clone())),
        })
    }

    /// Binds a unix socket that only its user can connect to, and listens.
    pub fn private(path: &Path) -> io::Result<Self> {
        let socket = unix(path, Some(Mode::S_IRUSR | Mode::S_IWUSR))?;
        Ok(Self::of(Kind::Unix(socket), Some(path.into())))
    }

    /// A socket that another process bound.
    pub fn adopt(descriptor: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(descriptor);
        if socket.r#type()? != Type::STREAM || !socket.is_listener()? {
            return Err(io::Error::other("this is no socket that listens"));
        }
        socket.set_cloexec(true)?;
        socket.set_nonblocking(true)?;
        let domain = socket.domain()?;
        if domain == Domain::UNIX {
            let file = socket.local_addr()?.as_pathname().map(Into::into);
            return Ok(Self::of(Kind::Unix(OwnedFd::from(socket).into()), file));
        }
        if domain != Domain::IPV4 && domain != Domain::IPV6 {
            return Err(io::Error::other("this is neither a TCP nor a unix socket"));
        }
        Ok(Self::of(Kind::Tcp(socket.into()), None))
    }

    fn of(socket: Kind, path: Option<PathBuf>) -> Self {
        let file = path.map(|path| SocketFile { id: file_id(&path), path, is_own: true });
        Self { socket, file, is_given: AtomicBool::new(false) }
    }

    /// Leaves its file to who bound it, for good.
    pub fn leave_file(&mut self) {
        self.file.iter_mut().for_each(|file| file.is_own = false);
    }

    /// Whether it has a file that is removed with it.
    pub fn owns_file(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.is_own)
    }

    /// Whether clients find it: the file of a unix socket may have been removed, or replaced.
    pub fn is_reachable(&self) -> bool {
        self.file.as_ref().is_none_or(SocketFile::is_there)
    }

    /// Leaves its file to another process, which has the socket too.
    pub fn give(&self) {
        self.is_given.store(true, Ordering::Relaxed);
    }

    /// Removes its file again, because the other process is gone.
    pub fn take_back(&self) {
        self.is_given.store(false, Ordering::Relaxed);
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

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Kind::Tcp(socket) => socket.as_fd(),
            Kind::Unix(socket) => socket.as_fd(),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let is_given = self.is_given.load(Ordering::Relaxed);
        if let Some(file) = self.file.as_ref().filter(|file| file.is_own && !is_given)
            // Another process may have bound the path anew.
            && file.is_there()
        {
            // Whoever removed it already did our work.
            let _ = std::fs::remove_file(&file.path);
        }
    }
}

impl SocketFile {
    fn is_there(&self) -> bool {
        self.id.is_some() && file_id(&self.path) == self.id
    }
}

fn file_id(path: &Path) -> Option<FileId> {
    path.symlink_metadata().ok().map(|found| (found.dev(), found.ino()))
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

/// A unix socket; without a mode, its file has what the process usually gives.
fn unix(path: &Path, mode: Option<Mode>) -> io::Result<UnixListener> {
    let is_socket = path.symlink_metadata().is_ok_and(|m| m.file_type().is_socket());
    // A socket that nobody answers was left behind by a process that is gone.
    let is_dead = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_socket && UnixStream::connect(path).is_err_and(|error| is_dead(&error)) {
        std::fs::remove_file(path)?;
    }
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    if let Some(mode) = mode {
        // Its file is made with it, so that nobody else ever sees it open.
        fchmod(&socket, mode)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    Ok(OwnedFd::from(socket).into())
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

    #[test]
    fn a_socket_of_another_process_is_taken_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        for text in ["127.0.0.1:0", "[::1]:0", &format!("unix:{}", path.display())] {
            let bound = bind(text).unwrap();
            let adopted = Bound::adopt(bound.as_fd().try_clone_to_owned().unwrap()).unwrap();
            assert_eq!(adopted.address().unwrap(), bound.address().unwrap());
            bound.give();
            drop(bound);
            assert!(!text.starts_with("unix:") || path.exists(), "its file is the other's");
            adopted.doorway().unwrap();
        }
        assert!(!path.exists(), "the last one removes it");
    }

    #[test]
    fn the_file_of_another_socket_at_the_same_path_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let address = format!("unix:{}", path.display());
        let first = bind(&address).unwrap();
        assert!(first.is_reachable());
        std::fs::remove_file(&path).unwrap();
        assert!(!first.is_reachable());
        let second = bind(&address).unwrap();
        drop(first);
        assert!(path.exists() && second.is_reachable());
    }

    #[test]
    fn a_private_one_is_for_its_user_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s");
        let _private = Bound::private(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_does_not_listen_is_not_taken() {
        let (pair, _other) = UnixStream::pair().unwrap();
        assert!(Bound::adopt(pair.into()).is_err());
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(Bound::adopt(datagrams.into()).is_err());
    }
}
