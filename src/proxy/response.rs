//! The response comes back and passes the filters in reverse.

use super::ctx::Ctx;
use crate::exchange::Phase;
use crate::net::hop;
use http::{StatusCode, Version};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;
use std::time::Instant;

/// A head arrived from the endpoint.
pub(super) fn arrived(response: &ResponseHeader, ctx: &Ctx) {
    let is_tunnel = response.status == StatusCode::SWITCHING_PROTOCOLS;
    if response.status.is_informational() && !is_tunnel {
        return ctx.touch();
    }
    let (Some(route), Some(watch)) = (&ctx.route, ctx.watch()) else { return };
    if is_tunnel {
        watch.set(Phase::Tunnel, Some(route.timeouts.tunnel.0));
    } else {
        watch.set(Phase::Body, Some(route.timeouts.idle.0));
    }
    if let Some(attempt) = &ctx.attempt
        && response.version != Version::HTTP_2
    {
        let told = response.headers.get("keep-alive").and_then(|value| value.to_str().ok());
        attempt.picked.endpoint().learn(told);
    }
}

/// The head on its way to the client.
pub(super) fn filter(
    session: &mut Session,
    response: &mut ResponseHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    hop::strip_response(response);
    let is_interim = response.status.is_informational();
    if !is_interim || response.status == StatusCode::SWITCHING_PROTOCOLS {
        edit(session, response, ctx);
    }
    Ok(())
}

/// Runs the response side of the filters that the request has entered.
pub(super) fn edit(session: &mut Session, response: &mut ResponseHeader, ctx: &mut Ctx) {
    if !ctx.entered {
        return;
    }
    let status = Some(response.status);
    ctx.lend(session.req_header_mut(), status, |route, exchange| {
        route.chain.response(exchange, response);
    });
}

/// A piece of the body passes.
pub(super) fn body(end: bool, ctx: &mut Ctx) {
    ctx.touch();
    if end && let Some(attempt) = &mut ctx.attempt {
        attempt.ended = Some(Instant::now());
    }
}
