//! `rewrite`: changes path and query before the request goes upstream.

use crate::exchange::Exchange;
use crate::expr::{Escape, Template};
use crate::net::uri;
use crate::value::{self, Problem, word};
use http::Uri;
use http::uri::PathAndQuery;
use indexmap::IndexMap;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use regex::Regex;
use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;

/// One of `strip_prefix`, `add_prefix`, `path` and `regex`, and besides it `query`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "rewrite-filter")]
pub struct Config {
    /// A prefix to remove, on whole segments; it goes upstream as `X-Forwarded-Prefix`.
    pub strip_prefix: Option<Prefix>,
    /// A prefix to put before the path.
    pub add_prefix: Option<Prefix>,
    /// The new path, a template; with a `?` it replaces the query too.
    pub path: Option<Template>,
    /// A search in the normalised path, and what to put in place of the first match.
    pub regex: Option<Replacement>,
    /// Changes of the query.
    pub query: Option<Query>,
}

/// A regular expression and its replacement.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "rewrite-regex")]
pub struct Replacement {
    /// The expression, in the syntax of the `regex` crate.
    pub pattern: value::Regex,
    /// What replaces the match: `$1` and `$name` stand for its groups; before a letter or a digit
    /// write `$${1}`, because `${...}` alone is a variable of the document.
    pub replace: String,
}

/// Changes of the query, in the order they are done: remove, set, append.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "rewrite-query")]
pub struct Query {
    /// Parameters to remove.
    pub remove: Vec<String>,
    /// Parameters to set, replacing what was there; the value is a template.
    pub set: IndexMap<String, Template>,
    /// Parameters to add; the value is a template.
    pub append: IndexMap<String, Template>,
}

/// The beginning of a path, on whole segments and without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(Box<str>);

word!(Prefix, "path-prefix", "The beginning of a path, on whole segments: `/api`.");

/// What a parameter's name keeps.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The compiled filter.
#[derive(Debug)]
pub struct Rewrite {
    path: Path,
    query: Option<Query>,
}

#[derive(Debug)]
enum Path {
    Keep,
    Strip(Prefix),
    Add(Prefix),
    Template(Template),
    Regex(Regex, Box<str>),
}

impl Config {
    /// The compiled filter.
    pub fn compile(&self) -> Result<Rewrite, Problem> {
        let mut ways = Vec::new();
        if let Some(prefix) = &self.strip_prefix {
            ways.push(Path::Strip(prefix.clone()));
        }
        if let Some(prefix) = &self.add_prefix {
            ways.push(Path::Add(prefix.clone()));
        }
        if let Some(template) = &self.path {
            ways.push(Path::Template(template.clone()));
        }
        if let Some(regex) = &self.regex {
            regex.check()?;
            ways.push(Path::Regex(regex.pattern.0.clone(), regex.replace.as_str().into()));
        }
        if ways.len() > 1 {
            return Err(Problem::new(
                "`rewrite` changes the path in more than one way",
                "keep one of strip_prefix, add_prefix, path and regex; several `rewrite` items run \
                 in their order",
            ));
        }
        Ok(Rewrite { path: ways.pop().unwrap_or(Path::Keep), query: self.query.clone() })
    }
}

impl Replacement {
    /// A group that the pattern lacks would silently stand for nothing.
    fn check(&self) -> Result<(), Problem> {
        let pattern = &self.pattern.0;
        let has = |group: &str| match group.parse::<usize>() {
            Ok(number) => number < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|name| name == group),
        };
        let Some(group) = groups(&self.replace).into_iter().find(|group| !has(group)) else {
            return Ok(());
        };
        let digits = group.find(|c: char| !c.is_ascii_digit()).unwrap_or(group.len());
        let remedy = match group.split_at(digits) {
            ("", _) => format!("name one in the pattern: `(?<{group}>...)`"),
            (_, "") => "put what it stands for in parentheses".into(),
            (number, letters) => format!("write `$${{{number}}}{letters}`"),
        };
        Err(Problem::new(format!("the pattern of `rewrite` has no group `{group}`"), remedy))
    }
}

/// The groups that a replacement names, as the `regex` crate reads it.
fn groups(replace: &str) -> Vec<&str> {
    let mut groups = Vec::new();
    let mut rest = replace;
    while let Some((_, after)) = rest.split_once('$') {
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let end = after.find(|c| !is_name(c)).unwrap_or(after.len());
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        let (group, beyond) = braced.unwrap_or_else(|| after.split_at(end));
        if !group.is_empty() {
            groups.push(group);
        }
        rest = beyond.strip_prefix('$').filter(|_| group.is_empty()).unwrap_or(beyond);
    }
    groups
}

impl FromStr for Prefix {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let escaped = uri::escape(text.trim_end_matches('/'));
        // It meets paths in their normal form.
        match uri::normalise(&escaped) {
            Ok(path) if path.starts_with('/') && !path.contains(['?', '#']) => {
                Ok(Self(path.into()))
            }
            _ => Err(Problem::new(
                format!("`{text}` is not a prefix of a path"),
                "begin it with a slash and name at least one segment, such as `/api`",
            )),
        }
    }
}

impl Rewrite {
    pub(super) fn request(&self, exchange: &mut Exchange<'_>) {
        let sent = exchange.request.uri.path();
        // A rewrite before this one has changed the path already.
        let is_sent = sent == exchange.target.sent().path();
        let path = if is_sent { exchange.target.path() } else { sent };
        let query = exchange.request.uri.query().unwrap_or_default();
        let (path, stripped) = self.path.apply(path, exchange);
        let (path, query) = match path {
            None if self.query.is_none() => return,
            None => (sent.to_owned(), query.to_owned()),
            Some(new) => match new.split_once('?') {
                Some((path, query)) => (path.to_owned(), query.to_owned()),
                None => (new, query.to_owned()),
            },
        };
        let query = match &self.query {
            Some(changes) => changes.apply(&query, exchange),
            None => query,
        };
        set_target(exchange, &path, &query);
        if let Some(prefix) = stripped {
            let before = exchange.stripped_prefix.take().unwrap_or_default();
            *exchange.stripped_prefix = Some(format!("{before}{prefix}").into());
        }
    }
}

impl Path {
    /// The new path if it changes, and the prefix if one was stripped.
    fn apply(&self, path: &str, exchange: &Exchange<'_>) -> (Option<String>, Option<&str>) {
        match self {
            Self::Keep => (None, None),
            Self::Strip(prefix) => match path.strip_prefix(&*prefix.0) {
                Some("") => (Some("/".into()), Some(&prefix.0)),
                Some(rest) if rest.starts_with('/') => (Some(rest.into()), Some(&prefix.0)),
                _ => (None, None),
            },
            Self::Add(Prefix(prefix)) => (Some(format!("{prefix}{path}")), None),
            Self::Template(template) => {
                let mut new = String::new();
                template.render(exchange, Escape::UrlPath, &mut new);
                (Some(new), None)
            }
            Self::Regex(regex, replace) => match regex.is_match(path) {
                true => (Some(regex.replace(path, &**replace).into_owned()), None),
                false => (None, None),
            },
        }
    }
}

impl Query {
    fn apply(&self, query: &str, exchange: &Exchange<'_>) -> String {
        let mut pairs: Vec<String> =
            query.split('&').filter(|p| !p.is_empty()).map(Into::into).collect();
        pairs.retain(|pair| !self.remove.iter().any(|name| is(pair, name)));
        for (name, template) in &self.set {
            let new = pair(name, template, exchange);
            let place = pairs.iter().position(|old| is(old, name));
            pairs.retain(|old| !is(old, name));
            pairs.insert(place.unwrap_or(pairs.len()).min(pairs.len()), new);
        }
        pairs.extend(self.append.iter().map(|(name, template)| pair(name, template, exchange)));
        pairs.join("&")
    }
}

/// Whether a pair, still encoded, is the parameter of a name.
fn is(pair: &str, name: &str) -> bool {
    let raw = pair.split_once('=').map_or(pair, |(name, _)| name);
    raw == name || percent_decode_str(&raw.replace('+', " ")).decode_utf8_lossy() == name
}

fn pair(name: &str, template: &Template, exchange: &Exchange<'_>) -> String {
    let mut out = utf8_percent_encode(name, NAME).to_string();
    out.push('=');
    template.render(exchange, Escape::UrlQuery, &mut out);
    out
}

/// Sets path and query; what is no valid target leaves the request as it was.
fn set_target(exchange: &mut Exchange<'_>, path: &str, query: &str) {
    let (path, query) = (uri::escape(path), uri::escape(query));
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mark = if query.is_empty() { "" } else { "?" };
    let Ok(target) = PathAndQuery::try_from(format!("{slash}{path}{mark}{query}")) else {
        return;
    };
    let mut parts = exchange.request.uri.clone().into_parts();
    parts.path_and_query = Some(target);
    if let Ok(uri) = Uri::from_parts(parts) {
        exchange.request.set_uri(uri);
    }
}
