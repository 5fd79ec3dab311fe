//! The target `reply`: what a route answers by itself.

use super::clients;
use crate::support::{Edge, edge};

async fn replying() -> Edge {
    edge(
        r#"
        listeners: $listeners
        routes:
          - {match: {path: /empty}, reply: {}}
          - {match: {path: /teapot}, reply: {status: 418, body: "short and stout\n"}}
          - {match: {path: /typed}, reply: {body: "<p>ü</p>", headers: {Content-Type: text/html, x-own: "1", location: "/{request.path}"}}}
          - {match: {path: /nothing}, reply: {status: 204}}
          - {match: {path: /unchanged}, reply: {status: 304, headers: {etag: '"1"'}}}
          - {match: {path: /down}, reply: {status: 503, headers: {retry-after: "30"}}}
        "#,
    )
    .with("listeners", super::LISTENERS)
    .start()
    .await
}

#[tokio::test]
async fn a_reply_is_sent_as_it_is_written() {
    let edge = replying().await;
    for client in clients(&edge) {
        for (path, status, body, kind) in [
            ("/empty", 200, "", None),
            ("/teapot", 418, "short and stout\n", Some("text/plain; charset=utf-8")),
            ("/typed", 200, "<p>ü</p>", Some("text/html")),
            ("/down", 503, "", None),
        ] {
            let response = client.get(path).await;
            assert_eq!((response.status, response.text().as_str()), (status, body), "{path}");
            assert_eq!(response.headers.all("content-type"), Vec::from_iter(kind), "{path}");
            let length = body.len().to_string();
            assert_eq!(response.headers.all("content-length"), [length.as_str()], "{path}");
        }
        let typed = client.get("/typed").await;
        // Its fields are no templates.
        let fields = (typed.header("x-own"), typed.header("location"));
        assert_eq!(fields, (Some("1"), Some("/{request.path}")));
        assert_eq!(client.get("/down").await.header("retry-after"), Some("30"));
        for (path, status) in [("/nothing", 204), ("/unchanged", 304)] {
            let response = client.get(path).await;
            assert_eq!((response.status, response.header("content-length")), (status, None));
        }
        assert_eq!(client.get("/unchanged").await.header("etag"), Some("\"1\""));
    }
}

#[tokio::test]
async fn head_gets_the_head_alone() {
    let edge = replying().await;
    for client in clients(&edge) {
        let response = client.request("HEAD", "/teapot").send().await;
        assert_eq!((response.status, response.text().as_str()), (418, ""));
        assert_eq!(response.header("content-length"), Some("16"));
    }
    let mut raw = edge.raw("web").await;
    raw.write("HEAD /teapot HTTP/1.1\r\nHost: a\r\n\r\nGET /teapot HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    assert_eq!(raw.response_to("HEAD").await.status, 418);
    assert_eq!(raw.response().await, "short and stout\n");
}

#[tokio::test]
async fn a_reply_does_not_wait_for_the_body_of_its_request() {
    let edge = replying().await;
    for body in ["hello", "he", ""] {
        let mut raw = edge.raw("web").await;
        let head = "POST /teapot HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
        raw.write(format!("{head}{body}")).await;
        let response = raw.response().await;
        assert_eq!(response, "short and stout\n");
        assert_eq!(response.header("connection"), Some("close"));
    }
    let mut h2 = edge.h2("web").await;
    for _ in 0..3 {
        let mut exchange = h2.start("POST", "/teapot", &[], false).await;
        exchange.write("hello", true).await;
        assert_eq!(exchange.response().await, "short and stout\n");
    }
}

#[tokio::test]
async fn the_log_says_that_no_upstream_was_asked() {
    let edge = replying().await;
    edge.get("/teapot?a").await;
    let line = &edge.access_log(1).await[0];
    assert_eq!((&line["status"], &line["route"]), (&418.into(), &"route-2".into()));
    assert_eq!((&line["attempts"], &line["bytes_sent"]), (&0.into(), &16.into()));
    for absent in ["upstream", "endpoint", "upstream_ms", "cause"] {
        assert!(line.get(absent).is_none(), "{absent} in {line}");
    }
}
