//! The request goes upstream: an endpoint is picked, the head prepared, the body passed on.

use super::ctx::{Attempt, Ctx};
use super::{affinity, lasting, retry};
use crate::exchange::{Cause, Excuse, Phase};
use crate::expr::{Escape, Template};
use crate::upstream::{self, Follows, Lack, Outcome, Outgoing, Picked, Place, Terms, Upstream};
use bytes::Bytes;
use http::Version;
use http::header;
use pingora::http::RequestHeader;
use pingora::protocols::http::ServerSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::os::fd::RawFd;
use std::time::{Duration, Instant};

/// A body up to this length is sent without looking whether the endpoint takes it.
const SMALL: u64 = 16 * 1024;

/// Picks the endpoint of the next attempt.
pub(super) async fn peer(session: &mut Session, ctx: &mut Ctx) -> Result<Box<HttpPeer>> {
    let Some(route) = ctx.route.clone() else { return Err(ctx.fail(Cause::Internal)) };
    let Some(upstream) = route.target.upstream(ctx.choice) else {
        return Err(ctx.fail(Cause::Internal));
    };
    let timeouts = ctx.timeouts();
    let follows = follows(session, ctx);
    let key = upstream.key().map(|key| key_of(session, ctx, key)).unwrap_or_default();
    if ctx.attempts == 0 {
        upstream.begins();
    } else if std::mem::take(&mut ctx.waits) {
        back_off(session, ctx, upstream).await?;
    }
    // Who was asked already is asked again rather than whom something speaks against.
    let (panics, claim) = (!ctx.is_again, affinity::claim(upstream, session, ctx));
    let terms = Terms { claim, key: &key, panics, timeouts, follows };
    let mut picked = pick(session, ctx, upstream, terms).await?;
    if picked.is_none() && is_another_round(session, ctx, upstream).await? {
        ctx.tried.clear();
        picked = pick(session, ctx, upstream, Terms { panics: true, ..terms }).await?;
    }
    let Some(mut picked) = picked else {
        // If there was one, the failure of the last attempt tells more than that none is left.
        let cause = ctx.cause.unwrap_or(Cause::NoEndpoint);
        return Err(ctx.fail(cause));
    };
    let Some((connection, accepted, _)) = parts(ctx) else { return Err(ctx.fail(Cause::Internal)) };
    upstream.announce(&mut picked, connection, &accepted.client);
    ctx.cause = None;
    // The body begins anew, on another way.
    ctx.received = 0;
    if let Some(mirrored) = &mut ctx.mirrored {
        mirrored.rewind();
    }
    if let Some(arrival) = &ctx.arrival {
        arrival.uplink.close();
        arrival.watch.rests();
    }
    let peer = picked.take_peer();
    ctx.begin(Attempt { picked, descriptor: -1, ended: None, left: None });
    peer.ok_or_else(|| ctx.fail(Cause::Internal))
}

/// Picks an endpoint; waits for its turn where those that are left have no room. `None` if none is
/// left.
async fn pick(
    session: &mut Session,
    ctx: &mut Ctx,
    upstream: &Upstream,
    terms: Terms<'_>,
) -> Result<Option<Picked>> {
    // Who takes any endpoint waits behind those who do so too, and came before.
    let is_particular = terms.claim.is_some() || !ctx.tried.is_empty();
    let mut looks = is_particular || !upstream.has_line();
    let mut waits: Option<(Place, Instant)> = None;
    loop {
        if looks {
            match upstream.pick(&mut ctx.tried, terms) {
                Ok(picked) => return Ok(Some(picked)),
                Err(lack @ (Lack::Endpoint | Lack::Own)) => return Ok(none(ctx, lack)),
                Err(Lack::Room) => {}
            }
        }
        match &waits {
            None => {
                let place = upstream.queue(is_particular);
                let place = place.ok_or_else(|| ctx.fail(Cause::UpstreamOverloaded))?;
                waits = Some((place, Instant::now() + upstream.longest_pending()));
                // Unless others go first, it looks once more: there may be room since it looked.
            }
            Some((_, deadline)) if Instant::now() >= *deadline => {
                return Err(ctx.fail(Cause::UpstreamOverloaded));
            }
            Some((place, deadline)) => {
                let turn = tokio::time::timeout_at((*deadline).into(), place.turn());
                // Whether it was called, or the time is over: it looks.
                let _ = wait(session, ctx, turn).await?;
                looks = true;
            }
        }
    }
}

/// None is left; if no attempt failed, that is the cause.
fn none(ctx: &mut Ctx, lack: Lack) -> Option<Picked> {
    if lack == Lack::Own {
        ctx.cause.get_or_insert(Cause::UpstreamAffinityLost);
    }
    None
}

/// Waits before a further attempt.
async fn back_off(session: &mut Session, ctx: &mut Ctx, upstream: &Upstream) -> Result<()> {
    let time = upstream.wait(ctx.counted);
    wait(session, ctx, tokio::time::sleep(time)).await
}

/// Waits for what does not come from the endpoint; an error if the client leaves meanwhile.
async fn wait<T>(session: &mut Session, ctx: &mut Ctx, what: impl Future<Output = T>) -> Result<T> {
    if let Some(watch) = ctx.watch() {
        watch.rests();
    }
    let client = session.as_downstream_mut();
    if !client.is_body_done() {
        // What it sends is not read yet, and so it is not seen whether it leaves.
        return Ok(what.await);
    }
    tokio::select! {
        it = what => Ok(it),
        left = client.read_body_or_idle(true) => {
            ctx.cause = Some(Cause::ClientClosed);
            let mut error = match left {
                Err(error) => error.into_down(),
                Ok(_) => Error::new_down(ErrorType::ConnectionClosed),
            };
            error.set_retry(false);
            Err(error)
        }
    }
}

/// Whether endpoints that were tried are tried once more, because no other one is left.
async fn is_another_round(
    session: &mut Session,
    ctx: &mut Ctx,
    upstream: &Upstream,
) -> Result<bool> {
    if std::mem::take(&mut ctx.is_again) {
        return Ok(true);
    }
    // No endpoint gave a connection.
    let Some(cause) = ctx.cause.filter(|_| ctx.attempts > 0) else { return Ok(false) };
    ctx.counted += 1;
    if !upstream.wants_retry(Outcome::Failed(cause), ctx.counted) || !upstream.affords_retry() {
        return Ok(false);
    }
    back_off(session, ctx, upstream).await?;
    Ok(true)
}

/// What tells this request apart from those that go to another endpoint.
pub(super) fn key_of(session: &mut Session, ctx: &mut Ctx, key: &Template) -> String {
    let mut text = String::new();
    ctx.lend(session.req_header_mut(), None, |_, exchange| {
        key.render(exchange, Escape::Text, &mut text);
    });
    text
}

fn follows(session: &mut Session, ctx: &Ctx) -> Follows {
    match (ctx.is_upgrade(), session.as_downstream_mut().is_body_empty()) {
        (true, _) => Follows::Tunnel,
        (false, true) => Follows::Nothing,
        (false, false) => Follows::Body,
    }
}

/// Counts a connection that is there.
pub(super) fn connected(ctx: &mut Ctx, reused: bool, descriptor: RawFd) {
    (ctx.counted, ctx.is_again) = (ctx.counted + 1, false);
    if let Some(attempt) = &mut ctx.attempt {
        attempt.picked.connected(reused);
        attempt.descriptor = descriptor;
    }
}

/// Prepares the head in the version it goes by, and begins to watch the exchange.
pub(super) async fn request(
    session: &mut Session,
    request: &mut RequestHeader,
    ctx: &mut Ctx,
) -> Result<()> {
    if request.version == Version::HTTP_2 && request.headers.contains_key(header::EXPECT) {
        // The engine passes no 100 on from HTTP/2, so the client gets it from us.
        if let ServerSession::H1(client) = session.as_downstream_mut() {
            client.set_close_on_response_before_downstream_finish(false);
            client.write_continue_response().await.map_err(|error| error.into_down())?;
            client.set_close_on_response_before_downstream_finish(true);
        }
    }
    let is_sent = session.as_downstream_mut().is_body_done();
    if is_sent && let Some(attempt) = &mut ctx.attempt {
        attempt.picked.was_sent();
    }
    let (Some((connection, accepted, _)), Some(upstream)) = (parts(ctx), ctx.upstream()) else {
        return Err(ctx.fail(Cause::Internal));
    };
    let introduced = accepted.introduced(connection);
    if !ctx.introduced {
        upstream::introduce(request, &introduced)?;
    }
    let forwarded = upstream.sends_forwarded().then_some(introduced);
    let attempt = ctx.attempt.as_ref();
    let host = attempt.and_then(|attempt| upstream.host(&attempt.picked, accepted.host.is_some()));
    upstream::prepare(
        request,
        &Outgoing { host, stripped_prefix: ctx.stripped_prefix.as_deref(), forwarded },
    )?;
    affinity::prepare(upstream, request, ctx);
    if !is_sent {
        open_way(request, ctx);
    }
    if let Some(watch) = ctx.watch() {
        if !is_sent && let Some(excuse) = excuse(request) {
            watch.excuse(excuse);
            if excuse == Excuse::Messages {
                lasting::call(request, ctx);
            }
        }
        if is_sent || accepted.is_upgrade {
            watch.set(Phase::Response, Some(patience(session, ctx)));
        } else {
            watch.set(Phase::Request, Some(ctx.timeouts().idle.0));
        }
    }
    Ok(())
}

/// How long the attempt waits for the head of its response.
fn patience(session: &Session, ctx: &Ctx) -> Duration {
    let longest = ctx.timeouts().response.0;
    let patience = ctx.upstream().and_then(|upstream| upstream.patience(ctx.counted));
    let patience = patience.filter(|_| retry::is_repeatable(session));
    patience.map_or(longest, |patience| patience.min(longest))
}

/// Why the client may be slow with its body.
fn excuse(request: &RequestHeader) -> Option<Excuse> {
    if request.version != Version::HTTP_2 {
        // Where we ask by ourselves, the client was asked already.
        return request.headers.contains_key(header::EXPECT).then_some(Excuse::Unasked);
    }
    let kind = request.headers.get(header::CONTENT_TYPE)?;
    kind.as_bytes().starts_with(b"application/grpc").then_some(Excuse::Messages)
}

/// Shows the body its way. One that fits the smallest of buffers needs to know none.
fn open_way(request: &RequestHeader, ctx: &Ctx) {
    let length = request.headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    let (Some(arrival), Some(attempt)) = (&ctx.arrival, &ctx.attempt) else { return };
    if length.is_some_and(|length: u64| length <= SMALL) || ctx.is_upgrade() {
        return;
    }
    if request.version == Version::HTTP_2 {
        arrival.uplink.by_stream();
    } else {
        arrival.uplink.by_descriptor(attempt.descriptor);
    }
}

/// A piece of the request's body passes.
pub(super) fn body(
    session: &mut Session,
    body: Option<&Bytes>,
    end: bool,
    ctx: &mut Ctx,
) -> Result<()> {
    let length = body.map_or(0, Bytes::len) as u64;
    ctx.received += length;
    let is_tunnel = session.was_upgraded();
    let most = parts(ctx).and_then(|(connection, _, route)| {
        route.limits.body_size(connection.entrance.limits.body_size)
    });
    if !is_tunnel && most.is_some_and(|most| ctx.received > most) {
        return Err(ctx.fail(Cause::BodyTooLarge));
    }
    if let Some(mirrored) = &mut ctx.mirrored {
        mirrored.body(body, end);
    }
    match (end, ctx.phase()) {
        (true, Phase::Request) => {
            if let Some(attempt) = &mut ctx.attempt {
                attempt.picked.was_sent();
            }
            if let Some(watch) = ctx.watch() {
                watch.set(Phase::Response, Some(patience(session, ctx)));
            }
        }
        _ if length > 0 => ctx.touch(),
        _ => {}
    }
    Ok(())
}

type Parts<'a> =
    (&'a crate::exchange::Connection, &'a super::ctx::Accepted, &'a crate::route::Route);

fn parts(ctx: &Ctx) -> Option<Parts<'_>> {
    Some((ctx.connection()?, ctx.accepted.as_ref()?, ctx.route.as_deref()?))
}
