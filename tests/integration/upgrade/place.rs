//! What the new process takes over, and what becomes of the old one.

use super::{late, started};
use crate::support::{Edge, Reply, Signal, Tls, edge, eventually, origin};
use std::fs;
use std::path::Path;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn number(edge: &Edge, generation: u64) -> String {
    let threads = generation + 1;
    format!(
        "
server: {{threads: {threads}, idle_grace: 200ms}}
listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
  socket: {{address: \"unix:{socket}\"}}
routes: [{{reply: {{status: 200, body: \"{generation}\"}}}}]
",
        socket = edge.file("web.sock").display(),
    )
}

async fn first() -> Edge {
    edge(
        "
        server: {threads: 2, idle_grace: 200ms}
        listeners:
          web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
          socket: {address: \"unix:web.sock\"}
        routes: [{reply: {status: 200, body: \"1\"}}]
        ",
    )
    .start()
    .await
}

#[tokio::test]
async fn the_new_process_has_the_sockets_and_the_old_one_leaves() {
    let mut edge = first().await;
    let old = edge.process().id();
    let mut idle = edge.raw("web").await;
    idle.write(GET).await;
    assert_eq!(idle.response().await, "1");
    // What only a new process can take on.
    edge.rewrite(&number(&edge, 2));
    assert_eq!(edge.command(&["reload"]).await.code, 1);

    let ended = edge.command(&["upgrade"]).await;
    assert_eq!((ended.code, ended.complained.as_str()), (0, ""));
    let new = edge.started()[0];
    let version = env!("CARGO_PKG_VERSION");
    let lines: Vec<_> = ended.said.lines().collect();
    assert_eq!(
        lines,
        [
            format!("upgraded: process {new} (falconer {version}) serves generation 2"),
            format!("process {old} drains: 1 connection"),
        ]
    );
    let address = edge.address("web").to_owned();
    edge.learn();
    assert_eq!(edge.address("web"), address, "port 0 is picked once");
    for listener in ["web", "socket"] {
        assert_eq!(edge.client(listener).get("/").await, "2", "{listener}");
    }
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
    // The connection that was idle is still answered, once, by the process that has it.
    idle.write(GET).await;
    let last = idle.response().await;
    assert_eq!(last, "1");
    assert_eq!(edge.wait_exit().await, 0);
    assert!(edge.file("web.sock").exists() && edge.file("state/falconer.sock").exists());
    let state = fs::read_dir(edge.file("state")).unwrap().map(|entry| entry.unwrap().path());
    let sockets: Vec<_> =
        state.filter(|path| path.extension().is_some_and(|e| e == "sock")).collect();
    assert_eq!(sockets, [edge.file("state/falconer.sock")], "the old process left nothing behind");
    let status = edge.command(&["status"]).await.said;
    assert!(status.contains(&format!("process {new}: up")), "{status}");
    assert!(status.contains("generation 2, last reload: none"), "{status}");
}

#[tokio::test]
async fn commands_reach_the_new_process_and_generations_go_on() {
    let mut edge = first().await;
    edge.reload(&number_like_first(2)).await;
    edge.upgrade().await;
    edge.metric_becomes("falconer_runtime_generation", 3.0).await;
    edge.reload(&number_like_first(4)).await;
    edge.metric_becomes("falconer_runtime_generation", 4.0).await;
    assert_eq!(edge.get("/").await, "4");
    // A listener more, at once: the process before has let go of everything.
    let more = number_like_first(5)
        .replace("listeners:", "listeners:\n  more: {address: \"unix:more.sock\"}");
    edge.reload(&more).await;
    assert_eq!(edge.client("more").get("/").await, "5");
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(edge.client("more").get("/").await, "5");
}

fn number_like_first(generation: u64) -> String {
    format!(
        "
server: {{threads: 2, idle_grace: 200ms}}
listeners:
  web: {{address: \"127.0.0.1:0\", protocols: [h1, h2]}}
  socket: {{address: \"unix:web.sock\"}}
routes: [{{reply: {{status: 200, body: \"{generation}\"}}}}]
"
    )
}

#[tokio::test]
async fn several_old_processes_drain_at_once_and_all_are_seen() {
    let app = origin().answer("/ws", Reply::websocket()).start().await;
    let document = "
        server: {idle_grace: 200ms}
        listeners: {web: {address: \"127.0.0.1:0\"}}
        upstreams: {app: {endpoints: [$app]}}
        ";
    let mut edge = edge(document).with("app", &app).start().await;
    let mut sockets = Vec::new();
    let mut processes = vec![edge.process().id()];
    for _ in 0..3 {
        sockets.push(edge.client("web").websocket("/ws", &[]).await.unwrap());
        processes.push(edge.upgrade().await);
    }
    let (newest, old) = processes.split_last().unwrap();
    let drains = |process: &i32, status: &str| {
        let line = format!("process {process}: draining");
        status.lines().skip_while(|l| !l.ends_with(&line) && !l.contains(&line)).nth(2).is_some_and(
            |listener| listener.starts_with("listener web (draining): 1 connection, 1 busy"),
        )
    };
    eventually("all to be seen", async || {
        let status = edge.command(&["status"]).await.said;
        let is_up = status.contains(&format!("process {newest}: up"));
        (is_up && old.iter().all(|process| drains(process, &status))).then_some(())
    })
    .await;
    // Each ends with its last stream, whichever comes first.
    drop(sockets.remove(1));
    edge.gone(processes[1]).await;
    drop(sockets);
    edge.gone(processes[2]).await;
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
}

#[tokio::test]
async fn sessions_of_tls_are_resumed_by_the_new_process() {
    let document = "
        listeners:
          secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
          other: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {self_signed: [localhost]}}
        routes: [{reply: {status: 200, body: hello}}]
        ";
    let mut edge = edge(document).start().await;
    for versions in [vec![&rustls::version::TLS13], vec![&rustls::version::TLS12]] {
        let tls = Tls { versions: versions.clone(), ..Tls::default() }.remembering();
        let asks = async |edge: &Edge, listener: &str| {
            let client = edge.client(listener).with_tls(|own| *own = tls.clone());
            let mut raw = client.raw().await;
            raw.write(GET).await;
            assert_eq!(raw.response().await, "hello");
            raw.agreed.as_ref().expect("TLS").resumed
        };
        assert!(!asks(&edge, "secure").await);
        assert!(asks(&edge, "secure").await, "{versions:?}");
        edge.upgrade().await;
        assert!(asks(&edge, "secure").await, "{versions:?}");
        assert!(!asks(&edge, "other").await, "a ticket is one listener's");
    }
}

#[tokio::test]
async fn two_hundred_listeners_are_handed_over() {
    let listeners: String =
        (0..200).map(|n| format!("\n  l{n}: {{address: \"127.0.0.1:0\"}}")).collect();
    let document =
        format!("listeners:{listeners}\nroutes: [{{reply: {{status: 200, body: hello}}}}]\n");
    let mut edge = edge(&document).start().await;
    let before: Vec<_> = (0..200).map(|n| edge.address(&format!("l{n}")).to_owned()).collect();
    edge.upgrade().await;
    for (n, address) in before.iter().enumerate() {
        let listener = format!("l{n}");
        assert_eq!(edge.address(&listener), address);
        assert_eq!(edge.client(&listener).get("/").await, "hello");
    }
}

#[tokio::test]
async fn nothing_piles_up_over_upgrades() {
    let mut edge = first().await;
    let mut counts = Vec::new();
    for _ in 0..4 {
        let process = edge.upgrade().await;
        let open = fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd"));
        counts.push(open.unwrap().count());
    }
    assert!(counts[3] <= counts[0] + 2, "descriptors: {counts:?}");
}

#[tokio::test]
async fn signals_upgrade_and_cut_the_drain_short() {
    let app = origin().answer("/ws", Reply::websocket()).start().await;
    let document = "
        server: {idle_grace: 0s, drain: 1s, shutdown_delay: 300s}
        listeners: {web: {address: \"127.0.0.1:0\"}}
        upstreams: {app: {endpoints: [$app]}}
        ";
    let mut edge = edge(document).with("app", &app).start().await;
    let _stays = edge.client("web").websocket("/ws", &[]).await.unwrap();
    edge.signal(Signal::SIGUSR2);
    edge.stderr().line("another process serves now").await;
    edge.stderr().line("draining, another process serves").await;
    // It has an hour, unless it is told to stop: then `drain`, and no delay for load balancers.
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(edge.client("admin").get("/readyz").await.status, 200);
}

#[tokio::test]
async fn a_socket_that_comes_back_at_once_stays() {
    let mut edge = first().await;
    for n in 2..5 {
        edge.rewrite(&number_like_first(n).replace("  socket: {address: \"unix:web.sock\"}\n", ""));
        edge.upgrade().await;
        edge.reload(&number_like_first(n + 1)).await;
        edge.learn();
        let text = (n + 1).to_string();
        assert_eq!(edge.client("socket").get("/").await, text.as_str());
        edge.stderr().line("draining, another process serves").await;
        let old = if n == 2 { edge.process().id() } else { edge.started()[n as usize - 3] };
        edge.gone(old).await;
        assert_eq!(edge.client("socket").get("/").await, text.as_str());
    }
}

#[tokio::test]
async fn sockets_whose_files_are_gone_are_bound_anew() {
    let mut edge = first().await;
    for name in ["web.sock", "state/falconer.sock"] {
        fs::remove_file(edge.file(name)).unwrap();
    }
    edge.signal(Signal::SIGUSR2);
    edge.stderr().line("another process serves now").await;
    assert_eq!(edge.wait_exit().await, 0);
    assert_eq!(edge.client("socket").get("/").await, "1");
    edge.upgrade().await;
}

#[tokio::test]
async fn a_reload_meanwhile_is_made_by_the_new_process() {
    let mut edge = first().await;
    let late = late(&edge);
    let arguments = ["upgrade", &late];
    let upgrading = edge.command(&arguments);
    let reloading = async {
        started(&edge).await;
        edge.rewrite(&number_like_first(2));
        let reload = edge.command(&["reload"]);
        let going = async {
            edge.stderr().line("started a process").await;
            fs::write(edge.file("go"), "").unwrap();
        };
        tokio::join!(reload, going).0
    };
    let (upgraded, reloaded) = tokio::join!(upgrading, reloading);
    assert_eq!(upgraded.code, 0, "{}", upgraded.complained);
    assert_eq!(reloaded.code, 0, "{}", reloaded.complained);
    assert_eq!(edge.get("/").await, "2");
    assert_eq!(edge.wait_exit().await, 0);
}

#[tokio::test]
async fn connections_of_the_admin_are_told_to_go() {
    let mut edge = first().await;
    let mut scrape = edge.raw("admin").await;
    scrape.write("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(scrape.response().await.header("connection"), Some("keep-alive"));
    let stays = edge.raw("web").await;
    edge.upgrade().await;
    edge.stderr().line("draining, another process serves").await;
    scrape.closed().await;
    drop(stays);
    assert_eq!(edge.wait_exit().await, 0);
}

#[tokio::test]
async fn one_that_hangs_hides_no_other() {
    let app = origin().answer("/ws", Reply::websocket()).start().await;
    let document = "
        listeners: {web: {address: \"127.0.0.1:0\"}}
        upstreams: {app: {endpoints: [$app]}}
        ";
    let mut edge = edge(document).with("app", &app).start().await;
    let _stays = edge.client("web").websocket("/ws", &[]).await.unwrap();
    let new = edge.upgrade().await;
    edge.stderr().line("draining, another process serves").await;
    let process = edge.process().id();
    eventually("its socket", async || {
        edge.file(&format!("state/falconer-{process}.sock")).exists().then_some(())
    })
    .await;
    edge.signal(Signal::SIGSTOP);
    let status = edge.command(&["status"]).await;
    assert_eq!(status.code, 0);
    assert!(status.said.contains(&format!("process {new}: up")), "{}", status.said);
    edge.signal(Signal::SIGCONT);
}
