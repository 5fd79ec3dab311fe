//! HTTP/2 frames by hand, for what no client's library would send.

use super::raw::Raw;
use bytes::Bytes;

/// Kinds of frames (RFC 9113, 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RESET: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const GOAWAY: u8 = 7;

/// The flag of a frame that ends its stream.
pub const END: u8 = 1;
/// The flag of a head that needs no further frame.
const WHOLE: u8 = 4;

/// A GET of `/`.
pub const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];

/// A frame as it was read.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub stream: u32,
    pub payload: Bytes,
}

impl Frame {
    /// The next frame; an end of the connection before it fails the test.
    pub async fn read(raw: &mut Raw) -> Self {
        let head = raw.exactly(9).await;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Self { kind: head[3], stream, payload: raw.exactly(length).await }
    }

    /// The error code that a frame of this kind carries last.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().expect("four bytes"))
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short frame");
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A head of these fields, or trailers.
pub fn head(fields: &[(&str, &str)], flags: u8, stream: u8) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    let mut head = Vec::new();
    for (name, value) in fields {
        // A literal that no table knows.
        head.extend([0, length(name)]);
        head.extend(name.bytes());
        head.push(length(value));
        head.extend(value.bytes());
    }
    frame(HEADERS, flags | WHOLE, stream, &head)
}

/// The beginning of an HTTP/2 connection, and a request of these fields on its first stream.
pub fn http2(fields: &[(&str, &str)], flags: u8) -> Vec<u8> {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    [&preface[..], &frame(SETTINGS, 0, 0, &[]), &head(fields, flags, 1)].concat()
}
