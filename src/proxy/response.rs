//! The response comes back and passes the filters in reverse.

use super::ctx::Ctx;
use super::http10;
use super::{affinity, lasting, retry};
use crate::exchange::{Cause, Phase};
use crate::net::hop;
use crate::upstream::{Outcome, Picked};
use http::header::{self, HeaderValue};
use http::{Method, StatusCode, Version};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use std::time::Instant;

/// A head arrived from the endpoint.
pub(super) fn arrived(session: &Session, response: &ResponseHeader, ctx: &mut Ctx) -> Result<()> {
    let is_tunnel = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if is_tunnel && !ctx.is_upgrade() {
        return Err(ctx.fail(Cause::UpstreamInvalidResponse));
    }
    if response.status.is_informational() && !is_tunnel {
        ctx.touch();
        if let Some(watch) = ctx.watch().filter(|_| response.status == StatusCode::CONTINUE) {
            watch.asked();
        }
        return Ok(());
    }
    let outcome = Outcome::Answered(response.status);
    ctx.learn(outcome);
    if retry::is_wanted(session, ctx, outcome) {
        ctx.leave();
        return Err(retry::again());
    }
    if let Some(mirrored) = &mut ctx.mirrored {
        mirrored.answered(response);
    }
    affinity::arrived(session, response, ctx);
    let Some(watch) = ctx.watch() else { return Ok(()) };
    if is_tunnel {
        watch.set(Phase::Tunnel, Some(ctx.timeouts().tunnel.0));
        // Messages come when there are some.
        watch.limit(None);
    } else {
        watch.set(Phase::Body, Some(ctx.timeouts().idle.0));
    }
    if let Some(attempt) = &ctx.attempt {
        learn(&attempt.picked, response);
    }
    Ok(())
}

/// Learns from a response how long its connection is kept.
pub(super) fn learn(picked: &Picked, response: &ResponseHeader) {
    if response.version != Version::HTTP_2 {
        // Comparing the few names costs less than hashing this one.
        let told = response.headers.iter().find(|(name, _)| **name == hop::KEEP_ALIVE);
        picked.endpoint().learn(told.and_then(|(_, value)| value.to_str().ok()));
    }
}

/// The head on its way to the client.
pub(super) fn filter(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    let is_interim = response.status.is_informational();
    let has_filters = ctx.route.as_ref().is_some_and(|route| !route.chain.is_empty());
    // In a final response of HTTP/1 the engine replaces it, and only filters could see it before.
    let is_h1 = matches!(session.as_downstream(), ServerSession::H1(_));
    hop::strip_response(response, is_h1 && !is_interim && !has_filters);
    if let ServerSession::H1(client) = session.as_downstream_mut() {
        // A client that still sends its body is kept after a 100, not after its final response.
        client.set_close_on_response_before_downstream_finish(!is_interim);
    }
    http10::respond(session, response);
    if !is_interim || response.status == StatusCode::SWITCHING_PROTOCOLS {
        edit(session, response, ctx);
        affinity::tell(response, ctx)?;
    }
    if !is_interim && let Some(arrival) = &ctx.arrival {
        arrival.uplink.begun();
    }
    let length = response.headers.get(header::CONTENT_LENGTH);
    if response.status == StatusCode::SWITCHING_PROTOCOLS {
        lasting::tunnel(response, ctx);
    } else if !is_interim && is_bodiless(session, response, length) {
        complete(ctx);
    } else if !is_interim && length.is_none() {
        lasting::response(response, ctx);
    }
    Ok(())
}

/// Whether the head is the whole response, as far as it tells.
fn is_bodiless(session: &Session, response: &ResponseHeader, length: Option<&HeaderValue>) -> bool {
    length.is_some_and(|length| length == "0")
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || session.req_header().method == Method::HEAD
}

/// Runs the response side of the filters that the request has entered.
pub(super) fn edit(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) {
    if ctx.arrival.as_ref().is_some_and(|arrival| *arrival.drain.borrow()) {
        // The engine looked before the exchange, and a drain may have begun since.
        session.set_keepalive(None);
    }
    let has_filters = ctx.route.as_ref().is_some_and(|route| !route.chain.is_empty());
    if !ctx.entered || !has_filters {
        return;
    }
    let status = Some(response.status);
    ctx.lend(session.req_header_mut(), status, |route, exchange| {
        route.chain.response(exchange, response);
    });
}

/// A piece of the body passes.
pub(super) fn body(length: usize, end: bool, ctx: &mut Ctx) {
    if let Some(arrival) = &ctx.arrival {
        arrival.watch.touch();
        arrival.uplink.answered(length);
    }
    if end {
        complete(ctx);
    }
}

fn complete(ctx: &mut Ctx) {
    if let Some(attempt) = &mut ctx.attempt {
        attempt.ended = Some(Instant::now());
        attempt.picked.answered();
    }
    if let (Some(upstream), Some(attempt)) = (ctx.upstream(), &ctx.attempt) {
        upstream.completed(&attempt.picked);
    }
}
