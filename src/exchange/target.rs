//! Host, path and query of a request, as matching and templates see them.

use crate::net::uri;
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::borrow::Cow;

/// The target of a request; nothing is copied unless something had to be normalised.
#[derive(Clone, Debug)]
pub struct Target {
    /// Path and query as the client sent them.
    sent: PathAndQuery,
    /// The path with dot segments resolved and unreserved escapes decoded, if that changed it.
    normalised: Option<Box<str>>,
    host: Host,
}

#[derive(Clone, Debug)]
enum Host {
    /// The field's value and how much of it is the host: the port follows.
    Sent(HeaderValue, usize),
    /// In lower case.
    Changed(Box<str>),
}

impl Target {
    /// The target of a request; `None` if its path or its host is malformed.
    pub fn new(sent: PathAndQuery, host: &HeaderValue) -> Option<Self> {
        let normalised = match uri::normalise(sent.path()).ok()? {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into_boxed_str()),
        };
        Some(Self { normalised, host: Host::new(host)?, sent })
    }

    /// The host in lower case, without port.
    pub fn host(&self) -> &str {
        match &self.host {
            Host::Changed(host) => host,
            Host::Sent(value, length) => {
                let bytes = value.as_bytes().get(..*length).unwrap_or_default();
                std::str::from_utf8(bytes).unwrap_or_default()
            }
        }
    }

    /// The normalised path.
    pub fn path(&self) -> &str {
        self.normalised.as_deref().unwrap_or_else(|| self.sent.path())
    }

    /// The query without `?`, empty if there is none.
    pub fn query(&self) -> &str {
        self.sent.query().unwrap_or_default()
    }

    /// Whether it is that of OPTIONS for the server as a whole (RFC 9110, 9.3.7).
    pub fn is_asterisk(&self) -> bool {
        self.sent.as_str() == "*"
    }

    /// Path and query as the client sent them.
    pub fn sent(&self) -> &PathAndQuery {
        &self.sent
    }
}

impl Host {
    fn new(value: &HeaderValue) -> Option<Self> {
        let text = value.to_str().ok()?;
        if text.is_empty() {
            return Some(Self::Changed("".into()));
        }
        let (host, _) = uri::host(text)?;
        if host.bytes().any(|b| b.is_ascii_uppercase()) {
            return Some(Self::Changed(host.to_ascii_lowercase().into_boxed_str()));
        }
        Some(Self::Sent(value.clone(), host.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(path: &'static str, host: &'static str) -> Option<Target> {
        Target::new(PathAndQuery::from_static(path), &HeaderValue::from_static(host))
    }

    #[test]
    fn host_is_lower_case_and_without_port() {
        for (sent, host) in
            [("a.example", "a.example"), ("A.Example:8080", "a.example"), ("[::1]:80", "[::1]")]
        {
            assert_eq!(target("/", sent).unwrap().host(), host);
        }
    }

    #[test]
    fn the_path_is_normalised_and_the_sent_one_kept() {
        let target = target("/a/../%62/%2f?x=%41", "a").unwrap();
        assert_eq!(target.path(), "/b/%2F");
        assert_eq!(target.query(), "x=%41");
        assert_eq!(target.sent().as_str(), "/a/../%62/%2f?x=%41");
    }

    #[test]
    fn malformed_parts_are_refused() {
        assert!(target("/%zz", "a").is_none());
        assert!(target("/", "user@a").is_none());
    }
}
