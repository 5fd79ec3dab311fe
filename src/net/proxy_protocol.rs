//! The PROXY protocol, versions 1 and 2: what a proxy says of a connection before its first byte.
//!
//! Bytes in, a header out, and the other way round; who may say so is decided elsewhere.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};
use thiserror::Error;

/// Whom the other side of a connection speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// For itself, or it does not say for whom: the connection's own addresses hold.
    Own,
    /// For a client over TCP.
    Tcp {
        /// The client.
        source: SocketAddr,
        /// The address that the client connected to.
        destination: SocketAddr,
    },
    /// For a client over a unix socket, which has no address.
    Unix,
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Fault {
    /// They begin with the signature of neither version.
    #[error("there is none")]
    Absent,
    /// They begin with one, and go on against the rules.
    #[error("it has {0}")]
    Malformed(&'static str),
    /// They are not those that were sent.
    #[error("its checksum is wrong")]
    Checksum,
}

/// How a header is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Reads the header that these first bytes of a connection begin with, and says how many of them
/// it takes; `None` as long as it is not whole.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, Fault> {
    if begins(bytes, v1::SIGNATURE) {
        v1::parse(bytes)
    } else if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(Fault::Absent)
    }
}

/// Writes a header: the client and the address that it connected to, if both are known.
///
/// A client over one version of IP to an address of the other is written over IPv6.
pub fn write(version: Version, ends: Option<(SocketAddr, SocketAddr)>) -> Vec<u8> {
    let ends = ends.map(of_one_family);
    match version {
        Version::V1 => v1::write(ends),
        Version::V2 => v2::write(ends),
    }
}

/// Whether bytes begin with a signature, or with what there can be of it in so few.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let length = bytes.len().min(signature.len());
    bytes.get(..length) == signature.get(..length)
}

fn of_one_family((source, destination): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    let by = |ip: fn(IpAddr) -> IpAddr| {
        let map = |end: SocketAddr| SocketAddr::new(ip(end.ip()), end.port());
        (map(source), map(destination))
    };
    let canonical = by(|ip| ip.to_canonical());
    if canonical.0.is_ipv4() == canonical.1.is_ipv4() {
        return canonical;
    }
    by(|ip| match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().into(),
        IpAddr::V6(_) => ip,
    })
}

#[cfg(test)]
mod tests;
