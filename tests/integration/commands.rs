//! The command line: what it teaches, what it does, and how it ends.

use crate::support::{
    Certificate, Client, Finished, Output, Process, Reply, Signal, edge, origin, tool, within,
};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

const BINARY: &str = env!("CARGO_BIN_EXE_falconer");
const SOUND: &str = "listeners: {web: {address: '127.0.0.1:0'}}\nroutes: [reply: {body: hi}]\n";

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(BINARY);
    command.args(arguments).current_dir(folder).env_remove("STATE_DIRECTORY");
    command
}

async fn ended(mut process: Process) -> Finished {
    let code = process.wait_exit().await;
    let stdout = process.stdout().whole().await;
    Finished { code, stdout, stderr: process.stderr().whole().await }
}

/// Runs a command in a folder until it ends by itself.
async fn falconer(folder: &Path, arguments: &[&str]) -> Finished {
    ended(Process::start(command(folder, arguments))).await
}

/// A folder with a document.
fn folder(document: &str) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("falconer.yaml"), document).unwrap();
    folder
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

#[tokio::test]
async fn help_names_every_command_and_each_explains_itself() {
    let here = TempDir::new().unwrap();
    let help = falconer(here.path(), &["--help"]).await.well();
    for words in ["Usage: falconer <COMMAND>", "Exit codes: 0 ok; 1", "falconer proxy --to http"] {
        assert!(help.contains(words), "{words} in\n{help}");
    }
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let commands: Vec<_> = commands.lines().map(|line| line.trim().split_once("  ")).collect();
    let names: Vec<_> = commands.iter().map(|command| command.unwrap().0).collect();
    assert_eq!(
        names,
        [
            "run",
            "check",
            "explain",
            "reload",
            "rollback",
            "upgrade",
            "status",
            "upstreams",
            "proxy",
            "demo",
            "schema",
            "completions",
            "help"
        ]
    );
    for (name, explained) in commands.into_iter().flatten().filter(|(name, _)| *name != "help") {
        assert!(explained.trim().split(' ').count() > 4, "{name}: {explained}");
        let help = falconer(here.path(), &[name, "--help"]).await.well();
        let (first, rest) = help.split_once("\n\n").unwrap();
        assert!(first.starts_with(explained.trim().split('.').next().unwrap()), "{help}");
        assert!(rest.starts_with(&format!("Usage: falconer {name} ")), "{help}");
        // Every option says what it does, on its line or below it.
        let options = rest.split("Options:\n").nth(1).unwrap().trim_end();
        for option in options.split("\n  -").filter(|option| !option.trim().is_empty()) {
            assert!(option.split_whitespace().count() > 2, "{name}: {option}");
        }
    }
    assert!(falconer(here.path(), &["-h"]).await.well().contains("Usage: falconer"));
}

#[tokio::test]
async fn the_version_comes_with_commit_and_features() {
    let here = TempDir::new().unwrap();
    for flag in ["--version", "-V"] {
        let version = falconer(here.path(), &[flag]).await.well();
        let shown = version.trim().strip_prefix("falconer ").unwrap();
        let (number, rest) = shown.split_once(" (commit ").unwrap();
        assert_eq!(number, env!("CARGO_PKG_VERSION"));
        let (commit, features) = rest.trim_end_matches(')').split_once("; features: ").unwrap();
        let is_commit = commit.len() >= 7 && commit.chars().all(|c| c.is_ascii_hexdigit());
        assert!(is_commit || commit == "unknown", "{commit}");
        assert!(features.contains("aws-lc-rs"), "{features}");
    }
}

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_what_is_meant() {
    let here = folder(SOUND);
    for (arguments, said) in [
        (&[][..], "Usage: falconer <COMMAND>"),
        (&["chekc"], "some similar subcommands exist: 'schema', 'check'"),
        (&["--verbose"], "unexpected argument '--verbose'"),
        (&["run", "--confg", "falconer.yaml"], "a similar argument exists: '--config'"),
        (&["run", "falconer.yaml"], "unexpected argument 'falconer.yaml'"),
        (&["check", "-c"], "a value is required for '--config <FILE>'"),
        (&["proxy"], "--to <URL>"),
        (&["proxy", "--to", "localhost:5000"], "write the scheme, such as `http://localhost:5000`"),
        (&["proxy", "--to", "http://a", "--listen", "8080"], "write `:8080`"),
        (&["demo", "--name", "a\nb"], "leave out control characters"),
    ] {
        let ended = falconer(here.path(), arguments).await;
        assert_eq!(ended.code, 2, "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{arguments:?} said\n{}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn shells_get_completions_that_they_can_read() {
    let here = TempDir::new().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let script = falconer(here.path(), &["completions", shell]).await.well();
        for word in ["proxy", "completions", "config"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if shell == "bash" {
            fs::write(here.path().join("completions"), script).unwrap();
            let file = here.path().join("completions").display().to_string();
            tool("bash", &["-n", &file]).await.well();
        }
    }
}

#[tokio::test]
async fn the_schema_knows_every_section_and_its_page_every_key() {
    let here = TempDir::new().unwrap();
    let schema = falconer(here.path(), &["schema"]).await.well();
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let known = falconer::config::schema()["properties"].as_object().unwrap();
    assert!(known.keys().eq(schema["properties"].as_object().unwrap().keys()));
    let page = falconer(here.path(), &["schema", "--format", "markdown"]).await.well();
    for key in schema["properties"].as_object().unwrap().keys() {
        assert!(page.contains(&format!("`{key}`")), "{key}");
    }
}

#[tokio::test]
async fn a_sound_document_runs_until_it_is_told_to_end() {
    let here = folder(SOUND);
    let mut process = Process::start(command(here.path(), &["run", "-c", "falconer.yaml"]));
    process.stderr().line("ready").await;
    process.signal(Signal::SIGINT);
    assert_eq!(process.wait_exit().await, 0);
    let check = falconer(here.path(), &["check", "--config", "falconer.yaml"]).await.well();
    assert_eq!(check, "falconer.yaml is sound: 1 file, 1 listener, 1 route, 0 upstreams");
}

#[tokio::test]
async fn an_address_in_use_ends_with_1_and_names_its_place() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let document = format!(
        "listeners:\n  web: {{address: '{}'}}\nroutes: [reply: {{}}]\n",
        taken.local_addr().unwrap()
    );
    let here = folder(&document);
    let ended = falconer(here.path(), &["run", "-c", "falconer.yaml"]).await;
    assert_eq!(ended.code, 1);
    let said = ended.stderr.lines().last().unwrap();
    assert!(said.starts_with("falconer: falconer.yaml:2:18: listener `web` cannot bind"), "{said}");
    // To check a document is not to bind its addresses.
    assert_eq!(falconer(here.path(), &["check", "-c", "falconer.yaml"]).await.code, 0);
}

#[tokio::test]
async fn a_document_that_is_not_there_ends_with_2() {
    let here = TempDir::new().unwrap();
    for command in ["run", "check"] {
        let ended = falconer(here.path(), &[command, "-c", "none.yaml"]).await;
        assert_eq!(ended.code, 2);
        let said = "cannot read `none.yaml`: there is no such file; correct the path, or create \
                    the file\n1 error, 0 warnings";
        assert_eq!(ended.stderr, said);
        let folder = falconer(here.path(), &[command, "-c", "."]).await;
        assert_eq!(folder.code, 2);
        assert!(folder.stderr.starts_with("cannot read `.`: it is a folder; name a file in it"));
    }
}

#[tokio::test]
async fn without_a_name_the_document_is_looked_for_in_its_places() {
    let here = TempDir::new().unwrap();
    if !Path::new("/etc/falconer/falconer.yaml").exists() {
        for command in ["run", "check"] {
            let ended = falconer(here.path(), &[command]).await;
            assert_eq!(ended.code, 2);
            assert_eq!(
                ended.stderr,
                "there is no document in `conf/falconer.yaml` or `/etc/falconer/falconer.yaml`; \
                 name one with `-c FILE`, or try `falconer proxy --to URL` without any"
            );
        }
    }
    fs::create_dir(here.path().join("conf")).unwrap();
    fs::write(here.path().join("conf/falconer.yaml"), SOUND).unwrap();
    let said = falconer(here.path(), &["check"]).await.well();
    assert!(said.starts_with("conf/falconer.yaml is sound"), "{said}");
    let mut process = Process::start(command(here.path(), &["run"]));
    process.stderr().line("ready").await;
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait_exit().await, 0);
}

/// A document in which everything that could be written or bound is named.
const BUSY: &str = "
server: {state_dir: own/state}
listeners:
  web: {address: unix:web.sock}
  secure: {address: '127.0.0.1:0', tls: {certificates: [made, given]}}
certificates:
  made: {self_signed: [localhost]}
  given: {chain: site.pem, key: site.key}
routes: [reply: {}]
access_log: {path: access.log}
admin: {address: unix:admin.sock}
";

fn busy(document: &str) -> TempDir {
    let here = folder(document);
    let certificate = Certificate::self_signed(&["site.test"]);
    fs::write(here.path().join("site.pem"), certificate.chain).unwrap();
    fs::write(here.path().join("site.key"), certificate.key).unwrap();
    here
}

#[tokio::test]
async fn check_leaves_no_trace() {
    let here = busy(BUSY);
    let before = files(here.path());
    let said = falconer(here.path(), &["check", "-c", "falconer.yaml"]).await.well();
    assert!(said.contains("2 listeners"), "{said}");
    assert_eq!(files(here.path()), before);
}

#[tokio::test]
async fn run_with_a_broken_document_starts_nothing() {
    for mistake in ["log: {level: loud}\n", "filters: [rewrite: {path: '/{path.none}'}]\n"] {
        let here = busy(&format!("{BUSY}{mistake}"));
        let before = files(here.path());
        let ended = falconer(here.path(), &["run", "-c", "falconer.yaml"]).await;
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        let lines: Vec<_> = ended.stderr.lines().collect();
        assert!(lines[0].starts_with("falconer.yaml:12:"), "{lines:?}");
        assert_eq!(lines[1..], ["1 error, 0 warnings"]);
        assert_eq!(files(here.path()), before, "{mistake}");
    }
}

#[tokio::test]
async fn a_warning_starts_all_the_same() {
    let routes = "routes: [{name: a, reply: {}}, {name: b, reply: {}}]";
    let edge = edge(routes).start().await;
    let line = edge.stderr().line("warning").await;
    assert!(line.contains("falconer.yaml:1:"), "{line}");
    assert!(line.contains("the route `b` can never win over `a`"), "{line}");
}

#[tokio::test]
async fn state_is_kept_beside_the_document_or_where_the_system_says() {
    let document = "listeners: {web: {address: '127.0.0.1:0', tls: {certificates: [made]}}}\n\
                    certificates: {made: {self_signed: [localhost]}}\nroutes: [reply: {}]\n";
    for variable in [None, Some("elsewhere")] {
        let here = folder(document);
        let state = here.path().join(variable.unwrap_or("state"));
        let mut run = command(here.path(), &["run", "-c", "falconer.yaml"]);
        run.envs(variable.map(|_| ("STATE_DIRECTORY", &state)));
        let mut process = Process::start(run);
        process.stderr().line("ready").await;
        assert!(state.join("certificates/localhost.key").exists(), "{:?}", files(here.path()));
        assert_eq!(here.path().join("state").exists(), variable.is_none());
        process.signal(Signal::SIGTERM);
        assert_eq!(process.wait_exit().await, 0);
    }
}

#[tokio::test]
async fn the_documents_that_come_with_the_program_are_sound() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut checked = 0;
    for entry in fs::read_dir(root.join("conf")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let ended = falconer(root, &["check", "-c", path.to_str().unwrap()]).await;
            assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", path.display());
            checked += 1;
        }
    }
    assert!(checked >= 3, "only {checked} documents in conf");
}

/// The address of the listener `web`, from the log.
async fn listening(stderr: &Output) -> String {
    let line = stderr.line("listening listener=web").await;
    line.rsplit_once("address=").unwrap().1.to_owned()
}

#[tokio::test]
async fn proxy_needs_no_document() {
    let here = TempDir::new().unwrap();
    let app = origin().handler(|request| Reply::ok(request.target.clone())).start().await;
    let arguments = ["proxy", "--to", app.endpoint(), "--listen", ":0"];
    let mut process = Process::start(command(here.path(), &arguments));
    let client = Client::new(listening(process.stderr()).await);
    process.stderr().line("ready").await;
    assert_eq!(client.get("/a%20b?c").await, "/a%20b?c");
    assert_eq!(app.request().await.header("x-forwarded-for"), Some("::1"));
    let line = process.stdout().line("/a%20b").await;
    assert!(line.contains("\"GET /a%20b?c HTTP/1.1\" 200 "), "{line}");
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait_exit().await, 0);
    assert_eq!(files(here.path()), [""; 0].map(PathBuf::from));
}

#[tokio::test]
async fn proxy_takes_several_applications_and_addresses() {
    let here = TempDir::new().unwrap();
    let one = origin().reply("/", "one").start().await;
    let two = origin().reply("/", "two").unix(here.path().join("two.sock")).start().await;
    let listen = format!("unix:{}", here.path().join("a$b.sock").display());
    let arguments = ["proxy", "--to", one.endpoint(), "--to", two.endpoint()];
    let arguments = [&arguments[..], &["--listen", &listen, "--listen", "127.0.0.1:0"]].concat();
    let process = Process::start(command(here.path(), &arguments));
    process.stderr().line("ready").await;
    let log = process.stderr().text();
    let tcp = log.lines().find(|line| line.contains("address=127.")).unwrap();
    let tcp = tcp.rsplit_once("address=").unwrap().1;
    for client in [Client::new(&listen), Client::new(tcp)] {
        let mut answers = [client.get("/").await.text(), client.get("/").await.text()];
        answers.sort();
        assert_eq!(answers, ["one", "two"]);
    }
}

#[tokio::test]
async fn demo_says_where_it_is_and_ends_when_told() {
    let here = TempDir::new().unwrap();
    let mut process = Process::start(command(here.path(), &["demo", "--listen", "127.0.0.1:0"]));
    let line = process.stdout().line("demo listening on http://127.0.0.1:").await;
    let client = Client::new(line.rsplit(' ').next().unwrap());
    assert_eq!(client.get("/echo").await.status, 200);
    process.signal(Signal::SIGTERM);
    assert_eq!(process.wait_exit().await, 0);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ended = falconer(here.path(), &["demo", "--listen", &address]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains(&format!("cannot listen on `{address}`")), "{}", ended.stderr);
}

#[tokio::test]
async fn a_terminal_shows_the_line_and_a_caret() {
    let here = folder("listeners: {web: {adress: ':0'}}\nroutes: [reply: {}]\n");
    let file = here.path().join("falconer.yaml");
    let line = format!("{BINARY} check -c {}", file.display());
    // `script` gives it a terminal of its own.
    let ended = tool("script", &["-qec", &line, "/dev/null"]).await;
    assert_eq!(ended.code, 2);
    let said = ended.stdout.replace('\r', "");
    let expected = format!(
        "{}:1:19: unknown key `adress`; did you mean `address`?\n    \
         listeners: {{web: {{adress: ':0'}}}}\n    {:18}^\n1 error, 0 warnings",
        file.display(),
        ""
    );
    assert_eq!(said.trim_end(), expected);
}

#[tokio::test]
async fn a_reader_that_leaves_changes_no_exit_code() {
    let here = folder(SOUND);
    for (arguments, code) in [("check -c falconer.yaml", 0), ("check -c none.yaml", 2)] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(here.path(), &arguments.split(' ').collect::<Vec<_>>());
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let ended = within("the end of a command", command.status()).await.unwrap();
        assert_eq!(ended.code(), Some(code), "{arguments}");
    }
}
