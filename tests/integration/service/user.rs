//! `server.user`: who the edge is after it was started as root, and what it can still do.

use super::is_root;
use crate::support::{Builder, Client, edge};
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

const HELLO: &str = "routes: [{reply: {status: 200, body: hello}}]";

/// Users and groups as the edge finds them.
const PASSWD: &str = "root:x:0:0::/:/bin/sh\nedge:x:4711:4712::/:/bin/false\n";
const GROUP: &str = "root:x:0:\nedge:x:4712:\nlogs:x:4713:edge,other\nweb:x:4714:\n";

/// The user `edge` of [`PASSWD`].
const EDGE: u32 = 4711;

/// CAP_NET_BIND_SERVICE alone.
const LOW_PORTS: &str = "0000000000000400";
const NOTHING: &str = "0000000000000000";

/// An edge on a system with the users above, whose folder is that of the user `edge`.
fn among_users(document: &str) -> Builder {
    let builder = edge(document).file("passwd", PASSWD).file("group", GROUP).owned_by(EDGE);
    let path = |name: &str| builder.folder().join(name).display().to_string();
    let (passwd, group) = (path("passwd"), path("group"));
    let script =
        r#"mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/group && shift 2 && exec "$@""#;
    builder.under(&["unshare", "--mount", "sh", "-c", script, "sh", &passwd, &group])
}

/// Makes a file one that only root can read.
fn roots_own(builder: &Builder, name: &str) {
    let path = builder.folder().join(name);
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// A port that only root and whoever has the right can bind.
fn low_port() -> u16 {
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    (600..1024).rev().find(is_free).expect("a free port below 1024")
}

#[tokio::test]
async fn it_becomes_the_user_with_all_of_its_groups_and_one_right() {
    if !is_root() {
        return;
    }
    for (server, group, groups) in
        [("{user: edge}", "4712", "4712 4713"), ("{user: 4711, group: web}", "4714", "4713 4714")]
    {
        let document = format!("server: {server}\n{HELLO}");
        let mut edge = among_users(&document).start().await;
        let every = |name: &str, value: &str| {
            let found = edge.process().threads(name);
            assert!(found.len() > 1 && found.iter().all(|one| one == value), "{name} {found:?}");
        };
        every("Uid:", "4711 4711 4711 4711");
        every("Gid:", &[group; 4].join(" "));
        every("Groups:", groups);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            every(set, LOW_PORTS);
        }
        every("NoNewPrivs:", "1");
        assert_eq!(fs::metadata(edge.file("state")).unwrap().uid(), EDGE);

        // Later listeners bind what only root could, also those of a process that took over.
        let binary = edge.file("falconer");
        fs::copy(env!("CARGO_BIN_EXE_falconer"), &binary).unwrap();
        let ended = edge.command(&["upgrade", binary.to_str().unwrap()]).await;
        assert_eq!(ended.code, 0, "{}", ended.complained);
        let port = low_port();
        let listener = format!("listeners: {{web: {{address: \"127.0.0.1:{port}\"}}}}");
        edge.reload(&format!("{document}\n{listener}")).await;
        assert_eq!(Client::new(format!("127.0.0.1:{port}")).get("/").await, "hello");
        assert!(!edge.stderr().text().contains("warning"), "{}", edge.stderr().text());
    }
}

#[tokio::test]
async fn without_a_user_it_stays_who_it_is() {
    let edge = edge(HELLO).start().await;
    let own = nix::unistd::geteuid().to_string();
    assert!(edge.process().threads("Uid:").iter().all(|ids| *ids == [&*own; 4].join(" ")));
    assert!(!edge.stderr().text().contains("warning"), "{}", edge.stderr().text());
}

#[tokio::test]
async fn what_the_user_cannot_read_or_write_is_told_by_check_and_run_at_its_place() {
    if !is_root() {
        return;
    }
    let certificate = crate::support::Certificate::self_signed(&["site.example"]);
    for command in ["check", "run"] {
        let builder = among_users(
            "
            server: {user: edge, state_dir: kept}
            include: [more.yaml, good.yaml, sites/*.yaml]
            listeners: {web: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}}
            certificates: {site: {chain: site.pem, key: site.key}}
            upstreams:
              app: {endpoints: [https://127.0.0.1:1], tls: {ca: ca.pem}}
            routes: [{reply: {status: 200, body: \"${file:secret}\"}}]
            access_log: {path: logs/access.log}
            ",
        )
        .file("more.yaml", "{}")
        .file("good.yaml", "{}")
        .file("sites/a.yaml", "{}")
        .file("site.pem", &certificate.chain)
        .file("site.key", &certificate.key)
        .file("ca.pem", &certificate.chain)
        .file("secret", "secret")
        .file("logs/old.log", "")
        .file("kept/certificates", "");
        for name in ["more.yaml", "site.key", "ca.pem", "secret", "sites"] {
            roots_own(&builder, name);
        }
        let folder = format!("{}/", builder.folder().display());
        let (code, _, said) = builder.ends(command).await;
        let said = said.replace(&folder, "");
        let read = "permission denied; let the user `edge` read it, and enter its folders";
        let write = "permission denied; let the user `edge` write to it, and enter its folders";
        let expected = [
            format!("falconer.yaml:1:33: cannot write to `kept`: {write}"),
            format!("falconer.yaml:2:11: cannot read `more.yaml`: {read}"),
            format!("falconer.yaml:2:33: cannot read `sites`: {read}"),
            format!("falconer.yaml:4:45: cannot read `site.key`: {read}"),
            format!("falconer.yaml:6:53: cannot read `ca.pem`: {read}"),
            format!("falconer.yaml:7:38: cannot read `secret`: {read}"),
            format!("falconer.yaml:8:20: cannot write to `logs`: {write}"),
            "7 errors, 0 warnings".to_owned(),
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{command}");
        assert_eq!(code, 2);
    }
}

#[tokio::test]
async fn a_document_that_the_user_cannot_read_could_never_be_reloaded() {
    if !is_root() {
        return;
    }
    for command in ["check", "run"] {
        let builder = among_users(&format!("server: {{user: edge}}\n{HELLO}"));
        fs::set_permissions(builder.folder(), Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::chown(builder.folder(), Some(0), Some(0)).unwrap();
        let (code, _, said) = builder.ends(command).await;
        let place = "falconer.yaml:1:16: cannot read `";
        assert!(said.contains(place) && said.contains("let the user `edge` read it"), "{said}");
        assert_eq!(code, 2);
    }
}

#[tokio::test]
async fn check_leaves_no_trace_and_finds_nothing_wrong_with_what_runs() {
    if !is_root() {
        return;
    }
    let builder = among_users(&format!("server: {{user: edge}}\n{HELLO}"));
    let state = builder.folder().join("state");
    let (code, said, complained) = builder.ends("check").await;
    assert_eq!((code, &*complained), (0, ""), "{said}");
    assert!(!state.exists());
}

#[tokio::test]
async fn where_the_right_to_low_ports_cannot_be_had_one_warning_says_so() {
    if !is_root() {
        return;
    }
    let document = format!("server: {{user: edge}}\n{HELLO}");
    let less = ["setpriv", "--bounding-set", "-net_bind_service"];
    let edge = among_users(&document).under(&less).start().await;
    let said = edge.stderr().text();
    let warning = "warning: as `edge` the edge cannot bind ports below 1024; ";
    assert_eq!(said.matches(warning).count(), 1, "{said}");
    assert!(edge.process().threads("CapPrm:").iter().all(|set| set == NOTHING));
    assert_eq!(edge.get("/").await, "hello");
}

#[tokio::test]
async fn an_edge_that_cannot_become_the_user_does_not_start() {
    if !is_root() {
        return;
    }
    let document = format!("server: {{user: edge}}\n{HELLO}");
    let less = ["setpriv", "--bounding-set", "-setuid"];
    let (code, said) = among_users(&document).under(&less).fails_with().await;
    assert!(said.contains("falconer.yaml:1:16: the edge cannot become `edge`: "), "{said}");
    assert_eq!(code, 2);
}

#[tokio::test]
async fn only_root_becomes_another_user() {
    if !is_root() {
        return;
    }
    // It keeps the right to read everything, for the sake of the binary's own place.
    let as_edge = [
        "setpriv",
        "--reuid=4711",
        "--regid=4712",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
    ];
    for (user, warns) in [("root", true), ("edge", false)] {
        let document = format!("server: {{user: {user}}}\n{HELLO}");
        let edge = among_users(&document).under(&as_edge).start().await;
        let warning =
            "falconer.yaml:1:16: warning: `user` and `group` do nothing: the edge stays `edge`";
        let said = edge.stderr().text();
        assert_eq!(said.contains(warning), warns, "{said}");
        assert!(edge.process().threads("Uid:").iter().all(|ids| ids.starts_with("4711 ")));
    }
}
