//! The IO type under every downstream connection.
//!
//! It is the engine's byte stream for one exchange after the other, and costs next to nothing
//! between them. It sends the head and the body of a small response in one write, leaves what
//! follows a request for the next one, and fails when the exchange's watch is overdue.

mod leave;
mod parting;

use self::leave::Leaving;
use self::parting::Parting;
use super::body::Framing;
use super::idle::Slot;
use super::transport::Transport;
use crate::exchange::{Arrival, Gate, Phase, Timer, Way};
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl,
    TimingDigest, UniqueID, UniqueIDType, raw_connect::ProxyDigest,
};
use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

/// Above this, pending output and the new slice leave in one vectored write instead of a copy.
const COALESCE: usize = 8 * 1024;
/// What rustls holds of our output when it takes no more.
const TLS_BUFFER: u64 = 64 * 1024;
/// What a client may send ahead of its turn before we stop reading.
const AHEAD: usize = 16 * 1024;

/// A downstream connection as the engine sees it.
pub(super) struct Wire<S: Transport> {
    /// Dropped before `io` closes the descriptor: the sweeper must not know a number that is free.
    pub(super) slot: Slot,
    io: S,
    /// Bytes that were read before their turn.
    ahead: BytesMut,
    /// Output not yet given to the transport; no capacity while idle.
    out: Vec<u8>,
    sent: u32,
    /// Bytes of this exchange that the transport took.
    given: u64,
    /// Whether it took nothing of the last write.
    is_full: bool,
    /// Whether the transport may still hold output: TLS keeps what its socket does not take.
    is_unflushed: bool,
    framing: Framing,
    is_h2: bool,
    leaving: Leaving,
    parting: Option<Box<Parting>>,
    timer: Timer,
    gate: Gate,
    arrival: Arc<Arrival>,
}

impl<S: Transport> Wire<S> {
    pub(super) fn new(io: S, arrival: Arc<Arrival>, slot: Slot) -> Box<Self> {
        Box::new(Self {
            slot,
            io,
            ahead: BytesMut::new(),
            out: Vec::new(),
            sent: 0,
            given: 0,
            is_full: false,
            is_unflushed: false,
            framing: Framing::Length(0),
            is_h2: false,
            leaving: Leaving::No,
            parting: None,
            timer: Timer::default(),
            gate: Gate::default(),
            arrival,
        })
    }

    pub(super) fn arrival(&self) -> &Arc<Arrival> {
        &self.arrival
    }

    /// Waits for input without a buffer in hand.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            return Poll::Ready(Ok(()));
        }
        self.io.poll_readable(cx)
    }

    /// Reads what there is of a request head; 0 is the end of the connection.
    pub(super) async fn read_head(&mut self, buffer: &mut BytesMut) -> io::Result<usize> {
        if self.ahead.is_empty() {
            return self.io.read_buf(buffer).await;
        }
        let ahead = std::mem::take(&mut self.ahead);
        let length = ahead.len();
        if buffer.is_empty() {
            *buffer = ahead;
        } else {
            buffer.extend_from_slice(&ahead);
        }
        Ok(length)
    }

    /// Begins an exchange: `rest` follows its head, and `framing` says how much belongs to it.
    pub(super) fn begin(&mut self, framing: Framing, rest: BytesMut) {
        self.ahead = rest;
        self.framing = framing;
        self.given = 0;
        self.gate.reset();
        self.parting = None;
        self.timer.begin();
    }

    /// Makes it the stream of an HTTP/2 connection whose first bytes were read already.
    pub(super) fn begin_h2(&mut self, preface: BytesMut) {
        self.begin(Framing::Endless, preface);
        self.is_h2 = true;
        // Only streams have timeouts then; the watch of the connection is off.
        self.arrival.watch.reset();
        self.arrival.watch.limit(None);
    }

    /// Sends bytes of ours and closes politely, so that the peer reads them before any reset.
    pub(super) async fn send_last(&mut self, bytes: &[u8]) {
        self.framing = Framing::Endless;
        // A refusal fits the buffer; closing sends it. Whoever does not take it is gone.
        if self.write_all(bytes).await.is_ok() {
            let _ = AsyncWriteExt::shutdown(self).await;
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(pending) = self.out.get(self.sent as usize..).filter(|p| !p.is_empty()) {
            let written = Pin::new(&mut self.io).poll_write(cx, pending);
            let written = ready!(self.count(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            // What is pending is a few KiB.
            self.sent += written as u32;
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    /// Gives all output to the peer's socket.
    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        ready!(Pin::new(&mut self.io).poll_flush(cx))?;
        self.is_unflushed = false;
        Poll::Ready(Ok(()))
    }

    /// Counts what the transport took.
    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.is_full = written.is_pending();
        if let Poll::Ready(Ok(length)) = written {
            self.given += length as u64;
        }
        written
    }

    fn release(&mut self) {
        self.sent = 0;
        give_back(std::mem::take(&mut self.out));
    }

    /// Tells the watch of bytes that moved. Of what goes between a client and an endpoint over
    /// HTTP/1 the exchange tells itself.
    fn touch(&self) {
        if self.is_h2 || self.arrival.watch.phase() == Phase::Reply {
            self.arrival.watch.touch();
        }
    }

    /// Ready when the exchange is overdue; asked while the client is waited for.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let Self { timer, arrival, io, given, .. } = self;
            // What buffers hold the client has not taken.
            let is_tls = arrival.connection.tls.is_some();
            let in_tls = if is_tls && self.is_full { TLS_BUFFER } else { 0 };
            let taken = || given.saturating_sub(io.held()).saturating_sub(in_tls);
            ready!(timer.poll_taking(&arrival.watch, cx, taken));
            if !self.parts(cx) {
                let error = io::Error::new(io::ErrorKind::TimedOut, "the exchange is overdue");
                return Poll::Ready(error);
            }
        }
    }

    /// Reads past the end of the request: only whether the client is still there matters now.
    fn poll_early(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ahead.len() < AHEAD {
            ready!(self.io.poll_readable(cx))?;
            let mut bytes = [const { MaybeUninit::uninit() }; 2048];
            let mut buffer = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        Poll::Pending
    }

    fn poll_body(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.arrival.watch.phase() == Phase::Tunnel {
            // After an upgrade everything belongs to the exchange; before, it waits for its turn.
            self.framing = Framing::Endless;
        }
        if self.framing.is_done() {
            return self.poll_early(cx);
        }
        if !self.ahead.is_empty() {
            let most = ready!(self.poll_gate(cx));
            let offered = self.ahead.len().min(buf.remaining()).min(most);
            let taken = self.framing.admit(self.ahead.get(..offered).unwrap_or_default());
            self.refuse_malformed()?;
            buf.put_slice(self.ahead.get(..taken).unwrap_or_default());
            self.ahead.advance(taken);
            self.gate.pass(taken);
            self.arrival.watch.moved(Way::Upload, taken);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(self.poll_some(cx, buf))?;
        let read = buf.filled().get(before..).unwrap_or_default();
        let taken = self.framing.admit(read);
        self.refuse_malformed()?;
        self.ahead.extend_from_slice(read.get(taken..).unwrap_or_default());
        buf.set_filled(before + taken);
        self.arrival.watch.moved(Way::Upload, taken);
        Poll::Ready(Ok(()))
    }

    /// How much of the body the endpoint will take; what it does not take is not the client's fault.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<usize> {
        let most = self.gate.poll(&self.arrival.uplink, cx);
        if most.is_pending() && !self.is_unflushed {
            self.arrival.watch.rests();
        }
        most
    }

    fn refuse_malformed(&self) -> io::Result<()> {
        if self.framing.is_malformed() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "malformed chunks"));
        }
        Ok(())
    }

    /// Reads as much as the endpoint will take.
    fn poll_some(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_h2 {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let readable = self.io.poll_readable(cx);
        if readable.is_pending() && !self.is_unflushed {
            self.arrival.watch.waits(Way::Upload);
        }
        ready!(readable)?;
        let most = ready!(self.poll_gate(cx));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(buf.remaining().min(most)));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut part))?;
        let read = part.filled().len();
        self.gate.pass(read);
        buf.advance(read);
        Poll::Ready(Ok(()))
    }

    /// Takes output: what is small is gathered.
    fn poll_put(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        // h2 gathers its frames, and flushes them, itself.
        self.is_unflushed = !self.is_h2;
        let written = if self.is_h2 {
            Pin::new(&mut self.io).poll_write(cx, buf)
        } else if self.out.len() + buf.len() <= COALESCE {
            if self.out.capacity() == 0 {
                self.out = borrow();
            }
            self.out.extend_from_slice(buf);
            return Poll::Ready(Ok(buf.len()));
        } else {
            self.poll_write_both(cx, buf)
        };
        if written.is_ready() {
            self.touch();
            self.arrival.watch.rests();
            return written;
        }
        self.arrival.watch.waits(Way::Download);
        self.poll_overdue(cx).map(Err)
    }

    /// Pending output and a large slice, without copying the slice.
    fn poll_write_both(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        while let Some(pending) = self.out.get(self.sent as usize..).filter(|p| !p.is_empty()) {
            let both = [io::IoSlice::new(pending), io::IoSlice::new(buf)];
            let length = pending.len();
            let written = Pin::new(&mut self.io).poll_write_vectored(cx, &both);
            let written = ready!(self.count(written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if written < length {
                // What is pending is a few KiB.
                self.sent += written as u32;
                continue;
            }
            self.release();
            if written > length {
                return Poll::Ready(Ok(written - length));
            }
        }
        let written = Pin::new(&mut self.io).poll_write(cx, buf);
        self.count(written)
    }
}

thread_local! {
    /// Output buffers of this thread's connections: an active one costs no malloc, an idle one none.
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

fn borrow() -> Vec<u8> {
    BUFFERS.with(|b| b.borrow_mut().pop()).unwrap_or_else(|| Vec::with_capacity(COALESCE))
}

fn give_back(mut buffer: Vec<u8>) {
    if buffer.capacity() == 0 {
        return;
    }
    buffer.clear();
    // The thread may be ending, with its buffers gone already.
    let _ = BUFFERS.try_with(|b| {
        let mut buffers = b.borrow_mut();
        if buffers.len() < 64 {
            buffers.push(buffer);
        }
    });
}

impl<S: Transport> Drop for Wire<S> {
    fn drop(&mut self) {
        if self.arrival.is_broken() && !self.is_h2 {
            self.io.reset_on_close();
        }
        give_back(std::mem::take(&mut self.out));
    }
}

impl<S: Transport> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // The engine does not flush a body of known length before its last byte, but polls the
        // read side whenever it waits for the upstream: a trickling body leaves here.
        if this.is_unflushed {
            match this.poll_sent(cx) {
                Poll::Ready(sent) => {
                    sent?;
                    this.arrival.watch.rests();
                }
                Poll::Pending => this.arrival.watch.waits(Way::Download),
            }
        }
        if this.is_over() {
            return Poll::Ready(Ok(()));
        }
        if let Poll::Ready(read) = this.poll_body(cx, buf) {
            this.touch();
            return Poll::Ready(read);
        }
        let overdue = ready!(this.poll_overdue(cx));
        Poll::Ready(if this.gives_up() { Ok(()) } else { Err(overdue) })
    }
}

impl<S: Transport> AsyncWrite for Wire<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_stream() { self.poll_stream(cx, buf) } else { self.poll_put(cx, buf) }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_h2 {
            let written = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
            if written.is_ready() {
                self.touch();
                return written;
            }
            return self.poll_overdue(cx).map(Err);
        }
        let first = bufs.iter().find(|b| !b.is_empty()).map_or(&[][..], |b| b);
        self.poll_write(cx, first)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_h2 && self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(sent) = self.poll_sent(cx) {
            self.arrival.watch.rests();
            return Poll::Ready(sent);
        }
        self.arrival.watch.waits(Way::Download);
        self.poll_overdue(cx).map(Err)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Poll::Ready(left) = self.poll_leave(cx) {
            return Poll::Ready(left);
        }
        self.poll_overdue(cx).map(Err)
    }
}

#[async_trait]
impl<S: Transport> Shutdown for Wire<S> {
    async fn shutdown(&mut self) {
        // Whoever does not take our end is gone.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<S: Transport> UniqueID for Wire<S> {
    fn id(&self) -> UniqueIDType {
        self.io.descriptor()
    }
}

impl<S: Transport> Ssl for Wire<S> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.arrival.connection.tls.as_ref().map(|tls| tls.digest.clone())
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.is_h2.then_some(ALPN::H2)
    }
}

impl<S: Transport> GetTimingDigest for Wire<S> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<S: Transport> GetProxyDigest for Wire<S> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<S: Transport> GetSocketDigest for Wire<S> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        // The engine would keep it for hooks that ask; ours know the connection.
        None
    }
}

impl<S: Transport> Peek for Wire<S> {}

impl<S: Transport> std::fmt::Debug for Wire<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection from {:?}", self.arrival.connection.peer)
    }
}

#[cfg(test)]
mod tests;
