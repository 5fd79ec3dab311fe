//! One exchange piece by piece, in whatever version its client speaks.

use super::client::Request;
use super::h2::{Exchange, H2, next_piece, read_trailers, write};
use super::raw::Raw;
use super::response::{Response, read_head};
use super::wire::{Framing, Headers, Reader, Writer, chunk, last_chunk};
use super::within;
use bytes::Bytes;
use h2::client::ResponseFuture;
use h2::{RecvStream, SendStream};

/// An exchange that the test takes step by step. Dropped, it is a client that leaves: on HTTP/1
/// the connection closes, on HTTP/2 the stream is reset.
pub struct Flow {
    up: Upload,
    down: Download,
}

/// The request's side of a [`Flow`].
pub enum Upload {
    /// By this version.
    H1 { writer: Writer, chunked: bool },
    /// By this version.
    H2(SendStream<Bytes>),
}

/// The response's side of a [`Flow`].
pub enum Download {
    /// By this version.
    H1 { reader: Reader, method: String, framing: Option<Framing>, trailers: Headers },
    /// By this version.
    H2 { response: Option<ResponseFuture>, body: Option<RecvStream>, connection: H2 },
}

impl Flow {
    pub(super) async fn open(request: Request) -> Self {
        let chunked = request.chunked;
        if request.client.h2 {
            let mut connection = request.client.open_h2().await;
            let ended = !chunked && request.headers.one("content-length").is_none();
            let head = connection.head(&request);
            let Exchange { response, send, body } = connection.begin(head, ended).await;
            let down = Download::H2 { response, body, connection };
            return Self { up: Upload::H2(send), down };
        }
        let Raw { reader, mut writer, .. } = request.client.raw().await;
        let sent = within("a head to be sent", writer.write(&request.head())).await;
        sent.expect("the connection takes a head");
        let (method, trailers) = (request.method, Headers::default());
        let down = Download::H1 { reader, method, framing: None, trailers };
        Self { up: Upload::H1 { writer, chunked }, down }
    }

    /// Sends bytes of the body, as fast as the peer takes them.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) {
        self.up.write(bytes).await;
    }

    /// Ends the body.
    pub async fn finish(&mut self) {
        self.up.finish().await;
    }

    /// The head of the answer, as soon as it comes.
    pub async fn head(&mut self) -> Response {
        self.down.head().await
    }

    /// The next bytes of the answer's body, after [`Self::head`]; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, String>> {
        self.down.piece().await
    }

    /// Reads until so many bytes have come, and gives them.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            let piece = self.piece().await.expect("more of the body");
            bytes.extend(piece.expect("more of the body"));
        }
        bytes
    }

    /// Reads the rest of the body, piece by piece; an error says how it broke off.
    pub async fn rest(&mut self, take: impl FnMut(&[u8])) -> Result<(), String> {
        self.down.rest(take).await
    }

    /// What came after the body, when [`Self::piece`] has given `None`.
    pub async fn trailers(&mut self) -> Headers {
        self.down.trailers().await
    }

    /// Its two sides, to take at the same time.
    pub fn split(self) -> (Upload, Download) {
        (self.up, self.down)
    }

    /// Ends the whole connection at once, as a client that is gone.
    pub fn vanish(self) {
        if let Download::H2 { connection, .. } = self.down {
            connection.abort();
        }
    }
}

impl Upload {
    /// Sends bytes of the body, as fast as the peer takes them.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        let written = within("a piece of the body to be sent", async {
            match self {
                Self::H1 { writer, chunked: true } => Ok(writer.write(&chunk(&bytes)).await?),
                Self::H1 { writer, .. } => Ok(writer.write(&bytes).await?),
                Self::H2(send) => write(send, bytes, false).await.map_err(std::io::Error::other),
            }
        });
        written.await.expect("the connection takes bytes");
    }

    /// Ends the body.
    pub async fn finish(&mut self) {
        match self {
            Self::H1 { writer, chunked: true } => {
                let end = writer.write(&last_chunk(&Headers::default())).await;
                end.expect("the connection takes the end");
            }
            Self::H1 { .. } => {}
            Self::H2(send) => {
                let end = write(send, Bytes::new(), true).await;
                end.expect("the stream takes the end");
            }
        }
    }
}

impl Download {
    /// The head of the answer, as soon as it comes.
    pub async fn head(&mut self) -> Response {
        match self {
            Self::H1 { reader, method, framing, .. } => {
                let read = within("a head", read_head(reader, method)).await;
                let (response, framed) = read.unwrap_or_else(|broken| panic!("{broken:?}"));
                *framing = Some(framed);
                response
            }
            Self::H2 { response, body, .. } => {
                let awaited = response.take().expect("the head was not read before");
                let (head, stream) = within("a head", awaited).await.expect("a head").into_parts();
                *body = Some(stream);
                Response {
                    status: head.status.as_u16(),
                    version: "HTTP/2.0".to_owned(),
                    headers: Headers::from(&head.headers),
                    ..Response::default()
                }
            }
        }
    }

    /// The next bytes of the answer's body, after [`Self::head`]; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, String>> {
        let read = "the head was read";
        match self {
            Self::H1 { reader, framing, trailers, .. } => {
                let piece = reader.piece(framing.as_mut().expect(read), trailers);
                let piece = within("a piece of the body", piece).await;
                piece.map_err(|e| e.to_string()).transpose()
            }
            Self::H2 { body, .. } => {
                let piece = next_piece(body.as_mut().expect(read));
                let piece = within("a piece of the body", piece).await?;
                Some(piece.map_err(|e| e.to_string()))
            }
        }
    }

    /// Reads the rest of the body, piece by piece; an error says how it broke off.
    pub async fn rest(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), String> {
        while let Some(piece) = self.piece().await {
            take(&piece?);
        }
        Ok(())
    }

    /// What came after the body, when [`Self::piece`] has given `None`.
    pub async fn trailers(&mut self) -> Headers {
        match self {
            Self::H1 { trailers, .. } => std::mem::take(trailers),
            Self::H2 { body, .. } => read_trailers(body.as_mut().expect("the head was read")).await,
        }
    }
}
