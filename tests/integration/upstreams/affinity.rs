//! A client's requests go to the endpoint that served its first one.

mod arr;
mod drain;
mod failure;
mod kestrel;
mod signalr;

use super::PROTOCOLS;
use crate::support::{Client, Edge, Origin, Reply, Response, edge, origin};

/// An endpoint that says who it is.
async fn named(name: &'static str) -> Origin {
    origin().handler(move |_| Reply::ok(name)).start().await
}

/// An edge before endpoints `a` and `b`, whose clients belong to them so.
async fn before(a: &Origin, b: &Origin, affinity: &str) -> Edge {
    let edge = edge(DOCUMENT).with("a", a).with("b", b);
    edge.with("affinity", affinity).start().await
}

const DOCUMENT: &str = "
    listeners:
      web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
    certificates: {site: {self_signed: [localhost]}}
    upstreams: {app: {endpoints: [$a, $b], affinity: $affinity}}
    ";

const OUTCOMES: [&str; 3] = ["kept", "new", "lost"];

/// How many clients were kept, new and lost.
async fn outcomes(edge: &Edge) -> [f64; 3] {
    let mut counted = [0.0; 3];
    for (outcome, count) in OUTCOMES.iter().zip(&mut counted) {
        let series = format!("falconer_upstream_affinity_total{{outcome=\"{outcome}\"}}");
        *count = edge.metric(&series).await;
    }
    counted
}

/// The name and value of the cookie that a response gives.
fn given(response: &Response) -> Option<String> {
    let line = response.header("set-cookie")?;
    Some(line.split(';').next().unwrap().to_owned())
}

/// A client comes back with its cookie.
async fn again(client: &Client, cookie: &str) -> Response {
    client.request("GET", "/").header("Cookie", cookie).send().await
}

#[tokio::test]
async fn a_cookie_brings_a_client_back_to_its_endpoint() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = before(&a, &b, "{cookie: node}").await;
    for protocol in PROTOCOLS {
        for client in [edge.client("web"), edge.client("secure").tls()] {
            let client = client.speaking(protocol);
            for _ in 0..2 {
                let first = client.get("/").await;
                let cookie = given(&first).unwrap();
                for _ in 0..5 {
                    let next = again(&client, &format!("x=1; {cookie}; y=2")).await;
                    assert_eq!((next.text(), given(&next)), (first.text(), None));
                }
            }
        }
    }
    assert_eq!(outcomes(&edge).await, [40.0, 8.0, 0.0]);
    assert_eq!(a.hits(), b.hits(), "new clients go in turn");
}

#[tokio::test]
async fn the_cookie_is_for_the_session_and_tells_nothing() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = before(&a, &b, "{cookie: node}").await;
    let lines = [edge.client("web"), edge.client("secure").tls()];
    for (client, attributes) in lines
        .iter()
        .zip(["; Path=/; HttpOnly; SameSite=Lax", "; Path=/; Secure; HttpOnly; SameSite=Lax"])
    {
        let answer = client.get("/").await;
        let line = answer.header("set-cookie").unwrap();
        let (pair, rest) = line.split_at(line.find(';').unwrap());
        let value = pair.strip_prefix("node=").unwrap();
        assert_eq!(rest, attributes);
        assert!(value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit()), "{value}");
    }
}

#[tokio::test]
async fn every_attribute_can_be_set() {
    let (a, b) = (named("a").await, named("b").await);
    let cookie = "{name: node, domain: example.com, path: /shop, max_age: 2h, secure: false, \
        http_only: false, same_site: strict}";
    let edge = before(&a, &b, &format!("{{cookie: {cookie}}}")).await;
    let answer = edge.client("secure").tls().get("/").await;
    let line = answer.header("set-cookie").unwrap();
    let attributes = "; Path=/shop; Domain=example.com; Max-Age=7200; SameSite=Strict";
    assert!(line.ends_with(attributes), "{line}");
}

#[tokio::test]
async fn what_an_endpoint_sets_stays_beside_it() {
    let cookies = Reply::ok("a").header("Set-Cookie", "own=1").header("Set-Cookie", "other=2");
    let a = origin().answer("/", cookies).start().await;
    let edge = before(&a, &a, "{cookie: node}").await;
    let answer = edge.get("/").await;
    let cookies = answer.headers.all("set-cookie");
    assert_eq!(cookies[..2], ["own=1", "other=2"]);
    assert!(cookies[2].starts_with("node="), "{cookies:?}");
}

#[tokio::test]
async fn a_reply_of_the_edges_own_gives_no_cookie() {
    let a = origin().refusing().start().await;
    let edge = before(&a, &a, "{cookie: node}").await;
    let answer = edge.get("/").await;
    assert_eq!((answer.status, given(&answer)), (502, None));
}

#[tokio::test]
async fn clients_stay_over_reloads_upgrades_and_restarts() {
    let (a, b) = (named("a").await, named("b").await);
    let state = tempfile::tempdir().unwrap();
    let document = "
        server: {state_dir: $state}
        upstreams: {app: {endpoints: [$a, $b], affinity: {cookie: node}}}
        ";
    let start = || {
        let edge = edge(document).with("a", &a).with("b", &b);
        edge.with("state", state.path().display()).start()
    };
    let mut first = start().await;
    let answers = [first.get("/").await, first.get("/").await];
    let stay = async |edge: &Edge| {
        for answer in &answers {
            let next = again(&edge.client("web"), &given(answer).unwrap()).await;
            assert_eq!((next.text(), given(&next)), (answer.text(), None));
        }
    };
    // The order of endpoints is nothing, nor is one more.
    first.reload(&document.replace("[$a, $b]", "[http://127.0.0.1:1, $b, $a]")).await;
    stay(&first).await;
    first.upgrade().await;
    stay(&first).await;
    drop(first);
    stay(&start().await).await;
}

#[tokio::test]
async fn edges_that_share_a_secret_know_each_others_clients() {
    let (a, b) = (named("a").await, named("b").await);
    let affinity = "{cookie: node, secret: \"${file:secret}\"}";
    let start = |secret: &str| {
        let edge = edge(DOCUMENT).with("a", &a).with("b", &b).with("affinity", affinity);
        edge.file("secret", secret).start()
    };
    let first = start("0123456789abcdef").await;
    let (same, other) = (start("0123456789abcdef").await, start("fedcba9876543210").await);
    for _ in 0..2 {
        let answer = first.get("/").await;
        let cookie = given(&answer).unwrap();
        let next = again(&same.client("web"), &cookie).await;
        assert_eq!((next.text(), given(&next)), (answer.text(), None));
        let next = again(&other.client("web"), &cookie).await;
        assert!(given(&next).is_some_and(|other| other != cookie));
    }
    assert!(!same.file("state/affinity.key").exists(), "it needs no key of its own");
}

#[tokio::test]
async fn a_field_brings_a_client_back_to_its_endpoint() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = before(&a, &b, "{header: X-Node}").await;
    for protocol in PROTOCOLS {
        let client = edge.client("web").speaking(protocol);
        for _ in 0..2 {
            let first = client.get("/").await;
            let value = first.header("x-node").unwrap();
            for _ in 0..3 {
                let next = client.request("GET", "/").header("X-Node", value).send().await;
                assert_eq!((next.text(), next.header("x-node")), (first.text(), None));
            }
        }
    }
    let none = edge.get("/").await;
    assert_eq!(none.header("set-cookie"), None);
}
