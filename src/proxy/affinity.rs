//! A client's requests find their endpoint again.

use super::ctx::Ctx;
use crate::upstream::Upstream;
use crate::upstream::affinity::{Claim, Listener};
use http::header;
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::Session;

/// The endpoint that the client says it belongs to.
pub(super) fn claim(upstream: &Upstream, session: &Session, ctx: &Ctx) -> Option<Claim> {
    let query = ctx.accepted.as_ref().map_or("", |accepted| accepted.target.query());
    upstream.claim(&session.req_header().headers, query)
}

/// A response to be read must come as it is.
pub(super) fn prepare(upstream: &Upstream, request: &mut RequestHeader, ctx: &Ctx) {
    let target = ctx.accepted.as_ref().map(|accepted| &accepted.target);
    if target.is_some_and(|target| upstream.reads(&request.method, target)) {
        request.remove_header(&header::ACCEPT_ENCODING);
    }
}

/// The head of a response arrived: what reads its body is there when it comes.
pub(super) fn arrived(session: &Session, response: &ResponseHeader, ctx: &mut Ctx) {
    let listener = ctx.upstream().and_then(|upstream| {
        let target = &ctx.accepted.as_ref()?.target;
        let is_read = upstream.reads(&session.req_header().method, target)
            && Listener::understands(response.status, &response.headers);
        upstream.listener(&ctx.attempt.as_ref().filter(|_| is_read)?.picked)
    });
    ctx.listener = listener;
}

/// A piece of the body arrived from the endpoint.
pub(super) fn hear(piece: &[u8], ctx: &mut Ctx) {
    if ctx.listener.as_mut().is_some_and(|listener| !listener.hear(piece)) {
        ctx.listener = None;
    }
}

/// Tells a client of its endpoint, unless it knows.
pub(super) fn tell(response: &mut ResponseHeader, ctx: &Ctx) -> Result<()> {
    let Some(told) = ctx.attempt.as_ref().and_then(|attempt| attempt.picked.told()) else {
        return Ok(());
    };
    let is_tls = ctx.connection().is_some_and(|connection| connection.tls.is_some());
    let value = told.value(is_tls);
    if told.name == header::SET_COOKIE {
        response.append_header("Set-Cookie", value)?;
    } else {
        response.insert_header(told.name.clone(), value)?;
    }
    if let Some(upstream) = ctx.upstream() {
        upstream.told();
    }
    Ok(())
}
