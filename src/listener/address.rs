//! Where a listener binds.

use crate::value::{Problem, word};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// An address to bind.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP; the unspecified IPv6 address takes IPv4 too.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

word!(
    Address,
    "listen-address",
    "An address to bind: `0.0.0.0:8080`, `[::]:8080`, `:8080` or `unix:/run/falconer.sock`."
);

impl FromStr for Address {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path);
        }
        let bad = |remedy: &str| {
            Err(Problem::new(format!("`{text}` is not an address to listen on"), remedy))
        };
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        if let Some((_, address)) = text.split_once("://") {
            return bad(&format!("leave the scheme out: `{}`", address.trim_end_matches('/')));
        }
        if text.parse::<u16>().is_ok() {
            return bad(&format!("write `:{text}`"));
        }
        let bracketed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        if let Ok(ip) = bracketed.unwrap_or(text).parse::<IpAddr>() {
            let remedy = match (ip, bracketed) {
                (IpAddr::V6(_), None) => {
                    "put an IPv6 address in brackets, as in `[::1]:8080`".into()
                }
                _ => format!("add a port: `{}`", SocketAddr::new(ip, 8080)),
            };
            return bad(&remedy);
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return bad("write an address and a port, such as `0.0.0.0:8080`, or `unix:/path`");
        };
        let Ok(port) = port.parse() else {
            return bad("write a port from 0 to 65535 after the colon");
        };
        match host {
            "" | "*" => Ok(Self::Tcp((Ipv6Addr::UNSPECIFIED, port).into())),
            "localhost" => Ok(Self::Tcp((IpAddr::from([127, 0, 0, 1]), port).into())),
            _ => bad("write an IP address of this machine, not a name"),
        }
    }
}

/// A path of a unix socket has room for 107 bytes (`sun_path`).
fn unix(path: &str) -> Result<Address, Problem> {
    let remedy = "write a path of at most 107 bytes, such as `unix:/run/falconer.sock`";
    if path.is_empty() || path.len() > 107 {
        return Err(Problem::new(format!("`unix:{path}` cannot be a unix socket"), remedy));
    }
    Ok(Address::Unix(path.into()))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        for (text, address) in [
            ("0.0.0.0:8080", "0.0.0.0:8080"),
            ("[::]:8080", "[::]:8080"),
            (":80", "[::]:80"),
            ("localhost:0", "127.0.0.1:0"),
            ("unix:/run/x.sock", "unix:/run/x.sock"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), address);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "8080", "example.com:80", "1.2.3.4:99999", "::1:80:x", "unix:"] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
