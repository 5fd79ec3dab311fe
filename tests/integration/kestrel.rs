//! A real ASP.NET Core application behind the edge, reached by HTTP/1, HTTP/2 and a unix socket.

use crate::support::{Broken, Client, Edge, Way, edge, kestrel, node};
use sha2::{Digest, Sha256};

/// More than Kestrel takes as a body, which is 30,000,000 bytes with the framing of chunks.
const LARGE: usize = 50_000_000;
/// About the most that it takes.
const MOST: usize = 29_900_000;

/// An edge before the application, in clear text and over TLS, for HTTP/1 and HTTP/2 each.
async fn before(way: Way) -> Edge {
    println!("upstream: {way}");
    let document = "
        listeners:
          web: {address: '127.0.0.1:0', protocols: [h1, h2]}
          secure: {address: '127.0.0.1:0', tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        upstreams: {app: $app}
        routes:
          - {match: {path: /api/*}, filters: [{rewrite: {strip_prefix: /api}}], upstream: app}
          - {match: {path: /upload}, limits: {body_size: off}, upstream: app}
          - {upstream: app}
    ";
    edge(document).with("app", way).start().await
}

/// Every way to speak to the edge, with the scheme that it stands for.
fn clients(edge: &Edge) -> [(&'static str, Client); 4] {
    let (web, secure) = (edge.client("web"), edge.client("secure").tls());
    [("http", web.clone()), ("http", web.h2()), ("https", secure.clone()), ("https", secure.h2())]
}

#[tokio::test]
async fn kestrel_sees_what_the_client_sent() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (scheme, client) in clients(&edge) {
            let target = "/%65cho?a=%2F&b=c+d%20e&a=%C3%BC;&empty=";
            let request = client.request("PROPPATCH", target).host("Shop.Example.com:8080");
            let request = request.header("x-tenant", "42").body("grüße");
            let seen = request.send().await.json();

            assert_eq!(seen["method"], "PROPPATCH");
            assert_eq!(seen["rawTarget"], target);
            assert_eq!(seen["path"], "/echo");
            assert_eq!(seen["query"], "?a=%2F&b=c+d%20e&a=%C3%BC;&empty=");
            assert_eq!(seen["host"], "Shop.Example.com:8080");
            assert_eq!(seen["scheme"], scheme);
            assert_eq!(seen["protocol"], way.protocol);
            assert_eq!(seen["headers"]["x-tenant"][0], "42");
            // The application shows bytes as Latin-1.
            assert_eq!(seen["body"], "grÃ¼Ã\u{9f}e");
        }
    }
}

#[tokio::test]
async fn kestrel_sees_the_address_of_the_client_and_not_the_edges() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let request = client.from([127, 9, 8, 7]).request("GET", "/echo");
            let forged = request.header("X-Forwarded-For", "203.0.113.1");
            let forged = forged.header("X-Forwarded-Proto", "gopher");
            let forged = forged.header("X-Forwarded-Host", "forged.example.com");
            let seen = forged.host("shop.example.com").send().await.json();
            assert_eq!(seen["remote"], "127.9.8.7");
            assert_eq!(seen["host"], "shop.example.com");
            assert_ne!(seen["scheme"], "gopher");
        }
    }
}

#[tokio::test]
async fn a_stripped_prefix_is_the_path_base_of_the_application() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let request = client.request("GET", "/api/echo?x=1");
            let forged = request.header("X-Forwarded-Prefix", "/forged");
            let seen = forged.send().await.json();
            let place = [&seen["pathBase"], &seen["path"], &seen["rawTarget"]];
            assert_eq!(place, ["/api", "/echo", "/echo?x=1"]);
            let plain = client.request("GET", "/echo").header("X-Forwarded-Prefix", "/forged");
            assert_eq!(plain.send().await.json()["pathBase"], "");
        }
    }
}

#[tokio::test]
async fn signalr_talks_by_every_transport() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        // A WebSocket goes by HTTP/1, which this port of the application does not speak.
        let transports: &[&str] = match way == kestrel.h2c() {
            true => &["serverSentEvents", "longPolling"],
            false => &["webSockets", "serverSentEvents", "longPolling"],
        };
        let (web, secure) = (edge.address("web"), edge.address("secure"));
        for hub in [format!("http://{web}/hub"), format!("https://{secure}/hub")] {
            let talked = node("signalr.mjs", &[&[&*hub], transports].concat()).await.well();
            let talked: serde_json::Value = serde_json::from_str(&talked).unwrap();
            for transport in transports {
                assert!(talked[transport]["pid"].is_number(), "{hub} {talked}");
            }
        }
        if way != kestrel.h2c() {
            let upgraded = |line: &serde_json::Value| line["status"] == 101;
            edge.logged("the WebSocket", upgraded).await;
        }
    }
}

#[tokio::test]
async fn a_websocket_passes_with_every_kind_of_message() {
    let Some(kestrel) = kestrel().await else { return };
    for way in [kestrel.h1(), kestrel.unix()] {
        let edge = before(way).await;
        let (web, secure) = (edge.address("web"), edge.address("secure"));
        for url in [format!("ws://{web}/ws"), format!("wss://{secure}/ws")] {
            let talked = node("websocket.mjs", &[&url]).await.well();
            let talked: serde_json::Value = serde_json::from_str(&talked).unwrap();
            assert_eq!(talked["close"], 1000, "Kestrel answers any close with 1000: {talked}");
        }
    }
}

#[tokio::test]
async fn grpc_calls_pass_with_their_trailers() {
    let Some(kestrel) = kestrel().await else { return };
    let edge = before(kestrel.h2c()).await;
    for client in [edge.client("web").h2(), edge.client("secure").tls().h2()] {
        let call = |method: &str| {
            let request = client.request("POST", &format!("/probe.Probe/{method}"));
            request.header("te", "trailers").header("content-type", "application/grpc")
        };
        let unary = call("Echo").body(message("hello")).send().await;
        assert_eq!((unary.status, &unary.body[..]), (200, &message("hello")[..]));
        assert_eq!(unary.header("content-type"), Some("application/grpc"));
        assert_eq!(unary.trailers.one("grpc-status"), Some("0"));

        let mut streaming = call("Echo").chunked().open().await;
        streaming.write(message("one")).await;
        assert_eq!(streaming.head().await.status, 200);
        assert_eq!(streaming.bytes(8).await, message("one"));
        streaming.write(message("two")).await;
        assert_eq!(streaming.bytes(8).await, message("two"));
        streaming.finish().await;
        assert_eq!(streaming.piece().await, None);
        assert_eq!(streaming.trailers().await.one("grpc-status"), Some("0"));

        let failed = call("Fail").body(message("hello")).send().await;
        assert_eq!((failed.status, failed.body.len()), (200, 0));
        assert_eq!(failed.header("grpc-status"), Some("9"));
        assert_eq!(failed.header("grpc-message"), Some("asked to fail"));
        assert_eq!(failed.trailers.names(), [""; 0], "all of it is in the head");
    }
}

/// A gRPC message on the wire: not compressed, its length, its bytes.
fn message(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_be_bytes();
    [&[0], &length[..], text.as_bytes()].concat()
}

#[tokio::test]
async fn trailers_that_are_not_grpc_pass_too() {
    let Some(kestrel) = kestrel().await else { return };
    let edge = before(kestrel.h2c()).await;
    let response = edge.client("secure").tls().h2().get("/trailers").await;
    assert_eq!(response, "body\n");
    assert_eq!(response.trailers.one("x-end"), Some("done"));
}

#[tokio::test]
async fn the_first_event_of_a_stream_arrives_long_before_its_last() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            // Both would last for minutes; a client that leaves ends them.
            for (path, first) in [("/sse?n=1000", "id: 0\n"), ("/chunks/1000?ms=200", "chunk 0\n")]
            {
                let mut stream = client.request("GET", path).open().await;
                assert_eq!(stream.head().await.status, 200);
                assert_eq!(stream.bytes(first.len()).await[..first.len()], *first.as_bytes());
            }
        }
        let left = |line: &serde_json::Value| line["cause"] == "client_closed";
        edge.access_log_until("eight clients that left", |lines| {
            lines.iter().filter(|line| left(line)).count() == 8
        })
        .await;
    }
}

#[tokio::test]
async fn a_download_arrives_whole() {
    let Some(kestrel) = kestrel().await else { return };
    let expected = Sha256::digest(vec![0; LARGE]);
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let mut download = client.request("GET", &format!("/bytes/{LARGE}")).open().await;
            assert_eq!(download.head().await.header("content-length"), Some("50000000"));
            let mut seen = Sha256::new();
            download.rest(|bytes| seen.update(bytes)).await.unwrap();
            assert_eq!(seen.finalize(), expected);
        }
    }
}

#[tokio::test]
async fn an_upload_arrives_whole() {
    let Some(kestrel) = kestrel().await else { return };
    let body = noise(MOST);
    let expected = hex(&Sha256::digest(&body));
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let request = client.request("POST", "/upload").body(body.clone());
            for request in [request.clone(), request.chunked()] {
                let seen = request.send().await.json();
                assert_eq!(seen["length"], MOST);
                assert_eq!(seen["sha256"], expected);
            }
        }
    }
}

#[tokio::test]
async fn what_kestrel_says_to_a_body_too_large_reaches_the_client_that_still_sends_it() {
    let Some(kestrel) = kestrel().await else { return };
    let body = noise(LARGE);
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let request = client.request("POST", "/upload").body(body.clone());
            for request in [request.clone(), request.chunked()] {
                let refused = request.send().await;
                assert_eq!(refused.status, 413);
                assert_eq!(refused.header("server"), Some("Kestrel"));
            }
        }
        for line in edge.access_log(8).await {
            assert_eq!((&line["status"], line["cause"].is_null()), (&413.into(), true), "{line}");
        }
    }
}

/// Bytes in which no part looks like another.
fn noise(length: usize) -> bytes::Bytes {
    let mut random = fastrand::Rng::with_seed(7);
    let mut bytes = vec![0; length];
    random.fill(&mut bytes);
    bytes.into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn a_response_that_kestrel_breaks_off_is_broken_for_the_client_too() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (place, (_, client)) in clients(&edge).into_iter().enumerate() {
            let broken = client.request("GET", "/half").try_send().await.unwrap_err();
            let Broken::InBody(half, _) = broken else { panic!("no head: {broken:?}") };
            assert_eq!(half.status, 200);
            assert_eq!(*half, "only this\n");

            let lines = edge.access_log(place + 1).await;
            let line = &lines[place];
            assert_eq!((&line["path"], &line["status"]), (&"/half".into(), &200.into()));
            assert_eq!(line["cause"], "upstream_reset");
        }
        edge.metric_becomes("falconer_route_failures_total{cause=\"upstream_reset\"}", 4.0).await;
    }
}

#[tokio::test]
async fn a_request_that_kestrel_aborts_is_answered_with_502() {
    let Some(kestrel) = kestrel().await else { return };
    for way in kestrel.ways() {
        let edge = before(way).await;
        for (_, client) in clients(&edge) {
            let response = client.get("/abort").await;
            assert_eq!(response.status, 502);
            assert_ne!(response.header("server"), Some("Kestrel"));
        }
        let lines = edge.access_log(4).await;
        for line in &lines {
            assert_eq!((&line["path"], &line["status"]), (&"/abort".into(), &502.into()));
            assert_eq!(line["cause"], "upstream_reset");
        }
        edge.metric_becomes("falconer_route_failures_total{cause=\"upstream_reset\"}", 4.0).await;
    }
}
