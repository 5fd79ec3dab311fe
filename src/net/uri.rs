//! Paths and authorities of requests, in the one form that matching sees.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Why a path is not worth matching.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A `%` without two hex digits.
    #[error("the path holds an invalid percent escape")]
    Escape,
    /// A NUL, escaped or not: it cuts names short in programs behind us.
    #[error("the path holds a NUL")]
    Nul,
}

/// The path with dot segments resolved, unreserved escapes decoded and the others in upper case.
///
/// `%2F` stays an escape, repeated slashes stay, and what would rise above the root stops there.
/// Normalising twice changes nothing more; a path in normal form is borrowed.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, Refused> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    // `*` and other texts that are no path have no segments to resolve.
    if decoded.starts_with('/') && decoded.split('/').any(is_dots) {
        return Ok(Cow::Owned(resolve(&decoded)));
    }
    Ok(decoded)
}

/// What a document may say plainly and requests must escape, besides all beyond ASCII.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`');

/// A path as a document writes it, as a request says it; escapes that are there stay.
pub fn escape(path: &str) -> Cow<'_, str> {
    utf8_percent_encode(path, ESCAPED).into()
}

/// The host, which begins it, and the port of an authority; `None` if it is not a plain `host[:port]`.
///
/// IPv6 addresses keep their brackets, a trailing dot is dropped, and an empty port counts as none.
/// Userinfo, blanks, control characters and everything beyond ASCII are refused.
pub fn host(authority: &str) -> Option<(&str, Option<u16>)> {
    if authority.is_empty() {
        return Some(("", None));
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(inner) => {
            let (address, after) = inner.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (authority.get(..address.len() + 2)?, after)
        }
        None => {
            let colon = authority.bytes().position(|byte| byte == b':');
            let (host, port) = authority.split_at(colon.unwrap_or(authority.len()));
            let host = host.strip_suffix('.').unwrap_or(host);
            if host.is_empty() || !host.bytes().all(is_name_byte) {
                return None;
            }
            (host, port)
        }
    };
    Some((host, port_number(port)?))
}

/// The text in lower case, borrowed if it is so already.
pub fn lower(text: &str) -> Cow<'_, str> {
    if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(text.to_ascii_lowercase())
    } else {
        Cow::Borrowed(text)
    }
}

/// Whether nothing in the path could need a change; sure of a yes, not of a no.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().all(|byte| {
        let plain = byte != b'%' && byte != 0 && !(byte == b'.' && previous == b'/');
        previous = byte;
        plain
    })
}

fn decode(path: &str) -> Result<Cow<'_, str>, Refused> {
    if path.contains('\0') {
        return Err(Refused::Nul);
    }
    let mut decoded = String::new();
    let mut copied = 0;
    for (at, _) in path.match_indices('%') {
        let escape = path.get(at..at + 3).ok_or(Refused::Escape)?;
        let byte = octet(escape).ok_or(Refused::Escape)?;
        if byte == 0 {
            return Err(Refused::Nul);
        }
        let unreserved = is_unreserved(byte);
        if !unreserved && !escape.bytes().any(|digit| digit.is_ascii_lowercase()) {
            continue;
        }
        decoded.push_str(path.get(copied..at).unwrap_or_default());
        if unreserved {
            decoded.push(char::from(byte));
        } else {
            decoded.push_str(&escape.to_ascii_uppercase());
        }
        copied = at + escape.len();
    }
    if copied == 0 {
        return Ok(Cow::Borrowed(path));
    }
    decoded.push_str(path.get(copied..).unwrap_or_default());
    Ok(Cow::Owned(decoded))
}

/// RFC 3986, 5.2.4, over a path that begins with a slash.
fn resolve(path: &str) -> String {
    let mut resolved = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        if segment == ".." {
            resolved.truncate(resolved.rfind('/').unwrap_or(0));
        }
        if !is_dots(segment) {
            resolved.push('/');
            resolved.push_str(segment);
        } else if segments.peek().is_none() {
            resolved.push('/');
        }
    }
    resolved
}

fn is_dots(segment: &str) -> bool {
    matches!(segment, "." | "..")
}

fn octet(escape: &str) -> Option<u8> {
    let mut digits = escape.chars().skip(1).map(|digit| digit.to_digit(16));
    let value = digits.next()?? * 16 + digits.next()??;
    u8::try_from(value).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_name_byte(byte: u8) -> bool {
    // From `$` to `.` are `%`, `&` and the rest of RFC 3986's `sub-delims`, with `-` and `.`.
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~')
}

/// The outer `None` refuses; `:` alone is a port left out.
fn port_number(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.strip_prefix(':')?;
    match digits.bytes().all(|digit| digit.is_ascii_digit()) {
        true if digits.is_empty() => Some(None),
        true => digits.parse().ok().map(Some),
        false => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dot_segments_are_resolved_and_the_root_is_the_top() {
        let cases = [
            ("/a/b/../c", "/a/c"),
            ("/a/./b", "/a/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/..", "/"),
            ("/../../etc", "/etc"),
            ("/a//../b", "/a/b"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e", "/"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a/..b", "/a/..b"),
        ];
        for (path, normal) in cases {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn only_unreserved_escapes_are_decoded() {
        let cases = [
            ("/%41%7e", "/A~"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb%20c", "/a%2Fb%20c"),
            ("/%252e%252e/x", "/%252e%252e/x"),
            ("/caf%c3%a9/%61", "/caf%C3%A9/a"),
            ("//a//b", "//a//b"),
            ("/a\\..\\b", "/a\\..\\b"),
            ("*", "*"),
            ("", ""),
        ];
        for (path, normal) in cases {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn a_normal_path_is_borrowed() {
        for path in ["/", "/a/b.c/d", "/a%20b%2Fc", "/.well-known/x", "//", "*"] {
            assert!(matches!(normalise(path), Ok(Cow::Borrowed(_))), "{path}");
        }
    }

    #[test]
    fn broken_escapes_and_nul_are_refused() {
        for path in ["/%", "/%2", "/%zz", "/%+1", "/%%41", "/%é", "/a%4"] {
            assert_eq!(normalise(path), Err(Refused::Escape), "{path}");
        }
        for path in ["/a%00.png", "/a\0b"] {
            assert_eq!(normalise(path), Err(Refused::Nul), "{path}");
        }
    }

    #[test]
    fn normalising_twice_changes_nothing_more() {
        let mut random = fastrand::Rng::with_seed(7);
        let pieces = ["/", ".", "..", "%2e", "%2F", "%25", "%c3", "a", "/../", "%41", "é"];
        for _ in 0..20_000 {
            let path: String = (0..random.usize(..9))
                .filter_map(|_| random.choice(pieces))
                .fold("/".to_owned(), |path, piece| path + piece);
            let once = normalise(&path).unwrap().into_owned();
            assert!(!once.split('/').any(is_dots), "{path} became {once}");
            assert_eq!(normalise(&once), Ok(Cow::Borrowed(once.as_str())), "{path}");
        }
    }

    #[test]
    fn an_authority_is_split_into_host_and_port() {
        let cases = [
            ("example.com", ("example.com", None)),
            ("example.com:8080", ("example.com", Some(8080))),
            ("example.com.:443", ("example.com", Some(443))),
            ("example.com:", ("example.com", None)),
            ("[::1]:8080", ("[::1]", Some(8080))),
            ("[::1]", ("[::1]", None)),
            ("10.0.0.1:1", ("10.0.0.1", Some(1))),
            ("a..b", ("a..b", None)),
            ("a_b", ("a_b", None)),
            ("", ("", None)),
        ];
        for (authority, parts) in cases {
            assert_eq!(host(authority), Some(parts), "{authority}");
        }
    }

    #[test]
    fn doubtful_authorities_are_refused() {
        let doubtful = [
            "user@example.com",
            "a b",
            "a\tb",
            "a\0",
            "a/b",
            "a\\b",
            "a?b",
            "a#b",
            ":80",
            ".",
            "::1",
            "[::1",
            "[::1]x",
            "[a]",
            "a:80:80",
            "a:+80",
            "a:65536",
            "a:x",
            "bücher.example",
        ];
        for authority in doubtful {
            assert_eq!(host(authority), None, "{authority}");
        }
    }

    #[test]
    fn lower_case_is_borrowed() {
        assert!(matches!(lower("a.example"), Cow::Borrowed("a.example")));
        assert_eq!(lower("A.Example"), "a.example");
    }
}
