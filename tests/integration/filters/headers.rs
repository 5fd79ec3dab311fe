//! The filter `headers`: edits of both directions, and the templates in them.

use super::{before, clients, last, pairs};
use crate::support::{Reply, edge, origin};
use std::collections::BTreeMap;

#[tokio::test]
async fn a_request_is_edited_by_remove_then_rename_then_set_then_append() {
    let h1 = origin().handler(|_| Reply::new(200)).start().await;
    let h2 = origin().h2c().handler(|_| Reply::new(200)).start().await;
    let filters = "
filters:
  - headers:
      request:
        append: {X-New: more, x-set: again, x-list: '3'}
        set: {X-Set: fresh, x-removed: new, x-made: $$1}
        rename: {X-Old: X-New, x-none: x-nothing, x-gone: x-back}
        remove: [X-Gone, x-removed, x-absent]
";
    for (edge, origin) in pairs(&h1, &h2, filters).await {
        for client in clients(&edge) {
            let request = client
                .request("GET", "/")
                .header("x-gone", 1)
                .header("x-removed", "old")
                .header("x-old", "a")
                .header("x-old", "b")
                .header("x-new", "own")
                .header("x-set", "stale")
                .header("x-set", "stale too")
                .header("x-list", 1)
                .header("x-list", 2)
                .header("x-kept", "kept");
            assert_eq!(request.send().await.status, 200);
            let seen = last(origin).headers;
            for (name, expected) in [
                ("x-gone", &[][..]),
                ("x-back", &[]),
                ("x-removed", &["new"]),
                ("x-old", &[]),
                ("x-new", &["own", "a", "b", "more"]),
                ("x-nothing", &[]),
                ("x-set", &["fresh", "again"]),
                ("x-list", &["1", "2", "3"]),
                ("x-made", &["$1"]),
                ("x-kept", &["kept"]),
            ] {
                assert_eq!(seen.all(name), expected, "{name} in {seen:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_response_is_edited_in_the_same_order() {
    let reply = || {
        let reply = Reply::ok("body").header("Server", "origin/1").header("X-Old", "a");
        let reply = reply.header("X-Old", "b").header("X-New", "own").header("Vary", "cookie");
        reply.header("X-Set", "stale")
    };
    let h1 = origin().answer("/", reply()).start().await;
    let h2 = origin().h2c().answer("/", reply()).start().await;
    let filters = "
filters:
  - headers:
      response:
        remove: [server]
        rename: {x-old: x-new}
        set: {x-set: '{response.status} {request.method}'}
        append: {vary: origin, x-new: more}
";
    for (edge, _) in pairs(&h1, &h2, filters).await {
        for client in clients(&edge) {
            let response = client.get("/").await;
            assert_eq!(response, "body");
            for (name, expected) in [
                ("server", &[][..]),
                ("x-old", &[]),
                ("x-new", &["own", "a", "b", "more"]),
                ("x-set", &["200 GET"]),
                ("vary", &["cookie", "origin"]),
            ] {
                assert_eq!(response.headers.all(name), expected, "{name} in {response:?}");
            }
        }
    }
}

#[tokio::test]
async fn names_keep_the_case_of_the_message_and_set_ones_that_of_the_standard() {
    let reply = Reply::ok("").header("X-ODD", "1").header("x-set", "old");
    let origin = origin().answer("/", reply).start().await;
    let filters = "filters: [headers: {request: {set: {x-new: a}}, response: {set: {X-Set: b}}}]";
    let edge = before(&origin, "", filters).await;
    let response = edge.request("GET", "/").header("X-wEIRD", 1).send().await;
    assert!(last(&origin).headers.names().contains(&"X-wEIRD"));
    assert!(response.headers.names().contains(&"X-ODD"), "{response:?}");
    assert_eq!(response.headers.all("x-set"), ["b"]);
}

/// All that a template can say of an exchange.
const VARIABLES: [&str; 16] = [
    "client.ip",
    "client.port",
    "request.method",
    "request.scheme",
    "request.host",
    "request.path",
    "request.query",
    "request.header.x-tenant",
    "request.cookie.sid",
    "request.id",
    "path.page",
    "route.name",
    "listener.name",
    "tls.sni",
    "tls.client.subject",
    "response.status",
];

/// A route that shows every variable to the application and to the client.
fn showing() -> String {
    let fields = VARIABLES.map(|name| format!("x-{}: '<{{{name}}}>'", name.replace('.', "-")));
    let fields = fields.join(", ");
    format!(
        "routes: [{{name: shown, match: {{path: ['/pages/{{page}}', '/{{rest*}}']}}, upstream: \
         app, filters: [headers: {{request: {{set: {{{fields}}}}}, response: {{set: \
         {{{fields}}}}}}}]}}]"
    )
}

#[tokio::test]
async fn a_template_can_say_all_that_is_known_of_an_exchange() {
    let origin = origin().handler(|_| Reply::new(201)).start().await;
    let edge = before(&origin, "", &showing()).await;
    let client = edge.client("secure").sni("shop.test").h2();
    let request = client.request("PUT", "/pages/%41%2fb?a=%20&b").host("Shop.Test:8443");
    let request = request.header("x-tenant", "acme").header("x-tenant", "corp");
    let response = request.header("cookie", "a=b; sid=s1").body("x").send().await;

    let seen = last(&origin);
    let id = response.header("x-request-id").unwrap().to_owned();
    let expected = BTreeMap::from([
        ("client.ip", "127.0.0.1"),
        ("request.method", "PUT"),
        ("request.scheme", "https"),
        ("request.host", "shop.test"),
        ("request.path", "/pages/A%2Fb"),
        ("request.query", "a=%20&b"),
        ("request.header.x-tenant", "acme, corp"),
        ("request.cookie.sid", "s1"),
        ("request.id", id.trim_matches(['<', '>'])),
        ("path.page", "A%2Fb"),
        ("route.name", "shown"),
        ("listener.name", "secure"),
        ("tls.sni", "shop.test"),
        ("tls.client.subject", ""),
    ]);
    for (name, value) in expected {
        let field = format!("x-{}", name.replace('.', "-"));
        assert_eq!(seen.header(&field), Some(format!("<{value}>").as_str()), "{name} sent");
        assert_eq!(response.header(&field), seen.header(&field), "{name} answered");
    }
    assert_eq!(seen.header("x-response-status"), Some("<>"), "there is none yet");
    assert_eq!(response.header("x-response-status"), Some("<201>"));
    let port = seen.header("x-client-port").unwrap().trim_matches(['<', '>']);
    assert!(port.parse::<u16>().is_ok_and(|port| port > 0), "{port}");
    let logged = edge.logged("the request", |line| line["method"] == "PUT").await;
    assert_eq!(Some(format!("<{}>", logged["request_id"].as_str().unwrap())), Some(id));
}

#[tokio::test]
async fn what_is_absent_is_empty() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", &showing()).await;
    edge.get("/else").await;
    let seen = last(&origin);
    for name in
        ["request-query", "request-header-x-tenant", "request-cookie-sid", "path-page", "tls-sni"]
    {
        assert_eq!(seen.header(&format!("x-{name}")), Some("<>"), "{name}");
    }
    assert_eq!(seen.header("x-request-scheme"), Some("<http>"));
}

#[tokio::test]
async fn the_client_of_a_template_is_the_one_that_a_trusted_proxy_names() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", &showing()).await;
    for (listener, told, ip, port) in [
        ("behind", "192.0.2.7", "<192.0.2.7>", "<>"),
        ("behind", "192.0.2.7:4711", "<192.0.2.7>", "<4711>"),
        ("behind", "[2001:db8::7]:4711", "<2001:db8::7>", "<4711>"),
        ("web", "192.0.2.7", "<127.0.0.1>", ""),
    ] {
        let request = edge.client(listener).request("GET", "/").header("x-forwarded-for", told);
        request.send().await;
        let seen = last(&origin);
        assert_eq!(seen.header("x-client-ip"), Some(ip), "{listener} {told}");
        assert!(port.is_empty() || seen.header("x-client-port") == Some(port), "{told}");
    }
}

#[tokio::test]
async fn no_value_breaks_out_of_its_field() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "
filters:
  - headers:
      request: &all {set: {x-path: '{request.path}', x-query: '{request.query}', x-any: '{request.header.x-any}'}}
      response: *all
routes: [{match: {path: '/{rest*}'}, filters: [headers: {response: {set: {x-rest: '{path.rest}'}}}], upstream: app}]
";
    let edge = before(&origin, "", keys).await;
    for client in clients(&edge) {
        let target = "/a%0D%0Aset-cookie:%20x=1/b?q=%0d%0aset-cookie:x";
        let request = client.request("GET", target).header("x-any", "ü\tß%0d%0a");
        let response = request.send().await;
        let seen = last(&origin);
        for headers in [&seen.headers, &response.headers] {
            assert_eq!(headers.one("x-path"), Some("/a%0D%0Aset-cookie:%20x=1/b"));
            assert_eq!(headers.one("x-query"), Some("q=%0d%0aset-cookie:x"));
            assert_eq!(headers.one("x-any"), Some("ü\tß%0d%0a"));
            assert_eq!(headers.one("set-cookie"), None);
        }
        assert_eq!(response.header("x-rest"), Some("a%0D%0Aset-cookie:%20x=1/b"));
    }
}

#[tokio::test]
async fn filters_run_in_order_on_requests_and_in_reverse_on_responses() {
    let origin = origin().answer("/", Reply::ok("").header("x-way", "origin")).start().await;
    let both = |name: &str| {
        format!(
            "headers: {{request: {{append: {{x-way: {name}}}}}, response: {{append: {{x-way: {name}}}}}}}"
        )
    };
    let (a, b, c, d) = (both("a"), both("b"), both("c"), both("d"));
    let keys = format!("filters: [{a}, {b}]\nroutes: [{{filters: [{c}, {d}], upstream: app}}]");
    let edge = before(&origin, "", &keys).await;
    for client in clients(&edge) {
        let response = client.get("/").await;
        assert_eq!(last(&origin).headers.all("x-way"), ["a", "b", "c", "d"]);
        assert_eq!(response.headers.all("x-way"), ["origin", "d", "c", "b", "a"]);
    }
}

#[tokio::test]
async fn a_later_filter_sees_what_an_earlier_one_made() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "
filters:
  - headers: {request: {set: {x-a: one}}}
  - headers: {request: {set: {x-a: two, x-b: '{request.header.x-a}'}}}
  - headers: {request: {remove: [x-a], set: {x-c: '{request.header.x-a}'}}}
";
    let edge = before(&origin, "", keys).await;
    edge.get("/").await;
    let seen = last(&origin);
    // The values of one filter are taken before it changes anything.
    assert_eq!((seen.header("x-b"), seen.header("x-c")), (Some("one"), Some("two")));
    assert_eq!(seen.header("x-a"), None);
}

#[tokio::test]
async fn answers_of_ours_pass_the_response_filters_once_the_request_has_entered_them() {
    let gone = origin().refusing().start().await;
    let keys = "
filters:
  - headers: {response: {set: {x-seen: '{response.status} {request.path}'}, remove: [cache-control]}}
routes:
  - {match: {path: /reply}, reply: {status: 418, headers: {cache-control: no-store}}}
  - {match: {path: /redirect}, redirect: {to: /}}
  - {match: {path: /gone}, upstream: app}
  - {match: {path: /small}, limits: {body_size: 1}, reply: {}}
";
    let edge = before(&gone, "", keys).await;
    for client in clients(&edge) {
        for (path, status, seen) in [
            ("/reply", 418, Some("418 /reply")),
            ("/redirect", 308, Some("308 /redirect")),
            ("/gone", 502, Some("502 /gone")),
            ("/none", 404, None),
            ("/%zz", 400, None),
        ] {
            let response = client.get(path).await;
            assert_eq!((response.status, response.header("x-seen")), (status, seen), "{path}");
            assert_eq!(response.header("cache-control").is_none(), seen.is_some(), "{path}");
        }
        let large = client.request("POST", "/small").body("too much").send().await;
        assert_eq!((large.status, large.header("x-seen")), (413, None));
    }
}

#[tokio::test]
async fn the_operator_has_the_last_word_on_what_upstreams_are_told_of_the_client() {
    let h1 = origin().handler(|_| Reply::new(200)).start().await;
    let h2 = origin().h2c().handler(|_| Reply::new(200)).start().await;
    let keys = "
routes:
  - match: {path: /set}
    filters:
      - headers: {request: {set: {x-real-ip: '{client.ip}', x-forwarded-proto: https, x-forwarded-ssl: 'on', host: inner.test}}}
    upstream: app
  - match: {path: /remove}
    filters: [headers: {request: {remove: [x-forwarded-for, X-Forwarded-Host], append: {x-forwarded-proto: wss}}}]
    upstream: app
  - upstream: app
";
    for (edge, origin) in pairs(&h1, &h2, keys).await {
        for client in clients(&edge) {
            let ask = async |path: &str| {
                let request = client.request("GET", path).host("shop.test");
                let request = request.header("x-real-ip", "6.6.6.6");
                request.header("x-forwarded-ssl", "on").send().await;
                last(origin)
            };
            let set = ask("/set").await;
            let host = set.authority.as_deref().or(set.header("host"));
            assert_eq!(host, Some("inner.test"));
            assert_eq!(set.headers.all("x-real-ip"), ["127.0.0.1"]);
            assert_eq!(set.headers.all("x-forwarded-proto"), ["https"]);
            assert_eq!(set.headers.all("x-forwarded-ssl"), ["on"]);
            assert_eq!(set.header("x-forwarded-host"), Some("shop.test"));
            let removed = ask("/remove").await;
            assert_eq!(removed.header("x-forwarded-for"), None);
            assert_eq!(removed.header("x-forwarded-host"), None);
            assert_eq!(removed.headers.all("x-forwarded-proto"), ["http", "wss"]);
            let plain = ask("/").await;
            assert_eq!((plain.header("x-real-ip"), plain.header("x-forwarded-ssl")), (None, None));
            assert_eq!(plain.header("x-forwarded-for"), Some("127.0.0.1"));
        }
    }
}

#[tokio::test]
async fn the_host_of_the_upstream_wins_over_a_filter() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "filters: [headers: {request: {set: {host: filter.test}}}]";
    let edge = before(&origin, "host: upstream.test", keys).await;
    edge.get("/").await;
    assert_eq!(last(&origin).headers.all("host"), ["upstream.test"]);
}

#[tokio::test]
async fn a_client_cannot_take_away_what_the_operator_sets() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let keys = "filters: [request_id: {}, headers: {request: {set: {x-tenant: acme}}}]";
    let edge = before(&origin, "", keys).await;
    let connection = "close, x-tenant, X-Request-Id, x-forwarded-for";
    let request = edge.request("GET", "/").header("Connection", connection);
    assert_eq!(request.header("x-tenant", "evil").send().await.status, 200);
    let seen = last(&origin);
    assert_eq!(seen.headers.all("x-tenant"), ["acme"]);
    assert!(seen.header("x-request-id").is_some());
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_wrong_filter_starts_nothing() {
    let (code, said) = edge("filters: [headers: {request: {add: {a: b}}}]\nroutes: [reply: {}]")
        .fails_with()
        .await;
    assert_eq!(code, 2);
    assert!(said.contains("unknown key `add`; use one of `remove`"), "{said}");
}
