//! One HTTP/2 stream as the engine's custom session: the engine's own, plus the exchange's watch.
//!
//! On HTTP/1 the watch lives in the IO type; here many exchanges share one. Whatever the engine
//! waits for on this stream, an overdue watch ends the wait with an error.

use super::h2::{CONNECTION_WINDOW, STREAM_WINDOW};
use super::messages::{Kind, Messages};
use crate::exchange::{Arrival, Gate, Manner, Overdue, Timer, Watch, Way};
use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream as Custom;
use h2::Reason;
use http::{HeaderMap, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::runtime::Handle;

/// How long a client may take to see that the rest of its request is not wanted.
const LINGER: Duration = Duration::from_secs(2);

/// Bytes of a response that are given to a stream at once: a frame.
const PIECE: usize = 16 * 1024;

/// A stream and the watch over its exchange.
pub(super) struct Stream {
    inner: HttpSession,
    arrival: Arc<Arrival>,
    timer: Timer,
    upload: Upload,
    /// Where the response of a call is.
    messages: Messages,
}

impl Stream {
    pub(super) fn new(inner: HttpSession, arrival: Arc<Arrival>, crowd: Arc<Crowd>) -> Self {
        let upload = Upload { gate: Gate::default(), held: Bytes::new(), crowd };
        let messages = Messages::new(Kind::Calls);
        Self { inner, arrival, timer: Timer::default(), upload, messages }
    }
}

/// The streams of a connection whose endpoints take nothing. Each may fill its window, and enough
/// of them that of the connection; then the client can send on no other stream.
#[derive(Debug, Default)]
pub(super) struct Crowd(AtomicU32);

impl Crowd {
    fn fills_the_window(&self) -> bool {
        self.0.load(Ordering::Relaxed).saturating_mul(STREAM_WINDOW) >= CONNECTION_WINDOW
    }

    fn enter(&self) -> Blocked<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Blocked(self)
    }
}

/// One of the crowd, until dropped.
struct Blocked<'a>(&'a Crowd);

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // What the engine left unfinished the client must not take for whole.
        self.inner.shutdown();
        if !self.inner.is_body_done() {
            self.linger();
        }
    }
}

impl Stream {
    /// Keeps an answered stream for a client that still sends. Held by nobody it is reset at once,
    /// and with the reset some clients (curl 7) lose the answer before it.
    fn linger(&mut self) {
        let Some(mut answer) = self.inner.take_response_body_writer() else { return };
        let Ok(runtime) = Handle::try_current() else { return };
        runtime.spawn(async move {
            let left = poll_fn(|cx| answer.poll_reset(cx));
            let _ = tokio::time::timeout(LINGER, left).await;
        });
    }
}

impl Stream {
    /// Ends a response whose time is over. Who waits for more sees why, if the end of a message has
    /// gone out: events just end, and a call gets its status. Anything else is reset as not needed
    /// any more; that something failed here, or that nothing was processed, would not be true.
    fn part(&mut self, is_quiet: bool) {
        let watch = &self.arrival.watch;
        let is_ended = watch.overdue() == Some(Overdue::Ended);
        if !is_ended || self.inner.response_written().is_none() {
            return;
        }
        let said = match watch.manner().filter(|_| is_quiet) {
            Some(Manner::Events) => self.inner.finish(),
            Some(Manner::Status) if self.messages.is_between() => {
                self.inner.write_trailers(unavailable())
            }
            _ => return self.inner.shutdown_with_reason(Reason::CANCEL),
        };
        if said.is_ok() {
            self.arrival.parts();
        }
    }
}

/// What tells a client of gRPC to call again.
fn unavailable() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("14"));
    trailers.insert("grpc-message", HeaderValue::from_static("the service has changed"));
    trailers
}

/// The request's body on its way.
struct Upload {
    gate: Gate,
    /// What was read and may not go yet.
    held: Bytes,
    crowd: Arc<Crowd>,
}

impl Upload {
    /// The next piece, when the endpoint will take it.
    async fn piece(&mut self, from: &mut HttpSession, arrival: &Arrival) -> Result<Option<Bytes>> {
        if self.held.is_empty() {
            let is_clients = || !self.crowd.fills_the_window();
            let read =
                of_client(&arrival.watch, Way::Upload, is_clients, from.read_body_bytes()).await?;
            arrival.watch.moved(Way::Upload, read.as_ref().map_or(0, Bytes::len));
            match read {
                Some(piece) if !piece.is_empty() => self.held = piece,
                nothing => return Ok(nothing),
            }
        }
        let mut blocked = None;
        let room = poll_fn(|cx| {
            let most = self.gate.poll(&arrival.uplink, cx);
            if most.is_pending() {
                blocked.get_or_insert_with(|| self.crowd.enter());
            }
            most
        });
        let most = tokio::select! {
            biased;
            most = room => most,
            left = from.read_body_or_idle(true) => return left,
        };
        let piece = self.held.split_to(most.min(self.held.len()));
        self.gate.pass(piece.len());
        Ok(Some(piece))
    }
}

/// Awaits what only the client can bring about, and tells the watch while it is waited for.
async fn of_client<T>(
    watch: &Watch,
    way: Way,
    is_clients: impl Fn() -> bool,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    poll_fn(|cx| {
        let done = future.as_mut().poll(cx);
        match done {
            Poll::Pending if is_clients() => watch.waits(way),
            Poll::Pending => watch.rests(),
            Poll::Ready(_) => {}
        }
        done
    })
    .await
}

/// Gives a response to the stream.
async fn respond(
    to: &mut HttpSession,
    watch: &Watch,
    messages: &mut Messages,
    tasks: Vec<HttpTask>,
) -> Result<bool> {
    let mut has_ended = false;
    for task in tasks {
        has_ended |= match task {
            HttpTask::Header(head, end) => {
                to.write_response_header(head, end).map_err(|error| error.into_down())?;
                end
            }
            HttpTask::Body(body, end) => {
                let body = body.unwrap_or_default();
                if !body.is_empty() {
                    write(to, watch, messages, body, end)
                        .await
                        .map_err(|error| error.into_down())?;
                }
                end
            }
            HttpTask::Trailer(trailers) => {
                if let Some(trailers) = trailers {
                    to.write_trailers(*trailers)?;
                }
                true
            }
            HttpTask::Done => true,
            HttpTask::Failed(error) => return Err(error),
            HttpTask::UpgradedBody(..) => {
                return Error::e_explain(ErrorType::InternalError, "an upgrade on a stream");
            }
        };
    }
    if has_ended {
        to.finish().map_err(|error| error.into_down())?;
    }
    Ok(has_ended)
}

/// Writes a body in pieces small enough to see how fast the client takes them.
async fn write(
    to: &mut HttpSession,
    watch: &Watch,
    messages: &mut Messages,
    mut body: Bytes,
    end: bool,
) -> Result<()> {
    if watch.manner() == Some(Manner::Status) {
        messages.follow(&body);
    }
    loop {
        let piece = body.split_to(body.len().min(PIECE));
        let (length, is_last) = (piece.len(), body.is_empty());
        let written = to.write_body(piece, end && is_last);
        of_client(watch, Way::Download, || true, written).await?;
        watch.moved(Way::Download, length);
        if is_last {
            return Ok(());
        }
    }
}

/// Awaits something of the inner session unless the watch is overdue first.
macro_rules! watched {
    ($error:ident, $self:ident, $inner:ident => $future:expr) => {
        watched!($error, $self, $inner, _upload, _messages, _arrival => $future)
    };
    ($error:ident, $self:ident, $inner:ident, $upload:ident, $messages:ident, $arrival:ident
        => $future:expr) => {{
        let Self { inner: $inner, upload: $upload, messages: $messages, arrival: $arrival, timer } =
            $self;
        let watch = &$arrival.watch;
        tokio::select! {
            biased;
            done = $future => done,
            () = poll_fn(|cx| timer.poll(watch, cx)) => {
                Error::e_explain(ErrorType::$error, "the exchange is overdue")
            }
        }
    }};
}

#[async_trait]
impl Session for Stream {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        let read = watched!(ReadTimedout, self, inner, upload, _messages, arrival => {
            upload.piece(inner, arrival)
        });
        if read.is_err() {
            self.part(true);
        }
        read
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        watched!(ReadTimedout, self, inner => inner.drain_request_body())
    }

    async fn write_response_header(&mut self, head: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.inner.write_response_header(head, end)
    }

    async fn write_response_header_ref(&mut self, head: &ResponseHeader, end: bool) -> Result<()> {
        self.inner.write_response_header_ref(head, end)
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        let written = watched!(WriteTimedout, self, inner, _upload, messages, arrival => {
            write(inner, &arrival.watch, messages, data, end)
        });
        if written.is_err() {
            self.part(false);
        }
        written
    }

    async fn write_trailers(&mut self, trailers: HeaderMap) -> Result<()> {
        self.inner.write_trailers(trailers)
    }

    async fn response_duplex_vec(&mut self, tasks: Vec<HttpTask>) -> Result<bool> {
        let ended = watched!(WriteTimedout, self, inner, _upload, messages, arrival => {
            respond(inner, &arrival.watch, messages, tasks)
        });
        match ended {
            Ok(true) => self.arrival.answers(),
            Ok(false) => {}
            Err(_) => self.part(false),
        }
        ended
    }

    /// The watch is the only timeout for reading.
    fn set_read_timeout(&mut self, _: Option<Duration>) {}

    fn get_read_timeout(&self) -> Option<Duration> {
        None
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.inner.shutdown();
    }

    fn is_body_done(&mut self) -> bool {
        self.upload.held.is_empty() && self.inner.is_body_done()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.inner.is_body_empty()
    }

    async fn read_body_or_idle(&mut self, is_done: bool) -> Result<Option<Bytes>> {
        if is_done || self.is_body_done() {
            let left = watched!(ReadTimedout, self, inner => inner.read_body_or_idle(true));
            if left.is_err() {
                self.part(true);
            }
            return left;
        }
        self.read_body_bytes().await
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    /// Without what is held: that follows.
    fn get_retry_buffer(&self) -> Option<Bytes> {
        let read = self.inner.get_retry_buffer()?;
        let passed = read.len().saturating_sub(self.upload.held.len());
        (passed > 0).then(|| read.slice(..passed))
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Custom<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Custom<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
