//! A scripted server to stand behind the edge, on a port of its own.

mod h1;
mod h2;
mod seen;
mod serving;

pub use seen::{Received, Seen};

use super::certs::Certificate;
use super::reply::{Gate, Reply};
use super::tls::Hello;
use super::{tls, within};
use bytes::Bytes;
use serving::{Serving, accept_tcp, accept_unix};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server to script; it speaks HTTP/1 in clear text on `127.0.0.1` unless told otherwise.
pub fn origin() -> Builder {
    Builder {
        script: Script {
            paths: Vec::new(),
            any: None,
            before_body: false,
            reads_body: None,
            idle: None,
        },
        place: Place::Tcp(([127, 0, 0, 1], 0).into()),
        conduct: Conduct::Serve,
        security: None,
        h2c: false,
        introduced: false,
    }
}

type Handler = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// Describes an [`Origin`].
pub struct Builder {
    script: Script,
    place: Place,
    conduct: Conduct,
    security: Option<tls::Security>,
    h2c: bool,
    introduced: bool,
}

enum Place {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Conduct {
    Serve,
    Refuse,
    Reset,
}

struct Script {
    paths: Vec<(String, Handler)>,
    any: Option<Handler>,
    before_body: bool,
    reads_body: Option<Gate>,
    idle: Option<Duration>,
}

impl Builder {
    /// Answers a path with 200 and a body.
    pub fn reply(self, path: &str, body: &str) -> Self {
        self.answer(path, Reply::ok(body.to_owned()))
    }

    /// Answers a path with a status and no body.
    pub fn status(self, path: &str, status: u16) -> Self {
        self.answer(path, Reply::new(status))
    }

    /// Answers a path.
    pub fn answer(mut self, path: &str, reply: Reply) -> Self {
        self.script.paths.push((path.to_owned(), Arc::new(move |_| reply.clone())));
        self
    }

    /// Answers every path that has no answer of its own.
    pub fn handler(mut self, handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        self.script.any = Some(Arc::new(handler));
        self
    }

    /// Answers every request with exactly these bytes, and keeps the connection.
    pub fn raw(self, bytes: impl Into<Bytes>) -> Self {
        let reply = Reply::wire(bytes);
        self.handler(move |_| reply.clone())
    }

    /// Answers every request with exactly these bytes, and closes the connection.
    pub fn raw_then_close(self, bytes: impl Into<Bytes>) -> Self {
        let reply = Reply::wire(bytes).then_close();
        self.handler(move |_| reply.clone())
    }

    /// Takes requests and never answers.
    pub fn hanging(self) -> Self {
        self.handler(|_| Reply::never())
    }

    /// Refuses connections, on a port that stays its own; it cannot count them.
    pub fn refusing(mut self) -> Self {
        self.conduct = Conduct::Refuse;
        self
    }

    /// Accepts connections and resets them.
    pub fn resetting(mut self) -> Self {
        self.conduct = Conduct::Reset;
        self
    }

    /// Answers when the head has come, and reads the body after.
    pub fn before_body(mut self) -> Self {
        self.script.before_body = true;
        self
    }

    /// Leaves bodies unread until the gate opens.
    pub fn reads_body_after(mut self, gate: &Gate) -> Self {
        self.script.reads_body = Some(gate.clone());
        self
    }

    /// Closes a connection on which no request came for so long.
    pub fn idle(mut self, time: Duration) -> Self {
        self.script.idle = Some(time);
        self
    }

    /// Speaks HTTP/2 by prior knowledge, and nothing else.
    pub fn h2c(mut self) -> Self {
        self.h2c = true;
        self
    }

    /// Speaks `h1` or `h2` in clear text, as a document says it.
    pub fn speaking(mut self, protocol: &str) -> Self {
        self.h2c = protocol == "h2";
        self
    }

    /// Wants a PROXY header at the beginning of every connection.
    pub fn introduced(mut self) -> Self {
        self.introduced = true;
        self
    }

    /// Speaks TLS, with HTTP/2 and HTTP/1 by ALPN.
    pub fn tls(self, certificate: &Certificate) -> Self {
        self.tls_with(certificate, &["h2", "http/1.1"])
    }

    /// Speaks TLS, with these protocols by ALPN.
    pub fn tls_with(mut self, certificate: &Certificate, alpn: &[&'static str]) -> Self {
        self.security = Some(tls::Security {
            certificate: certificate.clone(),
            alpn: alpn.to_vec(),
            clients: None,
            open: true,
        });
        self
    }

    /// Asks clients for certificates of these authorities, given as PEM; after [`Self::tls`].
    pub fn asking(mut self, authorities: &[&str]) -> Self {
        let security = self.security.as_mut().expect("an origin that speaks TLS");
        security.clients = Some(authorities.concat());
        self
    }

    /// Refuses clients without a certificate of these authorities; after [`Self::tls`].
    pub fn demanding(self, authorities: &[&str]) -> Self {
        let mut asking = self.asking(authorities);
        asking.security.as_mut().expect("it was just there").open = false;
        asking
    }

    /// Listens on this address, such as `[::1]:0`.
    pub fn at(mut self, address: impl fmt::Display) -> Self {
        self.place = Place::Tcp(address.to_string().parse().expect("an address"));
        self
    }

    /// Listens on a unix socket.
    pub fn unix(mut self, path: impl AsRef<Path>) -> Self {
        self.place = Place::Unix(path.as_ref().to_owned());
        self
    }

    /// Starts it.
    pub async fn start(self) -> Origin {
        let seen = Arc::new(watch::Sender::new(Seen::default()));
        let scheme = if self.security.is_some() { "https" } else { "http" };
        let conduct = self.conduct;
        let serving = Serving {
            script: Arc::new(self.script),
            seen: Arc::clone(&seen),
            acceptor: self.security.as_ref().map(tls::acceptor),
            hello: Hello::default(),
            h2c: self.h2c,
            introduced: self.introduced,
            header: Bytes::new(),
        };
        let mut held = None;
        let (endpoint, task) = match self.place {
            Place::Unix(path) => {
                let listener = UnixListener::bind(&path).expect("a unix socket");
                let task = tokio::spawn(accept_unix(listener, serving));
                (format!("unix:{}", path.display()), Some(task))
            }
            Place::Tcp(address) => {
                let socket = match address {
                    SocketAddr::V4(_) => TcpSocket::new_v4(),
                    SocketAddr::V6(_) => TcpSocket::new_v6(),
                };
                let socket = socket.expect("a socket");
                // Connections of whoever was there before may linger on a port that is named.
                socket.set_reuseaddr(address.port() != 0).expect("an address to use again");
                socket.bind(address).expect("a port");
                let address = socket.local_addr().expect("an address");
                let task = if conduct == Conduct::Refuse {
                    // Bound and not listening: connects fail, and nobody else gets the port.
                    held = Some(socket);
                    None
                } else {
                    let listener = socket.listen(1024).expect("a listener");
                    Some(tokio::spawn(accept_tcp(listener, serving, conduct)))
                };
                (format!("{scheme}://{address}"), task)
            }
        };
        Origin { endpoint, seen, conduct, task, _held: held }
    }
}

/// A running server; dropped, it closes all its connections.
pub struct Origin {
    endpoint: String,
    seen: Arc<watch::Sender<Seen>>,
    conduct: Conduct,
    task: Option<JoinHandle<()>>,
    _held: Option<TcpSocket>,
}

impl Origin {
    /// Its address as a document writes it, such as `http://127.0.0.1:1234`.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Its address without the scheme.
    pub fn address(&self) -> &str {
        self.endpoint.split_once("://").map_or(&self.endpoint, |(_, address)| address)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        let (_, port) = self.address().rsplit_once(':').expect("an origin with a port");
        port.parse().expect("a number")
    }

    /// How many requests came.
    pub fn hits(&self) -> usize {
        assert!(self.conduct == Conduct::Serve, "only an origin that serves counts requests");
        self.seen.borrow().requests.len()
    }

    /// The requests so far.
    pub fn requests(&self) -> Vec<Received> {
        self.seen.borrow().requests.clone()
    }

    /// The first request, when all of it has come.
    pub async fn request(&self) -> Received {
        self.until("a whole request", |s| s.requests.first().is_some_and(|r| r.complete)).await;
        self.requests().swap_remove(0)
    }

    /// How many connections came.
    pub fn connections(&self) -> usize {
        assert!(self.conduct != Conduct::Refuse, "a refused connection is not seen");
        self.seen.borrow().connections
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.seen.borrow().open
    }

    /// Waits until the peer has closed a connection.
    pub async fn closed(&self) {
        self.until("a closed connection", |seen| seen.closed > 0).await;
    }

    /// Waits until the peer has given up an exchange: closed its connection or reset its stream.
    pub async fn cancelled(&self) {
        self.until("a cancelled exchange", |seen| seen.requests.iter().any(|r| r.cancelled)).await;
    }

    /// Waits until what was seen holds something.
    pub async fn until(&self, what: &str, holds: impl FnMut(&Seen) -> bool) {
        let mut seen = self.seen.subscribe();
        let _ = within(&format!("{what} at the origin"), seen.wait_for(holds)).await;
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.endpoint)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.iter().for_each(JoinHandle::abort);
    }
}
