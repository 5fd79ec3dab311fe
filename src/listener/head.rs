//! The head of an HTTP/1 request: where it ends, and whether it may pass.
//!
//! Stricter than the engine's parser (RFC 9112): what two servers could read in two ways is
//! refused here, before anything acts on it.

use super::body::{Chunks, Framing};
use crate::exchange::{Cause, Limits};
use std::mem::MaybeUninit;

/// The first bytes of an HTTP/2 connection (RFC 9113, 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// More fields than the engine parses.
const MOST_FIELDS: usize = 256;

/// The longest target that the engine's URI holds.
const LONGEST_TARGET: u64 = u16::MAX as u64 - 1;

/// Looks for the end of a head that arrives in pieces; looks at no byte twice.
#[derive(Debug, Default)]
pub(super) struct Scan {
    /// Where the current line starts.
    line: usize,
    /// Up to where we looked.
    seen: usize,
}

impl Scan {
    /// The length of the head once its last line is there. A bare LF is an error: whoever takes
    /// it for a line end would see another head.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Cause> {
        while let Some(found) = bytes.get(self.seen..).and_then(|b| memchr(b'\n', b)) {
            let newline = self.seen + found;
            if newline == 0 || bytes.get(newline - 1) != Some(&b'\r') {
                return Err(Cause::BadRequest);
            }
            self.seen = newline + 1;
            if newline - 1 == self.line {
                return Ok(Some(self.seen));
            }
            self.line = self.seen;
        }
        self.seen = bytes.len();
        Ok(None)
    }
}

fn memchr(byte: u8, bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| *b == byte)
}

/// What the listener must know of a head that may pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// How the body after it is framed.
    pub(super) framing: Framing,
}

/// Whether a whole head may pass, and if not, why.
pub(super) fn check(head: &[u8], limits: &Limits) -> Result<Passed, Cause> {
    let mut fields = [const { MaybeUninit::uninit() }; MOST_FIELDS];
    let mut request = httparse::Request::new(&mut []);
    request.parse_with_uninit_headers(head, &mut fields).map_err(|e| cause_of(e, head))?;
    let (method, target) =
        (request.method.unwrap_or_default(), request.path.unwrap_or_default().as_bytes());
    if matches!(method, "CONNECT" | "TRACE") {
        return Err(Cause::MethodNotAllowed);
    }
    if target.len() as u64 > limits.longest_uri.unwrap_or(LONGEST_TARGET).min(LONGEST_TARGET) {
        return Err(Cause::UriTooLong);
    }
    if limits.header_count.is_some_and(|most| request.headers.len() as u64 > most) {
        return Err(Cause::HeaderTooLarge);
    }
    if !is_target(method, target) {
        return Err(Cause::BadRequest);
    }
    let seen = Fields::collect(request.headers)?;
    let is_11 = request.version == Some(1);
    if (is_11 && seen.host.is_none()) || !is_one_host(seen.host, authority(target)) {
        return Err(Cause::BadRequest);
    }
    seen.framing(is_11).map(|framing| Passed { framing })
}

/// The method and the target of a head that may be broken, for the log.
pub(super) fn request_line(head: &[u8]) -> (&str, &str) {
    let line = head.split(|b| *b == b'\r' || *b == b'\n').next().unwrap_or_default();
    let line = std::str::from_utf8(line).unwrap_or_default();
    let mut words = line.split(' ');
    let method = words.next().unwrap_or_default();
    let is_method = method.len() <= 32 && method.bytes().all(|b| b.is_ascii_uppercase());
    if is_method { (method, words.next().unwrap_or_default()) } else { ("", "") }
}

/// The first field of a name in a head that may be broken, for the page and the log.
pub(super) fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|b| *b == b'\n').skip(1);
    let mut lines = lines.map(<[u8]>::trim_ascii).take_while(|line| !line.is_empty());
    lines.find_map(|line| {
        let (field, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn cause_of(error: httparse::Error, head: &[u8]) -> Cause {
    match error {
        httparse::Error::TooManyHeaders => Cause::HeaderTooLarge,
        httparse::Error::Version if has_version(head) => Cause::VersionNotSupported,
        _ => Cause::BadRequest,
    }
}

/// Whether the request line ends in a version of HTTP, if one that we do not speak.
fn has_version(head: &[u8]) -> bool {
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let version = line.rsplit(|b| *b == b' ').next().unwrap_or_default();
    matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit() && !is_ours(*major, *minor))
}

/// A line in a version of ours is malformed otherwise.
fn is_ours(major: u8, minor: u8) -> bool {
    matches!((major, minor), (b'1', b'0' | b'1'))
}

/// Origin form, absolute form, or the asterisk of OPTIONS (RFC 9112, 3.2), in visible ASCII.
fn is_target(method: &str, target: &[u8]) -> bool {
    let mut parts = target.splitn(2, |b| *b == b'?');
    // Besides the fragment, what the engine's URI does not take: it would answer by itself.
    let mut lacks = |refused: &[u8]| {
        let mut part = parts.next().unwrap_or_default().iter();
        part.all(|b| b.is_ascii_graphic() && !refused.contains(b))
    };
    let is_sound = lacks(b"#<>`") && lacks(b"#<>\"");
    let absolute = |scheme: &[u8]| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    let has_form = target.starts_with(b"/")
        || absolute(b"http://")
        || absolute(b"https://")
        || (target == b"*" && method == "OPTIONS");
    is_sound && has_form
}

/// The authority of a target in absolute form.
fn authority(target: &[u8]) -> Option<&[u8]> {
    if target.starts_with(b"/") {
        return None;
    }
    let start = target.windows(3).position(|w| w == b"://")? + 3;
    target.get(start..)?.split(|b| matches!(b, b'/' | b'?')).next()
}

/// Whether field and target name the same host, and no user: others may heed either of them.
fn is_one_host(field: Option<&[u8]>, authority: Option<&[u8]>) -> bool {
    let names_user = field.is_some_and(|host| host.contains(&b'@'));
    !names_user
        && authority.is_none_or(|authority| {
            field.is_none_or(|host| host == authority)
                && !authority.contains(&b'@')
                && http::uri::Authority::try_from(authority).is_ok()
        })
}

/// The fields that decide about host and framing.
#[derive(Default)]
struct Fields<'a> {
    host: Option<&'a [u8]>,
    length: Option<&'a [u8]>,
    coding: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn collect(headers: &[httparse::Header<'a>]) -> Result<Self, Cause> {
        let mut seen = Self::default();
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            // The length tells most names apart without comparing.
            let is_new = match header.name.len() {
                4 if is("host") => seen.host.replace(header.value).is_none(),
                14 if is("content-length") => seen.length.replace(header.value).is_none(),
                17 if is("transfer-encoding") => seen.coding.replace(header.value).is_none(),
                _ => true,
            };
            if !is_new {
                return Err(Cause::BadRequest);
            }
        }
        Ok(seen)
    }

    fn framing(&self, is_11: bool) -> Result<Framing, Cause> {
        match (self.length, self.coding) {
            (Some(_), Some(_)) => Err(Cause::BadRequest),
            (None, Some(_)) if !is_11 => Err(Cause::BadRequest),
            (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => {
                Ok(Framing::Chunked(Chunks::Start))
            }
            (None, Some(_)) => Err(Cause::CodingNotSupported),
            (Some(length), None) => Ok(Framing::Length(number(length).ok_or(Cause::BadRequest)?)),
            (None, None) => Ok(Framing::Length(0)),
        }
    }
}

fn number(text: &[u8]) -> Option<u64> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    is_number.then(|| std::str::from_utf8(text).ok()?.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        header_timeout: None,
        header_size: None,
        header_count: Some(5),
        uri_size: None,
        longest_uri: Some(20),
        body_size: None,
        min_body_rate: None,
    };

    fn verdict(head: &str) -> Result<Framing, Cause> {
        check(head.as_bytes(), &LIMITS).map(|passed| passed.framing)
    }

    fn with(fields: &str) -> Result<Framing, Cause> {
        verdict(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
    }

    #[test]
    fn a_head_ends_at_its_empty_line_however_it_is_split() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nrest";
        for split in 1..head.len() {
            let mut scan = Scan::default();
            let early = scan.end(&head[..split]).unwrap();
            assert_eq!(early.or(scan.end(head).unwrap()), Some(27));
        }
    }

    #[test]
    fn a_bare_line_feed_is_refused_at_once() {
        for head in ["GET / HTTP/1.1\nHost: a\r\n\r\n", "\n", "GET / HTTP/1.1\r\nHost: a\r\n\n"] {
            assert_eq!(Scan::default().end(head.as_bytes()), Err(Cause::BadRequest), "{head:?}");
        }
    }

    #[test]
    fn bodies_are_framed_one_way_only() {
        assert_eq!(with(""), Ok(Framing::Length(0)));
        assert_eq!(with("Content-Length: 7\r\n"), Ok(Framing::Length(7)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked(Chunks::Start)));
        for fields in [
            "Content-Length: 7\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 7\r\nContent-Length: 8\r\n",
            "Content-Length: 7\r\nContent-Length: 7\r\n",
            "Content-Length: 7, 7\r\n",
            "Content-Length: +7\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x7\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(with(fields), Err(Cause::BadRequest), "{fields}");
        }
        for fields in ["Transfer-Encoding: gzip, chunked\r\n", "Transfer-Encoding: identity\r\n"] {
            assert_eq!(with(fields), Err(Cause::CodingNotSupported), "{fields}");
        }
    }

    #[test]
    fn malformed_heads_are_refused() {
        for head in [
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nX: a\rb\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /<a HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /?a\" HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http:/// HTTP/1.1\r\nHost:\r\n\r\n",
            "GET http://me@a/ HTTP/1.1\r\nHost: me@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: me@a\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /\r\n\r\n",
            "nonsense\r\n\r\n",
        ] {
            assert_eq!(verdict(head), Err(Cause::BadRequest), "{head:?}");
        }
    }

    #[test]
    fn every_limit_has_its_cause() {
        let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(20));
        assert_eq!(verdict(&long), Err(Cause::UriTooLong));
        assert_eq!(with("A: 1\r\nB: 1\r\nC: 1\r\nD: 1\r\nE: 1\r\n"), Err(Cause::HeaderTooLarge));
        let many = "A: 1\r\n".repeat(MOST_FIELDS);
        assert_eq!(with(&many), Err(Cause::HeaderTooLarge));
    }

    #[test]
    fn other_versions_connect_and_trace_have_their_cause() {
        for version in ["HTTP/2.0", "HTTP/1.2", "HTTP/0.9"] {
            let head = format!("GET / {version}\r\nHost: a\r\n\r\n");
            assert_eq!(verdict(&head), Err(Cause::VersionNotSupported), "{version}");
        }
        let connect = "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(verdict(connect), Err(Cause::MethodNotAllowed));
        let trace = "TRACE / HTTP/1.1\r\nHost: a\r\nCookie: secret=1\r\n\r\n";
        assert_eq!(verdict(trace), Err(Cause::MethodNotAllowed));
    }

    #[test]
    fn what_may_pass_passes() {
        for head in [
            "GET / HTTP/1.0\r\n\r\n",
            "GET http://a/x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET http://a?x HTTP/1.0\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\nX: caf\u{e9}\r\n\r\n",
        ] {
            assert_eq!(verdict(head), Ok(Framing::Length(0)), "{head:?}");
        }
    }

    #[test]
    fn the_log_gets_what_can_be_read() {
        assert_eq!(request_line(b"GET /x HTTP/1.1\r\n"), ("GET", "/x"));
        assert_eq!(request_line(b"\x16\x03\x01\xff"), ("", ""));
        let head = b"GET\r\nhost: a\r\nX: \xff\r\nHOST:b\r\n\r\nAccept: c\r\n";
        assert_eq!(field(head, "Host"), Some("a"));
        assert_eq!((field(head, "x"), field(head, "accept")), (None, None));
    }
}
