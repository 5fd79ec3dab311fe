//! Who the client is, by what trusted proxies say (`X-Forwarded-For` and RFC 7239 `Forwarded`).

use http::header::{HeaderMap, HeaderName};
use std::net::{IpAddr, Ipv6Addr};

/// Whether proxies tell of the client by this field; from anyone else it is a forgery. Where
/// applications get fields as variables (CGI, WSGI), `x_forwarded_for` is the same as ours.
pub fn is_forwarded(name: &HeaderName) -> bool {
    // Asked of every field of every request: most begin otherwise, and those that do are usual.
    if !matches!(name.as_str().as_bytes().first(), Some(b'x' | b'f')) {
        return false;
    }
    if name.as_str().starts_with("x-forwarded-") {
        return true;
    }
    let begins = |with: &str| {
        let own = name.as_str().as_bytes().get(..with.len()).unwrap_or_default();
        own.iter().map(|byte| if *byte == b'_' { b'-' } else { *byte }).eq(with.bytes())
    };
    let is = |other: &str| name.as_str().len() == other.len() && begins(other);
    begins("x-forwarded-") || is("x-real-ip") || is("forwarded")
}

/// The client and, if it was told, its port: read from the right to the first untrusted address.
///
/// `None` when the field is absent or its rightmost element is no address. A list in which every
/// address is trusted yields the leftmost; an element that is no address (`unknown`, an obfuscated
/// `_hidden`) ends the walk at the last address before it, because nothing left of it can be
/// believed.
pub fn client(
    headers: &HeaderMap,
    name: &HeaderName,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, Option<u16>)> {
    let is_rfc7239 = name == http::header::FORWARDED;
    let mut found = None;
    for value in headers.get_all(name).iter().rev() {
        let Ok(mut rest) = value.to_str() else { return found };
        while let Some(element) = last(&mut rest, b',') {
            let told = if is_rfc7239 { forwarded_for(element) } else { node(unquoted(element)) };
            let Some(address) = told else { return found };
            found = Some(address);
            if !is_trusted(address.0) {
                return found;
            }
        }
    }
    found
}

/// Cuts the last element off a list, blanks around it too; what is quoted separates nothing.
///
/// Reading begins at the right, where trusted proxies write: a quote that a client left open on
/// the left hides nothing that they said. Empty elements count for nothing (RFC 9110, 5.6.1).
fn last<'a>(rest: &mut &'a str, separator: u8) -> Option<&'a str> {
    loop {
        let text = *rest;
        if text.is_empty() {
            return None;
        }
        let mut is_quoted = false;
        let at = text.bytes().enumerate().rev().find(|(at, byte)| {
            is_quoted ^= *byte == b'"' && !is_escaped(text, *at);
            *byte == separator && !is_quoted
        });
        let (before, element) = match at {
            Some((at, _)) => (text.get(..at)?, text.get(at + 1..)?),
            None => ("", text),
        };
        *rest = before;
        let element = element.trim();
        if !element.is_empty() {
            return Some(element);
        }
    }
}

/// Whether an odd number of backslashes stands before a place.
fn is_escaped(text: &str, at: usize) -> bool {
    let before = text.bytes().take(at).rev();
    before.take_while(|byte| *byte == b'\\').count() % 2 == 1
}

/// The `for=` of one element of `Forwarded` (RFC 7239, 4); told twice, it tells nothing.
fn forwarded_for(mut element: &str) -> Option<(IpAddr, Option<u16>)> {
    let mut found = None;
    while let Some(pair) = last(&mut element, b';') {
        let (key, value) = pair.split_once('=')?;
        if key.trim().eq_ignore_ascii_case("for") && found.replace(node(unquoted(value))?).is_some()
        {
            return None;
        }
    }
    found
}

/// A value without the quotes around it. No address needs a `quoted-pair` within.
fn unquoted(value: &str) -> &str {
    let value = value.trim();
    value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"')).unwrap_or(value)
}

/// An address in any notation in use: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80`; with a zone (`fe80::1%eth0`), and with a port that is obfuscated (`_http`).
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Some(ip) = ip(text) {
        return Some((ip, None));
    }
    let (address, port) = match text.strip_prefix('[') {
        Some(inner) => {
            let (address, port) = inner.split_once(']')?;
            (IpAddr::V6(v6(address)?), port)
        }
        None => {
            let (address, port) = text.split_at(text.find(':')?);
            (IpAddr::V4(address.parse().ok()?), port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some(port) if is_obfuscated(port) => None,
        port => Some(port.filter(|port| port.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()?),
    };
    Some((address.to_canonical(), port))
}

fn ip(text: &str) -> Option<IpAddr> {
    let ip = text.parse().ok().or_else(|| v6(text).map(IpAddr::V6))?;
    Some(ip.to_canonical())
}

/// An address whose zone, if it has one, means nothing to us.
fn v6(text: &str) -> Option<Ipv6Addr> {
    let address = match text.split_once('%') {
        Some((_, "")) => return None,
        Some((address, _)) => address,
        None => text,
    };
    address.parse().ok()
}

/// RFC 7239, 6.3.
fn is_obfuscated(port: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    port.strip_prefix('_').is_some_and(|name| !name.is_empty() && name.bytes().all(is_known))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
    const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

    fn ask(name: &HeaderName, values: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name, value.parse().unwrap());
        }
        let trusted = |ip: IpAddr| ip.to_string().starts_with("10.");
        client(&headers, name, trusted).map(|(ip, port)| match port {
            Some(port) => format!("{ip} {port}"),
            None => ip.to_string(),
        })
    }

    #[test]
    fn a_field_that_an_application_takes_for_ours_is_one_too() {
        for name in ["x-forwarded-for", "x_forwarded_for", "x-forwarded_proto", "x_real-ip"] {
            assert!(is_forwarded(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["x-forwarded", "x-real-ipv6", "xforwarded-for", "forwarded-by"] {
            assert!(!is_forwarded(&HeaderName::from_static(name)), "{name}");
        }
    }

    #[test]
    fn the_first_untrusted_address_from_the_right_is_the_client() {
        assert_eq!(ask(&FOR, &["6.6.6.6, 192.0.2.7, 10.0.0.1"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(ask(&FOR, &["6.6.6.6", "192.0.2.7", "10.0.0.1"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(ask(&FOR, &["10.0.0.2, 10.0.0.1"]).as_deref(), Some("10.0.0.2"));
    }

    #[test]
    fn every_notation_of_an_address_is_read() {
        for (text, client) in [
            ("192.0.2.7:4711", "192.0.2.7 4711"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1 80"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("[::ffff:192.0.2.7]:80", "192.0.2.7 80"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%12]:80", "fe80::1 80"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1 80"),
            ("192.0.2.7:_http", "192.0.2.7"),
            ("[2001:db8::1]:_h-1", "2001:db8::1"),
        ] {
            assert_eq!(ask(&FOR, &[text]).as_deref(), Some(client), "{text}");
            let quoted = format!("for=\"{}\"", text.trim_matches('"'));
            assert_eq!(ask(&FORWARDED, &[&quoted]).as_deref(), Some(client), "{quoted}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        for text in [
            "unknown",
            "_hidden",
            "192.0.2.7:",
            "192.0.2.7:99999",
            "192.0.2.7:+80",
            "192.0.2.7:_",
            "192.0.2.07",
            "192.0.2",
            "[192.0.2.7]",
            "2001:db8::1:",
            "[2001:db8::1",
            "2001:db8::1]",
            "[2001:db8::1]80",
            "fe80::1%",
            "a.example",
            "\"192.0.2.7",
        ] {
            assert_eq!(ask(&FOR, &[text]), None, "{text}");
        }
    }

    #[test]
    fn empty_elements_count_for_nothing() {
        assert_eq!(ask(&FOR, &["192.0.2.7, , 10.0.0.1,", ""]).as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn nothing_left_of_nonsense_is_believed() {
        assert_eq!(ask(&FOR, &["192.0.2.7, nonsense, 10.0.0.1"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(ask(&FOR, &["192.0.2.7, unknown"]), None);
        assert_eq!(ask(&FOR, &[]), None);
    }

    #[test]
    fn the_for_of_forwarded_is_read() {
        let value = r#"for=192.0.2.7;proto=https, For="[2001:db8::1]:4711";by=_edge"#;
        assert_eq!(ask(&FORWARDED, &[value]).as_deref(), Some("2001:db8::1 4711"));
        assert_eq!(ask(&FORWARDED, &["for=192.0.2.7, for=10.0.0.1"]).as_deref(), Some("192.0.2.7"));
        assert_eq!(ask(&FORWARDED, &["proto=https"]), None);
        assert_eq!(ask(&FORWARDED, &["for=_hidden, for=10.0.0.1"]).as_deref(), Some("10.0.0.1"));
        assert_eq!(ask(&FORWARDED, &["for=192.0.2.7, for=unknown;by=10.0.0.1"]), None);
        assert_eq!(ask(&FORWARDED, &["for=192.0.2.7;for=6.6.6.6"]), None);
    }

    #[test]
    fn what_is_quoted_is_no_element() {
        for value in [
            r#"for=192.0.2.7;note="a, for=6.6.6.6""#,
            r#"for=192.0.2.7;note="a;for=6.6.6.6""#,
            r#"for=192.0.2.7;note="a\", for=6.6.6.6;b=\"""#,
            // A client leaves a quote open, and a proxy appends.
            r#"for="6.6.6.6, for=192.0.2.7;by="_edge", for=10.0.0.1"#,
        ] {
            assert_eq!(ask(&FORWARDED, &[value]).as_deref(), Some("192.0.2.7"), "{value}");
        }
    }
}
