//! Real clients and tools, as `make test` installs them. A missing one fails the test.

use super::process::Process;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;

/// Whole suites run in one of these.
const PATIENCE: Duration = Duration::from_secs(180);

/// How a tool ended.
#[derive(Debug)]
pub struct Finished {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Its stdout; fails the test if it did not end well.
    pub fn well(self) -> String {
        assert_eq!(self.code, 0, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self.stdout
    }
}

/// Runs a tool of the system, such as `curl`.
pub async fn tool(program: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new(program);
    command.args(arguments);
    finish(command).await
}

/// Runs a script of `tests/peers` with node, which believes any certificate.
pub async fn node(script: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new("node");
    command.arg(root().join("tests/peers").join(script)).args(arguments);
    command.env("NODE_TLS_REJECT_UNAUTHORIZED", "0");
    finish(command).await
}

/// Starts a script of `tests/peers` that goes on until it is dropped, such as a server.
pub fn start_node(script: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new("node");
    command.arg(root().join("tests/peers").join(script)).args(arguments);
    Process::start(command)
}

/// Starts a script of `tests/peers` with Python, as [`python`] does, that goes on until it is dropped.
pub fn start_python(script: &str, arguments: &[&str]) -> Process {
    let mut command = Command::new(root().join("target/peers/venv/bin/python"));
    command.arg(root().join("tests/peers").join(script)).args(arguments);
    Process::start(command)
}

/// Runs a Python program with the packages of `tests/peers/requirements.txt`.
pub async fn python(program: impl AsRef<Path>, arguments: &[&str]) -> Finished {
    let mut command = Command::new(root().join("target/peers/venv/bin/python"));
    command.arg(program.as_ref()).args(arguments);
    finish(command).await
}

async fn finish(command: Command) -> Finished {
    let mut process = Process::start(command);
    let code = process.wait_exit_for(PATIENCE).await;
    let stdout = process.stdout().whole().await;
    Finished { code, stdout, stderr: process.stderr().whole().await }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
