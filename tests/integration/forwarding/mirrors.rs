//! `mirror`: a copy of a request goes elsewhere, and its client notices nothing.

use super::{PROTOCOLS, named, routed};
use crate::support::{
    Authority, Edge, Feed, Gate, Origin, Received, Reply, edge, eventually, origin,
};
use std::net::TcpListener;

const ALL: &str = "upstream: one, mirror: {upstream: two}";

/// Waits until so many copies of the site's requests came to this.
async fn copies(edge: &Edge, outcome: &str, count: usize) {
    edge.metric_becomes(&counted(outcome), count as f64).await;
}

/// Where it is counted what became of copies.
fn counted(outcome: &str) -> String {
    let series = "falconer_route_mirrored_requests_total";
    format!("{series}{{route=\"site\",outcome=\"{outcome}\"}}")
}

/// Waits until so many answers differed by this.
async fn differences(edge: &Edge, what: &str, count: usize) {
    let series = "falconer_route_mirror_differences_total";
    edge.metric_becomes(&format!("{series}{{route=\"site\",what=\"{what}\"}}"), count as f64).await;
}

/// An endpoint whose every answer is the same.
async fn always(reply: Reply) -> Origin {
    origin().handler(move |_| reply.clone()).start().await
}

/// The fields of a request, without those that tell the version it goes by.
fn fields(request: &Received) -> Vec<(String, String)> {
    let of_version = ["host", "content-length", "transfer-encoding"];
    let lower =
        request.headers.0.iter().map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    let mut fields: Vec<_> =
        lower.filter(|(name, _)| !of_version.contains(&name.as_str())).collect();
    fields.sort();
    fields
}

#[tokio::test]
async fn the_copy_is_the_request_as_it_goes_upstream() {
    let route = "match: {path: /api/*}, filters: [rewrite: {strip_prefix: /api},
        headers: {request: {set: {x-tenant: '{request.host}'}}}], ";
    for protocol in PROTOCOLS {
        for client in PROTOCOLS {
            let one = named("one").await;
            let two = origin().speaking(protocol).handler(|_| Reply::new(500)).start().await;
            let of_two = format!("protocol: {protocol}, host: two.internal, forwarded: on");
            let edge = routed(&format!("{route}{ALL}"), (&one, ""), (&two, &of_two)).await;
            let web = edge.client("web").speaking(client);
            let request = |method| web.request(method, "/api/cart?id=1").host("shop.example");
            let body = || request("POST").header("Cookie", "sid=1").body("x".repeat(70));
            let sent = [request("GET"), request("HEAD"), body(), body().chunked(), request("PUT")];
            for (n, request) in sent.into_iter().enumerate() {
                assert_eq!(request.send().await.status, 200);
                copies(&edge, "sent", n + 1).await;
            }
            for (original, copy) in one.requests().iter().zip(&two.requests()) {
                assert!(copy.complete && !copy.cancelled);
                assert_eq!((&copy.method, &copy.target), (&original.method, &original.target));
                assert_eq!(copy.target, "/cart?id=1");
                assert_eq!(copy.body, original.body, "{client} to {protocol}");
                let mut expected = fields(original);
                let forwarded = copy.header("forwarded").expect("Forwarded").to_owned();
                assert!(forwarded.contains("host=\"shop.example\""), "{forwarded}");
                expected.push(("forwarded".to_owned(), forwarded));
                expected.sort();
                assert_eq!(fields(copy), expected, "{client} to {protocol}");
                let host = copy.authority.as_deref().or(copy.header("host"));
                assert_eq!(host, Some("two.internal"));
                assert_eq!(copy.scheme.as_deref(), (protocol == "h2").then_some("http"));
            }
            assert_eq!(two.connections(), 1, "they share a connection: {client} to {protocol}");
            assert_eq!((one.hits(), two.hits()), (5, 5));
        }
    }
}

#[tokio::test]
async fn a_copy_goes_as_its_upstream_says() {
    let authority = Authority::new();
    for alpn in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let one = named("one").await;
        let two = origin().tls_with(&authority.issue(&["two.internal"]), alpn).introduced();
        let two = two.handler(|_| Reply::ok("two")).start().await;
        let document = "
            upstreams:
              one: {endpoints: [$one]}
              two:
                endpoints: [$two]
                protocol: auto
                proxy_protocol: v1
                tls: {ca: ca.pem, sni: two.internal}
                balance: {hash: {key: '{request.header.x-forwarded-for}'}}
            routes: [{name: site, upstream: one, mirror: {upstream: two}}]
            ";
        let edge = edge(document).file("ca.pem", &authority.pem).with("one", &one);
        let edge = edge.with("two", &two).start().await;
        assert_eq!(edge.request("POST", "/").body("text").send().await, "one");
        copies(&edge, "sent", 1).await;
        let copy = two.request().await;
        assert_eq!(copy.body, b"text");
        assert_eq!(copy.hello.sni.as_deref(), Some("two.internal"));
        assert_eq!(copy.scheme.as_deref(), (alpn[0] == "h2").then_some("https"));
        let told = String::from_utf8_lossy(&copy.proxy_header).into_owned();
        assert!(told.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "), "{told}");
    }
}

#[tokio::test]
async fn a_client_is_answered_whatever_becomes_of_the_copy() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let deaf = format!("http://{}", listener.local_addr().unwrap());
    let (hanging, refusing) = (origin().hanging().start().await, origin().refusing().start().await);
    let (resetting, odd) = (origin().resetting().start().await, always(Reply::wire("what")).await);
    let broken = Reply::new(200).header("Content-Length", 9).body("half").then_reset();
    let broken = always(broken).await;
    let nobody = "http://nobody.invalid".to_owned();
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams:
          one: {endpoints: [$one]}
          two: {endpoints: [$two], timeouts: {connect: 300ms, response: 300ms}}
        routes: [{name: site, $route}]
        ";
    for (to, outcome) in [
        (deaf, "failed"),
        (hanging.to_string(), "failed"),
        (refusing.to_string(), "failed"),
        (resetting.to_string(), "failed"),
        (odd.to_string(), "failed"),
        (nobody, "failed"),
        // It was answered.
        (broken.to_string(), "sent"),
    ] {
        let one = named("one").await;
        let edge = edge(document).with("one", &one).with("two", &to).with("route", ALL);
        let edge = edge.start().await;
        for (n, client) in PROTOCOLS.into_iter().enumerate() {
            let web = edge.client("web").speaking(client);
            assert_eq!(web.get("/").await, "one", "{to}");
            let post = web.request("POST", "/").body("x".repeat(64 * 1024));
            assert_eq!(post.send().await, "one", "{to}");
            copies(&edge, outcome, 2 * n + 2).await;
        }
        for line in edge.access_log(4).await {
            assert_eq!((&line["status"], &line["attempts"]), (&200.into(), &1.into()), "{line}");
            assert!(line["cause"].is_null() && line["upstream"] == "one", "{line}");
        }
    }
}

#[tokio::test]
async fn nobody_waits_for_a_copy() {
    let (one, two) = (named("one").await, origin().hanging().start().await);
    let edge = routed(ALL, (&one, ""), (&two, "")).await;
    for client in PROTOCOLS {
        let web = edge.client("web").speaking(client);
        for _ in 0..5 {
            assert_eq!(web.request("POST", "/").body("text").send().await, "one");
        }
    }
    two.until("every copy", |seen| {
        seen.requests.len() == 10 && seen.requests.iter().all(|copy| copy.body == b"text")
    })
    .await;
    copies(&edge, "sent", 0).await;
}

#[tokio::test]
async fn a_body_is_copied_as_long_as_it_is_kept() {
    for client in PROTOCOLS {
        let (one, two) = (named("one").await, named("two").await);
        let edge = routed(ALL, (&one, ""), (&two, "")).await;
        let web = edge.client("web").speaking(client);
        let put = |length: usize| web.request("PUT", "/").body("x".repeat(length)).send();
        assert_eq!(put(64 * 1024).await, "one");
        copies(&edge, "sent", 1).await;
        assert_eq!(put(64 * 1024 + 1).await, "one");
        copies(&edge, "skipped", 1).await;
        assert_eq!(two.hits(), 1, "{client}");
        assert_eq!(two.request().await.body.len(), 64 * 1024);
    }
}

#[tokio::test]
async fn a_body_that_comes_after_its_answer_is_not_copied() {
    let one = origin().before_body().handler(|_| Reply::ok("early")).start().await;
    let two = named("two").await;
    let edge = routed(ALL, (&one, ""), (&two, "")).await;
    let mut raw = edge.raw("web").await;
    raw.write("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    assert_eq!(raw.response().await, "early");
    drop(raw);
    copies(&edge, "skipped", 1).await;
    assert_eq!(two.hits(), 0);
}

#[tokio::test]
async fn retries_are_no_further_copies() {
    for protocol in PROTOCOLS {
        let one = origin().speaking(protocol).handler(|_| Reply::new(503)).start().await;
        let two = named("two").await;
        let of_one = format!("protocol: {protocol}, retry: {{attempts: 3, backoff: 1ms}}");
        let edge = routed(ALL, (&one, &of_one), (&two, "")).await;
        let body = "x".repeat(50_000);
        let put = edge.request("PUT", "/").body(body.clone()).send().await;
        assert_eq!((put.status, one.hits()), (503, 3));
        copies(&edge, "sent", 1).await;
        assert_eq!(two.hits(), 1);
        assert_eq!(two.request().await.body, body.as_bytes());
    }
}

#[tokio::test]
async fn a_share_of_the_requests_is_copied() {
    for (share, least, most) in [("0%", 0.0, 0.0), ("25%", 48.0, 152.0), ("100%", 400.0, 400.0)] {
        let (one, two) = (named("one").await, named("two").await);
        let route = format!("upstream: one, mirror: {{upstream: two, share: {share}}}");
        let edge = routed(&route, (&one, ""), (&two, "")).await;
        let mut raw = edge.raw("web").await;
        for _ in 0..400 {
            raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
            assert_eq!(raw.response().await, "one");
        }
        copies(&edge, "failed", 0).await;
        let mut drawn = 0.0;
        eventually("each copy to be answered", async || {
            let sent = edge.metric(&counted("sent")).await;
            // The first ones wait until connections can be made.
            drawn = sent + edge.metric(&counted("skipped")).await;
            (drawn >= least && (sent - two.hits() as f64).abs() < 0.5).then_some(())
        })
        .await;
        // Of 400 by 25 %, 100 are expected, with a standard deviation of 8.7.
        assert!(drawn <= most, "{drawn} of 400 by {share}");
    }
}

#[tokio::test]
async fn only_so_many_are_on_their_way_at_once() {
    let gate = Gate::new();
    let (one, two) = (named("one").await, always(Reply::ok("late").behind(&gate)).await);
    let route = "upstream: one, mirror: {upstream: two, at_once: 2}";
    let edge = routed(route, (&one, ""), (&two, "")).await;
    for _ in 0..6 {
        assert_eq!(edge.get("/").await, "one");
    }
    copies(&edge, "skipped", 4).await;
    gate.open();
    copies(&edge, "sent", 2).await;
    assert_eq!(edge.get("/").await, "one");
    copies(&edge, "sent", 3).await;
    assert_eq!(two.hits(), 3);
}

#[tokio::test]
async fn a_reload_leaves_copies_alone() {
    let gate = Gate::new();
    let (one, two) = (named("one").await, always(Reply::ok("late").behind(&gate)).await);
    let document = |at_once: u32| {
        format!(
            "upstreams: {{one: {{endpoints: [$one]}}, two: {{endpoints: [$two]}}}}
routes: [{{name: site, upstream: one, mirror: {{upstream: two, at_once: {at_once}}}}}]"
        )
    };
    let mut edge = edge(&document(1)).with("one", &one).with("two", &two).start().await;
    assert_eq!(edge.get("/").await, "one");
    two.request().await;
    edge.reload(&document(2)).await;
    for _ in 0..2 {
        assert_eq!(edge.get("/").await, "one");
    }
    // The one of before counts on.
    copies(&edge, "skipped", 1).await;
    gate.open();
    copies(&edge, "sent", 2).await;
}

#[tokio::test]
async fn answers_are_compared_as_the_document_says() {
    let page = || Reply::ok("page").header("Content-Type", "text/html").header("Age", 1);
    let one = origin()
        .answer("/same", page())
        .answer("/status", page())
        .answer("/field", page())
        .answer("/both", page())
        .answer("/gone", Reply::reset());
    let two = origin()
        .answer("/same", page().header("X-Own", "secret"))
        .answer("/status", Reply::new(404).header("Content-Type", "text/html"))
        .answer("/field", Reply::ok("{}").header("Content-Type", "secret/json"))
        .answer("/both", Reply::new(500).header("Vary", "x"))
        .answer("/gone", page());
    let (one, two) = (one.start().await, two.start().await);
    let route = "upstream: one, mirror: {upstream: two, compare: {headers: [Content-Type, vary]}}";
    let edge = routed(route, (&one, ""), (&two, "")).await;
    let mut seen = (0, 0);
    for (n, (path, status, fields)) in [
        ("/same", false, ""),
        ("/status", true, ""),
        ("/field", false, "content-type"),
        ("/both", true, "content-type, vary"),
        ("/gone", true, ""),
    ]
    .into_iter()
    .enumerate()
    {
        let expected = if path == "/gone" { 502 } else { 200 };
        assert_eq!(edge.get(path).await.status, expected);
        copies(&edge, "sent", n + 1).await;
        seen = (seen.0 + usize::from(status), seen.1 + usize::from(!fields.is_empty()));
        differences(&edge, "status", seen.0).await;
        differences(&edge, "header", seen.1).await;
    }
    let said = edge.stderr().text();
    let told: Vec<_> = said.lines().filter(|line| line.contains("answered otherwise")).collect();
    assert_eq!(told.len(), 4, "{said}");
    let both = told.iter().find(|line| line.contains("copy=500")).unwrap();
    assert!(both.contains("route=site") && both.contains("client=200"), "{both}");
    assert!(both.contains("content-type, vary") && !said.contains("secret"), "{said}");
}

#[tokio::test]
async fn an_answer_is_compared_whichever_comes_first() {
    for slow in ["one", "two"] {
        let gate = Gate::new();
        let reply = |name: &str, status| match name == slow {
            true => Reply::new(status).behind(&gate),
            false => Reply::new(status),
        };
        let (one, two) = (always(reply("one", 201)).await, always(reply("two", 202)).await);
        let route = "upstream: one, mirror: {upstream: two, at_once: 1, compare: {}}";
        let edge = routed(route, (&one, ""), (&two, "")).await;
        let others = async {
            one.request().await;
            two.request().await;
            if slow == "one" {
                copies(&edge, "sent", 1).await;
            }
            gate.open();
        };
        let (got, ()) = tokio::join!(edge.get("/"), others);
        assert_eq!(got.status, 201);
        differences(&edge, "status", 1).await;
        differences(&edge, "header", 0).await;
    }
}

#[tokio::test]
async fn of_a_client_that_left_nothing_is_compared() {
    let one = origin().answer("/", Reply::never()).status("/other", 404).start().await;
    let two = origin().handler(|_| Reply::ok("two")).start().await;
    let route = "upstream: one, mirror: {upstream: two, compare: {}}";
    let edge = routed(route, (&one, ""), (&two, "")).await;
    let mut raw = edge.raw("web").await;
    raw.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    one.request().await;
    copies(&edge, "sent", 1).await;
    drop(raw);
    let line = edge.access_log(1).await.pop().unwrap();
    assert_eq!(line["cause"], "client_closed", "{line}");
    // This one differs, and no other did.
    assert_eq!(edge.get("/other").await.status, 404);
    copies(&edge, "sent", 2).await;
    differences(&edge, "status", 1).await;
}

#[tokio::test]
async fn an_upgrade_is_not_copied() {
    let one = origin().answer("/ws", Reply::websocket()).reply("/", "one").start().await;
    let two = named("two").await;
    let edge = routed(ALL, (&one, ""), (&two, "")).await;
    let mut socket = edge.client("web").websocket("/ws", &[]).await.unwrap();
    socket.close(None).await.unwrap();
    assert_eq!(edge.get("/").await, "one");
    copies(&edge, "sent", 1).await;
    assert_eq!(two.request().await.target, "/");
}

#[tokio::test]
async fn a_split_is_mirrored_too() {
    let (one, other, two) = (named("one").await, named("other").await, named("two").await);
    let document = "
        upstreams:
          one: {endpoints: [$one]}
          other: {endpoints: [$other]}
          two: {endpoints: [$two]}
        routes:
          - name: site
            mirror: {upstream: two}
            split:
              to: [{weight: 1, upstream: one}, {weight: 1, upstream: other}]
              sticky: '{request.query}'
        ";
    let edge = edge(document).with("one", &one).with("other", &other).with("two", &two);
    let edge = edge.start().await;
    for n in 0..20 {
        assert_eq!(edge.get(&format!("/?{n}")).await.status, 200);
    }
    copies(&edge, "sent", 20).await;
    assert!(one.hits() > 0 && other.hits() > 0 && one.hits() + other.hits() == 20);
    assert_eq!(two.hits(), 20);
}

#[tokio::test]
async fn an_answer_without_end_is_left_in_time() {
    let feed = Feed::new();
    feed.send("begun");
    for protocol in PROTOCOLS {
        let endless = Reply::new(200).fed_by(&feed);
        let two = origin().speaking(protocol).handler(move |_| endless.clone()).start().await;
        let one = named("one").await;
        let of_two = format!("protocol: {protocol}, timeouts: {{response: 300ms}}");
        let edge = routed(ALL, (&one, ""), (&two, &of_two)).await;
        assert_eq!(edge.get("/").await, "one");
        copies(&edge, "sent", 1).await;
        two.cancelled().await;
    }
}

#[tokio::test]
async fn an_endpoint_is_judged_by_copies_too() {
    let (one, bad) = (named("one").await, always(Reply::new(500)).await);
    let judged = "outlier: {consecutive_failures: 2, eject_at_most: 100%, ejection: 1h},
        panic: fail";
    let edge = routed(ALL, (&one, ""), (&bad, judged)).await;
    for n in 0..2 {
        assert_eq!(edge.get("/").await, "one");
        copies(&edge, "sent", n + 1).await;
    }
    edge.metric_becomes("falconer_upstream_ejections_total{upstream=\"two\"}", 1.0).await;
    assert_eq!(edge.get("/").await, "one");
    copies(&edge, "failed", 1).await;
    assert_eq!(bad.hits(), 2);
    assert_eq!(edge.metric("falconer_upstream_ejections_total{upstream=\"one\"}").await, 0.0);
}

#[tokio::test]
async fn an_edge_that_ends_waits_for_no_copy() {
    let (one, two) = (named("one").await, origin().hanging().start().await);
    let mut edge = routed(ALL, (&one, ""), (&two, "")).await;
    assert_eq!(edge.get("/").await, "one");
    two.request().await;
    edge.signal(crate::support::Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
}

#[tokio::test]
async fn an_explanation_copies_nothing() {
    let (one, two) = (named("one").await, named("two").await);
    let edge = routed(ALL, (&one, ""), (&two, "")).await;
    let explained = edge.command(&["explain", "GET", "http://a/"]).await;
    assert_eq!(explained.code, 0, "{}", explained.complained);
    assert!(explained.said.contains("\n\nmirror: {upstream: two}"), "{}", explained.said);
    assert_eq!((one.connections(), two.connections()), (0, 0));
}
