//! Where a request comes in.

use super::asked::Asked;
use crate::exchange::{Connection, Tls};
use crate::listener::{Address, Protocol};
use crate::runtime::Entry;
use crate::runtime::explain::Request;
use crate::value::Problem;
use indexmap::IndexMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// A listener, and how a request comes to it.
pub(super) struct Entrance<'a> {
    pub(super) entry: &'a Entry,
    pub(super) is_h2: bool,
}

impl<'a> Entrance<'a> {
    /// The listener that is named, or else fits best: by scheme and port, by scheme, the first.
    pub(super) fn choose(
        listeners: &'a IndexMap<String, Entry>,
        asked: &Asked,
    ) -> Result<Self, Problem> {
        let entry = match &asked.listener {
            Some(name) => listeners.get(name).ok_or_else(|| unknown(listeners, name))?,
            None => fitting(listeners, asked)
                .ok_or_else(|| Problem::new("there is no listener", "add one"))?,
        };
        let name = &entry.entrance.name;
        let protocols = entry.config.protocols();
        if asked.http2 && !protocols.contains(&Protocol::H2) {
            let what = format!("the listener `{name}` speaks no HTTP/2");
            return Err(Problem::new(what, "name h2 in its `protocols`, or ask without `--http2`"));
        }
        if asked.client.is_some() && local(entry).is_none() {
            let what = format!("who connects to the listener `{name}` has no address");
            return Err(Problem::new(what, "leave `--client` out, or name another listener"));
        }
        Ok(Self { entry, is_h2: asked.http2 || !protocols.contains(&Protocol::H1) })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.entry.tls.is_some() { "https" } else { "http" }
    }

    /// The facts of a connection to it.
    pub(super) fn connection(&self, asked: &Asked) -> Connection {
        let local = local(self.entry);
        let sni = || asked.host().map(|(host, _)| host).filter(|host| is_name(host));
        let tls = self.entry.tls.as_ref();
        let tls = tls.map(|_| Tls::new("TLSv1.3", "", sni().map(Into::into)));
        let entrance = self.entry.entrance.clone();
        Connection::new(entrance, peer(local, asked), local, tls, Arc::default())
    }

    /// What is known of the request before it is sent.
    pub(super) fn request(&self, asked: &Asked) -> Request {
        Request {
            method: asked.method.clone(),
            target: asked.target.clone(),
            protocol: if self.is_h2 { "HTTP/2" } else { "HTTP/1.1" },
            listener: self.entry.entrance.name.to_string(),
            tls: self.entry.tls.is_some(),
            peer: peer(local(self.entry), asked).map(|peer| peer.ip()),
            ..Request::default()
        }
    }
}

fn unknown(listeners: &IndexMap<String, Entry>, name: &str) -> Problem {
    let names: Vec<&str> = listeners.keys().map(String::as_str).collect();
    let remedy = format!("use one of: {}", names.join(", "));
    Problem::new(format!("there is no listener `{name}`"), remedy)
}

fn fitting<'a>(listeners: &'a IndexMap<String, Entry>, asked: &Asked) -> Option<&'a Entry> {
    let port = asked.host().map(|(_, port)| port);
    let is_of_scheme = |entry: &&Entry| entry.tls.is_some() == asked.is_https;
    let is_of_port = |entry: &&Entry| addresses(entry).any(|local| Some(local.port()) == port);
    let all = || listeners.values();
    let both = all().find(|entry| is_of_scheme(entry) && is_of_port(entry));
    both.or_else(|| all().find(is_of_scheme)).or_else(|| all().next())
}

fn addresses(entry: &Entry) -> impl Iterator<Item = SocketAddr> {
    entry.config.address.iter().filter_map(|address| match address {
        Address::Tcp(address) => Some(*address),
        Address::Unix(_) => None,
    })
}

/// An address of the listener; `None` if it has unix sockets only.
fn local(entry: &Entry) -> Option<SocketAddr> {
    addresses(entry).next()
}

/// The other side; its port is of no connection.
fn peer(local: Option<SocketAddr>, asked: &Asked) -> Option<SocketAddr> {
    let ip = asked.client.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
    local.map(|_| SocketAddr::new(ip, 0))
}

/// Whether clients ask for it by SNI (RFC 6066, 3): addresses are not asked for.
fn is_name(host: &str) -> bool {
    !host.starts_with('[') && host.parse::<IpAddr>().is_err()
}
