//! Commands print what the page below them shows.

use super::session::{Session, Step, steps};
use super::{blocks, documents, examples, page, pages, root};
use crate::support::Certificate;
use std::fs;

#[tokio::test]
async fn every_example_does_what_its_comment_shows() {
    let elsewhere = fs::read_to_string(root().join("tests/integration/examples.rs")).unwrap();
    for path in examples() {
        let name = path.file_name().unwrap().to_str().unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let steps = steps(&transcript(&text));
        if steps.is_empty() {
            assert!(elsewhere.contains(&format!("\"{name}\"")), "{name} is not tried");
            continue;
        }
        let runs = |step: &Step| step.command.starts_with(&format!("falconer run -c conf/{name}"));
        assert!(steps.iter().any(runs), "{name}: the comment at its head runs it");
        assert!(steps.iter().any(|step| !step.prints.is_empty()), "{name} shows nothing");
        let mut session = Session::new();
        session.write(&format!("conf/{name}"), &text);
        session.write("conf/endpoints.list", &page("conf/endpoints.list"));
        session.follow(name, &steps).await;
    }
}

/// What a comment at the head of a document shows of a terminal.
fn transcript(document: &str) -> String {
    let head = document.lines().take_while(|line| line.starts_with('#'));
    let shown = head.filter_map(|line| line.strip_prefix("#     "));
    let shown = shown.skip_while(|line| !line.starts_with("$ "));
    shown.flat_map(|line| [line, "\n"]).collect()
}

/// The commands below a document of a page are tried on it, with sample applications behind it.
#[tokio::test]
async fn every_command_of_a_page_prints_what_is_shown() {
    let site = Certificate::self_signed(&["site.example"]);
    let mut tried = 0;
    for path in pages() {
        let name = path.strip_prefix(root()).unwrap().display().to_string();
        let text = page(&name);
        let documents = documents(&text);
        for (line, block) in blocks(&text, "console") {
            let place = format!("{name}:{line}");
            let steps = steps(&block);
            let mut session = Session::new();
            for example in examples() {
                let name = example.file_name().unwrap().to_str().unwrap();
                session.write(&format!("conf/{name}"), &fs::read_to_string(&example).unwrap());
            }
            for (name, certificate) in [("site", &site), ("edge", &site)] {
                session.put(&format!("certs/{name}.pem"), &certificate.chain);
                session.put(&format!("certs/{name}.key"), &certificate.key);
            }
            let above = documents.iter().rev().find(|(start, _)| *start < line);
            if let Some((_, document)) = above {
                session.write("site.yaml", document);
                // These are asked of an edge that runs.
                let is_asked = |step: &Step| {
                    ["reload", "rollback"]
                        .iter()
                        .any(|asked| step.command.contains(&format!("falconer {asked}")))
                };
                let starts = |step: &Step| step.command.contains("falconer ") && !is_asked(step);
                if !steps.iter().any(starts) {
                    for endpoint in endpoints(document) {
                        let endpoint = session.here(&endpoint);
                        session.start(&format!("falconer demo --listen {endpoint}")).await;
                    }
                    session.start("falconer run -c site.yaml").await;
                }
            }
            session.follow(&place, &steps).await;
            tried += steps.len();
        }
    }
    assert!(tried >= 20, "only {tried} commands were found");
}

/// The addresses of a document's endpoints on this machine.
fn endpoints(document: &str) -> Vec<String> {
    let code = document.lines().map(|line| line.split(" #").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join("\n");
    let upstreams = code.split("upstreams:").nth(1).unwrap_or_default();
    let words = upstreams.split(|c: char| c.is_whitespace() || "[]{},".contains(c));
    let of = |word: &str| match word.strip_prefix("http://") {
        Some(address) if address.starts_with("127.") => Some(address.to_owned()),
        _ => word.starts_with("unix:").then(|| word.to_owned()),
    };
    let mut found: Vec<_> = words.filter_map(of).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn every_example_is_named_by_a_page() {
    let pages = pages().iter().map(|page| fs::read_to_string(page).unwrap()).collect::<String>();
    for path in examples() {
        let name = format!("`conf/{}`", path.file_name().unwrap().display());
        assert!(pages.contains(&name), "{name}");
    }
}
