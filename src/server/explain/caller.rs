//! Who sends the request and reads the edge's own answer.

use super::asked::Asked;
use bytes::BytesMut;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// More fields than an answer of the edge has.
const MOST_FIELDS: usize = 256;

/// What the edge answered.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `name: value` each.
    pub(super) fields: Vec<String>,
    pub(super) body: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Silence {
    /// The request is none that this version can say.
    Unsayable(String),
    /// The edge gave the exchange up.
    Broken(String),
}

/// Asks by HTTP/1.
pub(super) async fn by_h1(mut stream: UnixStream, asked: &Asked) -> Result<Answer, Silence> {
    let broken = |error: std::io::Error| Silence::Broken(error.to_string());
    stream.write_all(asked.head().as_bytes()).await.map_err(broken)?;
    let mut read = BytesMut::new();
    loop {
        if let Some(answer) = whole(&read, &asked.method)? {
            return Ok(answer);
        }
        if stream.read_buf(&mut read).await.map_err(broken)? == 0 {
            return Err(Silence::Broken("the connection ended".into()));
        }
    }
}

/// The final answer, if all of it is there.
fn whole(mut bytes: &[u8], method: &str) -> Result<Option<Answer>, Silence> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(bytes).map_err(|error| Silence::Broken(error.to_string()))?;
        let httparse::Status::Complete(end) = parsed else { return Ok(None) };
        let status = head.code.unwrap_or_default();
        let rest = bytes.get(end..).unwrap_or_default();
        if (100..200).contains(&status) && status != StatusCode::SWITCHING_PROTOCOLS {
            bytes = rest;
            continue;
        }
        let length = head.headers.iter().find(|f| f.name.eq_ignore_ascii_case("content-length"));
        let length = length.and_then(|field| std::str::from_utf8(field.value).ok()?.parse().ok());
        let length: usize = if method == "HEAD" { 0 } else { length.unwrap_or(0) };
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let fields = head.headers.iter().map(|f| format!("{}: {}", f.name, text(f.value)));
        return Ok(Some(Answer { status, fields: fields.collect(), body: text(body) }));
    }
}

/// Asks by HTTP/2.
pub(super) async fn by_h2(
    stream: UnixStream,
    asked: &Asked,
    scheme: &str,
) -> Result<Answer, Silence> {
    let message = asked.message(scheme);
    let message = message.map_err(|error| Silence::Unsayable(error.to_string()))?;
    let broken = |error: h2::Error| Silence::Broken(error.to_string());
    let (mut sender, connection) = h2::client::handshake(stream).await.map_err(broken)?;
    tokio::spawn(connection);
    let sent = sender.send_request(message, !asked.has_body());
    let (answer, _body) = sent.map_err(|error| Silence::Unsayable(error.to_string()))?;
    let (head, mut body) = answer.await.map_err(broken)?.into_parts();
    let mut read = Vec::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(broken)?;
        // What is not given back only closes the window.
        let _ = body.flow_control().release_capacity(piece.len());
        read.extend_from_slice(&piece);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let fields = head.headers.iter().map(|(n, v)| format!("{n}: {}", text(v.as_bytes())));
    Ok(Answer { status: head.status.as_u16(), fields: fields.collect(), body: text(&read) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &str, method: &str) -> Option<(u16, String)> {
        let answer = whole(bytes.as_bytes(), method).unwrap()?;
        Some((answer.status, answer.body))
    }

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let head = "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n";
        for cut in 0..head.len() + 2 {
            assert_eq!(read(&format!("{head}no")[..cut], "GET"), None, "{cut}");
        }
        assert_eq!(read(&format!("{head}no"), "GET"), Some((404, "no".into())));
        assert_eq!(read(head, "HEAD"), Some((404, String::new())));
        let bare = "HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(read(bare, "GET"), Some((204, String::new())));
    }

    #[test]
    fn an_interim_answer_is_none() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\n";
        assert_eq!(read(interim, "GET"), None);
        let both = format!("{interim}HTTP/1.1 204 No Content\r\n\r\n");
        assert_eq!(read(&both, "GET"), Some((204, String::new())));
    }
}
