//! One file per filter: its config, its compiled form, its behaviour, its tests.

mod chain;
pub mod headers;
pub mod request_id;
pub mod rewrite;

pub use chain::Chain;

use crate::exchange::Exchange;
use crate::value::Problem;
use pingora::http::ResponseHeader;
use schemars::JsonSchema;
use serde::Deserialize;

/// One item of `filters:`, named by its only key.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "filter")]
pub enum Config {
    /// Sets, appends, removes and renames header fields.
    Headers(headers::Config),
    /// Gives every request an id.
    RequestId(request_id::Config),
    /// Changes path and query before the request goes upstream.
    Rewrite(rewrite::Config),
}

impl Config {
    /// The compiled filter.
    pub fn compile(&self) -> Result<Filter, Problem> {
        Ok(match self {
            Self::Headers(config) => Filter::Headers(config.compile()),
            Self::RequestId(config) => Filter::RequestId(config.compile()),
            Self::Rewrite(config) => Filter::Rewrite(config.compile()?),
        })
    }
}

/// A compiled filter.
#[derive(Debug)]
pub enum Filter {
    /// See [`headers`].
    Headers(headers::Headers),
    /// See [`request_id`].
    RequestId(request_id::SetRequestId),
    /// See [`rewrite`].
    Rewrite(rewrite::Rewrite),
}

impl Filter {
    /// What it does to a request.
    pub fn request(&self, exchange: &mut Exchange<'_>) {
        match self {
            Self::Headers(filter) => filter.request(exchange),
            Self::RequestId(filter) => filter.request(exchange),
            Self::Rewrite(filter) => filter.request(exchange),
        }
    }

    /// What it does to a response, whoever made it.
    pub fn response(&self, exchange: &Exchange<'_>, response: &mut ResponseHeader) {
        match self {
            Self::Headers(filter) => filter.response(exchange, response),
            Self::RequestId(filter) => filter.response(exchange, response),
            Self::Rewrite(_) => {}
        }
    }
}
