//! `grpc`: an endpoint is well if its health service says so (`grpc.health.v1`).
//!
//! The two messages have one field each, so they are written and read by hand.

use super::config::Fault;
use super::probe::{connect, speaks_h2};
use super::{Failure, h2};
use ::http::header::{CONTENT_TYPE, HeaderName, TE, USER_AGENT};
use ::http::uri::PathAndQuery;
use ::http::{HeaderValue, Method, StatusCode};
use bytes::Bytes;
use pingora::protocols::ALPN;
use pingora::upstreams::peer::HttpPeer;
use schemars::JsonSchema;
use serde::Deserialize;

/// Which health is asked for by gRPC: always over HTTP/2, by prior knowledge on clear text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "grpc-check")]
pub struct Config {
    /// The service, such as `shop.v1.Orders`. Default: that of the server as a whole.
    pub service: String,
}

/// What is asked, compiled: the request's body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check(Bytes);

const METHOD: &str = "/grpc.health.v1.Health/Check";
const GRPC: &str = "application/grpc";
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The longest body of an answer; a good one takes seven bytes.
const LONGEST: usize = 1024;
/// A flag, which says whether it is compressed, and a length go before each message.
const PREFIX: usize = 5;

impl Config {
    pub(super) fn compile(&self) -> Result<Check, Fault> {
        if self.service.len() > LONGEST {
            let what = "no service has so long a name";
            return Err(Fault::new(&["grpc", "service"], what, "write up to 1024 bytes"));
        }
        Ok(Check(framed(&question(&self.service))))
    }
}

/// Asks, whatever version requests go by.
pub(super) async fn ask(
    check: &Check,
    mut peer: HttpPeer,
    authority: &HeaderValue,
) -> Result<(), Failure> {
    peer.options.alpn = ALPN::H2;
    let stream = connect(&peer).await?;
    if !speaks_h2(&stream, &peer) {
        return Err(Failure("it does not speak HTTP/2".into()));
    }
    let path = PathAndQuery::from_static(METHOD);
    let mut request = h2::request(&Method::POST, &path, &peer, authority)?;
    for (name, value) in
        [(CONTENT_TYPE, GRPC), (TE, "trailers"), (USER_AGENT, "falconer-health-check")]
    {
        request.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let (sender, conversation) = h2::open(stream).await?;
    let exchange = async move {
        let (answer, mut body) = sender.ready().await?.send_request(request, false)?;
        body.send_data(check.0.clone(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        if head.status != StatusCode::OK {
            return Err(Failure(format!("it answered with {}", head.status.as_u16())));
        }
        let kind = head.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !kind.is_some_and(|kind| kind.starts_with(GRPC.as_bytes())) {
            return Err(Failure("its answer is not gRPC".into()));
        }
        let mut message = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            message.extend(piece);
            if message.len() > LONGEST {
                return Err(Failure("its answer is too long".into()));
            }
        }
        let trailers = body.trailers().await?;
        // An answer without a message has it in its head.
        let status = trailers.as_ref().unwrap_or(&head.headers).get(GRPC_STATUS);
        judge(status.map(HeaderValue::as_bytes), &message)
    };
    conversation.through(exchange).await
}

/// What is said by the status of a call and by its message.
fn judge(status: Option<&[u8]>, message: &[u8]) -> Result<(), Failure> {
    let status = status.and_then(|status| str::from_utf8(status).ok()?.parse::<usize>().ok());
    let failed = |what: String| Err(Failure(what));
    match status {
        Some(0) => {}
        Some(code) => {
            let name = STATUSES.get(code).unwrap_or(&"which has no name");
            return failed(format!("it answered with the gRPC status {code} ({name})"));
        }
        None => return failed("it answered without a gRPC status".into()),
    }
    match unframed(message).and_then(answer) {
        Some(1) => Ok(()),
        Some(0) => failed("its health is UNKNOWN".into()),
        Some(2) => failed("its health is NOT_SERVING".into()),
        Some(3) => failed("its health is SERVICE_UNKNOWN".into()),
        Some(other) => failed(format!("its health is {other}, which has no name")),
        None => failed("it answered with no message of the health service".into()),
    }
}

const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

fn framed(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut framed = vec![0];
    framed.extend(length.to_be_bytes());
    framed.extend(message);
    framed.into()
}

/// The one message of a body.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (&[flag, a, b, c, d], message) = body.split_first_chunk::<PREFIX>()?;
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
    (flag == 0 && message.len() == length).then_some(message)
}

/// How the fields of messages are written.
mod wire {
    pub(super) const VARINT: u64 = 0;
    pub(super) const EIGHT: u64 = 1;
    pub(super) const LENGTH: u64 = 2;
    pub(super) const FOUR: u64 = 5;
}

/// `message HealthCheckRequest { string service = 1; }`
fn question(service: &str) -> Vec<u8> {
    let mut message = Vec::new();
    if !service.is_empty() {
        write(1 << 3 | wire::LENGTH, &mut message);
        write(service.len() as u64, &mut message);
        message.extend(service.as_bytes());
    }
    message
}

/// `message HealthCheckResponse { ServingStatus status = 1; }`, and fields that we do not know.
fn answer(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let tag = read(&mut message)?;
        match (tag >> 3, tag & 7) {
            (1, wire::VARINT) => status = read(&mut message)?,
            (0 | 1, _) => return None,
            (_, wire::VARINT) => _ = read(&mut message)?,
            (_, wire::EIGHT) => message = message.get(8..)?,
            (_, wire::FOUR) => message = message.get(4..)?,
            (_, wire::LENGTH) => {
                let length = usize::try_from(read(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            _ => return None,
        }
    }
    Some(status)
}

/// Writes a number, seven bits at a time.
fn write(mut number: u64, to: &mut Vec<u8>) {
    while number > 0x7f {
        to.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    to.push(number as u8);
}

/// Takes a number off the front.
fn read(from: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = from.split_first()?;
        *from = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_the_service_or_nothing() {
        assert_eq!(question(""), b"");
        assert_eq!(question("a.B"), b"\x0a\x03a.B");
        let long = "x".repeat(300);
        assert_eq!(question(&long), [b"\x0a\xac\x02", long.as_bytes()].concat());
        let check = Config { service: "a.B".into() }.compile().unwrap();
        assert_eq!(&*check.0, b"\0\0\0\0\x05\x0a\x03a.B");
        assert_eq!(&*Config::default().compile().unwrap().0, b"\0\0\0\0\0");
        let fault = Config { service: "x".repeat(1025) }.compile().unwrap_err();
        assert_eq!(fault.at, ["grpc", "service"]);
    }

    #[test]
    fn the_answer_is_found_among_fields_that_nobody_knows() {
        assert_eq!(answer(b""), Some(0), "the default is not written");
        assert_eq!(answer(b"\x08\x01"), Some(1));
        assert_eq!(answer(b"\x08\x81\x00"), Some(1), "a longer form of the same");
        let others = b"\x10\x96\x01\x1a\x02ab\x21 8 bytes\x2d4 by";
        assert_eq!(answer(&[others, &b"\x08\x02"[..]].concat()), Some(2));
        assert_eq!(answer(&[b"\x08\x02", &others[..]].concat()), Some(2));
        assert_eq!(answer(b"\x08\x01\x08\x02"), Some(2), "the last one counts");
    }

    #[test]
    fn nonsense_is_no_answer_and_no_panic() {
        for bytes in [
            &b"\x08"[..],
            b"\x0a\x01a",
            b"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x1a\x05ab",
            b"\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x21 short",
            b"\x2dabc",
            b"\x13",
            b"\x16",
            b"\x00\x01",
            b"\xff",
        ] {
            assert_eq!(answer(bytes), None, "{bytes:?}");
        }
        for bytes in [&b""[..], b"\0\0\0\0", b"\x01\0\0\0\x02\x08\x01", b"\0\0\0\0\x02\x08"] {
            assert_eq!(unframed(bytes), None, "{bytes:?}");
        }
        assert_eq!(unframed(b"\0\0\0\0\x02\x08\x01\0\0\0\0\0"), None, "there is one message");
    }

    #[test]
    fn whatever_is_not_serving_says_what_it_is() {
        let told = |status: &str, message: &[u8]| {
            judge(Some(status.as_bytes()), &framed(message)).map_err(|Failure(why)| why)
        };
        assert_eq!(told("0", b"\x08\x01"), Ok(()));
        for (status, message, why) in [
            ("0", &b""[..], "its health is UNKNOWN"),
            ("0", b"\x08\x02", "its health is NOT_SERVING"),
            ("0", b"\x08\x03", "its health is SERVICE_UNKNOWN"),
            ("0", b"\x08\x09", "its health is 9, which has no name"),
            ("0", b"\x08", "it answered with no message of the health service"),
            ("12", b"", "it answered with the gRPC status 12 (UNIMPLEMENTED)"),
            ("5", b"\x08\x01", "it answered with the gRPC status 5 (NOT_FOUND)"),
            ("99", b"", "it answered with the gRPC status 99 (which has no name)"),
            ("", b"", "it answered without a gRPC status"),
            ("-1", b"", "it answered without a gRPC status"),
        ] {
            assert_eq!(told(status, message), Err(why.to_owned()));
        }
        assert!(judge(None, b"").is_err());
    }
}
