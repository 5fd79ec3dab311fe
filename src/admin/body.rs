//! Reads what a request brings.

use super::answer::Answer;
use http::{StatusCode, header};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use std::time::Duration;

/// The largest document that is taken.
const MOST: usize = 16 << 20;
/// How long a document may take to arrive.
const LONGEST: Duration = Duration::from_secs(30);

/// The body of a request as text.
pub(super) async fn text(session: &mut ServerSession) -> Result<String, Answer> {
    let headers = &session.req_header().headers;
    let length = headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
    if length.and_then(|length| length.parse().ok()).is_some_and(|length: u64| length > MOST as u64)
    {
        return Err(too_large());
    }
    let is_asked_for = headers
        .get(header::EXPECT)
        .is_some_and(|expect| expect.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if is_asked_for && let Ok(head) = ResponseHeader::build(StatusCode::CONTINUE, Some(0)) {
        // Whoever does not take it does not send either.
        let _ = session.write_response_header(Box::new(head)).await;
    }
    let read = tokio::time::timeout(LONGEST, read(session)).await;
    let bytes = read.unwrap_or_else(|_| {
        let why = "The document took too long to arrive.\n";
        Err(Answer::text(StatusCode::REQUEST_TIMEOUT, why))
    })?;
    String::from_utf8(bytes)
        .map_err(|_| Answer::text(StatusCode::BAD_REQUEST, "The document is not UTF-8.\n"))
}

async fn read(session: &mut ServerSession) -> Result<Vec<u8>, Answer> {
    let mut bytes = Vec::new();
    loop {
        match session.read_request_body().await {
            Ok(Some(piece)) if bytes.len() + piece.len() > MOST => return Err(too_large()),
            Ok(Some(piece)) => bytes.extend_from_slice(&piece),
            Ok(None) => return Ok(bytes),
            Err(_) => {
                let why = "The document did not arrive whole.\n";
                return Err(Answer::text(StatusCode::BAD_REQUEST, why));
            }
        }
    }
}

fn too_large() -> Answer {
    let why = format!("A document of more than {} MiB is not taken.\n", MOST >> 20);
    Answer::text(StatusCode::PAYLOAD_TOO_LARGE, &why)
}
