//! From a part of the tree to the type that describes it.

use super::fit::{Fit, fit};
use super::schema::{Branch, Schema};
use super::tree::{Node, Step, Value};
use crate::value::{Diagnostic, Problem};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use serde_path_to_error::Segment;

/// Reads a node of the checked tree; what the schema could not say is reported at its place.
pub(super) fn read<T: DeserializeOwned>(node: &Node, schema: Schema<'_>) -> Result<T, Diagnostic> {
    serde_path_to_error::deserialize(json(node, schema)).map_err(|error| {
        let steps: Vec<Step> = error.path().iter().map_while(step).collect();
        let place = node.nearest(&steps);
        let problem =
            if place.holds_secret() { veiled() } else { split(&error.into_inner().to_string()) };
        Diagnostic::error(place.position.clone(), problem)
    })
}

/// What is said of a secret that does not fit.
pub(super) fn veiled() -> Problem {
    Problem::new("a secret here is not what it should be", "correct it where it is kept")
}

/// The texts below a node that are words of a format, each with the way to it.
pub(super) fn words<'n>(
    node: &'n Node,
    schema: Schema<'_>,
    format: &str,
    steps: Vec<Step>,
    found: &mut Vec<(&'n str, Vec<Step>)>,
) {
    let mut below = |step: Step, node: &'n Node, schema: Option<Schema<'_>>| {
        let steps = [steps.as_slice(), &[step]].concat();
        schema.into_iter().for_each(|schema| words(node, schema, format, steps.clone(), found));
    };
    match fit(node, schema) {
        Fit::Text(texts) if texts.iter().any(|branch| branch.format() == Some(format)) => {
            found.extend(node.text().map(|text| (text, steps)));
        }
        Fit::List(list) => {
            for (index, item) in node.items().iter().enumerate() {
                below(index.into(), item, list.item(index));
            }
        }
        Fit::Map(map) => {
            for (key, entry) in node.entries() {
                below(key.into(), &entry.node, map.property(key));
            }
        }
        Fit::Tagged(maps) => {
            for (key, entry) in node.entries() {
                let map = maps.iter().find(|map| map.tag() == Some(key));
                below(key.into(), &entry.node, map.and_then(|map| map.property(key)));
            }
        }
        _ => {}
    }
}

/// The node as the schema takes it: numbers as text where text is meant, paths from their folder.
fn json(node: &Node, schema: Schema<'_>) -> Json {
    match fit(node, schema) {
        Fit::Anything | Fit::Misfit(_) => as_written(node),
        Fit::Null => Json::Null,
        Fit::Bool | Fit::Number(_) => as_written(node),
        Fit::Text(texts) => Json::String(text(node, &texts)),
        Fit::List(list) => {
            let items = node.items().iter().enumerate();
            items.map(|(index, item)| child(item, list.item(index))).collect()
        }
        Fit::Map(map) => {
            let entries = node.entries();
            Json::Object(
                entries
                    .map(|(key, entry)| (key.to_owned(), child(&entry.node, map.property(key))))
                    .collect(),
            )
        }
        Fit::Tagged(maps) => {
            let schema = |key| maps.iter().find(|map| map.tag() == Some(key))?.property(key);
            let entries = node.entries();
            Json::Object(
                entries
                    .map(|(key, entry)| (key.to_owned(), child(&entry.node, schema(key))))
                    .collect(),
            )
        }
    }
}

fn child(node: &Node, schema: Option<Schema<'_>>) -> Json {
    schema.map_or_else(|| as_written(node), |schema| json(node, schema))
}

/// Types then see a path that is usable from where the process runs.
fn text(node: &Node, texts: &[Branch<'_>]) -> String {
    let text = node.text().unwrap_or_default();
    let is_word = texts.iter().filter_map(Branch::words).flatten().any(|word| word == text);
    let is_path = texts.iter().any(|branch| branch.format() == Some("path"));
    if is_word || !is_path {
        return text.into();
    }
    let below = text.trim_start_matches("./");
    node.folder().join(if below.is_empty() { text } else { below }).to_string_lossy().into_owned()
}

fn as_written(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Number(value) => Json::Number(value.clone()),
        Value::String(value) => Json::String(value.clone()),
        Value::List(items) => items.iter().map(as_written).collect(),
        Value::Map(entries) => Json::Object(
            entries.iter().map(|(key, entry)| (key.clone(), as_written(&entry.node))).collect(),
        ),
    }
}

fn step(segment: &Segment) -> Option<Step> {
    match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Key(key.clone())),
        Segment::Enum { variant } => Some(Step::Key(variant.clone())),
        Segment::Unknown => None,
    }
}

/// A word's problem went through serde as one line and comes back in its two halves.
fn split(message: &str) -> Problem {
    match message.split_once("; ") {
        Some((what, remedy)) => Problem::new(what, remedy),
        None => Problem::new(message, "correct it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load::load_text;
    use crate::value::{Duration, Limit, OneOrMany, Secret};
    use indexmap::IndexMap;
    use schemars::JsonSchema;
    use serde::Deserialize;
    use std::path::{Path, PathBuf};

    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Document {
        name: Option<String>,
        names: Option<OneOrMany<String>>,
        header: Option<IndexMap<String, String>>,
        count: Option<i64>,
        idle: Option<Limit<Duration>>,
        chain: Option<Place>,
        log: Option<Log>,
        filters: Option<Vec<Filter>>,
        token: Option<Secret>,
        anything: Option<serde_json::Value>,
        odd: Option<Odd>,
    }

    #[derive(Debug, Deserialize)]
    struct Place(PathBuf);

    impl JsonSchema for Place {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "path".into()
        }

        fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
            schemars::json_schema!({ "type": "string", "format": "path" })
        }
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Filter {
        Cors(Cors),
        Other(Cors),
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Cors {
        origin: Option<String>,
    }

    /// A file or one of two words.
    #[derive(Debug, Deserialize)]
    struct Log(String);

    impl JsonSchema for Log {
        fn schema_name() -> std::borrow::Cow<'static, str> {
            "log".into()
        }

        fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
            let path = generator.subschema_for::<Place>();
            schemars::json_schema!({ "anyOf": [{ "enum": ["stdout", "off"] }, path] })
        }
    }

    /// Knows more than its schema says.
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(try_from = "String")]
    struct Odd;

    impl TryFrom<String> for Odd {
        type Error = Problem;

        fn try_from(text: String) -> Result<Self, Problem> {
            let what = format!("`{text}` is not odd");
            if text.len() % 2 == 1 { Ok(Self) } else { Err(Problem::new(what, "add a letter")) }
        }
    }

    fn attempt(text: &str, folder: &Path) -> Result<Document, Diagnostic> {
        let loaded = load_text(&folder.join("a.yaml"), text, &|_| None, &[]);
        assert_eq!(loaded.diagnostics, []);
        let schema = schemars::schema_for!(Document).to_value();
        read(&loaded.root, Schema::new(&schema))
    }

    fn document(text: &str) -> Document {
        attempt(text, Path::new("conf")).unwrap()
    }

    #[test]
    fn a_number_becomes_text_only_where_text_is_meant() {
        let document = document("name: 1.20\nheader: { a: 0x10, b: true }\ncount: 0x10\nnames: 5");
        assert_eq!(document.name.as_deref(), Some("1.20"));
        assert_eq!(document.names.unwrap().0, ["5"]);
        assert_eq!(document.count, Some(16));
        let header = document.header.unwrap();
        assert_eq!((header["a"].as_str(), header["b"].as_str()), ("0x10", "true"));
    }

    #[test]
    fn words_and_lists_find_their_type() {
        let document = document("idle: off\nnames: [a, b]\nanything: { a: [1, ~] }");
        assert_eq!(document.idle, Some(Limit::Off));
        assert_eq!(document.names.unwrap().0, ["a", "b"]);
        assert_eq!(document.anything.unwrap().to_string(), r#"{"a":[1,null]}"#);
    }

    #[test]
    fn nothing_is_an_empty_map_where_a_map_is_meant() {
        let document = document("filters: [cors: , other: { origin: x }]");
        let expected =
            [Filter::Cors(Cors { origin: None }), Filter::Other(Cors { origin: Some("x".into()) })];
        assert_eq!(document.filters.unwrap(), expected);
    }

    #[test]
    fn a_path_begins_at_the_folder_of_its_document() {
        for (text, expected) in [
            ("chain: site.pem", "conf/site.pem"),
            ("chain: ./site.pem", "conf/site.pem"),
            ("chain: ../site.pem", "conf/../site.pem"),
            ("chain: /etc/site.pem", "/etc/site.pem"),
            ("chain: .", "conf/."),
        ] {
            assert_eq!(document(text).chain.unwrap().0.display().to_string(), expected);
        }
        let here = attempt("chain: site.pem", Path::new("")).unwrap();
        assert_eq!(here.chain.unwrap().0, Path::new("site.pem"));
    }

    #[test]
    fn a_word_beside_a_path_stays_a_word() {
        assert_eq!(document("log: stdout").log.unwrap().0, "stdout");
        assert_eq!(document("log: access.log").log.unwrap().0, "conf/access.log");
    }

    #[test]
    fn what_the_schema_cannot_say_is_told_at_its_place() {
        assert!(document("odd: abc").odd.is_some());
        let diagnostic = attempt("name: a\nodd: ab\n", Path::new("")).unwrap_err();
        assert_eq!(diagnostic.to_string(), "a.yaml:2:6: `ab` is not odd; add a letter");
    }

    #[test]
    fn a_secret_that_a_type_refuses_is_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "hunter").unwrap();
        let diagnostic = attempt("odd: ${file:secret}", folder.path()).unwrap_err();
        assert!(!diagnostic.to_string().contains("hunter"));
        assert_eq!(diagnostic.position.map(|place| place.column), Some(6));
    }

    #[test]
    fn a_secret_file_that_holds_digits_is_read_as_text() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), "0012\n").unwrap();
        let document = attempt("token: ${file:secret}", folder.path()).unwrap();
        assert_eq!(document.token.unwrap().expose(), "0012");
    }

    #[test]
    fn a_part_is_read_by_the_schema_of_its_place() {
        let loaded = load_text(Path::new("a.yaml"), "filters: [cors: ]", &|_| None, &[]);
        let schema = schemars::schema_for!(Document).to_value();
        let steps = [Step::from("filters"), Step::Item(0)];
        let node = loaded.root.at(&steps).unwrap();
        let filter: Filter = read(node, Schema::new(&schema).at(&steps)).unwrap();
        assert_eq!(filter, Filter::Cors(Cors { origin: None }));
    }
}
