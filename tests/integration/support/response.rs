//! An answer as a client got it, whole or broken.

use super::wire::{self, Framing, Head, Headers, Reader};
use bytes::Bytes;
use std::fmt;

/// A whole answer.
#[derive(Clone, Default)]
pub struct Response {
    /// The final status.
    pub status: u16,
    /// The version of the head, such as `HTTP/1.1`.
    pub version: String,
    /// The fields; in the wire's case on HTTP/1.
    pub headers: Headers,
    /// The body without framing.
    pub body: Bytes,
    /// What came after the body.
    pub trailers: Headers,
    /// The interim answers before it, such as 103.
    pub interim: Vec<Head>,
    /// Exactly the bytes of the head, on HTTP/1.
    pub raw: Bytes,
}

impl Response {
    /// The value of the first field of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.one(name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        wire::text(&self.body)
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("no JSON ({e}): {self:?}"))
    }
}

impl PartialEq<str> for Response {
    fn eq(&self, body: &str) -> bool {
        self.body == body.as_bytes()
    }
}

impl PartialEq<&str> for Response {
    fn eq(&self, body: &&str) -> bool {
        self == *body
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = self.text().chars().take(400).collect();
        write!(f, "{} {} {:?} {body:?}", self.version, self.status, self.headers)
    }
}

/// How an answer did not come to its proper end.
#[derive(Debug)]
pub enum Broken {
    /// There was no head.
    BeforeHead(String),
    /// This much of it came.
    InBody(Box<Response>, String),
}

impl Broken {
    /// What came of the answer; a test that expects some fails without.
    pub fn response(self) -> Response {
        match self {
            Self::InBody(response, _) => *response,
            Self::BeforeHead(why) => panic!("not even a head came: {why}"),
        }
    }
}

/// Reads the next answer to a request of this method.
pub(super) async fn read_response(reader: &mut Reader, method: &str) -> Result<Response, Broken> {
    let (mut response, mut framing) = read_head(reader, method).await?;
    let mut body = Vec::new();
    let mut trailers = Headers::default();
    let ended = loop {
        match reader.piece(&mut framing, &mut trailers).await {
            Ok(Some(piece)) => body.extend(piece),
            Ok(None) => break Ok(()),
            Err(e) => break Err(e),
        }
    };
    response.body = body.into();
    response.trailers = trailers;
    match ended {
        Ok(()) => Ok(response),
        Err(e) => Err(Broken::InBody(Box::new(response), e.to_string())),
    }
}

/// Reads the next answer up to its body, and says how that is framed.
pub(super) async fn read_head(
    reader: &mut Reader,
    method: &str,
) -> Result<(Response, Framing), Broken> {
    let before = |e: std::io::Error| Broken::BeforeHead(e.to_string());
    let mut response = Response::default();
    let head = loop {
        let head = reader.head().await.map_err(before)?;
        let head = head.ok_or_else(|| Broken::BeforeHead("the connection ended".into()))?;
        match head.word(1) {
            "101" => break head,
            status if status.starts_with('1') => response.interim.push(head),
            _ => break head,
        }
    };
    response.version = head.word(0).to_owned();
    response.status = head.word(1).parse().map_err(|_| Broken::BeforeHead(head.start.clone()))?;
    response.headers = head.headers.clone();
    response.raw = head.raw.clone();
    let bodiless = method == "HEAD" || matches!(response.status, 101 | 204 | 304);
    let framing = if bodiless { Ok(Framing::Length(0)) } else { head.framing(Framing::Close) };
    Ok((response, framing.map_err(before)?))
}
