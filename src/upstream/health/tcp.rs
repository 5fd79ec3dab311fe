//! `tcp`: an endpoint is well if it takes a connection.

use super::Failure;
use super::probe::connect;
use pingora::upstreams::peer::{HttpPeer, Scheme};
use schemars::JsonSchema;
use serde::Deserialize;

/// Whether an endpoint takes connections; nothing is asked over them, and no TLS is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "tcp-check")]
pub struct Config {}

/// Connects, and closes.
pub(super) async fn ask(mut peer: HttpPeer) -> Result<(), Failure> {
    peer.scheme = Scheme::HTTP;
    connect(&peer).await.map(drop)
}
