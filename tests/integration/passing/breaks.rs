//! A response that breaks off reaches the client broken, never as a clean end.

use super::{By, To};
use crate::support::{Broken, Edge, Feed, Origin, OriginBuilder, Reply, Request, origin};

/// Origins that send `half` of an answer and break off, each in its own way.
fn breaking() -> Vec<(&'static str, To, OriginBuilder)> {
    let half = || {
        let feed = Feed::new();
        feed.send("half");
        feed.end();
        feed
    };
    let short = Reply::ok("half").header("content-length", 8);
    let chunks = Reply::new(200).fed_by(&half());
    let long = Reply::new(200).header("content-length", 8).fed_by(&half());
    vec![
        ("a short body", To::H1, origin().answer("/", short.clone().then_close())),
        ("a reset in the body", To::H1, origin().answer("/", short.then_reset())),
        ("chunks without an end", To::H1, origin().answer("/", chunks.clone().then_close())),
        ("a reset between chunks", To::H1, origin().answer("/", chunks.clone().then_reset())),
        ("half a chunk", To::H1, {
            let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            origin().raw_then_close(format!("{head}8\r\nhalf"))
        }),
        ("no length and a reset", To::H1, {
            let wire = Reply::wire("HTTP/1.1 200 OK\r\n\r\nhalf").then_reset();
            origin().answer("/", wire)
        }),
        ("a stream's reset", To::H2, origin().h2c().answer("/", chunks.then_reset())),
        ("a stream's reset and a length", To::H2, {
            origin().h2c().answer("/", long.then_reset())
        }),
    ]
}

async fn breaks(what: &str, request: Request, is_h2: bool) {
    match request.try_send().await {
        Err(Broken::InBody(response, _)) => assert!("half".starts_with(&response.text()), "{what}"),
        // The reset of a stream may overtake its head.
        Err(Broken::BeforeHead(_)) if is_h2 => {}
        other => panic!("{what}: {other:?}"),
    }
}

async fn is_told(what: &str, edge: &Edge, count: usize) {
    for line in edge.access_log(count).await {
        let told = (&line["status"], &line["cause"]);
        assert_eq!(told, (&200.into(), &"upstream_reset".into()), "{what}: {line}");
    }
    let failures = "falconer_route_failures_total{cause=\"upstream_reset\"}";
    edge.metric_becomes(failures, count as f64).await;
}

#[tokio::test]
async fn a_response_that_breaks_off_upstream_reaches_the_client_broken() {
    for (what, to, origin) in breaking() {
        let origin = origin.start().await;
        let edge = to.edge(&origin).await;
        for by in By::ALL {
            let request = by.client(&edge).request("GET", "/");
            breaks(&format!("{what} to {by:?}"), request, by.is_h2()).await;
        }
        is_told(what, &edge, By::ALL.len()).await;
    }
}

#[tokio::test]
async fn an_http_1_0_client_sees_a_reset_and_no_clean_end() {
    for (what, to, origin) in breaking() {
        let origin = origin.start().await;
        let edge = to.edge(&origin).await;
        for by in [By::H1, By::Tls] {
            let request = by.client(&edge).request("GET", "/").http10();
            breaks(&format!("{what} to {by:?}"), request, false).await;
        }
        is_told(what, &edge, 2).await;
    }
}

#[tokio::test]
async fn an_endpoint_that_is_gone_breaks_its_streams_off() {
    for to in To::ALL {
        let feed = Feed::new();
        let reply = Reply::new(200).fed_by(&feed);
        let origin: Origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut flows = Vec::new();
        feed.send("half");
        for by in By::ALL {
            let mut flow = by.client(&edge).request("GET", "/").open().await;
            assert_eq!(flow.head().await.status, 200);
            assert_eq!(flow.bytes(4).await, b"half");
            flows.push((by, flow));
        }
        drop(origin);
        for (by, mut flow) in flows {
            let end = flow.piece().await;
            assert!(matches!(end, Some(Err(_))), "{by:?} {to:?}: {end:?}");
        }
        is_told("gone", &edge, By::ALL.len()).await;
    }
}
