//! What is refused before any route: its status, its page, its log line and its count.

use crate::support::{Client, Edge, Response, edge};

/// Malformed heads that no hook sees, the status each gets, and the cause.
#[rustfmt::skip]
const HEADS: &[(&str, u16, &str)] = &[
    // The request line.
    ("GET /\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400, "bad_request"),
    (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / http/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTPS/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
    ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
    ("GET / HTTP/0.9\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
    // The target.
    ("GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET a.example:80 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /#top HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /<a> HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /?<a> HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /?\"a\" HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /`a` HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET http://me@a/x HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET http://me@a/x HTTP/1.1\r\nHost: me@a\r\n\r\n", 400, "bad_request"),
    ("GET http://a\\b/x HTTP/1.1\r\nHost: a\\b\r\n\r\n", 400, "bad_request"),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method_not_allowed"),
    // The host.
    ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nhOST: b\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: me@a\r\n\r\n", 400, "bad_request"),
    // Fields and line ends.
    ("GET / HTTP/1.1\nHost: a\n\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\n\n", 400, "bad_request"),
    ("GET / HTTP/1.1\rHost: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n 2\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX(: 1\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\x002\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a\r\nX: 1\r2\r\n\r\n", 400, "bad_request"),
    // Framing.
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1, 1\r\n\r\na", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "bad_request"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "coding_not_supported"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 501, "coding_not_supported"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501, "coding_not_supported"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501, "coding_not_supported"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501, "coding_not_supported"),
];

/// Heads that are sound as such, and are refused before a route is looked for.
#[rustfmt::skip]
const REQUESTS: &[(&str, u16, &str)] = &[
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a:port\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400, "bad_request"),
    ("GET / HTTP/1.1\r\nHost: \u{e9}\r\n\r\n", 400, "bad_request"),
    ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /%2 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
    ("GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
];

async fn replying() -> Edge {
    edge(
        "
        listeners:
          web: {address: \"127.0.0.1:0\"}
          secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        routes: [{reply: {status: 200, body: hello}}]
        ",
    )
    .start()
    .await
}

fn clients(edge: &Edge) -> [(&'static str, Client); 2] {
    [("web", edge.client("web")), ("secure", edge.client("secure").tls())]
}

/// Sends bytes, and after them a request that must never be answered; gives the one answer.
async fn only_answer(client: &Client, bytes: &str) -> Response {
    let mut raw = client.raw().await;
    raw.write([bytes, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"].concat()).await;
    let method = if bytes.starts_with("HEAD ") { "HEAD" } else { "GET" };
    let response = raw.response_to(method).await;
    raw.ended().await;
    response
}

/// Every head gets its status and a page, is logged with its cause, and is the connection's last.
async fn refuses(edge: &Edge, table: &[(&str, u16, &str)]) {
    let mut count = edge.access_log(0).await.len();
    for (listener, client) in clients(edge) {
        for (head, status, cause) in table {
            let response = only_answer(&client, head).await;
            let seen = (response.status, response.header("connection"));
            assert_eq!(seen, (*status, Some("close")), "{head:?} over {listener}");
            assert_eq!(response.header("cache-control"), Some("no-store"), "{head:?}");
            assert!(response.header("date").is_some(), "{head:?}: {response:?}");
            assert_eq!(response.header("server"), None, "{head:?}");

            count += 1;
            let log = edge.access_log(count).await;
            let line = &log[count - 1];
            assert_eq!(line["status"], *status, "{head:?}: {line}");
            assert_eq!(line["cause"], *cause, "{head:?}: {line}");
            assert_eq!(line["listener"], listener, "{head:?}: {line}");
            assert_eq!(line["bytes_sent"], response.body.len(), "{head:?}: {line}");
            let id = line["request_id"].as_str().unwrap();
            assert!(response.text().contains(id), "{head:?}: {response:?} {line}");
        }
    }
    assert_eq!(edge.access_log(count).await.len(), count, "nothing else was logged");
}

#[tokio::test]
async fn a_malformed_head_is_refused_logged_and_counted() {
    let edge = replying().await;
    refuses(&edge, HEADS).await;
    for listener in ["web", "secure"] {
        for cause in ["bad_request", "version_not_supported", "coding_not_supported"] {
            let expected = HEADS.iter().filter(|(_, _, c)| *c == cause).count();
            let series = "falconer_listener_requests_refused_total";
            let series = format!("{series}{{listener=\"{listener}\",cause=\"{cause}\"}}");
            assert_eq!(edge.metric(&series).await, expected as f64, "{series}");
        }
    }
    // After all of this a sound request is served as ever.
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn a_malformed_host_or_path_is_refused_logged_and_counted() {
    let edge = replying().await;
    refuses(&edge, REQUESTS).await;
    let failures = edge.metric("falconer_route_failures_total{cause=\"bad_request\"}").await;
    assert_eq!(failures, 2.0 * REQUESTS.len() as f64);
}

#[tokio::test]
async fn what_is_unusual_but_sound_is_served() {
    let edge = replying().await;
    for head in [
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: A.example.:80\r\n\r\n",
        "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET https://a:80?y HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET http://a/x HTTP/1.0\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "get / HTTP/1.1\r\nHost: a\r\n\r\n",
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a//b/./c/%41 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\"[]{}|^\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /?[]{}|^\\`/? HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX:\r\nX: \u{e9}\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut raw = edge.raw("web").await;
        raw.write(head).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, "hello"), "{head:?}");
    }
}

#[tokio::test]
async fn a_malformed_body_is_refused_and_reaches_no_second_request() {
    let app = crate::support::origin().reply("/", "hello").start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &app).start().await;
    for body in [
        "zz\r\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",
        ";x\r\nabc\r\n0\r\n\r\n",
        "3;x\nabc\r\n0\r\n\r\n",
        "3\r\nabc\r\n0\r\n\n",
        "3\r\nabc\r\n0\r\nX: 1\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "\r\n3\r\nabc\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabc\n0\r\n\r\n",
    ] {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let response = only_answer(&edge.client("web"), &[head, body].concat()).await;
        assert_eq!(
            (response.status, response.header("connection")),
            (400, Some("close")),
            "{body:?}"
        );
    }
    let smuggled = app.requests().iter().any(|request| request.target == "/smuggled");
    assert!(!smuggled, "{:?}", app.requests());
}

#[tokio::test]
async fn a_refusal_is_written_in_the_kind_the_client_accepts() {
    let edge = replying().await;
    for (accept, kind, part) in [
        ("Accept: */*\r\n", "text/plain; charset=utf-8", "405 Method Not Allowed"),
        ("", "text/plain; charset=utf-8", "405 Method Not Allowed"),
        ("Accept: text/html,*/*;q=0.8\r\n", "text/html; charset=utf-8", "<h1>405"),
        ("accept:text/html\r\n", "text/html; charset=utf-8", "<h1>405"),
        ("Accept: application/json\r\n", "application/problem+json", "\"status\":405"),
    ] {
        for (_, client) in clients(&edge) {
            let head = format!("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n{accept}\r\n");
            let response = only_answer(&client, &head).await;
            assert_eq!(response.header("content-type"), Some(kind), "{accept}");
            assert!(response.text().contains(part), "{accept}: {response:?}");
        }
    }

    // Every refusal of a head that can be read, whoever made it.
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n", "x".repeat(9_000));
    let fields: String = (0..150).map(|n| format!("x-{n}: 1\r\n")).collect();
    for (start, status) in [
        (long.as_str(), 414),
        (&format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}"), 431),
        ("GET / HTTP/1.1\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: a b\r\n", 400),
        ("GET /%zz HTTP/1.1\r\nHost: a\r\n", 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n", 505),
    ] {
        let head = format!("{start}Accept: application/problem+json\r\n\r\n");
        let response = only_answer(&edge.client("web"), &head).await;
        let problem = response.json();
        assert_eq!((response.status, &problem["status"]), (status, &status.into()), "{response:?}");
        assert_eq!(problem["type"], "about:blank");
        assert!(problem["title"].is_string() && problem["detail"].is_string(), "{problem}");
    }
}

#[tokio::test]
async fn the_log_tells_what_could_be_read_of_a_refused_head() {
    let edge = replying().await;
    let head = "GET /a%20b?c=d HTTP/1.1\r\nHost: Shop.Example:80\r\nUser-Agent: probe/1\r\n\
                Referer: http://b/\r\nContent-Length: x\r\n\r\n";
    only_answer(&edge.client("web"), head).await;
    let line = &edge.access_log(1).await[0];
    for (field, value) in [
        ("method", "GET"),
        ("path", "/a%20b"),
        ("query", "c=d"),
        ("host", "shop.example"),
        ("user_agent", "probe/1"),
        ("referer", "http://b/"),
        ("client", "127.0.0.1"),
        ("protocol", "HTTP/1.1"),
    ] {
        assert_eq!(line[field], value, "{field} in {line}");
    }
}

#[tokio::test]
async fn a_refused_head_request_gets_no_body() {
    let edge = replying().await;
    for head in [
        "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        "HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let response = only_answer(&edge.client("web"), head).await;
        assert_eq!(response.status, 400);
        assert_ne!(response.header("content-length"), Some("0"));
    }
}

#[tokio::test]
async fn a_client_that_goes_on_sending_still_reads_why_it_was_refused() {
    let edge = replying().await;
    for (_, client) in clients(&edge) {
        let endless = client.request("GET", "/").header("x-endless", "x".repeat(1 << 20));
        assert_eq!(endless.send().await.status, 431);
        let long = client.request("GET", &format!("/{}", "x".repeat(1 << 20)));
        assert_eq!(long.send().await.status, 414);
        let body =
            client.request("POST", "/").header("content-length", "x").body("x".repeat(1 << 20));
        assert_eq!(body.send().await.status, 400);
    }
}

#[tokio::test]
async fn what_is_refused_on_h2_is_logged_and_counted_too() {
    let edge = replying().await;
    let mut h2 = edge.client("secure").tls().open_h2().await;

    let request = http::Request::connect("a.example:443").header("accept", "text/html");
    let refused = h2.begin(request.body(()).unwrap(), true).await.response().await;
    assert_eq!((refused.status, refused.header("server")), (405, None));
    assert!(refused.text().contains("<h1>405"), "{refused:?}");
    let line = edge.logged("it", |line| line["status"] == 405).await;
    assert_eq!(
        (&line["cause"], &line["method"]),
        (&"method_not_allowed".into(), &"CONNECT".into())
    );
    let series = "falconer_route_failures_total{cause=\"method_not_allowed\"}";
    edge.metric_becomes(series, 1.0).await;

    // A host that is not the authority is malformed, and ends its stream alone.
    let request = http::Request::get("https://localhost/").header("host", "b");
    let malformed = h2.begin(request.body(()).unwrap(), true).await.response().await;
    assert_eq!(malformed.status, 400);
    let series = "falconer_listener_requests_refused_total{cause=\"bad_request\"}";
    edge.metric_becomes(series, 1.0).await;
    let line = edge.logged("it", |line| line["status"] == 400).await;
    assert_eq!((&line["cause"], &line["protocol"]), (&"bad_request".into(), &"HTTP/2.0".into()));

    assert_eq!(h2.get("/").await, "hello");
}
