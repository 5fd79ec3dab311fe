//! One exchange piece by piece, in whatever version its client speaks.

use super::client::Request;
use super::h2::{Exchange, H2};
use super::raw::Raw;
use super::response::{Response, read_head};
use super::wire::{Framing, Headers, chunk, last_chunk};
use super::within;
use bytes::Bytes;

/// An exchange that the test takes step by step. Dropped, it is a client that leaves: on HTTP/1
/// the connection closes, on HTTP/2 the stream is reset.
pub struct Flow(Side);

enum Side {
    H1 { raw: Raw, method: String, chunked: bool, framing: Option<Framing>, trailers: Headers },
    H2 { exchange: Exchange, connection: H2 },
}

impl Flow {
    pub(super) async fn open(request: Request) -> Self {
        let chunked = request.chunked;
        if request.client.h2 {
            let mut connection = request.client.open_h2().await;
            let ended = !chunked && request.headers.one("content-length").is_none();
            let head = connection.head(&request);
            let exchange = connection.begin(head, ended).await;
            return Self(Side::H2 { exchange, connection });
        }
        let mut raw = request.client.raw().await;
        raw.write(request.head()).await;
        let (method, trailers) = (request.method, Headers::default());
        Self(Side::H1 { raw, method, chunked, framing: None, trailers })
    }

    /// Sends bytes of the body, as fast as the peer takes them.
    pub async fn write(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        match &mut self.0 {
            Side::H1 { raw, chunked: true, .. } => raw.write(chunk(&bytes)).await,
            Side::H1 { raw, .. } => raw.write(bytes).await,
            Side::H2 { exchange, .. } => exchange.write(bytes, false).await,
        }
    }

    /// Ends the body.
    pub async fn finish(&mut self) {
        match &mut self.0 {
            Side::H1 { raw, chunked: true, .. } => {
                raw.write(last_chunk(&Headers::default())).await;
            }
            Side::H1 { .. } => {}
            Side::H2 { exchange, .. } => exchange.write(Bytes::new(), true).await,
        }
    }

    /// The head of the answer, as soon as it comes.
    pub async fn head(&mut self) -> Response {
        match &mut self.0 {
            Side::H1 { raw, method, framing, .. } => {
                let read = within("a head", read_head(&mut raw.reader, method)).await;
                let (response, framed) = read.unwrap_or_else(|broken| panic!("{broken:?}"));
                *framing = Some(framed);
                response
            }
            Side::H2 { exchange, .. } => {
                let head = exchange.head().await;
                Response {
                    status: head.status().as_u16(),
                    version: "HTTP/2.0".to_owned(),
                    headers: Headers::from(head.headers()),
                    ..Response::default()
                }
            }
        }
    }

    /// The next bytes of the answer's body, after [`Self::head`]; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, String>> {
        match &mut self.0 {
            Side::H1 { raw, framing, trailers, .. } => {
                let framing = framing.as_mut().expect("the head was read");
                let piece = raw.reader.piece(framing, trailers);
                let piece = within("a piece of the body", piece).await;
                piece.map_err(|e| e.to_string()).transpose()
            }
            Side::H2 { exchange, .. } => {
                let piece = exchange.piece().await?;
                Some(piece.map_err(|e| e.to_string()))
            }
        }
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
    pub async fn rest(&mut self, mut take: impl FnMut(&[u8])) -> Result<(), String> {
        while let Some(piece) = self.piece().await {
            take(&piece?);
        }
        Ok(())
    }

    /// What came after the body, when [`Self::piece`] has given `None`.
    pub async fn trailers(&mut self) -> Headers {
        match &mut self.0 {
            Side::H1 { trailers, .. } => std::mem::take(trailers),
            Side::H2 { exchange, .. } => exchange.trailers().await,
        }
    }

    /// Ends the whole connection at once, as a client that is gone.
    pub fn vanish(self) {
        match self.0 {
            Side::H1 { raw, .. } => drop(raw),
            Side::H2 { connection, .. } => connection.abort(),
        }
    }
}
