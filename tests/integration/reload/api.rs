//! `/api/` on the admin address: who may use it, and the document that it takes and gives.

use crate::support::{Client, Edge, Request, Response, edge};
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

const DIFFERS: &str = "falconer_runtime_document_differs";

fn replying(body: &str) -> String {
    format!("routes: [{{name: all, reply: {{status: 200, body: {body}}}}}]")
}

fn api(edge: &Edge, method: &str, path: &str) -> Request {
    edge.client("admin").request(method, path)
}

fn put(edge: &Edge, query: &str, document: impl Into<Vec<u8>>) -> Request {
    let request = api(edge, "PUT", &format!("/api/config{query}")).body(document.into());
    request.header("Content-Type", "application/yaml")
}

/// The document that runs, with other words in it.
async fn instead(edge: &Edge, this: &str, that: &str) -> String {
    let response = api(edge, "GET", "/api/config").send().await;
    assert_eq!(response.status, 200, "{response:?}");
    let text = response.text();
    assert!(text.contains(this), "{text}");
    text.replace(this, that)
}

fn outcome(response: &Response) -> String {
    response.json()["outcome"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_document_is_got_changed_and_put_and_the_files_stay_as_they_are() {
    let edge = edge(&replying("one")).start().await;
    let file = fs::read_to_string(edge.file("falconer.yaml")).unwrap();
    let got = api(&edge, "GET", "/api/config").send().await;
    assert_eq!((got.text(), got.header("etag")), (file.clone(), Some("\"1\"")));
    assert_eq!(got.header("content-type"), Some("application/yaml"));

    let two = file.replace("one", "two");
    let told = put(&edge, "", two.clone()).header("If-Match", "\"1\"").send().await;
    assert_eq!((told.status, told.header("etag")), (200, Some("\"2\"")));
    assert_eq!(
        told.json(),
        json!({
            "outcome": "applied",
            "generation": 2,
            "changes": [{"change": "changed", "kind": "route", "name": "all"}],
            "differing": [edge.file("falconer.yaml").display().to_string()],
        })
    );
    assert_eq!(edge.get("/").await, "two");
    assert_eq!(fs::read_to_string(edge.file("falconer.yaml")).unwrap(), file);
    edge.metric_becomes(DIFFERS, 1.0).await;
    assert_eq!(api(&edge, "GET", "/api/config").send().await.text(), two);

    // The files have not changed, but the reload goes back to them.
    let told = api(&edge, "POST", "/api/reload").send().await;
    assert_eq!((told.status, outcome(&told).as_str()), (200, "applied"));
    assert_eq!(edge.get("/").await, "one");
    edge.metric_becomes(DIFFERS, 0.0).await;
    let back = api(&edge, "POST", "/api/rollback").send().await;
    assert_eq!((back.status, back.header("etag")), (200, Some("\"4\"")));
    assert_eq!(edge.get("/").await, "two");
    let documents = api(&edge, "GET", "/api/documents").send().await.json();
    let documents = documents.as_array().unwrap().iter();
    let documents: Vec<_> = documents
        .map(|document| [&document["by"], &document["generation"], &document["steps"]])
        .collect();
    assert_eq!(
        documents,
        [[&json!("rollback"), &json!(4), &json!(0)], [&json!("api"), &json!(3), &json!(1)]]
    );
}

#[tokio::test]
async fn a_document_is_put_only_in_the_place_of_the_one_that_it_was_made_of() {
    let edge = edge(&replying("one")).start().await;
    let two = instead(&edge, "one", "two").await;
    let without = put(&edge, "", two.clone()).send().await;
    assert_eq!(without.status, 428, "{without:?}");
    assert!(without.text().contains("If-Match: \"GENERATION\""), "{without:?}");
    for (tag, status) in [("\"2\"", 412), ("W/\"1\"", 412), ("\"x\"", 412), ("\"9\", \"1\"", 200)] {
        let told = put(&edge, "", two.clone()).header("If-Match", tag).send().await;
        assert_eq!(told.status, status, "{tag}: {told:?}");
        if status == 412 {
            assert_eq!(told.json(), json!({"outcome": "outdated", "generation": 1}));
            assert_eq!(told.header("etag"), Some("\"1\""));
        }
    }
    assert_eq!(edge.get("/").await, "two");
    let three = two.replace("two", "three");
    let told = put(&edge, "", three).header("If-Match", "*").send().await;
    assert_eq!(told.status, 200, "{told:?}");
    for path in ["/api/reload", "/api/rollback"] {
        let told = api(&edge, "POST", path).header("If-Match", "\"2\"").send().await;
        assert_eq!(told.status, 412, "{told:?}");
    }
    assert_eq!(edge.get("/").await, "three");
}

#[tokio::test]
async fn what_cannot_run_is_told_with_its_status_and_changes_nothing() {
    let edge = edge(&replying("one")).start().await;
    let one = instead(&edge, "one", "one").await;
    let rejected = put(&edge, "", "routes: none").header("If-Match", "*").send().await;
    assert_eq!((rejected.status, outcome(&rejected).as_str()), (422, "rejected"));
    let problems = rejected.json()["problems"].to_string();
    assert!(problems.contains("falconer.yaml:1:9: `routes` takes a list"), "{problems}");
    let told = put(&edge, "", format!("server: {{threads: 7}}\n{one}")).header("If-Match", "*");
    let told = told.send().await;
    assert_eq!((told.status, told.json()["fields"].clone()), (409, json!(["server.threads"])));

    let form = api(&edge, "PUT", "/api/config").body(one.clone()).header("If-Match", "*");
    let form = form.header("Content-Type", "application/x-www-form-urlencoded").send().await;
    assert_eq!(form.status, 415, "{form:?}");
    let no_text = put(&edge, "", [0xff, 0xfe]).header("If-Match", "*").send().await;
    assert_eq!((no_text.status, no_text.text().as_str()), (400, "The document is not UTF-8.\n"));
    for query in ["?dryrun=true", "?dry_run", "?steps=1", "?write=1"] {
        let told = put(&edge, query, one.clone()).header("If-Match", "*").send().await;
        assert_eq!(told.status, 400, "{query}: {told:?}");
    }
    for (method, path, allowed) in [
        ("DELETE", "/api/config", "GET, HEAD, PUT"),
        ("GET", "/api/reload", "POST"),
        ("GET", "/api/rollback", "POST"),
        ("POST", "/api/status", "GET, HEAD"),
        ("PUT", "/api/documents", "GET, HEAD"),
    ] {
        let told = api(&edge, method, path).send().await;
        assert_eq!((told.status, told.header("allow")), (405, Some(allowed)), "{method} {path}");
    }
    assert_eq!(edge.get("/").await, "one");
    // The files still say what runs.
    edge.metric_becomes(DIFFERS, 0.0).await;
}

#[tokio::test]
async fn a_dry_run_names_what_would_change_and_needs_no_generation() {
    let edge = edge(&replying("one")).start().await;
    let two = instead(&edge, "one", "two").await;
    let told = put(&edge, "?dry_run=true", two).send().await;
    let changes = json!([{"change": "changed", "kind": "route", "name": "all"}]);
    assert_eq!(told.json(), json!({"outcome": "planned", "changes": changes}));
    let one = instead(&edge, "one", "one").await;
    let told = put(&edge, "?write=true&dry_run=true", format!("# new\n{one}")).send().await;
    assert_eq!(told.json(), json!({"outcome": "unchanged", "generation": 1}));
    assert_eq!(edge.get("/").await, "one");
    assert_eq!(fs::read_to_string(edge.file("falconer.yaml")).unwrap(), one);
    edge.metric_becomes(DIFFERS, 0.0).await;
}

#[tokio::test]
async fn written_on_request_the_file_says_it_too() {
    let edge = edge(&replying("one")).start().await;
    let path = edge.file("falconer.yaml");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
    let two = instead(&edge, "one", "two").await;
    let told = put(&edge, "?write=true", two.clone()).header("If-Match", "\"1\"").send().await;
    assert_eq!((told.status, told.json().get("differing")), (200, None), "{told:?}");
    assert_eq!(fs::read_to_string(&path).unwrap(), two);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o604);
    edge.metric_becomes(DIFFERS, 0.0).await;
    let ended = edge.command(&["reload"]).await;
    assert_eq!(ended.said, "unchanged: generation 2 runs already");
    // One that says the same is written as well.
    let noted = format!("# noted\n{two}");
    let told = put(&edge, "?write=true", noted.clone()).header("If-Match", "\"2\"").send().await;
    assert_eq!((told.status, outcome(&told).as_str()), (200, "unchanged"));
    assert_eq!(fs::read_to_string(&path).unwrap(), noted);
    // One that is rejected is not.
    let told = put(&edge, "?write=true", "routes: none").header("If-Match", "*").send().await;
    assert_eq!(told.status, 422);
    assert_eq!(fs::read_to_string(&path).unwrap(), noted);
}

#[tokio::test]
async fn a_document_that_is_put_includes_files_beside_the_operators_own() {
    let site = |body: &str| {
        format!("routes: [{{match: {{path: /site}}, reply: {{status: 200, body: {body}}}}}]")
    };
    let edge = edge(&format!("include: sites/*.yaml\n{}", replying("one")));
    let edge = edge.file("sites/a.yaml", site("a")).file("b.yaml", site("b")).start().await;
    let document = instead(&edge, "sites/*.yaml", "b.yaml").await;
    let told = put(&edge, "", document).header("If-Match", "*").send().await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(edge.get("/site").await, "b");
    // A file of its own has changed since, and is no part of what was kept.
    fs::write(edge.file("b.yaml"), "routes: none").unwrap();
    api(&edge, "POST", "/api/reload").send().await;
    assert_eq!(edge.get("/site").await, "a");
    let told = api(&edge, "POST", "/api/rollback").send().await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(edge.get("/site").await, "b");
}

#[tokio::test]
async fn large_documents_are_taken_as_they_come_and_too_large_ones_are_not() {
    let edge = edge(&replying("one")).start().await;
    let two = instead(&edge, "one", "two").await;
    let with = |size: usize| format!("{two}\n# {}\n", "x".repeat(size));
    let request = put(&edge, "", with(1 << 20)).header("If-Match", "*");
    let told = request.clone().chunked().send().await;
    assert_eq!(outcome(&told), "applied");

    let document = with(2 << 20);
    let head = put(&edge, "", "").header("If-Match", "*").header("Expect", "100-continue");
    let head = String::from_utf8(head.bytes()).unwrap();
    let length = format!("Content-Length: {}\r\n", document.len());
    let mut raw = edge.raw("admin").await;
    raw.write(head.replace("Content-Length: 0\r\n", &length)).await;
    assert_eq!(raw.head().await.word(1), "100");
    raw.write(document).await;
    let told = raw.response_to("PUT").await;
    assert_eq!((told.status, outcome(&told).as_str()), (200, "unchanged"));

    let mut raw = edge.raw("admin").await;
    let length = format!("Content-Length: {}\r\n", (16 << 20) + 1);
    raw.write(head.replace("Content-Length: 0\r\n", &length)).await;
    let told = raw.response_to("PUT").await;
    assert_eq!(told.status, 413, "before it was sent: {told:?}");
    let endless = put(&edge, "", "#".repeat((16 << 20) + 1)).header("If-Match", "*").chunked();
    let told = endless.try_send().await.unwrap_or_else(crate::support::Broken::response);
    assert_eq!(told.status, 413, "{told:?}");
    assert_eq!(edge.get("/").await, "two");
}

const WITH_TOKEN: &str = "admin: {address: \"127.0.0.1:0\", token: \"${file:token}\"}";

fn bearing(request: Request, token: &str) -> Request {
    request.header("Authorization", format!("Bearer {token}"))
}

#[tokio::test]
async fn with_a_token_only_who_shows_it_passes_and_what_is_for_all_stays_open() {
    let edge = edge(&format!("{WITH_TOKEN}\n{}", replying("one"))).file("token", "hunter2\n");
    let mut edge = edge.start().await;
    let paths = [("GET", "/api/status"), ("GET", "/api/config"), ("PUT", "/api/config")];
    let more = [("POST", "/api/reload"), ("POST", "/api/rollback"), ("GET", "/api/none")];
    for (method, path) in paths.into_iter().chain(more) {
        let refused = api(&edge, method, path).send().await;
        assert_eq!(refused.status, 401, "{method} {path}");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"falconer\""));
        assert_eq!(bearing(api(&edge, method, path), "hunter").send().await.status, 401);
    }
    for path in ["/metrics", "/healthz", "/readyz", "/"] {
        assert_eq!(api(&edge, "GET", path).send().await.status, 200, "{path}");
    }
    let status = bearing(api(&edge, "GET", "/api/status"), "hunter2").send().await;
    assert_eq!((status.status, status.json()["generation"].clone()), (200, json!(1)));
    let none = bearing(api(&edge, "GET", "/api/none"), "hunter2").send().await;
    assert_eq!(none.status, 404);
    // The commands need none: their socket is for the edge's user only.
    assert_eq!(edge.command(&["status"]).await.code, 0);

    fs::write(edge.file("token"), "another").unwrap();
    let ended = edge.reload(&format!("{WITH_TOKEN}\n{}", replying("one"))).await;
    assert_eq!(ended.said, "changed key admin.token\nreloaded: 1 change, generation 2");
    let of = async |token| bearing(api(&edge, "GET", "/api/status"), token).send().await.status;
    assert_eq!((of("hunter2").await, of("another").await), (401, 200));
}

#[tokio::test]
async fn no_secret_is_shown() {
    let admin = "admin: {address: \"127.0.0.1:0\", token: hunter2} # mine";
    let secret = "filters: [{headers: {response: {set: {x-key: \"${file:key}\"}}}}]";
    let document = format!("{admin}\n{secret}\n{}", replying("one"));
    let edge = edge(&document).file("key", "hunter3").start().await;
    let get = || bearing(api(&edge, "GET", "/api/config"), "hunter2");
    let shown = get().send().await.text();
    assert!(shown.starts_with("admin: {address: \"127.0.0.1:0\", token: \"***\"} # mine\n"));
    assert!(shown.contains("${file:key}") && !shown.contains("hunter"), "{shown}");

    let put = |document: String| {
        bearing(put(&edge, "", document), "hunter2").header("If-Match", "*").send()
    };
    let told = put(shown.replace("one", "two")).await;
    assert_eq!(told.status, 422, "{told:?}");
    let problems = told.json()["problems"].to_string();
    assert!(problems.contains(":1:40: `***` only stands for a token"), "{problems}");
    let told = put(shown.replace("\"***\"", "hunter2 hunter3")).await;
    assert!(told.status == 422 && !told.text().contains("hunter"), "{told:?}");
    let told = put(shown.replace("\"***\"", "\"${file:key}\"")).await;
    assert_eq!(told.status, 200, "{told:?}");
    assert_eq!(bearing(api(&edge, "GET", "/api/status"), "hunter3").send().await.status, 200);
    assert!(!edge.stderr().text().contains("hunter"));
}

#[tokio::test]
async fn no_page_in_a_browser_reaches_it() {
    let hosts = "admin: {address: \"127.0.0.1:0\", hosts: [edge.internal]}";
    let edge = edge(&format!("{hosts}\n{}", replying("one"))).start().await;
    let own = edge.address("admin").to_owned();
    let port = own.rsplit_once(':').unwrap().1;
    let status = async |host: &str, origin: Option<&str>, method: &str, path: &str| {
        let mut request = api(&edge, method, path).host(host);
        if let Some(origin) = origin {
            request = request.header("Origin", origin);
        }
        request.send().await.status
    };
    let (localhost, evil) = (format!("localhost:{port}"), format!("evil.example:{port}"));
    for host in [&own, &localhost, "edge.internal"] {
        assert_eq!(status(host, None, "GET", "/api/status").await, 200, "{host}");
        let origin = format!("http://{host}");
        assert_eq!(status(host, Some(&origin), "POST", "/api/reload").await, 200, "{host}");
    }
    assert_eq!(status(&evil, None, "GET", "/api/config").await, 403, "a name led elsewhere");
    assert_eq!(status(&evil, Some(&format!("http://{evil}")), "POST", "/api/reload").await, 403);
    for origin in ["http://evil.example", "http://localhost:1", "null"] {
        assert_eq!(status(&localhost, Some(origin), "POST", "/api/reload").await, 403, "{origin}");
        assert_eq!(status(&localhost, Some(origin), "PUT", "/api/config").await, 403, "{origin}");
    }
    // A scrape may ask by any name.
    assert_eq!(status(&evil, None, "GET", "/metrics").await, 200);
}

#[tokio::test]
async fn a_unix_socket_is_open_to_whom_its_file_is() {
    let admin = "admin: {address: unix:admin.sock}";
    let edge = edge(&format!("{admin}\n{}", replying("one"))).start().await;
    let client = Client::new(format!("unix:{}", edge.file("admin.sock").display()));
    let status = client.request("GET", "/api/status").host("any.name").send().await;
    assert_eq!(status.status, 200, "{status:?}");
    let page = client.request("POST", "/api/reload").header("Origin", "http://evil.example");
    assert_eq!(page.send().await.status, 403);
}
