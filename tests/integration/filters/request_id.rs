//! The filter `request_id`: one id for the application, the client and the log.

use super::{before, clients, last};
use crate::support::{Reply, origin};
use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[tokio::test]
async fn every_request_gets_an_id_in_order_of_time() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", "filters: [request_id: {}]").await;
    let mut ids = BTreeSet::new();
    for client in clients(&edge) {
        for _ in 0..5 {
            let sent = client.request("GET", "/").header("X-Request-Id", "forged");
            let response = sent.send().await;
            let id = response.header("x-request-id").unwrap().to_owned();
            assert_eq!(last(&origin).headers.all("x-request-id"), [id.as_str()]);
            assert_eq!(response.headers.all("x-request-id").len(), 1);
            edge.logged("the id", |line| line["request_id"] == id.as_str()).await;

            let uuid = uuid::Uuid::parse_str(&id).unwrap();
            assert_eq!((uuid.get_version_num(), uuid.get_variant()), (7, uuid::Variant::RFC4122));
            let (seconds, _) = uuid.get_timestamp().unwrap().to_unix();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            assert!(now.abs_diff(Duration::from_secs(seconds)) < Duration::from_secs(60), "{id}");
            assert!(ids.insert(id));
        }
    }
}

#[tokio::test]
async fn the_id_of_a_trusted_proxy_is_kept_if_it_is_sound() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", "filters: [request_id: {}]").await;
    let long = "x".repeat(129);
    for (sent, is_kept) in [
        ("abc-123", true),
        ("4bf92f3577b34da6a3ce929d0e0e4736", true),
        (&long[..128], true),
        (long.as_str(), false),
        ("two words", false),
        ("quo\"te", false),
        ("ü", false),
        ("", false),
    ] {
        for client in [edge.client("behind"), edge.client("behind").h2()] {
            let response = client.request("GET", "/").header("x-request-id", sent).send().await;
            let id = response.header("x-request-id").unwrap();
            assert_eq!(id == sent, is_kept, "{sent}");
            assert!(is_kept || uuid::Uuid::parse_str(id).is_ok(), "{sent} became {id}");
            assert_eq!(last(&origin).headers.all("x-request-id"), [id]);
            edge.logged("the id", |line| line["request_id"] == id).await;
        }
    }
}

#[tokio::test]
async fn its_field_can_be_another() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", "filters: [request_id: {header: X-Correlation-Id}]").await;
    for client in clients(&edge) {
        let response = client.request("GET", "/").header("x-request-id", "own").send().await;
        let id = response.header("x-correlation-id").unwrap();
        let seen = last(&origin);
        assert_eq!(seen.header("x-correlation-id"), Some(id));
        assert_eq!(seen.header("x-request-id"), Some("own"));
        assert_eq!(response.header("x-request-id"), None);
    }
}

#[tokio::test]
async fn failures_carry_it_too_and_it_is_the_one_on_their_page() {
    let origin = origin().refusing().start().await;
    let edge = before(&origin, "", "filters: [request_id: {}]").await;
    for client in clients(&edge) {
        let request = client.request("GET", "/").header("accept", "application/json");
        let response = request.send().await;
        assert_eq!(response.status, 502);
        assert_eq!(response.json()["request_id"], response.header("x-request-id").unwrap());
    }
}

#[tokio::test]
async fn without_the_filter_the_log_has_an_id_and_nobody_else() {
    let origin = origin().handler(|_| Reply::new(200)).start().await;
    let edge = before(&origin, "", "").await;
    let response = edge.request("GET", "/").header("x-request-id", "own").send().await;
    assert_eq!(response.header("x-request-id"), None);
    assert_eq!(last(&origin).header("x-request-id"), Some("own"));
    let line = &edge.access_log(1).await[0];
    assert!(uuid::Uuid::parse_str(line["request_id"].as_str().unwrap()).is_ok(), "{line}");
}
