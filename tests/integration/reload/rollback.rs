//! The documents that ran are kept, and an edge goes back to them.

use crate::support::{Client, Edge, Ended, Process, Signal, edge, eventually, paced};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tokio::process::Command;

const DIFFERS: &str = "falconer_runtime_document_differs";

fn replying(body: &str) -> String {
    format!("routes: [{{name: all, reply: {{status: 200, body: {body}}}}}]")
}

async fn rollback(edge: &Edge, arguments: &[&str]) -> Ended {
    let ended = edge.command(&[&["rollback"], arguments].concat()).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    ended
}

/// The list without its times, which must be some.
async fn list(edge: &Edge) -> Vec<String> {
    let ended = rollback(edge, &["--list"]).await;
    let lines = ended.said.lines().map(|line| {
        let (place, rest) = line.trim_start().split_once("  ").unwrap();
        let (time, rest) = rest.split_once("  ").unwrap();
        assert!(time.starts_with("20") && time.ends_with('Z') && time.len() == 24, "{line}");
        let rest: Vec<_> = rest.split_whitespace().collect();
        format!("{place} {}", rest.join(" "))
    });
    lines.collect()
}

/// Waits until the document of the start is kept.
async fn kept(edge: &Edge) {
    eventually("the document of the start to be kept", async || {
        let first = list(edge).await.into_iter().next()?;
        (first == "runs by start generation 1, applied").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_rollback_goes_back_to_what_ran_before_and_leaves_the_files_as_they_are() {
    let mut edge = edge(&replying("one")).start().await;
    edge.reload(&replying("two")).await;
    let file = fs::read_to_string(edge.file("falconer.yaml")).unwrap();
    let dry = rollback(&edge, &["--dry-run"]).await;
    assert_eq!(dry.said, "changed route all\na rollback would bring 1 change");
    assert_eq!(edge.get("/").await, "two");

    let back = rollback(&edge, &[]).await;
    let lines: Vec<_> = back.said.lines().collect();
    assert_eq!(lines[..2], ["changed route all", "rolled back: 1 change, generation 3"]);
    assert!(lines[2].ends_with("falconer.yaml says something else than what runs now"));
    assert!(lines[3].contains("`falconer reload` follows the files again"), "{lines:?}");
    assert_eq!(edge.get("/").await, "one");
    assert_eq!(fs::read_to_string(edge.file("falconer.yaml")).unwrap(), file);
    edge.metric_becomes(DIFFERS, 1.0).await;

    // What ran before that is what the files say.
    let forth = rollback(&edge, &[]).await;
    assert_eq!(forth.said, "changed route all\nrolled back: 1 change, generation 4");
    edge.metric_becomes(DIFFERS, 0.0).await;
    rollback(&edge, &[]).await;
    assert_eq!(edge.get("/").await, "one");
    let ended = edge.reload(&replying("two")).await;
    assert_eq!(ended.said, "changed route all\nreloaded: 1 change, generation 6");
    edge.metric_becomes(DIFFERS, 0.0).await;
}

#[tokio::test]
async fn the_list_shows_what_is_kept_and_numbers_what_can_be_gone_back_to() {
    let mut edge = edge(&replying("one")).start().await;
    kept(&edge).await;
    edge.reload(&replying("two")).await;
    edge.reload(&format!("# the same\n{}", replying("two"))).await;
    let back = rollback(&edge, &["--dry-run"]).await;
    assert!(back.said.ends_with("a rollback would bring 1 change"), "{}", back.said);
    edge.rewrite("routes: none");
    assert_eq!(edge.command(&["reload"]).await.code, 2);
    edge.rewrite(&format!("server: {{threads: 3}}\n{}", replying("three")));
    edge.signal(Signal::SIGHUP);
    eventually("the third document to be kept", async || {
        list(&edge).await[0].contains("sighup").then_some(())
    })
    .await;
    edge.reload(&replying("three")).await;
    let rejected = "- by command rejected, 1 error: ";
    let lines = list(&edge).await;
    assert!(
        lines[2].starts_with(rejected) && lines[2].contains("falconer.yaml:1:9: "),
        "{lines:?}"
    );
    let but_rejected: Vec<_> = lines.iter().filter(|line| !line.starts_with(rejected)).collect();
    assert_eq!(
        but_rejected,
        [
            "runs by command generation 3, applied",
            "- by sighup needs an upgrade: server.threads",
            "1 by command generation 2, applied",
            "2 by start generation 1, applied",
        ]
    );
    rollback(&edge, &["2"]).await;
    assert_eq!(edge.get("/").await, "one");
    let lines = list(&edge).await;
    assert_eq!(lines[0], "runs by rollback generation 4, applied");
    assert_eq!(lines.iter().filter(|line| line.contains(" applied")).count(), 3, "{lines:?}");

    let ended = edge.command(&["rollback", "3"]).await;
    assert_eq!(ended.code, 2);
    assert!(ended.complained.contains("no document is kept from 3 steps back; "));
    assert_eq!(edge.get("/").await, "one");
    assert_eq!(list(&edge).await.len(), lines.len(), "it is no document that was rejected");
}

const SITES: &str = "
include: sites/*.yaml
listeners: {web: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}}
certificates: {site: {self_signed: [localhost]}}
routes: [{name: all, reply: {status: 200, body: \"${file:secret}\"}}]
";

fn site(body: &str) -> String {
    format!(
        "routes: [{{name: site, match: {{path: /site}}, reply: {{status: 200, body: {body}}}}}]"
    )
}

async fn site_of(edge: &Edge) -> String {
    edge.client("web").tls().get("/site").await.text()
}

#[tokio::test]
async fn included_files_come_back_with_it_and_secrets_are_read_as_they_are_now() {
    let edge = edge(SITES).file("secret", "hunter2").file("sites/a.yaml", site("one"));
    let edge = edge.start().await;
    fs::write(edge.file("sites/a.yaml"), site("two")).unwrap();
    fs::write(edge.file("sites/b.yaml"), site("b").replace("site", "b")).unwrap();
    fs::write(edge.file("secret"), "changed").unwrap();
    assert_eq!(edge.command(&["reload"]).await.code, 0);
    assert_eq!(site_of(&edge).await, "two");

    let back = rollback(&edge, &[]).await;
    for differing in ["sites/a.yaml", "sites/b.yaml"] {
        assert!(back.said.contains(&format!("{differing} says something else")), "{}", back.said);
    }
    assert!(back.said.contains("removed route b\n"), "{}", back.said);
    assert_eq!(site_of(&edge).await, "one");
    assert_eq!(edge.client("web").tls().get("/").await, "changed");

    let folder = edge.file("state/documents");
    let mode = |path: &std::path::Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600);
        let text = fs::read_to_string(path).unwrap();
        assert!(!text.contains("hunter2") && text.contains("${file:secret}"), "{text}");
    }
}

#[tokio::test]
async fn written_on_request_the_files_say_what_runs_and_no_file_is_removed() {
    let edge = edge(SITES).file("secret", "x").file("sites/a.yaml", site("one")).start().await;
    fs::write(edge.file("sites/a.yaml"), site("two")).unwrap();
    fs::write(edge.file("sites/b.yaml"), site("b").replace("site", "b")).unwrap();
    fs::set_permissions(edge.file("sites/a.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(edge.command(&["reload"]).await.code, 0);

    let back = rollback(&edge, &["--write"]).await;
    let differing: Vec<_> = back.said.lines().filter(|l| l.contains("something else")).collect();
    assert_eq!(differing.len(), 1, "{}", back.said);
    assert!(differing[0].contains("sites/b.yaml"), "{differing:?}");
    assert_eq!(fs::read_to_string(edge.file("sites/a.yaml")).unwrap(), site("one"));
    assert_eq!(edge.file("sites/a.yaml").metadata().unwrap().permissions().mode() & 0o777, 0o640);
    edge.metric_becomes(DIFFERS, 1.0).await;
    fs::remove_file(edge.file("sites/b.yaml")).unwrap();
    let ended = edge.command(&["reload"]).await;
    assert!(ended.said.starts_with("unchanged"), "{}", ended.said);
    edge.metric_becomes(DIFFERS, 0.0).await;

    // What runs can be written later, too.
    fs::write(edge.file("sites/a.yaml"), "routes: none").unwrap();
    assert_eq!(edge.command(&["reload"]).await.code, 2);
    edge.metric_becomes(DIFFERS, 1.0).await;
    let ended = rollback(&edge, &["0", "--write"]).await;
    assert!(ended.said.starts_with("unchanged"), "{}", ended.said);
    assert_eq!(fs::read_to_string(edge.file("sites/a.yaml")).unwrap(), site("one"));
    edge.metric_becomes(DIFFERS, 0.0).await;
}

#[tokio::test]
async fn files_that_cannot_be_written_keep_the_document_from_running() {
    let edge = edge(SITES).file("secret", "x").file("sites/a.yaml", site("one")).start().await;
    fs::write(edge.file("sites/a.yaml"), site("two")).unwrap();
    assert_eq!(edge.command(&["reload"]).await.code, 0);
    fs::remove_dir_all(edge.file("sites")).unwrap();
    fs::write(edge.file("sites"), "in the way").unwrap();
    let ended = edge.command(&["rollback", "--write"]).await;
    assert_eq!(ended.code, 2, "{}", ended.said);
    assert!(ended.complained.contains("sites/a.yaml` cannot be written"), "{}", ended.complained);
    assert_eq!(site_of(&edge).await, "two");
    rollback(&edge, &[]).await;
    assert_eq!(site_of(&edge).await, "one");
}

#[tokio::test]
async fn after_a_restart_the_files_count_and_what_was_kept_is_still_there() {
    let mut edge = edge(&replying("one")).start().await;
    edge.reload(&replying("two")).await;
    rollback(&edge, &[]).await;
    assert_eq!(edge.get("/").await, "one");
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);

    let mut command = Command::new(env!("CARGO_BIN_EXE_falconer"));
    // Its paths are relative to another folder than those of the process before.
    command.args(["run", "-c", "falconer.yaml"]).current_dir(edge.file(""));
    command.env_remove("STATE_DIRECTORY");
    let process = Process::start(command);
    let line = process.stderr().line("listening listener=web").await;
    let client = Client::new(line.rsplit_once("address=").unwrap().1);
    process.stderr().line("ready").await;
    assert_eq!(client.get("/").await, "two");
    kept(&edge).await;
    assert_eq!(list(&edge).await.len(), 2, "each is there once, however its path is written");
    let back = rollback(&edge, &[]).await;
    assert!(back.said.starts_with("changed route all\nrolled back: 1 change"), "{}", back.said);
    assert_eq!(client.get("/").await, "one");
}

#[tokio::test]
async fn after_an_upgrade_the_files_count_too() {
    let mut edge = edge(&replying("one")).start().await;
    edge.reload(&replying("two")).await;
    rollback(&edge, &[]).await;
    let generation = edge.metric("falconer_runtime_generation").await;
    edge.upgrade().await;
    assert_eq!(edge.get("/").await, "two");
    let lines = eventually("the document to be kept", async || {
        let lines = list(&edge).await;
        lines[0].contains("by start").then_some(lines)
    })
    .await;
    assert_eq!(lines[0], format!("runs by start generation {}, applied", generation + 1.0));
    assert_eq!(lines.len(), 2, "{lines:?}");
    rollback(&edge, &[]).await;
    assert_eq!(edge.get("/").await, "one");
}

#[tokio::test]
async fn what_an_earlier_process_alone_could_run_is_named() {
    let mut edge = edge(&format!("server: {{threads: 1}}\n{}", replying("one"))).start().await;
    kept(&edge).await;
    edge.signal(Signal::SIGTERM);
    assert_eq!(edge.wait_exit().await, 0);
    edge.rewrite(&format!("server: {{threads: 2}}\n{}", replying("two")));
    let file = edge.file("falconer.yaml").display().to_string();
    let process = Process::falconer(&["run", "-c", &file]);
    process.stderr().line("ready").await;
    let ended = edge.command(&["rollback"]).await;
    assert_eq!(ended.code, 1, "{}", ended.said);
    let said = "not rolled back: read only when a process starts: server.threads";
    assert!(ended.complained.contains(said), "{}", ended.complained);
}

#[tokio::test]
async fn a_state_folder_that_keeps_nothing_disturbs_nobody() {
    let mut edge = edge(&replying("one")).file("state/documents", "in the way").start().await;
    edge.stderr().line("this document is not kept").await;
    edge.reload(&replying("two")).await;
    assert_eq!(edge.get("/").await, "two");
    let ended = edge.command(&["rollback"]).await;
    assert_eq!(ended.code, 2);
    assert!(ended.complained.contains("no document is kept that ran before this one"));

    // What could not be kept is no reason to go back too far.
    fs::remove_file(edge.file("state/documents")).unwrap();
    edge.reload(&replying("three")).await;
    fs::rename(edge.file("state/documents"), edge.file("aside")).unwrap();
    fs::write(edge.file("state/documents"), "in the way").unwrap();
    edge.reload(&replying("four")).await;
    fs::remove_file(edge.file("state/documents")).unwrap();
    fs::rename(edge.file("aside"), edge.file("state/documents")).unwrap();
    rollback(&edge, &[]).await;
    assert_eq!(edge.get("/").await, "three");
}

#[tokio::test]
async fn a_watched_document_is_followed_again_when_its_files_change() {
    let watched = |body: &str| format!("server: {{watch: true}}\n{}", replying(body));
    let mut edge = edge(&watched("one")).start().await;
    edge.reload(&watched("two")).await;
    rollback(&edge, &[]).await;
    paced(6, Duration::from_millis(400), async |_| assert_eq!(edge.get("/").await, "one")).await;
    edge.rewrite(&watched("three"));
    eventually("the changed file", async || (edge.get("/").await == "three").then_some(())).await;
    edge.metric_becomes(DIFFERS, 0.0).await;
}
