//! The exchange is over: it is counted and logged.

use super::ctx::{self, Ctx};
use super::failure;
use crate::exchange::{Cause, Overdue};
use crate::expr::{Facts, Variable};
use crate::observe::access::{Client, Earlier, Record, Sender};
use crate::route::Ended;
use crate::upstream::Outcome;
use http::Version;
use http::header::{self, HeaderMap, HeaderName};
use pingora::Error;
use pingora::proxy::Session;
use std::borrow::Cow;
use std::time::Instant;

/// Counts an exchange and sends its record to the access log.
pub(super) fn finish(session: &mut Session, error: Option<&Error>, ctx: &mut Ctx, access: &Sender) {
    if let Some(arrival) = &ctx.arrival {
        if arrival.watch.overdue() == Some(Overdue::Ended) {
            // Both sides may have taken it as their own end.
            ctx.cause.get_or_insert(Cause::DrainOver);
        }
        arrival.watch.reset();
        arrival.uplink.close();
    }
    let cause = cause(session, error, ctx);
    let written = session.response_written().map(|head| head.status.as_u16());
    let status = match (cause, written) {
        (Some(Cause::ClientClosed), _) => Cause::ClientClosed.status().as_u16(),
        (_, Some(status)) => status,
        (Some(cause), None) => cause.status().as_u16(),
        (None, None) => 0,
    };
    let duration = ctx.started.elapsed();
    let sent = session.as_downstream().body_bytes_sent() as u64;
    let received = session.as_downstream().body_bytes_read() as u64;
    if let Some(mirrored) = ctx.mirrored.take() {
        mirrored.end(status, cause);
    }
    if let Some(attempt) = &mut ctx.attempt {
        // The client may take its time to leave.
        attempt.picked.answered();
    }
    if let Some(in_flight) = ctx.in_flight.take() {
        in_flight.end(&Ended { status, cause, duration, received, sent });
    }
    let is_logged = ctx.route.as_ref().is_none_or(|route| route.is_logged) && access.wants(status);
    if !is_logged {
        return;
    }
    let further = further(session, ctx, access.further());
    let Some(connection) = ctx.connection() else { return };
    let request = session.req_header();
    let target = ctx.accepted.as_ref().map(|accepted| &accepted.target);
    let attempt = ctx.attempt.as_ref();
    let [user_agent, referer] = texts(&request.headers, [header::USER_AGENT, header::REFERER]);
    let route = ctx.route.as_deref();
    let client = match (&ctx.accepted, connection.peer) {
        (Some(accepted), Some(_)) => Client::Ip(accepted.client.ip),
        (None, Some(peer)) => Client::Ip(peer.ip().to_canonical()),
        (_, None) => Client::Unix,
    };
    let earlier: Vec<_> = ctx.earlier.iter().map(of_earlier).collect();
    access.record(&Record {
        time: ctx.time,
        request_id: &ctx.id,
        client,
        local: connection.local,
        listener: &connection.entrance.name,
        route: route.map(|route| &*route.name),
        method: Some(request.method.as_str()),
        host: target.map(|t| t.host()),
        path: Some(target.map_or_else(|| request.uri.path(), |t| t.sent().path())),
        query: target.map(|t| t.query()).filter(|q| !q.is_empty()),
        protocol: protocol(request.version),
        status,
        cause: cause.map(Cause::name),
        upstream: ctx.upstream().map(|upstream| &*upstream.name),
        endpoint: attempt.map(|a| &**a.picked.endpoint().label()),
        attempts: ctx.attempts,
        earlier: &earlier,
        bytes_received: received,
        bytes_sent: sent,
        duration,
        upstream_time: attempt.map(|a| a.ended.unwrap_or_else(Instant::now) - a.picked.started),
        user_agent,
        referer,
        further: &further,
    });
}

/// What the line of the access log wants besides the record.
fn further(session: &mut Session, ctx: &mut Ctx, wanted: &[Variable]) -> Box<[Box<str>]> {
    if wanted.is_empty() {
        return Box::default();
    }
    let values = ctx.lend_unrouted(session.req_header_mut(), None, |_, exchange| {
        let value = |variable| {
            let mut value = String::new();
            exchange.write(variable, &mut value);
            value.into()
        };
        wanted.iter().map(value).collect()
    });
    values.unwrap_or_default()
}

fn of_earlier(attempt: &ctx::Earlier) -> Earlier<'_> {
    let (status, cause) = match attempt.outcome {
        Some(Outcome::Answered(status)) => (Some(status.as_u16()), None),
        Some(Outcome::Failed(cause)) => (None, Some(cause.name())),
        None => (None, None),
    };
    Earlier { endpoint: &attempt.endpoint, status, cause, took: attempt.took }
}

/// Why the exchange failed; that a tunnel ends is no failure.
fn cause(session: &Session, error: Option<&Error>, ctx: &Ctx) -> Option<Cause> {
    let cause = ctx.cause.or_else(|| failure::of(error?, session, ctx))?;
    let is_end = matches!(cause, Cause::ClientClosed | Cause::UpstreamReset);
    (!(session.was_upgraded() && is_end)).then_some(cause)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// The first value of each field; comparing the few names costs less than hashing one.
fn texts(headers: &HeaderMap, names: [HeaderName; 2]) -> [Option<Cow<'_, str>>; 2] {
    names.map(|name| {
        let (_, value) = headers.iter().find(|(own, _)| **own == name)?;
        Some(String::from_utf8_lossy(value.as_bytes()))
    })
}
