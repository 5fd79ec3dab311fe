//! Who may use `/api/`.

use super::answer::Answer;
use crate::config;
use crate::value::OneOrMany;
use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode, Uri};
use pingora::http::RequestHeader;
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use std::sync::Arc;

/// Where a request came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// An address that browsers can be led to.
    Network,
    /// A unix socket of the document's own.
    Socket,
    /// The socket in the state folder, which is for the edge's user only.
    Commands,
}

/// Lets requests pass that show the token, and that no browser page elsewhere sent.
#[derive(Debug, Default)]
pub struct Guard(ArcSwap<Rules>);

#[derive(Debug, Default)]
struct Rules {
    /// The digest of the token; without one, whoever reaches the door may pass.
    token: Option<[u8; 32]>,
    hosts: OneOrMany<String>,
}

impl Guard {
    /// A guard by what the document says.
    pub fn of(config: Option<&config::Admin>) -> Self {
        let guard = Self::default();
        guard.follow(config);
        guard
    }

    /// Goes by what a newer document says.
    pub fn follow(&self, config: Option<&config::Admin>) {
        let rules = config.map(|config| Rules {
            token: config.token.as_ref().map(|token| digest(token.expose().as_bytes())),
            hosts: config.hosts.clone(),
        });
        self.0.store(Arc::new(rules.unwrap_or_default()));
    }

    /// Why a request may not pass.
    pub(super) fn refuse(&self, request: &RequestHeader, door: Door) -> Option<Answer> {
        let rules = self.0.load();
        if door == Door::Commands {
            return None;
        }
        if door == Door::Network && !rules.is_host(&request.headers, &request.uri) {
            let remedy = "Ask for an IP address, `localhost`, or a name of `admin.hosts`.\n";
            return Some(Answer::text(StatusCode::FORBIDDEN, remedy));
        }
        if !is_own(&request.headers) {
            let why = "A page of another origin may not ask for this.\n";
            return Some(Answer::text(StatusCode::FORBIDDEN, why));
        }
        let shown = shown(&request.headers);
        match (&rules.token, shown) {
            (None, _) => None,
            (Some(token), Some(shown)) if is_same(token, &digest(shown)) => None,
            (Some(_), shown) => Some(unauthorised(shown.is_some())),
        }
    }
}

impl Rules {
    /// Whether a request asks for a name that only this machine's operator can have given it: names
    /// in the hands of others lead a browser here, with a page of theirs.
    fn is_host(&self, headers: &HeaderMap, uri: &Uri) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter().map(HeaderValue::to_str);
        let (Some(Ok(host)), None) = (hosts.next(), hosts.next()) else { return false };
        let all = uri.authority().map(http::uri::Authority::as_str).into_iter().chain([host]);
        all.into_iter().all(|host| {
            let name = name(host);
            let is_address = name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
            let is_known = || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name));
            is_address || name.eq_ignore_ascii_case("localhost") || is_known()
        })
    }
}

/// A host without its port.
fn name(host: &str) -> &str {
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    match host.rsplit_once(':') {
        Some((name, port)) if is_port(port) => name,
        _ => host,
    }
}

/// Whether a page of this very address sent it, or no page.
fn is_own(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.get_all(header::ORIGIN).iter().all(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let (scheme, authority) = origin.split_once("://").unwrap_or_default();
        matches!(scheme, "http" | "https") && authority.eq_ignore_ascii_case(host)
    })
}

/// The token that a request shows.
fn shown(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (all.next()?.as_bytes(), all.next()) else { return None };
    let (scheme, token) = value.split_at_checked(b"Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| token.trim_ascii())
}

fn digest(token: &[u8]) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Takes the same time wherever they differ.
fn is_same(this: &[u8; 32], that: &[u8; 32]) -> bool {
    this.iter().zip(that).fold(0, |differs, (this, that)| differs | (this ^ that)) == 0
}

fn unauthorised(is_shown: bool) -> Answer {
    let (why, challenge) = match is_shown {
        true => ("This is not the token.\n", r#"Bearer realm="falconer", error="invalid_token""#),
        false => ("Send `Authorization: Bearer TOKEN`.\n", r#"Bearer realm="falconer""#),
    };
    let answer = Answer::text(StatusCode::UNAUTHORIZED, why);
    answer.with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;
    use std::path::Path;

    fn guard(more: &str) -> Guard {
        let text = format!("admin: {{address: '127.0.0.1:0'{more}}}");
        let admin = read_text(Path::new("a.yaml"), &text).document.admin.unwrap();
        Guard::of(Some(&admin.value))
    }

    fn status(guard: &Guard, door: Door, fields: &[(&'static str, &str)]) -> Option<u16> {
        let mut request = RequestHeader::build("GET", b"/api/status", None).unwrap();
        for (name, value) in fields {
            request.append_header(*name, *value).unwrap();
        }
        guard.refuse(&request, door).map(|answer| answer.status.as_u16())
    }

    #[test]
    fn only_the_token_passes_and_the_socket_for_commands_needs_none() {
        let guard = guard(", token: hunter2");
        let of = |field: &str| {
            let host = ("host", "127.0.0.1");
            status(&guard, Door::Network, &[host, ("authorization", field)])
        };
        for passes in ["Bearer hunter2", "bearer hunter2", "Bearer  hunter2 "] {
            assert_eq!(of(passes), None, "{passes}");
        }
        for wrong in ["Bearer hunter", "Bearer hunter22", "Bearer ", "hunter2", "Basic hunter2", ""]
        {
            assert_eq!(of(wrong), Some(401), "{wrong}");
        }
        assert_eq!(status(&guard, Door::Socket, &[]), Some(401));
        let twice = [("authorization", "Bearer hunter2"), ("authorization", "Bearer x")];
        assert_eq!(status(&guard, Door::Socket, &twice), Some(401));
        assert_eq!(status(&guard, Door::Commands, &[]), None);
        guard.follow(None);
        assert_eq!(status(&guard, Door::Socket, &[]), None);
    }

    #[test]
    fn a_host_is_an_address_or_a_known_name() {
        let guard = guard(", hosts: [edge.internal]");
        let of = |host: &str| status(&guard, Door::Network, &[("host", host)]);
        let good =
            ["127.0.0.1", "127.0.0.1:9901", "10.0.0.1", "[::1]:9901", "[::1]", "localhost:1"];
        for host in good.into_iter().chain(["LocalHost", "Edge.Internal:9901", "edge.internal"]) {
            assert_eq!(of(host), None, "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil", "edge", "", ":80"]
        {
            assert_eq!(of(host), Some(403), "{host}");
        }
        assert_eq!(status(&guard, Door::Network, &[]), Some(403));
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(status(&guard, Door::Network, &twice), Some(403));
        assert_eq!(status(&guard, Door::Socket, &[("host", "anything")]), None);
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let guard = guard("");
        let of = |origin: &str| {
            status(&guard, Door::Network, &[("host", "localhost:9901"), ("origin", origin)])
        };
        assert_eq!(of("http://localhost:9901"), None);
        assert_eq!(of("https://LOCALHOST:9901"), None);
        let foreign = ["http://localhost:8080", "http://localhost", "http://evil.example", "null"];
        for origin in foreign.into_iter().chain(["", "http://localhost:9901.evil", "file://"]) {
            assert_eq!(of(origin), Some(403), "{origin}");
        }
        let socket = [("host", "x"), ("origin", "http://evil.example")];
        assert_eq!(status(&guard, Door::Socket, &socket), Some(403));
    }
}
