//! A terminal in which the commands of a page are run as a reader would.
//!
//! ```text
//! $ falconer run -c conf/sites.yaml &      goes on in the background; the next command waits for it
//! $ curl -s http://localhost:8080/         is run to its end, and prints
//! what ... stands here                     with `...` for anything, and a line of it for any lines
//! ```
//!
//! Ports are replaced by free ones wherever they stand, and `/run/` by a folder of the session.

use crate::support::{Port, Process};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// A command and the lines that it prints.
#[derive(Debug)]
pub struct Step {
    pub command: String,
    pub prints: Vec<String>,
}

/// The steps of a transcript.
pub fn steps(transcript: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in transcript.lines() {
        match line.strip_prefix("$ ") {
            Some(command) => steps.push(Step { command: command.into(), prints: Vec::new() }),
            None => steps.last_mut().expect("a command first").prints.push(line.into()),
        }
    }
    steps
}

pub struct Session {
    folder: TempDir,
    /// By the number on the page.
    ports: BTreeMap<String, Port>,
    running: Vec<Process>,
}

impl Session {
    pub fn new() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("run")).unwrap();
        Self { folder, ports: BTreeMap::new(), running: Vec::new() }
    }

    /// Writes a text of the page where the commands find it.
    pub fn write(&mut self, name: &str, text: &str) {
        let text = self.here(text);
        self.put(name, &text);
    }

    /// Writes a file as it is.
    pub fn put(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs steps in turn, and fails where one prints something else.
    pub async fn follow(&mut self, place: &str, steps: &[Step]) {
        for step in steps {
            let command = self.here(&step.command);
            if let Some(background) = command.strip_suffix(" &") {
                self.start(background).await;
                continue;
            }
            let shown: Vec<_> = step.prints.iter().map(|line| self.here(line)).collect();
            // What is waited for may take longer on a busy machine.
            let mut left = if step.command.starts_with("sleep ") { 10 } else { 1 };
            let mut printed = String::new();
            let mut fits = false;
            while left > 0 && !fits {
                let code;
                (code, printed) = self.run(&command).await;
                let lines: Vec<_> = printed.lines().map(str::trim_end).collect();
                fits = if shown.is_empty() { code == 0 } else { fit(&shown, &lines) };
                left -= 1;
            }
            assert!(fits, "{place}: {}\nprints\n{printed}", step.command);
        }
    }

    /// The exit code of a command and all that it prints.
    async fn run(&self, command: &str) -> (i32, String) {
        let mut process = Process::start(self.bash(&format!("{{ {command}; }} 2>&1")));
        let code = process.wait_exit().await;
        (code, process.stdout().whole().await)
    }

    /// Starts a program that goes on, and waits until it is ready.
    pub async fn start(&mut self, command: &str) {
        let process = Process::start(self.bash(&format!("exec {command}")));
        let is_edge = !command.starts_with("falconer demo");
        let (output, word) =
            if is_edge { (process.stderr(), "ready") } else { (process.stdout(), "listening on") };
        let ready = output.first(command, |line| line.contains(word)).await;
        assert!(ready.is_some(), "{command} ended:\n{}", process.stderr().text());
        self.running.push(process);
    }

    fn bash(&self, script: &str) -> Command {
        let mut command = Command::new("bash");
        command.args(["-c", script]).current_dir(self.folder.path());
        let binary = Path::new(env!("CARGO_BIN_EXE_falconer")).parent().unwrap().display();
        let path = format!("{binary}:{}", std::env::var("PATH").unwrap());
        command.env("PATH", path).env("HOME", self.folder.path()).env_remove("STATE_DIRECTORY");
        command
    }

    /// A text of the page with ports and paths that are free here.
    pub fn here(&mut self, text: &str) -> String {
        let mut here = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            let end = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            let (number, after) = from.split_at(end);
            here.push_str(before);
            let is_port = (4..=5).contains(&number.len())
                && [":", ":-", "demo-", "port: "].iter().any(|start| before.ends_with(start));
            if is_port {
                let port = self.ports.entry(number.to_owned()).or_insert_with(Port::free);
                here.push_str(&port.to_string());
            } else {
                here.push_str(number);
            }
            rest = after;
        }
        here.push_str(rest);
        here.replace("/run/", &format!("{}/run/", self.folder.path().display()))
    }
}

/// Whether lines are what a page shows.
fn fit(shown: &[String], printed: &[&str]) -> bool {
    match (shown, printed) {
        ([], printed) => printed.is_empty(),
        ([any], _) if any == "..." => true,
        ([any, shown @ ..], [_, rest @ ..]) if any == "..." => {
            fit(shown, printed) || fit(&[std::slice::from_ref(any), shown].concat(), rest)
        }
        ([first, shown @ ..], [line, rest @ ..]) => line_fits(first, line) && fit(shown, rest),
        _ => false,
    }
}

fn line_fits(shown: &str, line: &str) -> bool {
    let Some((first, more)) = shown.split_once("...") else { return shown == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let (between, last) = more.rsplit_once("...").unwrap_or(("", more));
    for piece in between.split("...") {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

mod tests {
    use super::{Session, fit, line_fits};

    #[test]
    fn dots_stand_for_anything() {
        for (shown, line, fits) in [
            ("ready", "ready", true),
            ("ready", "ready.", false),
            ("a ... c", "a b c", true),
            ("... c", "a b c", true),
            ("a ... b ... d", "a x b y", false),
            ("a ...", "b", false),
        ] {
            assert_eq!(line_fits(shown, line), fits, "{shown}: {line}");
        }
        let shown = ["a", "...", "c"].map(String::from);
        assert!(fit(&shown, &["a", "b", "b", "c"]) && fit(&shown, &["a", "c"]));
        assert!(!fit(&shown, &["a", "b"]) && !fit(&shown[..1], &["a", "b"]));
    }

    #[test]
    fn a_port_is_another_one_and_the_same_each_time() {
        let mut session = Session::new();
        let text = session.here("http://a:8080/?n=8080 demo-5001 127.0.0.1:5001 12:30:59");
        assert!(text.contains("?n=8080 ") && text.ends_with(" 12:30:59"), "{text}");
        let port = session.here(":5001");
        assert_eq!(text.matches(&port[1..]).count(), 2, "{text}");
        assert_ne!(port, ":5001");
    }
}
