//! What fails gets its cause here, and the client its answer.

use super::ctx::Ctx;
use super::{request, retry};
use crate::exchange::{Cause, Overdue, Phase, Reply, Way};
use crate::observe::log::Throttle;
use crate::upstream::Outcome;
use http::header;
use pingora::protocols::http::ServerSession;
use pingora::proxy::{FailToProxy, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType};
use std::time::Duration;

/// So often a request is sent again that no endpoint has looked at, whatever the document says.
const REPEATS: u32 = 5;

static UPSTREAM: Throttle = Throttle::burst(20, Duration::from_secs(1));

/// A connection could not be made: the next endpoint is tried.
pub(super) fn connect(ctx: &mut Ctx, mut error: Box<Error>) -> Box<Error> {
    let cause = of_connect(&error);
    ctx.outcome = Some(Outcome::Failed(cause));
    ctx.learn(Outcome::Failed(cause));
    tell(ctx, cause, &error);
    ctx.leave();
    // `forward::peer` ends the attempts when no endpoint is left.
    ctx.cause = Some(cause);
    error.set_retry(true);
    error
}

/// An attempt broke off after its connection was there.
pub(super) fn exchange(
    peer: &HttpPeer,
    session: &Session,
    error: Box<Error>,
    ctx: &mut Ctx,
    reused: bool,
) -> Box<Error> {
    if retry::is_again(&error) {
        if let Some(watch) = ctx.watch() {
            watch.reset();
        }
        return error;
    }
    let cause = of(&error, session, ctx);
    let mut error = error.more_context(format!("Peer: {peer}"));
    let outcome = Outcome::Failed(cause.unwrap_or(Cause::Internal));
    let is_overdue = ctx.watch().is_some_and(|watch| watch.overdue().is_some());
    let is_unprocessed = retry::is_unprocessed(&error);
    // What the endpoint may have closed while it was idle in the pool.
    error.retry.decide_reuse(reused);
    let is_unseen = is_unprocessed || (error.retry() && retry::is_harmless(session));
    let is_free =
        is_unseen && !is_overdue && ctx.repeats < REPEATS && retry::is_possible(session, ctx);
    if let Some(cause) = cause {
        if is_free {
            ctx.excuse(cause);
        } else {
            ctx.learn(outcome);
        }
        tell(ctx, cause, &error);
    }
    let is_wanted = is_free || retry::is_wanted(session, ctx, outcome);
    error.set_retry(is_wanted);
    if !is_wanted {
        ctx.cause = cause;
        return error;
    }
    if let Some(watch) = ctx.watch() {
        watch.reset();
    }
    if is_free {
        (ctx.outcome, ctx.counted) = (Some(outcome), ctx.counted.saturating_sub(1));
        ctx.repeats += 1;
    }
    if is_free && !is_unprocessed {
        // The endpoint did nothing wrong: it may well get it again, in the place of this attempt.
        ctx.attempt.iter_mut().for_each(|attempt| attempt.picked.answered());
        return error;
    }
    ctx.leave();
    // If there is no other, it gets the request once more.
    ctx.is_again = true;
    error
}

/// Answers the client, unless it left or has part of a response already.
pub(super) async fn answer(session: &mut Session, error: &Error, ctx: &mut Ctx) -> FailToProxy {
    let cause = of(error, session, ctx);
    ctx.cause = cause;
    if let Some(watch) = ctx.watch() {
        watch.reset();
    }
    let Some(cause) = cause.filter(|_| !is_answered(error, ctx)) else {
        ctx.is_last = true;
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    };
    let status = cause.status().as_u16();
    let has_begun = session.response_written().is_some_and(|head| {
        !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS
    });
    if has_begun {
        match &ctx.arrival {
            Some(arrival) if !arrival.has_parted() => arrival.breaks_off(),
            _ => ctx.is_last = true,
        }
        return FailToProxy { error_code: status, can_reuse_downstream: false };
    }
    if cause == Cause::ClientClosed {
        return FailToProxy { error_code: 0, can_reuse_downstream: false };
    }
    // Before an attempt nothing is half done, and the connection can serve another request. Where
    // an endpoint was asked for, the engine closes it whatever we say, so the client must know.
    let is_of_attempts = matches!(
        cause,
        Cause::BadRequest
            | Cause::NoEndpoint
            | Cause::UpstreamOverloaded
            | Cause::UpstreamAffinityLost
    );
    let is_clean = ctx.attempts == 0 && !is_of_attempts;
    if !is_clean {
        session.set_keepalive(None);
    }
    let mut reply = Reply::failure(cause, &ctx.id, Some(&session.req_header().headers));
    if let (Cause::UpstreamOverloaded, Some(upstream)) = (cause, ctx.upstream()) {
        // As long as it would have waited here.
        let later = upstream.longest_pending().as_secs_f64().ceil().max(1.0) as u64;
        reply = reply.header(header::RETRY_AFTER, later.into());
    }
    let is_sent = request::send(session, ctx, &reply).await.is_ok();
    ctx.is_last = !is_clean;
    FailToProxy { error_code: status, can_reuse_downstream: is_sent && is_clean }
}

/// Closes politely: an unread body must not reset the answer away.
pub(super) async fn close(session: &mut Session) {
    if let ServerSession::H1(client) = session.as_downstream_mut() {
        client.shutdown().await;
    }
}

/// The cause of an error; `None` if the client had its whole response all the same.
pub(super) fn of(error: &Error, session: &Session, ctx: &Ctx) -> Option<Cause> {
    if ctx.cause.is_some() || is_answered(error, ctx) {
        return ctx.cause;
    }
    match ctx.watch().and_then(|watch| watch.overdue()) {
        Some(Overdue::Silent(phase)) => return Some(of_silence(phase, ctx)),
        Some(Overdue::Slow(Way::Upload)) => return Some(Cause::RequestBodyTimeout),
        Some(Overdue::Slow(Way::Download)) => return Some(Cause::ClientTooSlow),
        Some(Overdue::Ended) => return Some(Cause::DrainOver),
        None => {}
    }
    Some(match error.esource() {
        ErrorSource::Upstream => of_upstream(error, session.response_written().is_some()),
        ErrorSource::Downstream => of_downstream(error),
        ErrorSource::Internal | ErrorSource::Unset => Cause::Internal,
    })
}

/// Whether the response was sent whole, and only the rest of the request's body is not wanted.
fn is_answered(error: &Error, ctx: &Ctx) -> bool {
    let is_downstream = *error.esource() == ErrorSource::Downstream;
    let has_ended = ctx.attempt.as_ref().is_some_and(|attempt| attempt.ended.is_some());
    let is_written = ctx.arrival.as_ref().is_some_and(|arrival| arrival.is_answered());
    match error.etype() {
        ErrorType::ReadError | ErrorType::ReadTimedout | ErrorType::ConnectionClosed => {
            is_downstream && (has_ended || is_written)
        }
        // The client reset its stream, be it with the response or because it has it.
        ErrorType::H2Error => is_downstream && is_written,
        ErrorType::HTTPStatus(_) => has_ended || is_written,
        _ => false,
    }
}

fn of_silence(phase: Phase, ctx: &Ctx) -> Cause {
    let is_blocked = ctx.arrival.as_ref().is_some_and(|arrival| arrival.uplink.is_blocked());
    match phase {
        Phase::Request if is_blocked => Cause::UpstreamTimeoutRequest,
        Phase::Request => Cause::RequestBodyTimeout,
        Phase::Response | Phase::Idle => Cause::UpstreamTimeoutResponse,
        Phase::Body => Cause::UpstreamTimeoutIdle,
        Phase::Tunnel => Cause::TunnelTimeout,
        Phase::Reply => Cause::ClientClosed,
    }
}

/// Why a connection could not be made.
pub(super) fn of_connect(error: &Error) -> Cause {
    match error.etype() {
        ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout => {
            Cause::UpstreamTimeoutConnect
        }
        ErrorType::ConnectRefused => Cause::UpstreamConnectRefused,
        ErrorType::TLSHandshakeFailure
        | ErrorType::TLSWantX509Lookup
        | ErrorType::HandshakeError
        | ErrorType::InvalidCert => Cause::UpstreamTlsFailed,
        _ => Cause::UpstreamConnectFailed,
    }
}

/// Why an attempt failed after its connection was there; `has_begun` if its response was.
pub(super) fn of_upstream(error: &Error, has_begun: bool) -> Cause {
    let h2 = error.root_cause().downcast_ref::<h2::Error>();
    match error.etype() {
        ErrorType::WriteTimedout => Cause::UpstreamTimeoutRequest,
        ErrorType::ReadTimedout if has_begun => Cause::UpstreamTimeoutIdle,
        ErrorType::ReadTimedout => Cause::UpstreamTimeoutResponse,
        ErrorType::InvalidHTTPHeader
        | ErrorType::InvalidH2
        | ErrorType::H2Downgrade
        | ErrorType::Custom("InvalidChunk" | "InvalidTrailerEnd") => Cause::UpstreamInvalidResponse,
        _ if is_refused_by_tls(error) => Cause::UpstreamTlsFailed,
        // Our side found what it was sent against the rules.
        _ if h2.is_some_and(h2::Error::is_library) => Cause::UpstreamInvalidResponse,
        _ => Cause::UpstreamReset,
    }
}

/// Whether the endpoint ended it by an alert: since TLS 1.3 it judges our certificate only after
/// our side is through with the handshake.
fn is_refused_by_tls(error: &Error) -> bool {
    let root = error.root_cause();
    let io = match root.downcast_ref::<h2::Error>() {
        Some(error) => error.get_io(),
        None => root.downcast_ref::<std::io::Error>(),
    };
    // Of what was below it, h2 keeps the text only.
    io.is_some_and(|error| error.to_string().starts_with("received fatal alert"))
}

fn of_downstream(error: &Error) -> Cause {
    let io = error.root_cause().downcast_ref::<std::io::Error>();
    match error.etype() {
        ErrorType::InvalidHTTPHeader | ErrorType::Custom(_) => Cause::BadRequest,
        // So the listener tells of a body whose framing is malformed.
        _ if io.is_some_and(|e| e.kind() == std::io::ErrorKind::InvalidInput) => Cause::BadRequest,
        _ => Cause::ClientClosed,
    }
}

/// Logs a failed attempt; clients that leave are in the access log only.
fn tell(ctx: &Ctx, cause: Cause, error: &Error) {
    let Some(attempt) = &ctx.attempt else { return };
    if cause.is_upstream()
        && let Some(suppressed) = UPSTREAM.allow()
    {
        let (endpoint, request) = (attempt.picked.endpoint().label(), &ctx.id);
        let cause = cause.name();
        tracing::warn!(%endpoint, cause, %request, %error, suppressed, "an attempt failed");
    }
}
