//! `/echo` and `/upload`: what arrived.

use super::body::{Body, json, text};
use crate::value::Problem;
use bytes::Bytes;
use http::header::{ALLOW, HeaderValue};
use http::{Method, Request, Response, StatusCode, Version, request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The request as it came, in JSON.
pub(super) async fn echo(
    request: Request<Incoming>,
    remote: &str,
) -> Result<Response<Body>, Problem> {
    let (head, body) = request.into_parts();
    let mut kept = Vec::new();
    let length = read(body, |length, data| {
        if length <= KEPT {
            kept.extend_from_slice(data);
        }
    })
    .await?;
    let body = if length <= KEPT { std::str::from_utf8(&kept).ok() } else { None };
    Ok(json(&json!({
        "method": head.method.as_str(),
        "target": target(&head),
        "protocol": protocol(head.version),
        "headers": headers(&head),
        "remote": remote,
        "length": length,
        "body": body,
    })))
}

/// Length and SHA-256 of a posted body.
pub(super) async fn upload(request: Request<Incoming>) -> Result<Response<Body>, Problem> {
    if request.method() != Method::POST {
        let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "POST a body to hash it\n");
        refusal.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return Ok(refusal);
    }
    let mut hash = Sha256::new();
    let length = read(request.into_body(), |_, data| hash.update(data)).await?;
    Ok(json(&json!({ "length": length, "sha256": format!("{:x}", hash.finalize()) })))
}

/// The headers in the order received; of a name that repeats, at its first place.
///
/// The server library keeps neither the case of names nor where the later ones of a name stood.
pub(super) fn headers(head: &request::Parts) -> Vec<[String; 2]> {
    let authority = head.uri.authority().filter(|_| head.version == Version::HTTP_2);
    let pseudo = authority.map(|host| [":authority".to_owned(), host.to_string()]);
    let fields = head.headers.iter().map(|(name, value)| {
        [name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned()]
    });
    pseudo.into_iter().chain(fields).collect()
}

/// The target as it stood in the request line, or `:path` of HTTP/2.
pub(super) fn target(head: &request::Parts) -> String {
    match (head.version, head.uri.path_and_query()) {
        (Version::HTTP_2, Some(path)) => path.to_string(),
        _ => head.uri.to_string(),
    }
}

/// `HTTP/1.1` or the like.
pub(super) fn protocol(version: Version) -> String {
    format!("{version:?}")
}

/// Hands each piece of a body to `take`, with the length up to its end.
async fn read(mut body: Incoming, mut take: impl FnMut(u64, &Bytes)) -> Result<u64, Problem> {
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let broken = |error| Problem::new(format!("the body broke off ({error})"), "send it again");
        if let Ok(data) = frame.map_err(broken)?.into_data() {
            length += data.len() as u64;
            take(length, &data);
        }
    }
    Ok(length)
}

/// How much of a body an echo repeats.
const KEPT: u64 = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;
    use sha2::{Digest, Sha256};

    #[tokio::test]
    async fn an_echo_tells_exactly_what_arrived() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client
            .send(
                "PATCH /echo?b=2&a=%2f HTTP/1.1\r\nHost: demo.test\r\nX-Zebra: 1\r\n\
                 Accept: */*\r\nX-Zebra: 2\r\nContent-Length: 6\r\n\r\ngr\u{fc}n\n",
            )
            .await;
        let remote = client.address();
        assert_eq!(
            client.reply().await.json(),
            serde_json::json!({
                "method": "PATCH",
                "target": "/echo?b=2&a=%2f",
                "protocol": "HTTP/1.1",
                "headers": [
                    ["host", "demo.test"],
                    ["x-zebra", "1"],
                    ["x-zebra", "2"],
                    ["accept", "*/*"],
                    ["content-length", "6"],
                ],
                "remote": remote,
                "length": 6,
                "body": "gr\u{fc}n\n",
            })
        );
    }

    #[tokio::test]
    async fn a_body_that_is_long_or_no_text_is_only_counted() {
        let demo = Demo::start().await;
        for (body, repeated) in
            [(vec![b'a'; 65536], true), (vec![b'a'; 65537], false), (vec![0xff; 3], false)]
        {
            let echo = demo.post("/echo", &body).await.json();
            assert_eq!(echo["length"], body.len());
            assert_eq!(echo["body"].is_string(), repeated);
        }
    }

    #[tokio::test]
    async fn an_upload_is_hashed() {
        let demo = Demo::start().await;
        let body: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 241) as u8).collect();
        let answer = demo.post("/upload", &body).await.json();
        assert_eq!(answer["length"], 3_000_000);
        assert_eq!(answer["sha256"], format!("{:x}", Sha256::digest(&body)));
    }

    #[tokio::test]
    async fn an_upload_wants_a_post() {
        let reply = Demo::start().await.get("/upload").await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some("POST")));
    }
}
