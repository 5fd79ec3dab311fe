//! `routes:` in the document.

use super::matcher::Match;
use super::target::{RedirectConfig, ReplyConfig};
use super::{mirror, split};
use crate::filter;
use crate::upstream::TimeoutOverrides;
use crate::value::{ByteRate, Limit, Size, Switch};
use schemars::JsonSchema;
use serde::Deserialize;

/// Which requests, and what is done with them: one of `upstream`, `split`, `redirect` and
/// `reply`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "route")]
pub struct Config {
    /// Its name in logs and metrics; unique. Default: `route-N` by its place.
    pub name: Option<String>,
    /// Which requests it takes. Default: every request.
    #[serde(default, rename = "match")]
    pub matches: Match,
    /// Goes before all specificity; the higher wins. Default: 0.
    #[serde(default)]
    pub priority: i32,
    /// What happens to the request and the response, after the document's own `filters`.
    #[serde(default)]
    pub filters: Vec<filter::Config>,
    /// Caps that win over the listener's.
    #[serde(default)]
    pub limits: Limits,
    /// Timeouts that win over the upstream's.
    #[serde(default)]
    pub timeouts: TimeoutOverrides,
    /// Whether its exchanges are in the access log. Default: `on`.
    pub access_log: Option<Switch>,
    /// Whether its streams end, after `server.drain`, when a reload changes it, one of its upstreams,
    /// or the filters of all routes. Default: false.
    #[serde(default)]
    pub drain_on_change: bool,
    /// Forwards to the upstream of this name.
    pub upstream: Option<String>,
    /// Forwards to several upstreams, each request to one of them.
    pub split: Option<split::Config>,
    /// Copies requests to a further upstream, beside `upstream` or `split`.
    pub mirror: Option<mirror::Config>,
    /// Sends the client elsewhere.
    pub redirect: Option<RedirectConfig>,
    /// Answers at once.
    pub reply: Option<ReplyConfig>,
}

/// A route's own caps; they win over the listener's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "route-limits")]
pub struct Limits {
    /// Size of the request body; `off` for none.
    pub body_size: Option<Limit<Size>>,
    /// How fast a client must send and take bodies; `off` for no minimum.
    pub min_body_rate: Option<Limit<ByteRate>>,
    /// Size of the request target; `off` for none.
    pub uri_size: Option<Limit<Size>>,
}

impl Limits {
    /// The cap on the body, in bytes.
    pub fn body_size(&self, listener: Option<u64>) -> Option<u64> {
        match self.body_size {
            Some(own) => own.on().map(|size| size.0),
            None => listener,
        }
    }

    /// The least rate of bodies, in bytes per second.
    pub fn min_body_rate(&self, listener: Option<u64>) -> Option<u64> {
        match self.min_body_rate {
            Some(own) => own.on().map(|rate| rate.0),
            None => listener,
        }
    }

    /// The cap on the target, in bytes.
    pub fn uri_size(&self, listener: Option<u64>) -> Option<u64> {
        match self.uri_size {
            Some(own) => own.on().map(|size| size.0),
            None => listener,
        }
    }
}

impl Config {
    /// The keys of the targets that are given.
    pub fn targets(&self) -> Vec<&'static str> {
        let given = [
            ("upstream", self.upstream.is_some()),
            ("split", self.split.is_some()),
            ("redirect", self.redirect.is_some()),
            ("reply", self.reply.is_some()),
        ];
        given.into_iter().filter_map(|(key, is_given)| is_given.then_some(key)).collect()
    }
}
