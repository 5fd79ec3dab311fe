//! `http`: an endpoint is well if it answers a request as it should.

use super::config::Fault;
use super::probe::{connect, speaks_h2};
use super::{Failure, StatusRange, h2};
use crate::upstream::config::Host;
use crate::value::{FieldName, Method, OneOrMany, Problem, word};
use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::uri::PathAndQuery;
use indexmap::IndexMap;
use pingora::http::RequestHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use schemars::JsonSchema;
use serde::Deserialize;
use std::str::FromStr;

/// How much of a body is read.
const LONGEST: usize = 64 * 1024;

/// What is asked by HTTP, and which answer is a good one. The version is that of the upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "http-check")]
pub struct Config {
    /// The method. Default: `GET`.
    pub method: Method,
    /// The path, with a query if it needs one. Default: `/`.
    pub path: Path,
    /// The `Host` that is sent. Default: `endpoint`, its name or address.
    pub host: Host,
    /// Further header fields.
    #[schemars(extend("propertyNames" = { "format": "field-name" }))]
    pub headers: IndexMap<FieldName, String>,
    /// The statuses of a good answer: `200`, or `[200, 300-399]`. Default: `200-399`.
    pub expect: OneOrMany<StatusRange>,
    /// What the body of a good answer holds, in its first 64 KiB. Default: anything.
    pub body: Option<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            method: Method(::http::Method::GET),
            path: Path(PathAndQuery::from_static("/")),
            host: Host::Endpoint,
            headers: IndexMap::new(),
            expect: OneOrMany(vec![StatusRange::GOOD]),
            body: None,
        }
    }
}

/// What is asked for: a path, perhaps with a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(PathAndQuery);

word!(Path, "check-path", "What is asked for, such as `/healthz` or `/status?deep=1`.");

impl FromStr for Path {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let bad = |remedy: &str| Err(Problem::new(format!("`{text}` cannot be asked for"), remedy));
        if !text.starts_with('/') {
            return bad("begin with `/`, as in `/healthz`");
        }
        if text.contains('#') {
            return bad("leave out `#` and what follows, which is never sent");
        }
        match text.parse() {
            Ok(path) if text.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(Self(path)),
            _ => bad("percent-encode what no URL can hold"),
        }
    }
}

/// What is asked, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    method: ::http::Method,
    path: PathAndQuery,
    /// In the place of the endpoint's own.
    host: Option<HeaderValue>,
    headers: HeaderMap,
    expect: Vec<StatusRange>,
    body: Option<Box<[u8]>>,
    /// Whether the answer is read to its end, though nothing is looked for.
    is_to_the_end: bool,
}

/// The fields that are not the operator's to set.
static OURS: [HeaderName; 7] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

impl Config {
    pub(super) fn of(path: &Path) -> Self {
        Self { path: path.clone(), ..Self::default() }
    }

    pub(super) fn compile(&self) -> Result<Check, Fault> {
        let method = self.method.0.clone();
        if [::http::Method::CONNECT, ::http::Method::TRACE].contains(&method) {
            let what = format!("`{method}` says nothing of an endpoint's health");
            return Err(Fault::new(&["http", "method"], &what, "write `GET` or `HEAD`"));
        }
        let host = match &self.host {
            Host::Endpoint => None,
            Host::Name(name) => Some(name.clone()),
            Host::Client => {
                let what = "a check has no client whose `Host` could be sent";
                return Err(Fault::new(&["http", "host"], what, "write `endpoint` or a name"));
            }
        };
        if let Some(body) = &self.body {
            let (what, remedy) = if body.is_empty() {
                ("every body holds nothing", "write what a good one holds, or remove it")
            } else if body.len() > LONGEST {
                ("only the first 64 KiB of a body are read", "write a shorter text")
            } else if method == ::http::Method::HEAD {
                ("an answer to HEAD has no body", "write `method: GET`, or remove `body`")
            } else {
                ("", "")
            };
            if !what.is_empty() {
                return Err(Fault::new(&["http", "body"], what, remedy));
            }
        }
        let headers = self.headers()?;
        let body = self.body.as_ref().map(|body| body.as_bytes().into());
        let (path, expect) = (self.path.0.clone(), self.expect.0.clone());
        Ok(Check { method, path, host, headers, expect, body, is_to_the_end: false })
    }

    fn headers(&self) -> Result<HeaderMap, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static("falconer-health-check"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        for (FieldName(name), value) in &self.headers {
            let bad = |what: &str, remedy| {
                Err(Fault::new(&["http", "headers"], &format!("`{name}` {what}"), remedy))
            };
            if name == header::HOST {
                return bad("is no field like others", "write `host: ...` beside `headers`");
            }
            if OURS.contains(name) {
                return bad("is set by the edge itself", "remove it");
            }
            let Ok(value) = HeaderValue::from_str(value) else {
                return bad("has a value that cannot be sent", "leave control characters out");
            };
            headers.insert(name.clone(), value);
        }
        Ok(headers)
    }
}

/// Asks, in the version that requests go by.
pub(super) async fn ask(
    check: &Check,
    peer: &HttpPeer,
    authority: &HeaderValue,
) -> Result<(), Failure> {
    let host = check.host.as_ref().unwrap_or(authority);
    let stream = connect(peer).await?;
    if speaks_h2(&stream, peer) {
        by_h2(check, stream, peer, host).await
    } else {
        by_h1(check, stream, host).await
    }
}

async fn by_h1(check: &Check, stream: Stream, host: &HeaderValue) -> Result<(), Failure> {
    let path = check.path.as_str().as_bytes();
    let mut head = RequestHeader::build(check.method.clone(), path, Some(8))?;
    head.insert_header("Host", host)?;
    for (name, value) in &check.headers {
        head.insert_header(name.clone(), value)?;
    }
    head.insert_header("Connection", "close")?;
    if !check.method.is_safe() {
        // Some servers want to be told that there is no body.
        head.insert_header("Content-Length", "0")?;
    }
    let mut session = HttpSession::new(stream);
    session.write_request_header(Box::new(head)).await?;
    let status = loop {
        session.read_response().await?;
        match session.get_status().map_or(0, |status| status.as_u16()) {
            100..=199 => {}
            status => break status,
        }
    };
    check.judge(status)?;
    let Some(mut search) = check.search() else {
        while check.is_to_the_end && session.read_body_ref().await?.is_some() {}
        return Ok(());
    };
    while let Some(piece) = session.read_body_ref().await? {
        if search.finds(piece) {
            return Ok(());
        }
        if search.is_over() {
            break;
        }
    }
    Err(search.failed())
}

async fn by_h2(
    check: &Check,
    stream: Stream,
    peer: &HttpPeer,
    host: &HeaderValue,
) -> Result<(), Failure> {
    let mut request = h2::request(&check.method, &check.path, peer, host)?;
    request.headers_mut().extend(check.headers.clone());
    let (sender, conversation) = h2::open(stream).await?;
    let exchange = async move {
        let (answer, _) = sender.ready().await?.send_request(request, true)?;
        let (head, mut body) = answer.await?.into_parts();
        check.judge(head.status.as_u16())?;
        let mut search = check.search();
        if search.is_none() && !check.is_to_the_end {
            return Ok(());
        }
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            let Some(search) = &mut search else { continue };
            if search.finds(&piece) {
                return Ok(());
            }
            if search.is_over() {
                break;
            }
        }
        search.map_or(Ok(()), |search| Err(search.failed()))
    };
    conversation.through(exchange).await
}

impl Check {
    /// The same, with an answer that is read to its end.
    pub(super) fn whole(self) -> Self {
        Self { is_to_the_end: true, ..self }
    }

    fn judge(&self, status: u16) -> Result<(), Failure> {
        match self.expect.iter().any(|range| range.holds(status)) {
            true => Ok(()),
            false => Err(Failure(format!("it answered with {status}"))),
        }
    }

    fn search(&self) -> Option<Search<'_>> {
        self.body.as_ref().map(|text| Search { text, seen: Vec::new() })
    }
}

/// Looks for a text in what comes piece by piece.
struct Search<'a> {
    text: &'a [u8],
    seen: Vec<u8>,
}

impl Search<'_> {
    /// Whether it is there, after this piece.
    fn finds(&mut self, piece: &[u8]) -> bool {
        let room = LONGEST.saturating_sub(self.seen.len());
        // Its beginning may have come already.
        let from = self.seen.len().saturating_sub(self.text.len());
        self.seen.extend_from_slice(piece.get(..room).unwrap_or(piece));
        let new = self.seen.get(from..).unwrap_or_default();
        new.windows(self.text.len()).any(|window| window == self.text)
    }

    /// Whether nothing more is read.
    fn is_over(&self) -> bool {
        self.seen.len() >= LONGEST
    }

    fn failed(&self) -> Failure {
        Failure(format!("the {} bytes of its body lack what is expected", self.seen.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn compile(config: Value) -> Result<Check, Fault> {
        serde_json::from_value::<Config>(config).unwrap().compile()
    }

    #[test]
    fn without_settings_the_root_is_asked_for_and_no_failure_is_good() {
        let check = compile(json!({})).unwrap();
        assert_eq!((check.method.as_str(), check.path.as_str()), ("GET", "/"));
        assert_eq!((check.host.as_ref(), check.body.is_none()), (None, true));
        let good = [199, 200, 204, 399, 400, 503].map(|status| check.judge(status).is_ok());
        assert_eq!(good, [false, true, true, true, false, false]);
    }

    #[test]
    fn expected_statuses_are_one_range_or_several() {
        let check = compile(json!({ "expect": ["200", "300-399"] })).unwrap();
        let good = [200, 201, 302, 404].map(|status| check.judge(status).is_ok());
        assert_eq!(good, [true, false, true, false]);
        let check = compile(json!({ "expect": "401" })).unwrap();
        assert_eq!(check.judge(401), Ok(()));
        assert_eq!(check.judge(200), Err(Failure("it answered with 200".into())));
    }

    #[test]
    fn what_cannot_be_asked_is_found_at_its_place() {
        let long = "x".repeat(LONGEST + 1);
        for (config, key, what) in [
            (json!({ "method": "CONNECT" }), "method", "says nothing of an endpoint's health"),
            (json!({ "host": "client" }), "host", "a check has no client"),
            (json!({ "body": "" }), "body", "every body holds nothing"),
            (json!({ "body": long }), "body", "only the first 64 KiB"),
            (json!({ "body": "ok", "method": "HEAD" }), "body", "an answer to HEAD has no body"),
            (json!({ "headers": { "Host": "a" } }), "headers", "`host` is no field like others"),
            (json!({ "headers": { "Connection": "close" } }), "headers", "set by the edge itself"),
            (json!({ "headers": { "x-a": "a\nb" } }), "headers", "`x-a` has a value that cannot"),
        ] {
            let fault = compile(config).unwrap_err();
            assert_eq!(fault.at, ["http", key]);
            assert!(fault.problem.what.contains(what), "{}", fault.problem);
        }
    }

    #[test]
    fn fields_of_the_operator_replace_ours() {
        let headers = json!({ "User-Agent": "probe", "x-token": "1" });
        let check = compile(json!({ "headers": headers })).unwrap();
        let sent = |name: &str| check.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!((sent("user-agent"), sent("x-token")), (Some("probe"), Some("1")));
        assert_eq!(sent("accept"), Some("*/*"));
    }

    #[test]
    fn a_path_may_have_a_query_and_nothing_that_no_url_holds() {
        for text in ["/", "/healthz", "/a%20b?deep=1&x=%2F", "//a"] {
            assert_eq!(text.parse::<Path>().unwrap().0.as_str(), text);
        }
        let remedy = |text: &str| text.parse::<Path>().unwrap_err().remedy;
        assert_eq!(remedy("healthz"), "begin with `/`, as in `/healthz`");
        assert_eq!(remedy(""), "begin with `/`, as in `/healthz`");
        assert_eq!(remedy("/a#b"), "leave out `#` and what follows, which is never sent");
        for text in ["/a b", "/caf\u{e9}", "/a\nb", "/\u{7f}"] {
            assert_eq!(remedy(text), "percent-encode what no URL can hold", "{text}");
        }
    }

    #[test]
    fn a_text_is_found_however_a_body_is_cut() {
        let body = b"{\"status\": \"up\", \"db\": \"up\"}";
        let finds = |text: &str, size: usize| {
            let mut search = Search { text: text.as_bytes(), seen: Vec::new() };
            body.chunks(size).any(|piece| search.finds(piece))
        };
        for size in 1..=body.len() {
            assert!(finds("\"db\": \"up\"", size), "in pieces of {size}");
            assert!(finds("{", size) && finds("}", size), "in pieces of {size}");
            assert!(!finds("down", size), "in pieces of {size}");
        }
    }

    #[test]
    fn nothing_is_found_beyond_what_is_read() {
        let mut search = Search { text: b"end", seen: Vec::new() };
        assert!(!search.finds(&vec![b'.'; LONGEST - 2]) && !search.is_over());
        assert!(!search.finds(b"end") && search.is_over());
        assert!(!search.finds(b"end"));
        assert_eq!(search.seen.len(), LONGEST);
    }
}
