//! Who the client is, by what trusted proxies say (`X-Forwarded-For` and RFC 7239 `Forwarded`).

use http::header::{HeaderMap, HeaderName};
use std::net::{IpAddr, SocketAddr};

/// Whether proxies tell of the client by this field; from anyone else it is a forgery. Where
/// applications get fields as variables (CGI, WSGI), `x_forwarded_for` is the same as ours.
pub fn is_forwarded(name: &HeaderName) -> bool {
    // Asked of every field of every request, and few begin so.
    if !name.as_str().starts_with(['x', 'f']) {
        return false;
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
/// address is trusted yields the leftmost; an element that is no address ends the walk at the last
/// address before it, because nothing left of it can be believed.
pub fn client(
    headers: &HeaderMap,
    name: &HeaderName,
    is_trusted: impl Fn(IpAddr) -> bool,
) -> Option<(IpAddr, Option<u16>)> {
    let parse = if name.as_str() == "forwarded" { forwarded_for } else { node };
    let mut found = None;
    for value in headers.get_all(name).iter().rev() {
        let Ok(text) = value.to_str() else { return found };
        for element in text.rsplit(',') {
            let Some(address) = parse(element.trim()) else { return found };
            found = Some(address);
            if !is_trusted(address.0) {
                return found;
            }
        }
    }
    found
}

/// The `for=` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<(IpAddr, Option<u16>)> {
    element.split(';').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        key.trim().eq_ignore_ascii_case("for").then(|| node(value.trim().trim_matches('"')))?
    })
}

/// An address in any notation in use: `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn node(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some((ip.to_canonical(), None));
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip().to_canonical(), Some(address.port())));
    }
    let bare = text.strip_prefix('[')?.strip_suffix(']')?;
    bare.parse::<IpAddr>().ok().map(|ip| (ip.to_canonical(), None))
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
        ] {
            assert_eq!(ask(&FOR, &[text]).as_deref(), Some(client));
        }
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
    }
}
