//! The document as a tree in which every node knows its place.

use super::scalar::typed;
use crate::value::Position;
use indexmap::IndexMap;
use std::fmt;
use std::path::Path;

/// A value of the document with its place.
#[derive(Clone, PartialEq)]
pub(super) struct Node {
    /// Where it begins.
    pub position: Position,
    /// What it holds.
    pub value: Value,
    text: Box<str>,
    pub(super) written: Written,
}

/// What a [`Node`] holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number; the node still knows how it was written.
    Number(serde_json::Number),
    /// Any other scalar, and every quoted one.
    String(String),
    /// A list.
    List(Vec<Node>),
    /// A map in the order written.
    Map(IndexMap<String, Entry>),
}

/// A value of a map and the place of its key.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Where the key stands.
    pub key: Position,
    /// The value.
    pub node: Node,
}

/// One step on the way from a node to a node below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the value of a key.
    Key(String),
    /// To an item of a list, from 0.
    Item(usize),
}

/// How a scalar got its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// Written unquoted, so its shape gives its type.
    Plain,
    /// Written in quotes or as a block, so it is text.
    Quoted,
    /// At least partly from a variable.
    Variable,
    /// At least partly from a `${file:...}`, which nobody may see.
    Secret,
    /// A substitution that failed and is reported already.
    Broken,
}

impl Node {
    /// Whether it says the same, wherever it stands; the order of a map says nothing.
    pub(super) fn says(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::List(these), Value::List(those)) => {
                these.len() == those.len()
                    && these.iter().zip(those).all(|(this, that)| this.says(that))
            }
            (Value::Map(these), Value::Map(those)) => {
                let is_in = |(key, entry): (&String, &Entry)| {
                    those.get(key).is_some_and(|that| entry.node.says(&that.node))
                };
                these.len() == those.len() && these.iter().all(is_in)
            }
            (this, that) => this == that && self.text == other.text,
        }
    }

    /// A list or a map.
    pub(super) fn collection(position: Position, value: Value) -> Self {
        Self { position, value, text: "".into(), written: Written::Plain }
    }

    /// A scalar; a plain one gets its type from its text.
    pub(super) fn scalar(position: Position, text: &str, plain: bool) -> Self {
        let mut node = Self::null(position);
        node.set_text(text, plain, if plain { Written::Plain } else { Written::Quoted });
        node
    }

    /// Nothing, at a place.
    pub(super) fn null(position: Position) -> Self {
        Self::collection(position, Value::Null)
    }

    /// Gives it another text, typed anew if it is plain.
    pub(super) fn set_text(&mut self, text: &str, plain: bool, written: Written) {
        self.value = if plain { typed(text) } else { Value::String(text.into()) };
        self.text = text.into();
        self.written = written;
    }

    /// A scalar as it was written, for a number that is meant as text; `None` for a plain null.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            Value::Bool(_) | Value::Number(_) => Some(&self.text),
            Value::Null if !matches!(self.written, Written::Plain) => Some(&self.text),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A scalar exactly as written, even a null.
    pub(super) fn written_text(&self) -> Option<&str> {
        (!matches!(self.value, Value::List(_) | Value::Map(_))).then_some(&*self.text)
    }

    /// Whether it is a scalar that was written without quotes.
    pub(super) fn is_plain(&self) -> bool {
        self.written == Written::Plain && !matches!(self.value, Value::List(_) | Value::Map(_))
    }

    /// Whether its text came from a file that holds a secret and must not be shown.
    pub(super) fn is_secret(&self) -> bool {
        self.written == Written::Secret
    }

    /// Whether it or anything below it is secret.
    pub(super) fn holds_secret(&self) -> bool {
        match &self.value {
            Value::List(items) => items.iter().any(Self::holds_secret),
            Value::Map(entries) => entries.values().any(|entry| entry.node.holds_secret()),
            _ => self.is_secret(),
        }
    }

    /// Whether its substitution failed, so that its value says nothing.
    pub(super) fn is_broken(&self) -> bool {
        self.written == Written::Broken
    }

    /// The folder of the document in which it stands.
    pub(super) fn folder(&self) -> &Path {
        self.position.file.parent().unwrap_or(Path::new(""))
    }

    /// The entry of a key, if this is a map that has it.
    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.get(key),
            _ => None,
        }
    }

    /// The entries of a map; none for anything else.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        let entries = match &self.value {
            Value::Map(entries) => Some(entries),
            _ => None,
        };
        entries.into_iter().flatten().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The items of a list; none for anything else.
    pub(super) fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The node at the end of the steps.
    pub(super) fn at(&self, steps: &[Step]) -> Option<&Self> {
        steps.iter().try_fold(self, |node, step| node.below(step))
    }

    /// The last node on the way of the steps that exists.
    pub(super) fn nearest(&self, steps: &[Step]) -> &Self {
        let mut node = self;
        for step in steps {
            match node.below(step) {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    /// The place of the key that leads to the node at the end of the steps; an item has its own.
    pub(super) fn key_position(&self, steps: &[Step]) -> Option<&Position> {
        let Some((last, above)) = steps.split_last() else { return Some(&self.position) };
        let above = self.at(above)?;
        match last {
            Step::Key(key) => above.entry(key).map(|entry| &entry.key),
            Step::Item(_) => above.below(last).map(|node| &node.position),
        }
    }

    fn below(&self, step: &Step) -> Option<&Self> {
        match step {
            Step::Key(key) => self.entry(key).map(|entry| &entry.node),
            Step::Item(index) => self.items().get(*index),
        }
    }
}

/// Shows everything but secrets.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.position)?;
        if self.is_secret() { f.write_str("***") } else { self.value.fmt(f) }
    }
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Item(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Position {
        Position { file: Path::new("conf/a.yaml").into(), line: 1, column: 1 }
    }

    fn plain(text: &str) -> Node {
        Node::scalar(place(), text, true)
    }

    #[test]
    fn a_number_remembers_how_it_was_written() {
        assert_eq!(plain("1.20").text(), Some("1.20"));
        assert_eq!(plain("0x10").text(), Some("0x10"));
        assert_eq!(plain("~").text(), None);
    }

    #[test]
    fn a_quoted_scalar_is_text() {
        let node = Node::scalar(place(), "12", false);
        assert_eq!(node.value, Value::String("12".into()));
        assert!(!node.is_plain());
    }

    #[test]
    fn a_secret_is_not_shown_by_debug() {
        let mut node = plain("");
        node.set_text("hunter2", true, Written::Secret);
        assert!(!format!("{node:?}").contains("hunter2"));
        let list = Node::collection(place(), Value::List(vec![node]));
        assert!(list.holds_secret());
        assert!(!format!("{list:?}").contains("hunter2"));
    }

    #[test]
    fn steps_lead_to_nodes_and_keys() {
        let key = Position { column: 7, ..place() };
        let entry = Entry { key: key.clone(), node: plain("1") };
        let map = Value::Map([("a".to_string(), entry)].into_iter().collect());
        let root = Node::collection(place(), Value::List(vec![Node::collection(place(), map)]));

        let steps = [Step::Item(0), "a".into()];
        assert_eq!(root.at(&steps).and_then(Node::text), Some("1"));
        assert_eq!(root.key_position(&steps), Some(&key));
        assert_eq!(root.at(&[Step::Item(1)]), None);
        assert_eq!(root.nearest(&[Step::Item(0), "b".into(), "c".into()]), &root.items()[0]);
        assert_eq!(root.folder(), Path::new("conf"));
    }
}
