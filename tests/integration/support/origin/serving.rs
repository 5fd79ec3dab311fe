//! How an origin takes connections.

use super::seen::{Received, Record, Seen};
use super::{Conduct, Script, h1, h2};
use crate::support::proxy_protocol;
use crate::support::reply::Reply;
use crate::support::tls::Hello;
use crate::support::wire::Stream;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// What every connection of an origin needs.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) script: Arc<Script>,
    pub(super) seen: Arc<watch::Sender<Seen>>,
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) h2c: bool,
    pub(super) introduced: bool,
    /// The PROXY header of the one connection that this copy serves.
    pub(super) header: Bytes,
    /// Of the one connection that this copy serves.
    pub(super) hello: Hello,
}

impl Serving {
    async fn connection(mut self, mut io: Stream, socket: Option<std::net::TcpStream>) {
        let mut number = 0;
        self.seen.send_modify(|seen| {
            seen.connections += 1;
            seen.open += 1;
            number = seen.connections;
        });
        let _open = Open(Arc::clone(&self.seen));
        if self.introduced {
            let Ok(header) = proxy_protocol::read(&mut io).await else { return };
            self.header = header;
        }
        let (io, h2): (Stream, bool) = match &self.acceptor {
            None => (io, self.h2c),
            Some(acceptor) => {
                let io = match acceptor.accept(io).into_fallible().await {
                    Ok(io) => io,
                    Err((_, io)) => return part(io).await,
                };
                let session = io.get_ref().1;
                let h2 = session.alpn_protocol() == Some(b"h2");
                self.hello = Hello::of(session);
                (Box::new(io), h2)
            }
        };
        let closed = if h2 {
            h2::serve(io, number, &self).await
        } else {
            h1::serve(io, number, &self, socket).await
        };
        if closed == By::Peer {
            self.seen.send_modify(|seen| seen.closed += 1);
        }
    }

    pub(super) fn begin(&self, request: Received) -> Record {
        let (hello, proxy_header) = (self.hello.clone(), self.header.clone());
        Record::begin(&self.seen, Received { hello, proxy_header, ..request })
    }

    pub(super) async fn before_body(&self) {
        if let Some(gate) = &self.script.reads_body {
            gate.opened().await;
        }
    }

    pub(super) fn reply(&self, request: &Received) -> Reply {
        let scripted = self.script.paths.iter().find(|(path, _)| path == request.path());
        match scripted.map(|(_, handler)| handler).or(self.script.any.as_ref()) {
            Some(handler) => handler(request),
            None => Reply::new(404).body("this origin has no such path"),
        }
    }
}

/// Who ended a connection.
#[derive(PartialEq, Eq)]
pub(super) enum By {
    Peer,
    Us,
}

struct Open(Arc<watch::Sender<Seen>>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|seen| seen.open -= 1);
    }
}

pub(super) async fn accept_unix(listener: UnixListener, serving: Serving) {
    // Aborted with the set, the connections end with the origin.
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        connections.spawn(serving.clone().connection(Box::new(io), None));
    }
}

pub(super) async fn accept_tcp(listener: TcpListener, serving: Serving, conduct: Conduct) {
    let mut connections = JoinSet::new();
    while let Ok((io, _)) = listener.accept().await {
        let (io, socket) = with_socket(io).expect("a connection");
        if conduct == Conduct::Reset {
            serving.seen.send_modify(|seen| seen.connections += 1);
            reset_on_close(&socket);
            continue;
        }
        connections.spawn(serving.clone().connection(Box::new(io), Some(socket)));
    }
}

/// Leaves the peer time to read why: what it sends meanwhile would reset the alert away.
async fn part(mut io: Stream) {
    let _ = io.shutdown().await;
    let _ = tokio::time::timeout(Duration::from_secs(1), io.read_to_end(&mut Vec::new())).await;
}

/// A second hand on the socket, which stays reachable below TLS.
fn with_socket(io: TcpStream) -> std::io::Result<(TcpStream, std::net::TcpStream)> {
    io.set_nodelay(true)?;
    let io = io.into_std()?;
    let socket = io.try_clone()?;
    Ok((TcpStream::from_std(io)?, socket))
}

/// A reset overtakes what is still on its way, so it waits until that has surely arrived.
pub(super) async fn settle() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}

pub(super) fn reset_on_close(socket: &std::net::TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
