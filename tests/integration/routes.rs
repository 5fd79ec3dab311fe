//! Which route takes a request: every matcher, and the most specific of those that match.

use crate::support::{Client, Edge, edge};

/// An edge whose routes, each a name and its keys, answer with their names. A route says
/// `not_found` for what none of them takes.
async fn routed(listeners: &str, routes: &[(&str, &str)]) -> Edge {
    let route = |(name, keys): &(&str, &str)| {
        format!("- {{name: {name}, {keys}, reply: {{body: {name}}}}}")
    };
    let routes: Vec<_> = routes.iter().map(route).collect();
    edge("listeners: {$listeners}\nroutes:\n$routes")
        .with("listeners", listeners)
        .with("routes", routes.join("\n"))
        .start()
        .await
}

const BOTH: &str = "web: {address: '127.0.0.1:0', protocols: [h1, h2]}";

/// The name of the route that took `METHOD HOST TARGET`, or the status if none did.
async fn taken(client: &Client, line: &str, headers: &[(&str, &str)]) -> String {
    let [method, host, target] = line.split(' ').collect::<Vec<_>>()[..] else {
        panic!("no METHOD HOST TARGET: {line}")
    };
    let mut request = client.request(method, target).host(host);
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await;
    if response.status == 200 { response.text() } else { response.status.to_string() }
}

/// A request line, header fields, and what the route answers.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

/// Asks over HTTP/1 and HTTP/2, and expects the same of both.
async fn expect(edge: &Edge, cases: &[Case<'_>]) {
    for client in [edge.client("web"), edge.client("web").h2()] {
        for (line, headers, expected) in cases {
            assert_eq!(taken(&client, line, headers).await, *expected, "{line} {headers:?}");
        }
    }
}

#[tokio::test]
async fn hosts_are_exact_wildcards_or_any() {
    let edge = routed(
        BOTH,
        &[
            ("exact", "match: {host: Shop.Example.com}"),
            ("wild", "match: {host: '*.example.com'}"),
            ("longer", "match: {host: '*.shop.example.com'}"),
            ("several", "match: {host: [one.test, '*.two.test']}"),
            ("v4", "match: {host: 192.0.2.1}"),
            ("v6", "match: {host: '[2001:DB8::1]'}"),
            ("any", "match: {host: '*'}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET shop.example.com /", &[], "exact"),
            ("GET SHOP.eXample.COM /", &[], "exact"),
            ("GET shop.example.com:8080 /", &[], "exact"),
            ("GET shop.example.com. /", &[], "exact"),
            ("GET other.example.com /", &[], "wild"),
            ("GET a.b.example.com /", &[], "wild"),
            ("GET A.Shop.Example.Com:80 /", &[], "longer"),
            ("GET a.b.shop.example.com /", &[], "longer"),
            ("GET example.com /", &[], "any"),
            ("GET .example.com /", &[], "any"),
            ("GET notexample.com /", &[], "any"),
            ("GET shop.example.com.evil.test /", &[], "any"),
            ("GET one.test /", &[], "several"),
            ("GET a.two.test /", &[], "several"),
            ("GET two.test /", &[], "any"),
            ("GET 192.0.2.1:80 /", &[], "v4"),
            ("GET [2001:db8::1] /", &[], "v6"),
            ("GET [2001:db8::1]:8080 /", &[], "v6"),
            ("GET [2001:db8::2] /", &[], "any"),
        ],
    )
    .await;
}

#[tokio::test]
async fn paths_are_exact_prefixes_captures_or_expressions_over_the_normal_form() {
    let edge = routed(
        BOTH,
        &[
            ("exact", "match: {path: /exact}"),
            ("prefix", "match: {path: /prefix/*}"),
            ("capture", "match: {path: '/user/{id}/orders'}"),
            ("rest", "match: {path: '/files/{rest*}'}"),
            ("regex", "match: {path: '~ ^/r/[0-9]+$'}"),
            ("search", "match: {path: '~ needle'}"),
            ("several", "match: {path: [/s1, /s2/*]}"),
            ("letters", "match: {path: /café}"),
            ("slash", "match: {path: /ab/}"),
            ("else", "priority: -1"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /exact", &[], "exact"),
            ("GET a /exact?a=/b", &[], "exact"),
            ("GET a /exact/", &[], "else"),
            ("GET a /exactly", &[], "else"),
            ("GET a /Exact", &[], "else"),
            ("GET a //exact", &[], "else"),
            ("GET a /ab/", &[], "slash"),
            ("GET a /ab", &[], "else"),
            ("GET a /prefix", &[], "prefix"),
            ("GET a /prefix?a", &[], "prefix"),
            ("GET a /prefix/", &[], "prefix"),
            ("GET a /prefix/a/b//c", &[], "prefix"),
            ("GET a /prefixes", &[], "else"),
            ("GET a /user/7/orders", &[], "capture"),
            ("GET a /user/a%2Fb/orders", &[], "capture"),
            ("GET a /user//orders", &[], "else"),
            ("GET a /user/7/8/orders", &[], "else"),
            ("GET a /user/7/orders/", &[], "else"),
            ("GET a /files", &[], "rest"),
            ("GET a /files/", &[], "rest"),
            ("GET a /files/a/b", &[], "rest"),
            ("GET a /r/123", &[], "regex"),
            ("GET a /r/12a", &[], "else"),
            ("GET a /hay/needle/hay", &[], "search"),
            ("GET a /hay?needle", &[], "else"),
            ("GET a /s1", &[], "several"),
            ("GET a /s2/x", &[], "several"),
            ("GET a /caf%C3%A9", &[], "letters"),
            ("GET a /caf%c3%a9", &[], "letters"),
            // What is compared is the normal form.
            ("GET a /a/../exact", &[], "exact"),
            ("GET a /./exact", &[], "exact"),
            ("GET a /../../exact", &[], "exact"),
            ("GET a /%65x%61ct", &[], "exact"),
            ("GET a /prefix/%2e%2e/exact", &[], "exact"),
            ("GET a /prefix/%2E./x", &[], "else"),
            ("GET a /prefix%2Fx", &[], "else"),
            ("GET a /files/..%2fexact", &[], "rest"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_path_that_has_no_normal_form_is_a_bad_request() {
    let edge = routed(BOTH, &[("all", "match: {path: /*}")]).await;
    expect(
        &edge,
        &[
            ("GET a /%zz", &[], "400"),
            ("GET a /a%2", &[], "400"),
            ("GET a /a%00b", &[], "400"),
            ("GET a /a%C0%AFb", &[], "all"),
        ],
    )
    .await;
}

#[tokio::test]
async fn methods_are_taken_as_they_are_named() {
    let edge = routed(
        BOTH,
        &[
            ("read", "match: {path: /m, method: GET}"),
            ("write", "match: {path: /m, method: [POST, PUT]}"),
            ("own", "match: {path: /m, method: PURGE}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /m", &[], "read"),
            ("POST a /m", &[], "write"),
            ("PUT a /m", &[], "write"),
            ("PURGE a /m", &[], "own"),
            ("HEAD a /m", &[], "404"),
            ("DELETE a /m", &[], "404"),
            ("get a /m", &[], "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn header_fields_are_compared_by_value_beginning_expression_and_presence() {
    let edge = routed(
        BOTH,
        &[
            ("exact", "match: {path: /exact, header: {x-beta: '1'}}"),
            ("number", "match: {path: /number, header: {X-Number: 7}}"),
            ("prefix", "match: {path: /prefix, header: {x-tenant: 'acme*'}}"),
            ("regex", "match: {path: /regex, header: {accept: '~ (json|xml)$'}}"),
            ("present", "match: {path: /present, header: {x-a: present}}"),
            ("absent", "match: {path: /absent, header: {x-a: absent}}"),
            ("all", "match: {path: /all, header: {x-a: '1', x-b: present}}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /exact", &[("x-beta", "1")], "exact"),
            ("GET a /exact", &[("X-BETA", "1")], "exact"),
            ("GET a /exact", &[("x-beta", "10")], "404"),
            ("GET a /exact", &[("x-beta", "0"), ("x-beta", "1")], "exact"),
            ("GET a /exact", &[], "404"),
            ("GET a /number", &[("x-number", "7")], "number"),
            ("GET a /prefix", &[("x-tenant", "acme-7")], "prefix"),
            ("GET a /prefix", &[("x-tenant", "acme")], "prefix"),
            ("GET a /prefix", &[("x-tenant", "Acme")], "404"),
            ("GET a /regex", &[("accept", "application/json")], "regex"),
            ("GET a /regex", &[("accept", "application/json; q=1")], "404"),
            ("GET a /present", &[("x-a", "")], "present"),
            ("GET a /present", &[], "404"),
            ("GET a /absent", &[], "absent"),
            ("GET a /absent", &[("x-a", "")], "404"),
            ("GET a /all", &[("x-a", "1"), ("x-b", "2")], "all"),
            ("GET a /all", &[("x-a", "1")], "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn query_parameters_are_compared_decoded() {
    let edge = routed(
        BOTH,
        &[
            ("exact", "match: {path: /exact, query: {page: 'a b'}}"),
            ("named", "match: {path: /named, query: {'a[]': '1'}}"),
            ("prefix", "match: {path: /prefix, query: {q: 'x*'}}"),
            ("regex", "match: {path: /regex, query: {sort: '~ ^(up|down)$'}}"),
            ("present", "match: {path: /present, query: {flag: present}}"),
            ("absent", "match: {path: /absent, query: {flag: absent}}"),
            ("empty", "match: {path: /empty, query: {flag: ''}}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /exact?page=a%20b", &[], "exact"),
            ("GET a /exact?page=a+b", &[], "exact"),
            ("GET a /exact?%70age=a+b&x", &[], "exact"),
            ("GET a /exact?x=1&page=no&page=a+b", &[], "exact"),
            ("GET a /exact?page=ab", &[], "404"),
            ("GET a /exact?PAGE=a+b", &[], "404"),
            ("GET a /exact", &[], "404"),
            ("GET a /named?a[]=1", &[], "named"),
            ("GET a /named?a%5B%5D=1", &[], "named"),
            ("GET a /prefix?q=%78yz", &[], "prefix"),
            ("GET a /prefix?q=ax", &[], "404"),
            ("GET a /regex?sort=up", &[], "regex"),
            ("GET a /regex?sort=upper", &[], "404"),
            ("GET a /present?flag", &[], "present"),
            ("GET a /present?flag=", &[], "present"),
            ("GET a /present?flags", &[], "404"),
            ("GET a /absent?flags", &[], "absent"),
            ("GET a /absent?flag", &[], "404"),
            ("GET a /empty?flag", &[], "empty"),
            ("GET a /empty?flag=1", &[], "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn cookies_are_found_in_every_cookie_field() {
    let edge = routed(
        BOTH,
        &[
            ("exact", "match: {path: /exact, cookie: {theme: dark}}"),
            ("present", "match: {path: /present, cookie: {sid: present}}"),
            ("absent", "match: {path: /absent, cookie: {sid: absent}}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /exact", &[("cookie", "theme=dark")], "exact"),
            ("GET a /exact", &[("cookie", "a=b; theme=dark; c=d")], "exact"),
            ("GET a /exact", &[("cookie", "a=b;theme=dark")], "exact"),
            ("GET a /exact", &[("cookie", "theme=\"dark\"")], "exact"),
            ("GET a /exact", &[("cookie", "theme=light")], "404"),
            ("GET a /exact", &[("cookie", "Theme=dark")], "404"),
            ("GET a /exact", &[("cookie", "my-theme=dark")], "404"),
            ("GET a /exact", &[("cookie", "a=b"), ("cookie", "theme=dark")], "exact"),
            ("GET a /present", &[("cookie", "sid=")], "present"),
            ("GET a /present", &[("cookie", "sid")], "404"),
            ("GET a /absent", &[("cookie", "sidx=1")], "absent"),
            ("GET a /absent", &[("cookie", "x=1; sid=1")], "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn clients_are_known_by_what_trusted_proxies_say_and_only_they() {
    let edge = routed(
        "web: {address: '127.0.0.1:0', protocols: [h1, h2], trusted_proxies: [127.0.0.0/8]}, \
         blunt: {address: '127.0.0.1:0', protocols: [h1, h2]}",
        &[
            ("inside", "match: {client: [10.0.0.0/8, 'fd00::/8']}"),
            ("one", "match: {client: 192.0.2.7}"),
            ("local", "match: {client: 127.0.0.1}"),
        ],
    )
    .await;
    expect(
        &edge,
        &[
            ("GET a /", &[], "local"),
            ("GET a /", &[("x-forwarded-for", "10.1.2.3")], "inside"),
            ("GET a /", &[("x-forwarded-for", "fd00::1")], "inside"),
            ("GET a /", &[("x-forwarded-for", "::ffff:10.0.0.1")], "inside"),
            ("GET a /", &[("x-forwarded-for", "192.0.2.7")], "one"),
            ("GET a /", &[("x-forwarded-for", "192.0.2.8")], "404"),
            // Read from the right: what is left of the first stranger is hearsay.
            ("GET a /", &[("x-forwarded-for", "10.0.0.1, 192.0.2.7")], "one"),
            ("GET a /", &[("x-forwarded-for", "192.0.2.7, 127.0.0.9")], "one"),
        ],
    )
    .await;
    for client in [edge.client("blunt"), edge.client("blunt").h2()] {
        let forged = [("x-forwarded-for", "10.1.2.3"), ("x-real-ip", "10.1.2.3")];
        assert_eq!(taken(&client, "GET a /", &forged).await, "local");
    }
}

#[tokio::test]
async fn a_route_may_be_there_on_some_listeners_only() {
    let edge = routed(
        "web: {address: '127.0.0.1:0'}, back: {address: '127.0.0.1:0'}, \
         side: {address: '127.0.0.1:0'}",
        &[
            ("front", "match: {path: /a, listener: web}"),
            ("behind", "match: {path: /a, listener: [back, side]}"),
            ("everywhere", "match: {path: /b}"),
        ],
    )
    .await;
    for (listener, path, expected) in [
        ("web", "/a", "front"),
        ("back", "/a", "behind"),
        ("side", "/a", "behind"),
        ("web", "/b", "everywhere"),
        ("side", "/b", "everywhere"),
    ] {
        let found = taken(&edge.client(listener), &format!("GET a {path}"), &[]).await;
        assert_eq!(found, expected, "{listener} {path}");
    }
}

/// Each pair stands in the order in which the second would win if only order counted.
#[tokio::test]
async fn the_most_specific_route_wins_wherever_it_stands() {
    let edge = routed(
        BOTH,
        &[
            // Host before path.
            ("any-host", "match: {path: /1/exact}"),
            ("wild-host", "match: {host: '*.a.test', path: /1/exact}"),
            ("longer-host", "match: {host: '*.b.a.test', path: '~ ^/1'}"),
            ("exact-host", "match: {host: c.b.a.test, path: /1/*}"),
            // Exact, captures, regex, prefix.
            ("prefix", "match: {path: /2/*}"),
            ("long-prefix", "match: {path: /2/a/*}"),
            ("regex", "match: {path: '~ ^/2/a/[a-d]$'}"),
            ("later-regex", "match: {path: '~ ^/2/a/b$'}"),
            ("capture", "match: {path: '/2/a/{x}', method: [GET]}"),
            ("exact", "match: {path: /2/a/c}"),
            // Captures segment by segment, a literal before a capture.
            ("late-literal", "match: {path: '/3/{x}/b/c'}"),
            ("early-literal", "match: {path: '/3/a/{y}/{z}'}"),
            ("both", "match: {path: '/3/a/b/{z}'}"),
            // A captured rest counts as a prefix.
            ("rest", "match: {path: '/4/{rest*}'}"),
            ("rest-below", "match: {path: '/4/a/{rest*}'}"),
            ("rest-regex", "match: {path: '~ ^/4/a/b'}"),
            // The number of further matchers, each entry counting.
            ("none", "match: {path: /5}"),
            ("one", "match: {path: /5, method: GET}"),
            ("two", "match: {path: /5, header: {x-a: present, x-b: present}}"),
            ("three", "match: {path: /5, cookie: {s: present}, query: {q: present, r: present}}"),
            // Order in the document.
            ("first", "match: {path: /6, header: {x-a: present}}"),
            ("second", "match: {path: /6, header: {x-b: present}}"),
            // Priority before everything.
            ("plain", "match: {host: p.test, path: /7, method: GET}"),
            ("raised", "match: {path: /7/*}, priority: 1"),
            ("higher", "match: {path: '~ ^/7/h'}, priority: 2"),
            ("lowered", "match: {host: p.test, path: /8}, priority: -1"),
            ("normal", "match: {path: '~ ^/8'}"),
        ],
    )
    .await;
    let (a, b) = (("x-a", "1"), ("x-b", "1"));
    expect(
        &edge,
        &[
            ("GET c.b.a.test /1/exact", &[], "exact-host"),
            ("GET d.b.a.test /1/exact", &[], "longer-host"),
            ("GET d.a.test /1/exact", &[], "wild-host"),
            ("GET a.test /1/exact", &[], "any-host"),
            // Of the exact host no path fits, so the next host is asked.
            ("GET c.b.a.test /2/z", &[], "prefix"),
            ("GET x /2/a/c", &[], "exact"),
            ("GET x /2/a/b", &[], "capture"),
            ("POST x /2/a/c", &[], "exact"),
            ("POST x /2/a/b", &[], "regex"),
            ("POST x /2/a/x", &[], "long-prefix"),
            ("GET x /2/a/x/y", &[], "long-prefix"),
            ("GET x /2/a", &[], "long-prefix"),
            ("GET x /2/b", &[], "prefix"),
            ("GET x /3/a/b/c", &[], "both"),
            ("GET x /3/a/x/c", &[], "early-literal"),
            ("GET x /3/x/b/c", &[], "late-literal"),
            ("GET x /4/a/b", &[], "rest-regex"),
            ("GET x /4/a/c", &[], "rest-below"),
            ("GET x /4/b", &[], "rest"),
            ("GET x /5", &[], "one"),
            ("POST x /5", &[], "none"),
            ("GET x /5", &[a], "one"),
            ("GET x /5", &[a, b], "two"),
            ("GET x /5?q&r", &[a, b, ("cookie", "s=1")], "three"),
            ("GET x /6", &[a, b], "first"),
            ("GET x /6", &[b], "second"),
            ("GET p.test /7", &[], "raised"),
            ("GET p.test /7/h", &[], "higher"),
            ("GET p.test /8", &[], "normal"),
            ("GET p.test /9", &[], "404"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_listener_that_only_knows_hosts_misdirects_others_and_one_that_does_not_finds_nothing() {
    let edge = routed(
        "web: {address: '127.0.0.1:0', protocols: [h1, h2]}, \
         open: {address: '127.0.0.1:0', protocols: [h1, h2]}, \
         bare: {address: '127.0.0.1:0', protocols: [h1, h2]}",
        &[
            ("shop", "match: {host: shop.test, path: /a/*, listener: [web, open]}"),
            ("blogs", "match: {host: '*.blog.test', method: GET, listener: [web, open]}"),
            ("any", "match: {path: /any, listener: open}"),
        ],
    )
    .await;
    for (listener, line, expected) in [
        ("web", "GET shop.test /a/b", "shop"),
        ("web", "GET shop.test /b", "404"),
        ("web", "POST a.blog.test /", "404"),
        ("web", "GET blog.test /", "421"),
        ("web", "GET other.test /a/b", "421"),
        ("web", "GET 127.0.0.1 /", "421"),
        ("open", "GET other.test /any", "any"),
        ("open", "GET other.test /a/b", "404"),
        ("open", "GET shop.test /b", "404"),
        ("bare", "GET shop.test /a/b", "404"),
    ] {
        for client in [edge.client(listener), edge.client(listener).h2()] {
            assert_eq!(taken(&client, line, &[]).await, expected, "{listener} {line}");
        }
    }
    let mut nameless = edge.raw("web").await;
    nameless.write("GET /a/b HTTP/1.0\r\n\r\n").await;
    assert_eq!(nameless.response().await.status, 421);

    let not_here = edge.client("web").request("GET", "/").host("other.test").send().await;
    assert_eq!(not_here.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(not_here.text().contains("This host is not served here."), "{not_here:?}");
    let line = edge.logged("the unknown host", |line| line["host"] == "other.test").await;
    assert_eq!((&line["status"], &line["cause"]), (&421.into(), &"unknown_host".into()));
    let nothing = edge.logged("no route", |line| line["path"] == "/b").await;
    assert_eq!((&nothing["status"], &nothing["cause"]), (&404.into(), &"no_route".into()));
    assert!(nothing.get("route").is_none(), "{nothing}");
}

#[tokio::test]
async fn a_route_without_a_name_is_called_by_its_place() {
    let edge = edge(
        "
        include: more.yaml
        routes:
          - {match: {path: /a}, reply: {}}
          - {name: own, match: {path: /b}, reply: {}}
          - {match: {path: /c}, reply: {}}
        ",
    )
    .file("more.yaml", "routes: [{match: {path: /d}, reply: {}}]")
    .start()
    .await;
    for (path, name) in [("/a", "route-1"), ("/b", "own"), ("/c", "route-3"), ("/d", "route-4")] {
        assert_eq!(edge.get(path).await.status, 200);
        let line = edge.logged(path, |line| line["path"] == path).await;
        assert_eq!(line["route"], name);
    }
}

#[tokio::test]
async fn a_request_for_no_path_at_all_is_taken_by_no_route() {
    let edge = routed("web: {address: '127.0.0.1:0'}", &[("all", "match: {host: a.test}")]).await;
    for host in ["a.test", "b.test"] {
        let asterisk = edge.request("OPTIONS", "*").host(host).send().await;
        assert_eq!(asterisk.status, 204, "{host}");
    }
}

#[tokio::test]
async fn what_a_path_captures_is_still_encoded() {
    let edge = edge(
        "routes:
          - match: {path: ['/user/{id}/orders', '/id/{id}', '/all/{rest*}', '~ ^/r/(?<id>[^/]+)/(?<rest>.*)$']}
            filters: [headers: {response: {set: {x-id: '{path.id}', x-rest: '{path.rest}'}}}]
            reply: {}",
    )
    .start()
    .await;
    for (path, id, rest) in [
        ("/user/7/orders", "7", ""),
        ("/user/a%2fb%20c/orders", "a%2Fb%20c", ""),
        ("/id/%41", "A", ""),
        ("/all/a/b%2Fc", "", "a/b%2Fc"),
        ("/all/", "", ""),
        ("/all", "", ""),
        ("/r/x/y/z", "x", "y/z"),
    ] {
        let response = edge.get(path).await;
        let captured = (response.header("x-id"), response.header("x-rest"));
        assert_eq!(captured, (Some(id), Some(rest)), "{path}");
    }
}
