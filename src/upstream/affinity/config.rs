//! `affinity:` of an upstream.

use super::cookie::Attributes;
use crate::value::{Duration, FieldName, Problem, Secret, word};
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;

/// How a client's requests find the endpoint that served its first one: by one of `cookie`, `header`,
/// `arr` and `signalr`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "affinity")]
pub struct Config {
    /// By a cookie of this name, whose value tells nothing: `shop_node`.
    pub cookie: Option<Attributes>,
    /// By a field of this name, which the client takes from the first response and sends with all
    /// further requests.
    pub header: Option<FieldName>,
    /// By the cookie of Application Request Routing, so that those that it or YARP gave still hold.
    pub arr: Option<Arr>,
    /// By the ids of SignalR's connections, learned from the responses to `/negotiate`; clients need
    /// no cookies.
    pub signalr: Option<SignalR>,
    /// What is done with a request whose endpoint is gone or does not serve. Default:
    /// `redistribute`.
    #[serde(default)]
    pub failure: Failure,
    /// From what values of `cookie` and `header` are made; edges that share it know each other's.
    /// Default: a key of this edge's own, kept in `state_dir`.
    pub secret: Option<Secret>,
}

/// The cookie of Application Request Routing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "affinity-arr")]
pub struct Arr {
    /// The cookie. Default: `ARRAffinity`.
    pub cookie: Attributes,
}

impl Default for Arr {
    fn default() -> Self {
        Self { cookie: Attributes::named(Name("ARRAffinity".into())) }
    }
}

/// What is kept of SignalR's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "affinity-signalr")]
pub struct SignalR {
    /// How many connections are kept in mind; of more, those go first that were silent longest. Each
    /// takes at most 64 bytes. Default: 100000.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub capacity: u32,
    /// How long a connection is kept in mind after its last request. Default: `1d`.
    pub forget_after: Duration,
}

impl Default for SignalR {
    fn default() -> Self {
        Self { capacity: 100_000, forget_after: Duration::secs(24 * 3600) }
    }
}

/// What is done with a request whose endpoint is gone or does not serve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "affinity-failure")]
pub enum Failure {
    /// It goes to another endpoint, to which the client belongs from then on.
    #[default]
    Redistribute,
    /// It gets 503.
    #[serde(rename = "reply_503")]
    Reply,
}

/// How an endpoint is found again.
pub(super) enum Mode<'a> {
    Cookie(&'a Attributes),
    Header(&'a FieldName),
    Arr(&'a Attributes),
    SignalR,
}

/// A mistake below `affinity`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys that lead to it.
    pub at: Vec<&'static str>,
    /// What is wrong there.
    pub problem: Problem,
}

/// A shorter secret could be guessed.
const SHORTEST: usize = 16;

impl Config {
    /// Whether it needs a key that the document does not hold.
    pub fn wants_key(&self) -> bool {
        self.secret.is_none() && (self.cookie.is_some() || self.header.is_some())
    }

    /// What is wrong with it.
    pub fn check(&self) -> Result<(), Fault> {
        let cookie = match self.mode()? {
            Mode::Cookie(cookie) => Some((&["cookie"][..], cookie)),
            Mode::Arr(cookie) => Some((&["arr", "cookie"][..], cookie)),
            Mode::Header(_) | Mode::SignalR => None,
        };
        if let Some((at, cookie)) = cookie {
            cookie
                .check()
                .map_err(|(key, problem)| Fault { at: [at, &[key]].concat(), problem })?;
        }
        let Some(secret) = &self.secret else { return Ok(()) };
        let problem = match secret.expose().len() {
            _ if self.arr.is_some() || self.signalr.is_some() => {
                Problem::new("`secret` has no effect without `cookie` or `header`", "remove it")
            }
            0..SHORTEST => {
                let remedy = "keep 32 characters there, as `openssl rand -hex 16` makes them";
                Problem::new("`secret` is shorter than 16 characters", remedy)
            }
            _ => return Ok(()),
        };
        // Nothing is told of a place that holds a secret.
        Err(Fault { at: Vec::new(), problem })
    }

    pub(super) fn mode(&self) -> Result<Mode<'_>, Fault> {
        match (&self.cookie, &self.header, &self.arr, &self.signalr) {
            (Some(cookie), None, None, None) => Ok(Mode::Cookie(cookie)),
            (None, Some(name), None, None) => Ok(Mode::Header(name)),
            (None, None, Some(arr), None) => Ok(Mode::Arr(&arr.cookie)),
            (None, None, None, Some(_)) => Ok(Mode::SignalR),
            (None, None, None, None) => {
                let what = "`affinity` does not say how a client's endpoint is found again";
                let remedy =
                    "add one of `cookie: NAME`, `header: NAME`, `arr: {}` and `signalr: {}`";
                Err(Fault { at: Vec::new(), problem: Problem::new(what, remedy) })
            }
            _ => Err(self.ambiguous()),
        }
    }

    fn ambiguous(&self) -> Fault {
        let kinds = [
            ("cookie", self.cookie.is_some()),
            ("header", self.header.is_some()),
            ("arr", self.arr.is_some()),
            ("signalr", self.signalr.is_some()),
        ];
        let mut named = kinds.iter().filter(|(_, is_there)| *is_there).map(|(key, _)| *key);
        let (first, second) = (named.next().unwrap_or("cookie"), named.next());
        let what = format!("an endpoint is found in one way, and `{first}` is there already");
        Fault { at: second.into_iter().collect(), problem: Problem::new(what, "keep one of them") }
    }
}

/// The name of a cookie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Box<str>);

word!(Name, "cookie-name", "The name of a cookie, such as `shop_node`.");

impl FromStr for Name {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        // It has the grammar of a field's name, but keeps its case.
        if HeaderName::from_str(text).is_err() {
            let remedy = "use letters, digits, `-` and `_`, such as `shop_node`";
            return Err(Problem::new(format!("`{text}` cannot be the name of a cookie"), remedy));
        }
        Ok(Self(text.into()))
    }
}

/// The domain that a cookie is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain(pub Box<str>);

word!(Domain, "cookie-domain", "The domain that a cookie is for, such as `example.com`.");

impl FromStr for Domain {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        };
        if !name.split('.').all(is_label) {
            let remedy = "write a name such as `example.com`, without scheme and port";
            return Err(Problem::new(format!("`{text}` is not a cookie's domain"), remedy));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

/// The path that a cookie is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(pub Box<str>);

word!(Path, "cookie-path", "The path that a cookie is for, such as `/shop`.");

impl FromStr for Path {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let is_held = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
        if !text.starts_with('/') || !is_held {
            let remedy = "begin with `/`, and percent-encode blanks and `;`, as in `/shop`";
            return Err(Problem::new(format!("`{text}` is not a cookie's path"), remedy));
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn read(config: Value) -> Config {
        serde_json::from_value(config).unwrap()
    }

    fn fault(config: Value) -> (Vec<&'static str>, String) {
        let fault = read(config).check().unwrap_err();
        (fault.at, fault.problem.what)
    }

    #[test]
    fn the_figures_of_the_documentation_are_the_defaults() {
        let config = read(json!({ "signalr": {} }));
        let day = Duration::secs(86_400);
        assert_eq!(config.signalr, Some(SignalR { capacity: 100_000, forget_after: day }));
        assert_eq!(config.failure, Failure::Redistribute);
        let arr = read(json!({ "arr": {}, "failure": "reply_503" }));
        assert_eq!(&*arr.arr.unwrap().cookie.name.0, "ARRAffinity");
        assert_eq!(arr.failure, Failure::Reply);
    }

    #[test]
    fn there_is_one_way_to_find_an_endpoint_again() {
        let (at, what) = fault(json!({ "failure": "reply_503" }));
        assert!(at.is_empty() && what.starts_with("`affinity` does not say"), "{what}");
        for (config, at, first) in [
            (json!({ "cookie": "a", "header": "b" }), "header", "`cookie`"),
            (json!({ "arr": {}, "signalr": {} }), "signalr", "`arr`"),
            (json!({ "header": "a", "arr": {}, "signalr": {} }), "arr", "`header`"),
        ] {
            let (place, what) = fault(config);
            assert_eq!(place, [at]);
            assert!(what.contains(first), "{what}");
        }
    }

    #[test]
    fn a_secret_is_long_and_of_use() {
        let long = "0123456789abcdef";
        assert!(read(json!({ "cookie": "a", "secret": long })).check().is_ok());
        assert!(read(json!({ "header": "a", "secret": long })).check().is_ok());
        for config in [
            json!({ "cookie": "a", "secret": &long[1..] }),
            json!({ "arr": {}, "secret": long }),
            json!({ "signalr": {}, "secret": long }),
        ] {
            let (at, what) = fault(config);
            assert!(at.is_empty() && what.starts_with("`secret` "), "{what}");
        }
    }

    #[test]
    fn only_what_makes_values_needs_a_key() {
        let wants = |config| read(config).wants_key();
        assert!(wants(json!({ "cookie": "a" })) && wants(json!({ "header": "a" })));
        assert!(!wants(json!({ "arr": {} })) && !wants(json!({ "signalr": {} })));
        assert!(!wants(json!({ "cookie": "a", "secret": "0123456789abcdef" })));
    }

    #[test]
    fn what_would_break_a_set_cookie_is_refused() {
        for name in ["", "a b", "a;b", "a=b", "ä"] {
            assert!(name.parse::<Name>().is_err(), "{name}");
        }
        for domain in ["", ".", "a..b", "a;b", "http://a", "a:80", "a/b"] {
            assert!(domain.parse::<Domain>().is_err(), "{domain}");
        }
        for path in ["", "a", "/a;b", "/a b", "/ä", "/a\r"] {
            assert!(path.parse::<Path>().is_err(), "{path}");
        }
        assert_eq!(".Example.com".parse::<Domain>(), Ok(Domain("example.com".into())));
    }
}
