//! The channel between a process and the one that takes its place: messages in JSON, each with
//! descriptors, over a pair of sockets that nobody else can open.

use crate::runtime::Inherited;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt,
};
use rustix::{cmsg_space, fs, stdio};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// The version of what is said here. Of every version, the first message has the number, and
/// [`FromNew::Refused`] looks the same.
pub(super) const VERSION: u32 = 1;
/// Descriptors that one message carries; the kernel takes 253.
pub(super) const BATCH: usize = 64;
/// Longest message, in bytes.
const LONGEST: usize = 128 * 1024;

/// What the old process says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub(super) enum FromOld {
    /// The first message.
    Offer(Offer),
    /// Descriptors follow: one for each.
    Given {
        /// What they are.
        all: Vec<Gift>,
    },
    /// The place is yours: nobody else accepts any more.
    Commit,
    /// It was taken too long, or something is wrong with you: the old process goes on.
    Withdrawn,
}

/// What the old process has to give.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Offer {
    /// The version of the handover.
    pub(super) version: u32,
    /// The old process.
    pub(super) process: u32,
    /// The folder of its state, if it has one.
    pub(super) state_dir: Option<PathBuf>,
    /// How many descriptors follow.
    pub(super) gifts: usize,
    /// What else travels.
    pub(super) inherited: Inherited,
}

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Gift {
    /// A socket that listens.
    Socket {
        /// Its listener.
        listener: String,
        /// Its address, as the document has it.
        address: String,
        /// Whether it takes IPv4 beside IPv6.
        with_ipv4: bool,
        /// Whether the file of a unix socket goes with it.
        owns_file: bool,
    },
    /// The socket on which commands come in.
    Commands,
    /// The lock of the state folder.
    Lock,
}

/// What the new process says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "says", rename_all = "snake_case")]
pub(super) enum FromNew {
    /// It cannot take the place.
    Refused {
        /// Why, each with its remedy.
        problems: Vec<String>,
    },
    /// It serves.
    Ready(Ready),
    /// It has the place.
    Taken,
    /// It has had the place for a while, and needs the old process no more.
    Settled,
}

/// How the new process serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The version of falconer.
    pub(super) falconer: String,
    /// The number of its snapshot.
    pub(super) generation: u64,
    /// The places of the descriptors that it uses.
    pub(super) kept: Vec<usize>,
}

/// One end, which never blocks.
#[derive(Debug)]
pub(super) struct Channel(OwnedFd);

impl Channel {
    /// Our end, and the one to give away.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (own, other) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        Ok((Self(own), other))
    }

    /// The end that this process was started with; what is read from standard input after that
    /// is nothing.
    pub(super) fn of_stdin() -> io::Result<Self> {
        let stdin = io::stdin();
        if sockopt::socket_type(&stdin)? != SocketType::SEQPACKET {
            return Err(io::Error::other("standard input is another socket"));
        }
        let own = stdin.as_fd().try_clone_to_owned()?;
        stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
        let flags = fs::fcntl_getfl(&own)?;
        fs::fcntl_setfl(&own, flags | fs::OFlags::NONBLOCK)?;
        Ok(Self(own))
    }

    /// Sends a message as soon as it can be; the thread waits.
    pub(super) fn tell<M: Serialize>(&self, message: &M) -> io::Result<()> {
        loop {
            match self.try_send(message, &[]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(nix::poll::PollFlags::POLLOUT)?;
                }
                done => return done,
            }
        }
    }

    /// The next message; the thread waits. `None` if the other end is gone.
    pub(super) fn hear<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        loop {
            match self.try_receive() {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(nix::poll::PollFlags::POLLIN)?;
                }
                done => return done,
            }
        }
    }

    /// A message that has come already, if there is one.
    pub(super) fn heard<M: DeserializeOwned>(&self) -> Option<M> {
        self.try_receive().ok().flatten().map(|(message, _)| message)
    }

    fn wait(&self, for_what: nix::poll::PollFlags) -> io::Result<()> {
        let mut all = [nix::poll::PollFd::new(self.0.as_fd(), for_what)];
        match nix::poll::poll(&mut all, nix::poll::PollTimeout::NONE) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn try_send<M: Serialize>(&self, message: &M, given: &[BorrowedFd<'_>]) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !given.is_empty() && !control.push(SendAncillaryMessage::ScmRights(given)) {
            return Err(io::Error::other("too many descriptors for one message"));
        }
        let parts = [IoSlice::new(&text)];
        sendmsg(&self.0, &parts, &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn try_receive<M: DeserializeOwned>(&self) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        let mut text = vec![0; LONGEST];
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = loop {
            let mut parts = [IoSliceMut::new(&mut text)];
            match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                // The other end left with something unread; what it said before comes next.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                done => break done?,
            }
        };
        let mut given = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                given.extend(descriptors);
            }
        }
        if received.bytes == 0 {
            return Ok(None);
        }
        if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::other("a message did not arrive whole"));
        }
        let text = text.get(..received.bytes).unwrap_or_default();
        Ok(Some((serde_json::from_slice(text)?, given)))
    }
}

/// One end, in a runtime.
#[derive(Debug)]
pub(super) struct Talk {
    channel: Channel,
    /// The same socket. It knows when that can be read from and written to, whatever its type.
    readiness: UnixStream,
}

impl Talk {
    pub(super) fn new(channel: Channel) -> io::Result<Self> {
        let readiness = UnixStream::from_std(channel.0.try_clone()?.into())?;
        Ok(Self { channel, readiness })
    }

    pub(super) async fn send<M: Serialize>(
        &self,
        message: &M,
        given: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let send = || self.channel.try_send(message, given);
        self.readiness.async_io(Interest::WRITABLE, send).await
    }

    /// Sends a message if there is room for it.
    pub(super) fn say<M: Serialize>(&self, message: &M) -> io::Result<()> {
        self.channel.try_send(message, &[])
    }

    /// The next message; `None` if the other end is gone.
    pub(super) async fn receive<M: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        self.readiness.async_io(Interest::READABLE, || self.channel.try_receive()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn gift(number: usize) -> Gift {
        let (listener, address) = (format!("web-{number}"), "127.0.0.1:80".to_owned());
        Gift::Socket { listener, address, with_ipv4: false, owns_file: false }
    }

    #[tokio::test]
    async fn descriptors_arrive_with_their_message_and_work() {
        let (own, other) = Channel::pair().unwrap();
        let own = Talk::new(own).unwrap();
        let (mut near, far) = UnixStream::pair().unwrap();
        let all = vec![Gift::Lock; BATCH];
        own.send(&FromOld::Given { all: all.clone() }, &[far.as_fd(); BATCH]).await.unwrap();
        own.send(&FromOld::Commit, &[]).await.unwrap();
        drop(far);
        let other = Channel(other);
        let (message, given) = other.hear::<FromOld>().unwrap().unwrap();
        assert_eq!((message, given.len()), (FromOld::Given { all }, BATCH));
        let flags = rustix::io::fcntl_getfd(&given[0]).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "no child gets it by accident");
        UnixStream::from(given.into_iter().last().unwrap()).write_all(b"x").unwrap();
        near.read_exact(&mut [0]).unwrap();
        assert_eq!(other.hear::<FromOld>().unwrap().unwrap().0, FromOld::Commit);
        drop(own);
        assert!(other.hear::<FromOld>().unwrap().is_none(), "the other end is gone");
        assert!(other.tell(&FromNew::Taken).is_err());
    }

    #[tokio::test]
    async fn who_reads_slowly_is_waited_for() {
        let (own, other) = Channel::pair().unwrap();
        let (own, other) = (Talk::new(own).unwrap(), Channel(other));
        let reading = tokio::task::spawn_blocking(move || {
            let mut count = 0;
            while let Some((FromOld::Given { all }, _)) = other.hear().unwrap() {
                count += all.len();
            }
            count
        });
        for number in 0..100 {
            let all = (0..BATCH).map(|place| gift(number * BATCH + place)).collect();
            own.send(&FromOld::Given { all }, &[]).await.unwrap();
        }
        drop(own);
        assert_eq!(reading.await.unwrap(), 100 * BATCH);
    }

    #[test]
    fn last_words_are_heard_though_nothing_was_listened_to() {
        let (own, other) = Channel::pair().unwrap();
        own.tell(&FromOld::Commit).unwrap();
        let other = Channel(other);
        other.tell(&FromNew::Taken).unwrap();
        drop(other);
        assert_eq!(own.hear::<FromNew>().unwrap().unwrap().0, FromNew::Taken);
        assert!(own.hear::<FromNew>().unwrap().is_none());
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let (own, other) = Channel::pair().unwrap();
        own.tell(&"hello").unwrap();
        assert!(Channel(other).hear::<FromNew>().is_err());
    }
}
