//! A request that is asked about, and what a client would send for it.

use crate::net::uri;
use crate::value::Problem;
use http::Uri;
use std::net::IpAddr;

/// A request that is asked about.
#[derive(Clone, Debug)]
pub struct Asked {
    pub(super) method: String,
    pub(super) is_https: bool,
    /// What the client asks for in `Host`.
    authority: String,
    /// The target of the request line.
    pub(super) target: String,
    fields: Vec<(String, String)>,
    /// The listener it comes in by; by default the one that fits best.
    pub listener: Option<String>,
    /// The address of the other side; by default 127.0.0.1.
    pub client: Option<IpAddr>,
    /// Whether the client speaks HTTP/2.
    pub http2: bool,
}

impl Asked {
    /// A request by its method, its URL and its further fields, `name: value` each.
    pub fn new(method: &str, url: &str, fields: &[String]) -> Result<Self, Problem> {
        let is_word = !method.is_empty() && !method.contains([' ', '\t']) && is_line(method);
        if !is_word {
            return Err(Problem::new(
                format!("`{}` is not a method", method.escape_debug()),
                "write one such as `GET`",
            ));
        }
        let (is_https, authority, target) = parts(url)?;
        let mut asked = Self {
            method: method.to_owned(),
            is_https,
            authority,
            target,
            fields: fields.iter().map(|text| field(text)).collect::<Result<_, _>>()?,
            listener: None,
            client: None,
            http2: false,
        };
        // A client sends one only, and this is the way to choose it.
        if let Some(place) = asked.fields.iter().position(|(name, _)| is_host(name)) {
            asked.authority = asked.fields.remove(place).1;
        }
        Ok(asked)
    }

    /// The host and the port of the URL, which a client connects to.
    pub(super) fn host(&self) -> Option<(&str, u16)> {
        let (host, port) = uri::host(&self.authority)?;
        Some((host, port.unwrap_or(if self.is_https { 443 } else { 80 })))
    }

    /// Whether a body follows the head.
    pub(super) fn has_body(&self) -> bool {
        self.fields.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("transfer-encoding")
                || (name.eq_ignore_ascii_case("content-length") && value != "0")
        })
    }

    /// The head as HTTP/1 sends it.
    pub(super) fn head(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let fields: String = fields.collect();
        let Self { method, target, authority, .. } = self;
        format!("{method} {target} HTTP/1.1\r\nHost: {authority}\r\n{fields}\r\n")
    }

    /// The request as an HTTP/2 library takes it, with the scheme of the listener.
    pub(super) fn message(&self, scheme: &str) -> Result<http::Request<()>, http::Error> {
        let uri = Uri::builder().scheme(scheme).authority(self.authority.as_str());
        let uri = uri.path_and_query(self.target.as_str()).build()?;
        let request = http::Request::builder().method(self.method.as_str()).uri(uri);
        let fields = self.fields.iter();
        fields.fold(request, |request, (name, value)| request.header(name, value)).body(())
    }
}

/// Scheme, authority and target of a URL.
fn parts(url: &str) -> Result<(bool, String, String), Problem> {
    let bad = |remedy: &str| Problem::new(format!("`{}` is no URL", url.escape_debug()), remedy);
    let whole = "write it whole, such as `http://shop.example.com/cart?id=1`";
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad(whole))?;
    let is_https = scheme.eq_ignore_ascii_case("https");
    if !is_https && !scheme.eq_ignore_ascii_case("http") {
        return Err(bad("begin it with `http://` or `https://`"));
    }
    if !is_line(url) {
        return Err(bad("leave out control characters"));
    }
    // The fragment stays with the client.
    let rest = rest.split('#').next().unwrap_or_default();
    let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(bad(whole));
    }
    if authority.contains('@') {
        return Err(bad("leave the user out, and send an `Authorization` with `-H`"));
    }
    // Clients leave the scheme's own port out.
    let own = if is_https { ":443" } else { ":80" };
    let authority = authority.strip_suffix(own).unwrap_or(authority);
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((is_https, authority.to_owned(), format!("{slash}{target}")))
}

fn field(text: &str) -> Result<(String, String), Problem> {
    let parts = text.split_once(':').map(|(name, value)| (name.trim(), value.trim()));
    match parts.filter(|(name, _)| !name.is_empty() && is_line(text)) {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err(Problem::new(
            format!("`{}` is no header field", text.escape_debug()),
            "write it as `name: value`",
        )),
    }
}

fn is_host(name: &str) -> bool {
    name.eq_ignore_ascii_case("host")
}

/// Whether nothing in a text would end a line of a head.
fn is_line(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(url: &str, fields: &[&str]) -> Result<String, String> {
        let fields: Vec<_> = fields.iter().map(|field| (*field).to_owned()).collect();
        let asked = Asked::new("GET", url, &fields).map_err(|problem| problem.remedy)?;
        Ok(asked.head().replace("\r\n", "|"))
    }

    #[test]
    fn a_url_becomes_what_a_client_sends() {
        for (url, line, host) in [
            ("http://a.example/x?y=%2F", "/x?y=%2F", "a.example"),
            ("HTTPS://A.example:443", "/", "A.example"),
            ("http://a.example:443?x", "/?x", "a.example:443"),
            ("https://[::1]:8443/#top", "/", "[::1]:8443"),
            ("http://a/../b c", "/../b c", "a"),
        ] {
            let expected = format!("GET {line} HTTP/1.1|Host: {host}||");
            assert_eq!(head(url, &[]), Ok(expected), "{url}");
        }
    }

    #[test]
    fn fields_keep_their_order_and_case_and_a_host_wins_over_the_url() {
        let sent = head("http://a/", &["X-B:  1 ", "a: x:y", "HOST: b.example"]);
        assert_eq!(sent.unwrap(), "GET / HTTP/1.1|Host: b.example|X-B: 1|a: x:y||");
    }

    #[test]
    fn what_is_no_request_shows_its_remedy() {
        let whole = "write it whole, such as `http://shop.example.com/cart?id=1`";
        for (url, field, remedy) in [
            ("/cart", "a: 1", whole),
            ("shop.example.com/cart", "a: 1", whole),
            ("http:///cart", "a: 1", whole),
            ("ftp://a/", "a: 1", "begin it with `http://` or `https://`"),
            ("http://a/\r\nx: 1", "a: 1", "leave out control characters"),
            ("http://me@a/", "a: 1", "leave the user out, and send an `Authorization` with `-H`"),
            ("http://a/", "a", "write it as `name: value`"),
            ("http://a/", ": 1", "write it as `name: value`"),
            ("http://a/", "a: 1\nb: 2", "write it as `name: value`"),
        ] {
            assert_eq!(head(url, &[field]), Err(remedy.to_owned()), "{url} {field}");
        }
        for method in ["", "GET /", "G\nT"] {
            assert!(Asked::new(method, "http://a/", &[]).is_err(), "{method}");
        }
    }
}
