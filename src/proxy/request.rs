//! The request passes its filters, and is answered here unless it goes upstream.

use super::ctx::Ctx;
use super::response;
use crate::exchange::{Cause, Phase, Reply};
use crate::expr::Variable;
use crate::route::{Choice, Target};
use crate::upstream;
use http::StatusCode;
use http::header::{self, HeaderValue};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

/// Runs the filters; true if the exchange was answered. `logged` is what the access log will want
/// to know of the request.
pub(super) async fn answer(
    session: &mut Session,
    ctx: &mut Ctx,
    logged: &[Variable],
) -> Result<bool> {
    if ctx.is_asterisk() {
        send(session, ctx, &options()).await?;
        return Ok(true);
    }
    let request = session.req_header_mut();
    introduce(request, ctx, !logged.is_empty())?;
    let turn = ctx.lend(request, None, |route, exchange| {
        route.chain.request(exchange);
        match &route.target {
            Target::Upstream(_) => Turn::Upstream(None),
            Target::Split(split) => Turn::Upstream(Some(split.choose(exchange))),
            Target::Redirect(redirect) => Turn::Answer(redirect.reply(exchange)),
            Target::Reply(reply) => Turn::Answer(reply.clone()),
        }
    });
    ctx.entered = true;
    match turn {
        None => Err(ctx.fail(Cause::Internal)),
        Some(Turn::Upstream(choice)) => {
            ctx.choice = choice;
            Ok(false)
        }
        Some(Turn::Answer(reply)) => {
            send(session, ctx, &reply).await?;
            Ok(true)
        }
    }
}

/// What a request comes to after its filters.
enum Turn {
    /// It goes upstream; of a split, to this part.
    Upstream(Option<Choice>),
    /// It is answered here.
    Answer(Reply),
}

/// What the edge says of itself: routes may allow less (RFC 9110, 9.3.7).
fn options() -> Reply {
    const ALL: HeaderValue =
        HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
    Reply::new(StatusCode::NO_CONTENT).header(header::ALLOW, ALL)
}

/// What goes upstream says who the client is; filters see it, and have the last word. Where nobody
/// looks at the request any more, it waits for the copy that goes upstream: there it costs less.
fn introduce(request: &mut RequestHeader, ctx: &mut Ctx, is_logged: bool) -> Result<()> {
    let (Some(connection), Some(accepted)) = (ctx.connection(), &ctx.accepted) else {
        return Ok(());
    };
    let Some(route) = ctx.route.as_deref() else { return Ok(()) };
    if !route.target.forwards() {
        return Ok(());
    }
    let via = connection.entrance.via.as_ref().filter(|_| accepted.minded.via);
    if via.is_some_and(|via| via.has_passed(&request.headers)) {
        return Err(ctx.fail(Cause::LoopDetected));
    }
    if is_logged
        || !route.chain.is_empty()
        || route.target.minds_requests()
        || route.mirror.is_some()
    {
        upstream::introduce(request, &accepted.introduced(connection))?;
        ctx.introduced = true;
    }
    Ok(())
}

/// Sends a reply of ours through the response side of the filters.
pub(super) async fn send(session: &mut Session, ctx: &mut Ctx, reply: &Reply) -> Result<()> {
    if let Some(watch) = ctx.watch() {
        watch.set(Phase::Reply, Some(ctx.timeouts().idle.0));
    }
    let mut head = reply.head()?;
    response::edit(session, &mut head, ctx);
    let body = reply.body_for(&session.req_header().method);
    // What fails from here on has one reason: the client is gone.
    let head = session.write_response_header(Box::new(head), body.is_none()).await;
    head.map_err(|error| error.into_down())?;
    session.write_response_body(body, true).await.map_err(|error| error.into_down())
}
