//! HTTP/1 over raw sockets, in clear text and over TLS.

use self::Verdict::{As, Broken, Last, Refused, Same};
use super::{Endpoint, NEXT, before, counted};
use crate::support::{Client, Edge};

/// A name, what a client sends, and what becomes of it.
type Row = (&'static str, &'static str, Verdict);

#[derive(Clone, Copy)]
enum Verdict {
    /// Answered with this status; no endpoint hears of it, and nothing after it is served.
    Refused(u16),
    /// Chunks that end nowhere: the endpoint gets the head and no end, the client a 400, and
    /// nothing after it is served.
    Broken,
    /// The endpoint gets exactly these bytes.
    Same,
    /// The endpoint gets other bytes.
    As(&'static str),
    /// The endpoint gets these bytes, and the connection ends after the answer.
    Last(&'static str),
}

macro_rules! get {
    ($fields:literal) => {
        concat!("GET / HTTP/1.1\r\n", $fields, "\r\n")
    };
}

macro_rules! post {
    ($fields:literal, $body:literal) => {
        concat!("POST / HTTP/1.1\r\nHost: a\r\n", $fields, "\r\n", $body)
    };
}

macro_rules! chunks {
    ($body:literal) => {
        post!("Transfer-Encoding: chunked\r\n", $body)
    };
}

const CHUNKED: &str = chunks!("");
const THREE: &str = chunks!("3\r\nabc\r\n0\r\n\r\n");

#[rustfmt::skip]
const REQUEST_LINES: &[Row] = &[
    ("HTTP/0.9", "GET /\r\n\r\n", Refused(400)),
    ("HTTP/0.9, and a request behind it", "GET /\r\n", Refused(400)),
    ("HTTP/0.9 with fields", "GET /\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version of 0.9", "GET / HTTP/0.9\r\nHost: a\r\n\r\n", Refused(505)),
    ("a version of 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", Refused(505)),
    ("a version of 2.0", "GET / HTTP/2.0\r\nHost: a\r\n\r\n", Refused(505)),
    ("a version of 3.0", "GET / HTTP/3.0\r\nHost: a\r\n\r\n", Refused(505)),
    ("a version of two digits", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version with a leading zero", "GET / HTTP/01.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version without a dot", "GET / HTTP/11\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version with a comma", "GET / HTTP/1,1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version with more behind it", "GET / HTTP/1.1x\r\nHost: a\r\n\r\n", Refused(400)),
    ("a version in lower case", "GET / http/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("another protocol", "GET / HTTPS/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("no target", "GET HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("no method", "/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("two targets", "GET / /b HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("two blanks", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a blank before the method", " GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a blank after the version", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n", Refused(400)),
    ("a tab for a blank", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a vertical tab for a blank", "GET\x0b/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a form feed for a blank", "GET\x0c/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a CR for a blank", "GET\r/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a NUL before the method", "\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a NUL in the method", "GE\0T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a TLS hello", "\x16\x03\x01\x02\0\r\n\r\n", Refused(400)),
    ("a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", Same),
    ("a method that nobody knows", "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", Same),
    ("HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\n\r\n", Last("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
];

#[rustfmt::skip]
const LINE_ENDS: &[Row] = &[
    ("LF alone", "GET / HTTP/1.1\nHost: a\n\n", Refused(400)),
    ("LF after the request line", "GET / HTTP/1.1\nHost: a\r\n\r\n", Refused(400)),
    ("LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", Refused(400)),
    ("LF for the last line", "GET / HTTP/1.1\r\nHost: a\r\n\n", Refused(400)),
    ("LF in a value", get!("Host: a\r\nX: 1\nY: 2\r\n"), Refused(400)),
    ("LF before the method", "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("CR alone", "GET / HTTP/1.1\rHost: a\r\r", Refused(400)),
    ("CR after the request line", "GET / HTTP/1.1\rHost: a\r\n\r\n", Refused(400)),
    ("CR twice after the request line", "GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", Refused(400)),
    ("CR in a value", get!("Host: a\r\nX: 1\r2\r\n"), Refused(400)),
    ("CR at the end of a value", get!("Host: a\r\nX: 1\r\r\n"), Refused(400)),
    ("CR twice in the last line", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", Refused(400)),
    ("CR before the method", "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("empty lines before the method", "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        As(get!("Host: a\r\n"))),
];

#[rustfmt::skip]
const TARGETS: &[Row] = &[
    ("absolute form", "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        As("GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("absolute form without a path", "GET http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        As("GET / HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("absolute form with a query alone", "GET HTTP://a?y HTTP/1.1\r\nHost: a\r\n\r\n",
        As("GET /?y HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("absolute form with a port", "GET https://a:80/ HTTP/1.1\r\nHost: a:80\r\n\r\n",
        As("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n")),
    ("absolute form of HTTP/1.0 without Host", "GET http://a/x HTTP/1.0\r\n\r\n",
        Last("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")),
    ("absolute form and another Host", "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("absolute form and another port", "GET http://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("absolute form and an empty Host", "GET http://a/x HTTP/1.1\r\nHost:\r\n\r\n", Refused(400)),
    ("absolute form and no Host", "GET http://a/x HTTP/1.1\r\n\r\n", Refused(400)),
    ("absolute form without a host", "GET http:///x HTTP/1.1\r\nHost:\r\n\r\n", Refused(400)),
    ("absolute form without an authority", "GET http:/x HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("absolute form with a user", "GET http://me@a/x HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("absolute form with a user in both", "GET http://me@a/ HTTP/1.1\r\nHost: me@a\r\n\r\n", Refused(400)),
    ("absolute form with a backslash", "GET http://a\\b/x HTTP/1.1\r\nHost: a\\b\r\n\r\n", Refused(400)),
    ("absolute form with no number for a port", "GET http://a:b/ HTTP/1.1\r\nHost: a:b\r\n\r\n", Refused(400)),
    ("absolute form of another scheme", "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("authority form", "GET a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused(400)),
    ("authority form of CONNECT", "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Refused(405)),
    ("CONNECT with a path", "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Refused(405)),
    ("the asterisk", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("an asterisk after an authority", "OPTIONS http://a* HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a relative path", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a query alone", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a backslash for a slash", "GET \\a HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a fragment", "GET /#top HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("angle brackets in the path", "GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("angle brackets in the query", "GET /?<a> HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a quote in the query", "GET /?\"a\" HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a grave accent in the path", "GET /`a` HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a path beyond ASCII", "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a control character in the path", "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a tab in the path", "GET /\t HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a DEL in the path", "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("a NUL in the path", "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("an escaped NUL", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("an escape of no digits", "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("an escape of one digit", "GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", Refused(400)),
    ("dots, slashes and escapes", "GET /a//b/./c/../%41%2f HTTP/1.1\r\nHost: a\r\n\r\n", Same),
    ("another host in the path", "GET //b/http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Same),
    ("what browsers leave as it is", "GET /\"[]{}|^\\?[]{}|^\\`/? HTTP/1.1\r\nHost: a\r\n\r\n", Same),
];

#[rustfmt::skip]
const HOSTS: &[Row] = &[
    ("no Host", get!(""), Refused(400)),
    ("no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", Last("GET / HTTP/1.1\r\nHost: $endpoint\r\n\r\n")),
    ("an empty Host", get!("Host:\r\n"), As(get!("Host: $endpoint\r\n"))),
    ("Host after the head", "GET / HTTP/1.1\r\n\r\nHost: a\r\n\r\n", Refused(400)),
    ("Host twice", get!("Host: a\r\nHost: a\r\n"), Refused(400)),
    ("two Hosts", get!("Host: a\r\nhOST: b\r\n"), Refused(400)),
    ("an empty Host and another", get!("Host:\r\nHost: a\r\n"), Refused(400)),
    ("a list of hosts", get!("Host: a, b\r\n"), Refused(400)),
    ("a host with a blank", get!("Host: a b\r\n"), Refused(400)),
    ("a host with a tab", get!("Host: a\tb\r\n"), Refused(400)),
    ("a host with a path", get!("Host: a/b\r\n"), Refused(400)),
    ("a host with a query", get!("Host: a?b\r\n"), Refused(400)),
    ("a host with a fragment", get!("Host: a#b\r\n"), Refused(400)),
    ("a host with a scheme", get!("Host: http://a\r\n"), Refused(400)),
    ("a host with a user", get!("Host: me@a\r\n"), Refused(400)),
    ("a host with a backslash", get!("Host: a\\b\r\n"), Refused(400)),
    ("a host in quotes", get!("Host: \"a\"\r\n"), Refused(400)),
    ("a host beyond ASCII", get!("Host: \u{e9}\r\n"), Refused(400)),
    ("a port that is no number", get!("Host: a:port\r\n"), Refused(400)),
    ("a port that is too large", get!("Host: a:99999\r\n"), Refused(400)),
    ("an open bracket", get!("Host: [::1\r\n"), Refused(400)),
    ("an IPv6 address without brackets", get!("Host: ::1\r\n"), Refused(400)),
    ("an IPv6 address", get!("Host: [::1]:80\r\n"), Same),
    ("upper case, a last dot and a port", get!("Host: A.example.:80\r\n"), Same),
    ("blanks around the host", get!("Host: \t a \t \r\n"), As(get!("Host: a\r\n"))),
    ("no blank before the host", get!("host:a\r\n"), As(get!("host: a\r\n"))),
];

#[rustfmt::skip]
const FIELDS: &[Row] = &[
    ("a folded value", get!("Host: a\r\nX: 1\r\n 2\r\n"), Refused(400)),
    ("a value folded with a tab", get!("Host: a\r\nX: 1\r\n\t2\r\n"), Refused(400)),
    ("a fold of nothing", get!("Host: a\r\nX: 1\r\n \r\n"), Refused(400)),
    ("a folded Host", get!("Host:\r\n a\r\n"), Refused(400)),
    ("a first line that is folded", get!(" Host: a\r\n"), Refused(400)),
    ("a folded Transfer-Encoding", post!("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("a folded Content-Length", post!("Content-Length: 3\r\n 0\r\n", "abc"), Refused(400)),
    ("a blank before the colon", get!("Host: a\r\nX : 1\r\n"), Refused(400)),
    ("a tab before the colon", get!("Host: a\r\nX\t: 1\r\n"), Refused(400)),
    ("a blank before the colon of Host", get!("Host : a\r\n"), Refused(400)),
    ("a blank before the colon of Content-Length", post!("Content-Length : 3\r\n", "abc"), Refused(400)),
    ("a blank before the colon of Transfer-Encoding",
        post!("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("no colon", get!("Host: a\r\nX\r\n"), Refused(400)),
    ("no name", get!("Host: a\r\n: x\r\n"), Refused(400)),
    ("a name that is no token", get!("Host: a\r\nX(: 1\r\n"), Refused(400)),
    ("a name in quotes", get!("Host: a\r\n\"X\": 1\r\n"), Refused(400)),
    ("a name beyond ASCII", get!("Host: a\r\nX\u{e9}: 1\r\n"), Refused(400)),
    ("a NUL in a name", get!("Host: a\r\nX\0: 1\r\n"), Refused(400)),
    ("a NUL before a name", get!("Host: a\r\n\0X: 1\r\n"), Refused(400)),
    ("a NUL in a value", get!("Host: a\r\nX: 1\x002\r\n"), Refused(400)),
    ("a control character in a value", get!("Host: a\r\nX: 1\x012\r\n"), Refused(400)),
    ("a vertical tab in a value", get!("Host: a\r\nX: 1\x0b2\r\n"), Refused(400)),
    ("an escape in a value", get!("Host: a\r\nX: \x1b[0m\r\n"), Refused(400)),
    ("a DEL in a value", get!("Host: a\r\nX: 1\x7f2\r\n"), Refused(400)),
    ("a value of nothing, and one beyond ASCII", get!("Host: a\r\nX:\r\nX: \u{e9}\r\n"),
        As(get!("Host: a\r\nX: \r\nX: \u{e9}\r\n"))),
    ("blanks around a value, and a tab in it", get!("Host: a\r\nX: \t a \t b \t \r\n"),
        As(get!("Host: a\r\nX: a \t b\r\n"))),
];

#[rustfmt::skip]
const LENGTHS: &[Row] = &[
    ("a length", post!("Content-Length: 3\r\n", "abc"), Same),
    ("a length of nothing", post!("Content-Length: 0\r\n", ""), Same),
    ("a length with blanks around it", post!("Content-Length: \t3 \r\n", "abc"),
        As(post!("Content-Length: 3\r\n", "abc"))),
    ("a length with leading zeros", post!("Content-Length: 003\r\n", "abc"), Same),
    ("a length in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        Last(post!("Content-Length: 3\r\n", "abc"))),
    ("a length of a GET", "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Same),
    ("a length of a HEAD", "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc", Same),
    ("a length that Connection names", post!("Connection: Content-Length\r\nContent-Length: 3\r\n", "abc"),
        As(post!("Content-Length: 3\r\n", "abc"))),
    ("two lengths", post!("Content-Length: 1\r\nContent-Length: 2\r\n", "ab"), Refused(400)),
    ("a length twice", post!("Content-Length: 1\r\nContent-Length: 1\r\n", "a"), Refused(400)),
    ("a length and an empty one", post!("Content-Length: 1\r\ncontent-length:\r\n", "a"), Refused(400)),
    ("a list of one length", post!("Content-Length: 1, 1\r\n", "a"), Refused(400)),
    ("a list of two lengths", post!("Content-Length: 1,2\r\n", "ab"), Refused(400)),
    ("a length with a plus", post!("Content-Length: +1\r\n", "a"), Refused(400)),
    ("a length below nothing", post!("Content-Length: -1\r\n", ""), Refused(400)),
    ("a length in hexadecimal", post!("Content-Length: 0x1\r\n", "a"), Refused(400)),
    ("a length in two parts", post!("Content-Length: 1 1\r\n", "a"), Refused(400)),
    ("a length of a half", post!("Content-Length: 1.5\r\n", "a"), Refused(400)),
    ("a length with more behind it", post!("Content-Length: 1;\r\n", "a"), Refused(400)),
    ("a length in quotes", post!("Content-Length: \"1\"\r\n", "a"), Refused(400)),
    ("a length with a NUL", post!("Content-Length: 1\0\r\n", "a"), Refused(400)),
    ("an empty length", post!("Content-Length:\r\n", ""), Refused(400)),
    ("a length beyond 64 bits", post!("Content-Length: 18446744073709551617\r\n", "a"), Refused(400)),
];

#[rustfmt::skip]
const CODINGS: &[Row] = &[
    ("a length and chunks", post!("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("chunks and a length", post!("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), Refused(400)),
    ("a length of nothing and chunks", post!("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("a length and a coding that is no chunks", post!("Content-Length: 3\r\nTransfer-Encoding: x\r\n", "abc"), Refused(400)),
    ("chunks twice", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("chunks and another coding", post!("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"), Refused(400)),
    ("chunks in HTTP/1.0", "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Refused(400)),
    ("a coding after a vertical tab", post!("Transfer-Encoding:\x0bchunked\r\n", "0\r\n\r\n"), Refused(400)),
    ("no coding", post!("Transfer-Encoding:\r\n", "0\r\n\r\n"), Refused(501)),
    ("chunks of gzip", post!("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"), Refused(501)),
    ("gzip of chunks", post!("Transfer-Encoding: chunked, gzip\r\n", ""), Refused(501)),
    ("chunks of chunks", post!("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"), Refused(501)),
    ("chunks and a comma", post!("Transfer-Encoding: chunked,\r\n", "0\r\n\r\n"), Refused(501)),
    ("chunks with a parameter", post!("Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"), Refused(501)),
    ("identity", post!("Transfer-Encoding: identity\r\n", ""), Refused(501)),
    ("something like chunks", post!("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"), Refused(501)),
    ("chunks in quotes", post!("Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"), Refused(501)),
    ("chunks in upper case", post!("transfer-encoding: CHUNKED\r\n", "0\r\n\r\n"), Same),
    ("chunks with blanks around them", post!("Transfer-Encoding: \tchunked \r\n", "0\r\n\r\n"),
        As(chunks!("0\r\n\r\n"))),
    ("chunks that Connection names", post!("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        As(chunks!("0\r\n\r\n"))),
    ("an upgrade with a body", post!("Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 3\r\n", "abc"),
        As(post!("Content-Length: 3\r\nConnection: Upgrade\r\nupgrade: x\r\n", "abc"))),
];

#[rustfmt::skip]
const CHUNKS: &[Row] = &[
    ("a chunk", chunks!("3\r\nabc\r\n0\r\n\r\n"), Same),
    ("chunks of a GET", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", Same),
    ("extensions", chunks!("3;x=y;z\r\nabc\r\n0;x=\"y\"\r\n\r\n"), As(THREE)),
    ("an extension in an open quote", chunks!("3;x=\"\r\nabc\r\n0\r\n\r\n"), As(THREE)),
    ("an extension after a blank", chunks!("3 ;x\r\nabc\r\n0\r\n\r\n"), As(THREE)),
    ("an extension of a NUL", chunks!("3;\0\r\nabc\r\n0\r\n\r\n"), As(THREE)),
    ("blanks after a size", chunks!("3 \t\r\nabc\r\n0\r\n\r\n"), As(THREE)),
    ("leading zeros", chunks!("003\r\nabc\r\n000\r\n\r\n"), As(THREE)),
    ("a size in upper case", chunks!("A\r\n0123456789\r\n0\r\n\r\n"), Same),
    ("trailers", chunks!("3\r\nabc\r\n0\r\nX: 1\r\n\r\n"), As(THREE)),
    ("trailers about framing and host",
        chunks!("3\r\nabc\r\n0\r\nContent-Length: 5\r\nTransfer-Encoding: x\r\nHost: b\r\n\r\n"), As(THREE)),
    ("a request for trailers", chunks!("3\r\nabc\r\n0\r\nGET /b HTTP/1.1\r\nHost: b\r\n\r\n"), As(THREE)),
    ("a size of no digits", chunks!("zz\r\nabc\r\n0\r\n\r\n"), Broken),
    ("an empty size", chunks!("\r\n3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("an extension without a size", chunks!(";x\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size below nothing", chunks!("-3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size with a plus", chunks!("+3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size with a prefix", chunks!("0x3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size with an underscore", chunks!("0_3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size after a blank", chunks!(" 3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size in two parts", chunks!("3 3\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size with a vertical tab", chunks!("3\x0b\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size with a NUL", chunks!("3\0\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size beyond 64 bits", chunks!("10000000000000003\r\nabc\r\n0\r\n\r\n"), Broken),
    ("a size of 64 bits", chunks!("ffffffffffffffff\r\nabc\r\n0\r\n\r\n"), Broken),
    ("more data than the size", chunks!("3\r\nabcd\r\n0\r\n\r\n"), Broken),
    ("less data than the size", chunks!("3\r\nab\r\n0\r\n\r\n"), Broken),
    ("no line end after the data", chunks!("3\r\nabc0\r\n\r\n"), Broken),
    ("two other bytes after the data", chunks!("3\r\nabc--0\r\n\r\n"), Broken),
    ("no last chunk", chunks!("3\r\nabc\r\n\r\n"), Broken),
    ("LF after a size", chunks!("3\nabc\r\n0\r\n\r\n"), Broken),
    ("LF after an extension", chunks!("3;x\nabc\r\n0\r\n\r\n"), Broken),
    ("LF after the data", chunks!("3\r\nabc\n0\r\n\r\n"), Broken),
    ("LF for the last line", chunks!("3\r\nabc\r\n0\r\n\n"), Broken),
    ("LF after a trailer", chunks!("3\r\nabc\r\n0\r\nX: 1\n\r\n"), Broken),
    ("CR after a size", chunks!("3\rabc\r\n0\r\n\r\n"), Broken),
    ("CR in an extension", chunks!("3;x\ry\r\nabc\r\n0\r\n\r\n"), Broken),
    ("CR twice after the data", chunks!("3\r\nabc\r\r\n0\r\n\r\n"), Broken),
    ("CR in a trailer", chunks!("3\r\nabc\r\n0\r\nX: 1\r2\r\n\r\n"), Broken),
];

#[tokio::test]
async fn request_lines() {
    judge(REQUEST_LINES).await;
}

#[tokio::test]
async fn line_ends() {
    judge(LINE_ENDS).await;
}

#[tokio::test]
async fn targets() {
    judge(TARGETS).await;
}

#[tokio::test]
async fn hosts() {
    judge(HOSTS).await;
}

#[tokio::test]
async fn fields() {
    judge(FIELDS).await;
}

#[tokio::test]
async fn lengths() {
    judge(LENGTHS).await;
}

#[tokio::test]
async fn transfer_codings() {
    judge(CODINGS).await;
}

#[tokio::test]
async fn chunks() {
    judge(CHUNKS).await;
}

/// Every row in clear text and over TLS; in the end the access log and the metrics know of every
/// refusal, and of nothing else.
async fn judge(table: &[Row]) {
    let endpoint = Endpoint::start().await;
    let edge = before(&endpoint).await;
    let mut refusals = Vec::new();
    for (listener, client) in [("web", edge.client("web")), ("secure", edge.client("secure").tls())]
    {
        for (name, sent, verdict) in table {
            let name = format!("{name} ({listener})");
            if let Some(status) = row(&client, &endpoint, &name, sent, *verdict).await {
                refusals.push((name, listener, status, cause(status)));
            }
        }
        // What no row has taken from the endpoint would come first.
        let mut sound = client.raw().await;
        sound.write(NEXT).await;
        endpoint.gets("a sound request after all others", NEXT).await;
        assert_eq!(sound.response().await.status, 200);
    }
    told(&edge, &refusals).await;
}

/// Sends a row and a request behind it; gives the status of a refusal.
async fn row(
    client: &Client,
    endpoint: &Endpoint,
    name: &str,
    sent: &str,
    verdict: Verdict,
) -> Option<u16> {
    let expected = match verdict {
        Refused(_) => None,
        Broken => Some(CHUNKED),
        Same => Some(sent),
        As(expected) | Last(expected) => Some(expected),
    };
    // Shown if the row fails.
    println!("{name}: {sent:?}");
    let address = endpoint.address().to_string();
    let expected = expected.unwrap_or_default().replace("$endpoint", &address);
    if let Refused(_) | Broken = verdict {
        let status = if let Refused(status) = verdict { status } else { 400 };
        let response = client.only_answer(sent).await;
        let seen = (response.status, response.header("connection"));
        assert_eq!(seen, (status, Some("close")), "{name}");
        if let Broken = verdict {
            endpoint.gets_only(name, &expected).await;
        }
        return Some(status);
    }
    let mut raw = client.raw().await;
    raw.write([sent, NEXT].concat()).await;
    endpoint.gets(name, &expected).await;
    assert_eq!(raw.response().await.status, 200, "{name}");
    if let Last(_) = verdict {
        raw.ended().await;
        return None;
    }
    endpoint.gets(name, NEXT).await;
    assert_eq!(raw.response().await.status, 200, "{name}");
    None
}

fn cause(status: u16) -> &'static str {
    match status {
        400 => "bad_request",
        405 => "method_not_allowed",
        501 => "coding_not_supported",
        505 => "version_not_supported",
        other => panic!("a status that no row expects: {other}"),
    }
}

/// Insists that these refusals, and no others, are logged in their order and counted.
async fn told(edge: &Edge, refusals: &[(String, &str, u16, &str)]) {
    let failed = |line: &serde_json::Value| !line["cause"].is_null();
    let what = format!("{} refusals", refusals.len());
    let log = edge.access_log_until(&what, |lines| {
        lines.iter().filter(|line| failed(line)).count() >= refusals.len()
    });
    let log: Vec<_> = log.await.into_iter().filter(failed).collect();
    assert_eq!(log.len(), refusals.len(), "nothing else was logged");
    for (line, (name, listener, status, cause)) in log.iter().zip(refusals) {
        let seen = (&line["listener"], &line["status"], &line["cause"]);
        let expected = (&(*listener).into(), &(*status).into(), &(*cause).into());
        assert_eq!(seen, expected, "{name}: {line}");
    }
    for cause in
        ["bad_request", "method_not_allowed", "coding_not_supported", "version_not_supported"]
    {
        let expected = refusals.iter().filter(|(.., of)| *of == cause).count();
        assert_eq!(counted(edge, cause).await, expected as f64, "{cause}");
    }
}
