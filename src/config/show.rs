//! Parts of the document as an operator would write them on one line, without their secrets.

use super::document::Document;
use super::tree::{Node, Step, Value};

/// What stands for a secret.
pub(super) const VEIL: &str = "***";

impl Document {
    /// A part in flow style; `None` if it is not there.
    pub fn shown(&self, steps: &[Step]) -> Option<String> {
        let node = self.root.at(steps)?;
        let is_veiled = |step: &Step| matches!(step, Step::Key(key) if self.is_secret(key));
        let mut out = String::new();
        match steps.iter().any(is_veiled) {
            true => out.push_str(VEIL),
            false => self.show(node, &mut out),
        }
        Some(out)
    }

    /// The value of a map's entry, whatever the case of its key.
    pub fn entry(&self, steps: &[Step], key: &str) -> Option<String> {
        let entries = self.root.at(steps)?.entries();
        let (key, _) = entries.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(key))?;
        self.shown(&[steps, &[key.into()]].concat())
    }

    /// How many items a list holds.
    pub fn items(&self, steps: &[Step]) -> usize {
        self.root.at(steps).map_or(0, |node| node.items().len())
    }

    /// A text without the document's secrets.
    pub fn veiled(&self, text: &str) -> String {
        let mut secrets = Vec::new();
        self.secrets(&self.root, &mut secrets);
        // A longer one may hold a shorter one.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, VEIL))
    }

    fn show(&self, node: &Node, out: &mut String) {
        match &node.value {
            _ if node.is_secret() => out.push_str(VEIL),
            Value::Map(entries) => {
                let entries = entries.iter().map(|(key, entry)| (Some(key), &entry.node));
                self.show_all(["{", "}"], entries, out);
            }
            Value::List(items) => self.show_all(["[", "]"], items.iter().map(|i| (None, i)), out),
            _ => scalar(node, out),
        }
    }

    fn show_all<'a>(
        &self,
        [open, close]: [&str; 2],
        items: impl Iterator<Item = (Option<&'a String>, &'a Node)>,
        out: &mut String,
    ) {
        out.push_str(open);
        for (place, (key, node)) in items.enumerate() {
            out.push_str(if place == 0 { "" } else { ", " });
            if let Some(key) = key {
                out.push_str(key);
                out.push_str(": ");
            }
            match key {
                Some(key) if self.is_secret(key) => out.push_str(VEIL),
                _ => self.show(node, out),
            }
        }
        out.push_str(close);
    }

    fn is_secret(&self, key: &str) -> bool {
        self.secret_keys.contains(key)
    }

    /// The texts below a node that are secret; of a template, what stands between its variables.
    fn secrets<'a>(&self, node: &'a Node, found: &mut Vec<&'a str>) {
        for item in node.items() {
            self.secrets(item, found);
        }
        for (key, entry) in node.entries() {
            if self.is_secret(key) {
                found.extend(entry.node.text());
            }
            self.secrets(&entry.node, found);
        }
        if node.is_secret() {
            found.extend(node.text().into_iter().flat_map(|text| text.split(['{', '}'])));
        }
        found.retain(|secret| !secret.trim().is_empty());
    }
}

/// Quoted if it would read as something else.
fn scalar(node: &Node, out: &mut String) {
    let text = node.written_text().unwrap_or_default();
    let begins_plain = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '~' | '$');
    let is_plain = text.starts_with(begins_plain)
        && !text.ends_with([' ', ':'])
        && !text.contains(['{', '}', '[', ']', ',', '"', '\n', '\t'])
        && !text.contains(": ")
        && !text.contains(" #");
    if node.is_plain() || is_plain {
        out.push_str(text);
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use crate::config::read;
    use std::fs;

    #[test]
    fn a_part_is_shown_as_it_could_be_written_and_secrets_are_not() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), "hunter2\n").unwrap();
        let text = "
listeners: {web: {address: ':80'}}
filters:
  - rewrite:
      strip_prefix: /api
  - headers: {request: {set: {x-key: 'Bearer ${file:key} {client.ip}', x-ip: '{client.ip}'}}}
  - request_id: {}
routes: [{match: {path: [/a/*, '~ ^/b: '], header: {x: '1'}}, reply: {}}]
";
        let file = folder.path().join("falconer.yaml");
        fs::write(&file, text).unwrap();
        let read = read(&file);
        let document = &read.document;
        assert_eq!(read.diagnostics(Vec::new()), []);
        let shown =
            |section: &str, place: usize| document.shown(&[section.into(), place.into()]).unwrap();
        assert_eq!(shown("filters", 0), "{rewrite: {strip_prefix: /api}}");
        let headers = r#"{headers: {request: {set: {x-key: ***, x-ip: "{client.ip}"}}}}"#;
        assert_eq!(shown("filters", 1), headers);
        assert_eq!(shown("filters", 2), "{request_id: {}}");
        let route = r#"{match: {path: [/a/*, "~ ^/b: "], header: {x: 1}}, reply: {}}"#;
        assert_eq!(shown("routes", 0), route);
        assert_eq!(document.shown(&["routes".into(), 1.into()]), None);
        assert_eq!(document.veiled("x: Bearer hunter2 ::1"), "x: ***::1");
    }
}
