//! What a route demands besides host and path.

use super::table::Request;
use super::{TextPattern, query};
use crate::net::CidrSet;
use http::header::{COOKIE, HeaderMap, HeaderName, HeaderValue};

/// Everything but host and path; what is `None` or empty demands nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) methods: Option<Vec<http::Method>>,
    pub(super) headers: Vec<(HeaderName, TextPattern)>,
    pub(super) query: Vec<(String, TextPattern)>,
    pub(super) cookies: Vec<(String, TextPattern)>,
    pub(super) clients: Option<CidrSet>,
    pub(super) listeners: Option<Vec<u16>>,
}

/// A condition that does not hold; of a map, the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmet<'a> {
    Listener,
    Method,
    Client,
    Header(&'a str),
    Query(&'a str),
    Cookie(&'a str),
}

impl Conditions {
    /// How many matchers they are, for precedence.
    pub(super) fn count(&self) -> u32 {
        let lists = self.headers.len() + self.query.len() + self.cookies.len();
        let single = [self.methods.is_some(), self.clients.is_some(), self.listeners.is_some()];
        let singles = single.into_iter().filter(|is_there| *is_there).count();
        u32::try_from(lists + singles).unwrap_or(u32::MAX)
    }

    /// Whether all of them hold.
    pub(super) fn hold(&self, request: &Request<'_>) -> bool {
        self.unmet(request).is_none()
    }

    /// The first of them that does not hold; the cheap ones are asked first.
    pub(super) fn unmet(&self, request: &Request<'_>) -> Option<Unmet<'_>> {
        if !self.serves(request.listener) {
            return Some(Unmet::Listener);
        }
        if self.methods.as_ref().is_some_and(|any| !any.contains(request.method)) {
            return Some(Unmet::Method);
        }
        if self.clients.as_ref().is_some_and(|set| !set.contains(request.client)) {
            return Some(Unmet::Client);
        }
        let headers = request.headers;
        let header = self.headers.iter().find(|(name, pattern)| {
            !pattern.accepts_any(headers.get_all(name).iter(), accepts_field)
        });
        if let Some((name, _)) = header {
            return Some(Unmet::Header(name.as_str()));
        }
        let query = self.query.iter().find(|(name, pattern)| {
            !pattern.accepts_any(query::values(request.query, name), query::accepts)
        });
        if let Some((name, _)) = query {
            return Some(Unmet::Query(name));
        }
        let cookie = self.cookies.iter().find(|(name, pattern)| {
            !pattern.accepts_any(cookies(headers, name), TextPattern::accepts)
        });
        cookie.map(|(name, _)| Unmet::Cookie(name))
    }

    /// Whether the route is there on this listener.
    pub(super) fn serves(&self, listener: u16) -> bool {
        self.listeners.as_ref().is_none_or(|any| any.contains(&listener))
    }

    /// Whether they hold wherever the others hold; sure of a yes, not of a no.
    pub(super) fn follow_from(&self, others: &Self) -> bool {
        let weaker = |wanted: &TextPattern, given: &TextPattern| {
            wanted == given || (*wanted == TextPattern::Present && *given != TextPattern::Absent)
        };
        is_within(others.methods.as_deref(), self.methods.as_deref())
            && is_within(others.listeners.as_deref(), self.listeners.as_deref())
            && (self.clients.is_none() || self.clients == others.clients)
            && are_given(&self.headers, &others.headers, weaker)
            && are_given(&self.query, &others.query, weaker)
            && are_given(&self.cookies, &others.cookies, weaker)
    }
}

impl TextPattern {
    /// Whether one of the values fits, or there is none as `absent` wants it.
    fn accepts_any<T>(
        &self,
        mut values: impl Iterator<Item = T>,
        accepts: impl Fn(&Self, T) -> bool,
    ) -> bool {
        match self {
            Self::Absent => values.next().is_none(),
            _ => values.any(|value| accepts(self, value)),
        }
    }
}

fn accepts_field(pattern: &TextPattern, value: &HeaderValue) -> bool {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => pattern.accepts(text),
        Err(_) => *pattern == TextPattern::Present,
    }
}

/// The values of the cookies with this name; HTTP/2 may spread cookies over several fields.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let fields = headers.get_all(COOKIE).iter().filter_map(|field| field.to_str().ok());
    fields.flat_map(|field| field.split(';')).filter_map(move |pair| {
        let (key, value) = pair.split_once('=')?;
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        (key.trim() == name).then_some(quoted.unwrap_or(value))
    })
}

/// Whether the first choice leaves no more than the second; `None` leaves everything.
fn is_within<T: PartialEq>(choice: Option<&[T]>, of: Option<&[T]>) -> bool {
    match (choice, of) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(choice), Some(of)) => choice.iter().all(|one| of.contains(one)),
    }
}

fn are_given<N: PartialEq>(
    wanted: &[(N, TextPattern)],
    given: &[(N, TextPattern)],
    weaker: impl Fn(&TextPattern, &TextPattern) -> bool,
) -> bool {
    wanted.iter().all(|(name, pattern)| {
        given.iter().any(|(other, stricter)| other == name && weaker(pattern, stricter))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{Match, Matcher};
    use serde_json::{Value, json};

    fn conditions(config: Value) -> Conditions {
        let config: Match = serde_json::from_value(config).unwrap();
        Matcher::compile(&config, &["web", "secure"]).unwrap().conditions
    }

    /// Asks about `POST /?a=1&b=x+y%21&c` from 10.0.0.7 on `secure`.
    fn hold(config: Value) -> bool {
        let fields = [
            ("x-beta", "1"),
            ("x-beta", "2"),
            ("user-agent", "Mozilla/5.0"),
            ("cookie", "sid=abc; theme=\"dark\""),
            ("cookie", "late=1"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers.append("x-raw", HeaderValue::from_bytes(b"\xff").unwrap());
        conditions(config).hold(&Request {
            listener: 1,
            method: &http::Method::POST,
            host: "",
            path: "/",
            query: "a=1&b=x+y%21&c",
            headers: &headers,
            client: [10, 0, 0, 7].into(),
        })
    }

    #[test]
    fn each_matcher_holds_for_what_fits() {
        for config in [
            json!({}),
            json!({ "method": ["GET", "POST"] }),
            json!({ "listener": "secure" }),
            json!({ "client": ["192.0.2.0/24", "10.0.0.0/8"] }),
            json!({ "header": { "X-Beta": "2", "user-agent": "Mozilla*" } }),
            json!({ "header": { "x-none": "absent", "x-raw": "present" } }),
            json!({ "query": { "a": "~ ^[0-9]$", "b": "x y!", "c": "" } }),
            json!({ "query": { "d": "absent", "b": "~ ^x y!$" } }),
            json!({ "cookie": { "sid": "abc", "theme": "dark", "late": "present" } }),
        ] {
            assert!(hold(config.clone()), "{config}");
        }
    }

    #[test]
    fn each_matcher_refuses_what_does_not_fit() {
        for config in [
            json!({ "method": "GET" }),
            json!({ "listener": "web" }),
            json!({ "client": "10.0.0.0/30" }),
            json!({ "header": { "x-beta": "3" } }),
            json!({ "header": { "x-beta": "absent" } }),
            json!({ "header": { "x-none": "present" } }),
            json!({ "header": { "x-raw": "~ ." } }),
            json!({ "query": { "a": "2" } }),
            json!({ "query": { "A": "present" } }),
            json!({ "cookie": { "Sid": "present" } }),
            json!({ "method": "POST", "cookie": { "sid": "ab" } }),
        ] {
            assert!(!hold(config.clone()), "{config}");
        }
    }

    #[test]
    fn every_entry_counts_and_so_does_every_list() {
        let config = json!({
            "host": "a", "path": "/a", "method": ["GET", "POST"], "listener": ["web", "secure"],
            "client": "::1", "header": { "a": "1", "b": "1" }, "query": { "a": "1" },
            "cookie": { "a": "1" }
        });
        assert_eq!(conditions(config).count(), 7);
        assert_eq!(conditions(json!({ "host": "a" })).count(), 0);
    }

    #[test]
    fn weaker_conditions_follow_from_stricter_ones() {
        let cases = [
            (json!({}), json!({ "method": "GET" }), true),
            (json!({ "method": "GET" }), json!({}), false),
            (json!({ "method": ["GET", "PUT"] }), json!({ "method": "PUT" }), true),
            (json!({ "method": "PUT" }), json!({ "method": ["GET", "PUT"] }), false),
            (json!({ "header": { "A": "present" } }), json!({ "header": { "a": "x*" } }), true),
            (
                json!({ "header": { "a": "present" } }),
                json!({ "header": { "a": "absent" } }),
                false,
            ),
            (json!({ "query": { "a": "1" } }), json!({ "cookie": { "a": "1" } }), false),
            (json!({ "client": "::1" }), json!({ "client": "::2" }), false),
        ];
        for (weak, strict, follows) in cases {
            let follow = conditions(weak.clone()).follow_from(&conditions(strict.clone()));
            assert_eq!(follow, follows, "{weak} from {strict}");
        }
    }
}
