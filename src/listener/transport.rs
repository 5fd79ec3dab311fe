//! The byte streams below a [`super::wire::Wire`]: TCP, unix sockets, TLS over either.

use pingora::protocols::l4::ext::get_tcp_info;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// What a connection needs from the stream below it.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static {
    /// Waits for input without a buffer in hand: this keeps idle connections small.
    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Makes closing reset the connection, so that the peer cannot take it for an end.
    fn reset_on_close(&self);

    /// The number of the socket.
    fn descriptor(&self) -> RawFd;

    /// The address that the peer connected to; `None` on a unix socket.
    fn local(&self) -> Option<SocketAddr>;

    /// Bytes that the kernel took from us and the peer's has not; 0 where nobody tells.
    fn held(&self) -> u64 {
        get_tcp_info(self.descriptor()).map_or(0, |info| {
            let passed = info.tcpi_bytes_retrans.saturating_add(info.tcpi_bytes_acked);
            u64::from(info.tcpi_notsent_bytes) + info.tcpi_bytes_sent.saturating_sub(passed)
        })
    }
}

impl Transport for TcpStream {
    fn reset_on_close(&self) {
        // A socket that is gone already needs no reset.
        let _ = self.set_zero_linger();
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn local(&self) -> Option<SocketAddr> {
        self.local_addr().ok()
    }
}

impl Transport for UnixStream {
    /// Unix sockets have no reset; what is unread at the close makes the peer's read fail.
    fn reset_on_close(&self) {}

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(cx)
    }

    fn descriptor(&self) -> RawFd {
        self.as_raw_fd()
    }

    fn local(&self) -> Option<SocketAddr> {
        None
    }
}

/// Boxed, because rustls keeps over 1 KiB in a connection that would sit in every future.
impl<S: Transport + AsRawFd> Transport for Box<TlsStream<S>> {
    /// Without a `close_notify` the end is an error to the peer (RFC 8446, 6.1).
    fn reset_on_close(&self) {
        self.get_ref().0.reset_on_close();
    }

    fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A readable socket may hold half a record; only decrypted text or the end counts.
        Pin::new(self).poll_fill_buf(cx).map_ok(drop)
    }

    fn descriptor(&self) -> RawFd {
        self.get_ref().0.as_raw_fd()
    }

    fn local(&self) -> Option<SocketAddr> {
        self.get_ref().0.local()
    }
}
