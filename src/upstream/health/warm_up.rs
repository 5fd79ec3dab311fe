//! `warm_up`: requests that an endpoint gets before it gets those of clients.

use super::config::Fault;
use super::{Ask, http};
use crate::upstream::config::Host;
use crate::value::{Duration, FieldName, OneOrMany};
use ::http::header;
use schemars::JsonSchema;
use serde::Deserialize;
use std::time::Instant;

/// Requests that an endpoint gets before it gets those of clients: whenever it is new, and whenever
/// its health check passes that failed before. It serves when they are answered, whatever the
/// answers say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "warm-up")]
pub struct Config {
    /// The path, with a query if it needs one. Default: `/`.
    pub path: http::Path,
    /// The `Host` that is sent. Default: `endpoint`, its name or address.
    pub host: Host,
    /// How many there are, one after the other. Default: 5.
    #[schemars(range(min = 1, max = 1000))]
    pub requests: u32,
    /// How long all of them may take; then the endpoint serves all the same. Default: `30s`.
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let http::Config { path, host, .. } = http::Config::default();
        Self { path, host, requests: 5, timeout: Duration::secs(30) }
    }
}

/// The same, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUp {
    pub(super) asks: Box<http::Check>,
    pub(super) requests: u32,
    pub(super) timeout: Duration,
}

impl Config {
    /// The compiled form.
    pub fn compile(&self) -> Result<WarmUp, Fault> {
        let Self { path, host, requests, timeout } = self.clone();
        if host == Host::Client {
            let what = "a warm-up has no client whose `Host` could be sent";
            return Err(Fault::new(&["host"], what, "write `endpoint` or a name"));
        }
        let agent = (FieldName(header::USER_AGENT), "falconer-warm-up".to_owned());
        let headers = [agent].into_iter().collect();
        let expect = OneOrMany(vec![super::StatusRange::ANY]);
        let asks = http::Config { path, host, headers, expect, ..http::Config::default() };
        Ok(WarmUp { asks: asks.compile()?.whole().into(), requests, timeout })
    }
}

/// Sends them, and tells what came of that.
pub(super) async fn warm(of: &WarmUp, ask: &dyn Ask, upstream: &str, endpoint: &str) {
    let began = Instant::now();
    let mut answered = 0;
    let mut failure = None;
    let all = async {
        for _ in 0..of.requests {
            match ask.warm().await {
                Ok(()) => answered += 1,
                Err(why) => failure = Some(why),
            }
        }
    };
    let is_in_time = tokio::time::timeout(of.timeout.0, all).await.is_ok();
    let millis = began.elapsed().as_millis();
    match failure {
        None if is_in_time => {
            tracing::info!(upstream, endpoint, requests = answered, millis, "an endpoint is warm");
        }
        failure => {
            let why = failure.map_or_else(
                || format!("it did not answer within {}", of.timeout),
                |failure| failure.to_string(),
            );
            let requests = of.requests;
            tracing::warn!(upstream, endpoint, requests, answered, %why, "a warm-up failed");
        }
    }
}
