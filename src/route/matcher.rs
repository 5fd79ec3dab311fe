//! What a route demands of a request: as written, and compiled.

use super::conditions::Conditions;
use super::path::MAX_CAPTURES;
use super::{HostPattern, PathPattern, TextPattern};
use crate::net::Cidr;
use crate::value::{Method, OneOrMany, Problem};
use http::HeaderName;
use indexmap::IndexMap;

/// Which requests a route takes: all matchers must hold, and a list means any of its values.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "match")]
pub struct Match {
    /// Hosts, without port: `shop.example.com`, `*.example.com` or `*`.
    pub host: Option<OneOrMany<HostPattern>>,
    /// Paths: `/exact`, `/prefix/*`, `/user/{id}/orders`, `/{rest*}` or `~ ^/regex$`.
    ///
    /// They are compared with the normalised path: dot segments resolved, unreserved escapes
    /// decoded, `%2F` kept.
    pub path: Option<OneOrMany<PathPattern>>,
    /// Methods: `GET`, `POST`. `GET` alone does not take `HEAD`.
    pub method: Option<OneOrMany<Method>>,
    /// Header fields by name: the value, `begin*`, `~ regex`, `present` or `absent`.
    ///
    /// Of a field that comes several times, one value must fit.
    #[serde(default)]
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub header: IndexMap<String, TextPattern>,
    /// Query parameters by name, like `header`; names and values are compared decoded.
    #[serde(default)]
    pub query: IndexMap<String, TextPattern>,
    /// Cookies by name, like `header`.
    #[serde(default)]
    pub cookie: IndexMap<String, TextPattern>,
    /// Addresses of clients, after trusted proxies: `10.0.0.0/8`.
    pub client: Option<OneOrMany<Cidr>>,
    /// Names of listeners; without it, the route is there on all of them.
    pub listener: Option<OneOrMany<String>>,
}

/// A [`Match`] ready for a table.
#[derive(Clone, Debug)]
pub struct Matcher {
    pub(super) hosts: Vec<HostPattern>,
    /// `None` takes every path.
    pub(super) paths: Option<Vec<PathPattern>>,
    pub(super) conditions: Conditions,
    names: Vec<String>,
}

/// One mistake in a [`Match`] that no single word shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The matcher: `header`.
    pub matcher: &'static str,
    /// The entry in it, such as the header's name; none means the matcher as a whole.
    pub entry: Option<String>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Matcher {
    /// Compiles a match; `listeners` are the document's, in the order that requests count them.
    /// A listener that is not among them takes no part; whoever compiles the document tells of it.
    pub fn compile(config: &Match, listeners: &[&str]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut names = Vec::new();
        for name in config.path.iter().flat_map(OneOrMany::iter).flat_map(PathPattern::names) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        if names.len() > MAX_CAPTURES {
            let what = format!("these paths capture {} different names", names.len());
            let remedy = format!("use at most {MAX_CAPTURES}, or several routes");
            faults.push(Fault {
                matcher: "path",
                entry: None,
                problem: Problem::new(what, remedy),
            });
        }
        let conditions = Conditions {
            methods: config.method.as_ref().map(|all| all.iter().map(|m| m.0.clone()).collect()),
            headers: header_names(&config.header, &mut faults),
            query: owned(&config.query),
            cookies: owned(&config.cookie),
            clients: config.client.as_ref().map(|all| all.iter().copied().collect()),
            listeners: config.listener.as_ref().map(|all| listener_places(all, listeners)),
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let hosts = config.host.as_ref().map_or(vec![HostPattern::Any], |all| all.0.clone());
        let paths = config.path.as_ref().map(|all| all.0.clone());
        Ok(Self { hosts, paths, conditions, names })
    }

    /// Demands a host and a path only.
    pub(super) fn of(hosts: Vec<HostPattern>, paths: Option<Vec<PathPattern>>) -> Self {
        Self { hosts, paths, conditions: Conditions::default(), names: Vec::new() }
    }

    /// The names its paths capture; a name's place here is its place in `Captures`.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

fn header_names(
    config: &IndexMap<String, TextPattern>,
    faults: &mut Vec<Fault>,
) -> Vec<(HeaderName, TextPattern)> {
    let mut headers = Vec::with_capacity(config.len());
    for (text, pattern) in config {
        match HeaderName::from_bytes(text.as_bytes()) {
            Ok(name) => headers.push((name, pattern.clone())),
            Err(_) => faults.push(Fault {
                matcher: "header",
                entry: Some(text.clone()),
                problem: Problem::new(
                    format!("`{text}` is not the name of a header field"),
                    "write a name such as `x-tenant`",
                ),
            }),
        }
    }
    headers
}

fn owned(config: &IndexMap<String, TextPattern>) -> Vec<(String, TextPattern)> {
    config.iter().map(|(name, pattern)| (name.clone(), pattern.clone())).collect()
}

fn listener_places(config: &OneOrMany<String>, listeners: &[&str]) -> Vec<u16> {
    let place = |name: &String| listeners.iter().position(|known| known == name);
    config.iter().filter_map(|name| u16::try_from(place(name)?).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(config: serde_json::Value) -> Result<Matcher, Vec<Fault>> {
        Matcher::compile(&serde_json::from_value(config).unwrap(), &["web", "secure"])
    }

    #[test]
    fn names_of_several_paths_share_their_places() {
        let matcher = compile(json!({ "path": ["/a/{x}/{y}", "/b/{y}/{z}"] })).unwrap();
        assert_eq!(matcher.names(), ["x", "y", "z"]);
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let config = json!({
            "header": { "x y": "1", "ok": "1", "": "1" },
            "path": ["/{a}/{b}/{c}/{d}/{e}", "/{f}/{g}/{h}/{i}"],
        });
        let faults = compile(config).unwrap_err();
        let told: Vec<_> = faults.iter().map(|f| (f.matcher, f.entry.as_deref())).collect();
        assert_eq!(told, [("path", None), ("header", Some("x y")), ("header", Some(""))]);
    }

    #[test]
    fn an_unknown_matcher_is_refused() {
        assert!(serde_json::from_value::<Match>(json!({ "hosts": "a" })).is_err());
    }
}
