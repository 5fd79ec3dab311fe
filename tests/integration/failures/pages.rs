//! The pages of failures: of a kind that the client accepts, and none for HEAD.

use super::{LISTENERS, ways};
use crate::support::{Edge, edge, origin};

async fn unreachable() -> Edge {
    let app = origin().refusing().start().await;
    let document = format!(
        "{LISTENERS}
upstreams: {{app: {{endpoints: [$app]}}}}
routes: [{{match: {{path: /app}}, upstream: app}}]
"
    );
    edge(&document).with("limits", "{}").with("app", &app).start().await
}

const FAILURES: [(&str, u16, &str); 2] =
    [("/none", 404, "Not Found"), ("/app", 502, "Bad Gateway")];

#[tokio::test]
async fn a_page_is_of_the_kind_that_the_client_accepts() {
    let edge = unreachable().await;
    let html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let kinds = [
        (html, "text/html; charset=utf-8"),
        ("application/json", "application/problem+json"),
        ("text/html;q=0.1, application/json", "application/problem+json"),
        ("*/*", "text/plain; charset=utf-8"),
        ("image/png", "text/plain; charset=utf-8"),
    ];
    for way in ways(&edge) {
        for (path, status, reason) in FAILURES {
            for (accept, kind) in kinds {
                let request = way.client.request("GET", path).header("Accept", accept);
                let response = request.send().await;
                let case = format!("{}, {path}, {accept}: {response:?}", way.name);
                assert_eq!(response.status, status, "{case}");
                assert_eq!(response.header("content-type"), Some(kind), "{case}");
                assert!(response.text().contains(reason), "{case}");
                let length = response.body.len().to_string();
                assert_eq!(response.header("content-length"), Some(length.as_str()), "{case}");
                let text = response.text();
                let told =
                    |line: &serde_json::Value| text.contains(line["request_id"].as_str().unwrap());
                edge.logged(&case, told).await;
            }
            assert_eq!(
                way.client.get(path).await.header("content-type"),
                Some("text/plain; charset=utf-8"),
                "a client that accepts nothing in particular"
            );
        }
    }
}

#[tokio::test]
async fn head_gets_the_head_of_a_page_and_no_body() {
    let edge = unreachable().await;
    for way in ways(&edge) {
        for (path, status, _) in FAILURES {
            let response = way.client.request("HEAD", path).send().await;
            assert_eq!((response.status, response.body.len()), (status, 0), "{}", way.name);
            assert!(response.header("content-length").is_some(), "{}", way.name);
        }
    }
    // On the wire: nothing stands between the head and the next answer, or the end.
    for client in [edge.client("clear"), edge.client("secure").tls()] {
        let mut raw = client.raw().await;
        raw.write("HEAD /none HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.head().await.word(1), "404");
        raw.write("HEAD /app HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(raw.head().await.word(1), "502");
        raw.closed().await;
    }
}

#[tokio::test]
async fn nothing_of_the_request_comes_back_in_a_page() {
    let edge = unreachable().await;
    for way in ways(&edge) {
        for accept in ["text/html", "application/json", "*/*"] {
            let request = way.client.request("GET", "/none/secret?token=secret");
            let request = request.header("Accept", accept).header("X-Secret", "secret");
            let response = request.send().await;
            assert!(!response.text().contains("secret"), "{}: {response:?}", way.name);
        }
    }
}
