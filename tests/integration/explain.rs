//! `falconer explain`: what it says agrees with what the edge does, and reads well.

mod generated;

use crate::support::{Finished, edge, origin, tool};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const BINARY: &str = env!("CARGO_BIN_EXE_falconer");

/// Explains a request to a document.
async fn explain(document: &Path, arguments: &[&str]) -> Finished {
    let document = document.to_str().unwrap();
    tool(BINARY, &[&["explain", "-c", document], arguments].concat()).await
}

async fn explain_json(document: &Path, arguments: &[&str]) -> Value {
    let page = explain(document, &[arguments, &["--json"]].concat()).await.well();
    serde_json::from_str(&page).unwrap()
}

const SHOP: &str = r#"
listeners:
  web: {address: ":8080", trusted_proxies: [10.0.0.0/8]}
  secure: {address: ":8443", tls: {certificates: [site]}}
  local: {address: unix:edge.sock}
certificates: {site: {self_signed: [shop.example.com]}}
upstreams:
  shop:
    endpoints: [http://shop.internal:5001, {url: http://10.0.0.2:5001, weight: 2}]
    balance: least_request
    timeouts: {response: 30s}
  greeter: {endpoints: [https://greeter.internal], protocol: auto, host: endpoint}
filters:
  - request_id: {}
routes:
  - name: to-https
    match: {listener: web, host: www.example.com}
    redirect: {to: "https://{request.host}{request.path}?{request.query}"}
  - name: api
    match: {host: [shop.example.com, "*.shop.example.com"], path: "/api/{rest*}"}
    filters:
      - rewrite: {strip_prefix: /api}
      - headers: {request: {set: {x-tenant: "{request.host}"}}, response: {remove: [server]}}
    timeouts: {response: 10m}
    upstream: shop
  - name: api-beta
    match: {host: shop.example.com, path: /api/*, header: {x-beta: present}}
    reply: {status: 501}
  - {name: shop, match: {host: shop.example.com}, upstream: shop}
  - {name: blog, match: {host: blog.example.com}, reply: {body: "hello\n"}}
  - {name: greeter, match: {host: greet.example.com}, upstream: greeter}
"#;

fn shop() -> (TempDir, std::path::PathBuf) {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("edge.yaml");
    fs::write(&file, SHOP).unwrap();
    (folder, file)
}

/// A page without what changes: the folder of the document, ids of requests, the name in `Via`.
fn masked(page: &str, file: &Path) -> String {
    let id = regex::Regex::new("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").unwrap();
    let name = regex::Regex::new("falconer-[0-9a-f]{8}").unwrap();
    let date = regex::Regex::new("(?i)date: [^\n]*").unwrap();
    let folder = format!("{}/", file.parent().unwrap().display());
    let page = page.replace(&folder, "");
    let page = name.replace_all(&page, "falconer-NAME");
    date.replace_all(&id.replace_all(&page, "ID"), "date: DATE").into_owned()
}

#[tokio::test]
async fn a_forwarded_request_is_shown_from_the_route_to_the_head() {
    let (_folder, file) = shop();
    let request = ["GET", "https://SHOP.example.com/api/%6frders/7?page=2", "-H", "Cookie: sid=1"];
    let page = explain(&file, &request).await.well();
    let expected = "\
GET /api/%6frders/7?page=2
  HTTP/1.1 over TLS at the listener `secure`, from 127.0.0.1
  routes see the host shop.example.com and the path /api/orders/7

route `api` takes it (edge.yaml:19:5)
  host: [shop.example.com, \"*.shop.example.com\"]
  path: \"/api/{rest*}\"
  {path.rest} is orders/7

other routes, and by what they lost
  api-beta  header      x-beta: present
  shop      precedence  the more specific path: \"/api/{rest*}\" goes before any path

3 routes lost by another host or listener; `--all` shows them

filters, in their order
  request_id
  rewrite: {strip_prefix: /api}
  headers: {request: {set: {x-tenant: \"{request.host}\"}}, response: {remove: [server]}}

upstream `shop`; one of its endpoints is picked at run time
  http://shop.internal:5001
  {url: http://10.0.0.2:5001, weight: 2}
  protocol: h1
  balance: least_request
  host: client
  forwarded: off
  timeouts: connect 3s, response 10m (the route's), idle 100s, tunnel 1h

the endpoint gets
  GET /orders/7?page=2 HTTP/1.1
  Host: SHOP.example.com
  Cookie: sid=1
  X-Forwarded-For: 127.0.0.1
  X-Forwarded-Proto: https
  Via: 1.1 falconer-NAME
  X-Forwarded-Host: SHOP.example.com
  x-request-id: ID
  x-tenant: shop.example.com
  X-Forwarded-Prefix: /api";
    assert_eq!(masked(&page, &file), expected);
}

#[tokio::test]
async fn a_redirect_a_reply_and_a_failure_are_shown_as_the_client_gets_them() {
    let (_folder, file) = shop();
    let page = explain(&file, &["GET", "http://www.example.com/a?b", "--all"]).await.well();
    let expected = "\
GET /a?b
  HTTP/1.1 at the listener `web`, from 127.0.0.1
  routes see the host www.example.com and the path /a

route `to-https` takes it (edge.yaml:16:5)
  host: www.example.com
  listener: web

other routes, and by what they lost
  api       host  [shop.example.com, \"*.shop.example.com\"]
  api-beta  host  shop.example.com
  shop      host  shop.example.com
  blog      host  blog.example.com
  greeter   host  greet.example.com

filters, in their order
  request_id

the client gets 308
  location: https://www.example.com/a?b
  Content-Length: 0
  x-request-id: ID
  date: DATE
  Connection: keep-alive";
    assert_eq!(masked(&page, &file), expected);

    let page = explain(&file, &["GET", "http://blog.example.com/"]).await.well();
    assert!(page.contains("\nthe client gets 200\n") && page.ends_with("\n\n  hello"), "{page}");

    let page = explain(&file, &["GET", "http://none.example.com/"]).await.well();
    assert!(page.contains("\nno route takes it\n\n6 routes lost by another host"), "{page}");
    let said = "the client gets 421, and the log the cause `unknown_host`";
    assert!(page.contains(said), "{page}");
    assert!(page.contains("\n  421 Misdirected Request\n  \n  This host is not served"), "{page}");

    let page = explain(&file, &["GET", "http://shop.example.com/%zz"]).await.well();
    let said = "\nno route is asked\n\nthe client gets 400, and the log the cause `bad_request`";
    assert!(page.contains(said), "{page}");

    let request = ["POST", "http://shop.example.com/", "-H", "Content-Length: 30000001"];
    let page = explain(&file, &request).await.well();
    assert!(page.contains("route `shop` takes it") && !page.contains("filters"), "{page}");
    assert!(page.contains("the client gets 413, and the log the cause `body_too_large`"), "{page}");
}

#[tokio::test]
async fn over_http_2_the_pseudo_fields_are_shown() {
    let (_folder, file) = shop();
    let url = "https://greet.example.com/hello";
    let explained = explain_json(&file, &["POST", url, "--http2", "-H", "TE: trailers"]).await;
    assert_eq!(explained["request"]["protocol"], "HTTP/2");
    let sent: Vec<_> = explained["sent"].as_array().unwrap().iter().collect();
    let expected = [
        ":method: POST",
        ":scheme: https",
        ":authority: greeter.internal",
        ":path: /hello",
        "te: trailers",
    ];
    assert_eq!(sent[..4], expected[..4]);
    assert!(sent.iter().any(|line| *line == expected[4]), "{sent:?}");
    assert_eq!(
        explained["upstream"]["options"]["tls"],
        "verified against the system's authorities"
    );
}

#[tokio::test]
async fn what_is_known_only_at_run_time_is_told() {
    let (_folder, file) = shop();
    let auto = "endpoints: [https://greeter.internal], protocol: auto";
    let several = SHOP.replace(auto, "endpoints: [http://a, http://b]");
    fs::write(&file, several).unwrap();
    let page = explain(&file, &["GET", "http://greet.example.com/"]).await.well();
    let picked = "the endpoint gets, with its own name as `Host` if another one is picked";
    assert!(page.contains(picked), "{page}");
    fs::write(&file, SHOP).unwrap();
    let page = explain(&file, &["GET", "http://greet.example.com/"]).await.well();
    assert!(page.contains("the endpoint gets, if it agrees on HTTP/2\n  :method: GET"), "{page}");
}

#[tokio::test]
async fn who_asks_is_told_as_trusted_proxies_say() {
    let (_folder, file) = shop();
    let request = [
        "GET",
        "http://blog.example.com/",
        "--client",
        "10.1.2.3",
        "-H",
        "X-Forwarded-For: 192.0.2.9",
    ];
    let page = explain(&file, &request).await.well();
    let told = "at the listener `web`, from 192.0.2.9 as the trusted proxy 10.1.2.3 tells";
    assert!(page.contains(told), "{page}");
    let local = ["GET", "http://blog.example.com/", "--listener", "local"];
    let page = explain(&file, &local).await.well();
    assert!(page.contains("at the listener `local`, from a unix socket"), "{page}");
}

#[tokio::test]
async fn what_cannot_be_asked_ends_with_2_and_says_why() {
    let (_folder, file) = shop();
    let url = "http://shop.example.com/";
    for (arguments, said) in [
        (&["GET", "/cart"][..], "`/cart` is no URL; write it whole"),
        (&["GET", url, "-H", "nothing"], "`nothing` is no header field; write it as `name: value`"),
        (&["GET", url, "--listener", "wbe"], "there is no listener `wbe`; use one of: web, secure"),
        (&["GET", url, "--client", "me"], "invalid value 'me' for '--client <IP>'"),
        (&["GET", url, "--http2"], "the listener `web` speaks no HTTP/2; name h2"),
        (
            &["GET", url, "--listener", "local", "--client", "10.0.0.1"],
            "who connects to the listener `local` has no address",
        ),
        (
            &["GET", "https://shop.example.com/", "--http2", "-H", "Connection: close"],
            "a client cannot send this by HTTP/2",
        ),
    ] {
        let ended = explain(&file, arguments).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
    fs::write(&file, SHOP.replace("upstream: greeter}", "upstream: greet}")).unwrap();
    let ended = explain(&file, &["GET", url]).await;
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("there is no upstream `greet`"), "{}", ended.stderr);
}

#[tokio::test]
async fn a_secret_is_not_shown() {
    let (folder, file) = shop();
    fs::write(folder.path().join("key"), "hunter2\n").unwrap();
    let with_key =
        SHOP.replace("request_id: {}", "headers: {request: {set: {x-key: 'Key ${file:key}'}}}");
    fs::write(&file, with_key).unwrap();
    for format in [&[][..], &["--json"]] {
        let request = [&["GET", "http://shop.example.com/"], format].concat();
        let page = explain(&file, &request).await.well();
        assert!(page.contains("x-key: ***"), "{page}");
        assert!(!page.contains("hunter2"), "{page}");
    }
}

#[tokio::test]
async fn many_routes_are_counted_unless_all_are_wanted() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("edge.yaml");
    let mut document = "listeners: {web: {address: ':80'}}\nroutes:\n".to_owned();
    for n in 0..3000 {
        document += &format!("  - {{match: {{host: h{n}.test}}, reply: {{}}}}\n");
    }
    for n in 0..30 {
        document += &format!("  - {{match: {{path: /p{n}}}, reply: {{}}}}\n");
    }
    fs::write(&file, document).unwrap();
    let request = ["GET", "http://h7.test/p7"];
    let page = explain(&file, &request).await.well();
    assert!(page.contains("route `route-8` takes it"), "{page}");
    assert!(page.contains("\n10 routes lost by another path or a later matcher"), "{page}");
    assert!(page.contains("\n2999 routes lost by another host or listener"), "{page}");
    assert!(page.lines().count() < 50, "{page}");
    let page = explain(&file, &[&request[..], &["--all"]].concat()).await.well();
    assert_eq!(page.matches("  host  ").count(), 2999);
}

#[tokio::test]
async fn it_asks_nobody() {
    let origin = origin().reply("/", "hello").start().await;
    let edge = edge("upstreams: {app: {endpoints: [$app]}}").with("app", &origin).start().await;
    let file = edge.file("falconer.yaml");
    let explained = explain_json(&file, &["GET", "http://a/"]).await;
    assert_eq!(explained["sent"][0], "GET / HTTP/1.1");
    assert_eq!((origin.connections(), origin.hits()), (0, 0));
    assert_eq!(edge.metric("falconer_listener_connections_total{listener=\"web\"}").await, 0.0);
}

#[tokio::test]
async fn a_split_is_shown_with_its_shares_and_what_chose() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("edge.yaml");
    let document = "
listeners: {web: {address: ':80'}}
upstreams: {stable: {endpoints: [http://a]}, canary: {endpoints: [http://b], host: endpoint}}
routes:
  - name: sticky
    split:
      to: [{weight: 2, upstream: stable}, {weight: 1, upstream: canary}]
      sticky: '{request.cookie.sid}'
  - name: chance
    match: {path: /chance}
    timeouts: {response: 5s}
    split: {to: [{weight: 1, upstream: canary}, {weight: 0, upstream: stable}]}
";
    fs::write(&file, document).unwrap();
    let shares = "\n  66.67%  stable\n  33.33%  canary\n\nupstream `";
    let mut seen = std::collections::BTreeSet::new();
    for session in 0..20 {
        let cookie = format!("Cookie: sid=s{session}");
        let request = ["GET", "http://a/", "-H", cookie.as_str()];
        let page = explain(&file, &request).await.well();
        let said = "\n\nsplit by {request.cookie.sid}, which this request has";
        assert!(page.contains(&format!("{said}{shares}")), "{page}");
        let explained = explain_json(&file, &request).await;
        let upstream = explained["upstream"]["name"].as_str().unwrap();
        assert!(page.contains(&format!("upstream `{upstream}`")), "the same each time: {page}");
        let host = if upstream == "canary" { "Host: b" } else { "Host: a" };
        assert!(page.contains(host), "{page}");
        seen.insert(upstream.to_owned());
    }
    assert_eq!(seen.len(), 2);

    let page = explain(&file, &["GET", "http://a/"]).await.well();
    let said = "\n\nsplit by chance: this request has no {request.cookie.sid}";
    assert!(page.contains(&format!("{said}{shares}")), "{page}");

    let page = explain(&file, &["GET", "http://a/chance"]).await.well();
    let said = "\n\nsplit by chance\n  100%  canary\n  0%  stable\n\nupstream `canary`";
    assert!(page.contains(said), "{page}");
    assert!(page.contains("response 5s (the route's)"), "{page}");
}
