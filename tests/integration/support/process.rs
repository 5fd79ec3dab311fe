//! A program under test, its output and its end.

use super::reply::Gate;
use super::{DEADLINE, within};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
pub use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

/// A running program; dropped, it is killed.
pub struct Process {
    child: Child,
    pid: Pid,
    stdout: Output,
    stderr: Output,
}

impl Process {
    /// Starts a program without input.
    pub fn start(command: Command) -> Self {
        Self::start_unread(command, &Gate::wide())
    }

    /// The same, but nobody reads its stdout before the gate opens.
    pub fn start_unread(mut command: Command, read: &Gate) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|e| panic!("{:?} starts: {e}", command.as_std().get_program()));
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        let stdout = Output::of(child.stdout.take().expect("its output"), read.clone());
        let stderr = Output::of(child.stderr.take().expect("its errors"), Gate::wide());
        Self { child, pid: pid.expect("its id"), stdout, stderr }
    }

    /// The real binary with these arguments.
    pub fn falconer(arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_falconer"));
        command.args(arguments);
        Self::start(command)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        nix::sys::signal::kill(self.pid, signal).expect("the process lives");
    }

    /// Waits for its end and gives its exit code; 128 and the signal's number if one killed it.
    pub async fn wait_exit(&mut self) -> i32 {
        self.wait_exit_for(DEADLINE).await
    }

    /// The same, with a deadline of the test's own.
    pub async fn wait_exit_for(&mut self, time: Duration) -> i32 {
        let ended = tokio::time::timeout(time, self.child.wait()).await;
        let said = || format!("{}\n{}", self.stdout.text(), self.stderr.text());
        let ended = ended.unwrap_or_else(|_| panic!("no end in {time:?}; it said:\n{}", said()));
        let status = ended.expect("a status");
        status.code().or(status.signal().map(|n| 128 + n)).expect("a code or a signal")
    }

    /// Its process id.
    pub fn id(&self) -> i32 {
        self.pid.as_raw()
    }

    /// The bytes of memory that it holds now.
    pub fn resident(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most bytes of memory that it ever held.
    pub fn peak(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let line = &self.threads(name)[0];
        let kib = line.trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib * 1024
    }

    /// What the system says of each of its threads under a name such as `Uid:`.
    pub fn threads(&self, name: &str) -> Vec<String> {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.pid)).expect("its threads");
        let status = threads.map(|thread| thread.unwrap().path().join("status"));
        let of = |path| {
            // A thread may end at any time.
            let status = std::fs::read_to_string(path).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            Some(line.expect("a line of it").split_whitespace().collect::<Vec<_>>().join(" "))
        };
        status.filter_map(of).collect()
    }

    /// What it wrote to stdout.
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// What it wrote to stderr.
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }
}

/// Allows the tests themselves so many open files and sockets, if they may have them at all.
pub fn allow_descriptors(count: u64) {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    if soft < count {
        setrlimit(Resource::RLIMIT_NOFILE, count.min(hard), hard).expect("a higher limit");
    }
}

/// The lines that a process has written.
#[derive(Clone)]
pub struct Output(Arc<watch::Sender<Written>>);

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Output {
    fn of(from: impl AsyncRead + Send + Unpin + 'static, read: Gate) -> Self {
        let written = Arc::new(watch::Sender::new(Written::default()));
        let output = Self(Arc::clone(&written));
        tokio::spawn(async move {
            read.opened().await;
            let mut lines = BufReader::new(from).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                written.send_modify(|written| written.lines.push(super::wire::text(&line)));
            }
            written.send_modify(|written| written.ended = true);
        });
        output
    }

    /// All of it so far.
    pub fn text(&self) -> String {
        self.0.borrow().lines.join("\n")
    }

    /// All of it, when it has ended.
    pub async fn whole(&self) -> String {
        let mut written = self.0.subscribe();
        let _ = within("the end of the output", written.wait_for(|w| w.ended)).await;
        self.text()
    }

    /// Waits for a line that holds this text; the end of the output fails the test.
    pub async fn line(&self, text: &str) -> String {
        let found = self.first(&format!("a line with {text:?}"), |line| line.contains(text)).await;
        found.unwrap_or_else(|| panic!("no line with {text:?} in\n{}", self.text()))
    }

    /// The first line of which something holds; `None` if the output ends without.
    pub async fn first(&self, what: &str, holds: impl Fn(&str) -> bool) -> Option<String> {
        let mut written = self.0.subscribe();
        let find = |w: &Written| w.lines.iter().find(|line| holds(line)).cloned();
        let found = within(what, written.wait_for(|w| w.ended || find(w).is_some())).await;
        found.ok().and_then(|written| find(&written))
    }
}
