//! The TLS side of a listener.

use super::{Resolver, Tickets};
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

/// What a listener needs to speak TLS.
#[derive(Clone, Debug)]
pub struct Serving {
    /// What rustls needs.
    pub config: Arc<ServerConfig>,
    resolver: Arc<Resolver>,
}

impl Serving {
    /// Serves a resolver's certificates on a listener, offering protocols by ALPN.
    pub fn new(
        resolver: Resolver,
        oldest: Version,
        protocols: Vec<Vec<u8>>,
        (tickets, listener): (&Arc<Tickets>, &str),
    ) -> Result<Self, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match oldest {
            Version::Tls12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            Version::Tls13 => &[&rustls::version::TLS13],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let resolver = Arc::new(resolver);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(resolver.clone());
        config.alpn_protocols = protocols;
        // Without tickets a client with Nagle's algorithm waits 40 ms for its first answer.
        config.ticketer = tickets.of(listener);
        config.send_tls13_tickets = 2;
        Ok(Self { config: Arc::new(config), resolver })
    }

    /// Serves the certificates of another from here on; sessions can still be resumed.
    pub fn follow(&self, newer: &Self) {
        self.resolver.follow(&newer.resolver);
    }
}
