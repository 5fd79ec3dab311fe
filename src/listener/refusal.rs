//! What is refused before any hook: answered here, and logged like every other exchange.

use super::head;
use crate::exchange::{Cause, Connection, Reply, RequestId};
use crate::observe::access::{Client, Record};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The bytes of the answer, after which the connection closes.
pub(super) fn bytes(cause: Cause, id: &RequestId, head: &[u8]) -> Vec<u8> {
    let reply = Reply::failure(cause, id, None);
    let status = reply.status;
    let reason = status.canonical_reason().unwrap_or_default();
    let mut out = format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).into_bytes();
    let date = httpdate::fmt_http_date(SystemTime::now());
    let length = reply.body.len();
    for (name, value) in &reply.headers {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(
        format!("date: {date}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n").as_bytes(),
    );
    if head::request_line(head).0 != "HEAD" {
        out.extend_from_slice(&reply.body);
    }
    out
}

/// The wall clock, for the log.
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

/// The access log's record of it, with what can be read of a broken head.
pub(super) fn record(
    connection: &Connection,
    cause: Cause,
    id: &RequestId,
    head: &[u8],
    time: SystemTime,
) -> Record {
    let (method, target) = head::request_line(head);
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let some = |text: &str| (!text.is_empty()).then(|| Box::from(text));
    Record {
        time,
        request_id: id.clone(),
        client: connection.peer.map_or(Client::Unix, |p| IpAddr::to_canonical(&p.ip()).into()),
        listener: connection.entrance.name.clone(),
        route: None,
        method: method.parse().ok(),
        host: None,
        path: some(path),
        query: query.and_then(some),
        protocol: "HTTP/1.1",
        status: cause.status().as_u16(),
        cause: Some(cause.name()),
        upstream: None,
        endpoint: None,
        attempts: 0,
        bytes_received: 0,
        bytes_sent: 0,
        duration: Duration::ZERO,
        upstream_time: None,
        user_agent: None,
        referer: None,
    }
}
