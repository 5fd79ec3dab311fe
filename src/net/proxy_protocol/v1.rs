//! `PROXY TCP4 192.0.2.7 203.0.113.1 56324 443`, and CR LF.

use super::{Fault, Header};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// The longest line of the specification, with its end.
const LONGEST: usize = 107;

pub(super) fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    let seen = bytes.get(..LONGEST).unwrap_or(bytes);
    let is_full = seen.len() == LONGEST;
    let end = seen.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(seen.len());
    let (line, rest) = seen.split_at_checked(end).unwrap_or_default();
    match rest {
        [b'\r', b'\n', ..] => {}
        [] | [b'\r'] if !is_full => return Ok(None),
        [] | [b'\r'] => return Err(Fault::Malformed("a line of more than 107 bytes")),
        _ => return Err(Fault::Malformed("a line that does not end with CR LF")),
    }
    let told = line.get(SIGNATURE.len()..).unwrap_or_default();
    let header = if told == b"UNKNOWN" || told.starts_with(b"UNKNOWN ") {
        // What else it says is to be ignored.
        Header::Own
    } else {
        str::from_utf8(told).ok().and_then(tcp).ok_or(Fault::Malformed("a line of other fields"))?
    };
    Ok(Some((header, end + 2)))
}

fn tcp(told: &str) -> Option<Header> {
    let fields: Vec<&str> = told.split(' ').collect();
    let &[family, source, destination, from, to] = fields.as_slice() else { return None };
    let ip: fn(&str) -> Option<IpAddr> = match family {
        "TCP4" => ip::<Ipv4Addr>,
        "TCP6" => ip::<Ipv6Addr>,
        _ => return None,
    };
    Some(Header::Tcp {
        source: SocketAddr::new(ip(source)?, port(from)?),
        destination: SocketAddr::new(ip(destination)?, port(to)?),
    })
}

fn ip<I: FromStr + Into<IpAddr>>(text: &str) -> Option<IpAddr> {
    text.parse::<I>().ok().map(Into::into)
}

/// In one notation only: neither `+80` nor `080`.
fn port(text: &str) -> Option<u16> {
    let is_plain = text == "0" || text.starts_with(|first: char| matches!(first, '1'..='9'));
    text.parse().ok().filter(|_| is_plain)
}

pub(super) fn write(ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let Some((source, destination)) = ends else { return b"PROXY UNKNOWN\r\n".to_vec() };
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.port(), destination.port());
    let line = format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip());
    line.into_bytes()
}
