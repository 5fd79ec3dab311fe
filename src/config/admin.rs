//! `admin:` in the document.

use crate::listener::Address;
use crate::value::OneOrMany;
use schemars::JsonSchema;
use serde::Deserialize;

/// Where the edge shows itself: `/metrics`, `/healthz` and `/readyz`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "admin")]
pub struct Config {
    /// An address to bind, or a list of them: `127.0.0.1:9901`, `unix:/run/falconer-admin.sock`.
    pub address: OneOrMany<Address>,
}
