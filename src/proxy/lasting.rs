//! Which exchanges may last, and how they end when what they stand on is gone.
//!
//! A response of known length ends by itself, and so does what has no response yet. A stream, whose
//! end nobody knows, would go on for ever by a route, an endpoint or a listener that is gone.

use super::ctx::Ctx;
use crate::exchange::Manner;
use http::Version;
use http::header::{self, HeaderMap, HeaderName};
use pingora::http::{RequestHeader, ResponseHeader};

/// A call of gRPC: it may go on for long before its response begins.
pub(super) fn call(request: &RequestHeader, ctx: &Ctx) {
    if is_grpc(&request.headers) {
        lasts(Manner::Status, ctx);
    }
}

/// A tunnel.
pub(super) fn tunnel(response: &ResponseHeader, ctx: &Ctx) {
    let is_websocket = is(&response.headers, header::UPGRADE, |to| to == b"websocket");
    lasts(if is_websocket { Manner::Close } else { Manner::Break }, ctx);
}

/// A response that does not tell its length.
pub(super) fn response(response: &ResponseHeader, ctx: &Ctx) {
    let is_old = ctx.accepted.as_ref().is_none_or(|a| a.version < Version::HTTP_11);
    let headers = &response.headers;
    let manner = match () {
        () if is_grpc(headers) => Manner::Status,
        // In HTTP/1.0 it ends with the connection, whole or not.
        () if !is_old && has_type(headers, b"text/event-stream") => Manner::Events,
        () => Manner::Break,
    };
    lasts(manner, ctx);
}

fn lasts(manner: Manner, ctx: &Ctx) {
    let (Some(arrival), Some(route), Some(attempt)) = (&ctx.arrival, &ctx.route, &ctx.attempt)
    else {
        return;
    };
    let footing =
        [&arrival.connection.ending, &route.ending, attempt.picked.ending()].map(Clone::clone);
    arrival.watch.lasts(manner, footing);
}

/// Whether trailers carry its status; those of gRPC-Web are in the body.
fn is_grpc(headers: &HeaderMap) -> bool {
    is(headers, header::CONTENT_TYPE, |kind| {
        let rest = kind.strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
    })
}

fn has_type(headers: &HeaderMap, wanted: &[u8]) -> bool {
    is(headers, header::CONTENT_TYPE, |kind| {
        let end = kind.iter().position(|byte| matches!(byte, b';' | b' '));
        kind.get(..end.unwrap_or(kind.len())) == Some(wanted)
    })
}

/// Whether something holds of a field in lower case.
fn is(headers: &HeaderMap, name: HeaderName, holds: impl Fn(&[u8]) -> bool) -> bool {
    headers.get(name).is_some_and(|value| holds(&value.as_bytes().to_ascii_lowercase()))
}
