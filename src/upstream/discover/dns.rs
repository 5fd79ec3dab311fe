//! Look-ups by the hosts file and by DNS, as the system is set up.

use super::{Answer, Asked, Failure, Lookup, Service};
use crate::upstream::url::read_host;
use async_trait::async_trait;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::Query;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{Hosts, Resolver, TokioResolver, system_conf};
use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Asks the system's hosts file, then its name servers; or, if some are named, only those.
///
/// Both files are read anew for each look-up: look-ups are rare, and a change of the network needs
/// no reload.
#[derive(Clone, Debug)]
pub struct Dns {
    hosts: PathBuf,
    servers: PathBuf,
}

impl Default for Dns {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into() }
    }
}

#[async_trait]
impl Lookup for Dns {
    async fn addresses(&self, asked: &Asked) -> Result<Answer<IpAddr>, Failure> {
        if asked.resolvers.is_empty() {
            let found = self.ask_hosts(&asked.name).await;
            if !found.is_empty() {
                return Ok(Answer { found, ttl: None });
            }
        }
        if is_localhost(&asked.name) {
            let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
            return Ok(Answer { found: loopback.into(), ttl: None });
        }
        self.ask(asked, async |resolver, name| {
            let answer = resolver.lookup_ip(name).await?;
            Ok((answer.iter().collect(), answer.valid_until()))
        })
        .await
    }

    async fn services(&self, asked: &Asked) -> Result<Answer<Service>, Failure> {
        let records = self.ask(asked, async |resolver, name| {
            let answer = resolver.lookup(name, RecordType::SRV).await?;
            let records = answer.answers().iter().filter_map(|record| match &record.data {
                RData::SRV(record) => Some(record.clone()),
                _ => None,
            });
            Ok((records.collect(), answer.valid_until()))
        });
        let Answer { found, ttl } = records.await?;
        let found = found.iter().map(service).collect::<Result<_, _>>()?;
        Ok(Answer { found, ttl })
    }
}

impl Dns {
    /// Asks one name server after the other until one answers, if only that there is nothing.
    async fn ask<T>(
        &self,
        asked: &Asked,
        ask: impl AsyncFn(&TokioResolver, Name) -> Result<(Vec<T>, Instant), NetError>,
    ) -> Result<Answer<T>, Failure> {
        // Unlike the resolver's own reading of a text, this one takes the `_` of `shop_1.internal`.
        let name = Name::from_ascii(&asked.name).map_err(failure)?;
        let mut last = Failure("no name server is known".into());
        for (config, mut options) in self.servers(&asked.resolvers).await? {
            // Answers are kept by whoever asks; a second cache would hide failures and recoveries.
            options.cache_size = 0;
            options.use_hosts_file = ResolveHosts::Never;
            options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
            let resolver = Resolver::builder_with_config(config, TokioRuntimeProvider::default())
                .with_options(options)
                .build()
                .map_err(failure)?;
            match ask(&resolver, name.clone()).await {
                Ok((found, until)) => {
                    let ttl = until.saturating_duration_since(Instant::now());
                    return Ok(Answer { found, ttl: Some(ttl) });
                }
                Err(error @ NetError::Dns(DnsError::NoRecordsFound(_))) => {
                    return Err(failure(error));
                }
                Err(error) => last = failure(error),
            }
        }
        Err(last)
    }

    /// Those of the system as one, which the resolver chooses from; or each of these.
    async fn servers(
        &self,
        resolvers: &[SocketAddr],
    ) -> Result<Vec<(ResolverConfig, ResolverOpts)>, Failure> {
        if resolvers.is_empty() {
            let text = tokio::fs::read(&self.servers).await;
            let text = text.map_err(|e| Failure(format!("{}: {e}", self.servers.display())))?;
            return Ok(vec![system_conf::parse_resolv_conf(text).map_err(failure)?]);
        }
        Ok(resolvers.iter().copied().map(alone).collect())
    }

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

/// How long a name server may take before the next one is asked.
const TURN: Duration = Duration::from_secs(2);

/// This name server and no other, by UDP, and by TCP if the answer is long.
fn alone(address: SocketAddr) -> (ResolverConfig, ResolverOpts) {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    let mut options = ResolverOpts::default();
    (options.timeout, options.attempts) = (TURN, 0);
    (ResolverConfig::from_parts(None, Vec::new(), vec![server]), options)
}

fn service(record: &SRV) -> Result<Service, Failure> {
    let SRV { priority, weight, port, .. } = *record;
    let target = record.target.to_ascii();
    let target = match target.strip_suffix('.').unwrap_or(&target) {
        "" => None,
        name if read_host(name).is_err() => {
            return Err(Failure(format!("the target `{target}` is no name of a host")));
        }
        _ if port == 0 => return Err(Failure(format!("the target `{target}` has no port"))),
        name => Some(name.into()),
    };
    Ok(Service { priority, weight, port, target })
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
