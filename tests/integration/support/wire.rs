//! HTTP/1 as it is on the wire: the bytes stay visible.

use bytes::{Buf, Bytes, BytesMut};
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};

/// What a connection is made of: TCP, TLS or a unix socket.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// Any connection.
pub type Stream = Box<dyn Io>;

/// Header fields in the order and the case of the wire.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The value of the first field of this name, in any case.
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The values of all fields of this name, in any case.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let same = self.0.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The names as they were written.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Adds a field at the end.
    pub fn push(&mut self, name: &str, value: impl fmt::Display) {
        self.0.push((name.to_owned(), value.to_string()));
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.iter().map(|(name, value)| (name, value))).finish()
    }
}

impl fmt::Display for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| write!(f, "{name}: {value}\r\n"))
    }
}

impl From<&http::HeaderMap> for Headers {
    fn from(map: &http::HeaderMap) -> Self {
        let text = |value: &http::HeaderValue| text(value.as_bytes());
        Self(map.iter().map(|(name, value)| (name.to_string(), text(value))).collect())
    }
}

/// The first line and the fields of a message.
#[derive(Clone, Debug, Default)]
pub struct Head {
    /// Exactly the bytes received, up to and with the empty line.
    pub raw: Bytes,
    /// The first line, without its end.
    pub start: String,
    /// The fields.
    pub headers: Headers,
}

impl Head {
    fn parse(raw: Bytes) -> Result<Self> {
        let all = text(&raw);
        let mut lines = all.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let mut headers = Headers::default();
        for line in lines.take_while(|line| !line.is_empty()) {
            let Some((name, value)) = line.split_once(':') else {
                return Err(invalid(format!("no header field: {line:?}")));
            };
            headers.push(name, value.trim());
        }
        Ok(Self { raw, start, headers })
    }

    /// The n-th word of the first line.
    pub fn word(&self, n: usize) -> &str {
        self.start.splitn(3, ' ').nth(n).unwrap_or_default()
    }

    /// Whether a list field holds this token.
    pub fn lists(&self, name: &str, token: &str) -> bool {
        let values = self.headers.all(name).join(",");
        values.split(',').any(|item| item.trim().eq_ignore_ascii_case(token))
    }

    /// How the body ends, if `bare` says what a message without length and chunks has.
    pub fn framing(&self, bare: Framing) -> Result<Framing> {
        if self.lists("transfer-encoding", "chunked") {
            return Ok(Framing::Chunked);
        }
        match self.headers.one("content-length") {
            Some(length) => length.parse().map(Framing::Length).map_err(invalid),
            None => Ok(bare),
        }
    }
}

/// How far a body still goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes more.
    Length(u64),
    /// Chunks, and the next byte begins a chunk's size.
    Chunked,
    /// So many bytes more of this chunk.
    Chunk(u64),
    /// Until the connection ends.
    Close,
}

/// The direction that we read, as HTTP/1 messages.
pub struct Reader {
    half: ReadHalf<Stream>,
    buffer: BytesMut,
}

/// The direction that we write.
pub struct Writer(WriteHalf<Stream>);

/// The two directions of a connection.
pub fn split(io: Stream) -> (Reader, Writer) {
    let (reader, writer) = tokio::io::split(io);
    (Reader { half: reader, buffer: BytesMut::new() }, Writer(writer))
}

/// The connection again, and what was read from it but not used.
pub fn join(reader: Reader, writer: Writer) -> (Stream, Bytes) {
    (reader.half.unsplit(writer.0), reader.buffer.freeze())
}

impl Writer {
    /// Sends bytes, all at once.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }

    /// Ends this direction.
    pub async fn finish(&mut self) -> Result<()> {
        self.0.shutdown().await
    }
}

impl Reader {
    /// The next head; `None` if the connection ended before its first byte.
    pub async fn head(&mut self) -> Result<Option<Head>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                return Head::parse(self.take(end + 4)).map(Some);
            }
            if self.fill().await? == 0 {
                let nothing = self.buffer.is_empty();
                return if nothing { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next bytes of a body as they came; `None` at its proper end.
    pub async fn piece(
        &mut self,
        framing: &mut Framing,
        trailers: &mut Headers,
    ) -> Result<Option<Bytes>> {
        loop {
            match framing {
                Framing::Length(0) => return Ok(None),
                Framing::Length(left) => {
                    let bytes = self.some(*left).await?;
                    *left -= bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Framing::Chunk(0) => {
                    self.line().await?;
                    *framing = Framing::Chunked;
                }
                Framing::Chunk(left) => {
                    let bytes = self.some(*left).await?;
                    *left -= bytes.len() as u64;
                    return Ok(Some(bytes));
                }
                Framing::Chunked => {
                    let line = self.line().await?;
                    let size = line.split(';').next().unwrap_or_default().trim();
                    match u64::from_str_radix(size, 16).map_err(invalid)? {
                        0 => {
                            *trailers = self.trailers().await?;
                            *framing = Framing::Length(0);
                        }
                        size => *framing = Framing::Chunk(size),
                    }
                }
                Framing::Close => {
                    let ended = self.buffer.is_empty() && self.fill().await? == 0;
                    return Ok((!ended).then(|| self.buffer.split().freeze()));
                }
            }
        }
    }

    /// Whatever comes next; nothing at the end of the connection.
    pub async fn any(&mut self) -> Result<Bytes> {
        if self.buffer.is_empty() {
            self.fill().await?;
        }
        Ok(self.buffer.split().freeze())
    }

    /// Returns when the peer has ended its direction or reset it; keeps what comes before.
    pub async fn ended(&mut self) {
        while self.fill().await.is_ok_and(|read| read > 0) {}
    }

    /// Reads more, and says how much.
    pub async fn fill(&mut self) -> Result<usize> {
        if self.buffer.len() == self.buffer.capacity() {
            self.buffer.reserve(16 * 1024);
        }
        self.half.read_buf(&mut self.buffer).await
    }

    /// What was read and not used yet.
    pub fn unread(&self) -> &[u8] {
        &self.buffer
    }

    /// Takes so many of the unread bytes.
    pub fn take(&mut self, count: usize) -> Bytes {
        self.buffer.split_to(count).freeze()
    }

    async fn some(&mut self, at_most: u64) -> Result<Bytes> {
        if self.buffer.is_empty() && self.fill().await? == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(self.take(self.buffer.len().min(usize::try_from(at_most).unwrap_or(usize::MAX))))
    }

    async fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.take(end);
                self.buffer.advance(2);
                return Ok(text(&line));
            }
            if self.fill().await? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    async fn trailers(&mut self) -> Result<Headers> {
        let mut trailers = Headers::default();
        loop {
            let line = self.line().await?;
            match line.split_once(':') {
                Some((name, value)) => trailers.push(name, value.trim()),
                None if line.is_empty() => return Ok(trailers),
                None => return Err(invalid(format!("no trailer: {line:?}"))),
            }
        }
    }
}

/// A chunk of a body.
pub fn chunk(bytes: &[u8]) -> Vec<u8> {
    // An empty chunk would end the body.
    if bytes.is_empty() {
        return Vec::new();
    }
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

/// The end of a body in chunks.
pub fn last_chunk(trailers: &Headers) -> Vec<u8> {
    format!("0\r\n{trailers}\r\n").into_bytes()
}

/// Where a sequence of bytes begins.
pub fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// Bytes as text, for people.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn invalid(why: impl fmt::Display) -> Error {
    Error::new(ErrorKind::InvalidData, why.to_string())
}
