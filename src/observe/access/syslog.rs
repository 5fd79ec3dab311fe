//! The access log's lines as messages of syslog (RFC 5424), one datagram each.

use super::Record;
use super::output::Failure;
use crate::observe::stamp::Rfc3339;
use crate::value::Problem;
use std::fmt::{self, Write};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

/// Where a system's own syslog listens.
const LOCAL: &str = "/dev/log";

/// The facility `local7` and the severity `info`.
const PRIORITY: u8 = 23 * 8 + 6;

/// How long a receiver that does not read may hold up the writer's thread.
const PATIENCE: Duration = Duration::from_millis(100);

/// Where messages of syslog go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receiver {
    /// A unix datagram socket.
    Unix(PathBuf),
    /// A UDP address.
    Udp(SocketAddr),
}

impl Receiver {
    /// The same, with a relative path seen from `folder`.
    pub(super) fn resolve(&self, folder: &Path) -> Self {
        match self {
            Self::Unix(path) => Self::Unix(folder.join(path)),
            Self::Udp(address) => Self::Udp(*address),
        }
    }
}

impl Default for Receiver {
    fn default() -> Self {
        Self::Unix(LOCAL.into())
    }
}

impl FromStr for Receiver {
    type Err = Problem;

    /// Reads what follows `syslog:`.
    fn from_str(text: &str) -> Result<Self, Problem> {
        let read = match text.split_once(':') {
            Some(("unix", path)) if !path.is_empty() => Some(Self::Unix(path.into())),
            Some(("udp", address)) => address.parse().ok().map(Self::Udp),
            _ => None,
        };
        read.ok_or_else(|| {
            Problem::new(
                format!("`syslog:{text}` is no receiver of syslog"),
                "write `syslog`, `syslog:unix:/dev/log` or `syslog:udp:192.0.2.1:514`",
            )
        })
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Udp(address) => write!(f, "udp:{address}"),
        }
    }
}

/// What stands before the text of each message: who says it, and when.
#[derive(Debug)]
pub(super) struct Head {
    /// The host, the program and the process.
    origin: String,
}

impl Head {
    pub(super) fn new() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let name = name.trim_ascii();
        let is_sound =
            (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        let host = if is_sound { name } else { "-" };
        Self { origin: format!("{host} falconer {}", std::process::id()) }
    }

    /// Appends the head of a message about an exchange.
    pub(super) fn write(&self, record: &Record<'_>, line: &mut String) -> fmt::Result {
        write!(line, "<{PRIORITY}>1 {} {} access - ", Rfc3339(record.time), self.origin)
    }
}

/// The socket, once there is somebody at its other end.
pub(super) struct Syslog {
    receiver: Receiver,
    socket: Option<Socket>,
}

enum Socket {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

impl Syslog {
    /// Nobody needs to listen yet.
    pub(super) fn new(receiver: Receiver) -> Self {
        Self { receiver, socket: None }
    }

    /// Looks for the receiver anew before the next message.
    pub(super) fn reopen(&mut self) {
        self.socket = None;
    }

    /// Sends each line as a message; what cannot be sent is lost.
    pub(super) fn write(&mut self, lines: &[u8]) -> Result<(), Failure> {
        let mut messages = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut failure: Option<Failure> = None;
        while let Some(message) = messages.next() {
            let Err(error) = self.send(message) else { continue };
            let lost = failure.map_or(0, |failure| failure.lost) + 1;
            if error.kind() == ErrorKind::WouldBlock {
                // It would hold up each of the others as long.
                return Err(Failure { error, lost: lost + messages.count() as u64 });
            }
            failure = Some(Failure { error, lost });
        }
        failure.map_or(Ok(()), Err)
    }

    fn send(&mut self, message: &[u8]) -> io::Result<()> {
        let socket = match self.socket.take() {
            Some(socket) => socket,
            None => Socket::connect(&self.receiver)?,
        };
        let sent = match (&socket, socket.send(message)) {
            // The receiver was started anew, perhaps.
            (Socket::Unix(_), Err(error)) if is_gone(&error) => {
                let socket = Socket::connect(&self.receiver)?;
                let sent = socket.send(message);
                self.socket = Some(socket);
                return sent;
            }
            // It is the message before this one that nobody took.
            (Socket::Udp(_), Err(error)) if is_gone(&error) => socket.send(message).and(Err(error)),
            (_, sent) => sent,
        };
        self.socket = Some(socket);
        sent
    }
}

impl Socket {
    fn connect(receiver: &Receiver) -> io::Result<Self> {
        match receiver {
            Receiver::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Unix(socket))
            }
            Receiver::Udp(address) => {
                let own: SocketAddr = match address {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(own)?;
                socket.connect(address)?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(Self::Udp(socket))
            }
        }
    }

    fn send(&self, message: &[u8]) -> io::Result<()> {
        loop {
            let sent = match self {
                Self::Unix(socket) => socket.send(message),
                Self::Udp(socket) => socket.send(message),
            };
            match sent {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                other => return other.map(drop),
            }
        }
    }
}

/// Whether nobody is at the other end any more.
fn is_gone(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | NotConnected | BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 1024];
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_message_says_when_and_where_and_by_whom() {
        let mut line = String::new();
        Head::new().write(&Record::full(), &mut line).unwrap();
        let fields: Vec<_> = line.split(' ').collect();
        let id = std::process::id().to_string();
        let [priority, time, host, rest @ ..] = fields.as_slice() else { panic!("{line}") };
        assert_eq!((*priority, *time), ("<190>1", "2026-11-21T11:40:02.123Z"));
        assert!(!host.is_empty());
        assert_eq!(rest, ["falconer", &id, "access", "-", ""]);
    }

    #[test]
    fn each_line_is_a_datagram() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(Receiver::Unix(path));
        syslog.write(b"one\ntwo\n").unwrap();
        assert_eq!([received(&receiver), received(&receiver)], ["one", "two"]);
    }

    #[test]
    fn a_receiver_that_is_not_there_loses_lines_until_it_comes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut syslog = Syslog::new(Receiver::Unix(path.clone()));
        assert_eq!(syslog.write(b"one\ntwo\n").unwrap_err().lost, 2);
        for turn in 0..2 {
            let receiver = UnixDatagram::bind(&path).unwrap();
            syslog.write(b"three\n").unwrap_or_else(|failure| panic!("{turn}: {failure:?}"));
            assert_eq!(received(&receiver), "three");
            drop(receiver);
            assert_eq!(syslog.write(b"four\n").unwrap_err().lost, 1);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_receiver_that_does_not_read_holds_the_thread_up_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(Receiver::Unix(path));
        let start = std::time::Instant::now();
        let failure = syslog.write(&b"line\n".repeat(10_000)).unwrap_err();
        assert_eq!(failure.error.kind(), ErrorKind::WouldBlock);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

        let mut taken = 0;
        receiver.set_nonblocking(true).unwrap();
        while receiver.recv(&mut [0; 8]).is_ok() {
            taken += 1;
        }
        assert_eq!(taken + failure.lost, 10_000);
    }

    #[test]
    fn an_address_that_nobody_listens_at_counts_what_came_back() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = gone.local_addr().unwrap();
        drop(gone);
        let mut syslog = Syslog::new(Receiver::Udp(address));
        let start = std::time::Instant::now();
        // That nobody is there is told after the first message.
        let failure = loop {
            match syslog.write(b"line\n") {
                Ok(()) => assert!(start.elapsed() < Duration::from_secs(10), "nothing came back"),
                Err(failure) => break failure,
            }
        };
        assert_eq!((failure.error.kind(), failure.lost), (ErrorKind::ConnectionRefused, 1));
    }

    #[test]
    fn a_message_that_is_too_long_is_the_only_one_lost() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut syslog = Syslog::new(Receiver::Udp(receiver.local_addr().unwrap()));
        let long = "x".repeat(70_000);
        let failure = syslog.write(format!("one\n{long}\ntwo\n").as_bytes()).unwrap_err();
        assert_eq!(failure.lost, 1);
        let mut buffer = [0; 8];
        for expected in [b"one", b"two"] {
            assert_eq!(receiver.recv(&mut buffer).unwrap(), 3);
            assert_eq!(&buffer[..3], expected);
        }
    }

    #[test]
    fn receivers_are_read_and_shown() {
        for text in ["unix:/dev/log", "udp:192.0.2.1:514", "udp:[::1]:514"] {
            assert_eq!(text.parse::<Receiver>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "udp:logs.example:514", "udp:192.0.2.1", "tcp:192.0.2.1:514"] {
            let problem = text.parse::<Receiver>().unwrap_err();
            assert_eq!(problem.what, format!("`syslog:{text}` is no receiver of syslog"));
        }
    }
}
