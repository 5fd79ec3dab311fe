//! `http://10.0.0.1:5001`, `https://shop.internal`, `unix:/run/shop.sock`.

use crate::value::{Problem, word};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where an endpoint is, as the document writes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Url {
    /// `http://host:port` or `https://host:port`.
    Tcp {
        /// Whether TLS is spoken.
        scheme: Scheme,
        /// Who is connected to.
        host: Host,
        /// The port, written or the scheme's own.
        port: u16,
    },
    /// `unix:/path`: clear text over a unix socket.
    Unix(PathBuf),
}

/// How bytes travel to an endpoint over TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// The host of a [`Url`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// A name in lower case; a dot at its end keeps search domains away.
    Name(Box<str>),
    /// An address.
    Ip(IpAddr),
}

word!(
    Url,
    "endpoint-url",
    "Where an endpoint is: `http://host:port`, `https://host:port` or `unix:/path`."
);

impl Url {
    /// Whether TLS is spoken to the endpoint.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tcp { scheme: Scheme::Https, .. })
    }

    /// The host's name without a dot at its end, as SNI and `Host` take it.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Tcp { host: Host::Name(name), .. } => {
                Some(name.strip_suffix('.').unwrap_or(name))
            }
            _ => None,
        }
    }
}

/// The canonical text: lower case, the port always written.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { scheme, host, port } => write!(f, "{scheme}://{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl FromStr for Url {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if let Some(path) = text.strip_prefix("unix:") {
            return unix(path).map_err(|remedy| bad(text, remedy));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            let port = text.strip_prefix(':').unwrap_or(text);
            let url = match port.parse::<u16>() {
                Ok(port) => format!("http://127.0.0.1:{port}"),
                Err(_) => format!("http://{text}"),
            };
            return Err(bad(text, format!("write the scheme, such as `{url}`")));
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "h2c" | "grpc" => {
                return Err(bad(
                    text,
                    format!("write `http://{rest}`, and `protocol: h2` above it"),
                ));
            }
            _ => return Err(bad(text, "use one of `http://`, `https://` and `unix:`".into())),
        };
        let (host, port) = authority(rest).map_err(|remedy| bad(text, remedy))?;
        let default = if scheme == Scheme::Https { 443 } else { 80 };
        Ok(Self::Tcp { scheme, host, port: port.unwrap_or(default) })
    }
}

fn bad(text: &str, remedy: String) -> Problem {
    Problem::new(format!("`{text}` is not an endpoint's URL"), remedy)
}

/// What the kernel takes as the path of a unix socket, without its final NUL.
const LONGEST_SOCKET_PATH: usize = 107;

fn unix(path: &str) -> Result<Url, String> {
    if let Some(absolute) = path.strip_prefix("//") {
        return Err(format!("write `unix:/{}`", absolute.trim_start_matches('/')));
    }
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err("write the absolute path of a socket, such as `unix:/run/app.sock`".into());
    }
    if path.len() > LONGEST_SOCKET_PATH {
        return Err(format!("use a path of at most {LONGEST_SOCKET_PATH} bytes"));
    }
    Ok(Url::Unix(path.into()))
}

/// Reads what stands after `://`; an error is the remedy.
fn authority(text: &str) -> Result<(Host, Option<u16>), String> {
    if text.contains('@') {
        return Err("remove the user; add an `authorization` header with a filter".into());
    }
    let text = match text.split_once(['/', '?', '#']) {
        None => text,
        Some((before, "")) if text.ends_with('/') => before,
        Some(_) => return Err("remove what follows the host; add a path by `rewrite`".into()),
    };
    if let Some(bracketed) = text.strip_prefix('[') {
        let (ip, after) = bracketed.split_once(']').ok_or("close the bracket of the address")?;
        let ip: Ipv6Addr =
            ip.parse().map_err(|_| "write an IPv6 address in brackets, such as `[::1]`")?;
        let port = match after.strip_prefix(':') {
            Some(port) => Some(read_port(port)?),
            None if after.is_empty() => None,
            None => return Err("write a colon before the port".into()),
        };
        return Ok((Host::Ip(ip.into()), port));
    }
    if text.matches(':').count() > 1 {
        return Err("write an IPv6 address in brackets, such as `[::1]`".into());
    }
    match text.split_once(':') {
        Some((host, port)) => Ok((read_host(host)?, Some(read_port(port)?))),
        None => Ok((read_host(text)?, None)),
    }
}

fn read_port(text: &str) -> Result<u16, String> {
    // `parse` alone would take `+80`.
    let is_number = text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(port) if is_number && port > 0 => Ok(port),
        _ => Err("write a port from 1 to 65535".into()),
    }
}

/// Reads a host; an error is the remedy.
pub(super) fn read_host(text: &str) -> Result<Host, String> {
    if let Ok(ip) = text.parse() {
        return Ok(Host::Ip(IpAddr::V4(ip)));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        (1..=63).contains(&label.len()) && label.bytes().all(is_plain)
    };
    if name.is_empty() {
        return Err("write a host, such as `http://127.0.0.1:5000`".into());
    }
    if !name.is_ascii() {
        return Err("write the name in its ASCII form, which begins with `xn--`".into());
    }
    if name.len() > 253 || !name.split('.').all(is_label) {
        return Err("use letters, digits, `-` and `_` in a name, up to 63 between dots".into());
    }
    let last = name.rsplit('.').next().unwrap_or(name);
    if last.bytes().all(|b| b.is_ascii_digit()) {
        return Err("write an IPv4 address with four numbers, such as `127.0.0.1`".into());
    }
    Ok(Host::Name(text.to_ascii_lowercase().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Url>().unwrap().to_string()
    }

    fn remedy(text: &str) -> String {
        text.parse::<Url>().unwrap_err().remedy
    }

    #[test]
    fn every_form_has_one_canonical_text() {
        for (text, canonical) in [
            ("http://127.0.0.1:5001", "http://127.0.0.1:5001"),
            ("http://127.0.0.1", "http://127.0.0.1:80"),
            ("http://127.0.0.1/", "http://127.0.0.1:80"),
            ("https://Shop.Internal", "https://shop.internal:443"),
            ("HTTPS://shop_1.internal.:8443", "https://shop_1.internal.:8443"),
            ("http://[2001:DB8:0::1]:5001/", "http://[2001:db8::1]:5001"),
            ("https://[::1]", "https://[::1]:443"),
            ("unix:/run/Shop.sock", "unix:/run/Shop.sock"),
        ] {
            assert_eq!(shown(text), canonical);
            assert_eq!(shown(canonical), canonical, "the canonical text reads as itself");
        }
    }

    #[test]
    fn its_parts_can_be_asked_for() {
        let url: Url = "https://shop.internal.:8443".parse().unwrap();
        let Url::Tcp { scheme, host, port } = &url else { panic!("{url}") };
        assert_eq!((*scheme, *port), (Scheme::Https, 8443));
        assert_eq!(*host, Host::Name("shop.internal.".into()));
        assert!(url.is_tls());
        assert_eq!(url.name(), Some("shop.internal"));

        let address: Url = "http://10.0.0.1".parse().unwrap();
        assert!(!address.is_tls());
        assert_eq!(address.name(), None);
        assert_eq!("unix:/run/x".parse::<Url>().unwrap(), Url::Unix("/run/x".into()));
    }

    #[test]
    fn what_does_not_belong_shows_its_remedy() {
        for (text, expected) in [
            ("127.0.0.1:5001", "write the scheme, such as `http://127.0.0.1:5001`"),
            ("ftp://a.example", "use one of `http://`, `https://` and `unix:`"),
            ("h2c://a:50051", "write `http://a:50051`, and `protocol: h2` above it"),
            ("http://u:p@a", "remove the user; add an `authorization` header with a filter"),
            ("http://a/api", "remove what follows the host; add a path by `rewrite`"),
            ("http://a/?x", "remove what follows the host; add a path by `rewrite`"),
            ("http://a?", "remove what follows the host; add a path by `rewrite`"),
            ("http://a#", "remove what follows the host; add a path by `rewrite`"),
            ("http://", "write a host, such as `http://127.0.0.1:5000`"),
            ("http://::1:80", "write an IPv6 address in brackets, such as `[::1]`"),
            ("http://[fe80::1%25eth0]", "write an IPv6 address in brackets, such as `[::1]`"),
            ("http://[::1", "close the bracket of the address"),
            ("http://[::1]80", "write a colon before the port"),
            (
                "http://b\u{fc}cher.example",
                "write the name in its ASCII form, which begins with `xn--`",
            ),
            ("http://127.0.0.1.1", "write an IPv4 address with four numbers, such as `127.0.0.1`"),
            ("http://5001", "write an IPv4 address with four numbers, such as `127.0.0.1`"),
            ("unix:run/x", "write the absolute path of a socket, such as `unix:/run/app.sock`"),
            ("unix:", "write the absolute path of a socket, such as `unix:/run/app.sock`"),
            ("unix:/", "write the absolute path of a socket, such as `unix:/run/app.sock`"),
            ("unix:///run/x", "write `unix:/run/x`"),
        ] {
            assert_eq!(remedy(text), expected, "{text}");
        }
    }

    #[test]
    fn ports_and_names_have_their_bounds() {
        for port in ["", "0", "65536", "+80", "-1", "80a"] {
            assert_eq!(remedy(&format!("http://a:{port}")), "write a port from 1 to 65535");
        }
        assert_eq!(shown("http://a:65535"), "http://a:65535");
        for name in ["a..b", ".a", "a b", "a*", &"a".repeat(64), &"a.".repeat(128)] {
            assert!(remedy(&format!("http://{name}")).starts_with("use letters"), "{name}");
        }
        let longest = format!("unix:/{}", "a".repeat(106));
        assert_eq!(shown(&longest), longest);
        assert_eq!(remedy(&format!("{longest}a")), "use a path of at most 107 bytes");
    }
}
