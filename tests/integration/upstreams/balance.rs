//! Which endpoint gets a request, and which the next attempt.

use super::endpoints;
use crate::support::{Certificate, Gate, Reply, edge, eventually, origin};
use std::collections::HashMap;

#[tokio::test]
async fn weights_are_exact_over_a_cycle_and_come_in_no_bursts() {
    let [a, b, c] = [(); 3].map(|()| origin().reply("/", "hello"));
    let (a, b, c) = (a.start().await, b.start().await, c.start().await);
    let document = "
        upstreams:
          app:
            endpoints: [{url: $a, weight: 10}, {url: $b, weight: 2}, {url: $c, weight: 2}]
        ";
    let edge = edge(document).with("a", &a).with("b", &b).with("c", &c).start().await;
    // Over one connection, so that the access log keeps their order.
    let mut h1 = edge.raw("web").await;
    for _ in 0..21 {
        h1.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(h1.response().await, "hello");
    }
    let lines = edge.access_log(21).await;
    let cycle = [&a, &a, &b, &a, &c, &a, &a].map(|origin| origin.endpoint());
    assert_eq!(endpoints(&lines), [cycle, cycle, cycle].concat());
    let attempts = async |of: &str| {
        edge.metric(&format!("falconer_upstream_attempts_total{{endpoint=\"{of}\"}}")).await
    };
    assert_eq!(attempts(a.endpoint()).await, 15.0);
    assert_eq!(attempts(b.endpoint()).await, 3.0);
}

#[tokio::test]
async fn without_weights_endpoints_take_turns() {
    let (a, b) = (origin().reply("/", "a").start().await, origin().reply("/", "b").start().await);
    let edge =
        edge("upstreams: {app: {endpoints: [$a, $b]}}").with("a", &a).with("b", &b).start().await;
    for _ in 0..3 {
        assert_eq!(edge.get("/").await, "a");
        assert_eq!(edge.get("/").await, "b");
    }
}

#[tokio::test]
async fn a_backup_is_spared_while_a_primary_works() {
    for balance in ["round_robin", "least_request", "random"] {
        let primary = origin().reply("/", "primary").start().await;
        let backup = origin().reply("/", "backup").start().await;
        let down = origin().refusing().start().await;
        let document = "
            upstreams:
              app: {balance: $balance, endpoints: [{url: $backup, backup: true}, $down, $primary]}
              rest: {balance: $balance, endpoints: [{url: $backup, backup: true}, $down]}
            routes:
              - {match: {path: /}, upstream: app}
              - {match: {path: /rest}, filters: [{rewrite: {path: /}}], upstream: rest}
            ";
        let edge = edge(document)
            .with("balance", balance)
            .with("primary", &primary)
            .with("backup", &backup)
            .with("down", &down)
            .start()
            .await;
        for _ in 0..6 {
            assert_eq!(edge.get("/").await, "primary", "{balance}");
        }
        assert_eq!(backup.hits(), 0, "{balance}");
        assert_eq!(edge.get("/rest").await, "backup", "{balance}");
        let line = edge.logged("the last", |line| line["path"] == "/rest").await;
        assert_eq!(line["attempts"], 2, "{balance}");
    }
}

#[tokio::test]
async fn least_request_avoids_a_busy_endpoint() {
    let gate = Gate::new();
    let app = || origin().reply("/", "hello").answer("/held", super::held(&gate));
    let (a, b) = (app().start().await, app().start().await);
    let edge = edge("upstreams: {app: {balance: least_request, endpoints: [$a, $b]}}")
        .with("a", &a)
        .with("b", &b)
        .start()
        .await;
    let others = async {
        eventually("the held request", async || (a.hits() + b.hits() == 1).then_some(())).await;
        let (busy, idle) = if a.hits() == 1 { (&a, &b) } else { (&b, &a) };
        for _ in 0..20 {
            assert_eq!(edge.get("/").await, "hello");
        }
        assert_eq!((busy.hits(), idle.hits()), (1, 20));
        gate.open();
    };
    let (held, ()) = tokio::join!(edge.get("/held"), others);
    assert_eq!(held, "late");
}

#[tokio::test]
async fn random_spreads_by_weight() {
    let (a, b) = (origin().reply("/", "a").start().await, origin().reply("/", "b").start().await);
    let edge = edge("upstreams: {app: {balance: random, endpoints: [{url: $a, weight: 4}, $b]}}")
        .with("a", &a)
        .with("b", &b)
        .start()
        .await;
    let mut h1 = edge.raw("web").await;
    for _ in 0..200 {
        h1.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(h1.response().await.status, 200);
    }
    // Chance alone would miss these bounds once in many millions of runs.
    assert!((10..80).contains(&b.hits()), "{}", b.hits());
    assert_eq!(a.hits() + b.hits(), 200);
}

#[tokio::test]
async fn a_failed_connect_goes_to_the_next_endpoint() {
    let bad = origin().refusing().start().await;
    let good = origin().handler(|r| Reply::ok(r.body.clone())).start().await;
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
        upstreams: {app: {endpoints: [$bad, $good]}}
        ";
    let edge = edge(document).with("bad", &bad).with("good", &good).start().await;
    let body = "x".repeat(300_000);
    for client in [edge.client("web"), edge.client("web").h2()] {
        assert_eq!(client.get("/").await, "");
        let post = client.request("POST", "/").body(body.clone());
        assert_eq!(post.clone().send().await, body.as_str());
        assert_eq!(post.chunked().send().await, body.as_str());
    }
    let lines = edge.access_log(6).await;
    for line in &lines {
        assert_eq!((&line["attempts"], &line["status"]), (&2.into(), &200.into()), "{line}");
        assert_eq!(line["endpoint"], good.endpoint());
        assert_eq!(line.get("cause"), None, "{line}");
    }
    let failed = format!("{{endpoint=\"{bad}\",cause=\"upstream_connect_refused\"}}");
    assert_eq!(edge.metric(&format!("falconer_upstream_failures_total{failed}")).await, 6.0);
}

#[tokio::test]
async fn every_endpoint_is_tried_once_and_no_more() {
    let mut bad = Vec::new();
    for _ in 0..20 {
        bad.push(origin().refusing().start().await);
    }
    let good = origin().reply("/", "hello").start().await;
    for balance in ["round_robin", "least_request", "random"] {
        let all: Vec<_> = bad.iter().map(|origin| origin.endpoint().to_owned()).collect();
        let document = "
            upstreams:
              all: {balance: $balance, endpoints: [$bad, {url: $good, backup: true}]}
              none: {balance: $balance, endpoints: [$bad]}
            routes:
              - {match: {path: /}, upstream: all}
              - {match: {path: /none}, upstream: none}
            ";
        let edge = edge(document)
            .with("balance", balance)
            .with("bad", all.join(", "))
            .with("good", &good)
            .start()
            .await;
        assert_eq!(edge.get("/").await, "hello");
        assert_eq!(edge.get("/none").await.status, 502);
        for (path, attempts) in [("/", 21), ("/none", 20)] {
            let line = edge.logged(path, |line| line["path"] == path).await;
            assert_eq!(line["attempts"], attempts, "{line}");
        }
        let mut tried = HashMap::new();
        for endpoint in &all {
            let series = format!(
                "falconer_upstream_attempts_total{{upstream=\"none\",endpoint=\"{endpoint}\"}}"
            );
            tried.insert(endpoint, edge.metric(&series).await);
        }
        assert!(tried.values().all(|times| (times - 1.0).abs() < 1e-9), "{balance}: {tried:?}");
    }
}

#[tokio::test]
async fn when_none_is_left_the_client_gets_the_failure_of_the_last() {
    let refusing = origin().refusing().start().await;
    let fake = origin().tls(&Certificate::self_signed(&["127.0.0.1"])).start().await;
    let (_deaf, deaf) = super::deaf();
    let timeout = format!("https://{deaf}");
    let lasts = [
        (refusing.endpoint(), 502, "upstream_connect_refused"),
        (fake.endpoint(), 502, "upstream_tls_failed"),
        (&timeout, 504, "upstream_timeout_connect"),
    ];
    for (last, status, cause) in lasts {
        let first = if last == refusing.endpoint() { &fake } else { &refusing };
        let edge =
            edge("upstreams: {app: {endpoints: [$first, $last], timeouts: {connect: 500ms}}}")
                .with("first", first)
                .with("last", last)
                .start()
                .await;
        assert_eq!(edge.get("/").await.status, status, "{cause}");
        let line = edge.logged("the request", |_| true).await;
        assert_eq!((&line["cause"], &line["attempts"]), (&cause.into(), &2.into()));
        assert_eq!(line["endpoint"], last);
    }
}

#[tokio::test]
async fn first_takes_the_next_only_when_it_must() {
    let down = origin().refusing().start().await;
    let (a, b) = (origin().reply("/", "a").start().await, origin().reply("/", "b").start().await);
    let edge = edge("upstreams: {app: {balance: first, endpoints: [$down, $a, $b]}}")
        .with("down", &down)
        .with("a", &a)
        .with("b", &b)
        .start()
        .await;
    for _ in 0..5 {
        assert_eq!(edge.get("/").await, "a");
    }
    assert_eq!(b.hits(), 0);
}

#[tokio::test]
async fn hash_keeps_a_key_at_its_endpoint_and_edges_agree() {
    let origins = [origin(), origin(), origin()];
    let [a, b, c] = origins.map(|origin| origin.handler(|_| Reply::ok("")));
    let (a, b, c) = (a.start().await, b.start().await, c.start().await);
    let document = "
        upstreams:
          app: {balance: {hash: {key: \"{request.header.x-user}\"}}, endpoints: [$a, $b, $c]}
        ";
    let one = edge(document).with("a", &a).with("b", &b).with("c", &c).start().await;
    let other = edge(document).with("a", &c).with("b", &a).with("c", &b).start().await;
    let mut endpoints = std::collections::BTreeSet::new();
    for user in 0..20 {
        let path = format!("/?user={user}");
        for edge in [&one, &one, &other] {
            let request = edge.client("web").request("GET", &path).header("x-user", user);
            assert_eq!(request.send().await.status, 200);
        }
        let of_user = |line: &serde_json::Value| line["query"] == format!("user={user}");
        let first = one.logged("a request", of_user).await["endpoint"].clone();
        let lines = one.access_log(2 * (user + 1)).await;
        assert!(lines.iter().filter(|line| of_user(line)).all(|line| line["endpoint"] == first));
        assert_eq!(other.logged("a request", of_user).await["endpoint"], first);
        endpoints.insert(first.to_string());
    }
    assert!(endpoints.len() > 1, "{endpoints:?}");
    // Without a key they are spread.
    let (before, requests) = ([a.hits(), b.hits(), c.hits()], 60);
    for _ in 0..requests {
        assert_eq!(one.get("/").await.status, 200);
    }
    let after = [a.hits(), b.hits(), c.hits()];
    assert!(before.iter().zip(after).all(|(before, after)| after > *before), "{after:?}");
}
