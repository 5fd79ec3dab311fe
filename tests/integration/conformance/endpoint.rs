//! An endpoint that understands nothing: it shows the bytes that came.

use crate::support::within;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Takes one connection after the other.
pub struct Endpoint(TcpListener);

impl Endpoint {
    /// One on a port of its own.
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a port"))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("an address")
    }

    /// Takes the next connection, insists that exactly these bytes come by it, and answers.
    pub async fn gets(&self, name: &str, expected: &str) {
        let mut begun = self.begins(name, expected).await;
        begun.0.write_all(ANSWER).await.expect("the edge takes an answer");
        begun.ends(name).await;
    }

    /// Takes the next connection, and insists that these bytes come by it and then its end.
    pub async fn gets_only(&self, name: &str, expected: &str) {
        self.begins(name, expected).await.ends(name).await;
    }

    /// Takes the next connection, and insists that these bytes come by it first.
    pub async fn begins(&self, name: &str, expected: &str) -> Begun {
        let accepted = within(&format!("{name} at the endpoint"), self.0.accept()).await;
        let (mut io, _) = accepted.expect("a connection");
        let mut read = Vec::new();
        within(&format!("{name}: {expected:?}"), async {
            while read.len() < expected.len() && expected.as_bytes().starts_with(&read) {
                let count = io.read_buf(&mut read).await.expect("more bytes");
                assert!(count > 0, "{name}: it broke off after {}", read.escape_ascii());
            }
        })
        .await;
        assert_eq!(shown(&read), shown(expected.as_bytes()), "{name}");
        Begun(io)
    }
}

/// A connection by which something came.
pub struct Begun(TcpStream);

impl Begun {
    /// Insists that nothing more comes before the edge closes; a reset counts as a close.
    pub async fn ends(mut self, name: &str) {
        let mut rest = Vec::new();
        let what = format!("{name}: the end of the connection");
        let _ = within(&what, self.0.read_to_end(&mut rest)).await;
        assert_eq!(shown(&rest), "", "{name}: more than it");
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
