//! What an origin has seen.

use crate::support::tls::Hello;
use crate::support::wire::Headers;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use tokio::sync::watch;

/// What an origin has seen so far.
#[derive(Default)]
pub struct Seen {
    /// Every request, in the order of their heads.
    pub requests: Vec<Received>,
    /// Connections that came.
    pub connections: usize,
    /// Connections that are open.
    pub open: usize,
    /// Connections that the peer closed.
    pub closed: usize,
}

/// A request as an origin got it.
#[derive(Clone, Debug, Default)]
pub struct Received {
    /// The number of its connection, from 1.
    pub connection: usize,
    /// The PROXY header of its connection.
    pub proxy_header: Bytes,
    /// What was said in the TLS handshake of its connection.
    pub hello: Hello,
    /// Exactly the bytes of the head, on HTTP/1.
    pub raw: Bytes,
    /// The method.
    pub method: String,
    /// The target as it was sent.
    pub target: String,
    /// The version, such as `HTTP/1.1`.
    pub version: String,
    /// The scheme, on HTTP/2.
    pub scheme: Option<String>,
    /// The authority, on HTTP/2.
    pub authority: Option<String>,
    /// The fields; in the wire's case on HTTP/1.
    pub headers: Headers,
    /// The body so far, at most its first 8 MiB.
    pub body: Vec<u8>,
    /// The length of the body so far.
    pub length: u64,
    pub(super) hash: Sha256,
    /// What came after the body.
    pub trailers: Headers,
    /// Whether all of it has come.
    pub complete: bool,
    /// Whether the peer left before it had the whole answer.
    pub cancelled: bool,
}

impl Received {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    /// The SHA-256 of the body so far, in hexadecimal.
    pub fn sha256(&self) -> String {
        format!("{:x}", self.hash.clone().finalize())
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// The place of one request among those seen.
pub(super) struct Record {
    seen: Arc<watch::Sender<Seen>>,
    index: usize,
}

impl Record {
    /// Adds a request to those seen.
    pub(super) fn begin(seen: &Arc<watch::Sender<Seen>>, request: Received) -> Self {
        let mut index = 0;
        seen.send_modify(|seen| {
            index = seen.requests.len();
            seen.requests.push(request);
        });
        Self { seen: Arc::clone(seen), index }
    }

    pub(super) fn request(&self) -> Received {
        self.seen.borrow().requests[self.index].clone()
    }

    pub(super) fn piece(&self, bytes: &[u8]) {
        self.change(|request| {
            request.length += bytes.len() as u64;
            request.hash.update(bytes);
            let room = (8usize << 20).saturating_sub(request.body.len());
            request.body.extend(&bytes[..room.min(bytes.len())]);
        });
    }

    pub(super) fn complete(&self, trailers: Headers) {
        self.change(|request| {
            request.trailers = trailers;
            request.complete = true;
        });
    }

    pub(super) fn cancelled(&self) {
        self.change(|request| request.cancelled = true);
    }

    fn change(&self, change: impl FnOnce(&mut Received)) {
        self.seen.send_modify(|seen| change(&mut seen.requests[self.index]));
    }
}
