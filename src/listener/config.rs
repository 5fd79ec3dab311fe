//! `listeners:` in the document.

use super::address::Address;
use super::proxy_protocol::ProxyProtocol;
use crate::exchange::{self, ClientAddress};
use crate::net::cidr::Cidr;
use crate::value::{ByteRate, Duration, FieldName, Limit, OneOrMany, Size};
use schemars::JsonSchema;
use serde::Deserialize;

/// A bound address and how to accept on it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "listener")]
pub struct Config {
    /// `0.0.0.0:8080`, `[::]:8080` (IPv6 and IPv4), `:8080` (the same), `unix:/run/falconer.sock`,
    /// or a list of them. Port 0 picks a free port and logs it.
    pub address: OneOrMany<Address>,
    /// Encrypt with TLS; clear text without it.
    pub tls: Option<Tls>,
    /// Versions of HTTP to speak. Default: `[h1, h2]` with TLS, `[h1]` in clear text. Naming `h2`
    /// on clear text adds HTTP/2 by prior knowledge.
    pub protocols: Option<Vec<Protocol>>,
    /// Whether connections begin with a PROXY header, of version 1 or 2, that tells who the client
    /// is. Default: `off`.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Peers whose forwarded fields and PROXY headers are believed, such as `[10.0.0.0/8]`.
    /// Default: none.
    #[serde(default)]
    pub trusted_proxies: Vec<Cidr>,
    /// The one field that is read from a trusted proxy. Default: `x_forwarded_for`.
    #[serde(default)]
    pub client_address: ClientField,
    /// Caps on connections and requests; each can be `off`.
    #[serde(default)]
    pub limits: Limits,
}

/// How a listener encrypts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "listener-tls")]
pub struct Tls {
    /// Names of certificates; chosen by SNI, the first serves clients without.
    #[schemars(length(min = 1))]
    pub certificates: Vec<String>,
    /// The oldest version to accept. Default: `"1.2"`.
    #[serde(default)]
    pub min_version: MinVersion,
}

/// The oldest version of TLS to accept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "tls-version")]
pub enum MinVersion {
    /// TLS 1.2 and 1.3.
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 only.
    #[serde(rename = "1.3")]
    Tls13,
}

/// A version of HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "protocol")]
pub enum Protocol {
    /// HTTP/1.1 and 1.0.
    H1,
    /// HTTP/2.
    H2,
}

/// The field that tells the client's address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "client-address")]
pub enum ClientField {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
    /// Another field that holds an address or a list of them, such as `cf-connecting-ip`.
    Header(FieldName),
}

/// Caps on the connections and requests of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "listener-limits")]
pub struct Limits {
    /// Connections at once; further ones wait in the kernel's queue. Default: `20000`.
    #[schemars(extend("minimum" = 1))]
    pub connections: Limit<u64>,
    /// Connections at once from one address; trusted proxies are exempt. Default: `500`.
    #[schemars(extend("minimum" = 1))]
    pub connections_per_client: Limit<u64>,
    /// For the PROXY header, the TLS handshake and the HTTP/2 preface, each. Default: `10s`.
    pub handshake_timeout: Limit<Duration>,
    /// For the whole request head. Default: `15s`.
    pub header_timeout: Limit<Duration>,
    /// Size of the request head. Default: `32KiB`.
    pub header_size: Limit<Size>,
    /// Number of header fields. Default: `100`; the engine parses at most 256.
    #[schemars(extend("minimum" = 1))]
    pub header_count: Limit<u64>,
    /// Size of the request target. Default: `8KiB`.
    pub uri_size: Limit<Size>,
    /// How long a connection may be idle between requests. Default: `75s`.
    pub keep_alive: Limit<Duration>,
    /// How fast a client must send and take bodies, on average over the time in which the edge waits
    /// for it, once that is more than 5 s; not for upgraded connections. Default: `240B/s`.
    pub min_body_rate: Limit<ByteRate>,
    /// Size of the request body; not for upgraded connections. Default: `30MB`.
    pub body_size: Limit<Size>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: Limit::On(20_000),
            connections_per_client: Limit::On(500),
            handshake_timeout: Limit::On(Duration::secs(10)),
            header_timeout: Limit::On(Duration::secs(15)),
            header_size: Limit::On(Size::kib(32)),
            header_count: Limit::On(100),
            uri_size: Limit::On(Size::kib(8)),
            keep_alive: Limit::On(Duration::secs(75)),
            min_body_rate: Limit::On(ByteRate(240)),
            body_size: Limit::On(Size(30_000_000)),
        }
    }
}

impl Limits {
    /// The caps on one request.
    pub fn of_request(&self) -> exchange::Limits {
        exchange::Limits {
            header_timeout: self.header_timeout.on().map(|d| d.0),
            header_size: self.header_size.on().map(|s| s.0),
            header_count: self.header_count.on(),
            uri_size: self.uri_size.on().map(|s| s.0),
            longest_uri: self.uri_size.on().map(|s| s.0),
            body_size: self.body_size.on().map(|s| s.0),
            min_body_rate: self.min_body_rate.on().map(|rate| rate.0),
        }
    }
}

impl Config {
    /// Clear-text HTTP/1 with every default; its sockets are bound elsewhere.
    pub fn plain() -> Self {
        Self {
            address: OneOrMany(Vec::new()),
            tls: None,
            protocols: None,
            proxy_protocol: ProxyProtocol::Off,
            trusted_proxies: Vec::new(),
            client_address: ClientField::default(),
            limits: Limits::default(),
        }
    }

    /// The versions of HTTP that it speaks.
    pub fn protocols(&self) -> Vec<Protocol> {
        match (&self.protocols, &self.tls) {
            (Some(protocols), _) => protocols.clone(),
            (None, Some(_)) => vec![Protocol::H1, Protocol::H2],
            (None, None) => vec![Protocol::H1],
        }
    }
}

impl From<&ClientField> for ClientAddress {
    fn from(field: &ClientField) -> Self {
        match field {
            ClientField::XForwardedFor => Self::default(),
            ClientField::Forwarded => Self(http::header::FORWARDED),
            ClientField::Header(name) => Self(name.0.clone()),
        }
    }
}
