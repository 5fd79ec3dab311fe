//! One HTTP/1 connection: read a head, check it, hand it to the engine, and again.
//!
//! Between two requests no object of the engine exists; what an idle connection holds is its
//! [`Wire`] and this task.

use super::body::Framing;
use super::head::{self, PREFACE, Scan};
use super::running::Listener;
use super::transport::Transport;
use super::watchdog;
use super::wire::Wire;
use crate::exchange::Cause;
use bytes::{Buf, BytesMut};
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Room for the heads that browsers send; larger ones grow it.
const HEAD: usize = 4 * 1024;

/// What came instead of, or as, the next request.
enum Next {
    /// A head that may pass, the framing of its body, and what was read after it.
    Request(BytesMut, Framing, BytesMut),
    /// The start of an HTTP/2 connection.
    Preface(BytesMut),
    /// The connection ended, or was idle for too long.
    Gone,
    /// A head that may not pass.
    Refused(Cause, BytesMut),
}

/// Serves a connection to its end; gives it back if it turns out to speak HTTP/2.
pub(super) async fn serve<A, S>(
    listener: &Listener<A>,
    mut wire: Box<Wire<S>>,
) -> Option<Box<Wire<S>>>
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    let mut settings: Option<HttpPersistentSettings> = None;
    let mut is_first = true;
    loop {
        let (head, framing, rest) = match next(listener, &mut wire, is_first).await {
            Next::Request(head, framing, rest) => (head, framing, rest),
            Next::Preface(bytes) => {
                wire.begin_h2(bytes);
                return Some(wire);
            }
            Next::Gone => {
                // Boxed: every connection would keep room for it.
                Box::pin(wire.send_last(&[])).await;
                return None;
            }
            Next::Refused(cause, head) => {
                let reply = listener.refuse(&wire.arrival().connection, cause, &head);
                // Boxed: every connection would keep room for it.
                Box::pin(wire.send_last(&reply)).await;
                return None;
            }
        };
        is_first = false;
        wire.begin(framing, rest);
        let arrival = wire.arrival().clone();
        arrival.watch.reset();
        let served = exchange(&listener.app, wire, head, settings.take(), &arrival.drain);
        let served = arrival.clone().scope(served);
        let served = match watchdog::guard(served, &arrival).await {
            Ok(served) => served,
            Err(cause) => {
                listener.count_refused(&arrival.connection, cause, "HTTP/1.1");
                return None;
            }
        };
        if !arrival.take_entered() {
            // The engine's parser refused what ours let pass, and answered 400 itself.
            listener.count_refused(&arrival.connection, Cause::BadRequest, "HTTP/1.1");
        }
        let (stream, kept) = served?.consume();
        settings = kept;
        wire = stream.into_any().downcast().ok()?;
    }
}

type Served<'a> = Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + 'a>>;

/// The engine's future for one exchange. Not `async`: the session is large, and a connection that
/// is idle would keep room for it.
fn exchange<'a, A, S>(
    app: &'a Arc<A>,
    wire: Box<Wire<S>>,
    head: BytesMut,
    settings: Option<HttpPersistentSettings>,
    drain: &'a ShutdownWatch,
) -> Served<'a>
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    let mut session = ServerSession::new_http1(wire);
    match settings {
        Some(settings) => settings.apply_to_session(&mut session),
        None => session.set_keepalive(Some(0)),
    }
    session.set_pipelined_prefix(head);
    app.process_new_http(session, drain)
}

async fn next<A, S: Transport>(listener: &Listener<A>, wire: &mut Wire<S>, is_first: bool) -> Next {
    loop {
        if !wait(wire, is_first, listener.entrance.limits.header_timeout).await {
            return Next::Gone;
        }
        let mut buffer = BytesMut::with_capacity(HEAD);
        let mut scan = Scan::default();
        // A whole head is usually there at once, and then no timer is needed.
        match once(read(listener, wire, &mut buffer, &mut scan)).await {
            Poll::Ready(Some(next)) => return next,
            Poll::Ready(None) if !buffer.is_empty() => {
                // Boxed: a head in pieces is rare, and every connection would keep room for it.
                return Box::pin(rest(listener, wire, buffer, scan)).await;
            }
            // A line end too many, or a socket that only seemed readable: still idle.
            Poll::Ready(None) | Poll::Pending => {}
        }
    }
}

/// Polls a future once.
async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

/// Reads the rest of a head that came in pieces, within the head's whole time.
async fn rest<A, S: Transport>(
    listener: &Listener<A>,
    wire: &mut Wire<S>,
    mut buffer: BytesMut,
    mut scan: Scan,
) -> Next {
    let reading = async {
        loop {
            if let Some(next) = read(listener, wire, &mut buffer, &mut scan).await {
                return next;
            }
        }
    };
    match listener.entrance.limits.header_timeout {
        None => reading.await,
        Some(deadline) => match tokio::time::timeout(deadline, reading).await {
            Ok(next) => next,
            Err(_) if buffer.is_empty() => Next::Gone,
            Err(_) => Next::Refused(Cause::RequestTimeout, buffer),
        },
    }
}

/// Waits for the first byte with nothing in hand; false if the connection ended or was swept.
async fn wait<S: Transport>(wire: &mut Wire<S>, is_first: bool, limit: Option<Duration>) -> bool {
    if is_first && let Some(limit) = limit {
        // Whoever connects has something to ask: the head's time runs from the start.
        wire.slot.unused();
        let readable = poll_fn(|cx| wire.poll_readable(cx));
        // Boxed: the timer is needed once, and the room for it would stay.
        let readable = Box::pin(tokio::time::timeout(limit, readable)).await;
        return wire.slot.busy() && matches!(readable, Ok(Ok(())));
    }
    wire.slot.idle();
    let readable = poll_fn(|cx| wire.poll_readable(cx)).await;
    wire.slot.busy() && readable.is_ok()
}

/// Reads once; `None` if the head is not whole yet.
async fn read<A, S: Transport>(
    listener: &Listener<A>,
    wire: &mut Wire<S>,
    buffer: &mut BytesMut,
    scan: &mut Scan,
) -> Option<Next> {
    match wire.read_head(buffer).await {
        Ok(n) if n > 0 => {}
        _ => return Some(Next::Gone),
    }
    if listener.speaks_h2 && PREFACE.starts_with(buffer.get(..PREFACE.len()).unwrap_or(&*buffer)) {
        // The preface holds an empty line itself; it must be whole before anything reads it.
        return (buffer.len() >= PREFACE.len()).then(|| Next::Preface(std::mem::take(buffer)));
    }
    // Some clients send a line end too many after a body (RFC 9112, 2.2).
    while buffer.starts_with(b"\r\n") {
        buffer.advance(2);
    }
    if &buffer[..] == b"\r" {
        return None;
    }
    let limits = &listener.entrance.limits;
    let refuse = |cause, buffer: &mut BytesMut| Next::Refused(cause, std::mem::take(buffer));
    let end = match scan.end(buffer) {
        Err(cause) => return Some(refuse(cause, buffer)),
        Ok(end) => end,
    };
    let size = end.unwrap_or(buffer.len()) as u64;
    if limits.header_size.is_some_and(|most| size > most) {
        let is_target = !buffer.contains(&b'\n');
        let cause = if is_target { Cause::UriTooLong } else { Cause::HeaderTooLarge };
        return Some(refuse(cause, buffer));
    }
    let end = end?;
    let head = buffer.get(..end).unwrap_or_default();
    if !listener.speaks_h1 {
        return Some(refuse(Cause::VersionNotSupported, buffer));
    }
    match head::check(head, limits) {
        Err(cause) => Some(refuse(cause, buffer)),
        Ok(passed) => {
            // Splitting makes the buffer shared, which costs; most requests have nothing after.
            let rest = if end == buffer.len() { BytesMut::new() } else { buffer.split_off(end) };
            Some(Next::Request(std::mem::take(buffer), passed.framing, rest))
        }
    }
}
