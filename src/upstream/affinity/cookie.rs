//! The cookie that tells where a client belongs.

use super::config::{Domain, Name, Path};
use super::places::Told;
use crate::value::{Duration, Problem};
use http::header::{self, HeaderMap};
use schemars::JsonSchema;
use serde::Deserialize;
use std::fmt::Write;

/// A cookie: its name, or that with attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Its name.
    pub name: Name,
    domain: Option<Domain>,
    path: Path,
    max_age: Option<Duration>,
    /// `None` is as the client came.
    secure: Option<bool>,
    http_only: bool,
    same_site: SameSite,
}

/// A cookie with its attributes.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "cookie")]
struct Long {
    /// Its name.
    name: Name,
    /// The domain that it is for, with all below it. Default: the host that was asked.
    domain: Option<Domain>,
    /// The path that it is for, with all below it. Default: `/`.
    path: Option<Path>,
    /// How long the client keeps it. Default: until it is closed.
    max_age: Option<Duration>,
    /// Whether it is sent over TLS only. Default: for clients that came by TLS.
    secure: Option<bool>,
    /// Whether scripts of a page do not see it. Default: true.
    #[serde(default = "yes")]
    http_only: bool,
    /// Whether it is sent with requests that other sites cause. Default: `lax`.
    #[serde(default)]
    same_site: SameSite,
}

fn yes() -> bool {
    true
}

/// Whether a cookie is sent with requests that other sites cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "same-site")]
pub(super) enum SameSite {
    /// Never.
    Strict,
    /// When a link is followed.
    #[default]
    Lax,
    /// Always; it is then for TLS only.
    None,
}

impl<'de> Deserialize<'de> for Attributes {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(from)?;
        if value.is_string() {
            return Name::deserialize(value).map(Self::named).map_err(Error::custom);
        }
        let long = Long::deserialize(value).map_err(Error::custom)?;
        let Long { name, domain, path, max_age, secure, http_only, same_site } = long;
        let path = path.unwrap_or_else(root);
        Ok(Self { name, domain, path, max_age, secure, http_only, same_site })
    }
}

impl JsonSchema for Attributes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "cookie-or-name".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (short, long) = (generator.subschema_for::<Name>(), generator.subschema_for::<Long>());
        schemars::json_schema!({ "anyOf": [short, long] })
    }
}

fn root() -> Path {
    Path("/".into())
}

impl Attributes {
    /// A cookie with the attributes that nobody wrote.
    pub(super) fn named(name: Name) -> Self {
        Self {
            name,
            domain: None,
            path: root(),
            max_age: None,
            secure: None,
            http_only: true,
            same_site: SameSite::default(),
        }
    }

    /// What no browser would keep, by its key.
    pub(super) fn check(&self) -> Result<(), (&'static str, Problem)> {
        let is_clear = self.secure == Some(false);
        if is_clear && self.same_site == SameSite::None {
            let what = "browsers refuse `same_site: none` without `secure`";
            return Err(("secure", Problem::new(what, "remove `secure: false`")));
        }
        let of_host = self.name.0.starts_with("__Host-");
        if (of_host || self.name.0.starts_with("__Secure-")) && self.secure != Some(true) {
            let what = format!("browsers refuse `{}` without `secure`", self.name.0);
            return Err(("name", Problem::new(what, "add `secure: true`")));
        }
        if of_host && (self.domain.is_some() || *self.path.0 != *"/") {
            let what = format!("browsers refuse `{}` with a domain or a path", self.name.0);
            return Err(("name", Problem::new(what, "remove `domain` and `path`")));
        }
        Ok(())
    }

    /// The values that a request has of it; HTTP/2 may spread cookies over several fields.
    pub(super) fn values<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        let fields = headers.get_all(header::COOKIE).iter().filter_map(|field| field.to_str().ok());
        fields.flat_map(|field| field.split(';')).filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            let value = value.trim();
            let quoted = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
            (name.trim() == &*self.name.0).then_some(quoted.unwrap_or(value))
        })
    }

    /// What gives it to a client.
    pub(super) fn told(&self, value: &str) -> Option<Told> {
        let line = |is_secure: bool| self.line(value, is_secure).parse().ok();
        let always = self.secure.or((self.same_site == SameSite::None).then_some(true));
        Some(Told {
            name: header::SET_COOKIE,
            in_clear: line(always.unwrap_or(false))?,
            by_tls: line(always.unwrap_or(true))?,
        })
    }

    fn line(&self, value: &str, is_secure: bool) -> String {
        let mut line = format!("{}={value}; Path={}", self.name.0, self.path.0);
        if let Some(domain) = &self.domain {
            line.extend(["; Domain=", &domain.0]);
        }
        if let Some(age) = self.max_age {
            // Writing to a string cannot fail.
            let _ = write!(line, "; Max-Age={}", age.0.as_secs());
        }
        line.push_str(if is_secure { "; Secure" } else { "" });
        line.push_str(if self.http_only { "; HttpOnly" } else { "" });
        line.push_str(match self.same_site {
            SameSite::Strict => "; SameSite=Strict",
            SameSite::Lax => "; SameSite=Lax",
            SameSite::None => "; SameSite=None",
        });
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use serde_json::{Value, json};

    fn cookie(written: Value) -> Attributes {
        serde_json::from_value(written).unwrap()
    }

    fn lines(written: Value) -> [String; 2] {
        let told = cookie(written).told("v").unwrap();
        [told.in_clear, told.by_tls].map(|line| line.to_str().unwrap().to_owned())
    }

    #[test]
    fn it_is_for_the_whole_site_and_for_no_script() {
        let plain = "node=v; Path=/; HttpOnly; SameSite=Lax";
        let secure = "node=v; Path=/; Secure; HttpOnly; SameSite=Lax";
        assert_eq!(lines(json!("node")), [plain, secure]);
        assert_eq!(lines(json!({ "name": "node" })), [plain, secure]);
    }

    #[test]
    fn every_attribute_is_written() {
        let all = json!({
            "name": "node", "domain": "example.com", "path": "/shop", "max_age": "2h",
            "secure": true, "http_only": false, "same_site": "strict",
        });
        let line = "node=v; Path=/shop; Domain=example.com; Max-Age=7200; Secure; SameSite=Strict";
        assert_eq!(lines(all), [line, line]);
        let never = lines(json!({ "name": "node", "secure": false }));
        assert!(never.iter().all(|line| !line.contains("Secure")), "{never:?}");
        let elsewhere = lines(json!({ "name": "node", "same_site": "none" }));
        assert!(elsewhere.iter().all(|line| line.contains("; Secure;")), "{elsewhere:?}");
    }

    #[test]
    fn what_no_browser_keeps_is_refused() {
        let fault = |written| cookie(written).check().unwrap_err().0;
        assert_eq!(fault(json!({ "name": "a", "secure": false, "same_site": "none" })), "secure");
        assert_eq!(fault(json!("__Secure-a")), "name");
        assert_eq!(fault(json!({ "name": "__Host-a" })), "name");
        let host = json!({ "name": "__Host-a", "secure": true, "domain": "example.com" });
        assert_eq!(fault(host), "name");
        for good in [
            json!("a"),
            json!({ "name": "__Host-a", "secure": true }),
            json!({ "name": "__Secure-a", "secure": true, "path": "/a" }),
            json!({ "name": "a", "same_site": "none" }),
        ] {
            assert!(cookie(good).check().is_ok());
        }
    }

    #[test]
    fn it_is_found_among_others_in_any_field() {
        let mut headers = HeaderMap::new();
        for field in ["a=1; node=x;Node=y", "node2=z; node = \"w\"; node"] {
            headers.append(header::COOKIE, HeaderValue::from_static(field));
        }
        let node = cookie(json!("node"));
        assert_eq!(node.values(&headers).collect::<Vec<_>>(), ["x", "w"]);
    }
}
