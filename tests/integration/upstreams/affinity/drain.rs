//! An endpoint that drains keeps its clients for a while, and gets no new ones.

use super::{Edge, again, before, given, named};
use crate::support::{Origin, eventually};

async fn drain(edge: &Edge, endpoint: &Origin, within: &[&str]) -> String {
    let arguments = [&["upstreams", "--drain", "app", endpoint.endpoint()], within].concat();
    let ended = edge.command(&arguments).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    ended.said
}

#[tokio::test]
async fn clients_are_kept_until_the_deadline() {
    for failure in ["redistribute", "reply_503"] {
        let (a, b) = (named("a").await, named("b").await);
        let edge = before(&a, &b, &format!("{{cookie: node, failure: {failure}}}")).await;
        let answers = [edge.get("/").await, edge.get("/").await];
        let cookie = given(answers.iter().find(|answer| **answer == "a").unwrap()).unwrap();

        let said = drain(&edge, &a, &["--within", "4s"]).await;
        assert!(said.contains(": draining, keeps its clients for "), "{said}");
        let web = edge.client("web");
        let kept = again(&web, &cookie).await;
        assert_eq!((kept.text().as_str(), given(&kept)), ("a", None));
        for _ in 0..4 {
            assert_eq!(web.get("/").await, "b", "it gets no new ones");
        }
        let after = eventually("the deadline", async || {
            let answer = again(&web, &cookie).await;
            (answer != "a").then_some(answer)
        })
        .await;
        match failure {
            "redistribute" => assert!(after == "b" && given(&after).is_some()),
            _ => assert_eq!(after.status, 503),
        }
        let said = edge.command(&["upstreams"]).await.said;
        assert!(said.contains(": draining; "), "{said}");

        let resumed = edge.command(&["upstreams", "--resume", "app", a.endpoint()]).await;
        assert_eq!(resumed.code, 0);
        assert_eq!(again(&web, &cookie).await, "a");
    }
}

#[tokio::test]
async fn ten_minutes_are_the_default_and_none_is_possible() {
    let (a, b) = (named("a").await, named("b").await);
    let edge = before(&a, &b, "{cookie: node}").await;
    let said = drain(&edge, &a, &[]).await;
    let left = said.split("keeps its clients for ").nth(1).unwrap().split('s').next().unwrap();
    assert!((500..=600).contains(&left.parse().unwrap()), "{said}");
    let said = drain(&edge, &a, &["--within", "0s"]).await;
    assert!(said.contains(": draining; "), "{said}");

    let admin = edge.client("admin");
    let list: serde_json::Value = admin.get("/api/upstreams").await.json();
    assert_eq!(list[0]["endpoints"][0]["keeps_for"], 0, "{list}");
    assert_eq!(list[0]["endpoints"][1]["keeps_for"], serde_json::Value::Null, "{list}");
    let query = format!("upstream=app&endpoint={}&within=", a.endpoint());
    for (act, within) in [("drain", "10"), ("drain", "soon"), ("resume", "10m")] {
        let path = format!("/api/upstreams/{act}?{query}{within}");
        assert_eq!(admin.request("POST", &path).send().await.status, 400, "{act} {within}");
    }
}

#[tokio::test]
async fn where_clients_belong_nowhere_none_are_kept() {
    let (a, b) = (named("a").await, named("b").await);
    let document = "upstreams: {app: {endpoints: [$a, $b]}}";
    let edge = super::edge(document).with("a", &a).with("b", &b).start().await;
    let said = drain(&edge, &a, &["--within", "1h"]).await;
    assert!(said.contains(": draining; "), "{said}");
}
