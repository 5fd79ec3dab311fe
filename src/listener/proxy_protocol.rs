//! The PROXY header before anything else on a connection: who may send one, and what it changes.

use super::running::Listener;
use crate::net::proxy_protocol::{Fault, Header, parse};
use crate::observe::log::Throttle;
use bytes::BytesMut;
use nix::sys::socket::{MsgFlags, recv};
use schemars::JsonSchema;
use serde::Deserialize;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, Interest};
use tokio::net::{TcpStream, UnixStream};

/// More than nearly every header has.
const PIECE: usize = 256;

static REFUSED: Throttle = Throttle::burst(5, Duration::from_secs(10));

/// Whether connections begin with a PROXY header, of version 1 or 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "accepted-proxy-protocol")]
pub enum ProxyProtocol {
    /// None does.
    #[default]
    Off,
    /// Those of trusted proxies may; from anyone else it is none, and fails as HTTP or TLS.
    Accept,
    /// Every one does, whoever the peer is.
    Require,
}

/// The addresses of a connection: its own, or those that a PROXY header tells.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// Of the other side; `None` on a unix socket.
    pub(super) peer: Option<SocketAddr>,
    /// That the other side connected to; `None` on a unix socket.
    pub(super) local: Option<SocketAddr>,
}

impl Ends {
    fn told(self, header: Header) -> Self {
        match header {
            Header::Own => self,
            Header::Unix => Self { peer: None, local: None },
            Header::Tcp { source, destination } => {
                Self { peer: Some(source), local: Some(destination) }
            }
        }
    }
}

/// Why there is no header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Lack {
    /// Of what came.
    Fault(Fault),
    /// The connection ended first.
    Ended,
    /// The time was up first.
    Late,
}

impl Lack {
    /// Every word of metrics and logs.
    pub(super) const CAUSES: [&str; 5] =
        ["absent", "malformed", "checksum", "incomplete", "timeout"];

    fn cause(self) -> &'static str {
        let [absent, malformed, checksum, incomplete, timeout] = Self::CAUSES;
        match self {
            Self::Fault(Fault::Absent) => absent,
            Self::Fault(Fault::Malformed(_)) => malformed,
            Self::Fault(Fault::Checksum) => checksum,
            Self::Ended => incomplete,
            Self::Late => timeout,
        }
    }
}

/// A socket whose input can be looked at.
pub(super) trait Look: AsyncRead + Unpin + Send {
    /// What there is to read, left where it is.
    fn look(&self, into: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

impl Look for TcpStream {
    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        self.async_io(Interest::READABLE, || peek(self, into)).await
    }
}

impl Look for UnixStream {
    async fn look(&self, into: &mut [u8]) -> io::Result<usize> {
        self.async_io(Interest::READABLE, || peek(self, into)).await
    }
}

fn peek(socket: &impl AsRawFd, into: &mut [u8]) -> io::Result<usize> {
    Ok(recv(socket.as_raw_fd(), into, MsgFlags::MSG_PEEK)?)
}

/// Reads a header and nothing after it. `taken` is what was read, also if this is dropped.
pub(super) async fn read<S: Look>(io: &mut S, taken: &mut BytesMut) -> Result<Header, Lack> {
    loop {
        let before = taken.len();
        let mut seen = [0; PIECE];
        let Ok(count @ 1..) = io.look(&mut seen).await else { return Err(Lack::Ended) };
        taken.extend_from_slice(seen.get(..count).unwrap_or_default());
        let header = match parse(taken) {
            Ok(None) => None,
            Ok(Some((header, length))) => {
                taken.truncate(length);
                Some(header)
            }
            Err(fault) => {
                taken.truncate(before);
                return Err(Lack::Fault(fault));
            }
        };
        // What was looked at is there to be read.
        let known = taken.get_mut(before..).unwrap_or_default();
        io.read_exact(known).await.map_err(|_| Lack::Ended)?;
        if let Some(header) = header {
            return Ok(header);
        }
    }
}

impl<A> Listener<A> {
    /// Whether a connection of this peer may begin with a header.
    pub(super) fn expects_header(&self, peer: Option<SocketAddr>) -> bool {
        match self.proxy_protocol {
            ProxyProtocol::Off => false,
            ProxyProtocol::Accept => {
                peer.is_some_and(|peer| self.entrance.trusted_proxies.contains(peer.ip()))
            }
            ProxyProtocol::Require => true,
        }
    }

    /// The addresses of a connection on which a header was expected, and what of `taken` belongs to
    /// what follows; `None` if it is to be closed.
    pub(super) fn introduced(
        &self,
        own: Ends,
        read: Result<Header, Lack>,
        taken: &[u8],
    ) -> Option<(Ends, BytesMut)> {
        let may_lack = self.proxy_protocol == ProxyProtocol::Accept;
        match read {
            Ok(header) => {
                self.metrics.count_header(taken);
                Some((own.told(header), BytesMut::new()))
            }
            // Nearly always nothing, which needs no room.
            Err(Lack::Fault(Fault::Absent)) if may_lack => Some((own, taken.into())),
            // Somebody who only looks whether the port is open.
            Err(Lack::Ended) if taken.is_empty() => None,
            Err(Lack::Late) if taken.is_empty() && may_lack => None,
            Err(lack) => {
                self.refuse_header(own.peer, lack);
                None
            }
        }
    }

    fn refuse_header(&self, peer: Option<SocketAddr>, lack: Lack) {
        self.metrics.count_header_refused(lack.cause());
        let Some(suppressed) = REFUSED.allow() else { return };
        let (listener, cause) = (&*self.entrance.name, lack.cause());
        let peer =
            peer.map_or_else(|| "unix:".to_owned(), |peer| peer.ip().to_canonical().to_string());
        let why = match lack {
            Lack::Fault(fault) => fault.to_string(),
            Lack::Ended => "the connection ended within it".to_owned(),
            Lack::Late => "it took longer than `handshake_timeout`".to_owned(),
        };
        tracing::warn!(
            listener, %peer, cause, %why, suppressed,
            "a connection was closed because of its PROXY header"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy_protocol::{Version, write};
    use futures::FutureExt;
    use tokio::io::AsyncWriteExt;

    fn headers() -> Vec<Vec<u8>> {
        let ends = [
            Some(("192.0.2.7:56324".parse().unwrap(), "203.0.113.1:443".parse().unwrap())),
            Some(("[2001:db8::7]:1".parse().unwrap(), "[2001:db8::1]:443".parse().unwrap())),
            None,
        ];
        let both = [Version::V1, Version::V2];
        let mut headers: Vec<_> =
            both.iter().flat_map(|version| ends.map(|ends| write(*version, ends))).collect();
        // One of many pieces.
        headers.push([b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x0f\xf0", &[7; 4080][..]].concat());
        headers
    }

    #[tokio::test]
    async fn a_header_in_two_parts_is_read_and_nothing_after_it() {
        for header in headers() {
            let step = 1 + header.len() / 100;
            for at in (0..header.len()).step_by(step) {
                let (mut ours, mut theirs) = UnixStream::pair().unwrap();
                let mut taken = BytesMut::new();
                if at > 0 {
                    theirs.write_all(&header[..at]).await.unwrap();
                    ours.readable().await.unwrap();
                }
                {
                    let mut reading = std::pin::pin!(read(&mut ours, &mut taken));
                    assert!(reading.as_mut().now_or_never().is_none());
                    theirs.write_all(&header[at..]).await.unwrap();
                    theirs.write_all(b"GET").await.unwrap();
                    assert!(reading.await.is_ok(), "{at} of {header:?}");
                }
                assert_eq!(taken, header);
                let mut rest = [0; 4];
                assert_eq!(ours.read(&mut rest).await.unwrap(), 3);
                assert_eq!(&rest, b"GET\0");
            }
        }
    }

    #[tokio::test]
    async fn what_is_no_header_is_left_but_for_what_could_have_been_one() {
        for (first, second, left) in [("GET /", "", "GET /"), ("PR", "I *", "I *")] {
            let (mut ours, mut theirs) = UnixStream::pair().unwrap();
            let mut taken = BytesMut::new();
            theirs.write_all(first.as_bytes()).await.unwrap();
            if !second.is_empty() {
                ours.readable().await.unwrap();
                assert!(read(&mut ours, &mut taken).now_or_never().is_none());
                assert_eq!(taken, first);
                theirs.write_all(second.as_bytes()).await.unwrap();
            }
            let lack = read(&mut ours, &mut taken).await.unwrap_err();
            assert_eq!(lack.cause(), "absent");
            let mut rest = [0; 9];
            let count = ours.read(&mut rest).await.unwrap();
            assert_eq!(&rest[..count], left.as_bytes());
            assert_eq!([&taken[..], &rest[..count]].concat(), [first, second].concat().as_bytes());
        }
    }

    #[tokio::test]
    async fn an_end_within_a_header_is_none() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"PROXY TCP4").await.unwrap();
        drop(theirs);
        let mut taken = BytesMut::new();
        assert_eq!(read(&mut ours, &mut taken).await.unwrap_err().cause(), "incomplete");
    }
}
