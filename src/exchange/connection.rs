//! Facts of a downstream connection, and of the listener it came in by.

use super::{ClientAddress, Ending};
use crate::net::{CidrSet, Via};
use pingora::protocols::tls::SslDigest;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What a listener lends to every exchange that comes in by it.
#[derive(Debug, PartialEq, Eq)]
pub struct Entrance {
    /// The listener's name in the document.
    pub name: Arc<str>,
    /// A number for the name, the same as long as the process lives.
    pub index: u16,
    /// Whose forwarded fields are believed.
    pub trusted_proxies: CidrSet,
    /// The one field that tells the client when the peer is trusted.
    pub client_address: ClientAddress,
    /// What goes into `Via`; `None` if nothing does.
    pub via: Option<Arc<Via>>,
    /// The limits on requests.
    pub limits: Limits,
}

/// Caps on one request; `None` is no cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time for the whole request head.
    pub header_timeout: Option<Duration>,
    /// Bytes of the request head.
    pub header_size: Option<u64>,
    /// Number of header fields.
    pub header_count: Option<u64>,
    /// Bytes of the request target, unless the route says otherwise.
    pub uri_size: Option<u64>,
    /// Bytes of the longest target that some route takes.
    pub longest_uri: Option<u64>,
    /// Bytes of the request body.
    pub body_size: Option<u64>,
    /// Bytes of a body that a client must send or take in a second.
    pub min_body_rate: Option<u64>,
}

/// What does not change while a connection lives.
#[derive(Debug)]
pub struct Connection {
    /// The listener it came in by.
    pub entrance: Arc<Entrance>,
    /// The address of the other side; `None` on a unix socket.
    pub peer: Option<SocketAddr>,
    /// The address that the other side connected to; `None` on a unix socket.
    pub local: Option<SocketAddr>,
    /// What the TLS handshake agreed on; `None` in clear text, where no room is kept for it.
    pub tls: Option<Box<Tls>>,
    /// Until when its streams go on.
    pub ending: Arc<Ending>,
}

impl Connection {
    /// A connection that came in by a listener.
    pub fn new(
        entrance: Arc<Entrance>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
        tls: Option<Tls>,
        ending: Arc<Ending>,
    ) -> Self {
        Self { entrance, peer, local, tls: tls.map(Box::new), ending }
    }

    /// The scheme of requests on it.
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// What a TLS handshake agreed on.
#[derive(Debug)]
pub struct Tls {
    /// `TLSv1.2` or `TLSv1.3`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: &'static str,
    /// The server name the client asked for.
    pub sni: Option<Box<str>>,
    /// The same as the engine wants to know it.
    pub digest: Arc<SslDigest>,
}

impl Tls {
    /// The facts of a handshake.
    pub fn new(version: &'static str, cipher: &'static str, sni: Option<Box<str>>) -> Self {
        let digest = Arc::new(SslDigest::new(cipher, version, None, None, Vec::new()));
        Self { version, cipher, sni, digest }
    }
}
