//! What the access log says of an exchange.

use crate::exchange::{RequestId, write_ip};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, SystemTime};

/// One exchange as the access log tells it. It borrows: its line is made while the exchange lives.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// When the request arrived.
    pub time: SystemTime,
    /// The id of the request.
    pub request_id: &'a RequestId,
    /// Who sent it.
    pub client: Client,
    /// The address of ours that it came in by; absent on a unix socket.
    pub local: Option<SocketAddr>,
    /// The listener it came in by.
    pub listener: &'a str,
    /// The route that matched.
    pub route: Option<&'a str>,
    /// The method; absent if the request could not be read.
    pub method: Option<&'a str>,
    /// The host the client asked for, without port.
    pub host: Option<&'a str>,
    /// The path as the client sent it.
    pub path: Option<&'a str>,
    /// The query as the client sent it, without `?`.
    pub query: Option<&'a str>,
    /// `HTTP/1.1`, `HTTP/2.0` and so on.
    pub protocol: &'static str,
    /// The status the client got, or would have got.
    pub status: u16,
    /// Why the exchange failed.
    pub cause: Option<&'static str>,
    /// The upstream it was forwarded to.
    pub upstream: Option<&'a str>,
    /// The endpoint of the last attempt.
    pub endpoint: Option<&'a str>,
    /// How many attempts were made.
    pub attempts: u32,
    /// Those before the last one, in their order.
    pub earlier: &'a [Earlier<'a>],
    /// Bytes of the request body.
    pub bytes_received: u64,
    /// Bytes of the response body.
    pub bytes_sent: u64,
    /// From the request's first byte to the response's last.
    pub duration: Duration,
    /// How much of the duration the upstream took.
    pub upstream_time: Option<Duration>,
    /// The field `User-Agent`.
    pub user_agent: Option<Cow<'a, str>>,
    /// The field `Referer`.
    pub referer: Option<Cow<'a, str>>,
    /// What the line of the document wants besides: the values of [`super::Sender::further`].
    pub further: &'a [Box<str>],
}

/// An attempt that another one followed.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// Its endpoint.
    pub endpoint: &'a str,
    /// The status that it answered with, if it did.
    pub status: Option<u16>,
    /// Why it failed otherwise.
    pub cause: Option<&'static str>,
    /// How long it took.
    pub took: Duration,
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// A client with an address.
    Ip(IpAddr),
    /// The other side of a unix socket, which has no address; written `unix:`.
    Unix,
}

/// What stands in the place of an address that a unix socket does not have.
const UNIX: &str = "unix:";

impl Client {
    /// Appends it.
    pub(super) fn write(self, line: &mut String) {
        match self {
            Self::Ip(ip) => write_ip(ip, line),
            Self::Unix => line.push_str(UNIX),
        }
    }
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        Self::Ip(ip)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix => f.write_str(UNIX),
        }
    }
}

#[cfg(test)]
impl Record<'_> {
    /// What a format makes of it.
    pub(super) fn line(&self, write: impl FnOnce(&Self, &mut String)) -> String {
        let mut line = String::new();
        write(self, &mut line);
        line
    }
}

#[cfg(test)]
impl Record<'static> {
    /// A record of which every field is present.
    pub(super) fn full() -> Self {
        Self {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_261_202_123),
            request_id: id(),
            client: Client::Ip([203, 0, 113, 7].into()),
            local: Some(([192, 0, 2, 1], 8080).into()),
            listener: "web",
            route: Some("shop"),
            method: Some("GET"),
            host: Some("shop.example.com"),
            path: Some("/cart/7"),
            query: Some("a=1&b=2"),
            protocol: "HTTP/1.1",
            status: 502,
            cause: Some("upstream_reset"),
            upstream: Some("app"),
            endpoint: Some("127.0.0.1:3001"),
            attempts: 2,
            earlier: const { &[EARLIER] },
            bytes_received: 12,
            bytes_sent: 3456,
            duration: Duration::from_micros(12_345),
            upstream_time: Some(Duration::from_micros(9_000)),
            user_agent: Some("curl/8.5".into()),
            referer: Some("https://example.com/".into()),
            further: &[],
        }
    }

    /// A record of which nothing is present that may be absent.
    pub(super) fn bare() -> Self {
        Self {
            local: None,
            route: None,
            method: None,
            host: None,
            path: None,
            query: None,
            cause: None,
            upstream: None,
            endpoint: None,
            upstream_time: None,
            user_agent: None,
            referer: None,
            client: Client::Unix,
            status: 400,
            attempts: 0,
            earlier: &[],
            ..Self::full()
        }
    }
}

#[cfg(test)]
const EARLIER: Earlier<'static> = Earlier {
    endpoint: "127.0.0.1:3000",
    status: None,
    cause: Some("upstream_timeout_response"),
    took: Duration::from_millis(2),
};

/// The id of every record of a test.
#[cfg(test)]
fn id() -> &'static RequestId {
    static ID: std::sync::LazyLock<RequestId> =
        std::sync::LazyLock::new(|| RequestId::given("0192-id").unwrap());
    &ID
}
