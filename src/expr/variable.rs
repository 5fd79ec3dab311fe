//! The names that may stand between the braces of a template.

use crate::value::Problem;
use http::HeaderName;
use std::fmt;
use std::str::FromStr;

/// One fact about an exchange, named as `{request.host}` is in a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Variable {
    /// `{client.ip}`
    ClientIp,
    /// `{client.port}`
    ClientPort,
    /// `{request.method}`
    RequestMethod,
    /// `{request.scheme}`
    RequestScheme,
    /// `{request.host}`: lower case, without port.
    RequestHost,
    /// `{request.path}`: percent-encoded.
    RequestPath,
    /// `{request.query}`: percent-encoded, without the `?`.
    RequestQuery,
    /// `{request.header.NAME}`: several are joined by `, `.
    RequestHeader(HeaderName),
    /// `{request.cookie.NAME}`
    RequestCookie(Box<str>),
    /// `{request.id}`
    RequestId,
    /// `{path.NAME}`: what the route's path captured, still percent-encoded.
    PathCapture(Box<str>),
    /// `{route.name}`
    RouteName,
    /// `{listener.name}`
    ListenerName,
    /// `{tls.sni}`
    TlsSni,
    /// `{tls.client.subject}`
    TlsClientSubject,
    /// `{response.status}`
    ResponseStatus,
    /// `{time}`: when the request arrived. This and what follows only the access log knows.
    Time,
    /// `{protocol}`
    Protocol,
    /// `{cause}`
    Cause,
    /// `{upstream}`
    Upstream,
    /// `{endpoint}`
    Endpoint,
    /// `{attempts}`
    Attempts,
    /// `{bytes_received}`
    BytesReceived,
    /// `{bytes_sent}`
    BytesSent,
    /// `{duration_ms}`
    Duration,
    /// `{upstream_ms}`
    UpstreamTime,
}

static FIXED: [(&str, Variable); 13] = [
    ("client.ip", Variable::ClientIp),
    ("client.port", Variable::ClientPort),
    ("request.method", Variable::RequestMethod),
    ("request.scheme", Variable::RequestScheme),
    ("request.host", Variable::RequestHost),
    ("request.path", Variable::RequestPath),
    ("request.query", Variable::RequestQuery),
    ("request.id", Variable::RequestId),
    ("route.name", Variable::RouteName),
    ("listener.name", Variable::ListenerName),
    ("tls.sni", Variable::TlsSni),
    ("tls.client.subject", Variable::TlsClientSubject),
    ("response.status", Variable::ResponseStatus),
];

/// What is known when an exchange is over, by the names of the access log's fields.
static OF_LOG: [(&str, Variable); 10] = [
    ("time", Variable::Time),
    ("protocol", Variable::Protocol),
    ("cause", Variable::Cause),
    ("upstream", Variable::Upstream),
    ("endpoint", Variable::Endpoint),
    ("attempts", Variable::Attempts),
    ("bytes_received", Variable::BytesReceived),
    ("bytes_sent", Variable::BytesSent),
    ("duration_ms", Variable::Duration),
    ("upstream_ms", Variable::UpstreamTime),
];

type Names = [(&'static str, Variable)];

const HEADER: &str = "request.header.";
const COOKIE: &str = "request.cookie.";
const CAPTURE: &str = "path.";

impl FromStr for Variable {
    type Err = Problem;

    /// Reads a name without its braces.
    fn from_str(name: &str) -> Result<Self, Problem> {
        Self::read(name, &[])
    }
}

impl Variable {
    /// The same, where the names of the access log are known too.
    pub(super) fn of_log(name: &str) -> Result<Self, Problem> {
        Self::read(name, &OF_LOG)
    }

    fn read(name: &str, more: &Names) -> Result<Self, Problem> {
        if let Some((_, variable)) = FIXED.iter().chain(more).find(|(known, _)| *known == name) {
            return Ok(variable.clone());
        }
        // `{request.header}` lacks the same as `{request.header.}`.
        let end = |family: &str| match family.strip_suffix('.') == Some(name) {
            true => Some(""),
            false => name.strip_prefix(family),
        };
        if let Some(field) = end(HEADER) {
            let parsed = HeaderName::from_str(field).map(Self::RequestHeader);
            return parsed.map_err(|_| incomplete(name, "a header's name", "x-tenant", HEADER));
        }
        if let Some(cookie) = end(COOKIE) {
            // A cookie's name has the grammar of a header's, but keeps its case.
            let is_token = HeaderName::from_str(cookie).is_ok();
            return is_token
                .then(|| Self::RequestCookie(cookie.into()))
                .ok_or_else(|| incomplete(name, "a cookie's name", "sid", COOKIE));
        }
        match name.strip_prefix(CAPTURE) {
            Some("") => Err(incomplete(name, "the name of a capture", "page", CAPTURE)),
            Some(capture) => Ok(Self::PathCapture(capture.into())),
            None => Err(unknown(name, more)),
        }
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestHeader(name) => write!(f, "{HEADER}{name}"),
            Self::RequestCookie(name) => write!(f, "{COOKIE}{name}"),
            Self::PathCapture(name) => write!(f, "{CAPTURE}{name}"),
            fixed => {
                let found = FIXED.iter().chain(&OF_LOG).find(|(_, variable)| variable == fixed);
                f.write_str(found.map_or("", |(name, _)| name))
            }
        }
    }
}

fn incomplete(name: &str, missing: &str, example: &str, family: &str) -> Problem {
    Problem::new(
        format!("`{{{name}}}` does not end in {missing}"),
        format!("write one, such as `{{{family}{example}}}`"),
    )
}

fn unknown(name: &str, more: &Names) -> Problem {
    let remedy = match nearest(name, more) {
        Some(known) => format!("did you mean `{{{known}}}`?"),
        None => {
            let fixed = FIXED.iter().chain(more).map(|(known, _)| format!("{{{known}}}"));
            let families = [HEADER, COOKIE, CAPTURE].map(|family| format!("{{{family}NAME}}"));
            let all: Vec<_> = fixed.chain(families).collect();
            format!("use one of {}, or write `{{{{` for a brace", all.join(" "))
        }
    };
    Problem::new(format!("`{{{name}}}` is not known in a template"), remedy)
}

/// The known name most like this one, if any is like it at all.
fn nearest(name: &str, more: &Names) -> Option<String> {
    let name = name.trim().to_ascii_lowercase();
    let fixed = FIXED.iter().chain(more);
    let fixed = fixed.map(|(known, _)| (distance(&name, known), (*known).to_owned()));
    let families = [HEADER, COOKIE, CAPTURE].into_iter().flat_map(|family| {
        let dots = name.match_indices('.').map(|(at, _)| name.split_at(at + 1));
        dots.filter(|(_, end)| !end.is_empty())
            .map(move |(start, end)| (distance(start, family), format!("{family}{end}")))
    });
    let (distance, known) = fixed.chain(families).min_by_key(|(distance, _)| *distance)?;
    (distance <= (name.len() / 4).max(1)).then_some(known)
}

/// Letters to change; a first part left out (`host`) or put before (`http.request.host`) is one.
fn distance(name: &str, known: &str) -> usize {
    let tail = |text| str::split_once(text, '.').map_or("", |(_, tail)| tail);
    let (shorter, longer) = (tail(name), tail(known));
    let whole = strsim::osa_distance(name, known);
    let without = |text: &str, from: &str| match text {
        "" => usize::MAX,
        _ => 1 + strsim::osa_distance(text, from),
    };
    whole.min(without(longer, name)).min(without(shorter, known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remedy(name: &str) -> String {
        name.parse::<Variable>().unwrap_err().remedy
    }

    #[test]
    fn every_name_is_read_and_shown_again() {
        let named = ["request.header.x-tenant", "request.cookie.Sid", "path.page"];
        for name in FIXED.iter().map(|(name, _)| *name).chain(named) {
            assert_eq!(name.parse::<Variable>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn names_of_the_access_log_are_known_there_alone() {
        for (name, variable) in &OF_LOG {
            assert_eq!(Variable::of_log(name).unwrap(), *variable);
            assert_eq!(variable.to_string(), *name);
            assert!(name.parse::<Variable>().is_err(), "{name}");
        }
        assert_eq!(Variable::of_log("client.ip").unwrap(), Variable::ClientIp);
        let problem = Variable::of_log("duration").unwrap_err();
        assert!(problem.remedy.contains("{duration_ms} {upstream_ms} {request.header.NAME}"));
        assert_eq!(
            Variable::of_log("bytes_send").unwrap_err().remedy,
            "did you mean `{bytes_sent}`?"
        );
    }

    #[test]
    fn header_names_ignore_case_and_cookie_names_keep_it() {
        let header = "request.header.X-Tenant".parse::<Variable>().unwrap();
        assert_eq!(header, Variable::RequestHeader(HeaderName::from_static("x-tenant")));
        let cookie = "request.cookie.SID".parse::<Variable>().unwrap();
        assert_eq!(cookie, Variable::RequestCookie("SID".into()));
    }

    #[test]
    fn a_near_miss_gets_a_suggestion() {
        for (name, known) in [
            ("request.hots", "request.host"),
            ("Request.Host", "request.host"),
            (" client.ip ", "client.ip"),
            ("host", "request.host"),
            ("http.request.host", "request.host"),
            ("sni", "tls.sni"),
            ("request.headers.x-tenant", "request.header.x-tenant"),
            ("header.x-tenant", "request.header.x-tenant"),
            ("cookie.sid", "request.cookie.sid"),
            ("paths.page", "path.page"),
        ] {
            assert_eq!(remedy(name), format!("did you mean `{{{known}}}`?"), "{name}");
        }
    }

    #[test]
    fn a_far_miss_lists_what_there_is() {
        for name in ["", "remote_addr", "\"level\": 3", "request"] {
            assert!(remedy(name).starts_with("use one of {client.ip} {client.port}"), "{name}");
        }
        assert!(remedy("remote_addr").ends_with("{path.NAME}, or write `{{` for a brace"));
    }

    #[test]
    fn a_name_that_lacks_its_end_shows_how_to_end_it() {
        assert_eq!(remedy("request.header."), "write one, such as `{request.header.x-tenant}`");
        assert_eq!(remedy("request.header.x y"), "write one, such as `{request.header.x-tenant}`");
        assert_eq!(remedy("request.cookie."), "write one, such as `{request.cookie.sid}`");
        assert_eq!(remedy("request.cookie"), "write one, such as `{request.cookie.sid}`");
        assert_eq!(remedy("path."), "write one, such as `{path.page}`");
    }
}
