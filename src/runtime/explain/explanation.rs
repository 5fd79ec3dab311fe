//! What is known of one request, ready to be shown.

use indexmap::IndexMap;
use serde::Serialize;
use std::net::IpAddr;

/// Everything that is to be known of one request.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// The request as it was understood.
    pub request: Request,
    /// The route that takes it.
    pub route: Option<Taken>,
    /// The other routes, in the order of the document.
    pub considered: Vec<Considered>,
    /// The filters that it passes, as written.
    pub filters: Vec<String>,
    /// Where copies of it may go, as written.
    pub mirror: Option<String>,
    /// Between which upstreams the route splits its requests.
    pub split: Option<Split>,
    /// Where it goes.
    pub upstream: Option<Upstream>,
    /// The head that an endpoint gets, line by line.
    pub sent: Option<Vec<String>>,
    /// The answer, if it is the edge's own.
    pub reply: Option<Reply>,
}

/// A request as it was understood.
#[derive(Debug, Default, Serialize)]
pub struct Request {
    /// The method.
    pub method: String,
    /// The target as the client sends it.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2`.
    pub protocol: &'static str,
    /// The listener that it comes in by.
    pub listener: String,
    /// Whether it comes over TLS.
    pub tls: bool,
    /// The address of the other side; `None` on a unix socket.
    pub peer: Option<IpAddr>,
    /// The client, after trusted proxies were heard; `None` on a unix socket.
    pub client: Option<IpAddr>,
    /// The host that routes see.
    pub host: Option<String>,
    /// The path that routes see.
    pub path: Option<String>,
}

/// The route that takes a request.
#[derive(Debug, Serialize)]
pub struct Taken {
    /// Its name.
    pub name: String,
    /// Where it stands in the document.
    pub place: String,
    /// Its matchers, as written.
    pub matchers: Vec<String>,
    /// What its path captured.
    pub captures: IndexMap<String, String>,
}

/// A route that lost.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Considered {
    /// Its name.
    pub route: String,
    /// Where it stands in the document.
    pub place: String,
    /// The first matcher by which it lost, or `precedence`.
    pub lost_by: &'static str,
    /// What it demands, as written; or which rule made another one win.
    pub why: String,
}

/// Between which upstreams requests are split.
#[derive(Debug, Serialize)]
pub struct Split {
    /// The key by which requests stay with their upstream, as written.
    pub sticky: Option<String>,
    /// Whether it decided; else chance did, and another time it may be another upstream.
    pub by_key: bool,
    /// The upstreams, in the order of the document.
    pub parts: Vec<Part>,
}

/// One of the upstreams of a split.
#[derive(Debug, Serialize)]
pub struct Part {
    /// Its name.
    pub upstream: String,
    /// Its share of the requests.
    pub percent: f64,
}

/// Where a request goes.
#[derive(Debug, Serialize)]
pub struct Upstream {
    /// Its name.
    pub name: String,
    /// Its endpoints, as written.
    pub endpoints: Vec<String>,
    /// `protocol`, `balance`, `host`, `forwarded` and, where it has one, `tls`.
    pub options: IndexMap<&'static str, String>,
    /// The timeouts in force.
    pub timeouts: IndexMap<&'static str, Timeout>,
}

/// A timeout in force.
#[derive(Debug, Serialize)]
pub struct Timeout {
    /// How long.
    pub time: String,
    /// Whether the route says so, over its upstream.
    pub of_route: bool,
}

/// An answer of the edge's own.
#[derive(Debug, Serialize)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Why the request failed.
    pub cause: Option<&'static str>,
    /// The fields, as they are sent.
    pub fields: Vec<String>,
    /// The body.
    pub body: String,
}
