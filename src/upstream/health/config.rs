//! `health:` in the document.

use super::tally::Thresholds;
use super::{grpc, http, tcp};
use crate::value::{Duration, Problem};
use schemars::JsonSchema;
use serde::Deserialize;

/// How endpoints are asked whether they are well: by `path`, which is short for
/// `http: { path: ... }`, or by one of `http`, `tcp` and `grpc`. Each is asked on a connection of its
/// own, that is made as those for requests are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "health")]
pub struct Config {
    /// Asks for this by HTTP: `/healthz`.
    pub path: Option<http::Path>,
    /// Asks by HTTP.
    pub http: Option<http::Config>,
    /// Connects, and asks nothing.
    pub tcp: Option<tcp::Config>,
    /// Asks by gRPC, with `grpc.health.v1.Health/Check`.
    pub grpc: Option<grpc::Config>,
    /// From one check of an endpoint to the next, give or take a tenth. Default: `5s`.
    pub interval: Duration,
    /// How long a check may take, from connecting to the last byte that matters. Default: `2s`.
    pub timeout: Duration,
    /// How many failed checks in a row make a healthy endpoint unhealthy. Default: 2.
    #[schemars(range(min = 1, max = 1000))]
    pub unhealthy_after: u32,
    /// How many passed checks in a row make an unhealthy endpoint healthy. The first check of all
    /// decides alone, whatever it says. Default: 1.
    #[schemars(range(min = 1, max = 1000))]
    pub healthy_after: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            path: None,
            http: None,
            tcp: None,
            grpc: None,
            interval: Duration::secs(5),
            timeout: Duration::secs(2),
            unhealthy_after: 2,
            healthy_after: 1,
        }
    }
}

/// A mistake below `health`.
#[derive(Debug, PartialEq, Eq)]
pub struct Fault {
    /// The keys that lead to it.
    pub at: Vec<&'static str>,
    /// What is wrong there.
    pub problem: Problem,
}

impl Fault {
    pub(super) fn new(at: &[&'static str], what: &str, remedy: &str) -> Self {
        Self { at: at.to_vec(), problem: Problem::new(what, remedy) }
    }
}

/// How endpoints are asked, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub(super) kind: Kind,
    pub(super) interval: std::time::Duration,
    pub(super) timeout: Duration,
    pub(super) thresholds: Thresholds,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Http(Box<http::Check>),
    Tcp,
    Grpc(grpc::Check),
}

/// A check more often than this is an attack.
const SHORTEST: Duration = Duration(std::time::Duration::from_millis(10));

impl Config {
    /// The compiled form.
    pub fn compile(&self) -> Result<Check, Fault> {
        for (key, time) in [("interval", self.interval), ("timeout", self.timeout)] {
            if time < SHORTEST {
                let what = format!("`{key}` cannot be {time}");
                return Err(Fault::new(&[key], &what, "write `10ms` or more, such as `2s`"));
            }
        }
        Ok(Check {
            kind: self.kind()?,
            interval: self.interval.0,
            timeout: self.timeout,
            thresholds: Thresholds {
                healthy_after: self.healthy_after,
                unhealthy_after: self.unhealthy_after,
            },
        })
    }

    fn kind(&self) -> Result<Kind, Fault> {
        match (&self.path, &self.http, &self.tcp, &self.grpc) {
            (Some(path), None, None, None) => {
                Ok(Kind::Http(http::Config::of(path).compile()?.into()))
            }
            (None, Some(http), None, None) => Ok(Kind::Http(http.compile()?.into())),
            (None, None, Some(tcp::Config {}), None) => Ok(Kind::Tcp),
            (None, None, None, Some(grpc)) => Ok(Kind::Grpc(grpc.compile()?)),
            (None, None, None, None) => {
                let what = "`health` does not say how endpoints are asked";
                let remedy = "add one of `path: /healthz`, `http: ...`, `tcp: {}` and `grpc: {}`";
                Err(Fault::new(&[], what, remedy))
            }
            (Some(_), Some(_), _, _) => {
                let what = "`path` is short for `http`, which is there too";
                Err(Fault::new(&["path"], what, "write it below `http`"))
            }
            _ => {
                let kinds = [
                    ("path", self.path.is_some()),
                    ("http", self.http.is_some()),
                    ("tcp", self.tcp.is_some()),
                    ("grpc", self.grpc.is_some()),
                ];
                let mut named = kinds.iter().filter(|(_, is_there)| *is_there).map(|(key, _)| *key);
                let (first, second) = (named.next().unwrap_or("http"), named.next());
                let what =
                    format!("endpoints are asked in one way, and `{first}` is there already");
                let at: Vec<_> = second.into_iter().collect();
                Err(Fault::new(&at, &what, "keep one of them"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn compile(config: Value) -> Result<Check, Fault> {
        serde_json::from_value::<Config>(config).unwrap().compile()
    }

    #[test]
    fn the_figures_of_the_documentation_are_the_defaults() {
        let secs = std::time::Duration::from_secs;
        let check = compile(json!({ "tcp": {} })).unwrap();
        assert_eq!((check.interval, check.timeout.0), (secs(5), secs(2)));
        let thresholds = Thresholds { healthy_after: 1, unhealthy_after: 2 };
        assert_eq!(check.thresholds, thresholds);
    }

    #[test]
    fn a_path_is_short_for_http() {
        let short = compile(json!({ "path": "/healthz" })).unwrap();
        assert_eq!(short, compile(json!({ "http": { "path": "/healthz" } })).unwrap());
        assert_ne!(short, compile(json!({ "http": {} })).unwrap());
    }

    #[test]
    fn there_is_one_way_to_ask() {
        let fault = |config| {
            let fault = compile(config).unwrap_err();
            (fault.at, fault.problem.what)
        };
        let (at, what) = fault(json!({ "interval": "1s" }));
        assert_eq!((at, &*what), (vec![], "`health` does not say how endpoints are asked"));
        let (at, what) = fault(json!({ "path": "/a", "http": {} }));
        assert_eq!((at, &*what), (vec!["path"], "`path` is short for `http`, which is there too"));
        for (config, at, first) in [
            (json!({ "path": "/a", "tcp": {} }), "tcp", "`path`"),
            (json!({ "http": {}, "grpc": {} }), "grpc", "`http`"),
            (json!({ "tcp": {}, "grpc": {} }), "grpc", "`tcp`"),
        ] {
            let (place, what) = fault(config);
            assert_eq!(place, [at]);
            assert!(what.contains(first), "{what}");
        }
    }

    #[test]
    fn nobody_is_asked_without_a_pause_or_without_time_to_answer() {
        for (key, time) in [("interval", "0s"), ("interval", "9ms"), ("timeout", "0ms")] {
            assert_eq!(compile(json!({ "tcp": {}, key: time })).unwrap_err().at, [key]);
        }
        assert!(compile(json!({ "tcp": {}, "interval": "10ms", "timeout": "10ms" })).is_ok());
    }
}
