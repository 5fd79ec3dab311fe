//! The support for YAML that editors have, with the schema that `falconer schema` prints.

use crate::docs::{documents, examples, pages};
use crate::support::{node, tool};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// An editor with documents of the test's own.
struct Editor {
    folder: TempDir,
    requests: Vec<String>,
}

impl Editor {
    fn new() -> Self {
        // An editor's patterns do not look into folders that begin with a dot.
        let folder = tempfile::Builder::new().prefix("editor").tempdir().unwrap();
        Self { folder, requests: Vec::new() }
    }

    /// A document, in a file of its own.
    fn file(&self, text: &str) -> String {
        let number = fs::read_dir(self.folder.path()).unwrap().count();
        let path = self.folder.path().join(format!("{number}.yaml"));
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    fn ask(&mut self, request: &[&str]) {
        self.requests.extend(request.iter().map(|&word| word.to_owned()));
    }

    /// The answers to all requests.
    async fn answers(self) -> Vec<Value> {
        let schema = tool(env!("CARGO_BIN_EXE_falconer"), &["schema"]).await.well();
        // Where the guide's own document looks for it.
        let path = self.folder.path().join("falconer.schema.json").display().to_string();
        fs::write(&path, schema).unwrap();
        let mut arguments = vec![path.as_str()];
        arguments.extend(self.requests.iter().map(String::as_str));
        let answers = node("editor.mjs", &arguments).await.well();
        serde_json::from_str(&answers).unwrap()
    }
}

#[tokio::test]
async fn an_editor_accepts_every_document_that_check_accepts() {
    let mut editor = Editor::new();
    let mut places = Vec::new();
    let mut texts = Vec::new();
    for path in examples() {
        texts.push((path.display().to_string(), fs::read_to_string(path).unwrap()));
    }
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        let place = |line| format!("{}:{line}", page.display());
        texts.extend(documents(&text).into_iter().map(|(line, text)| (place(line), text)));
    }
    texts.extend(sound().into_iter().map(|(path, text)| (path.display().to_string(), text)));
    assert!(texts.len() > 40, "only {} documents were found", texts.len());
    for (place, text) in texts {
        let path = editor.file(&text);
        editor.ask(&["check", &path]);
        places.push(place);
    }
    let mistaken = editor.file("server: { drain: 30 }");
    editor.ask(&["check", &mistaken]);
    let mut answers = editor.answers().await;
    let of_mistaken = answers.pop().unwrap();
    assert_eq!(of_mistaken.as_array().map(Vec::len), Some(1), "the schema is in use");
    let wrong: Vec<_> =
        places.iter().zip(&answers).filter(|(_, said)| **said != Value::Array(vec![])).collect();
    assert!(answers.len() == places.len() && wrong.is_empty(), "{wrong:#?}");
}

/// The golden documents that `check` finds nothing wrong with, their first file each.
fn sound() -> Vec<(PathBuf, String)> {
    // A key that nothing follows is marked: it is being written.
    let golden = golden().filter(|(path, _)| !path.ends_with("nothing_below.yaml"));
    let sound = golden.filter(|(_, text)| text.contains("--- exit: 0\n"));
    sound.map(|(path, text)| (path, text.split("--- ").next().unwrap().to_owned())).collect()
}

fn golden() -> impl Iterator<Item = (PathBuf, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap()))
}

#[tokio::test]
async fn an_editor_marks_every_unknown_key_that_check_finds() {
    let (_, case) = golden().find(|(path, _)| path.ends_with("unknown_keys.yaml")).unwrap();
    let (document, expected) = case.split_once("--- exit: 2\n").unwrap();
    let mut editor = Editor::new();
    let path = editor.file(document);
    editor.ask(&["check", &path]);
    let said = editor.answers().await[0].to_string();
    let mut count = 0;
    for line in expected.lines().filter(|line| line.contains(": unknown key ")) {
        let place = line.split(' ').next().unwrap().strip_prefix("falconer.yaml:").unwrap();
        let key = line.split('`').nth(1).unwrap();
        let marked = format!("\"{place} Property {key} is not allowed.");
        assert!(said.contains(&marked), "{marked} in {said}");
        count += 1;
    }
    assert!(count > 30, "only {count} unknown keys");
}

#[tokio::test]
async fn an_editor_marks_mistakes_where_they_are_and_says_what_is_taken() {
    let cases = [
        ("listeners: [web]", "1:12: Incorrect type. Expected one of object, null."),
        ("server: { drain: 30 }", "1:18: Incorrect type. Expected \"string\"."),
        ("server: { threads: many }", "1:20: Expected a whole number or auto."),
        ("metrics: { latency: maybe }", "1:21: Expected true or false."),
        ("log: { level: loud }", "1:15: Value is not accepted. Valid values: \"error\", \"warn\""),
        ("listeners: { a: {} }", "1:14: Missing property \"address\"."),
        ("upstreams: { a: { endpoints: [] } }", "1:30: Array has too few items."),
        ("routes:\n  - upstream: [a, b]", "2:15: Incorrect type. Expected"),
        ("routes:\n  - filters: [rewrit: {}]", "2:15: Property rewrit is not allowed."),
        (
            "routes:\n  - redirect: {to: /, status: 200}",
            "2:31: Value is not accepted. Valid values: 301",
        ),
        (
            "upstreams:\n  a:\n    endpoints: [{url: http://a, weight: 0}]",
            "3:41: Value is below the minimum of 1.",
        ),
        (
            "upstreams:\n  a: { endpoints: [http://a], balance: roundrobin }",
            "2:40: Value is not accepted. Valid values: \"round_robin\", \"least_request\"",
        ),
    ];
    let mut editor = Editor::new();
    for (document, _) in cases {
        let path = editor.file(document);
        editor.ask(&["check", &path]);
    }
    let answers = editor.answers().await;
    for ((document, expected), said) in cases.into_iter().zip(answers) {
        let said: Vec<_> = said.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert!(said.iter().any(|line| line.starts_with(expected)), "{document}\n{said:#?}");
    }
}

#[tokio::test]
async fn an_editor_proposes_the_keys_of_a_route_and_explains_what_stands_there() {
    let mut editor = Editor::new();
    let path = editor.file(
        "upstreams:\n  app: { endpoints: [http://a], balance: least_request }\n\
         routes:\n  - upstream: app\n    \n  - filters:\n      - ",
    );
    editor.ask(&["complete", &path, "5", "5"]);
    editor.ask(&["complete", &path, "7", "9"]);
    editor.ask(&["complete", &path, "2", "42"]);
    editor.ask(&["hover", &path, "2", "35"]);
    let answers = editor.answers().await;
    let [keys, filters, values, hover] = answers.as_slice() else { panic!("{answers:?}") };

    let schema = falconer::config::schema();
    let known = schema["$defs"]["route"]["properties"].as_object().unwrap();
    let missing: Vec<_> = known.keys().filter(|key| keys.get(key).is_none()).collect();
    assert_eq!(missing, ["upstream"], "it is there already: {keys}");
    assert!(keys.as_object().unwrap().values().all(|text| text.as_str().is_some_and(is_said)));
    assert_eq!(keys["priority"], "Goes before all specificity; the higher wins. Default: 0.");
    let known = schema["$defs"]["filter"]["oneOf"].as_array().unwrap();
    for filter in known.iter().map(|filter| filter["required"][0].as_str().unwrap()) {
        assert!(filters[filter].as_str().is_some_and(is_said), "{filter}: {filters}");
    }
    assert_eq!(values["round_robin"], "In turn, by weight.");
    let hover = hover.as_str().unwrap();
    for text in ["Which endpoint an attempt goes to.", "* `first`: The first in the document"] {
        assert!(hover.contains(text), "{hover}");
    }
}

fn is_said(text: &str) -> bool {
    text.trim().ends_with(['.', ':', '`'])
}
