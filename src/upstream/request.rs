//! The request as it goes upstream: one pure function of the client's request and known facts.

use crate::exchange::{Client, Connection, write_ip};
use crate::net::forwarded;
use crate::net::hop::{self, Minded};
use http::Version;
use http::header::{self, HeaderName, HeaderValue};
use pingora::http::RequestHeader;
use std::net::IpAddr;

// Looked up by these; inserted by their usual spelling, which the engine takes without a copy.
const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// What the request cannot know by itself.
#[derive(Clone, Copy, Debug)]
pub struct Introduced<'a> {
    /// The connection that the request came by.
    pub connection: &'a Connection,
    /// The client.
    pub client: &'a Client,
    /// The host that the client asked for, as it sent it.
    pub host: Option<&'a HeaderValue>,
    /// The version that it came by.
    pub received: Version,
    /// What the client sent of the fields that matter here.
    pub minded: Minded,
}

/// Tells of the client: from a trusted peer what it told is kept and extended, from anyone else it
/// is removed, whether we send the field or not. Filters come after, and may say otherwise.
pub fn introduce(request: &mut RequestHeader, facts: &Introduced<'_>) -> pingora::Result<()> {
    let told = facts.client.is_forwarded;
    if !told && facts.minded.forwarded {
        strip_forwarded(request);
    }
    if let Some(peer) = facts.connection.peer {
        let before = if told { joined(request, &FOR) } else { None };
        // Room for an address of IPv4.
        let mut chain = before.map_or_else(|| String::with_capacity(15), |before| before + ", ");
        write_ip(peer.ip().to_canonical(), &mut chain);
        request.insert_header("X-Forwarded-For", chain)?;
    }
    if !told || !request.headers.contains_key(&PROTO) {
        let scheme = HeaderValue::from_static(facts.connection.scheme());
        request.insert_header("X-Forwarded-Proto", scheme)?;
    }
    if let Some(via) = &facts.connection.entrance.via {
        request.append_header("Via", via.value(facts.received))?;
    }
    if let Some(host) = facts.host {
        if !told || !request.headers.contains_key(&HOST) {
            request.insert_header("X-Forwarded-Host", host)?;
        }
        // Over HTTP/1 it is the field itself.
        if facts.received == Version::HTTP_2 && !is_only(request, &header::HOST, host) {
            request.insert_header(header::HOST, host)?;
        }
    }
    Ok(())
}

/// What decides on a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The `Host` to send; `None` leaves the one that is there.
    pub host: Option<&'a HeaderValue>,
    /// The prefix that a rewrite stripped.
    pub stripped_prefix: Option<&'a str>,
    /// What `Forwarded` tells, if the endpoint gets it.
    pub forwarded: Option<Introduced<'a>>,
}

/// Makes an introduced request the one that goes upstream, in the version it goes by: hop-by-hop
/// fields go.
pub fn prepare(request: &mut RequestHeader, facts: &Outgoing<'_>) -> pingora::Result<()> {
    let minded = Minded::of(&request.headers);
    let upgrade = if minded.upgrade { hop::upgrade(request).cloned() } else { None };
    let wants_trailers = minded.te && hop::has_token(&request.headers, &header::TE, "trailers");
    hop::strip_request(request, minded);
    let is_h2 = request.version == Version::HTTP_2;
    match upgrade {
        Some(protocol) if !is_h2 => {
            request.insert_header(header::CONNECTION, "Upgrade")?;
            request.insert_header(header::UPGRADE, protocol)?;
        }
        _ if wants_trailers => {
            request.insert_header(header::TE, "trailers")?;
            if !is_h2 {
                request.insert_header(header::CONNECTION, "TE")?;
            }
        }
        _ => {}
    }
    if let Some(prefix) = facts.stripped_prefix {
        let before = joined(request, &PREFIX).unwrap_or_default();
        request.insert_header("X-Forwarded-Prefix", format!("{before}{prefix}"))?;
    }
    if let Some(told) = &facts.forwarded {
        let before = joined(request, &header::FORWARDED).map(|before| before + ", ");
        let element = forwarded_element(told);
        request.insert_header(header::FORWARDED, before.unwrap_or_default() + &element)?;
    }
    // HTTP/2 carries it as `:authority`; the engine takes that from here, with its own scheme.
    if let Some(host) = facts.host {
        request.insert_header(header::HOST, host)?;
    }
    if is_h2 {
        // The engine would leave the client waiting for a 100 that it does not pass on.
        request.remove_header(&header::EXPECT);
    } else if minded.cookie {
        join_cookies(request)?;
    }
    Ok(())
}

/// The element of `Forwarded` (RFC 7239, 4) that tells of our own peer.
fn forwarded_element(told: &Introduced<'_>) -> String {
    let node = match told.connection.peer.map(|peer| peer.ip().to_canonical()) {
        Some(IpAddr::V4(ip)) => ip.to_string(),
        Some(IpAddr::V6(ip)) => format!("\"[{ip}]\""),
        // A peer without an address has this name (RFC 7239, 6.2).
        None => "unknown".into(),
    };
    let mut element = format!("for={node};proto={}", told.connection.scheme());
    if let Some(host) = told.host.and_then(|host| host.to_str().ok()) {
        element += &format!(";host=\"{host}\"");
    }
    element
}

fn strip_forwarded(request: &mut RequestHeader) {
    let forged: Vec<HeaderName> =
        request.headers.keys().filter(|name| forwarded::is_forwarded(name)).cloned().collect();
    for name in forged {
        request.remove_header(&name);
    }
}

fn is_only(request: &RequestHeader, name: &HeaderName, value: &HeaderValue) -> bool {
    let mut values = request.headers.get_all(name).iter();
    values.next() == Some(value) && values.next().is_none()
}

fn joined(request: &RequestHeader, name: &HeaderName) -> Option<String> {
    let values: Vec<_> =
        request.headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// HTTP/2 may split cookies over several fields, HTTP/1 may not (RFC 9113, 8.2.3).
fn join_cookies(request: &mut RequestHeader) -> pingora::Result<()> {
    let mut cookies = request.headers.get_all(header::COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return Ok(());
    }
    let values: Vec<_> = request.headers.get_all(header::COOKIE).iter().collect();
    let joined = values.iter().map(|v| v.as_bytes()).collect::<Vec<_>>().join(&b"; "[..]);
    match HeaderValue::from_bytes(&joined) {
        Ok(value) => request.insert_header(header::COOKIE, value),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
