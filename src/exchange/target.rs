//! Host, path and query of a request, as matching and templates see them.

use crate::net::uri;
use http::HeaderValue;
use http::uri::PathAndQuery;
use std::borrow::Cow;

/// The target of a request; a path that is in normal form is not copied.
#[derive(Clone, Debug)]
pub struct Target {
    /// Path and query as the client sent them.
    sent: PathAndQuery,
    /// The path with dot segments resolved and unreserved escapes decoded, if that changed it.
    normalised: Option<Box<str>>,
    /// In lower case, without port.
    host: Box<str>,
}

impl Target {
    /// The target of a request; `None` if its path or its host is malformed.
    pub fn new(sent: PathAndQuery, host: &HeaderValue) -> Option<Self> {
        let normalised = match uri::normalise(sent.path()).ok()? {
            Cow::Borrowed(_) => None,
            Cow::Owned(path) => Some(path.into_boxed_str()),
        };
        Some(Self { normalised, host: host_of(host)?, sent })
    }

    /// The host in lower case, without port.
    pub fn host(&self) -> &str {
        &self.host
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

fn host_of(value: &HeaderValue) -> Option<Box<str>> {
    let (host, _) = uri::host(value.to_str().ok()?)?;
    let mut host = Box::<str>::from(host);
    host.make_ascii_lowercase();
    Some(host)
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
