//! One HTTP/2 connection: accept streams, each an exchange of its own, until it ends or drains.

use super::accept::in_time;
use super::running::Listener;
use super::stream::{Crowd, Stream};
use super::transport::Transport;
use super::watchdog;
use super::wire::Wire;
use crate::exchange::{Arrival, Cause, Phase};
use bytes::Bytes;
use pingora::apps::HttpServerApp;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, GetSocketDigest, Ssl, Stream as EngineStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// Streams at once on one connection.
const STREAMS: u32 = 128;
/// A stream's window: enough for an upload at full speed over a long line.
pub(super) const STREAM_WINDOW: u32 = 512 * 1024;
/// All streams' window.
pub(super) const CONNECTION_WINDOW: u32 = 2 * 1024 * 1024;
/// Response bytes a stream buffers before its writer waits.
const SEND_BUFFER: usize = 256 * 1024;
/// How long a leaving client may take for what was answered.
const LINGER_MOST: Duration = Duration::from_secs(30);
/// Malformed streams after which a connection is ended.
const MALFORMED: u32 = 32;

/// Serves a connection to its end.
pub(super) async fn serve<A, S>(listener: &Arc<Listener<A>>, wire: Box<Wire<S>>)
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    let arrival = wire.arrival().clone();
    let digest = Arc::new(Digest {
        ssl_digest: wire.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: wire.get_socket_digest(),
    });
    let handshake = options(listener).handshake(wire as EngineStream);
    let shaken = tokio::select! {
        shaken = in_time(listener.handshake_timeout, handshake) => shaken,
        () = listener.grace_over() => return,
    };
    let Some(Ok(h2)) = shaken else { return };
    let active = Arc::new(Active::default());
    accept(listener, h2, &arrival, digest, &active).await;
    // The last exchanges may still be on their way to the log.
    active.idle_for(Some(Duration::ZERO)).await;
}

/// How far a connection has come in leaving.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaving {
    No,
    /// Exchanges are open.
    Busy,
    /// None is.
    Quiet,
}

type Accepting = h2::server::Connection<EngineStream, Bytes>;

async fn accept<A>(
    listener: &Arc<Listener<A>>,
    mut h2: Accepting,
    arrival: &Arrival,
    digest: Arc<Digest>,
    active: &Arc<Active>,
) where
    A: HttpServerApp + Send + Sync + 'static,
{
    let mut drain = arrival.drain.clone();
    let crowd = Arc::new(Crowd::default());
    let mut malformed = 0;
    let mut leaving = Leaving::No;
    loop {
        let patience = match leaving {
            Leaving::No => listener.keep_alive,
            Leaving::Busy => Some(Duration::ZERO),
            Leaving::Quiet => Some(LINGER_MOST),
        };
        let accepted = tokio::select! {
            biased;
            _ = drain.wait_for(|stop| *stop), if leaving == Leaving::No => None,
            accepted = HttpSession::from_h2_conn(&mut h2, digest.clone()) => Some(accepted),
            () = active.idle_for(patience) => None,
        };
        match accepted {
            None if leaving == Leaving::No => {
                // GOAWAY for new streams; those that are open, or on their way, are served.
                h2.graceful_shutdown();
                leaving = Leaving::Busy;
            }
            None if leaving == Leaving::Busy => {
                // What was answered may still be on its way: the time runs from its last byte.
                arrival.watch.set(Phase::Idle, Some(listener.idle_grace));
                leaving = Leaving::Quiet;
            }
            None => return,
            Some(Err(_) | Ok(None)) => return,
            Some(Ok(Some(H2Accept::Rejected))) => {
                listener.count_refused(&arrival.connection, Cause::BadRequest, "HTTP/2.0");
                malformed += 1;
                if malformed >= MALFORMED {
                    return;
                }
            }
            Some(Ok(Some(H2Accept::Session(session)))) => {
                if leaving == Leaving::Quiet {
                    arrival.watch.reset();
                    leaving = Leaving::Busy;
                }
                let arrival = Arrival::new(arrival.connection.clone(), drain.clone());
                let stream = Stream::new(session, arrival.clone(), crowd.clone());
                spawn(listener.clone(), stream, arrival, active.enter());
            }
        }
    }
}

fn spawn<A>(listener: Arc<Listener<A>>, stream: Stream, arrival: Arc<Arrival>, active: Entered)
where
    A: HttpServerApp + Send + Sync + 'static,
{
    tokio::spawn(async move {
        let _active = active;
        let session = ServerSession::new_custom(Box::new(stream));
        let served = listener.app.process_new_http(session, &arrival.drain);
        let served = arrival.clone().scope(served);
        if let Err(cause) = watchdog::guard(served, &arrival).await {
            listener.count_refused(&arrival.connection, cause, "HTTP/2.0");
        }
    });
}

fn options<A>(listener: &Listener<A>) -> H2Options {
    let size = listener.entrance.limits.header_size.unwrap_or(1 << 20);
    let mut options = H2Options::new();
    options
        .max_header_list_size(u32::try_from(size).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER);
    options
}

/// How many exchanges of a connection are open.
#[derive(Debug, Default)]
struct Active {
    count: AtomicUsize,
    emptied: Notify,
}

/// One open exchange, counted until dropped.
#[derive(Debug)]
struct Entered(Arc<Active>);

impl Active {
    fn enter(self: &Arc<Self>) -> Entered {
        self.count.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }

    /// Waits until no exchange was open for so long.
    async fn idle_for(&self, patience: Option<Duration>) {
        while self.count.load(Ordering::Relaxed) > 0 {
            self.emptied.notified().await;
        }
        match patience {
            Some(patience) => tokio::time::sleep(patience).await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.emptied.notify_one();
        }
    }
}
