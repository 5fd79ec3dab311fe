//! `upstreams:` in the document.

use super::affinity;
use super::discover;
use super::health;
use super::limits;
use super::outlier;
use super::proxy_protocol::ProxyProtocol;
use super::retry;
use super::tls::Sni;
use super::url::Url;
use crate::expr::Template;
use crate::value::{Duration, Factor, Limit, Problem, Switch, word};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;

/// A named group of equivalent endpoints.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "upstream")]
pub struct Config {
    /// Where it can be reached: URLs such as `http://127.0.0.1:5001`, `https://shop.internal`,
    /// `unix:/run/shop.sock`, each with a weight if it needs one.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub endpoints: Vec<Member>,
    /// How endpoints are learned while the edge runs, in the place of `endpoints` or besides.
    pub discover: Option<discover::Config>,
    /// The version of HTTP to speak. Default: `h1`.
    #[serde(default)]
    pub protocol: Protocol,
    /// The `Host` that is sent: the client's, the endpoint's, or a name. Default: `client`.
    #[serde(default)]
    pub host: Host,
    /// Whether `Forwarded` (RFC 7239) goes upstream besides `X-Forwarded-*`. Default: `off`.
    pub forwarded: Option<Switch>,
    /// Whether connections to endpoints begin with a PROXY header that tells who the client is.
    /// A connection then serves one client only. Default: `off`.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Which endpoint an attempt goes to. Default: `round_robin`.
    #[serde(default)]
    pub balance: Balance,
    /// How a client's requests find the endpoint that served its first one. Default: they do not.
    pub affinity: Option<affinity::Config>,
    /// Which requests are sent again, and how often. Default: none, but after a failed connection
    /// the next endpoint is tried.
    pub retry: Option<retry::Config>,
    /// When live traffic takes an endpoint out, and for how long. Default: never.
    pub outlier: Option<outlier::Config>,
    /// Where requests go when no endpoint is left that nothing speaks against. Default: `use_all`.
    #[serde(default)]
    pub panic: Panic,
    /// How many requests they get at once. Default: as many as come.
    #[serde(default)]
    pub limits: limits::Config,
    /// How long it takes until an endpoint that is new, or well again, gets its whole share; it
    /// begins with a tenth. Default: `0s`.
    #[serde(default = "at_once")]
    pub slow_start: Duration,
    /// How long to wait, and for what.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// How long connections are kept for further requests.
    #[serde(default)]
    pub keep_alive: KeepAlive,
    /// How endpoints are asked whether they are well, beside the requests; those that are not get
    /// none while others do. Default: they are not asked.
    pub health: Option<health::Config>,
    /// Requests that endpoints get before they get those of clients. Default: none.
    pub warm_up: Option<health::WarmUp>,
    /// How TLS is spoken to the endpoints that are `https://`.
    pub tls: Option<Tls>,
}

impl Config {
    /// Whether it matters how many attempts are in flight at all endpoints together.
    pub(super) fn counts_all(&self) -> bool {
        let is_bounded =
            matches!(&self.balance, Balance::Hash(by) if by.load_at_most.on().is_some());
        is_bounded || self.limits.limits()
    }

    /// Whether TLS is spoken to some endpoint, or may be.
    pub fn speaks_tls(&self) -> bool {
        self.endpoints.iter().any(|member| member.url.is_tls())
            || self.discover.as_ref().is_some_and(discover::Config::may_speak_tls)
    }
}

/// An endpoint with its share of the traffic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where it is; of a name, all its addresses.
    pub url: Url,
    /// Its share in relation to the others'.
    pub weight: u32,
    /// It is used only when no endpoint of a lower number is left.
    pub priority: u32,
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.fmt(f)
    }
}

/// An endpoint with its share of the traffic.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "endpoint")]
struct Long {
    /// Where it is.
    url: Url,
    /// Its share in relation to the others'. Default: 1.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 65535))]
    weight: u32,
    /// Whether it is used only when no other endpoint is left: short for `priority: 1`.
    /// Default: false.
    #[serde(default)]
    backup: bool,
    /// It is used only when no endpoint of a lower number is left. Default: 0.
    #[schemars(range(max = 100))]
    priority: Option<u32>,
}

fn one() -> u32 {
    1
}

fn at_once() -> Duration {
    Duration::secs(0)
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(from)?;
        if value.is_string() {
            let url = Url::deserialize(value).map_err(Error::custom)?;
            return Ok(Self { url, weight: 1, priority: 0 });
        }
        let long = Long::deserialize(value).map_err(Error::custom)?;
        if long.backup && long.priority.is_some() {
            let remedy = "leave `backup` out, which is short for `priority: 1`";
            return Err(Error::custom(format!("`backup` and `priority` say the same; {remedy}")));
        }
        let priority = long.priority.unwrap_or(u32::from(long.backup));
        Ok(Self { url: long.url, weight: long.weight, priority })
    }
}

impl JsonSchema for Member {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "endpoint-or-url".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let (short, long) = (generator.subschema_for::<Url>(), generator.subschema_for::<Long>());
        schemars::json_schema!({ "anyOf": [short, long] })
    }
}

/// The version of HTTP spoken to endpoints; an upgrade always goes by HTTP/1.1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "upstream-protocol")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    H1,
    /// HTTP/2, by prior knowledge on clear text.
    H2,
    /// By ALPN over TLS, HTTP/2 if the endpoint offers it; HTTP/1.1 on clear text.
    Auto,
}

/// The `Host` that is sent upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// As the client sent it.
    #[default]
    Client,
    /// The endpoint's name or address.
    Endpoint,
    /// Always this.
    Name(http::HeaderValue),
}

word!(Host, "upstream-host", "`client`, `endpoint`, or a name with or without port.");

impl FromStr for Host {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "client" => return Ok(Self::Client),
            "endpoint" => return Ok(Self::Endpoint),
            _ => {}
        }
        let is_authority = text.parse::<http::uri::Authority>().is_ok() && !text.contains('@');
        let value = text.parse().ok().filter(|_| is_authority).map(Self::Name);
        value.ok_or_else(|| {
            Problem::new(
                format!("`{text}` cannot be sent as Host"),
                "write `client`, `endpoint`, or a name such as `shop.internal`",
            )
        })
    }
}

/// Which endpoint an attempt goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "balance")]
pub enum Balance {
    /// In turn, by weight.
    #[default]
    RoundRobin,
    /// Of two taken at random, the one with fewer requests in flight.
    LeastRequest,
    /// Of two taken at random, the one whose responses take less time, of late, for as many
    /// requests as it has in flight; one that becomes slow is known for that at once.
    PeakEwma,
    /// At random, by weight.
    Random,
    /// The first in the document that can be reached; the others only wait.
    First,
    /// The same for the same key, as long as it can be reached (ketama); by weight.
    Hash(HashBy),
}

/// Where requests go when no endpoint is left that nothing speaks against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "panic")]
pub enum Panic {
    /// To any endpoint all the same: what speaks against them may be wrong.
    #[default]
    UseAll,
    /// Nowhere: they get 503.
    Fail,
}

/// By what the requests of one endpoint are told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "balance-hash")]
pub struct HashBy {
    /// What tells requests apart, a template: `{client.ip}`, `{request.cookie.sid}`. Requests in
    /// which it is empty go at random.
    pub key: Template,
    /// How many requests in flight an endpoint may have, of the mean of all, before the requests of
    /// its keys go to the next. Default: `off`.
    #[serde(default = "off")]
    pub load_at_most: Limit<Factor>,
}

fn off() -> Limit<Factor> {
    Limit::Off
}

/// How long to wait for an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "upstream-timeouts")]
pub struct Timeouts {
    /// For each connection attempt, TLS included. Default: `3s`.
    pub connect: Duration,
    /// From the request sent to the head of the final response. Default: `120s`.
    pub response: Duration,
    /// The longest silence after that, in both directions at once. Default: `100s`.
    pub idle: Duration,
    /// The same for upgraded connections. Default: `1h`.
    pub tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::secs(3),
            response: Duration::secs(120),
            idle: Duration::secs(100),
            tunnel: Duration::secs(3600),
        }
    }
}

/// A route's own timeouts; they win over its upstream's.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "route-timeouts")]
pub struct TimeoutOverrides {
    /// For each connection attempt, TLS included.
    pub connect: Option<Duration>,
    /// From the request sent to the head of the final response.
    pub response: Option<Duration>,
    /// The longest silence after that, in both directions at once.
    pub idle: Option<Duration>,
    /// The same for upgraded connections.
    pub tunnel: Option<Duration>,
}

impl TimeoutOverrides {
    /// The timeouts in force.
    pub fn over(&self, timeouts: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.unwrap_or(timeouts.connect),
            response: self.response.unwrap_or(timeouts.response),
            idle: self.idle.unwrap_or(timeouts.idle),
            tunnel: self.tunnel.unwrap_or(timeouts.tunnel),
        }
    }
}

/// How TLS is spoken to endpoints. Connections are never shared between upstreams that differ in it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "upstream-tls")]
pub struct Tls {
    /// The authorities that endpoints' certificates must come from, a PEM file; they replace the
    /// system's.
    #[schemars(extend("format" = "path"))]
    pub ca: Option<PathBuf>,
    /// The name that endpoints are asked for and that their certificates must carry. Default: the
    /// host of the endpoint's URL.
    pub sni: Option<Sni>,
    /// The name of the certificate that is shown to endpoints that ask for one. Default: none.
    pub client_certificate: Option<String>,
    /// Whether endpoints' certificates are verified; without that, anyone on the way can pose as
    /// an endpoint. Default: true.
    pub verify: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { ca: None, sni: None, client_certificate: None, verify: true }
    }
}

/// How long connections to endpoints are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "upstream-keep-alive")]
pub struct KeepAlive {
    /// An idle one; an endpoint that announces a shorter time wins. Default: `60s`.
    pub idle: Duration,
    /// Any, measured from when it was made. Default: `1h`.
    pub max_age: Duration,
    /// How often one over HTTP/2 is asked for a sign of life; one that gives none within 5 s is
    /// closed. Servers of gRPC may close one that is asked more often than every 5 minutes.
    /// Default: `6m`.
    pub ping: Limit<Duration>,
}

impl Default for KeepAlive {
    fn default() -> Self {
        let ping = Limit::On(Duration::secs(360));
        Self { idle: Duration::secs(60), max_age: Duration::secs(3600), ping }
    }
}

/// A number from 1.
#[derive(JsonSchema)]
#[schemars(rename = "one-or-more")]
pub(super) struct OneOrMore(
    #[schemars(range(min = 1))]
    #[expect(dead_code, reason = "for the schema")]
    u32,
);
