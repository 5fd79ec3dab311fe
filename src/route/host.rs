//! Hosts that a route names: `shop.example.com`, `*.example.com`, `*`.

use crate::net::uri;
use crate::value::{Problem, word};
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Which hosts a route serves, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// This one.
    Exact(String),
    /// `*.` before this: one label more, or several.
    Wildcard(String),
    /// `*`: every host.
    Any,
}

word!(
    HostPattern,
    "host-pattern",
    "A host: `shop.example.com`, `*.example.com` (one or more labels before it, not \
     `example.com` itself) or `*` for every host. Letters may be large or small; ports do not count."
);

impl FromStr for HostPattern {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.strip_prefix("*.") {
            Some(suffix) => parse_host(text, suffix).map(Self::Wildcard),
            None => parse_host(text, text).map(Self::Exact),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Wildcard(suffix) => write!(f, "*.{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

fn parse_host(whole: &str, host: &str) -> Result<String, Problem> {
    let bad = |remedy: String| Err(Problem::new(format!("`{whole}` is not a host"), remedy));
    if let Some((_, rest)) = whole.split_once("://") {
        let host = rest.split('/').next().unwrap_or_default();
        return bad(format!("write the host alone: `{host}`"));
    }
    if !whole.is_ascii() {
        return bad("write it in punycode, such as `xn--bcher-kva.example`".into());
    }
    if host.contains('*') {
        return bad("`*` stands for whole labels in front, such as `*.example.com`".into());
    }
    if let Ok(address) = host.parse::<Ipv6Addr>() {
        return bad(format!("write the address in brackets: `[{address}]`"));
    }
    match uri::host(host) {
        Some((_, Some(port))) => {
            let alone = whole.strip_suffix(&format!(":{port}")).unwrap_or(whole);
            bad(format!("leave the port out: `{alone}`; `listener` tells ports apart"))
        }
        Some((name, None)) if !name.is_empty() => Ok(canonical(name)),
        _ => bad("write a name such as `shop.example.com`".into()),
    }
}

/// Lower case; IPv6 addresses in the form that clients send.
fn canonical(host: &str) -> String {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    match inner.and_then(|address| address.parse::<Ipv6Addr>().ok()) {
        Some(address) => format!("[{address}]"),
        None => host.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, String> {
        let pattern = text.parse::<HostPattern>();
        pattern.map(|host| host.to_string()).map_err(|problem| problem.remedy)
    }

    #[test]
    fn hosts_are_read_in_lower_case() {
        let cases = [
            ("Shop.Example.com", "shop.example.com"),
            ("*.Example.com.", "*.example.com"),
            ("*", "*"),
            ("[0:0::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1"),
            ("localhost", "localhost"),
        ];
        for (text, host) in cases {
            assert_eq!(read(text).as_deref(), Ok(host), "{text}");
        }
    }

    #[test]
    fn mistakes_show_the_remedy() {
        let cases = [
            ("a.example:8080", "leave the port out: `a.example`; `listener` tells ports apart"),
            ("https://a.example/x", "write the host alone: `a.example`"),
            ("bücher.example", "write it in punycode, such as `xn--bcher-kva.example`"),
            ("a.*.example", "`*` stands for whole labels in front, such as `*.example.com`"),
            ("*a.example", "`*` stands for whole labels in front, such as `*.example.com`"),
            ("::1", "write the address in brackets: `[::1]`"),
            ("", "write a name such as `shop.example.com`"),
            ("*.", "write a name such as `shop.example.com`"),
            ("a b", "write a name such as `shop.example.com`"),
        ];
        for (text, remedy) in cases {
            assert_eq!(read(text), Err(remedy.to_owned()), "{text}");
        }
    }
}
