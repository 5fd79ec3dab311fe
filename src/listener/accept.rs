//! Takes connections from bound sockets and gives each a task.

use super::body::Framing;
use super::drain::Open;
use super::gate::{Room, Visit};
use super::manager::Until;
use super::proxy_protocol::{self, Ends, Lack, Look};
use super::running::Listener;
use super::socket::BACKLOG;
use super::transport::Transport;
use super::wire::Wire;
use super::{h1, h2};
use crate::exchange::{Arrival, Connection, Tls};
use crate::observe::{Gauge, log::Throttle};
use bytes::BytesMut;
use futures::FutureExt;
use pingora::apps::HttpServerApp;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::watch;

/// How long accepting rests when descriptors ran out.
const REST: Duration = Duration::from_millis(100);

static DESCRIPTORS: Throttle = Throttle::new(Duration::from_secs(10));

/// A socket that accepts streams.
pub(super) trait Accept: Send + Sync + 'static {
    type Stream: Transport + Look + AsRawFd;

    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Option<SocketAddr>)>> + Send;
}

impl Accept for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = self.accept().await?;
        // Failing is no reason to drop a connection.
        let _ = stream.set_nodelay(true);
        Ok((stream, Some(peer)))
    }
}

impl Accept for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        self.accept().await.map(|(stream, _)| (stream, None))
    }
}

/// Accepts until the listener drains, or is told to stop here.
pub(super) async fn accept<A, L>(
    listener: Arc<Listener<A>>,
    socket: Arc<L>,
    mut stop: watch::Receiver<Until>,
) where
    A: HttpServerApp + Send + Sync + 'static,
    L: Accept,
{
    let mut drain = listener.drain.watch();
    // What was accepted and waits for room; whoever ends the waiting must not lose it.
    let mut waiting = None;
    loop {
        let next = async {
            if waiting.is_none() {
                waiting = Some(socket.next().await);
            }
            // Not before: room held for one socket would keep the clients of another out.
            room(&listener).await
        };
        let room = tokio::select! {
            room = next => room,
            _ = drain.wait_for(|stop| *stop) => break,
            _ = stop.wait_for(|until| *until != Until::Drain) => break,
        };
        match waiting.take() {
            Some(Ok((stream, peer))) => admit(&listener, stream, peer, Some(room)),
            Some(Err(error)) if !is_of_one_connection(&error) => {
                listener.metrics.paused_by_descriptors.inc();
                if let Some(suppressed) = DESCRIPTORS.allow() {
                    let name = &*listener.entrance.name;
                    tracing::warn!(
                        listener = name, %error, suppressed,
                        "accepting pauses; raise the descriptor limit (LimitNOFILE, ulimit -n)"
                    );
                }
                tokio::time::sleep(REST).await;
            }
            _ => {}
        }
    }
    if let Some(Ok((stream, peer))) = waiting {
        // One more than there is room for, and no other.
        admit(&listener, stream, peer, listener.gate.try_enter());
    }
    if *stop.borrow() == Until::Now {
        return;
    }
    // As many as were there: the runtime's own budget would end it earlier.
    for _ in 0..BACKLOG {
        let Some(room) = listener.gate.try_enter() else { return };
        match tokio::task::unconstrained(socket.next()).now_or_never() {
            Some(Ok((stream, peer))) => admit(&listener, stream, peer, Some(room)),
            _ => return,
        }
    }
}

/// Room for a connection; until there is some, the others stay in the socket's queue.
pub(super) async fn room<A>(listener: &Listener<A>) -> Room {
    match listener.gate.try_enter() {
        Some(room) => room,
        None => {
            listener.metrics.paused_by_limit.inc();
            listener.gate.enter().await
        }
    }
}

/// Whether only the connection to be accepted was lost (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Everything that a connection holds as long as it is open.
pub(super) struct Held {
    _room: Option<Room>,
    visit: Option<Visit>,
    _open: Open,
    counted: Gauge,
}

impl Held {
    /// Counts a connection as open.
    pub(super) fn new<A>(listener: &Listener<A>, room: Option<Room>, visit: Option<Visit>) -> Self {
        listener.metrics.open.inc();
        let (open, counted) = (listener.drain.open_connection(), listener.metrics.open.clone());
        Self { _room: room, visit, _open: open, counted }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.counted.dec();
    }
}

fn admit<A, S>(listener: &Arc<Listener<A>>, stream: S, peer: Option<SocketAddr>, room: Option<Room>)
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport + Look + AsRawFd,
{
    let expects_header = listener.expects_header(peer);
    // Before the header the client is not known.
    let visit = if expects_header { Some(None) } else { visit(listener, peer) };
    let Some(visit) = visit else { return };
    listener.metrics.accepted.inc();
    let held = Held::new(listener, room, visit);
    let (listener, own) = (listener.clone(), Ends { peer, local: stream.local() });
    if expects_header {
        tokio::spawn(introduce(listener, stream, own, held));
    } else {
        begin(listener, stream, own, BytesMut::new(), held);
    }
}

/// Counts a connection of a client that is no trusted proxy; `None` if it has too many.
fn visit<A>(listener: &Listener<A>, peer: Option<SocketAddr>) -> Option<Option<Visit>> {
    let ip = peer.map(|p| p.ip().to_canonical());
    let counted = ip.filter(|ip| !listener.entrance.trusted_proxies.contains(*ip));
    let visit = counted.map_or(Some(None), |ip| listener.gate.visit(ip));
    if visit.is_none() {
        listener.metrics.per_client.inc();
    }
    visit
}

/// Reads the PROXY header, in a task that ends with it: its buffer does too.
async fn introduce<A, S>(listener: Arc<Listener<A>>, mut stream: S, own: Ends, mut held: Held)
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport + Look + AsRawFd,
{
    let mut taken = BytesMut::new();
    let reading = proxy_protocol::read(&mut stream, &mut taken);
    let read = tokio::select! {
        read = in_time(listener.handshake_timeout, reading) => read.unwrap_or(Err(Lack::Late)),
        () = listener.grace_over() => return,
    };
    let Some((ends, taken)) = listener.introduced(own, read, &taken) else { return };
    let Some(visit) = visit(&listener, ends.peer) else { return };
    held.visit = visit;
    begin(listener, stream, ends, taken, held);
}

/// Begins to serve a connection; `taken` was read of it already.
fn begin<A, S>(listener: Arc<Listener<A>>, stream: S, ends: Ends, taken: BytesMut, held: Held)
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport + AsRawFd,
{
    if listener.tls.is_none() {
        let facts = connection(&listener, ends, None);
        let mut wire = wire(&listener, stream, facts);
        wire.begin(Framing::Length(0), taken);
        tokio::spawn(serve(listener, wire, false, held));
    } else if taken.is_empty() {
        tokio::spawn(shake(listener, stream, ends, held));
    } else {
        // What begins as a PROXY header does is no TLS.
        listener.metrics.handshake_failures.inc();
    }
}

/// The TLS handshake, in a task that ends with it: its future is large.
async fn shake<A, S>(listener: Arc<Listener<A>>, stream: S, ends: Ends, held: Held)
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport + AsRawFd,
{
    let Some(acceptor) = &listener.tls else { return };
    let handshake = acceptor.accept(stream);
    let shaken = tokio::select! {
        shaken = in_time(listener.handshake_timeout, handshake) => shaken,
        () = listener.grace_over() => return,
    };
    let stream = match shaken {
        Some(Ok(stream)) => Box::new(stream),
        Some(Err(error)) => {
            listener.metrics.handshake_failures.inc();
            tracing::debug!(listener = &*listener.entrance.name, %error, "TLS handshake failed");
            return;
        }
        None => {
            listener.metrics.handshake_failures.inc();
            return;
        }
    };
    let session = stream.get_ref().1;
    let is_h2 = session.alpn_protocol() == Some(b"h2");
    let tls = facts(session);
    let counter =
        if tls.version == "TLSv1.3" { &listener.metrics.tls13 } else { &listener.metrics.tls12 };
    counter.inc();
    let facts = connection(&listener, ends, Some(tls));
    let mut wire = wire(&listener, stream, facts);
    if is_h2 {
        wire.begin_h2(BytesMut::new());
    }
    tokio::spawn(serve(listener, wire, is_h2, held));
}

fn facts(session: &rustls::ServerConnection) -> Tls {
    let version = match session.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
        _ => "TLSv1.2",
    };
    let suite = session.negotiated_cipher_suite();
    let cipher = suite.and_then(|suite| suite.suite().as_str()).unwrap_or_default();
    Tls::new(version, cipher, session.server_name().map(Into::into))
}

fn connection<A>(listener: &Listener<A>, ends: Ends, tls: Option<Tls>) -> Connection {
    let (entrance, ending) = (listener.entrance.clone(), listener.drain.ending());
    Connection::new(entrance, ends.peer, ends.local, tls, ending)
}

/// The wire of a connection that has these facts.
pub(super) fn wire<A, S>(listener: &Listener<A>, stream: S, facts: Connection) -> Box<Wire<S>>
where
    S: Transport,
{
    let arrival = Arrival::new(Arc::new(facts), listener.drain.watch());
    let slot = listener.idle.enter(stream.descriptor());
    Wire::new(stream, arrival, slot)
}

/// Serves a connection to its end.
#[expect(clippy::manual_async_fn, reason = "an `async fn` keeps room for each argument twice")]
pub(super) fn serve<A, S>(
    listener: Arc<Listener<A>>,
    wire: Box<Wire<S>>,
    is_h2: bool,
    held: Held,
) -> impl Future<Output = ()> + Send
where
    A: HttpServerApp + Send + Sync + 'static,
    S: Transport,
{
    async move {
        let h2 = if is_h2 { Some(wire) } else { h1::serve(&listener, wire).await };
        if let Some(wire) = h2 {
            // Boxed: most connections are HTTP/1 and must not keep room for it.
            Box::pin(h2::serve(&listener, wire)).await;
        }
        drop(held);
    }
}

/// What a future gives within a time; `None` if it takes longer.
pub(super) async fn in_time<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    match limit {
        Some(limit) => tokio::time::timeout(limit, future).await.ok(),
        None => Some(future.await),
    }
}
