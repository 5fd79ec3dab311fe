//! `split`: each request goes to one of several upstreams.

use super::{PROTOCOLS, named, routed};
use crate::support::{Client, Edge, Raw, Reply, edge, origin};
use std::time::Duration;

const CANARY: &str = "split: {to: [{weight: 95, upstream: one}, {weight: 5, upstream: two}]}";
const STICKY: &str = "split: {to: [{weight: 95, upstream: one}, {weight: 5, upstream: two}], \
    sticky: '{request.cookie.sid}'}";

/// Where each of these sessions goes, over one connection.
async fn parts(edge: &Edge, sessions: std::ops::Range<usize>) -> Vec<String> {
    let mut raw = edge.raw("web").await;
    let mut parts = Vec::new();
    for session in sessions {
        parts.push(part(&mut raw, &format!("Cookie: theme=dark; sid=s{session}\r\n")).await);
    }
    parts
}

async fn part(raw: &mut Raw, fields: &str) -> String {
    raw.write(format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
    let response = raw.response().await;
    assert_eq!(response.status, 200);
    response.text()
}

#[tokio::test]
async fn chance_gives_each_its_share() {
    let (one, two) = (named("one").await, named("two").await);
    let edge = routed(CANARY, (&one, ""), (&two, "")).await;
    let mut raw = edge.raw("web").await;
    for _ in 0..2000 {
        part(&mut raw, "").await;
    }
    assert_eq!(one.hits() + two.hits(), 2000);
    // 100 are expected with a standard deviation of 9.7: six of them come once in a billion.
    assert!((42..=158).contains(&two.hits()), "{} of 2000 for 5 %", two.hits());
    for (upstream, origin) in [("one", &one), ("two", &two)] {
        let attempts = format!("falconer_upstream_attempts_total{{upstream=\"{upstream}\"}}");
        assert_eq!(edge.metric(&attempts).await, origin.hits() as f64);
    }
    edge.metric_becomes("falconer_route_requests_total{route=\"site\"}", 2000.0).await;
}

#[tokio::test]
async fn a_session_stays_where_it_is_in_every_process_and_version() {
    let (one, two) = (named("one").await, named("two").await);
    let edge = routed(STICKY, (&one, ""), (&two, "")).await;
    let first = parts(&edge, 0..400).await;
    assert_eq!(parts(&edge, 0..400).await, first);
    let second = first.iter().filter(|part| *part == "two").count();
    // 20 are expected with a standard deviation of 4.4.
    assert!((6..=46).contains(&second), "{second} of 400 for 5 %");

    let other = routed(STICKY, (&one, ""), (&two, "")).await;
    assert_eq!(parts(&other, 0..400).await, first);
    let by_h2 = async |client: &Client, session: usize| {
        let cookie = format!("sid=s{session}");
        client.request("GET", "/").header("Cookie", cookie).send().await.text()
    };
    let client = edge.client("web").h2();
    for (session, part) in first.iter().enumerate().take(40) {
        assert_eq!(by_h2(&client, session).await, *part);
    }
}

#[tokio::test]
async fn when_weights_change_nobody_leaves_the_part_that_grows() {
    let (one, two) = (named("one").await, named("two").await);
    let mut edge = routed(STICKY, (&one, ""), (&two, "")).await;
    let before = parts(&edge, 0..300).await;
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {one: {endpoints: [$one]}, two: {endpoints: [$two]}}
        routes: [{name: site, $route}]
        ";
    edge.reload(&document.replace("$route", &STICKY.replace("weight: 5,", "weight: 95,"))).await;
    let after = parts(&edge, 0..300).await;
    assert!(before.iter().zip(&after).all(|(before, after)| before == "one" || after == "two"));
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    // 45 % of them, with a standard deviation of 8.6.
    assert!((83..=187).contains(&moved), "{moved} of 300 moved");
}

#[tokio::test]
async fn without_a_key_a_session_is_no_session() {
    let (one, two) = (named("one").await, named("two").await);
    let even = STICKY.replace("95", "1").replace("weight: 5,", "weight: 1,");
    let edge = routed(&even, (&one, ""), (&two, "")).await;
    let mut raw = edge.raw("web").await;
    for n in 0..40 {
        part(&mut raw, if n % 2 == 0 { "" } else { "Cookie: sid=\r\n" }).await;
    }
    assert!(one.hits() > 0 && two.hits() > 0, "{} and {}", one.hits(), two.hits());
}

#[tokio::test]
async fn retries_stay_in_the_part_that_was_chosen() {
    let bad = origin().handler(|_| Reply::new(503)).start().await;
    let (good, other) = (named("good").await, named("other").await);
    let document = "
        upstreams:
          chosen: {endpoints: [$bad, $good], balance: first, retry: {backoff: 1ms}}
          other: {endpoints: [$other]}
        routes:
          - name: site
            split: {to: [{weight: 0, upstream: other}, {weight: 1, upstream: chosen}]}
        ";
    let edge = edge(document).with("bad", &bad).with("good", &good).with("other", &other);
    let edge = edge.start().await;
    for _ in 0..8 {
        assert_eq!(edge.get("/").await, "good");
    }
    let line = edge.access_log(8).await.pop().unwrap();
    assert_eq!((&line["upstream"], &line["attempts"]), (&"chosen".into(), &2.into()), "{line}");
    assert_eq!((bad.hits(), other.hits()), (8, 0));
}

#[tokio::test]
async fn each_part_goes_by_its_own_upstream() {
    for protocol in PROTOCOLS {
        let one = origin().handler(|_| Reply::ok("one")).start().await;
        let two = origin().speaking(protocol).handler(|_| Reply::ok("two")).start().await;
        let of_two = format!("protocol: {protocol}, host: two.internal, forwarded: on");
        let by_field = "split: {to: [{weight: 1, upstream: one}, {weight: 1, upstream: two}],
            sticky: '{request.header.x-key}'}";
        let edge = routed(by_field, (&one, ""), (&two, &of_two)).await;
        for key in 0..20 {
            let request = edge.request("GET", "/").host("shop.example").header("X-Key", key);
            let part = request.send().await.text();
            let line = edge.access_log(key + 1).await.pop().unwrap();
            assert_eq!(line["upstream"], part, "{line}");
        }
        let (one, two) = (one.request().await, two.request().await);
        assert_eq!((one.header("host"), one.header("forwarded")), (Some("shop.example"), None));
        let host = two.authority.as_deref().or(two.header("host"));
        assert_eq!(host, Some("two.internal"), "{protocol}");
        assert!(two.header("forwarded").is_some_and(|told| told.contains("host=\"shop.example\"")));
        assert_eq!(two.header("x-forwarded-host"), Some("shop.example"));
    }
}

#[tokio::test]
async fn each_part_has_its_own_timeouts_and_the_routes_win() {
    let slow = async || {
        let late = Reply::ok("late").after(Duration::from_millis(700));
        origin().handler(move |_| late.clone()).start().await
    };
    let (one, two) = (slow().await, slow().await);
    let patient = "timeouts: {response: 20s}";
    let hasty = "timeouts: {response: 100ms}";
    let to = |upstream: &str, other: &str| {
        format!(
            "split: {{to: [{{weight: 1, upstream: {upstream}}}, {{weight: 0, upstream: {other}}}]}}"
        )
    };
    let status = async |route: String| {
        let edge = routed(&route, (&one, patient), (&two, hasty)).await;
        edge.get("/").await.status
    };
    assert_eq!(status(to("one", "two")).await, 200);
    assert_eq!(status(to("two", "one")).await, 504);
    assert_eq!(status(to("two", "one") + ", timeouts: {response: 20s}").await, 200);
}

#[tokio::test]
async fn what_is_refused_before_goes_to_no_part() {
    let (one, two) = (named("one").await, named("two").await);
    let limited = format!("{CANARY}, limits: {{body_size: 1}}");
    let edge = routed(&limited, (&one, ""), (&two, "")).await;
    assert_eq!(edge.request("POST", "/").body("too long").send().await.status, 413);
    let line = edge.access_log(1).await.pop().unwrap();
    assert!(line["upstream"].is_null(), "{line}");
    assert_eq!(one.hits() + two.hits(), 0);
}
