//! The connection to an endpoint under an upgrade.
//!
//! The engine tells its upstream half over a channel that the request had no body. If that half
//! reads the 101 before it looks there, it takes the news for the end of the tunnel and closes it;
//! to an endpoint on the same machine this happens to one upgrade in fifty. So the first read
//! after a write yields, and the channel is looked at.

use crate::exchange::Arrival;
use pingora::protocols::l4::ext;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

/// A connection for an upgrade. Shows the exchange its way: the engine will not know its number.
pub(super) fn stream<S: AsFd>(io: S) -> Stream
where
    Socket<S>: VirtualSocket + 'static,
{
    if let Some(arrival) = Arrival::current() {
        arrival.uplink.by_socket(io.as_fd());
    }
    Stream::from(VirtualSocketStream::new(Box::new(Socket::new(io))))
}

/// A socket whose first read after a write yields.
#[derive(Debug)]
pub(super) struct Socket<S> {
    io: S,
    has_written: bool,
}

impl<S> Socket<S> {
    fn new(io: S) -> Self {
        Self { io, has_written: false }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl VirtualSocket for Socket<TcpStream> {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.io.set_nodelay(true),
            VirtualSockOpt::KeepAlive(times) => {
                ext::set_tcp_keepalive(&self.io, &times).map_err(io::Error::other)
            }
            _ => Ok(()),
        }
    }
}

impl VirtualSocket for Socket<UnixStream> {
    fn set_socket_option(&self, _: VirtualSockOpt) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn the_first_read_after_a_write_yields_even_if_there_is_something_to_read() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"ab").await.unwrap();
        ours.readable().await.unwrap();
        let mut socket = Socket::new(ours);
        assert!(socket.read_u8().now_or_never().is_some());
        socket.write_u8(1).await.unwrap();
        assert!(socket.read_u8().now_or_never().is_none());
        assert!(socket.read_u8().now_or_never().is_some());
    }
}
