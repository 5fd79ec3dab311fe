//! Look-ups by the hosts file and by DNS, as the system is set up.

use super::{Answer, Failure, Lookup};
use async_trait::async_trait;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::{Name, RecordType};
use hickory_resolver::{Hosts, Resolver, system_conf};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Instant;

/// Asks the system's hosts file, then its name servers.
///
/// Both files are read anew for each look-up: look-ups are rare, and a change of the network needs
/// no reload.
#[derive(Clone, Debug)]
pub struct Dns {
    hosts: PathBuf,
    servers: Servers,
}

#[derive(Clone, Debug)]
enum Servers {
    /// Those that a file in the format of `resolv.conf` names.
    File(PathBuf),
    /// This one alone.
    One(SocketAddr),
}

impl Dns {
    /// Asks the hosts file and this name server, whatever the system's are.
    pub fn asking(server: SocketAddr) -> Self {
        Self { servers: Servers::One(server), ..Self::default() }
    }
}

impl Default for Dns {
    fn default() -> Self {
        let servers = Servers::File("/etc/resolv.conf".into());
        Self { hosts: "/etc/hosts".into(), servers }
    }
}

#[async_trait]
impl Lookup for Dns {
    async fn lookup(&self, name: &str) -> Result<Answer, Failure> {
        let addresses = self.ask_hosts(name).await;
        if !addresses.is_empty() {
            return Ok(Answer { addresses, ttl: None });
        }
        if is_localhost(name) {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(Answer { addresses: loopback.into(), ttl: None });
        }
        // Unlike the resolver's own reading of a text, this one takes the `_` of `shop_1.internal`.
        let name = Name::from_ascii(name).map_err(failure)?;
        let (config, mut options) = self.servers.read().await?;
        // Answers are kept by whoever asks; a second cache would hide failures and recoveries.
        options.cache_size = 0;
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map_err(failure)?;
        let answer = resolver.lookup_ip(name).await.map_err(failure)?;
        let ttl = answer.valid_until().saturating_duration_since(Instant::now());
        Ok(Answer { addresses: answer.iter().collect(), ttl: Some(ttl) })
    }
}

impl Dns {
    /// What the hosts file says of a name; a file that cannot be read says nothing.
    async fn ask_hosts(&self, name: &str) -> Vec<IpAddr> {
        let Ok(text) = tokio::fs::read(&self.hosts).await else { return Vec::new() };
        let mut hosts = Hosts::default();
        let (Ok(()), Ok(name)) = (hosts.read_hosts_conf(&*text), Name::from_ascii(name)) else {
            return Vec::new();
        };
        let mut addresses = Vec::new();
        for kind in [RecordType::A, RecordType::AAAA] {
            if let Some(found) = hosts.lookup_static_host(&Query::query(name.clone(), kind)) {
                addresses.extend(found.answers().iter().filter_map(|record| record.data.ip_addr()));
            }
        }
        addresses
    }
}

impl Servers {
    async fn read(&self) -> Result<(ResolverConfig, ResolverOpts), Failure> {
        match self {
            Self::File(path) => {
                let text = tokio::fs::read(path).await;
                let text = text.map_err(|e| Failure(format!("{}: {e}", path.display())))?;
                system_conf::parse_resolv_conf(text).map_err(failure)
            }
            Self::One(address) => {
                let mut server = NameServerConfig::udp_and_tcp(address.ip());
                for connection in &mut server.connections {
                    connection.port = address.port();
                }
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
                Ok((config, ResolverOpts::default()))
            }
        }
    }
}

/// RFC 6761, 6.3: such a name never reaches a server.
fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

fn failure(error: impl Display) -> Failure {
    Failure(error.to_string())
}

#[cfg(test)]
mod tests;
