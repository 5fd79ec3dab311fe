//! Every document of a page and every one in `conf` passes `falconer check`.

use super::{blocks, examples, page, pages};
use crate::support::{Certificate, edge, tool};

/// The documents of a page, each with the line it begins at.
pub fn documents(page: &str) -> Vec<(usize, String)> {
    blocks(page, "yaml")
}

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
                .file("certs/internal.pem", &certificate.chain)
                .file("endpoints.yaml", "[http://127.0.0.1:5001]");
            let (code, _, stderr) = edge.ends("check").await;
            assert_eq!((code, stderr.as_str()), (0, ""), "{place}");
            checked += 1;
        }
    }
    assert!(checked >= 12, "only {checked} documents were found");
}

#[tokio::test]
async fn every_document_in_conf_is_sound_where_it_stands() {
    let examples = examples();
    assert!(examples.len() >= 14, "{examples:?}");
    for path in examples {
        let path = path.to_str().unwrap();
        let checked = tool(env!("CARGO_BIN_EXE_falconer"), &["check", "-c", path]).await;
        assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{path}");
    }
}

#[test]
fn the_first_document_of_the_readme_is_short() {
    let (_, first) = documents(&page("README.md")).remove(0);
    assert!(first.lines().count() <= 10, "{first}");
}
