//! The edge under test: the real binary with a document of the test's own.

use super::certs::Authority;
use super::client::{Client, Request};
use super::document::{complete, dedent, fill};
use super::eventually;
use super::h2::H2;
use super::process::{Output, Process, Signal};
use super::raw::Raw;
use super::reply::Gate;
use super::response::Response;
use nix::unistd::Pid;
use serde_json::Value;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// An edge with this document, which is completed with what every edge needs: a listener `web` and
/// an admin listener on free ports, an access log, and a route to the first upstream.
pub fn edge(document: &str) -> Builder {
    Builder {
        document: dedent(document),
        values: Vec::new(),
        folder: TempDir::new().expect("a folder"),
        environment: Vec::new(),
        under: Vec::new(),
        stdout: Gate::wide(),
        exactly: false,
    }
}

/// Describes an [`Edge`].
pub struct Builder {
    document: String,
    values: Vec<(String, String)>,
    folder: TempDir,
    environment: Vec<(String, String)>,
    under: Vec<String>,
    stdout: Gate,
    exactly: bool,
}

impl Builder {
    /// Puts a value, such as an origin's address, in the place of `$name`.
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.values.push((name.to_owned(), value.to_string()));
        self
    }

    /// Writes a file beside the document.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    /// Gives the document's folder to a user of the system; only root can.
    pub fn owned_by(self, user: u32) -> Self {
        std::os::unix::fs::chown(self.folder.path(), Some(user), Some(user)).expect("root's right");
        self
    }

    /// Sets a variable of the edge's environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Trusts an authority with the certificates of endpoints, as if the system did.
    pub fn trusting(self, authority: &Authority) -> Self {
        let path = self.folder.path().join("authority.pem");
        let variable = path.to_str().expect("a path").to_owned();
        self.file("authority.pem", &authority.pem).env("SSL_CERT_FILE", &variable)
    }

    /// Allows the edge so many open files and sockets: at first, and at most.
    pub fn descriptors(self, soft: u32, hard: u32) -> Self {
        self.under(&["prlimit", &format!("--nofile={soft}:{hard}")])
    }

    /// Starts it by a command that becomes the edge, so that the process id is the edge's own.
    pub fn under(mut self, command: &[&str]) -> Self {
        self.under.extend(command.iter().map(|&word| word.to_owned()));
        self
    }

    /// Reads nothing of its stdout before the gate opens, as a pipe that stalls.
    pub fn stdout_behind(mut self, gate: &Gate) -> Self {
        self.stdout = gate.clone();
        self
    }

    /// Takes the document as it is, without completing it.
    pub fn exactly(mut self) -> Self {
        self.exactly = true;
        self
    }

    /// The folder of the document.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts it and waits until it is ready.
    pub async fn start(self) -> Edge {
        let process = Process::start_unread(self.command("run"), &self.stdout);
        let what = "the edge to be ready";
        let ready = process.stderr().first(what, |line| field(line, "message") == "ready").await;
        assert!(ready.is_some(), "the edge ended instead:\n{}", process.stderr().text());
        let listening = listening(&process.stderr().text());
        let Self { values, folder, exactly, .. } = self;
        Edge { process, listening, folder, values, exactly }
    }

    /// Starts it, expects it to fail, and gives its exit code and what it wrote to stderr.
    pub async fn fails_with(self) -> (i32, String) {
        let (code, _, stderr) = self.ends("run").await;
        assert!(code != 0, "the edge ended well:\n{stderr}");
        (code, stderr)
    }

    /// Runs a command such as `check` on the document, and gives its exit code, stdout and stderr.
    pub async fn ends(self, command: &str) -> (i32, String, String) {
        let mut process = Process::start(self.command(command));
        let code = process.wait_exit().await;
        (code, process.stdout().whole().await, process.stderr().whole().await)
    }

    fn command(&self, command: &str) -> Command {
        let path = self.folder.path().join("falconer.yaml");
        let text = written(&self.document, &self.values, self.exactly);
        fs::write(&path, text).expect("the document");
        let binary = env!("CARGO_BIN_EXE_falconer").to_owned();
        let mut words = self.under.iter().chain([&binary]);
        let mut process = Command::new(words.next().expect("a program"));
        process.args(words);
        process.arg(command).arg("-c").arg(path);
        // The tests may run as a service themselves.
        for name in ["STATE_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"] {
            process.env_remove(name);
        }
        process.envs(self.environment.iter().map(|(name, value)| (name, value)));
        process
    }
}

/// A running edge; dropped, it is killed.
pub struct Edge {
    process: Process,
    listening: Vec<(String, String)>,
    folder: TempDir,
    values: Vec<(String, String)>,
    exactly: bool,
}

/// How a command of the edge ended.
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub said: String,
    /// What it wrote to stderr.
    pub complained: String,
}

impl Edge {
    /// The answer of the first listener to a GET, in clear text by HTTP/1.
    pub async fn get(&self, path: &str) -> Response {
        self.first().get(path).await
    }

    /// A request to the first listener, to fill in.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.first().request(method, path)
    }

    /// A client of a listener, in clear text by HTTP/1 unless told otherwise.
    pub fn client(&self, listener: &str) -> Client {
        Client::new(self.address(listener))
    }

    /// A raw HTTP/1 connection to a listener.
    pub async fn raw(&self, listener: &str) -> Raw {
        self.client(listener).raw().await
    }

    /// A connection to a listener by HTTP/2 in clear text.
    pub async fn h2(&self, listener: &str) -> H2 {
        self.client(listener).open_h2().await
    }

    /// The address of a listener, the first if it has several; `admin` is one too.
    pub fn address(&self, listener: &str) -> &str {
        let found = self.listening.iter().find(|(name, _)| name == listener);
        let (_, address) =
            found.unwrap_or_else(|| panic!("no listener {listener} in {:?}", self.listening));
        address
    }

    /// The addresses of a listener.
    pub fn addresses(&self, listener: &str) -> Vec<&str> {
        let all = self.listening.iter().filter(|(name, _)| name == listener);
        all.map(|(_, address)| address.as_str()).collect()
    }

    /// The URL of a path at the first listener.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address(self.first_name()))
    }

    /// The access log, when it holds at least so many exchanges.
    pub async fn access_log(&self, at_least: usize) -> Vec<Value> {
        let what = format!("{at_least} lines in the access log");
        self.access_log_until(&what, |lines| lines.len() >= at_least).await
    }

    /// The first line of the access log of which something holds, when it comes.
    pub async fn logged(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let what = format!("{what} in the access log");
        let lines = self.access_log_until(&what, |lines| lines.iter().any(&holds)).await;
        lines.into_iter().find(holds).expect("it was there")
    }

    /// The access log, when something holds of it.
    pub async fn access_log_until(
        &self,
        what: &str,
        holds: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let path = self.file("access.log");
        eventually(what, async || {
            let text = fs::read_to_string(&path).unwrap_or_default();
            // The last line may be half-written.
            let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
            let lines = whole.lines().map(|line| {
                serde_json::from_str(line).unwrap_or_else(|e| panic!("no JSON ({e}): {line}"))
            });
            let lines: Vec<_> = lines.collect();
            holds(&lines).then_some(lines)
        })
        .await
    }

    /// All metrics as text.
    pub async fn metrics(&self) -> String {
        let response = self.client("admin").get("/metrics").await;
        assert_eq!(response.status, 200, "{response:?}");
        response.text()
    }

    /// The sum of the series of a family that carry these labels: `name` or `name{label="value"}`.
    /// A family that does not exist fails the test, because a misspelled one would always be 0.
    pub async fn metric(&self, series: &str) -> f64 {
        let metrics = self.metrics().await;
        let sum = sum(&metrics, series);
        sum.unwrap_or_else(|| panic!("no family of {series} in\n{metrics}"))
    }

    /// Waits until [`Self::metric`] is this value.
    pub async fn metric_becomes(&self, series: &str, value: f64) {
        eventually(&format!("{series} to become {value}"), async || {
            let now = sum(&self.metrics().await, series)?;
            ((now - value).abs() < 1e-9).then_some(())
        })
        .await;
    }

    /// Waits until [`Self::metric`] is at least this value.
    pub async fn metric_reaches(&self, series: &str, value: f64) {
        eventually(&format!("{series} to reach {value}"), async || {
            (sum(&self.metrics().await, series)? >= value).then_some(())
        })
        .await;
    }

    /// Puts another document in the place of the edge's, completed as the first one was.
    pub fn rewrite(&self, document: &str) {
        let text = written(&dedent(document), &self.values, self.exactly);
        // At once, as an editor does: nobody reads half of it.
        let (new, path) = (self.file("falconer.yaml.new"), self.file("falconer.yaml"));
        fs::write(&new, text).and_then(|()| fs::rename(new, path)).expect("the document");
    }

    /// Has the edge follow another document, which must work.
    pub async fn reload(&mut self, document: &str) -> Ended {
        self.rewrite(document);
        let ended = self.command(&["reload"]).await;
        assert_eq!(ended.code, 0, "{}", ended.complained);
        self.learn();
        ended
    }

    /// Learns anew where the edge listens.
    pub fn learn(&mut self) {
        self.listening = listening(&self.process.stderr().text());
    }

    /// Runs a command such as `reload` on the edge's document.
    pub async fn command(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falconer"));
        command.args(arguments).arg("-c").arg(self.file("falconer.yaml"));
        command.env_remove("STATE_DIRECTORY");
        let mut process = Process::start(command);
        Ended {
            code: process.wait_exit().await,
            said: process.stdout().whole().await,
            complained: process.stderr().whole().await,
        }
    }

    /// Sends a signal to the edge.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for the end of the edge, and gives its exit code.
    pub async fn wait_exit(&mut self) -> i32 {
        self.process.wait_exit().await
    }

    /// What the edge wrote to stderr.
    pub fn stderr(&self) -> &Output {
        self.process.stderr()
    }

    /// What the edge wrote to stdout.
    pub fn stdout(&self) -> &Output {
        self.process.stdout()
    }

    /// The process, for its id and its memory.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// The processes that were started in its place, by their ids.
    pub fn started(&self) -> Vec<i32> {
        let text = self.stderr().text();
        let started = text.lines().filter(|line| line.contains("started a process in the place"));
        started.map(|line| field(line, "process").parse().expect("an id")).collect()
    }

    /// Has another process take its place, which must work, and gives its id.
    pub async fn upgrade(&mut self) -> i32 {
        let ended = self.command(&["upgrade"]).await;
        assert_eq!(ended.code, 0, "{}", ended.complained);
        self.learn();
        *self.started().last().expect("an upgrade")
    }

    /// Waits until a process that was started in its place is gone.
    pub async fn gone(&self, process: i32) {
        let folder = self.folder.path().to_str().expect("a path");
        let what = format!("process {process} to end");
        eventually(&what, async || (!process_is(process, folder)).then_some(())).await;
    }

    /// The path of a file beside the document.
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn first(&self) -> Client {
        self.client(self.first_name())
    }

    fn first_name(&self) -> &str {
        let first = self.listening.iter().find(|(name, _)| name != "admin");
        &first.expect("a listener besides admin").0
    }
}

/// A test that fails is easier to understand with what the edge said.
impl Drop for Edge {
    fn drop(&mut self) {
        // First the one it was started as: the others would take its place.
        let folder = self.folder.path().to_str().expect("a path");
        for process in [self.process.id()].into_iter().chain(self.started()) {
            if process_is(process, folder) {
                let _ = nix::sys::signal::kill(Pid::from_raw(process), Signal::SIGKILL);
            }
        }
        if std::thread::panicking() {
            eprintln!("the edge said:\n{}", self.process.stderr().text());
        }
    }
}

/// Whether a living process has something among its arguments.
fn process_is(process: i32, argument: &str) -> bool {
    // Of one that is dead and not waited for, nothing can be read.
    let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).contains(argument)
}

/// A document as it is written to its file.
fn written(document: &str, values: &[(String, String)], exactly: bool) -> String {
    let text = fill(document, values);
    if exactly { text } else { complete(&text) }
}

/// Names and addresses of the listeners, from the log.
fn listening(log: &str) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for line in log.lines().filter(|line| line.contains("listening")) {
        let one = (field(line, "listener"), field(line, "address"));
        all.retain(|known| *known != one);
        if !line.contains("no longer listening") {
            all.push(one);
        }
    }
    all
}

/// A field of a line of the program log, be it JSON or `TIME LEVEL message name=value`.
fn field(line: &str, name: &str) -> String {
    if let Ok(json) = serde_json::from_str::<Value>(line) {
        let value = json.get(name).or_else(|| json.get("fields")?.get(name));
        return value.and_then(Value::as_str).unwrap_or_default().to_owned();
    }
    let mut words = line.split_whitespace();
    let value = match name {
        "message" => words.nth(2),
        _ => words.find_map(|word| word.strip_prefix(name)?.strip_prefix('=')),
    };
    value.unwrap_or_default().trim_matches('"').to_owned()
}

/// The sum of the series of a family with these labels; `None` without the family.
fn sum(metrics: &str, series: &str) -> Option<f64> {
    let (name, labels) = split_series(series);
    let mut of_family = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(series, value)| (split_series(series), value))
        .filter(|((n, _), _)| *n == name)
        .peekable();
    of_family.peek()?;
    let wanted = of_family.filter(|((_, has), _)| labels.iter().all(|label| has.contains(label)));
    Some(wanted.map(|(_, value)| value.parse::<f64>().expect("a number")).sum())
}

/// The name and the labels (`name="value"`) of a series.
fn split_series(series: &str) -> (&str, Vec<&str>) {
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new()) };
    // The document's names hold no quotes, so `",` ends a value.
    let labels = labels.trim_end_matches('}').split_inclusive("\",");
    (name, labels.map(|label| label.trim_end_matches(',').trim()).collect())
}

mod tests {
    use super::{field, listening, sum};

    #[test]
    fn listeners_are_read_from_a_log_of_text_or_json() {
        let text = "2026-11-21T11:40:02.123Z INFO listening listener=web address=127.0.0.1:80\n\
                    2026-11-21T11:40:02.124Z  INFO ready generation=1";
        assert_eq!(listening(text), [("web".to_owned(), "127.0.0.1:80".to_owned())]);
        assert_eq!(field(text.lines().last().unwrap(), "message"), "ready");

        let json = r#"{"level":"INFO","fields":{"message":"listening","listener":"web","address":"unix:/a"}}"#;
        assert_eq!(listening(json), [("web".to_owned(), "unix:/a".to_owned())]);
    }

    #[test]
    fn a_metric_sums_the_series_that_carry_the_labels() {
        let text = "# TYPE a counter\na{route=\"x\",status=\"2xx\"} 3\na{route=\"y\"} 4\nab 9\n";
        assert_eq!(sum(text, "a"), Some(7.0));
        assert_eq!(sum(text, "a{route=\"x\"}"), Some(3.0));
        assert_eq!(sum(text, "a{status=\"2xx\",route=\"x\"}"), Some(3.0));
        assert_eq!(sum(text, "a{route=\"z\"}"), Some(0.0));
        assert_eq!(sum(text, "b"), None);
    }
}
