//! `discover:` of an upstream.

use crate::upstream::url::{Host, read_host};
use crate::value::{Problem, word};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// How an upstream learns its endpoints while the edge runs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "discover")]
pub enum Config {
    /// From DNS: all addresses of a name, looked up again by its TTL.
    Dns(Dns),
    /// From DNS: the records of a service (SRV, RFC 2782), looked up again by their TTL.
    Srv(Srv),
    /// From a file that others write.
    File(File),
}

/// All addresses of a name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "discover-dns")]
pub struct Dns {
    /// The name; IPv4 and IPv6 addresses are asked for.
    pub name: Name,
    /// The port of all of them.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Whether TLS is spoken to them. Default: false.
    #[serde(default)]
    pub tls: bool,
    /// The name servers to ask, each if those before it give no answer. Default: the system's.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub resolvers: Vec<Resolver>,
}

/// The records of a service: targets of the lowest priority share the
/// traffic, and the others wait until none of them is left.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "discover-srv")]
pub struct Srv {
    /// The name of the service, such as `_http._tcp.app.internal`.
    pub name: Name,
    /// Whether TLS is spoken to its targets. Default: false.
    #[serde(default)]
    pub tls: bool,
    /// The name servers to ask, each if those before it give no answer. Default: the system's.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub resolvers: Vec<Resolver>,
}

/// A list of endpoints in a file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "discover-file")]
pub struct File {
    /// YAML or JSON: a list of what `endpoints` takes. It is read again when it changes; as long as
    /// it has mistakes, what it said before holds.
    #[schemars(extend("format" = "path"))]
    pub path: PathBuf,
}

/// A name to look up, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(pub Box<str>);

word!(Name, "name", "A name to look up, such as `app.internal`.");

impl FromStr for Name {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let remedy = match read_host(text) {
            Ok(Host::Name(name)) => return Ok(Self(name)),
            Ok(Host::Ip(_)) => "write an address under `endpoints`".to_owned(),
            Err(_) if text.parse::<IpAddr>().is_ok() => {
                "write an address under `endpoints`".to_owned()
            }
            Err(_) if text.contains("://") => "leave out the scheme".to_owned(),
            Err(_) if text.contains(':') => "leave out the port".to_owned(),
            Err(_) if text.is_empty() => "write a name, such as `app.internal`".to_owned(),
            Err(remedy) => remedy,
        };
        Err(Problem::new(format!("`{text}` is not a name to look up"), remedy))
    }
}

/// The address of a name server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolver(pub SocketAddr);

word!(
    Resolver,
    "resolver",
    "The address of a name server: `10.0.0.2`, `127.0.0.1:5353` or `[::1]:53`."
);

/// Where name servers listen.
const DNS: u16 = 53;

impl FromStr for Resolver {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let address = match text.parse::<IpAddr>() {
            Ok(ip) => Some(SocketAddr::new(ip, DNS)),
            Err(_) => text.parse::<SocketAddr>().ok().filter(|address| address.port() > 0),
        };
        address.map(Self).ok_or_else(|| {
            Problem::new(
                format!("`{text}` is not the address of a name server"),
                "write an IP address with or without a port, such as `127.0.0.1:5353`",
            )
        })
    }
}

impl Config {
    /// Whether TLS may be spoken to what it finds.
    pub fn may_speak_tls(&self) -> bool {
        match self {
            Self::Dns(Dns { tls, .. }) | Self::Srv(Srv { tls, .. }) => *tls,
            Self::File(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_address_and_no_url() {
        let name = |text: &str| text.parse::<Name>().map(|Name(name)| name.into_string());
        for (text, expected) in [
            ("App.Internal", "app.internal"),
            ("_http._tcp.app.internal.", "_http._tcp.app.internal."),
            ("db-1", "db-1"),
        ] {
            assert_eq!(name(text).as_deref(), Ok(expected));
        }
        for (text, remedy) in [
            ("10.0.0.1", "write an address under `endpoints`"),
            ("::1", "write an address under `endpoints`"),
            ("http://app.internal", "leave out the scheme"),
            ("app.internal:80", "leave out the port"),
            ("", "write a name, such as `app.internal`"),
            ("a..b", "use letters, digits, `-` and `_` in a name, up to 63 between dots"),
        ] {
            assert_eq!(name(text).unwrap_err().remedy, remedy, "{text}");
        }
    }

    #[test]
    fn a_name_server_listens_on_53_unless_it_is_said() {
        let shown = |text: &str| text.parse::<Resolver>().map(|Resolver(at)| at.to_string());
        for (text, expected) in [
            ("10.0.0.2", "10.0.0.2:53"),
            ("127.0.0.1:5353", "127.0.0.1:5353"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        for text in ["", "dns.internal", "10.0.0.2:0", "10.0.0.2:", "[::1]", "udp://10.0.0.2"] {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
