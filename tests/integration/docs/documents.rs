//! What the documentation shows works: every document in it, and every one in `conf`, passes
//! `falconer check`.

use crate::support::{Certificate, edge, tool};
use std::path::{Path, PathBuf};

#[tokio::test]
async fn every_document_in_the_documentation_is_sound() {
    let certificate = Certificate::self_signed(&["site.example"]);
    let mut checked = 0;
    for file in pages() {
        let text = std::fs::read_to_string(&file).unwrap();
        for (line, document) in documents(&text) {
            let place = format!("{}:{line}", file.display());
            let edge = edge(&document)
                .exactly()
                .file("certs/site.pem", &certificate.chain)
                .file("certs/site.key", &certificate.key)
                .file("certs/edge.pem", &certificate.chain)
                .file("certs/edge.key", &certificate.key)
                .file("certs/internal.pem", &certificate.chain);
            let (code, _, stderr) = edge.ends("check").await;
            assert_eq!((code, stderr.as_str()), (0, ""), "{place}");
            checked += 1;
        }
    }
    assert!(checked >= 7, "only {checked} documents were found");
}

#[tokio::test]
async fn every_document_in_conf_is_sound_where_it_stands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("conf");
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<_> = paths.filter(|path| path.extension() == Some("yaml".as_ref())).collect();
    assert!(paths.len() >= 4, "{paths:?}");
    for path in paths {
        let path = path.to_str().unwrap();
        let checked = tool(env!("CARGO_BIN_EXE_falconer"), &["check", "-c", path]).await;
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{path}");
    }
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for entry in std::fs::read_dir(root.join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

/// The YAML blocks of a page, each with its line.
fn documents(page: &str) -> Vec<(usize, String)> {
    let mut documents = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (number, line) in page.lines().enumerate() {
        match &mut open {
            None if line == "```yaml" => open = Some((number + 2, String::new())),
            None => {}
            Some(_) if line == "```" => documents.extend(open.take()),
            Some((_, document)) => {
                document.push_str(line);
                document.push('\n');
            }
        }
    }
    documents
}
