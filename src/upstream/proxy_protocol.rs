//! The PROXY header that a connection to an endpoint begins with, and whose connection it is then.

use super::connect::Connector;
use crate::exchange::{Client, Connection};
use crate::net::proxy_protocol::{Version, write};
use pingora::upstreams::peer::HttpPeer;
use schemars::JsonSchema;
use serde::Deserialize;
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// With a secret of the process: no client finds an address whose number is that of another.
static NUMBERS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
/// The next client without an address.
static NAMELESS: AtomicU64 = AtomicU64::new(0);

/// Whether connections to endpoints begin with a PROXY header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "sent-proxy-protocol")]
pub enum ProxyProtocol {
    /// They do not.
    #[default]
    Off,
    /// With a line of text.
    V1,
    /// With a binary one.
    V2,
}

impl ProxyProtocol {
    /// The version to write, if any.
    pub(super) fn version(self) -> Option<Version> {
        match self {
            Self::Off => None,
            Self::V1 => Some(Version::V1),
            Self::V2 => Some(Version::V2),
        }
    }
}

/// The client and the address of ours that it connected to; `None` if it has no address.
pub(super) fn ends(connection: &Connection, client: &Client) -> Option<(SocketAddr, SocketAddr)> {
    connection.peer?;
    // A proxy before us may have told the address without the port.
    let source = SocketAddr::new(client.ip, client.port.unwrap_or(0));
    Some((source, connection.local?))
}

/// Has the peer's connections begin with a header, and keeps them to this client.
pub(super) fn announce(
    peer: &mut HttpPeer,
    version: Version,
    ends: Option<(SocketAddr, SocketAddr)>,
) {
    let owner = match ends {
        Some(ends) => NUMBERS.hash_one((version, ends)),
        None => {
            peer.options.idle_timeout = Some(Duration::ZERO);
            NUMBERS.hash_one((version, NAMELESS.fetch_add(1, Ordering::Relaxed)))
        }
    };
    peer.group_key = xxh3_64_with_seed(&owner.to_ne_bytes(), peer.group_key);
    // That of a tunnel has one already.
    let is_tunnel = peer.options.custom_l4.is_some();
    peer.options.custom_l4 = Some(Arc::new(Connector::new(write(version, ends), is_tunnel)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use pingora::upstreams::peer::Peer;

    fn key(version: Version, ends: Option<[&str; 2]>) -> u64 {
        let mut peer = HttpPeer::new_uds("/a", false, String::new()).unwrap();
        let ends = ends.map(|[a, b]| (a.parse().unwrap(), b.parse().unwrap()));
        announce(&mut peer, version, ends);
        peer.reuse_hash()
    }

    #[test]
    fn a_connection_is_shared_by_what_its_header_tells_and_by_nothing_less() {
        let told = ["192.0.2.7:1000", "203.0.113.1:80"];
        assert_eq!(key(Version::V1, Some(told)), key(Version::V1, Some(told)));
        for other in [
            ["192.0.2.7:1001", "203.0.113.1:80"],
            ["192.0.2.8:1000", "203.0.113.1:80"],
            ["192.0.2.7:1000", "203.0.113.1:81"],
            ["203.0.113.1:80", "192.0.2.7:1000"],
        ] {
            assert_ne!(key(Version::V1, Some(told)), key(Version::V1, Some(other)), "{other:?}");
        }
        assert_ne!(key(Version::V1, Some(told)), key(Version::V2, Some(told)));
    }

    #[test]
    fn a_client_without_an_address_shares_with_nobody() {
        assert_ne!(key(Version::V2, None), key(Version::V2, None));
    }
}
