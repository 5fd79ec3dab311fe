//! Generated requests: `explain` against the wire.

use super::explain_json;
use crate::support::{Certificate, Edge, Origin, Received, Reply, edge, origin};
use fastrand::Rng;
use futures::{StreamExt, stream};
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;

const REQUESTS: usize = 200;
/// Processes at once.
const AT_ONCE: usize = 4;

const DOCUMENT: &str = r#"
    server: {via: edge-1}
    listeners:
      web: {address: "127.0.0.1:0", protocols: [h1, h2]}
      behind:
        address: "127.0.0.1:0"
        trusted_proxies: [127.0.0.2]
        limits: {uri_size: 100, header_count: 9, body_size: 1KiB}
      secure: {address: "127.0.0.1:0", tls: {certificates: [site]}}
      sites: {address: "127.0.0.1:0", trusted_proxies: [127.0.0.0/8], client_address: forwarded}
    certificates: {site: {self_signed: [shop.test]}}
    upstreams:
      plain: {endpoints: [$plain, $plain2]}
      named: {endpoints: [$plain], host: inner.test, forwarded: on}
      own: {endpoints: ["http://localhost:$port"], host: endpoint, balance: {hash: {key: "{client.ip}"}}}
      h2: {endpoints: [$h2], protocol: h2, forwarded: on}
      h2_own: {endpoints: [$h2], protocol: h2, host: endpoint}
      secure: {endpoints: [$tls], protocol: auto, tls: {verify: false}}
    filters:
      - request_id: {}
    routes:
      - {name: exact, match: {host: shop.test, path: /exact}, upstream: plain}
      - name: api
        match: {host: [shop.test, "*.shop.test"], path: /api/*}
        filters:
          - rewrite: {strip_prefix: /api}
          - headers: {request: {set: {x-tenant: "{request.host}"}, remove: [x-drop], rename: {x-old: x-new}}}
        upstream: named
      - name: api-post
        match: {host: shop.test, path: /api/*, method: [POST, PUT]}
        filters: [rewrite: {add_prefix: /v2}]
        upstream: h2
      - name: user
        match: {host: shop.test, path: "/user/{id}/orders"}
        filters: [rewrite: {path: "/orders/{path.id}", query: {set: {from: "{client.ip}"}, remove: [b]}}]
        upstream: own
      - name: user-any
        match: {path: "/user/{id}/{rest*}", listener: [web, behind, secure]}
        filters: [headers: {request: {append: {x-rest: "{path.rest}", accept: "{request.scheme}"}}}]
        upstream: h2_own
      - name: versions
        match: {host: ["*.test"], path: "~ ^/v(?<major>[0-9]+)/"}
        filters: [rewrite: {regex: {pattern: "^/v[0-9]+", replace: "/version"}}]
        upstream: h2
      - name: versions-nine
        match: {host: shop.test, path: "~ ^/v9"}
        upstream: plain
      - name: beta
        match: {host: shop.test, header: {x-beta: "1"}}
        upstream: secure
      - name: signed-in
        match: {host: "*.shop.test", cookie: {sid: "~ ^[a-z]+$"}}
        filters: [request_id: {header: x-trace}]
        upstream: plain
      - {name: seven, match: {client: 127.0.0.7, path: /none/*, listener: [web, behind]}, reply: {status: 203, body: seven}}
      - {name: asked, match: {host: shop.test, query: {a: "1"}}, upstream: own}
      - name: old
        match: {host: ["*.test"], path: "/old/{page}"}
        redirect: {to: "https://{request.host}/new/{path.page}?{request.query}", status: 301}
      - {name: teapot, match: {path: /teapot, listener: [web, secure]}, reply: {status: 418, body: "short\n"}}
      - name: long
        match: {host: shop.test, path: /long/*}
        limits: {uri_size: 300, body_size: off}
        upstream: plain
      - {name: first, priority: 5, match: {host: first.test, path: /exact}, reply: {status: 204}}
      - {name: first-exact, match: {host: first.test, path: /exact, method: GET}, upstream: plain}
      - {name: rest, match: {path: /*, listener: secure}, upstream: named}
      - {name: shop, match: {host: "*.shop.test"}, upstream: plain}
    "#;

/// A request of a client.
#[derive(Debug)]
struct Sent {
    listener: &'static str,
    client: u8,
    is_h2: bool,
    method: &'static str,
    host: &'static str,
    target: String,
    fields: Vec<(&'static str, &'static str)>,
    body: &'static str,
}

const HOSTS: [&str; 9] = [
    "shop.test",
    "shop.test",
    "shop.test",
    "SHOP.Test:8080",
    "a.shop.test",
    "b.a.shop.test",
    "first.test",
    "other.example",
    "[::1]:80",
];
const METHODS: [&str; 8] = ["GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
const PATHS: [&str; 25] = [
    "/exact",
    "/exact",
    "/Exact",
    "/api",
    "/api/",
    "/api/x%2Fy",
    "/api/./a/../%7Eb",
    "/api/caf%c3%a9",
    "/apis",
    "/x/../exact",
    "/user/7/orders",
    "/user/%61/orders",
    "/user/a%20b/orders/9//",
    "/user//orders",
    "/v1/x",
    "/v22/%2e/x?y",
    "/v9",
    "/old/p%20q",
    "/old/p",
    "/teapot",
    "/none/x",
    "/none/y",
    "//double",
    "/",
    "/a/b;c=d",
];
const QUERIES: [&str; 7] = ["", "", "", "?a=1", "?a=%31&b=x+y", "?", "?b=2&a=1&a=3&c"];
const FIELDS: [&[(&str, &str)]; 19] = [
    &[("Via", "1.1 other, 1.1 edge-1")],
    &[("Via", "1.0 other")],
    &[("X-Beta", "1")],
    &[("x-beta", "2")],
    &[("Cookie", "theme=dark; sid=abc")],
    &[("cookie", "sid=abc"), ("cookie", "b=2")],
    &[("User-Agent", "explained/1.0")],
    &[("Accept", "text/html")],
    &[("X-Forwarded-For", "203.0.113.9")],
    &[("x-forwarded-for", "203.0.113.9, 127.0.0.7"), ("X-Forwarded-Proto", "https")],
    &[("X-Forwarded-Host", "outer.test"), ("X-Forwarded-Prefix", "/outer")],
    &[("Forwarded", "for=203.0.113.8;host=outer.test")],
    &[("X_Forwarded_For", "203.0.113.9"), ("X-Real-IP", "203.0.113.9")],
    &[("X-Request-Id", "given-123")],
    &[("x-drop", "1"), ("X-Old", "2"), ("x-old", "3")],
    &[("Content-Length", "2000")],
    &[("Empty", "")],
    &[("X-A", "1"), ("X-A", "2"), ("x-a", "3")],
    &[("Authorization", "Basic Zm9vOmJhcg==")],
];
/// What only HTTP/1 can say.
const FIELDS_OF_H1: [&[(&str, &str)]; 9] = [
    &[("Connection", "keep-alive, X-Hop"), ("X-Hop", "1")],
    &[("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
    &[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AA")],
    &[("Upgrade", "websocket")],
    &[("TE", "gzip, trailers"), ("Connection", "TE")],
    &[("Connection", "close")],
    &[("Keep-Alive", "timeout=5"), ("Proxy-Connection", "x")],
    &[("Transfer-Encoding", "gzip")],
    &[("Bad Name", "1")],
];
/// What no route is asked for.
const ODD: [(&str, &str); 6] = [
    ("TRACE", "/exact"),
    ("CONNECT", "/exact"),
    ("GET", "/%zz"),
    ("GET", "/a<b"),
    ("GET", "/%00"),
    ("G@T", "/exact"),
];

fn one<T: Copy>(random: &mut Rng, all: &[T]) -> T {
    all[random.usize(..all.len())]
}

fn generate(random: &mut Rng) -> Sent {
    let listener = one(random, &["web", "web", "behind", "secure", "sites"]);
    let is_h2 = matches!(listener, "web" | "secure") && random.u8(..3) == 0;
    let mut sent = Sent {
        listener,
        client: one(random, &[1, 2, 2, 7]),
        is_h2,
        method: one(random, &METHODS),
        host: one(random, &HOSTS),
        target: one(random, &PATHS).to_owned() + one(random, &QUERIES),
        fields: Vec::new(),
        body: "",
    };
    for _ in 0..random.usize(..4) {
        sent.fields.extend(one(random, &FIELDS));
    }
    if !is_h2 && random.u8(..3) == 0 {
        sent.fields.extend(one(random, &FIELDS_OF_H1));
    }
    // The protocol library resets a stream that ends before its length, and tells nobody.
    sent.fields.retain(|(name, _)| !is_h2 || *name != "Content-Length");
    match random.u8(..20) {
        0 if !is_h2 => {
            let (method, target) = one(random, &ODD);
            (sent.method, sent.target) = (method, target.to_owned());
        }
        1 => sent.target = format!("/long/{}", "x".repeat(random.usize(50..400))),
        2 if !is_h2 => sent.host = one(random, &["me@shop.test", "a b", ""]),
        3..=5 if sent.method == "POST" && !is_h2 => {
            let (name, value, body) = one(
                random,
                &[
                    ("Content-Length", "4", "body"),
                    ("content-length", "0", ""),
                    ("Transfer-Encoding", "chunked", "4\r\nbody\r\n0\r\n\r\n"),
                ],
            );
            sent.fields.push((name, value));
            sent.body = body;
        }
        _ => {}
    }
    sent
}

impl Sent {
    fn arguments(&self) -> Vec<String> {
        let scheme = if self.listener == "secure" { "https" } else { "http" };
        let url = format!("{scheme}://url.test{}", self.target);
        let mut arguments = vec![self.method.to_owned(), url];
        let client = format!("127.0.0.{}", self.client);
        let options = [("--listener", self.listener), ("--client", &client)];
        arguments
            .extend(options.iter().flat_map(|(name, value)| [*name, *value]).map(str::to_owned));
        arguments.extend(["-H".into(), format!("Host: {}", self.host)]);
        for (name, value) in &self.fields {
            arguments.extend(["-H".into(), format!("{name}: {value}")]);
        }
        arguments.extend(self.is_h2.then(|| "--http2".into()));
        arguments
    }

    /// Sends it over the wire; what comes back is in the log.
    async fn send(&self, edge: &Edge) {
        let client = edge.client(self.listener).from([127, 0, 0, self.client]);
        let client = if self.listener == "secure" { client.sni("shop.test") } else { client };
        if self.is_h2 {
            let request = client.h2().request(self.method, &self.target).host(self.host);
            let fields = self.fields.iter();
            let request = fields.fold(request, |request, (name, value)| {
                request.header(&name.to_ascii_lowercase(), value)
            });
            // A length without its body is broken off by whoever finds out.
            let _ = request.try_send().await;
            return;
        }
        let mut head =
            format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        let mut raw = client.raw().await;
        raw.write(format!("{head}\r\n{}", self.body)).await;
        if self.is_whole() {
            raw.response_to(self.method).await;
        }
        raw.finish().await;
    }

    /// Whether the body that is announced is sent too.
    fn is_whole(&self) -> bool {
        let length =
            self.fields.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length.is_none_or(|(_, length)| *length == self.body.len().to_string())
    }
}

/// The lines of a head, as `explain` shows them.
fn lines(request: &Received) -> Vec<String> {
    if request.version != "HTTP/2.0" {
        let raw = String::from_utf8_lossy(&request.raw);
        return raw.trim_end().split("\r\n").map(str::to_owned).collect();
    }
    let pseudo = [
        (":method", Some(request.method.clone())),
        (":scheme", request.scheme.clone()),
        (":authority", request.authority.clone()),
        (":path", Some(request.target.clone())),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?)));
    let fields = request.headers.0.iter().map(|(name, value)| format!("{name}: {value}"));
    pseudo.chain(fields).collect()
}

fn masked(lines: impl Iterator<Item = String>) -> Vec<String> {
    let id = Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
    lines.map(|line| id.replace_all(&line, "ID").trim_end().to_owned()).collect()
}

/// What one request comes to: the route, the status and the cause if the edge answers by itself,
/// and the head that an endpoint gets.
#[derive(Debug, PartialEq, Eq)]
struct Fate {
    route: Option<String>,
    reply: Option<(u64, Option<String>)>,
    head: Option<Vec<String>>,
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn explained(explained: &Value) -> Fate {
    let reply = &explained["reply"];
    let head = explained["sent"].as_array();
    Fate {
        route: text(&explained["route"]["name"]),
        reply: reply["status"].as_u64().map(|status| (status, text(&reply["cause"]))),
        head: head.map(|lines| masked(lines.iter().map(|line| text(line).unwrap()))),
    }
}

/// What the wire showed: a line of the log, and what came to an endpoint.
fn shown(line: &Value, received: Option<&Received>) -> Fate {
    let reply = (line["status"].as_u64().unwrap(), text(&line["cause"]));
    Fate {
        route: text(&line["route"]),
        reply: received.is_none().then_some(reply),
        head: received.map(|request| masked(lines(request).into_iter())),
    }
}

#[tokio::test]
async fn two_hundred_requests_fare_as_explain_says() {
    let certificate = Certificate::self_signed(&["localhost"]);
    let answering = || origin().handler(|_| Reply::ok("hello")).before_body();
    let (plain, plain2) = (answering().start().await, answering().start().await);
    let (h2, tls) = (answering().h2c().start().await, answering().tls(&certificate).start().await);
    let edge = edge(DOCUMENT)
        .with("plain2", &plain2)
        .with("plain", &plain)
        .with("port", plain.port())
        .with("h2", &h2)
        .with("tls", &tls)
        .start()
        .await;
    let origins = [&plain, &plain2, &h2, &tls];
    let mut random = Rng::with_seed(2026);
    let requests: Vec<Sent> = (0..REQUESTS).map(|_| generate(&mut random)).collect();
    let document = edge.file("falconer.yaml");
    let said = stream::iter(&requests).map(|sent| {
        let (arguments, document) = (sent.arguments(), &document);
        async move {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            explained(&explain_json(document, &arguments).await)
        }
    });
    let said: Vec<Fate> = said.buffered(AT_ONCE).collect().await;

    let (mut routes, mut statuses, mut heads) = (BTreeSet::new(), BTreeSet::new(), 0);
    for (number, (sent, said)) in requests.iter().zip(&said).enumerate() {
        let before = origins.map(Origin::hits);
        sent.send(&edge).await;
        let log = edge.access_log(number + 1).await;
        assert_eq!(log.len(), number + 1, "{sent:?}");
        let came = origins.iter().zip(before).filter(|(origin, before)| origin.hits() > *before);
        let came: Vec<_> = came.map(|(origin, _)| origin.requests().pop().unwrap()).collect();
        assert!(came.len() < 2, "{sent:?} came twice");
        assert_eq!(*said, shown(&log[number], came.first()), "{sent:?}");
        routes.extend(said.route.clone());
        statuses.extend(said.reply.as_ref().map(|(status, _)| *status));
        heads += usize::from(said.head.is_some());
    }
    assert!(routes.len() >= 15, "only {routes:?}");
    assert!(statuses.len() >= 7, "only {statuses:?}");
    assert!((60..190).contains(&heads), "{heads} heads");
}
