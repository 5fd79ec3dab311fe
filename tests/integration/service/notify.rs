//! What the edge tells whoever started it, by the protocol of `sd_notify`.

use crate::support::{Builder, Signal, edge, within};
use tokio::net::UnixDatagram;

const HELLO: &str = "routes: [{reply: {status: 200, body: hello}}]";

/// An edge with a supervisor that listens.
fn supervised(document: &str) -> (Builder, Supervisor) {
    let builder = edge(document);
    let path = builder.folder().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    (builder.env("NOTIFY_SOCKET", path.to_str().unwrap()), Supervisor(socket))
}

struct Supervisor(UnixDatagram);

impl Supervisor {
    /// The next message.
    async fn hears(&self) -> Vec<(String, String)> {
        let mut room = [0; 1024];
        let length = within("a message", self.0.recv(&mut room)).await.unwrap();
        let text = String::from_utf8(room[..length].to_vec()).unwrap();
        let split = |line: &str| {
            let (name, value) = line.split_once('=').expect("an assignment");
            (name.to_owned(), value.to_owned())
        };
        text.lines().map(split).collect()
    }

    /// The value of the next message's second assignment, behind a first one that is this.
    async fn hears_first(&self, name: &str) -> (String, String) {
        let said = self.hears().await;
        assert_eq!(said[0], (name.to_owned(), "1".to_owned()), "{said:?}");
        said[1].clone()
    }
}

fn status(text: &str) -> (String, String) {
    ("STATUS".to_owned(), text.to_owned())
}

#[tokio::test]
async fn a_supervisor_hears_of_start_reloads_and_end_in_order() {
    let document = format!("server: {{drain: 20s, shutdown_delay: 1s}}\n{HELLO}");
    let (builder, supervisor) = supervised(&document);
    // A watchdog of another process, which would hear of it a thousand times a second.
    let builder = builder.env("WATCHDOG_USEC", "2000").env("WATCHDOG_PID", "1");
    let mut edge = builder.start().await;
    assert_eq!(supervisor.hears_first("READY").await, status("serving, generation 1"));

    edge.command(&["reload", "--dry-run"]).await;
    edge.reload(&document.replace("hello", "changed")).await;
    let (name, first) = supervisor.hears_first("RELOADING").await;
    assert_eq!(name, "MONOTONIC_USEC");
    let applied = status("serving, generation 2, last reload: applied");
    assert_eq!(supervisor.hears_first("READY").await, applied);

    edge.rewrite("routes: nothing");
    assert_eq!(edge.command(&["reload"]).await.code, 2);
    let (_, second) = supervisor.hears_first("RELOADING").await;
    assert!(first.parse::<u64>().unwrap() < second.parse().unwrap(), "{first} {second}");
    let rejected = status("serving, generation 2, last reload: rejected");
    assert_eq!(supervisor.hears_first("READY").await, rejected);

    edge.signal(Signal::SIGTERM);
    let stopping = supervisor.hears().await;
    let time = ("EXTEND_TIMEOUT_USEC".to_owned(), "26000000".to_owned());
    assert_eq!(stopping, [("STOPPING".to_owned(), "1".to_owned()), status("draining"), time]);
    assert_eq!(edge.wait_exit().await, 0);
}

#[tokio::test]
async fn after_an_upgrade_the_other_process_speaks() {
    let (builder, supervisor) = supervised(HELLO);
    let mut edge = builder.start().await;
    supervisor.hears_first("READY").await;

    let process = edge.upgrade().await;
    assert_eq!(supervisor.hears_first("READY").await, status("serving, generation 2"));
    let said = supervisor.hears().await;
    assert_eq!(said, [("MAINPID".to_owned(), process.to_string())]);
    assert_eq!(edge.wait_exit().await, 0);
    let process = nix::unistd::Pid::from_raw(process);
    nix::sys::signal::kill(process, Signal::SIGTERM).unwrap();
    // The one that has ended said nothing of it.
    assert_eq!(supervisor.hears().await[0].0, "STOPPING");
}

#[tokio::test]
async fn a_watchdog_hears_that_the_edge_lives_also_while_it_reloads() {
    let (builder, supervisor) = supervised(HELLO);
    let mut edge = builder.env("WATCHDOG_USEC", "100000").start().await;
    let mut heard = Vec::new();
    let mut listen = async |until: &str, times: usize| {
        while heard.iter().filter(|name| *name == until).count() < times {
            heard.push(supervisor.hears().await.swap_remove(0).0);
        }
    };
    listen("WATCHDOG", 3).await;
    edge.reload(&HELLO.replace("hello", "changed")).await;
    listen("RELOADING", 1).await;
    listen("WATCHDOG", 6).await;
    assert_eq!(heard[0], "READY");
}

#[tokio::test]
async fn a_supervisor_that_is_gone_keeps_nothing_from_serving() {
    let edge = edge(HELLO).env("NOTIFY_SOCKET", "/nowhere/at/all").start().await;
    edge.stderr().line("the supervisor of this process cannot be told").await;
    assert_eq!(edge.get("/").await, "hello");
}
