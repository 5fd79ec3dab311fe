//! Replies that are made while they are sent.

use super::body::{Body, framed, streamed, typed};
use super::query::{Query, not_a_number};
use crate::value::{Problem, Size};
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRAILER};
use hyper::body::Frame;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::sync::LazyLock;
use std::time::Duration;

/// `/sse?n=&ms=`: server-sent events; none is the last if `n` is 0.
pub(super) fn events(query: &Query, name: &str) -> Result<Response<Body>, Problem> {
    let count = Some(query.number("n", 5)?).filter(|count| *count > 0);
    let name = name.to_owned();
    let events = ticks(count, query.pause(500)?).map(move |n| {
        let data = json!({ "n": n, "instance": name });
        Bytes::from(format!("id: {n}\ndata: {data}\n\n"))
    });
    let mut response = typed("text/event-stream", streamed(events));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// `/chunks/N?ms=`: a body of no declared length.
pub(super) fn chunks(count: &str, query: &Query) -> Result<Response<Body>, Problem> {
    let count = count.parse().map_err(|_| not_a_number(count))?;
    let chunks = ticks(Some(count), query.pause(0)?).map(|n| Bytes::from(format!("chunk {n}\n")));
    Ok(typed("text/plain; charset=utf-8", streamed(chunks)))
}

/// `/bytes/N`: a download whose byte at offset `i` is `i % 251`.
pub(super) fn bytes(size: &str) -> Result<Response<Body>, Problem> {
    let Size(length) = size.parse()?;
    if length > LARGEST {
        return Err(Problem::new(format!("`{size}` is too much"), "ask for at most `16GiB`"));
    }
    let mut response = typed("application/octet-stream", streamed(pieces(length)));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
    Ok(response)
}

/// `/trailers`: a hash after the body; HTTP/1 clients get it only if they send `TE: trailers`.
pub(super) fn trailers() -> Response<Body> {
    const NAME: HeaderName = HeaderName::from_static("x-sha256");
    let words = Bytes::from_static(b"its hash follows\n");
    let mut trailers = HeaderMap::new();
    if let Ok(hash) = HeaderValue::from_str(&format!("{:x}", Sha256::digest(&words))) {
        trailers.insert(NAME, hash);
    }
    let frames = stream::iter([Frame::data(words), Frame::trailers(trailers)]);
    let mut response = typed("text/plain; charset=utf-8", framed(frames));
    response.headers_mut().insert(TRAILER, HeaderValue::from(NAME));
    response
}

/// Counts from 1, the first at once and each further one after a pause.
fn ticks(count: Option<u64>, pause: Duration) -> impl Stream<Item = u64> + Send {
    stream::unfold(1, move |n: u64| async move {
        if count.is_some_and(|count| n > count) {
            return None;
        }
        if n > 1 && !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Some((n, n.saturating_add(1)))
    })
}

fn pieces(length: u64) -> impl Stream<Item = Bytes> + Send {
    stream::iter((0..length).step_by(PIECE)).map(move |offset| {
        let start = (offset % PERIOD as u64) as usize;
        let size = (length - offset).min(PIECE as u64) as usize;
        PATTERN.slice(start..start + size)
    })
}

/// Every piece is a slice of this one, wherever in the period it begins.
static PATTERN: LazyLock<Bytes> =
    LazyLock::new(|| (0..PIECE + PERIOD).map(|i| (i % PERIOD) as u8).collect());

const PIECE: usize = 64 * 1024;
// A prime, so that a lost or doubled piece changes the hash.
const PERIOD: usize = 251;
const LARGEST: u64 = 16 << 30;

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;

    #[tokio::test]
    async fn the_first_event_does_not_wait() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send("GET /sse?n=0&ms=600000 HTTP/1.1\r\nHost: demo\r\n\r\n").await;
        let head = client.head().await;
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("content-length"), None);
        let event = client.chunk().await;
        assert_eq!(event, "id: 1\ndata: {\"n\":1,\"instance\":\"test\"}\n\n");
    }

    #[tokio::test]
    async fn events_end_with_the_number_asked() {
        let events = Demo::start().await.get("/sse?n=3&ms=1").await.text();
        let ids: Vec<_> = events.lines().filter_map(|line| line.strip_prefix("id: ")).collect();
        assert_eq!(ids, ["1", "2", "3"]);
    }

    #[tokio::test]
    async fn a_download_has_the_length_and_the_bytes_announced() {
        let demo = Demo::start().await;
        for length in [0, 1, 65536, 200_000] {
            let reply = demo.get(&format!("/bytes/{length}")).await;
            assert_eq!(reply.header("content-length"), Some(length.to_string().as_str()));
            let expected: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            assert!(reply.body == expected, "{length}");
        }
    }

    #[tokio::test]
    async fn a_huge_download_begins_at_once_and_may_be_abandoned() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send("GET /bytes/16GiB HTTP/1.1\r\nHost: demo\r\n\r\n").await;
        assert_eq!(client.head().await.header("content-length"), Some("17179869184"));
    }

    #[tokio::test]
    async fn chunks_come_one_by_one() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send("GET /chunks/2?ms=20 HTTP/1.1\r\nHost: demo\r\n\r\n").await;
        assert_eq!(client.head().await.header("transfer-encoding"), Some("chunked"));
        let chunks = [client.chunk().await, client.chunk().await, client.chunk().await];
        assert_eq!(chunks, ["chunk 1\n", "chunk 2\n", ""]);
    }

    #[tokio::test]
    async fn trailers_follow_the_body_of_a_client_that_takes_them() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        let request = "GET /trailers HTTP/1.1\r\nHost: demo\r\nTE: trailers\r\n\
                       Connection: close, TE\r\n\r\n";
        client.send(request).await;
        assert_eq!(client.head().await.header("trailer"), Some("x-sha256"));
        let rest = String::from_utf8(client.rest().await).unwrap();
        let (body, trailers) = rest.split_once("0\r\n").unwrap();
        assert!(body.contains("its hash follows\n"), "{rest}");
        let hash = trailers.strip_prefix("x-sha256: ").unwrap().trim_end();
        assert_eq!(hash.len(), 64);
    }
}
