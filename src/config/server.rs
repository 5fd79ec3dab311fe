//! `server:` in the document: what concerns the whole process.

use crate::net::{self, via::Pseudonym};
use crate::value::{Duration, Limit, Problem, word};
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// What concerns the whole process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "server")]
pub struct Config {
    /// Worker threads. Default: `auto`, one for each core.
    pub threads: Count,
    /// Where certificates and other state are kept. Default: systemd's state directory, else
    /// `state` beside the document.
    #[schemars(extend("format" = "path"))]
    pub state_dir: Option<PathBuf>,
    /// Where the id of the process is written when the edge is ready. Default: `falconer.pid` in
    /// the state directory.
    #[schemars(extend("format" = "path"))]
    pub pid_file: Option<PathBuf>,
    /// How long a stopping process lets exchanges finish. Default: `30s`.
    pub drain: Duration,
    /// How long a process whose place another one took keeps its exchanges and streams.
    /// Default: `1h`.
    pub upgrade_drain: Duration,
    /// How long a draining idle connection stays readable: a request on it is still answered,
    /// with `Connection: close`. Default: `2s`.
    pub idle_grace: Duration,
    /// How long a process that is told to stop goes on as before, but for `/readyz`, which is 503 at
    /// once: load balancers before it look elsewhere meanwhile. Default: `0s`.
    pub shutdown_delay: Duration,
    /// The user, by name or id, that an edge becomes that is started as root; it keeps the right to
    /// bind ports below 1024. Default: it stays who it is.
    pub user: Option<String>,
    /// The group that it has then. Default: that of the user.
    pub group: Option<String>,
    /// Whether the edge reloads by itself when a file of the document changes. Default: false.
    pub watch: bool,
    /// Idle upstream connections that the process keeps. Default: 4096.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub upstream_pool: usize,
    /// The name by which it adds itself to `Via` of requests that go upstream, and answers 508 when
    /// one comes round again; or `off`. Two edges in a row need two names. Default: `auto`, another
    /// one for each process.
    pub via: Via,
    /// Caps on the whole process.
    pub limits: Limits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            threads: Count::Auto,
            state_dir: None,
            pid_file: None,
            drain: Duration::secs(30),
            upgrade_drain: Duration::secs(3600),
            idle_grace: Duration::secs(2),
            shutdown_delay: Duration::secs(0),
            user: None,
            group: None,
            watch: false,
            upstream_pool: 4096,
            via: Via::Auto,
            limits: Limits::default(),
        }
    }
}

/// What the edge calls itself in `Via`.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Via {
    /// A name of this process alone.
    #[default]
    Auto,
    /// Nothing; loops go unnoticed.
    Off,
    /// This.
    Name(Pseudonym),
}

word!(Via, "via", "`auto`, `off` or a name such as `edge-1`.");

impl FromStr for Via {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            name => name.parse().map(Self::Name),
        }
    }
}

impl Via {
    /// What is added to requests; `None` is nothing.
    pub fn compile(&self) -> Option<Arc<net::Via>> {
        let pseudonym = match self {
            Self::Auto => Pseudonym::of_process(),
            Self::Off => return None,
            Self::Name(name) => name.clone(),
        };
        Some(Arc::new(net::Via::new(pseudonym)))
    }
}

/// Caps on the whole process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "server-limits")]
pub struct Limits {
    /// Connections of all listeners together. Default: `auto`, what the descriptor limit allows.
    pub connections: Limit<Count>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: Limit::On(Count::Auto) }
    }
}

/// `auto` or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Count {
    /// As many as the machine allows.
    #[default]
    Auto,
    /// So many.
    Fixed(u64),
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let value = serde_json::Value::deserialize(from)?;
        match value.as_u64() {
            Some(number) if number > 0 => Ok(Self::Fixed(number)),
            None if value == "auto" => Ok(Self::Auto),
            _ => Err(Error::custom("this is no number; write `auto` or a number from 1")),
        }
    }
}

impl JsonSchema for Count {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "count".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "anyOf": [{ "const": "auto" }, { "type": "integer", "minimum": 1 }] })
    }
}

impl Count {
    /// The number, or what the machine has.
    pub fn or(self, machine: impl FnOnce() -> u64) -> u64 {
        match self {
            Self::Auto => machine(),
            Self::Fixed(number) => number,
        }
    }
}
