//! Bodies, and the plainest replies made of them.

use bytes::Bytes;
use futures::{Stream, StreamExt};
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::convert::Infallible;

/// The body of any response.
pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A body that is known as a whole.
pub(super) fn full(content: impl Into<Bytes>) -> Body {
    Full::new(content.into()).boxed_unsync()
}

/// A body made piece by piece, as fast as the client takes it.
pub(super) fn streamed(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    framed(pieces.map(Frame::data))
}

/// A body made frame by frame, so that it may end in trailers.
pub(super) fn framed(frames: impl Stream<Item = Frame<Bytes>> + Send + 'static) -> Body {
    StreamBody::new(frames.map(Ok)).boxed_unsync()
}

/// A reply of a body and its type.
pub(super) fn typed(kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// A reply in plain words.
pub(super) fn text(status: StatusCode, words: impl Into<Bytes>) -> Response<Body> {
    let mut response = typed("text/plain; charset=utf-8", full(words));
    *response.status_mut() = status;
    response
}

/// A reply for machines.
pub(super) fn json(value: &serde_json::Value) -> Response<Body> {
    typed("application/json", full(format!("{value}\n")))
}
