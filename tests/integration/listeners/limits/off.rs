//! Limits that are off, and what holds all the same.

use super::{limited, limited_before};
use crate::support::{Reply, allow_descriptors, origin};

#[tokio::test]
async fn every_limit_can_be_off() {
    let origin = origin().handler(|request| Reply::ok(request.length.to_string())).start().await;
    let off = "connections: off, connections_per_client: off, handshake_timeout: off, \
               header_timeout: off, header_size: off, header_count: off, uri_size: off, \
               keep_alive: off, min_body_rate: off, body_size: off";
    let edge = limited_before(&origin, off).await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let long = format!("/?{}", "x".repeat(60_000));
        assert_eq!(client.get(&long).await, "0");

        let mut many = client.request("GET", "/");
        for n in 0..200 {
            many = many.header(&format!("x-{n}"), "x".repeat(2_000));
        }
        assert_eq!(many.send().await, "0");

        // 30 MB is the limit where none is written.
        let large = client.request("POST", "/").body(vec![b'x'; 32_000_000]);
        assert_eq!(large.send().await, "32000000");
    }

    // One client may have 500 connections where no limit is written.
    allow_descriptors(2_000);
    let mut all = Vec::new();
    for _ in 0..510 {
        all.push(edge.raw("web").await);
    }
    edge.metric_becomes("falconer_listener_connections{listener=\"web\"}", 510.0).await;
}

#[tokio::test]
async fn what_no_uri_can_hold_is_refused_though_the_limit_is_off() {
    let edge = limited("uri_size: off, header_size: off").await;
    for client in [edge.client("web"), edge.client("secure").tls()] {
        let longest = client.get(&format!("/{}", "x".repeat(65_533))).await;
        assert_eq!(longest.status, 200);
        let refused = client.get(&format!("/{}", "x".repeat(70_000))).await;
        assert_eq!((refused.status, refused.header("connection")), (414, Some("close")));
    }
}

#[tokio::test]
async fn more_fields_than_the_engine_knows_are_refused_though_the_limit_is_off() {
    let edge = limited("header_count: off").await;
    let mut request = edge.request("GET", "/");
    for n in 0..300 {
        request = request.header(&format!("x-{n}"), n);
    }
    assert_eq!(request.send().await.status, 431);
}
