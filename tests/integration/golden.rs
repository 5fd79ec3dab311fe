//! Golden documents: what `falconer check` says of each file in `tests/config`, to the letter.
//!
//! A case is a file: a document, and below it what stands beside it and what comes of it.
//!
//! ```text
//! include: [sites/*.yaml]
//! --- file: sites/a.yaml      a further file
//! upstreams: {}
//! --- env: PORT=8080          a variable of the environment
//! --- exit: 2                 the exit code, and then exactly what is written
//! falconer.yaml:1:1: ...
//! ```
//!
//! Beside each document there are `certs/site.pem`, `certs/site.key` and another pair, `other`.
//! With `BLESS=1` in the environment the test writes down what comes of each; review the diff.

use crate::support::{Certificate, Process};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::process::Command;

#[tokio::test]
async fn every_golden_document_gets_exactly_what_its_file_expects() {
    let certificates = ["site", "other"].map(|name| {
        let certificate = Certificate::self_signed(&["site.example"]);
        (name, certificate)
    });
    let cases = cases();
    assert!(cases.len() > 40, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for path in cases {
        let text = fs::read_to_string(&path).unwrap();
        let case = Case::parse(&text);
        let given = case.check(&certificates).await;
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, format!("{}{given}", case.given)).unwrap();
        } else if given != case.expected {
            let name = path.file_name().unwrap().display().to_string();
            wrong.push(format!("{name} expects\n{}but gets\n{given}", case.expected));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_golden_document_holds_every_key_there_is() {
    let text = fs::read_to_string(folder().join("everything.yaml")).unwrap();
    let mut keys = BTreeSet::new();
    collect_keys(falconer::config::schema(), &mut keys);
    assert!(keys.contains("header_timeout"), "{keys:?}");
    let is_written = |key: &&String| text.contains(&format!("{key}:"));
    let missing: Vec<_> = keys.iter().filter(|key| !is_written(key)).collect();
    assert!(missing.is_empty(), "not in everything.yaml: {missing:?}");
}

fn collect_keys(schema: &serde_json::Value, keys: &mut BTreeSet<String>) {
    let Some(schema) = schema.as_object() else {
        return schema.as_array().into_iter().flatten().for_each(|one| collect_keys(one, keys));
    };
    if let Some(properties) = schema.get("properties").and_then(|known| known.as_object()) {
        keys.extend(properties.keys().cloned());
    }
    schema.values().for_each(|below| collect_keys(below, keys));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).expect("the golden documents");
    let mut cases: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    cases
}

/// One golden file.
struct Case<'t> {
    /// All that stands before the expectation.
    given: &'t str,
    /// The divider with the exit code, and what is written.
    expected: &'t str,
    files: Vec<(&'t str, String)>,
    environment: Vec<(&'t str, &'t str)>,
}

impl<'t> Case<'t> {
    fn parse(text: &'t str) -> Self {
        let at = text.find("--- exit:").unwrap_or(text.len());
        let (given, expected) = text.split_at(at);
        let mut files = vec![("falconer.yaml", String::new())];
        let mut environment = Vec::new();
        for line in given.lines() {
            if let Some(name) = line.strip_prefix("--- file: ") {
                files.push((name, String::new()));
            } else if let Some(variable) = line.strip_prefix("--- env: ") {
                environment.push(variable.split_once('=').expect("NAME=value"));
            } else if let Some((_, content)) = files.last_mut() {
                content.extend([line, "\n"]);
            }
        }
        Self { given, expected, files, environment }
    }

    /// What comes of it, in the form of [`Self::expected`].
    async fn check(&self, certificates: &[(&str, Certificate)]) -> String {
        let folder = TempDir::new().unwrap();
        let write = |name: &str, content: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        for (name, certificate) in certificates {
            write(&format!("certs/{name}.pem"), &certificate.chain);
            write(&format!("certs/{name}.key"), &certificate.key);
        }
        self.files.iter().for_each(|(name, content)| write(name, content));

        let mut command = Command::new(env!("CARGO_BIN_EXE_falconer"));
        command.args(["check", "-c", "falconer.yaml"]).current_dir(folder.path());
        command.env_clear().envs(self.environment.iter().copied());
        let mut process = Process::start(command);
        let code = process.wait_exit().await;
        let (stderr, stdout) = (process.stderr().whole().await, process.stdout().whole().await);
        let written = [stderr, stdout].into_iter().filter(|text| !text.is_empty());
        let lines = [format!("--- exit: {code}")].into_iter().chain(written);
        lines.collect::<Vec<_>>().join("\n") + "\n"
    }
}
