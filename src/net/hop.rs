//! Hop-by-hop fields (RFC 9110, 7.6.1): they end with the connection they came by.

use super::forwarded;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use pingora::http::{RequestHeader, ResponseHeader};

/// Tells how long a kept connection may be idle.
pub const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Hop-by-hop whether or not `Connection` names them; `Transfer-Encoding` is the engine's.
static REQUEST_FIELDS: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    HTTP2_SETTINGS,
    header::PROXY_AUTHORIZATION,
    header::PROXY_AUTHENTICATE,
    header::TE,
    header::UPGRADE,
];

/// The same of a response, besides `Connection`, which nearly every one has.
static RESPONSE_FIELDS: [HeaderName; 4] =
    [KEEP_ALIVE, PROXY_CONNECTION, header::PROXY_AUTHENTICATE, header::UPGRADE];

/// Which of the fields that an edge minds a head has: one walk over its names costs less than
/// looking one of them up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Minded {
    /// `Connection`.
    pub connection: bool,
    /// `Upgrade`.
    pub upgrade: bool,
    /// `TE`.
    pub te: bool,
    /// Any other field that is hop-by-hop in a request or in a response.
    pub other: bool,
    /// `Cookie`.
    pub cookie: bool,
    /// `Via`.
    pub via: bool,
    /// Any field by which proxies tell of the client.
    pub forwarded: bool,
    /// `Content-Length`.
    pub length: bool,
}

impl Minded {
    /// Walks over a head.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut minded = Self::default();
        for name in headers.keys() {
            match name.as_str() {
                "connection" => minded.connection = true,
                "upgrade" => minded.upgrade = true,
                "te" => minded.te = true,
                "keep-alive"
                | "proxy-connection"
                | "http2-settings"
                | "proxy-authorization"
                | "proxy-authenticate" => minded.other = true,
                "cookie" => minded.cookie = true,
                "via" => minded.via = true,
                "content-length" => minded.length = true,
                _ => minded.forwarded |= forwarded::is_forwarded(name),
            }
        }
        minded
    }

    /// Whether it has a hop-by-hop field.
    fn is_hop(self) -> bool {
        self.connection || self.upgrade || self.te || self.other
    }
}

/// Nominating one of these would break framing or routing, or hide the client that a trusted
/// proxy tells of; the nomination is ignored.
fn is_protected(name: &HeaderName) -> bool {
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING].contains(name)
        || forwarded::is_forwarded(name)
}

/// Whether a list field such as `Connection` or `TE` holds a token, whatever its case.
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    headers.get_all(name).iter().any(|value| tokens(value).any(|t| is(t, token)))
}

/// The protocol of a valid upgrade request other than to HTTP/2 in clear text.
pub fn upgrade(request: &RequestHeader) -> Option<&HeaderValue> {
    let protocol = request.headers.get(header::UPGRADE)?;
    let is_valid = request.version == http::Version::HTTP_11
        && has_token(&request.headers, &header::CONNECTION, "upgrade")
        && !tokens(protocol).any(|t| is(t, "h2c"));
    is_valid.then_some(protocol)
}

/// Removes what `Connection` nominates, while it is still there: the engine forgets the field on
/// the way to HTTP/2.
pub fn strip_nominated(request: &mut RequestHeader) {
    for name in nominated(&request.headers) {
        request.remove_header(&name);
    }
}

/// Removes the other hop-by-hop fields of a request.
pub fn strip_request(request: &mut RequestHeader, minded: Minded) {
    if minded.is_hop() {
        for name in &REQUEST_FIELDS {
            request.remove_header(name);
        }
    }
}

/// Removes the hop-by-hop fields of a response; the upgrade of a 101 stays, and so does a
/// `Connection` that is replaced anyway.
pub fn strip_response(response: &mut ResponseHeader, is_replaced: bool) {
    if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
        return;
    }
    let minded = Minded::of(&response.headers);
    if minded.connection {
        for name in nominated(&response.headers) {
            response.remove_header(&name);
        }
        if !is_replaced {
            response.remove_header(&header::CONNECTION);
        }
    }
    if minded.upgrade || minded.other {
        for name in &RESPONSE_FIELDS {
            response.remove_header(name);
        }
    }
}

/// The fields that `Connection` nominates; nothing is allocated when it names none.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    let mut names = Vec::new();
    // Comparing the few names costs less than hashing one.
    let own = |(name, value)| (name == header::CONNECTION).then_some(value);
    for value in headers.iter().filter_map(own) {
        if value == "keep-alive" || value == "close" {
            continue;
        }
        for token in tokens(value) {
            // These have a meaning of their own, which `strip_request` minds.
            if ["close", "keep-alive", "upgrade", "te"].iter().any(|own| is(token, own)) {
                continue;
            }
            match HeaderName::from_bytes(token) {
                Ok(name) if !is_protected(&name) => names.push(name),
                _ => {}
            }
        }
    }
    names
}

fn tokens(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|t| !t.is_empty())
}

fn is(token: &[u8], name: &str) -> bool {
    // `TE` members may carry a weight: `trailers;q=1`.
    let bare = token.split(|b| *b == b';').next().unwrap_or_default();
    bare.trim_ascii().eq_ignore_ascii_case(name.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(fields: &[(&'static str, &'static str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_version(http::Version::HTTP_11);
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        headers.keys().map(HeaderName::as_str).collect()
    }

    #[test]
    fn hop_by_hop_and_nominated_fields_go() {
        let mut request = request(&[
            ("Host", "a.example"),
            ("Connection", "close, X-One"),
            ("Connection", "x-two ,, keep-alive"),
            ("X-One", "1"),
            ("X-Two", "2"),
            ("X-Three", "3"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "trailers"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
            ("Proxy-Authorization", "Basic eDp5"),
        ]);
        strip_nominated(&mut request);
        let minded = Minded::of(&request.headers);
        strip_request(&mut request, minded);
        assert_eq!(names(&request.headers), ["host", "x-three"]);
    }

    #[test]
    fn framing_host_and_client_cannot_be_nominated_away() {
        let mut request = request(&[
            ("Host", "a.example"),
            ("Content-Length", "3"),
            ("X-Forwarded-For", "192.0.2.1"),
            ("Connection", "host, content-length, transfer-encoding, x-forwarded-for"),
        ]);
        strip_nominated(&mut request);
        let minded = Minded::of(&request.headers);
        strip_request(&mut request, minded);
        assert_eq!(names(&request.headers), ["host", "content-length", "x-forwarded-for"]);
    }

    #[test]
    fn a_response_loses_what_its_connection_nominates() {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in [("Connection", "X-Secret"), ("X-Secret", "1"), ("X-Open", "2")] {
            response.append_header(name, value).unwrap();
        }
        strip_response(&mut response, false);
        assert_eq!(names(&response.headers), ["x-open"]);
    }

    #[test]
    fn an_upgrade_needs_both_fields_and_is_never_to_h2c() {
        let websocket = request(&[("Connection", "keep-alive, Upgrade"), ("Upgrade", "websocket")]);
        assert_eq!(upgrade(&websocket).unwrap(), "websocket");
        assert!(upgrade(&request(&[("Upgrade", "websocket")])).is_none());
        assert!(upgrade(&request(&[("Connection", "upgrade"), ("Upgrade", "h2c")])).is_none());
    }

    #[test]
    fn trailers_are_found_among_other_codings() {
        let request = request(&[("TE", "gzip;q=0.5, Trailers")]);
        assert!(has_token(&request.headers, &header::TE, "trailers"));
        assert!(!has_token(&request.headers, &header::TE, "gzi"));
    }
}
