//! Which files an `include` means, and how they become one document.

use super::load::Loader;
use super::suggest;
use super::tree::{Entry, Node, Value};
use crate::value::{Diagnostic, Position, Problem};
use indexmap::IndexMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// How deep documents may include each other.
const MAX_DEPTH: usize = 16;

impl Loader<'_> {
    /// Merges all that an `include` names.
    pub(super) fn follow(&mut self, include: Option<Entry>, root: &mut Node) {
        let Some(Entry { node, .. }) = include else { return };
        let names = match &node.value {
            Value::List(names) => names.as_slice(),
            Value::Null => &[],
            _ => std::slice::from_ref(&node),
        };
        for name in names {
            for path in self.paths(name) {
                self.include(&path, &name.position, root);
            }
        }
    }

    /// The files that one name or pattern of an `include` means.
    fn paths(&mut self, name: &Node) -> Vec<PathBuf> {
        let text = name.text().filter(|text| !text.is_empty() && !name.is_broken());
        let Some(text) = text else {
            self.whole = false;
            if !name.is_broken() {
                let what = "`include` takes file names";
                self.report(&name.position, Problem::new(what, "write `include: [sites/*.yaml]`"));
            }
            return Vec::new();
        };
        if !is_pattern(text) {
            return vec![name.folder().join(text)];
        }
        let fixed = Path::new(text).iter().take_while(|part| !is_pattern(&part.to_string_lossy()));
        // Joined to nothing, the folder of a document that is named alone would be no path.
        self.beside.push(name.folder().join(".").join(fixed.collect::<PathBuf>()));
        let found = match self.given {
            Some(given) => {
                given.found(name.folder(), text).map(Into::into).ok_or_else(|| unknown(&text))
            }
            None => expand(name.folder(), text),
        };
        let paths = found.unwrap_or_else(|problem| {
            self.whole = false;
            self.report(&name.position, problem);
            Vec::new()
        });
        self.texts.find(name.folder(), text, &paths);
        paths
    }

    /// Two ways to the same file are one file; of one that is not read now, only its name is known.
    pub(super) fn identity(&self, path: &Path) -> PathBuf {
        match self.given {
            Some(_) => path.into(),
            None => path.canonicalize().unwrap_or_else(|_| path.into()),
        }
    }

    fn include(&mut self, path: &Path, at: &Position, root: &mut Node) {
        let identity = self.identity(path);
        if let Some(problem) = self.refuse(path, &identity) {
            return self.report(at, problem);
        }
        self.included.insert(identity.clone(), at.clone());
        match self.read(&path.into()) {
            Ok(Some(mut document)) => {
                let include = take(&mut document);
                self.merge(document, root);
                self.open.push(identity);
                self.follow(include, root);
                self.open.pop();
            }
            Ok(None) => self.whole = false,
            Err(problem) => {
                self.whole = false;
                self.report(at, problem);
            }
        }
    }

    /// Why a document must not be included here.
    fn refuse(&self, path: &Path, identity: &PathBuf) -> Option<Problem> {
        let name = path.display();
        if self.open.contains(identity) {
            let what = format!("`{name}` includes itself");
            let remedy = "remove it, or keep included documents in a folder of their own";
            return Some(Problem::new(what, remedy));
        }
        if let Some(first) = self.included.get(identity) {
            let what = format!("`{name}` is included twice, first at {first}");
            return Some(Problem::new(what, "keep one of them"));
        }
        (self.open.len() > MAX_DEPTH).then(|| {
            let what = format!("documents include each other more than {MAX_DEPTH} deep");
            Problem::new(what, "include them from the main document")
        })
    }

    /// Adds the sections of an included document to the main one.
    fn merge(&mut self, document: Node, root: &mut Node) {
        let Node { position, value, .. } = document;
        let sections = match value {
            Value::Map(sections) => sections,
            Value::Null => return,
            _ => {
                let problem = Problem::new(
                    "an included document is a map",
                    format!("begin with {}", suggest::one_of(self.mergeable.iter().copied())),
                );
                return self.report(&position, problem);
            }
        };
        for (name, section) in sections {
            if self.mergeable.contains(&name.as_str()) {
                self.merge_section(name, section, root);
            } else {
                let known = self.mergeable.iter().copied().chain(["include"]);
                let remedy = match suggest::nearest(&name, known) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("move it to {}", root.position.file.display()),
                };
                let what = format!("`{name}` cannot stand in an included document");
                self.report(&section.key, Problem::new(what, remedy));
            }
        }
    }

    fn merge_section(&mut self, name: String, section: Entry, root: &mut Node) {
        if root.value == Value::Null {
            root.value = Value::Map(IndexMap::new());
        }
        // A main document of another kind is reported by the check.
        let Value::Map(sections) = &mut root.value else { return };
        let Some(present) = sections.get_mut(&name) else {
            sections.insert(name, section);
            return;
        };
        match (&mut present.node.value, section.node.value) {
            (_, Value::Null) => {}
            (Value::Null, value) => present.node.value = value,
            (Value::List(items), Value::List(more)) => items.extend(more),
            (Value::Map(entries), Value::Map(more)) => {
                for (name, entry) in more {
                    add(&mut self.diagnostics, entries, name, entry);
                }
            }
            _ => {
                let first = &present.node.position;
                let what = format!("`{name}` is of another kind at {first}");
                let problem = Problem::new(what, "write both as a list or both as a map");
                self.diagnostics.push(Diagnostic::error(section.node.position, problem));
            }
        }
    }
}

/// Adds a named thing unless its name is taken.
fn add(
    diagnostics: &mut Vec<Diagnostic>,
    entries: &mut IndexMap<String, Entry>,
    name: String,
    entry: Entry,
) {
    match entries.get(&name) {
        Some(first) => {
            let what = format!("`{name}` is defined twice, first at {}", first.key);
            let problem = Problem::new(what, "rename one of them");
            diagnostics.push(Diagnostic::error(entry.key, problem));
        }
        None => {
            entries.insert(name, entry);
        }
    }
}

pub(super) fn take(document: &mut Node) -> Option<Entry> {
    match &mut document.value {
        Value::Map(sections) => sections.shift_remove("include"),
        _ => None,
    }
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// What the texts of an earlier document lack; a variable may lead elsewhere now.
pub(super) fn unknown(name: &dyn Display) -> Problem {
    let what = format!("`{name}` was no part of the document when it ran");
    Problem::new(what, "set the variables as they were, or reload the files as they are")
}

/// The files that a pattern finds, sorted; hidden ones only if the pattern says so.
pub(super) fn expand(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, Problem> {
    // Only the operator's own text is a pattern, a bracket in a folder's name is none.
    let folder = glob::Pattern::escape(&folder.to_string_lossy());
    let whole = Path::new(&folder).join(pattern);
    let options =
        glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let found = glob::glob_with(&whole.to_string_lossy(), options).map_err(|error| {
        let what = format!("`{pattern}` is no pattern: {}", error.msg);
        Problem::new(what, "correct the pattern, or write `[[]` for a bracket")
    })?;
    let mut paths = Vec::new();
    for path in found {
        let path = path.map_err(|error| Problem::unreadable(error.path(), error.error()))?;
        if !path.is_dir() {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
