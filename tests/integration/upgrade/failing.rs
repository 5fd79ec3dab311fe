//! New processes that cannot take the place: the old one goes on as if nothing had been.

use super::{late, program, started};
use crate::support::{Certificate, Edge, Signal, edge};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const DOCUMENT: &str = "
    listeners: {web: {address: \"127.0.0.1:0\"}, socket: {address: \"unix:web.sock\"}}
    routes: [{reply: {status: 200, body: hello}}]
    ";

/// The upgrade fails and says why, and the process that was there serves as before.
async fn fails(edge: &Edge, arguments: &[&str], why: &str) {
    let ended = edge.command(&[&["upgrade"], arguments].concat()).await;
    assert_eq!(ended.code, 1, "{arguments:?}: {}", ended.said);
    assert!(ended.complained.contains(why), "{arguments:?}: {}", ended.complained);
    let last = ended.complained.lines().last().unwrap();
    assert_eq!(last, "falconer: not upgraded; the process that was there goes on");
    assert_eq!(ended.said, "");
    for listener in ["web", "socket"] {
        assert_eq!(edge.client(listener).get("/").await, "hello", "{arguments:?}");
    }
    let status = edge.command(&["status"]).await;
    assert!(
        status.said.contains(&format!("process {}: up", edge.process().id())),
        "{}",
        status.said
    );
    edge.metric_becomes("falconer_runtime_generation", 1.0).await;
}

#[tokio::test]
async fn a_program_that_is_no_edge_changes_nothing() {
    let edge = edge(DOCUMENT).start().await;
    let cannot = program(&edge, "");
    fs::set_permissions(&cannot, fs::Permissions::from_mode(0o644)).unwrap();
    fails(&edge, &[&cannot], "cannot be started: Permission denied").await;
    fails(&edge, &["/bin/false"], "exited with code 1").await;
    // It ends without a word, as a falconer would that crashes.
    let crashes = program(&edge, "#!/bin/sh\nkill -SEGV $$\n");
    fails(&edge, &[&crashes], "was ended by signal 11").await;
    // It hangs, and hears nothing.
    let hangs = program(&edge, "#!/bin/sh\nexec sleep 600\n");
    fails(&edge, &["--timeout", "1s", &hangs], "did not serve within 1s").await;
    // It closes the channel and goes on.
    let leaves = program(&edge, "#!/bin/sh\nexec sleep 600 <&-\n");
    fails(&edge, &["--timeout", "20s", &leaves], "takes no part in the handover").await;
    // It speaks, but not this language.
    let babbles = program(&edge, "#!/bin/sh\necho hello >&0\nexec sleep 600\n");
    fails(&edge, &[&babbles], "is not understood").await;
    edge.metric_becomes("falconer_runtime_upgrades_failed_total{outcome=\"failed\"}", 6.0).await;
    for process in edge.started() {
        edge.gone(process).await;
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_before_anything_is_done() {
    let edge = edge(DOCUMENT).start().await;
    let ended = edge.command(&["upgrade", "nowhere/falconer"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.complained.contains("there is no file `"), "{}", ended.complained);
    assert!(edge.started().is_empty());
}

#[tokio::test]
async fn a_document_with_problems_is_told_as_a_reload_tells_it() {
    let edge = edge(DOCUMENT).start().await;
    edge.rewrite(&DOCUMENT.replace("reply", "repli"));
    fails(&edge, &[], "falconer.yaml:").await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    edge.rewrite(&DOCUMENT.replace("127.0.0.1:0", &address));
    fails(&edge, &[], &format!("listener `web` cannot bind {address}")).await;
    edge.rewrite(&format!("{DOCUMENT}\n    access_log: {{path: /nowhere/at/all.log}}\n"));
    fails(&edge, &[], "the access log cannot be opened").await;
    // Nothing of this has harmed what another process would need.
    edge.rewrite(DOCUMENT);
    assert_eq!(edge.command(&["upgrade"]).await.code, 0);
    assert_eq!(edge.client("socket").get("/").await, "hello");
}

#[tokio::test]
async fn another_version_of_the_handover_is_refused_by_both() {
    let mut edge = edge(DOCUMENT).start().await;
    // An edge of the future tells that it cannot: this much is the same in every version.
    let future = program(
        &edge,
        "#!/usr/bin/env python3\n\
         import socket, json\n\
         s = socket.socket(fileno=0)\n\
         assert json.loads(s.recv(1 << 17))['version'] == 1\n\
         s.send(json.dumps({'says': 'refused', 'problems': ['it hands over by version 7']}).encode())\n",
    );
    fails(&edge, &[&future], "it hands over by version 7").await;
    // And an edge of the past offers what this binary does not know.
    let past = format!(
        "#!/usr/bin/env python3\n\
         import socket, subprocess, json, sys, os\n\
         ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n\
         child = subprocess.Popen([{binary:?}] + sys.argv[1:], stdin=theirs)\n\
         theirs.close()\n\
         ours.send(b'{{\"says\": \"offer\", \"version\": 0, \"sockets\": 3}}')\n\
         answer = json.loads(ours.recv(1 << 17))\n\
         assert child.wait() == 1\n\
         socket.socket(fileno=0).send(json.dumps(answer).encode())\n",
        binary = env!("CARGO_BIN_EXE_falconer"),
    );
    let past = program(&edge, &past);
    fails(&edge, &[&past], "the edge that runs hands over by version 0, and this binary by 1")
        .await;
    edge.upgrade().await;
}

#[tokio::test]
async fn a_certificate_that_is_missing_keeps_the_old_process() {
    let site = Certificate::self_signed(&["localhost"]);
    let document = "
        listeners:
          web: {address: \"127.0.0.1:0\"}
          socket: {address: \"unix:web.sock\"}
          secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
        certificates: {site: {chain: site.pem, key: site.key}}
        routes: [{reply: {status: 200, body: hello}}]
        ";
    let edge = edge(document).file("site.pem", &site.chain).file("site.key", &site.key);
    let edge = edge.start().await;
    fs::remove_file(edge.file("site.key")).unwrap();
    fails(&edge, &[], "site.key").await;
    assert_eq!(edge.client("secure").tls().get("/").await, "hello");
}

#[tokio::test]
async fn process_1_of_a_container_refuses_and_says_what_to_do() {
    let edge = edge(DOCUMENT).under(&["unshare", "--pid", "--fork", "--kill-child"]);
    let edge = edge.start().await;
    let ended = edge.command(&["upgrade"]).await;
    assert_eq!(ended.code, 1, "{}", ended.said);
    for words in ["process 1 of its container", "start another container", "shutdown_delay"] {
        assert!(ended.complained.contains(words), "{words}: {}", ended.complained);
    }
    assert!(edge.started().is_empty());
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn under_an_init_that_ends_with_its_child_it_refuses_too() {
    let edge = edge(DOCUMENT);
    // The name is what it is known by.
    let init = edge.folder().join("tini");
    fs::copy("/bin/sh", &init).unwrap();
    let init = init.to_str().unwrap().to_owned();
    let alone = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
    let child = [init.as_str(), "-c", "\"$0\" \"$@\" & wait"];
    let edge = edge.under(&[&alone[..], &child[..]].concat()).start().await;
    let ended = edge.command(&["upgrade"]).await;
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.complained.contains("`tini` ends its container when"), "{}", ended.complained);
    assert!(edge.started().is_empty());
}

#[tokio::test]
async fn who_comes_too_late_does_not_serve_beside_the_old_one() {
    let edge = edge(DOCUMENT).start().await;
    let binary = env!("CARGO_BIN_EXE_falconer");
    // Killing the shell does not end what it has started.
    let text = format!("#!/bin/sh\n(sleep 2; exec {binary:?} \"$@\")\n");
    let late = program(&edge, &text);
    fails(&edge, &["--timeout", "1s", &late], "did not serve within 1s").await;
    edge.stderr().line("no place is handed over: the edge that runs did not wait so long").await;
    fails(&edge, &["/bin/false"], "exited with code 1").await;
}

#[tokio::test]
async fn an_edge_that_is_told_to_stop_starts_no_other() {
    let delay = DOCUMENT.replacen('\n', "\n    server: {shutdown_delay: 2s}\n", 1);
    let mut edge = edge(&delay).start().await;
    let late = late(&edge);
    let arguments = ["upgrade", &late];
    let upgrading = edge.command(&arguments);
    let stopping = async {
        started(&edge).await;
        edge.signal(Signal::SIGTERM);
    };
    let (ended, ()) = tokio::join!(upgrading, stopping);
    assert_eq!(ended.code, 1, "{}", ended.said);
    assert!(ended.complained.contains("this edge was told to stop"), "{}", ended.complained);
    let again = edge.command(&["upgrade"]).await;
    assert!(again.complained.contains("this edge was told to stop"), "{}", again.complained);
    assert_eq!(edge.wait_exit().await, 0);
    let new = edge.started()[0];
    edge.gone(new).await;
}
