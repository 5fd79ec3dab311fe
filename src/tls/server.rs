//! The TLS side of a listener.

use super::Resolver;
use rustls::{ServerConfig, SupportedProtocolVersion};
use std::sync::Arc;

/// The oldest version of TLS that is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// 1.2 and 1.3.
    Tls12,
    /// 1.3 only.
    Tls13,
}

/// What rustls needs to serve a resolver's certificates, offering protocols by ALPN.
pub fn server_config(
    resolver: Resolver,
    oldest: Version,
    protocols: Vec<Vec<u8>>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let versions: &[&SupportedProtocolVersion] = match oldest {
        Version::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        Version::Tls13 => &[&rustls::version::TLS13],
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.alpn_protocols = protocols;
    // Without tickets a client with Nagle's algorithm waits 40 ms for its first answer.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 2;
    Ok(Arc::new(config))
}
