//! A request arrives: strict checks, the client, the route.

use super::ctx::{Accepted, Ctx};
use super::http10;
use super::witness::Sight;
use crate::exchange::{Cause, Client, Connection, Target};
use crate::net::hop::{self, Minded};
use crate::route::table::{Outcome, Request};
use crate::runtime::Snapshot;
use http::header::{self, HeaderValue};
use http::uri::{PathAndQuery, Uri};
use http::{Method, Version};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora::proxy::Session;

/// Accepts a request or ends it with its cause.
pub(super) fn accept(snapshot: &Snapshot, session: &mut Session, ctx: &mut Ctx) -> Result<()> {
    let Some(arrival) = ctx.arrival.clone() else { return Err(ctx.fail(Cause::Internal)) };
    // The watch of the exchange is the only timeout for reading.
    session.set_read_timeout(None);
    http10::accept(session);
    let entrance = &arrival.connection.entrance;
    let accepted = read(session.req_header_mut(), &arrival.connection);
    let found = match &accepted {
        // Asked of the edge itself, whatever its routes are.
        Ok(accepted) if accepted.target.is_asterisk() => Outcome::NoRoute,
        Ok(accepted) => {
            let question = question(session.req_header(), accepted, &arrival.connection);
            snapshot.table.find(&question)
        }
        Err(_) => Outcome::NoRoute,
    };
    ctx.route = match &found {
        Outcome::Found(found) => snapshot.routes.get(found.index).cloned(),
        Outcome::NoRoute | Outcome::UnknownHost => None,
    };
    let metrics = ctx.route.as_ref().map_or(&snapshot.unrouted, |route| &route.metrics);
    ctx.in_flight = Some(metrics.begin(entrance.index));
    let of_listener = entrance.limits.min_body_rate;
    arrival.watch.limit(match &ctx.route {
        Some(route) => route.limits.min_body_rate(of_listener),
        None => of_listener,
    });
    match accepted {
        Ok(accepted) => ctx.accepted = Some(accepted),
        Err(cause) => return Err(ctx.fail(cause)),
    }
    uri_size(ctx, entrance.limits.uri_size)?;
    match found {
        Outcome::Found(found) => ctx.captures = found.captures,
        Outcome::NoRoute if ctx.is_asterisk() => {}
        Outcome::NoRoute => return Err(ctx.fail(Cause::NoRoute)),
        Outcome::UnknownHost => return Err(ctx.fail(Cause::UnknownHost)),
    }
    body_size(session, ctx, entrance.limits.body_size)
}

/// Reads what matching needs, and brings the head into one form for both versions.
fn read(
    request: &mut RequestHeader,
    connection: &Connection,
) -> std::result::Result<Accepted, Cause> {
    // An edge is no tunnel, and an echo of the request would show what it added (RFC 9110, 9.3.8).
    if matches!(request.method, Method::CONNECT | Method::TRACE) {
        return Err(Cause::MethodNotAllowed);
    }
    let limits = &connection.entrance.limits;
    let is_h2 = request.version == Version::HTTP_2;
    if is_h2 && limits.header_count.is_some_and(|most| request.headers.len() as u64 > most) {
        return Err(Cause::HeaderTooLarge);
    }
    let host = host(request, is_h2)?;
    let target =
        request.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    if is_h2 && !is_sound(request, &target) {
        return Err(Cause::BadRequest);
    }
    let empty = HeaderValue::from_static("");
    let target = Target::new(target, host.as_ref().unwrap_or(&empty)).ok_or(Cause::BadRequest)?;
    let minded = Minded::of(&request.headers);
    let is_upgrade = minded.upgrade && hop::upgrade(request).is_some();
    if minded.upgrade && !is_upgrade {
        // The engine takes the field alone for an upgrade.
        request.remove_header(&header::UPGRADE);
    }
    let client = Client::of(connection, &request.headers);
    if minded.connection {
        hop::strip_nominated(request);
    }
    Ok(Accepted { client, target, host, is_upgrade, version: request.version, minded })
}

/// What the listener has refused on HTTP/1 already, and no HTTP/1 endpoint may get: a target that
/// cannot be one there, a length that is told twice, and values that HTTP/1 would trim.
fn is_sound(request: &RequestHeader, target: &PathAndQuery) -> bool {
    let is_target = match target.as_str() {
        "*" => request.method == Method::OPTIONS,
        target => target.starts_with('/') && target.is_ascii(),
    };
    let mut lengths = request.headers.get_all(header::CONTENT_LENGTH).iter();
    let is_trimmed = |value: &HeaderValue| value.as_bytes().trim_ascii() == value.as_bytes();
    is_target && lengths.nth(1).is_none() && request.headers.values().all(is_trimmed)
}

/// The host that was asked for; the absolute form of a target becomes the origin form.
fn host(
    request: &mut RequestHeader,
    is_h2: bool,
) -> std::result::Result<Option<HeaderValue>, Cause> {
    let is_absolute = !is_h2 && !request.raw_path().starts_with(b"/") && request.raw_path() != b"*";
    let sent = if is_absolute { Uri::try_from(request.raw_path()).ok() } else { None };
    let authority = sent.as_ref().unwrap_or(&request.uri).authority();
    let Some(authority) = authority else {
        return Ok(request.headers.get(header::HOST).filter(|host| !host.is_empty()).cloned());
    };
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Cause::BadRequest)?;
    if is_absolute {
        // The target's host wins over the field (RFC 9112, 3.2.2); the engine compared them. Its
        // URI has the path alone, and setting it makes the engine forget the absolute form.
        request.set_uri(request.uri.clone());
        request.insert_header(header::HOST, host.clone()).map_err(|_| Cause::BadRequest)?;
    }
    Ok(Some(host))
}

/// What the table is asked about a request.
fn question<'a>(
    request: &'a RequestHeader,
    accepted: &'a Accepted,
    connection: &Connection,
) -> Request<'a> {
    Request {
        listener: connection.entrance.index,
        method: &request.method,
        host: accepted.target.host(),
        path: accepted.target.path(),
        query: accepted.target.query(),
        headers: &request.headers,
        client: accepted.client.ip,
    }
}

/// What a witness sees of a request that was accepted or refused.
pub(super) fn sight<'a>(session: &'a Session, ctx: &'a Ctx) -> Sight<'a> {
    let request = match (ctx.connection(), &ctx.accepted) {
        (Some(connection), Some(accepted)) => {
            Some(question(session.req_header(), accepted, connection))
        }
        _ => None,
    };
    Sight { request, route: ctx.route.as_deref(), captures: &ctx.captures }
}

/// Whether the target is too long, for the route if there is one.
fn uri_size(ctx: &mut Ctx, of_listener: Option<u64>) -> Result<()> {
    let most = match &ctx.route {
        Some(route) => route.limits.uri_size(of_listener),
        None => of_listener,
    };
    let length = ctx.accepted.as_ref().map_or(0, |a| a.target.sent().as_str().len() as u64);
    if most.is_some_and(|most| length > most) { Err(ctx.fail(Cause::UriTooLong)) } else { Ok(()) }
}

/// Whether the body is too large, as far as the head tells.
fn body_size(session: &Session, ctx: &mut Ctx, of_listener: Option<u64>) -> Result<()> {
    let most = ctx.route.as_ref().and_then(|route| route.limits.body_size(of_listener));
    let Some(most) = most else { return Ok(()) };
    if !ctx.accepted.as_ref().is_some_and(|accepted| accepted.minded.length) {
        return Ok(());
    }
    let announced = session.req_header().headers.get(header::CONTENT_LENGTH);
    let announced: Option<u64> = announced.and_then(|v| v.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length| length > most) {
        return Err(ctx.fail(Cause::BodyTooLarge));
    }
    Ok(())
}
