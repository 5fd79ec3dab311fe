//! Endpoints that are asked by gRPC.

use super::{FAILED, HEALTHY, Mood, PASSED, checking, ill};
use crate::support::{Authority, OriginBuilder, Port, Reply, Signal, edge, origin, start_python};
use bytes::Bytes;
use std::sync::atomic::Ordering;

/// An answer of the health service, by hand.
fn answer(status: u8) -> Reply {
    let message = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
    let reply = Reply::ok(message).header("content-type", "application/grpc");
    reply.trailer("grpc-status", "0")
}

/// A call that failed, which is told in one head.
fn failed(code: u8) -> Reply {
    Reply::new(200).header("content-type", "application/grpc").header("grpc-status", code)
}

/// A health service that says how a mood is, as the number of its status.
fn service(origin: OriginBuilder, mood: &Mood) -> OriginBuilder {
    let mood = mood.clone();
    origin.handler(move |_| answer(u8::try_from(mood.0.load(Ordering::Relaxed)).unwrap()))
}

#[tokio::test]
async fn an_endpoint_is_healthy_as_long_as_it_is_serving() {
    let authority = Authority::new();
    // It is asked by HTTP/2, whatever requests go by.
    for (app, keys) in [
        (origin().h2c(), "protocol: h2"),
        (origin().h2c(), ""),
        (origin().tls(&authority.issue(&["127.0.0.1"])), "tls: {verify: false}"),
    ] {
        let mood = Mood::new();
        mood.is(1);
        let app = service(app, &mood).start().await;
        let edge = checking(&app, "grpc: {service: shop.v1.Orders}", keys).await;
        edge.metric_becomes(HEALTHY, 1.0).await;
        mood.is(2);
        edge.metric_becomes(HEALTHY, 0.0).await;
        let said = edge.stderr().line("an endpoint is unhealthy").await;
        assert!(said.contains("its health is NOT_SERVING"), "{said}");
        mood.is(1);
        edge.metric_becomes(HEALTHY, 1.0).await;
        edge.stderr().line("an endpoint is healthy again").await;

        let asked = app.request().await;
        assert_eq!((&*asked.method, &*asked.target), ("POST", "/grpc.health.v1.Health/Check"));
        assert_eq!(
            (&*asked.version, asked.authority.as_deref()),
            ("HTTP/2.0", Some(app.address()))
        );
        assert_eq!(asked.header("content-type"), Some("application/grpc"));
        assert_eq!(asked.header("te"), Some("trailers"));
        assert_eq!(asked.body, b"\0\0\0\0\x10\x0a\x0eshop.v1.Orders");
    }
}

#[tokio::test]
async fn whatever_is_no_good_answer_is_told() {
    let kind = |reply: Reply| reply.header("content-type", "application/grpc");
    for (reply, why) in [
        (answer(0), "its health is UNKNOWN"),
        (answer(3), "its health is SERVICE_UNKNOWN"),
        (failed(12), "the gRPC status 12 (UNIMPLEMENTED)"),
        (failed(5), "the gRPC status 5 (NOT_FOUND)"),
        (kind(Reply::ok("\0\0\0\0\x02\x08")).trailer("grpc-status", "0"), "no message"),
        (kind(Reply::ok(vec![0; 2000])).trailer("grpc-status", "0"), "its answer is too long"),
        (kind(Reply::ok("\0\0\0\0\x02\x08\x01")), "without a gRPC status"),
        (Reply::ok("hello").header("content-type", "text/plain"), "its answer is not gRPC"),
        (Reply::new(404), "it answered with 404"),
        (Reply::reset(), "HTTP/2 failed"),
    ] {
        let app = origin().h2c().handler(move |_| reply.clone()).start().await;
        let edge = checking(&app, "grpc: {}", "protocol: h2").await;
        let said = ill(&edge).await;
        assert!(said.contains(why), "{why} in {said}");
    }
    let app = origin().reply("/", "hello").start().await;
    let edge = checking(&app, "grpc: {}", "").await;
    assert!(ill(&edge).await.contains("HTTP/2 failed"), "clear text that is HTTP/1");
    let certificate = Authority::new().issue(&["127.0.0.1"]);
    let app = origin().tls_with(&certificate, &["http/1.1"]).start().await;
    let edge = checking(&app, "grpc: {}", "tls: {verify: false}").await;
    assert!(ill(&edge).await.contains("TLS"), "TLS without HTTP/2");
}

#[tokio::test]
async fn grpcs_own_health_service_is_understood() {
    let port = Port::free();
    let document = "
        upstreams:
          app: {endpoints: ['http://127.0.0.1:$port'], protocol: h2, health: {$all}}
          orders: {endpoints: ['http://127.0.0.1:$port'], health: {grpc: {service: orders}, $fast}}
          other: {endpoints: ['http://127.0.0.1:$port'], health: {grpc: {service: other}, $fast}}
        routes: [{upstream: app}]
        ";
    let fast = "interval: 50ms";
    let edge = edge(document).with("port", &port).with("fast", fast);
    let edge = edge.with("all", format!("grpc: {{}}, {fast}")).start().await;
    assert_eq!(edge.metric(HEALTHY).await, 0.0, "nobody is there yet");
    let server = start_python("health_server.py", &[&port.to_string()]);
    edge.metric_becomes(HEALTHY, 1.0).await;
    let orders = r#"falconer_upstream_endpoint_healthy{upstream="orders"}"#;
    edge.metric_becomes(orders, 1.0).await;
    server.signal(Signal::SIGUSR2);
    edge.metric_becomes(orders, 0.0).await;
    edge.stderr().line("its health is NOT_SERVING").await;
    assert_eq!(edge.metric(HEALTHY).await, 1.0, "the server as a whole");
    server.signal(Signal::SIGUSR1);
    edge.metric_becomes(orders, 1.0).await;
    // The service answers so for one that it does not know.
    let other = r#"falconer_upstream_endpoint_healthy{upstream="other"}"#;
    assert_eq!(edge.metric(other).await, 0.0);
    let passed = edge.metric(PASSED).await;
    let failed = edge.metric(FAILED).await;
    edge.metric_reaches(PASSED, passed + 3.0).await;
    assert_eq!(edge.metric(FAILED).await, failed);
}
