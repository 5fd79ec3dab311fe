//! Bodies stream both ways: what comes leaves at once.

use super::{To, ways};
use crate::support::{Feed, Reply, origin};

#[tokio::test]
async fn the_first_byte_of_a_response_leaves_when_it_comes() {
    for (by, to) in ways() {
        let feed = Feed::new();
        let reply = Reply::new(200).header("content-type", "text/event-stream").fed_by(&feed);
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut flow = by.client(&edge).request("GET", "/").open().await;
        // The head comes before there is any body.
        assert_eq!(flow.head().await.status, 200, "{by:?} {to:?}");
        for event in ["data: 1\n\n", "d", "ata: 2\n\n"] {
            feed.send(event);
            assert_eq!(flow.bytes(event.len()).await, event.as_bytes(), "{by:?} {to:?}");
        }
        feed.end();
        assert_eq!(flow.piece().await, None, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn a_body_of_known_length_trickles_through() {
    for (by, to) in ways() {
        let feed = Feed::new();
        let reply = Reply::new(200).header("content-length", 3).fed_by(&feed);
        let origin = to.origin().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut flow = by.client(&edge).request("GET", "/").open().await;
        assert_eq!(flow.head().await.header("content-length"), Some("3"), "{by:?} {to:?}");
        for byte in ["a", "b", "c"] {
            feed.send(byte);
            assert_eq!(flow.bytes(1).await, byte.as_bytes(), "{by:?} {to:?}");
        }
        feed.end();
        assert_eq!(flow.piece().await, None, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn the_first_byte_of_a_request_leaves_when_it_comes() {
    for (by, to) in ways() {
        for length in [None, Some(6)] {
            let origin = to.origin().reply("/", "thanks").start().await;
            let edge = to.edge(&origin).await;
            let request = by.client(&edge).request("POST", "/");
            let request = match length {
                Some(length) => request.header("content-length", length),
                None => request.chunked(),
            };
            let mut flow = request.open().await;
            for (piece, so_far) in [("one", "one"), ("two", "onetwo")] {
                flow.write(piece).await;
                let arrived = |seen: &crate::support::Seen| {
                    seen.requests.first().is_some_and(|r| r.body == so_far.as_bytes())
                };
                origin.until(so_far, arrived).await;
            }
            flow.finish().await;
            assert_eq!(flow.head().await.status, 200, "{by:?} {to:?} {length:?}");
            assert_eq!(flow.bytes(6).await, b"thanks");
            let request = origin.request().await;
            assert!(request.complete);
            let told = request.header("content-length");
            assert_eq!(told, length.map(|_| "6"), "{by:?} {to:?}");
            let coding = if to == To::H1 && length.is_none() { Some("chunked") } else { None };
            assert_eq!(request.header("transfer-encoding"), coding, "{by:?} {to:?}");
        }
    }
}

#[tokio::test]
async fn a_response_may_begin_and_flow_before_the_request_ends() {
    for (by, to) in ways() {
        let feed = Feed::new();
        let reply = Reply::new(200).fed_by(&feed);
        let origin = to.origin().before_body().answer("/", reply).start().await;
        let edge = to.edge(&origin).await;
        let mut flow = by.client(&edge).request("POST", "/").chunked().open().await;
        assert_eq!(flow.head().await.status, 200, "{by:?} {to:?}");
        for n in 1..=3 {
            flow.write("ping").await;
            let arrived = |seen: &crate::support::Seen| {
                seen.requests.first().is_some_and(|r| r.length == n * 4)
            };
            origin.until("a ping", arrived).await;
            feed.send("pong");
            assert_eq!(flow.bytes(4).await, b"pong", "{by:?} {to:?}");
        }
        flow.finish().await;
        assert!(origin.request().await.complete);
        feed.end();
        assert_eq!(flow.piece().await, None, "{by:?} {to:?}");
    }
}

#[tokio::test]
async fn pieces_of_any_size_arrive_whole() {
    for (by, to) in ways() {
        let origin = to.origin().handler(|r| Reply::ok(r.body.clone())).start().await;
        let edge = to.edge(&origin).await;
        for length in [0, 1, 1000, 65_535, 65_536, 300_000] {
            let body: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            for chunked in [false, true] {
                let request = by.client(&edge).request("POST", "/").body(body.clone());
                let request = if chunked { request.chunked() } else { request };
                let response = request.send().await;
                assert!(response.body == body, "{by:?} {to:?} {length} {chunked}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_ends_with_the_connection_passes() {
    let wire = "HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nuntil the end";
    let origin = origin().raw_then_close(wire).start().await;
    let edge = To::H1.edge(&origin).await;
    for by in super::By::ALL {
        let response = by.client(&edge).get("/").await;
        assert_eq!(response, "until the end", "{by:?}");
        assert_eq!(response.header("x-old"), Some("1"));
    }
}
