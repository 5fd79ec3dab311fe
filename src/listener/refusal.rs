//! What is refused before any hook: answered here, and logged like every other exchange.

use super::head;
use crate::exchange::{Cause, Connection, Reply, RequestId};
use crate::net::uri;
use crate::observe::access::{Client, Record, Sender};
use http::header::{self, HeaderMap, HeaderValue};
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// A request that is refused before any hook.
pub(super) struct Refusal<'a> {
    /// Why.
    pub(super) cause: Cause,
    /// What there is of its head.
    head: &'a [u8],
    protocol: &'static str,
    id: RequestId,
    time: SystemTime,
    /// Bytes of the answer's body.
    sent: usize,
}

impl<'a> Refusal<'a> {
    /// A request of HTTP/1, of which there is a head that may be broken.
    pub(super) fn new(cause: Cause, head: &'a [u8]) -> Self {
        let time = SystemTime::now();
        Self { cause, head, protocol: "HTTP/1.1", id: RequestId::new(time), time, sent: 0 }
    }

    /// A request that the engine refused, of which it tells nothing.
    pub(super) fn unseen(cause: Cause, protocol: &'static str) -> Self {
        Self { protocol, ..Self::new(cause, &[]) }
    }

    /// The bytes of the answer, after which the connection closes.
    pub(super) fn answer(&mut self) -> Vec<u8> {
        let reply = Reply::failure(self.cause, &self.id, Some(&self.preference()));
        let status = reply.status;
        let reason = status.canonical_reason().unwrap_or_default();
        let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
        for (name, value) in &reply.headers {
            out.extend_from_slice(name.as_str().as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        let (date, length) = (httpdate::fmt_http_date(self.time), reply.body.len());
        let rest = format!("date: {date}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        out.extend_from_slice(rest.as_bytes());
        if head::request_line(self.head).0 != "HEAD" {
            out.extend_from_slice(&reply.body);
            self.sent = length;
        }
        out
    }

    /// Logs it, with what can be read of its head.
    pub(super) fn record(&self, connection: &Connection, access: &Sender) {
        let (method, target) = head::request_line(self.head);
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let some = |text: &&str| !text.is_empty();
        let field = |name: &str| head::field(self.head, name).filter(some).map(Cow::from);
        let host = head::field(self.head, "host").and_then(uri::host);
        let host = host.map(|(host, _)| uri::lower(host));
        access.record(&Record {
            time: self.time,
            request_id: &self.id,
            client: connection.peer.map_or(Client::Unix, |p| IpAddr::to_canonical(&p.ip()).into()),
            local: connection.local,
            listener: &connection.entrance.name,
            route: None,
            method: Some(method).filter(some),
            host: host.as_deref().filter(some),
            path: Some(path).filter(some),
            query: query.filter(some),
            protocol: self.protocol,
            status: self.cause.status().as_u16(),
            cause: Some(self.cause.name()),
            upstream: None,
            endpoint: None,
            attempts: 0,
            earlier: &[],
            bytes_received: 0,
            bytes_sent: self.sent as u64,
            duration: Duration::ZERO,
            upstream_time: None,
            user_agent: field("user-agent"),
            referer: field("referer"),
            further: &[],
        });
    }

    /// What the client wants the page to be, for [`Reply::failure`].
    fn preference(&self) -> HeaderMap {
        let accept = head::field(self.head, header::ACCEPT.as_str());
        let accept = accept.and_then(|accept| HeaderValue::from_str(accept).ok());
        accept.into_iter().map(|accept| (header::ACCEPT, accept)).collect()
    }
}
