//! What is refused before any route: its status, its page, its log line and its count.

use crate::support::{Client, Edge, edge};

/// Heads that no hook sees, one of each cause, the status each gets, and the cause.
#[rustfmt::skip]
const HEADS: &[(&str, u16, &str)] = &[
    ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    ("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 405, "method_not_allowed"),
    ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "coding_not_supported"),
    ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505, "version_not_supported"),
];

/// Heads that are sound as such, and are refused before a route is looked for.
#[rustfmt::skip]
const REQUESTS: &[(&str, u16, &str)] = &[
    ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400, "bad_request"),
    ("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n", 400, "bad_request"),
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

/// Every head gets its status and a page, is logged with its cause, and is the connection's last.
async fn refuses(edge: &Edge, table: &[(&str, u16, &str)]) {
    let mut count = edge.access_log(0).await.len();
    for (listener, client) in clients(edge) {
        for (head, status, cause) in table {
            let response = client.only_answer(head).await;
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
        for cause in HEADS.iter().map(|(.., cause)| *cause) {
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
            let response = client.only_answer(&head).await;
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
        let response = edge.client("web").only_answer(&head).await;
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
    edge.client("web").only_answer(head).await;
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
        let response = edge.client("web").only_answer(head).await;
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
