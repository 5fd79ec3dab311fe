//! A response that we make ourselves.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use pingora::http::ResponseHeader;

/// A whole response: status, fields and body.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// Fields in the order they are sent; `Content-Length` is added.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body; not sent to HEAD.
    pub body: Bytes,
}

impl Reply {
    /// A reply with a status and nothing else.
    pub fn new(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Bytes::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(self, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let mut reply = self.header(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        reply.body = body.into();
        reply
    }

    /// The head as the engine sends it.
    pub fn head(&self) -> pingora::Result<ResponseHeader> {
        let mut head = ResponseHeader::build(self.status, Some(self.headers.len() + 3))?;
        for (name, value) in &self.headers {
            head.append_header(name, value)?;
        }
        if self.has_body() {
            head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        }
        Ok(head)
    }

    /// The body to send in answer to a method; `None` where none may follow.
    pub fn body_for(&self, method: &Method) -> Option<Bytes> {
        let sends = self.has_body() && method != Method::HEAD && !self.body.is_empty();
        sends.then(|| self.body.clone())
    }

    fn has_body(&self) -> bool {
        !matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }
}
