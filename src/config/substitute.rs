//! `${NAME}`, `${NAME:-default}`, `${file:PATH}` and `$$` inside scalar values.

use super::env;
use super::tree::{Node, Value, Written};
use crate::value::{Diagnostic, Problem};
use std::path::{Path, PathBuf};

/// Where variables come from: for the process's own ones, `env::variable`.
pub(super) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Replaces what is to be substituted in all scalars; a failed one is marked broken and reported.
pub(super) fn substitute(
    node: &mut Node,
    environment: Environment<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match &mut node.value {
        Value::List(items) => {
            for item in items {
                substitute(item, environment, diagnostics);
            }
        }
        Value::Map(entries) => {
            for entry in entries.values_mut() {
                substitute(&mut entry.node, environment, diagnostics);
            }
        }
        Value::String(text) if text.contains('$') => {
            let plain = node.written == Written::Plain;
            match expand(text, node.position.file.parent(), environment) {
                Ok(Expanded { text, written }) => {
                    // What came out decides the type, as if it had been written here; in `{ }` it
                    // must be quoted, which therefore says nothing.
                    let plain = plain || written.is_some();
                    node.set_text(&text, plain, written.unwrap_or(node.written));
                }
                Err(problem) => {
                    diagnostics.push(Diagnostic::error(node.position.clone(), problem));
                    node.written = Written::Broken;
                }
            }
        }
        _ => {}
    }
}

/// The files that scalars take their texts from, before any is replaced.
pub(super) fn files(node: &Node, found: &mut Vec<PathBuf>) {
    match &node.value {
        Value::List(items) => items.iter().for_each(|item| files(item, found)),
        Value::Map(entries) => entries.values().for_each(|entry| files(&entry.node, found)),
        Value::String(text) => {
            let named = text.split("${file:").skip(1).filter_map(|rest| rest.split_once('}'));
            found.extend(named.map(|(path, _)| node.folder().join(path)));
        }
        _ => {}
    }
}

/// More than any key or token needs.
const MAX_FILE: u64 = 1 << 20;

/// A text after substitution; `written` is `None` if it took nothing from outside.
struct Expanded {
    text: String,
    written: Option<Written>,
}

fn expand(
    text: &str,
    folder: Option<&Path>,
    environment: Environment<'_>,
) -> Result<Expanded, Problem> {
    let mut expanded = Expanded { text: String::with_capacity(text.len()), written: None };
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.text.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            expanded.text.push('$');
            rest = after;
        } else if let Some(after) = after.strip_prefix('{') {
            let Some((inside, after)) = after.split_once('}') else {
                let what = format!("`${{{}` is never closed", shorten(after));
                return Err(Problem::new(what, "close it with `}`, or write `$$` for a dollar"));
            };
            expanded.push(inside, folder, environment)?;
            rest = after;
        } else {
            expanded.text.push('$');
            rest = after;
        }
    }
    expanded.text.push_str(rest);
    Ok(expanded)
}

impl Expanded {
    /// Adds what stands for the inside of one `${...}`.
    fn push(
        &mut self,
        inside: &str,
        folder: Option<&Path>,
        environment: Environment<'_>,
    ) -> Result<(), Problem> {
        if let Some(path) = inside.strip_prefix("file:") {
            self.text.push_str(&secret(&folder.unwrap_or(Path::new("")).join(path))?);
            self.written = Some(Written::Secret);
        } else {
            self.text.push_str(&variable(inside, environment)?);
            self.written = self.written.or(Some(Written::Variable));
        }
        Ok(())
    }
}

/// As in a shell, the default also stands in for an empty variable.
fn variable(inside: &str, environment: Environment<'_>) -> Result<String, Problem> {
    let (name, default) = match inside.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    if !is_name(name) {
        let what = format!("`${{{}}}` names no variable", shorten(inside));
        return Err(Problem::new(
            what,
            "write `${NAME}`, `${NAME:-default}` or `${file:PATH}`, or `$${` for the text itself",
        ));
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (None, None) => Err(Problem::new(
            format!("the variable `{name}` is not set"),
            format!("set it, write `${{{name}:-default}}`, or `$${{{name}}}` for the text itself"),
        )),
    }
}

fn secret(path: &Path) -> Result<String, Problem> {
    let content = env::file(path, MAX_FILE)?;
    match std::str::from_utf8(&content) {
        Ok(text) => Ok(text.trim().into()),
        Err(_) => Err(Problem::new(
            format!("`{}` is not UTF-8 text", path.display()),
            "name a file that holds text",
        )),
    }
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c == '_' || c.is_ascii_alphanumeric();
    name.chars().all(fits) && name.starts_with(|c: char| !c.is_ascii_digit())
}

/// An unclosed one may run on for pages.
fn shorten(text: &str) -> &str {
    let line = text.lines().next().unwrap_or_default();
    line.char_indices().nth(40).and_then(|(end, _)| line.get(..end)).unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse::parse;

    fn environment(name: &str) -> Option<String> {
        let value = match name {
            "N" => "4",
            "HOST" => "a.example",
            "EMPTY" => "",
            "TRICK" => "${N} $$ {x: y}",
            _ => return None,
        };
        Some(value.into())
    }

    fn substituted(yaml: &str, folder: &Path) -> (Node, Vec<Diagnostic>) {
        let parsed = parse(&folder.join("a.yaml").into(), yaml);
        let (mut root, mut diagnostics) = (parsed.root.unwrap(), parsed.diagnostics);
        substitute(&mut root, &environment, &mut diagnostics);
        (root, diagnostics)
    }

    /// The value of `a` in a document of this one line.
    fn value(scalar: &str) -> Value {
        let (root, diagnostics) = substituted(&format!("a: {scalar}"), Path::new(""));
        assert_eq!(diagnostics, [], "{scalar}");
        root.at(&["a".into()]).unwrap().value.clone()
    }

    fn problem(scalar: &str) -> String {
        let (root, diagnostics) = substituted(&format!("a: {scalar}"), Path::new(""));
        assert!(root.at(&["a".into()]).unwrap().is_broken());
        diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    }

    fn text(text: &str) -> Value {
        Value::String(text.into())
    }

    #[test]
    fn a_plain_scalar_is_typed_after_substitution() {
        assert_eq!(value("${N}"), Value::Number(4.into()));
        assert_eq!(value("${N}0"), Value::Number(40.into()));
        assert_eq!(value("\"${N}\""), Value::Number(4.into()));
        assert_eq!(value("\"$$4\""), text("$4"));
        assert_eq!(value("${NONE:-true}"), Value::Bool(true));
    }

    #[test]
    fn an_empty_substitute_can_still_be_text() {
        let (root, _) = substituted("a: ${EMPTY}", Path::new(""));
        let node = root.at(&["a".into()]).unwrap();
        assert_eq!((&node.value, node.text()), (&Value::Null, Some("")));
    }

    #[test]
    fn variables_and_defaults_stand_anywhere_in_a_text() {
        assert_eq!(value("http://${HOST}:${PORT:-80}/"), text("http://a.example:80/"));
        assert_eq!(value("${EMPTY:-x}"), text("x"));
        assert_eq!(value("x${NONE:-}"), text("x"));
    }

    #[test]
    fn a_result_is_not_scanned_again() {
        assert_eq!(value("${TRICK}"), text("${N} $$ {x: y}"));
    }

    #[test]
    fn dollars_that_substitute_nothing_stay() {
        assert_eq!(value("$$"), text("$"));
        assert_eq!(value("$${N}"), text("${N}"));
        assert_eq!(value("$$${N}"), text("$4"));
        assert_eq!(value("~ ^/a$"), text("~ ^/a$"));
        assert_eq!(value("$1-$x"), text("$1-$x"));
        assert_eq!(value("$$5"), text("$5"));
    }

    #[test]
    fn keys_are_left_alone() {
        let (root, _) = substituted("${N}: x", Path::new(""));
        assert!(root.entry("${N}").is_some());
    }

    #[test]
    fn a_failure_stands_at_its_scalar_with_the_remedy() {
        assert_eq!(
            problem("${NONE}"),
            "a.yaml:1:4: the variable `NONE` is not set; set it, write `${NONE:-default}`, or \
             `$${NONE}` for the text itself"
        );
        assert!(problem("x ${N").starts_with("a.yaml:1:4: `${N` is never closed; close it"));
        assert!(problem("${}").contains("`${}` names no variable"));
        assert!(problem("${1X}").contains("`${1X}` names no variable"));
        assert!(problem("\"${file:nope}\"").contains("cannot read `nope`: there is no such file"));
    }

    #[test]
    fn a_file_is_relative_to_the_document_trimmed_and_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "\n 0012 \n").unwrap();
        let (root, diagnostics) = substituted("a: ${file:key}\nb: ${N}", folder.path());
        assert_eq!(diagnostics, []);
        let node = root.at(&["a".into()]).unwrap();
        assert!(node.is_secret());
        assert_eq!(node.text(), Some("0012"));
        assert!(!root.at(&["b".into()]).unwrap().is_secret());
    }

    #[test]
    fn a_secret_beside_a_variable_stays_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "k").unwrap();
        let (root, _) = substituted("a: ${N}${file:key}${N}", folder.path());
        let node = root.at(&["a".into()]).unwrap();
        assert_eq!((node.text(), node.is_secret()), (Some("4k4"), true));
    }

    #[test]
    fn a_file_that_is_no_text_is_a_problem() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), [0xff, 0xfe]).unwrap();
        let (_, diagnostics) = substituted("a: ${file:key}", folder.path());
        assert!(diagnostics[0].problem.what.ends_with("is not UTF-8 text"));
    }
}
