//! `on` or `off`.

use schemars::JsonSchema;
use serde::Deserialize;

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "switch")]
pub enum Switch {
    /// It is done.
    On,
    /// It is not.
    Off,
}
