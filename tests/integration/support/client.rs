//! Clients: where requests go and how, and one request on a connection of its own.

use super::flow::Flow;
use super::h2::H2;
use super::raw::Raw;
use super::response::{Broken, Response};
use super::tls::{self, Agreed, Tls};
use super::wire::{Headers, Stream, chunk, last_chunk};
use super::within;
use bytes::Bytes;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_tungstenite::{WebSocketStream, tungstenite};

/// Where requests go, and how.
#[derive(Clone)]
pub struct Client {
    address: String,
    own: Option<IpAddr>,
    first: Vec<Vec<u8>>,
    tls: Option<Tls>,
    pub(super) h2: bool,
}

impl Client {
    /// A client by HTTP/1 of `host:port`, `unix:/path` or a URL without path; `https` speaks TLS.
    pub fn new(address: impl fmt::Display) -> Self {
        let url = address.to_string();
        let address = url.split_once("://").map_or(url.as_str(), |(_, address)| address);
        // What listens on every address is reached on loopback.
        let address = address.replace("0.0.0.0:", "127.0.0.1:").replace("[::]:", "[::1]:");
        let client = Self { address, own: None, first: Vec::new(), tls: None, h2: false };
        if url.starts_with("https://") { client.tls() } else { client }
    }

    /// Connects from this address; all of 127.0.0.0/8 are ours.
    pub fn from(mut self, own: [u8; 4]) -> Self {
        self.own = Some(own.into());
        self
    }

    /// Sends these bytes before everything else, even TLS.
    pub fn after(self, first: impl Into<Vec<u8>>) -> Self {
        self.after_parts([first.into()])
    }

    /// The same in parts, with a pause between them.
    pub fn after_parts(mut self, parts: impl IntoIterator<Item = Vec<u8>>) -> Self {
        self.first = parts.into_iter().collect();
        self
    }

    /// Speaks TLS, asks for `localhost` and believes any certificate.
    pub fn tls(self) -> Self {
        self.with_tls(|_| {})
    }

    /// Speaks TLS and asks for this name.
    pub fn sni(self, name: &str) -> Self {
        self.with_tls(|tls| tls.name = Some(name.to_owned()))
    }

    /// Speaks TLS with settings of the test's own.
    pub fn with_tls(mut self, change: impl FnOnce(&mut Tls)) -> Self {
        change(self.tls.get_or_insert_default());
        self
    }

    /// Speaks HTTP/2: by ALPN over TLS, by prior knowledge in clear text.
    pub fn h2(mut self) -> Self {
        self.h2 = true;
        self
    }

    /// Speaks `h1` or `h2`, as a document says it.
    pub fn speaking(mut self, protocol: &str) -> Self {
        self.h2 = protocol == "h2";
        self
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await
    }

    /// A request to fill in.
    pub fn request(&self, method: &str, target: &str) -> Request {
        Request {
            client: self.clone(),
            method: method.to_owned(),
            target: target.to_owned(),
            host: None,
            headers: Headers::default(),
            body: None,
            chunked: false,
            trailers: Headers::default(),
            version: "HTTP/1.1",
        }
    }

    /// A raw HTTP/1 connection.
    pub async fn raw(&self) -> Raw {
        let (io, agreed) = self.connect().await.expect("a connection");
        Raw::new(io, agreed)
    }

    /// Sends bytes by HTTP/1, and after them a request that must never be answered; gives the one
    /// answer, after which the connection has ended.
    pub async fn only_answer(&self, bytes: &str) -> Response {
        let mut raw = self.raw().await;
        raw.write([bytes, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
        let method = if bytes.starts_with("HEAD ") { "HEAD" } else { "GET" };
        let response = raw.response_to(method).await;
        raw.ended().await;
        response
    }

    /// A connection by HTTP/2.
    pub async fn open_h2(&self) -> H2 {
        let (io, agreed) = self.clone().h2().connect().await.expect("a connection");
        H2::open(io, agreed, self.tls.is_some(), self.authority()).await
    }

    /// A WebSocket, or the answer that refused it.
    pub async fn websocket(
        &self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<WebSocketStream<Stream>, Box<tungstenite::Error>> {
        let (io, _) = self.connect().await.expect("a connection");
        let url = format!("ws://{}{path}", self.authority());
        let mut request = tungstenite::client::IntoClientRequest::into_client_request(url).unwrap();
        for (name, value) in headers {
            let name = http::HeaderName::try_from(*name).unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let shaken = tokio_tungstenite::client_async(request, io);
        Ok(within("the WebSocket handshake", shaken).await?.0)
    }

    /// The connection itself, after the TLS handshake.
    pub async fn connect(&self) -> std::io::Result<(Stream, Option<Agreed>)> {
        within("a connection", async {
            let io: Stream = match self.address.strip_prefix("unix:") {
                Some(path) => {
                    let mut io = UnixStream::connect(path).await?;
                    io.write_all(&self.first.concat()).await?;
                    Box::new(io)
                }
                None => {
                    let mut io = match self.own {
                        Some(own) => {
                            let socket = TcpSocket::new_v4()?;
                            socket.bind((own, 0).into())?;
                            socket.connect(self.address.parse().expect("an address")).await?
                        }
                        None => TcpStream::connect(&self.address).await?,
                    };
                    io.set_nodelay(true)?;
                    for (n, part) in self.first.iter().enumerate() {
                        if n > 0 {
                            all_read(&io).await?;
                        }
                        io.write_all(part).await?;
                    }
                    Box::new(io)
                }
            };
            let Some(mut tls) = self.tls.clone() else { return Ok((io, None)) };
            if tls.alpn.is_empty() {
                tls.alpn.push(if self.h2 { "h2" } else { "http/1.1" });
            }
            let (io, agreed) = tls::connect(&tls, io).await?;
            Ok((io, Some(agreed)))
        })
        .await
    }

    fn authority(&self) -> String {
        if self.address.starts_with("unix:") { "localhost".into() } else { self.address.clone() }
    }
}

/// Waits until the other side, on this machine, has read all that was sent, or is gone.
async fn all_read(io: &TcpStream) -> std::io::Result<()> {
    let (ours, theirs) = (in_table(io.local_addr()?), in_table(io.peer_addr()?));
    loop {
        let table = std::fs::read_to_string("/proc/net/tcp")?;
        let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
        let theirs = rows.filter(|row| row[1] == theirs && row[2] == ours).map(|row| row[4]);
        // The bytes that wait to be sent and to be read.
        if theirs.into_iter().all(|queues| queues.ends_with(":00000000")) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// An address of IPv4 as the kernel's table of connections writes it.
fn in_table(address: SocketAddr) -> String {
    let SocketAddr::V4(address) = address else { panic!("{address} is in another table") };
    let ip = u32::from_ne_bytes(address.ip().octets());
    format!("{ip:08X}:{:04X}", address.port())
}

/// A request to fill in and send.
#[derive(Clone)]
pub struct Request {
    pub(super) client: Client,
    pub(super) method: String,
    pub(super) target: String,
    host: Option<String>,
    pub(super) headers: Headers,
    pub(super) body: Option<Bytes>,
    pub(super) chunked: bool,
    pub(super) trailers: Headers,
    version: &'static str,
}

impl Request {
    /// Adds a field, spelled like this.
    pub fn header(mut self, name: &str, value: impl fmt::Display) -> Self {
        self.headers.push(name, value);
        self
    }

    /// Asks for this host instead of the address.
    pub fn host(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Sends a body and its length.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends the body without announcing its length: in chunks, on HTTP/1.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// Sends a trailer after the body.
    pub fn trailer(mut self, name: &str, value: &str) -> Self {
        self.trailers.push(name, value);
        self.chunked = true;
        self
    }

    /// Speaks HTTP/1.0.
    pub fn http10(mut self) -> Self {
        self.version = "HTTP/1.0";
        self
    }

    /// The whole answer; a broken one fails the test.
    pub async fn send(self) -> Response {
        let what = format!("{} {}", self.method, self.target);
        self.try_send().await.unwrap_or_else(|broken| panic!("{what}: {broken:?}"))
    }

    /// The whole answer, or how it broke.
    pub async fn try_send(self) -> Result<Response, Broken> {
        let what = format!("the answer to {} {}", self.method, self.target);
        within(&what, async {
            let connected = self.client.connect().await;
            let (io, agreed) = connected.map_err(|e| Broken::BeforeHead(e.to_string()))?;
            if self.client.h2 {
                let tls = self.client.tls.is_some();
                let h2 = H2::open(io, agreed, tls, self.authority()).await;
                return h2.try_send(self).await;
            }
            Raw::new(io, agreed).exchange(&self.bytes(), &self.method).await
        })
        .await
    }

    /// Sends the head, and leaves the rest to the test: the body, if [`Self::chunked`] or a
    /// `Content-Length` announces one, and the answer.
    pub async fn open(self) -> Flow {
        Flow::open(self).await
    }

    /// The request as HTTP/1 sends it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        if self.chunked {
            for piece in self.body.iter().flat_map(|body| body.chunks(16 * 1024)) {
                bytes.extend(chunk(piece));
            }
            bytes.extend(last_chunk(&self.trailers));
        } else {
            bytes.extend(self.body.iter().flatten());
        }
        bytes
    }

    /// The head as HTTP/1 sends it.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = self.headers.clone();
        if head.one("host").is_none() {
            head.0.insert(0, ("Host".to_owned(), self.authority()));
        }
        if self.chunked {
            head.push("Transfer-Encoding", "chunked");
        } else if let Some(body) = &self.body {
            head.push("Content-Length", body.len());
        }
        format!("{} {} {}\r\n{head}\r\n", self.method, self.target, self.version).into_bytes()
    }

    pub(super) fn authority(&self) -> String {
        self.host.clone().unwrap_or_else(|| self.client.authority())
    }
}

/// Drives one future beside another, until that one ends.
pub(super) async fn meanwhile<T>(beside: impl Future, main: impl Future<Output = T>) -> T {
    tokio::pin!(beside, main);
    tokio::select! {
        biased;
        done = &mut main => return done,
        _ = &mut beside => {}
    }
    main.await
}
