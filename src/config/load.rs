//! Reads a document with all it includes into one tree.

use super::source::Sources;
use super::substitute::{self, Environment, substitute};
use super::texts::Texts;
use super::tree::{Node, Step, Value};
use super::{env, include, parse};
use crate::value::{Diagnostic, Position, Problem};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A document with all its files merged, and what was wrong on the way.
#[derive(Debug)]
pub(super) struct Loaded {
    /// The merged document, without `include`.
    pub root: Node,
    /// The files it was read from, the main one first, then in the order of `include`.
    pub files: Vec<Arc<Path>>,
    /// What else decides what the document says: files of secrets, folders of included documents.
    pub beside: Vec<PathBuf>,
    /// Their lines, for diagnostics.
    pub sources: Sources,
    /// Their texts.
    pub texts: Texts,
    /// Whether all files could be read; if not, a name that is missing may stand in one of them.
    pub whole: bool,
    /// Problems of reading, syntax, substitution and inclusion, in the order found.
    pub diagnostics: Vec<Diagnostic>,
}

/// The folder that a document names for its state, if it can be found; nothing else is read.
pub fn state_dir(path: &Path) -> Option<PathBuf> {
    let text = String::from_utf8(env::file(path, MAX_FILE).ok()?).ok()?;
    let mut root = parse::parse(&path.into(), &text).root?;
    let Value::Map(entries) = &mut root.value else { return None };
    let server = &mut entries.get_mut("server")?.node;
    substitute(server, &env::variable, &mut Vec::new());
    let node = server.at(&[Step::from("state_dir")])?;
    Some(node.folder().join(node.text()?))
}

/// Reads a document; included ones may hold the `mergeable` sections and further includes.
pub(super) fn load(path: &Path, environment: Environment<'_>, mergeable: &[&str]) -> Loaded {
    let mut loader = Loader::new(environment, mergeable);
    let file: Arc<Path> = path.into();
    let root = loader.read(&file).unwrap_or_else(|problem| {
        loader.diagnostics.push(Diagnostic::unplaced(problem));
        None
    });
    loader.finish(&file, root)
}

/// Reads a document whose main text is at hand; the path says where its relative paths begin.
pub(super) fn load_text(
    path: &Path,
    text: &str,
    environment: Environment<'_>,
    mergeable: &[&str],
) -> Loaded {
    let mut loader = Loader::new(environment, mergeable);
    let file: Arc<Path> = path.into();
    let root = loader.parse(&file, text);
    loader.finish(&file, root)
}

/// Reads a document as it was, whatever its files say now; variables and secrets are as they are.
pub(super) fn load_texts(
    texts: &Texts,
    environment: Environment<'_>,
    mergeable: &[&str],
) -> Loaded {
    let (path, text) = texts.main();
    let mut loader = Loader { given: Some(texts), ..Loader::new(environment, mergeable) };
    let file: Arc<Path> = path.into();
    let root = loader.parse(&file, text);
    loader.finish(&file, root)
}

/// A document of 100,000 routes has less than half of it.
pub(super) const MAX_FILE: u64 = 64 << 20;

/// The state of reading one document; how files come together is in `include`.
pub(super) struct Loader<'l> {
    environment: Environment<'l>,
    pub(super) mergeable: &'l [&'l str],
    /// What is read in the place of files.
    pub(super) given: Option<&'l Texts>,
    files: Vec<Arc<Path>>,
    pub(super) beside: Vec<PathBuf>,
    sources: Sources,
    pub(super) texts: Texts,
    pub(super) whole: bool,
    pub(super) diagnostics: Vec<Diagnostic>,
    /// The documents that are being included now, outermost first.
    pub(super) open: Vec<PathBuf>,
    /// Where each document was included.
    pub(super) included: HashMap<PathBuf, Position>,
}

impl<'l> Loader<'l> {
    fn new(environment: Environment<'l>, mergeable: &'l [&'l str]) -> Self {
        Self {
            environment,
            mergeable,
            given: None,
            files: Vec::new(),
            beside: Vec::new(),
            sources: Sources::default(),
            texts: Texts::default(),
            whole: true,
            diagnostics: Vec::new(),
            open: Vec::new(),
            included: HashMap::new(),
        }
    }

    fn finish(mut self, file: &Arc<Path>, root: Option<Node>) -> Loaded {
        self.whole &= root.is_some();
        let mut root =
            root.unwrap_or_else(|| Node::null(Position { file: file.clone(), line: 1, column: 1 }));
        self.open.push(self.identity(file));
        self.follow(include::take(&mut root), &mut root);
        Loaded {
            root,
            files: self.files,
            beside: self.beside,
            sources: self.sources,
            texts: self.texts,
            whole: self.whole,
            diagnostics: self.diagnostics,
        }
    }

    /// The tree of a file; `None` if its text is at fault, which is then reported.
    pub(super) fn read(&mut self, file: &Arc<Path>) -> Result<Option<Node>, Problem> {
        if let Some(given) = self.given {
            let text = given.text(file).ok_or_else(|| include::unknown(&file.display()))?;
            return Ok(self.parse(file, text));
        }
        let content = env::file(file, MAX_FILE)?;
        match std::str::from_utf8(&content) {
            Ok(text) => Ok(self.parse(file, text)),
            Err(error) => {
                let (valid, _) = content.split_at_checked(error.valid_up_to()).unwrap_or_default();
                let position = end_of(file, &String::from_utf8_lossy(valid));
                self.files.push(file.clone());
                self.sources.add(file, &String::from_utf8_lossy(&content));
                self.report(&position, Problem::new("this is not UTF-8", "save the file as UTF-8"));
                Ok(None)
            }
        }
    }

    fn parse(&mut self, file: &Arc<Path>, text: &str) -> Option<Node> {
        self.files.push(file.clone());
        self.sources.add(file, text);
        self.texts.add(file, text);
        let parsed = parse::parse(file, text);
        self.diagnostics.extend(parsed.diagnostics);
        let mut root = parsed.root?;
        self.sources.set_parsed(file);
        substitute::files(&root, &mut self.beside);
        substitute(&mut root, self.environment, &mut self.diagnostics);
        Some(root)
    }

    pub(super) fn report(&mut self, position: &Position, problem: Problem) {
        self.diagnostics.push(Diagnostic::error(position.clone(), problem));
    }
}

/// The place behind a text.
fn end_of(file: &Arc<Path>, text: &str) -> Position {
    let line = text.matches('\n').count() + 1;
    let last = text.rsplit('\n').next().unwrap_or_default();
    let column = last.chars().count() + 1;
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Position { file: file.clone(), line: small(line), column: small(column) }
}

#[cfg(test)]
mod tests;
