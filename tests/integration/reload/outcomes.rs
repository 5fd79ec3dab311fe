//! What becomes of a reload, and who is told.

use crate::support::{Ended, Signal, edge, origin};
use std::os::unix::fs::PermissionsExt;

const ONE: &str = "routes: [{name: all, reply: {status: 200, body: one}}]";
const TWO: &str = "routes: [{name: all, reply: {status: 200, body: two}}]";

const DIFFERS: &str = "falconer_runtime_document_differs";
const GENERATION: &str = "falconer_runtime_generation";

fn count(outcome: &str) -> String {
    format!("falconer_runtime_reloads_total{{outcome=\"{outcome}\"}}")
}

fn assert_failed(ended: &Ended, code: i32, told: &[&str]) {
    assert_eq!(ended.code, code, "{}", ended.complained);
    for told in told {
        assert!(ended.complained.contains(told), "{told} in {}", ended.complained);
    }
}

#[tokio::test]
async fn a_changed_document_is_applied_and_a_reload_without_a_change_does_nothing() {
    let mut edge = edge(ONE).start().await;
    assert_eq!(edge.get("/").await, "one");
    let ended = edge.reload(ONE).await;
    assert_eq!(ended.said, "unchanged: generation 1 runs already");
    let ended = edge.reload(TWO).await;
    assert_eq!(ended.said, "changed route all\nreloaded: 1 change, generation 2");
    assert_eq!(edge.get("/").await, "two");
    for (series, value) in [
        (count("applied").as_str(), 1.0),
        (&count("unchanged"), 1.0),
        (&count("rejected"), 0.0),
        (GENERATION, 2.0),
        (DIFFERS, 0.0),
    ] {
        assert!((edge.metric(series).await - value).abs() < 1e-9, "{series}");
    }
}

#[tokio::test]
async fn sighup_reloads_and_the_log_says_what_became_of_it() {
    let edge = edge(ONE).start().await;
    edge.rewrite(TWO);
    edge.signal(Signal::SIGHUP);
    let line = edge.stderr().line("reloaded").await;
    assert!(line.contains("generation=2 changes=1"), "{line}");
    assert_eq!(edge.get("/").await, "two");
}

#[tokio::test]
async fn a_dry_run_names_what_would_change_and_changes_nothing() {
    let edge = edge(
        "
        listeners: {web: {address: \"127.0.0.1:0\"}, old: {address: \"127.0.0.1:0\"}}
        certificates: {site: {self_signed: [a.example]}}
        upstreams:
          app: {endpoints: [http://127.0.0.1:1, http://127.0.0.1:2]}
          same: {endpoints: [http://127.0.0.1:1]}
        routes:
          - {name: app, upstream: app}
          - {name: same, match: {path: /same}, upstream: same}
        ",
    )
    .start()
    .await;
    edge.rewrite(
        "
        listeners:
          web: {address: \"127.0.0.1:0\", limits: {keep_alive: 5s}}
          new: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {self_signed: [b.example]}}
        log: {level: warn}
        filters: [{request_id: {}}]
        upstreams:
          same: {endpoints: [http://127.0.0.1:1]}
          app: {endpoints: [http://127.0.0.1:2, http://127.0.0.1:3]}
        routes:
          - {name: same, match: {path: /same}, upstream: same}
          - {name: app, upstream: app}
          - {match: {path: /new}, upstream: app}
        ",
    );
    let written = || {
        let files = std::fs::read_dir(edge.file("state/certificates")).unwrap();
        files.map(|file| file.unwrap().file_name()).collect::<Vec<_>>()
    };
    let before = written();
    let ended = edge.command(&["reload", "--dry-run"]).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    assert_eq!(written(), before);
    assert_eq!(
        ended.said.lines().collect::<Vec<_>>(),
        [
            "removed listener old",
            "changed listener web",
            "added listener new",
            "changed certificate site",
            "removed endpoint app http://127.0.0.1:1",
            "added endpoint app http://127.0.0.1:3",
            "changed upstream app",
            "added route route-3",
            "changed log of falconer",
            "changed filters of all routes",
            "changed order of routes",
            "a reload would bring 11 changes",
        ]
    );
    assert!((edge.metric(GENERATION).await - 1.0).abs() < 1e-9);
    assert!(edge.metrics().await.contains("listener=\"old\""));
}

#[tokio::test]
async fn a_broken_document_is_rejected_and_the_edge_goes_on() {
    let mut edge = edge(ONE).start().await;
    edge.rewrite("routes: [{name: all, replies: {status: 200}}]");
    let ended = edge.command(&["reload"]).await;
    let told = ["falconer.yaml:1:22: unknown key `replies`", "rejected: ", "goes on"];
    assert_failed(&ended, 2, &told);
    edge.stderr().line("the document is rejected").await;
    edge.metric_becomes(DIFFERS, 1.0).await;
    assert_eq!(edge.get("/").await, "one");

    std::fs::remove_file(edge.file("falconer.yaml")).unwrap();
    edge.signal(Signal::SIGHUP);
    edge.metric_becomes(&count("rejected"), 2.0).await;
    assert_eq!(edge.get("/").await, "one");

    edge.reload(TWO).await;
    edge.metric_becomes(DIFFERS, 0.0).await;
    assert_eq!(edge.get("/").await, "two");
}

#[tokio::test]
async fn what_only_a_new_process_can_take_on_is_named_and_nothing_is_applied() {
    let edge = edge(ONE).start().await;
    let server = "server: {threads: 3, limits: {connections: 77}}";
    let log = "access_log: {format: combined, path: access.log}";
    edge.rewrite(&format!("{server}\n{log}\n{TWO}"));
    let ended = edge.command(&["reload"]).await;
    let told = ["server.threads, server.limits.connections, access_log.format"];
    assert_failed(&ended, 1, &told);
    assert_eq!(edge.get("/").await, "one");
    edge.metric_becomes(DIFFERS, 1.0).await;
    edge.metric_becomes(&count("needs_upgrade"), 1.0).await;
}

#[tokio::test]
async fn a_default_that_is_written_out_is_no_change() {
    let mut edge = edge(ONE).start().await;
    let ended = edge.reload(&format!("server: {{drain: 30s}}\n{ONE}")).await;
    assert!(ended.said.starts_with("unchanged"), "{}", ended.said);
}

#[tokio::test]
async fn the_log_follows_its_level() {
    let mut edge = edge(ONE).start().await;
    edge.reload(&format!("log: {{level: debug}}\n{TWO}")).await;
    edge.stderr().line(" changed kind=route name=all").await;
}

#[tokio::test]
async fn without_an_edge_the_command_says_so() {
    let (code, said, complained) = edge(ONE).ends("reload").await;
    assert_eq!((code, said.as_str()), (1, ""));
    assert!(complained.contains("no edge answers at `"), "{complained}");
    assert!(complained.contains("falconer.sock"), "{complained}");
}

#[tokio::test]
async fn only_its_user_commands_an_edge_and_no_other_edge_has_its_state() {
    let running = edge(ONE).start().await;
    let socket = running.file("state/falconer.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let state = running.file("state");
    let document = format!("server: {{state_dir: {}}}\n{ONE}", state.display());
    let (code, complained) = edge(&document).fails_with().await;
    assert_eq!(code, 1);
    assert!(complained.contains("falconer.yaml:1:21: another edge runs with the state in"));
    assert_eq!(running.command(&["reload"]).await.code, 0, "the first one still hears");
}

#[tokio::test]
async fn without_a_state_folder_the_edge_runs_and_says_what_it_lacks() {
    let origin = origin().reply("/", "hello").start().await;
    let document = "
        server: {state_dir: /proc/none}
        upstreams: {app: {endpoints: [$app]}}
        ";
    let edge = edge(document).with("app", &origin).start().await;
    edge.stderr().line("the state folder cannot be used").await;
    assert_eq!(edge.get("/").await, "hello");
    let ended = edge.command(&["reload"]).await;
    assert_failed(&ended, 1, &["no edge answers"]);
}
