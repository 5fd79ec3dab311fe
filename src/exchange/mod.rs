//! One request with its response, and all we know of it.

mod arrival;
mod cause;
mod client;
mod connection;
mod ending;
mod id;
mod pace;
mod page;
mod reply;
mod target;
mod uplink;
mod watch;

pub use arrival::Arrival;
pub use cause::Cause;
pub use client::{Client, ClientAddress, write_ip};
pub use connection::{Connection, Entrance, Limits, Tls};
pub use ending::{Ending, Footing, Manner};
pub use id::RequestId;
pub use pace::{Excuse, Way};
pub use reply::Reply;
pub use target::Target;
pub use uplink::{Gate, Uplink};
pub use watch::{Overdue, Phase, Timer, Watch};

use http::StatusCode;
use pingora::http::RequestHeader;

/// What filters and templates see of one exchange; it borrows for the length of a phase.
pub struct Exchange<'a> {
    /// The connection the request came by.
    pub connection: &'a Connection,
    /// The client, after trusted proxies were heard.
    pub client: &'a Client,
    /// The id of the request, in log lines and pages.
    pub id: &'a mut RequestId,
    /// Host, path and query as matching saw them.
    pub target: &'a Target,
    /// The name of the route.
    pub route: &'a str,
    /// What the route's path captured.
    pub captures: &'a dyn Captured,
    /// The request head; edits go upstream.
    pub request: &'a mut RequestHeader,
    /// The prefix that a rewrite stripped from the path, for `X-Forwarded-Prefix`.
    pub stripped_prefix: &'a mut Option<Box<str>>,
    /// The status of the response, once there is one.
    pub status: Option<StatusCode>,
}

/// The path parameters that a route captured.
pub trait Captured {
    /// The value of a name, still percent-encoded; empty if it was not captured.
    fn value(&self, name: &str) -> &str;
}
