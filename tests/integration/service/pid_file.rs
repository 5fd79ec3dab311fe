//! The file that says which process the edge is.

use crate::support::{Signal, edge};
use std::fs;

const HELLO: &str = "routes: [{reply: {status: 200, body: hello}}]";

#[tokio::test]
async fn it_holds_the_id_of_a_process_that_is_ready_and_goes_with_it() {
    for (server, name) in [("", "state/falconer.pid"), ("server: {pid_file: a.pid}", "a.pid")] {
        let mut edge = edge(&format!("{server}\n{HELLO}")).start().await;
        let path = edge.file(name);
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", edge.process().id()));
        edge.signal(Signal::SIGTERM);
        assert_eq!(edge.wait_exit().await, 0);
        assert!(!path.exists(), "{name} is left behind");
    }
}

#[tokio::test]
async fn after_an_upgrade_it_holds_the_id_of_the_other_process() {
    let mut edge = edge(HELLO).start().await;
    let path = edge.file("state/falconer.pid");
    let process = edge.upgrade().await;
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{process}\n"));
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), format!("{process}\n"));
}

#[tokio::test]
async fn one_that_names_another_process_by_now_stays() {
    let mut edge = edge(HELLO).start().await;
    let path = edge.file("state/falconer.pid");
    fs::write(&path, "1\n").unwrap();
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(fs::read_to_string(&path).unwrap(), "1\n");
}

#[tokio::test]
async fn an_edge_that_cannot_write_it_says_so_and_serves() {
    let edge = edge(&format!("server: {{pid_file: none/a.pid}}\n{HELLO}")).start().await;
    let said = edge.stderr().line("the pid file cannot be written").await;
    assert!(said.contains(" WARN ") && said.contains("none/a.pid"), "{said}");
    assert_eq!(edge.get("/").await, "hello");
}
