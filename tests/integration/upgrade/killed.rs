//! One of the two is killed: the other one serves.

use super::{late, started};
use crate::support::{Edge, Reply, Signal, edge, eventually, origin};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use std::fs;

const DOCUMENT: &str = "
    listeners: {web: {address: \"127.0.0.1:0\"}, socket: {address: \"unix:web.sock\"}}
    routes: [{reply: {status: 200, body: hello}}]
    ";

fn end(process: i32) {
    tell(process, Signal::SIGKILL);
}

fn tell(process: i32, signal: Signal) {
    kill(Pid::from_raw(process), signal).unwrap();
}

async fn serves(edge: &Edge) {
    for listener in ["web", "socket"] {
        assert_eq!(edge.client(listener).get("/").await, "hello", "{listener}");
    }
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
}

#[tokio::test]
async fn the_old_one_in_the_middle_of_the_handover() {
    let mut edge = edge(DOCUMENT).start().await;
    let late = late(&edge);
    let arguments = ["upgrade", &late];
    let upgrading = edge.command(&arguments);
    let killing = async {
        let new = started(&edge).await;
        edge.signal(Signal::SIGKILL);
        new
    };
    let (ended, new) = tokio::join!(upgrading, killing);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.complained.contains("ended before it had answered"), "{}", ended.complained);
    edge.wait_exit().await;
    fs::write(edge.file("go"), "").unwrap();
    // The sockets were on their way, and connections wait in their queues meanwhile.
    serves(&edge).await;
    let status = edge.command(&["status"]).await;
    assert!(status.said.contains(&format!("process {new}: up")), "{}", status.said);
    // It is an edge like any other.
    edge.upgrade().await;
    edge.gone(new).await;
    serves(&edge).await;
}

#[tokio::test]
async fn the_new_one_before_it_is_ready() {
    let mut edge = edge(DOCUMENT).start().await;
    let late = late(&edge);
    let arguments = ["upgrade", &late];
    let upgrading = edge.command(&arguments);
    let killing = async { end(started(&edge).await) };
    let (ended, ()) = tokio::join!(upgrading, killing);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.complained.contains("was ended by signal 9"), "{}", ended.complained);
    serves(&edge).await;
    edge.upgrade().await;
    serves(&edge).await;
}

#[tokio::test]
async fn the_new_one_told_to_stop_before_it_has_the_place() {
    let mut edge = edge(DOCUMENT).start().await;
    let late = late(&edge);
    let arguments = ["upgrade", &late];
    let upgrading = edge.command(&arguments);
    let stopping = async {
        let new = started(&edge).await;
        // It has given everything, and must not give the place yet.
        edge.stderr().line("started a process in the place of this one").await;
        edge.signal(Signal::SIGSTOP);
        fs::write(edge.file("go"), "").unwrap();
        let is_ready =
            async || (edge.stderr().text().matches(" ready ").count() == 2).then_some(());
        eventually("the new process to be ready", is_ready).await;
        tell(new, Signal::SIGTERM);
        edge.gone(new).await;
        edge.signal(Signal::SIGCONT);
    };
    let (ended, ()) = tokio::join!(upgrading, stopping);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.complained.contains("exited with code 0"), "{}", ended.complained);
    serves(&edge).await;
    edge.upgrade().await;
    serves(&edge).await;
}

#[tokio::test]
async fn the_new_one_right_after_it_took_over() {
    let app = origin().answer("/ws", Reply::websocket()).reply("/", "hello").start().await;
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\"}, socket: {address: \"unix:web.sock\"}}
        upstreams: {app: {endpoints: [$app]}}
        ";
    let mut edge = edge(document).with("app", &app).start().await;
    let old = edge.process().id();
    let _stays = edge.client("web").websocket("/ws", &[]).await.unwrap();
    for round in 1..=2 {
        end(edge.upgrade().await);
        edge.stderr().line("so this one serves again").await;
        serves(&edge).await;
        let status = edge.command(&["status"]).await;
        assert!(status.said.contains(&format!("process {old}: up")), "{}", status.said);
        let taken_back = "falconer_runtime_upgrades_failed_total{outcome=\"taken_back\"}";
        edge.metric_becomes(taken_back, f64::from(round)).await;
        edge.metric_becomes("falconer_runtime_generation", 1.0).await;
    }
    edge.upgrade().await;
    serves(&edge).await;
}

#[tokio::test]
async fn the_old_one_right_after_the_new_one_took_over() {
    let mut edge = edge(DOCUMENT).start().await;
    edge.upgrade().await;
    edge.signal(Signal::SIGKILL);
    edge.wait_exit().await;
    serves(&edge).await;
    let new = edge.upgrade().await;
    serves(&edge).await;
    let status = edge.command(&["status"]).await;
    assert!(status.said.contains(&format!("process {new}: up")), "{}", status.said);
}
