//! A demo on a port of its own, and a client that sees the bytes of HTTP/1.

use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A running demo of the name `test`; dropping it stops it.
pub(super) struct Demo {
    address: std::net::SocketAddr,
    task: JoinHandle<()>,
}

impl Demo {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { address, task: tokio::spawn(super::serve(listener, "test".into())) }
    }

    pub(super) async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) async fn connect(&self) -> Client {
        Client(BufReader::new(self.stream().await))
    }

    pub(super) async fn get(&self, path: &str) -> Reply {
        let mut client = self.connect().await;
        client.send(&format!("GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n")).await;
        client.reply().await
    }

    pub(super) async fn post(&self, path: &str, body: &[u8]) -> Reply {
        let mut client = self.connect().await;
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nHost: demo\r\nContent-Length: {length}\r\n\r\n");
        client.send(&head).await;
        client.0.write_all(body).await.unwrap();
        client.reply().await
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One connection.
pub(super) struct Client(BufReader<TcpStream>);

impl Client {
    pub(super) fn address(&self) -> String {
        self.0.get_ref().local_addr().unwrap().to_string()
    }

    pub(super) async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// The next response without its body.
    pub(super) async fn head(&mut self) -> Reply {
        let first = self.line().await;
        let status = first.split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line().await;
            let Some((name, value)) = line.split_once(": ") else {
                return Reply { status, headers, body: Vec::new() };
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }

    /// The next response with its body, by length or in chunks.
    pub(super) async fn reply(&mut self) -> Reply {
        let mut reply = self.head().await;
        if let Some(length) = reply.header("content-length") {
            reply.body = self.exactly(length.parse().unwrap()).await;
        } else if reply.header("transfer-encoding").is_some() {
            loop {
                let chunk = self.chunk().await;
                if chunk.is_empty() {
                    break;
                }
                reply.body.extend_from_slice(chunk.as_bytes());
            }
        }
        reply
    }

    /// The next chunk of a body; the last one is empty.
    pub(super) async fn chunk(&mut self) -> String {
        let size = usize::from_str_radix(&self.line().await, 16).unwrap();
        let chunk = self.exactly(size).await;
        assert_eq!(self.line().await, "");
        String::from_utf8(chunk).unwrap()
    }

    /// All that comes until the connection is closed.
    pub(super) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        soon(self.0.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        soon(self.0.read_line(&mut line)).await.unwrap();
        line.trim_end().to_owned()
    }

    async fn exactly(&mut self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size];
        soon(self.0.read_exact(&mut bytes)).await.unwrap();
        bytes
    }
}

/// What a working demo does long before this gives up.
pub(super) async fn soon<T>(awaited: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), awaited).await.expect("nothing came in time")
}

/// A response as it came.
pub(super) struct Reply {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).first().copied()
    }

    pub(super) fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(given, _)| given == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}
