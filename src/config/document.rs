//! The document as types, and the way from its file to them.

use super::check::check;
use super::load::{self, Loaded};
use super::read as reader;
use super::schema::Schema;
use super::texts::Texts;
use super::tree::{Node, Step, Value};
use super::words::WORDS;
use super::{admin, env, server};
use crate::expr::Template;
use crate::value::{Diagnostic, OneOrMany, Position, Problem, Severity, Word};
use crate::{filter, listener, observe, route, tls, upstream};
use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// The sections that included documents may add to.
const MERGEABLE: [&str; 4] = ["listeners", "certificates", "upstreams", "routes"];

/// One document describes an edge.
// It is read section by section; this only gives the schema.
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "falconer document")]
#[allow(dead_code, reason = "only its schema is used")]
struct Shape {
    /// Further documents, by path or glob; they may hold listeners, certificates, upstreams and
    /// routes.
    #[serde(default)]
    include: OneOrMany<String>,
    /// What concerns the whole process.
    #[serde(default)]
    server: server::Config,
    /// Bound addresses and how to accept on them, by name.
    #[schemars(extend("minProperties" = 1))]
    listeners: IndexMap<String, listener::Config>,
    /// Chains and keys, by name.
    #[serde(default)]
    certificates: IndexMap<String, tls::Config>,
    /// Groups of equivalent endpoints, by name.
    #[serde(default)]
    upstreams: IndexMap<String, upstream::Config>,
    /// What happens on every route, before the route's own filters.
    #[serde(default)]
    filters: Vec<filter::Config>,
    /// Which requests are treated how.
    routes: Vec<route::Config>,
    /// What falconer itself did.
    #[serde(default)]
    log: observe::log::Config,
    /// One line for each exchange.
    #[serde(default)]
    access_log: observe::access::Config,
    /// What is counted.
    #[serde(default)]
    metrics: Metrics,
    /// Where the edge shows itself; nowhere without it.
    #[serde(default)]
    admin: Option<admin::Config>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(rename = "metrics")]
pub struct Metrics {
    /// Whether every route has a latency histogram. Default: true.
    pub latency: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self { latency: true }
    }
}

/// A part of the document with the steps to its place.
#[derive(Clone, Debug)]
pub struct Placed<T> {
    /// The part.
    pub value: T,
    /// The way to it.
    pub steps: Vec<Step>,
}

/// A document, as far as it could be read.
#[derive(Debug)]
pub struct Document {
    /// `server:`
    pub server: server::Config,
    /// `listeners:`
    pub listeners: IndexMap<String, Placed<listener::Config>>,
    /// `certificates:`
    pub certificates: IndexMap<String, Placed<tls::Config>>,
    /// `upstreams:`
    pub upstreams: IndexMap<String, Placed<upstream::Config>>,
    /// `filters:`
    pub filters: Vec<Placed<filter::Config>>,
    /// `routes:`
    pub routes: Vec<Placed<route::Config>>,
    /// `log:`
    pub log: observe::log::Config,
    /// `access_log:`
    pub access_log: observe::access::Config,
    /// `metrics:`
    pub metrics: Metrics,
    /// `admin:`
    pub admin: Option<Placed<admin::Config>>,
    /// The names that stand in the document, also of what could not be read.
    pub(super) names: IndexMap<&'static str, Vec<String>>,
    is_whole: bool,
    files: Vec<PathBuf>,
    texts: Arc<Texts>,
    pub(super) root: Node,
    /// Where something was wrong with it.
    broken: BTreeSet<Vec<Step>>,
    /// Keys whose values nobody may see.
    pub(super) secret_keys: HashSet<String>,
    /// Where such values stand.
    pub(super) secrets: Vec<Position>,
}

/// What came of reading.
pub struct Read {
    /// The document, as far as it could be read.
    pub document: Document,
    loaded: Loaded,
    hidden: super::source::Hidden,
    diagnostics: Vec<Diagnostic>,
}

/// Reads a document and all it includes; problems do not end the reading.
pub fn read(path: &Path) -> Read {
    Read::new(load::load(path, &env::variable, &MERGEABLE))
}

/// Reads a document from a text, as if it stood in a file.
pub fn read_text(path: &Path, text: &str) -> Read {
    Read::new(load::load_text(path, text, &env::variable, &MERGEABLE))
}

/// Reads a document as it was once read, whatever its files say now.
pub fn read_texts(texts: &Texts) -> Read {
    Read::new(load::load_texts(texts, &env::variable, &MERGEABLE))
}

/// The document's JSON Schema.
pub fn schema() -> &'static serde_json::Value {
    static SCHEMA: LazyLock<serde_json::Value> =
        LazyLock::new(|| schemars::schema_for!(Shape).to_value());
    &SCHEMA
}

impl Read {
    fn new(mut loaded: Loaded) -> Self {
        let checked = check(&loaded, schema(), WORDS);
        let mut diagnostics = loaded.diagnostics.clone();
        diagnostics.extend(checked.diagnostics.iter().cloned());
        let mut sections =
            Sections { root: &loaded.root, checked: &checked, diagnostics: &mut diagnostics };
        let document = Document {
            server: sections.one("server"),
            listeners: sections.map("listeners"),
            certificates: sections.map("certificates"),
            upstreams: sections.map("upstreams"),
            filters: sections.list("filters"),
            routes: sections.list("routes"),
            log: sections.one("log"),
            access_log: sections.one("access_log"),
            metrics: sections.one("metrics"),
            admin: sections.optional("admin"),
            names: ["listeners", "certificates", "upstreams"]
                .map(|section| (section, names(&loaded.root, section)))
                .into(),
            is_whole: loaded.whole,
            files: loaded
                .files
                .iter()
                .map(|f| f.to_path_buf())
                .chain(loaded.beside.clone())
                .collect(),
            texts: Arc::new(std::mem::take(&mut loaded.texts)),
            root: loaded.root.clone(),
            broken: checked.broken.clone(),
            secret_keys: checked.hidden.keys.clone(),
            secrets: checked.hidden.places.clone(),
        };
        Self { document, hidden: checked.hidden, loaded, diagnostics }
    }

    /// Whether nothing in it keeps it from running, as far as reading tells.
    pub fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    /// Adds problems that were found later, and returns all in the order of the document.
    pub fn diagnostics(&self, further: Vec<Diagnostic>) -> Vec<Diagnostic> {
        let mut all = self.diagnostics.clone();
        all.extend(further);
        self.loaded.sources.arrange(all, &self.hidden)
    }

    /// How many files it was read from.
    pub fn files(&self) -> usize {
        self.loaded.files.len()
    }
}

impl Document {
    /// A problem at the end of a way, or as near as the document goes; it does not tell a secret.
    pub fn error(&self, steps: &[Step], problem: Problem) -> Diagnostic {
        let is_secret = self.root.at(steps).is_some_and(Node::is_secret);
        let problem = if is_secret { reader::veiled() } else { problem };
        Diagnostic::error(self.position(steps), problem)
    }

    /// A warning at the end of a way.
    pub fn warning(&self, steps: &[Step], problem: Problem) -> Diagnostic {
        Diagnostic::warning(self.position(steps), problem)
    }

    /// Where something stands; of a map, where its key does.
    pub fn position(&self, steps: &[Step]) -> Position {
        let key = match self.root.at(steps).map(|node| &node.value) {
            Some(Value::Map(_)) => self.root.key_position(steps),
            _ => None,
        };
        key.unwrap_or(&self.root.nearest(steps).position).clone()
    }

    /// The folder of the file in which something stands.
    pub fn folder(&self, steps: &[Step]) -> &Path {
        self.root.nearest(steps).folder()
    }

    /// The files that say what it says, and the folders that included ones are looked for in.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// What it was read from.
    pub fn source(&self) -> &Arc<Texts> {
        &self.texts
    }

    /// `server.state_dir` as written, also where the section has mistakes.
    pub fn state_dir(&self) -> Option<PathBuf> {
        let written = || {
            let node = self.root.at(&["server", "state_dir"].map(Step::from))?;
            Some(node.folder().join(node.text()?))
        };
        self.server.state_dir.clone().or_else(written)
    }

    /// The certificates, keys and authorities that it names.
    pub fn certificate_files(&self) -> Vec<PathBuf> {
        let certificates = self.certificates.values().map(|placed| &placed.value);
        let pairs = certificates.flat_map(|config| [&config.chain, &config.key]);
        let upstreams = self.upstreams.values().filter_map(|placed| placed.value.tls.as_ref());
        pairs.chain(upstreams.map(|tls| &tls.ca)).flatten().cloned().collect()
    }

    /// Whether every file could be read; a name that is missing may stand in one that could not.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The templates below a place, each with the way to it.
    pub fn templates(&self, steps: &[Step]) -> Vec<Placed<Template>> {
        let Some(node) = self.root.at(steps) else { return Vec::new() };
        let mut found = Vec::new();
        let schema = Schema::new(schema()).at(steps);
        reader::words(node, schema, Template::FORMAT, steps.to_vec(), &mut found);
        let parse = |(text, steps): (&str, _)| Some(Placed { value: text.parse().ok()?, steps });
        found.into_iter().filter_map(parse).collect()
    }

    /// The text of a scalar, or the texts of a list, unless that was wrong already.
    pub fn texts(&self, steps: &[Step]) -> Vec<Placed<String>> {
        let is_wrong = |steps: &[Step]| self.broken.contains(steps);
        let Some(node) = self.root.at(steps).filter(|_| !is_wrong(steps)) else {
            return Vec::new();
        };
        let items = node.items().iter().enumerate();
        let items = items.map(|(index, item)| ([steps, &[index.into()]].concat(), item));
        let all = std::iter::once((steps.to_vec(), node)).chain(items);
        all.filter(|(steps, node)| !node.is_broken() && !is_wrong(steps))
            .filter_map(|(steps, node)| Some(Placed { value: node.text()?.to_owned(), steps }))
            .collect()
    }

    /// How many items a list holds, also such as could not be read.
    pub fn count(&self, section: &str) -> usize {
        self.root.entry(section).map_or(0, |entry| entry.node.items().len())
    }

    /// The names in a section, also of what could not be read.
    pub fn names(&self, section: &str) -> &[String] {
        self.names.get(section).map_or(&[], Vec::as_slice)
    }
}

fn names(root: &Node, section: &str) -> Vec<String> {
    let entry = root.entry(section);
    entry.into_iter().flat_map(|e| e.node.entries()).map(|(name, _)| name.to_owned()).collect()
}

/// Reads the sections of a tree, leaving out what is broken.
struct Sections<'a> {
    root: &'a Node,
    checked: &'a super::check::Checked,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Sections<'_> {
    fn part<T: DeserializeOwned>(&mut self, steps: Vec<Step>) -> Option<Placed<T>> {
        if self.checked.is_broken(&steps) {
            return None;
        }
        let node = self.root.at(&steps)?;
        match reader::read(node, Schema::new(schema()).at(&steps)) {
            Ok(value) => Some(Placed { value, steps }),
            Err(diagnostic) => {
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    /// A section that nothing follows is as if it were not there.
    fn optional<T: DeserializeOwned>(&mut self, section: &str) -> Option<Placed<T>> {
        let Placed { value, steps } = self.part::<Option<T>>(vec![Step::Key(section.into())])?;
        value.map(|value| Placed { value, steps })
    }

    fn one<T: DeserializeOwned + Default>(&mut self, section: &str) -> T {
        self.optional(section).map(|placed| placed.value).unwrap_or_default()
    }

    fn map<T: DeserializeOwned>(&mut self, section: &str) -> IndexMap<String, Placed<T>> {
        let names = names(self.root, section);
        let part = |name: String| {
            let steps = vec![Step::Key(section.into()), Step::Key(name.clone())];
            Some((name, self.part(steps)?))
        };
        names.into_iter().filter_map(part).collect()
    }

    fn list<T: DeserializeOwned>(&mut self, section: &str) -> Vec<Placed<T>> {
        let length = match self.root.entry(section).map(|entry| &entry.node.value) {
            Some(Value::List(items)) => items.len(),
            _ => 0,
        };
        let steps = |index| vec![Step::Key(section.into()), Step::Item(index)];
        (0..length).filter_map(|index| self.part(steps(index))).collect()
    }
}
