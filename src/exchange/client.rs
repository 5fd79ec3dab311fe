//! The remote party of an exchange, after trusted proxies were heard.

use super::Connection;
use crate::net::forwarded;
use http::header::{HeaderMap, HeaderName};
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

/// The field from which a trusted proxy's word on the client is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub HeaderName);

impl Default for ClientAddress {
    fn default() -> Self {
        Self(HeaderName::from_static("x-forwarded-for"))
    }
}

/// Appends an address to a text; formatting it would cost twenty times this.
pub fn write_ip(ip: IpAddr, text: &mut String) {
    let IpAddr::V4(ip) = ip else {
        // A text takes all that is written.
        let _ = write!(text, "{ip}");
        return;
    };
    for (place, octet) in ip.octets().into_iter().enumerate() {
        if place > 0 {
            text.push('.');
        }
        if octet >= 100 {
            text.push(digit(octet / 100));
        }
        if octet >= 10 {
            text.push(digit(octet / 10 % 10));
        }
        text.push(digit(octet % 10));
    }
}

fn digit(value: u8) -> char {
    char::from(b'0' + value)
}

/// Who sent the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address; unspecified (`0.0.0.0`) on a unix socket that told no client.
    pub ip: IpAddr,
    /// Its port, if known.
    pub port: Option<u16>,
    /// Whether the peer is a trusted proxy, so that its other forwarded fields are believed.
    pub is_forwarded: bool,
}

impl Client {
    /// The client of a request: the peer, or what the peer says if it is trusted.
    pub fn of(connection: &Connection, headers: &HeaderMap) -> Self {
        let Some(peer) = connection.peer else {
            return Self { ip: Ipv4Addr::UNSPECIFIED.into(), port: None, is_forwarded: false };
        };
        let direct =
            Self { ip: peer.ip().to_canonical(), port: Some(peer.port()), is_forwarded: false };
        let entrance = &connection.entrance;
        let is_trusted = |ip| entrance.trusted_proxies.contains(ip);
        if !is_trusted(direct.ip) {
            return direct;
        }
        match forwarded::client(headers, &entrance.client_address.0, is_trusted) {
            Some((ip, port)) => Self { ip, port, is_forwarded: true },
            None => Self { is_forwarded: true, ..direct },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_it_is_displayed() {
        for ip in ["0.0.0.0", "192.0.2.17", "255.255.255.255", "2001:db8::1", "::"] {
            let mut text = String::from("by ");
            write_ip(ip.parse().unwrap(), &mut text);
            assert_eq!(text, format!("by {ip}"));
        }
    }
}
