//! What the edge says of itself, on stderr.

use crate::support::{Client, Process, Signal, edge, eventually};
use serde_json::Value;
use tempfile::TempDir;

#[tokio::test]
async fn a_line_of_text_is_time_level_message_and_fields() {
    let edge = edge("routes: [reply: {}]").start().await;
    let line = edge.stderr().line("listening").await;
    let (time, rest) = line.split_once(' ').unwrap();
    let shape: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
    assert_eq!(rest, format!("INFO listening listener=web address={}", edge.address("web")));
}

#[tokio::test]
async fn a_line_of_json_is_one_object() {
    let mut edge = edge("routes: [reply: {}]\nlog: {format: json}").start().await;
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    let said = edge.stderr().whole().await;
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["time"].is_string() && line["level"].is_string()));
    let listening = lines.iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!((&listening["level"], &listening["listener"]), (&"info".into(), &"web".into()));
    assert_eq!(listening["address"], edge.address("web"));
}

#[tokio::test]
async fn a_higher_level_says_less() {
    let folder = TempDir::new().unwrap();
    let document = folder.path().join("falconer.yaml");
    let text = "listeners: {web: {address: unix:web.sock}}\nroutes: [reply: {}]\n\
                log: {level: warn}\naccess_log: {path: off}\n";
    std::fs::write(&document, text).unwrap();
    let mut process = Process::falconer(&["run", "-c", document.to_str().unwrap()]);
    let client = Client::new(format!("unix:{}", folder.path().join("web.sock").display()));
    eventually("an answer", async || client.request("GET", "/").try_send().await.ok()).await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait_exit().await, 0);
    assert_eq!(process.stderr().whole().await, "");
    assert_eq!(process.stdout().whole().await, "");
}

#[tokio::test]
async fn debug_tells_more_and_what_clients_send_makes_no_lines_of_its_own() {
    let edge = edge("routes: [reply: {}]\nlog: {level: debug}").start().await;
    let before = edge.stderr().text().lines().count();
    for _ in 0..200 {
        let mut raw = edge.raw("web").await;
        raw.write("GET / HTTP/1.1\r\nHost: a\r\nX: \x1b[2J\x07\r\n\r\n").await;
        raw.rest().await;
    }
    edge.access_log(200).await;
    let said = edge.stderr().text();
    assert!(!said.contains('\x1b') && !said.contains('\x07'), "{said}");
    let more = said.lines().count() - before;
    assert!(more < 100, "{more} lines for 200 bad requests");
}
