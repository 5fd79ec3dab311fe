//! Whether a request is sent again.

use super::ctx::Ctx;
use crate::exchange::{Overdue, Phase};
use crate::upstream::Outcome;
use pingora::proxy::Session;
use pingora::{Error, ErrorSource, ErrorType, RetryType};

/// The field by which a client says that a request may be repeated whatever its method.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Carries the wish to the engine.
const AGAIN: ErrorType = ErrorType::new("Again");

/// Whether the document has a request sent again after this; it is then paid for.
pub(super) fn is_wanted(session: &Session, ctx: &mut Ctx, outcome: Outcome) -> bool {
    let is_wanted = ctx.upstream().is_some_and(|upstream| {
        upstream.wants_retry(outcome, ctx.counted)
            && is_repeatable(session)
            && is_possible(session, ctx)
            && upstream.affords_retry()
    });
    (ctx.is_again, ctx.waits) = (is_wanted, is_wanted);
    ctx.outcome = Some(outcome);
    is_wanted
}

/// Whether an endpoint may get the request twice, and all of it is still there.
pub(super) fn is_repeatable(session: &Session) -> bool {
    is_harmless(session) && !session.as_downstream().retry_buffer_truncated()
}

/// Whether an endpoint may get the request twice.
pub(super) fn is_harmless(session: &Session) -> bool {
    let head = session.req_header();
    head.method.is_idempotent() || head.headers.contains_key(IDEMPOTENCY_KEY)
}

/// Whether all of the request is still there, and nothing of a response went out.
pub(super) fn is_possible(session: &Session, ctx: &Ctx) -> bool {
    let has_begun = session.response_written().is_some_and(|head| {
        !head.status.is_informational() || head.status == http::StatusCode::SWITCHING_PROTOCOLS
    });
    let is_in_time = ctx.watch().is_none_or(|watch| {
        matches!(watch.overdue(), None | Some(Overdue::Silent(Phase::Response)))
    });
    !has_begun && is_in_time && !session.as_downstream().retry_buffer_truncated()
}

/// Whether the endpoint says that it has not looked at the request (RFC 9113, 8.7).
pub(super) fn is_unprocessed(error: &Error) -> bool {
    let is_told = matches!(error.etype(), ErrorType::H2Error | ErrorType::H2Downgrade);
    is_told && *error.esource() == ErrorSource::Upstream && error.retry == RetryType::Decided(true)
}

/// What ends an attempt whose response is not passed on.
pub(super) fn again() -> Box<Error> {
    let mut error = Error::new_up(AGAIN);
    error.set_retry(true);
    error
}

/// Whether an attempt ended so.
pub(super) fn is_again(error: &Error) -> bool {
    *error.etype() == AGAIN
}
