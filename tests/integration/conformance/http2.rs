//! HTTP/2 by frames of our own, in clear text and over TLS, before an endpoint of HTTP/1.

use self::Verdict::{Answered, As, Cut, Ended, Rejected, Reset};
use super::{Endpoint, NEXT, before, counted};
use crate::support::frames::{DATA, END, Frame, GET, GOAWAY, HEADERS, RESET, frame, head, http2};
use crate::support::{Client, Raw};

/// PROTOCOL_ERROR (RFC 9113, 7).
const PROTOCOL_ERROR: u32 = 1;

#[derive(Clone, Copy)]
enum Verdict {
    /// Answered by the edge with this status; no endpoint hears of it.
    Answered(u16),
    /// The stream is reset, and told of as a 400; no endpoint hears of it.
    Rejected,
    /// The stream is reset before it is a request; no endpoint hears of it.
    Reset,
    /// The connection ends, because nobody can say what the head was; no endpoint hears of it.
    Ended,
    /// The stream is reset when its body lies: the endpoint gets this head and no end.
    Cut(&'static str),
    /// The endpoint gets exactly these bytes.
    As(&'static str),
}

/// A name, the frames of a request on the first stream, and what becomes of it.
struct Row(&'static str, Vec<u8>, Verdict);

type Field = (&'static str, &'static str);

const POST: [Field; 4] = [(":method", "POST"), GET[1], GET[2], GET[3]];
const LENGTH: Field = ("content-length", "3");
/// What a sound GET becomes.
const SOUND: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
const THREE: &str =
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";

/// A GET without a body of just these fields.
fn just(fields: &[Field]) -> Vec<u8> {
    http2(fields, END)
}

/// A GET with further fields.
fn with(fields: &[Field]) -> Vec<u8> {
    just(&[&GET, fields].concat())
}

/// A GET in which one field has another value.
fn but(name: &'static str, value: &'static str) -> Vec<u8> {
    just(&GET.map(|field| if field.0 == name { (name, value) } else { field }))
}

/// A GET that lacks a field and has others.
fn without(name: &str, fields: &[Field]) -> Vec<u8> {
    let left: Vec<_> = GET.into_iter().filter(|field| field.0 != name).collect();
    just(&[&left[..], fields].concat())
}

/// A POST with further fields and this body.
fn post(fields: &[Field], body: &str) -> Vec<u8> {
    [http2(&[&POST, fields].concat(), 0), frame(DATA, END, 1, body.as_bytes())].concat()
}

/// A POST with further fields, a body of three bytes and these trailers.
fn trailed(fields: &[Field], trailers: &[Field]) -> Vec<u8> {
    let opening = http2(&[&POST, fields].concat(), 0);
    [opening, frame(DATA, 0, 1, b"abc"), head(trailers, END, 1)].concat()
}

#[rustfmt::skip]
fn fields() -> Vec<Row> {
    vec![
        Row("a sound request", with(&[]), As(SOUND)),
        // Fields of a connection (RFC 9113, 8.2.2).
        Row("connection", with(&[("connection", "close")]), Reset),
        Row("keep-alive", with(&[("keep-alive", "timeout=5")]), Reset),
        Row("proxy-connection", with(&[("proxy-connection", "close")]), Reset),
        Row("upgrade", with(&[("upgrade", "x")]), Reset),
        Row("transfer-encoding", post(&[("transfer-encoding", "chunked")], "0\r\n\r\n"), Reset),
        Row("a length and transfer-encoding", post(&[LENGTH, ("transfer-encoding", "chunked")], "abc"), Reset),
        Row("te", with(&[("te", "gzip")]), Reset),
        Row("te of trailers and more", with(&[("te", "trailers, gzip")]), Reset),
        Row("te of trailers", with(&[("te", "trailers")]),
            As("GET / HTTP/1.1\r\nHost: a\r\nte: trailers\r\nConnection: TE\r\n\r\n")),
        // Values (RFC 9113, 8.2.1): an endpoint would trim them.
        Row("a blank before a value", with(&[("x", " a")]), Answered(400)),
        Row("a tab after a value", with(&[("x", "a\t")]), Answered(400)),
        // Names (RFC 9113, 8.2.1).
        Row("upper case", with(&[("X-Upper", "1")]), Ended),
        Row("upper case in a pseudo-header", without(":path", &[(":Path", "/")]), Ended),
        Row("an empty name", with(&[("", "1")]), Ended),
        Row("a name with a blank", with(&[("x y", "1")]), Ended),
        Row("a name with a blank at its end", with(&[("x ", "1")]), Ended),
        Row("a name with a colon", with(&[("x:y", "1")]), Ended),
        Row("a name with a NUL", with(&[("x\0", "1")]), Ended),
        Row("a name with CR and LF", with(&[("x: 1\r\ny", "1")]), Ended),
        Row("a name beyond ASCII", with(&[("x\u{e9}", "1")]), Ended),
        // Values.
        Row("CR in a value", with(&[("x", "1\r2")]), Ended),
        Row("LF in a value", with(&[("x", "1\n2")]), Ended),
        Row("CR and LF in a value", with(&[("x", "1\r\nHost: b")]), Ended),
        Row("a request in a value", with(&[("x", "1\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")]), Ended),
        Row("a NUL in a value", with(&[("x", "1\x002")]), Ended),
        Row("a control character in a value", with(&[("x", "1\x012")]), Ended),
        Row("a DEL in a value", with(&[("x", "1\x7f2")]), Ended),
        Row("a tab in a value, and one beyond ASCII", with(&[("x", "1\t2"), ("x", "\u{e9}")]),
            As("GET / HTTP/1.1\r\nx: 1\t2\r\nx: \u{e9}\r\nHost: a\r\n\r\n")),
        Row("cookies in crumbs", with(&[("cookie", "a=1"), ("cookie", "b=2")]),
            As("GET / HTTP/1.1\r\ncookie: a=1; b=2\r\nHost: a\r\n\r\n")),
    ]
}

#[rustfmt::skip]
fn pseudo_headers() -> Vec<Row> {
    vec![
        Row("another order", just(&[GET[3], GET[2], GET[1], GET[0]]), As(SOUND)),
        Row("after a field", without(":path", &[("x", "1"), (":path", "/")]), Reset),
        Row("after all fields", without(":authority", &[("x", "1"), (":authority", "a")]), Reset),
        Row(":method twice", with(&[(":method", "GET")]), Reset),
        Row(":scheme twice", with(&[(":scheme", "http")]), Reset),
        Row(":path twice", with(&[(":path", "/smuggled")]), Reset),
        Row(":authority twice", with(&[(":authority", "a")]), Reset),
        Row(":status", with(&[(":status", "200")]), Reset),
        Row(":protocol", with(&[(":protocol", "websocket")]), Reset),
        Row("an unknown one", with(&[(":x", "1")]), Ended),
        Row("no :method", without(":method", &[]), Reset),
        Row("no :scheme", without(":scheme", &[]), Reset),
        Row("no :path", without(":path", &[]), Reset),
        Row("a CONNECT with :protocol",
            without(":method", &[(":method", "CONNECT"), (":protocol", "websocket")]), Reset),
        Row("an empty method", but(":method", ""), Ended),
        Row("a method with a blank", but(":method", "GET /smuggled"), Ended),
        Row("a method with CR and LF", but(":method", "GET / HTTP/1.1\r\nHost: b\r\n\r\nGET"), Ended),
        Row("a method in lower case", but(":method", "get"), As("get / HTTP/1.1\r\nHost: a\r\n\r\n")),
        Row("a scheme with CR and LF", but(":scheme", "http\r\nx: 1"), Reset),
        Row("a scheme with a host", but(":scheme", "http://b/?"), Reset),
        Row("the other scheme", but(":scheme", "https"), As(SOUND)),
    ]
}

#[rustfmt::skip]
fn paths() -> Vec<Row> {
    vec![
        Row("an empty path", but(":path", ""), Reset),
        Row("a relative path", but(":path", "a"), Reset),
        Row("a query alone", but(":path", "?x"), Answered(400)),
        Row("absolute form", but(":path", "http://b/"), Reset),
        Row("the asterisk", but(":path", "*"), Answered(400)),
        Row("the asterisk of OPTIONS",
            just(&[(":method", "OPTIONS"), GET[1], (":path", "*"), GET[3]]), Answered(204)),
        Row("a blank", but(":path", "/a b"), Reset),
        Row("a tab", but(":path", "/a\tb"), Reset),
        Row("CR and LF", but(":path", "/ HTTP/1.1\r\nHost: b\r\n\r\nGET /smuggled"), Reset),
        Row("a NUL", but(":path", "/a\0"), Reset),
        Row("a DEL", but(":path", "/a\x7f"), Reset),
        Row("angle brackets", but(":path", "/<a>"), Reset),
        Row("a quote in the query", but(":path", "/?\"a\""), Reset),
        Row("beyond ASCII", but(":path", "/caf\u{e9}"), Answered(400)),
        Row("a query beyond ASCII", but(":path", "/?caf\u{e9}"), Answered(400)),
        Row("an escape of no digits", but(":path", "/%zz"), Answered(400)),
        Row("an escaped NUL", but(":path", "/%00"), Answered(400)),
        Row("a fragment", but(":path", "/a#b"), As("GET /a HTTP/1.1\r\nHost: a\r\n\r\n")),
        Row("another host in the path", but(":path", "//b/http://b/"),
            As("GET //b/http://b/ HTTP/1.1\r\nHost: a\r\n\r\n")),
    ]
}

#[rustfmt::skip]
fn authorities() -> Vec<Row> {
    vec![
        Row("host and :authority", with(&[("host", "a")]), As(SOUND)),
        Row("host alone", without(":authority", &[("host", "a")]), As(SOUND)),
        Row("neither", without(":authority", &[]), Answered(400)),
        Row("another host", with(&[("host", "b")]), Answered(400)),
        Row("another port", with(&[("host", "a:80")]), Answered(400)),
        Row("host twice", with(&[("host", "a"), ("host", "a")]), Answered(400)),
        Row("two hosts", with(&[("host", "a"), ("host", "b")]), Answered(400)),
        Row("two hosts alone", without(":authority", &[("host", "a"), ("host", "b")]), Answered(400)),
        Row("host alone, with a user", without(":authority", &[("host", "me@a")]), Answered(400)),
        Row("host alone, with a path", without(":authority", &[("host", "a/b")]), Answered(400)),
        Row("an empty :authority", but(":authority", ""), Reset),
        Row("an empty :authority and host", 
            just(&[GET[0], GET[1], GET[2], (":authority", ""), ("host", "a")]), Reset),
        Row("a user", but(":authority", "me@a"), Answered(400)),
        Row("a path", but(":authority", "a/b"), Reset),
        Row("a blank", but(":authority", "a b"), Reset),
        Row("CR and LF", but(":authority", "a\r\nx: 1"), Reset),
        Row("a port that is no number", but(":authority", "a:b"), Answered(400)),
        Row("a port that is too large", but(":authority", "a:99999"), Answered(400)),
    ]
}

#[rustfmt::skip]
fn bodies() -> Vec<Row> {
    vec![
        Row("a length", post(&[LENGTH], "abc"), As("POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: a\r\n\r\nabc")),
        Row("no length", post(&[], "abc"), As(THREE)),
        Row("no length in a GET", [http2(&GET, 0), frame(DATA, END, 1, b"abc")].concat(),
            As("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")),
        Row("more than the length", post(&[LENGTH], "abcd"),
            Cut("POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: a\r\n\r\n")),
        Row("less than the length", post(&[LENGTH], "ab"),
            Cut("POST / HTTP/1.1\r\nContent-Length: 3\r\nHost: a\r\n\r\n")),
        Row("nothing of the length", http2(&[&POST[..], &[LENGTH]].concat(), END), Reset),
        Row("less than the length, and trailers", trailed(&[("content-length", "5")], &[("x", "1")]),
            Cut("POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\n")),
        Row("a length twice", post(&[LENGTH, LENGTH], "abc"), Answered(400)),
        Row("two lengths", post(&[LENGTH, ("content-length", "4")], "abc"), Reset),
        Row("a list of lengths", post(&[("content-length", "3, 3")], "abc"), Reset),
        Row("a length with a plus", post(&[("content-length", "+3")], "abc"), Reset),
        Row("a length below nothing", post(&[("content-length", "-1")], "abc"), Reset),
        Row("a length in hexadecimal", post(&[("content-length", "0x3")], "abc"), Reset),
        Row("a length and a blank", post(&[("content-length", "3 ")], "abc"), Reset),
        Row("an empty length", post(&[("content-length", "")], "abc"), Rejected),
        Row("a length beyond 64 bits", post(&[("content-length", "18446744073709551619")], "abc"), Reset),
        Row("trailers", trailed(&[], &[("x", "1")]), As(THREE)),
        Row("trailers about framing", trailed(&[], &[("content-length", "9")]), As(THREE)),
        Row("trailers with a pseudo-header", trailed(&[], &[(":path", "/smuggled")]), As(THREE)),
        Row("trailers about the connection", trailed(&[], &[("connection", "close")]), Cut(CHUNKED)),
        Row("trailers that are not the end", [http2(&POST, 0), head(&[("x", "1")], 0, 1)].concat(), Cut(CHUNKED)),
    ]
}

#[tokio::test]
async fn fields_of_http_2() {
    judge(&fields()).await;
}

#[tokio::test]
async fn pseudo_headers_of_http_2() {
    judge(&pseudo_headers()).await;
}

#[tokio::test]
async fn paths_of_http_2() {
    judge(&paths()).await;
}

#[tokio::test]
async fn authorities_of_http_2() {
    judge(&authorities()).await;
}

#[tokio::test]
async fn bodies_of_http_2() {
    judge(&bodies()).await;
}

#[tokio::test]
async fn a_body_whose_trailers_end_the_connection_has_no_end() {
    let endpoint = Endpoint::start().await;
    let edge = before(&endpoint).await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        for trailers in [("X", "1"), ("x y", "1"), ("x", "1\r\ny: 2"), ("x", "1\x002")] {
            let name = format!("{trailers:?}");
            let mut raw = client.clone().h2().raw().await;
            raw.write([http2(&POST, 0), frame(DATA, 0, 1, b"abc")].concat()).await;
            let begun = endpoint.begins(&name, &[CHUNKED, "3\r\nabc\r\n"].concat()).await;
            raw.write(head(&[trailers], END, 1)).await;
            assert_eq!(outcome(&mut raw, 1).await, Outcome::Ended(PROTOCOL_ERROR), "{name}");
            begun.ends(&name).await;
        }
    }
}

/// Every row in clear text and over TLS; in the end the metrics know of every refused request.
async fn judge(table: &[Row]) {
    let endpoint = Endpoint::start().await;
    let edge = before(&endpoint).await;
    let mut refused = 0;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let client = client.h2();
        for Row(name, sent, verdict) in table {
            row(&client, &endpoint, name, sent, *verdict).await;
            refused += usize::from(matches!(verdict, Answered(400) | Rejected));
        }
        // What no row has taken from the endpoint would come first.
        let mut sound = client.raw().await;
        sound.write(just(&GET)).await;
        endpoint.gets("a sound request after all others", SOUND).await;
        assert_eq!(outcome(&mut sound, 1).await, Outcome::Answered(200));
    }
    assert_eq!(counted(&edge, "bad_request").await, refused as f64);
}

/// Sends a row; a connection that lives then serves another stream as ever.
async fn row(client: &Client, endpoint: &Endpoint, name: &str, sent: &[u8], verdict: Verdict) {
    // Shown if the row fails.
    println!("{name}: {}", sent.escape_ascii());
    let mut raw = client.raw().await;
    raw.write(sent).await;
    if let As(expected) = verdict {
        endpoint.gets(name, expected).await;
    }
    let expected = match verdict {
        Answered(status) => Outcome::Answered(status),
        As(_) => Outcome::Answered(200),
        Rejected | Reset | Cut(_) => Outcome::Reset(PROTOCOL_ERROR),
        Ended => Outcome::Ended(PROTOCOL_ERROR),
    };
    assert_eq!(outcome(&mut raw, 1).await, expected, "{name}");
    if let Cut(expected) = verdict {
        endpoint.gets_only(name, expected).await;
    }
    if let Ended = verdict {
        raw.closed().await;
        return;
    }
    let next = [GET[0], GET[1], (":path", "/next"), GET[3]];
    raw.write(head(&next, END, 3)).await;
    endpoint.gets(name, NEXT).await;
    assert_eq!(outcome(&mut raw, 3).await, Outcome::Answered(200), "{name}");
}

/// What becomes of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Answered(u16),
    Reset(u32),
    Ended(u32),
}

async fn outcome(raw: &mut Raw, stream: u32) -> Outcome {
    loop {
        let frame = Frame::read(raw).await;
        match frame.kind {
            HEADERS if frame.stream == stream => return Outcome::Answered(status(&frame.payload)),
            RESET if frame.stream == stream => return Outcome::Reset(frame.code()),
            GOAWAY => return Outcome::Ended(frame.code()),
            _ => {}
        }
    }
}

/// The status that leads a head, if it is one of the static table (RFC 7541, A).
fn status(head: &[u8]) -> u16 {
    match head[0] & 0x7f {
        8 => 200,
        9 => 204,
        12 => 400,
        other => panic!("a head that begins with the entry {other}"),
    }
}
