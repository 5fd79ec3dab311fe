//! From the text of one file to its tree.

use super::syntax;
use super::tree::{Entry, Node, Value};
use crate::value::{Diagnostic, Position, Problem};
use indexmap::IndexMap;
use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, Tag};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// The tree of one file, as far as it could be parsed.
pub(super) struct Parsed {
    /// Nothing for an empty file, `None` if the text is no YAML.
    pub root: Option<Node>,
    /// What is wrong with the syntax.
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses the text of a file.
pub(super) fn parse(file: &Arc<Path>, text: &str) -> Parsed {
    let mut builder = Builder::new(file);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let taken = match event {
            Ok((event, span)) => builder.take(event, span),
            Err(error) => Err(builder.syntax(&error, text)),
        };
        if let Err(stop) = taken {
            builder.diagnostics.push(stop);
            return Parsed { root: None, diagnostics: builder.diagnostics };
        }
    }
    let root = builder.root.unwrap_or_else(|| Node::null(place(file, Marker::new(0, 1, 0))));
    Parsed { root: Some(root), diagnostics: builder.diagnostics }
}

/// How deep collections may nest.
const MAX_DEPTH: usize = 64;
/// How many nodes all aliases together may stand for; what is written out is not limited.
const MAX_ALIASED: usize = 100_000;

struct Builder<'f> {
    file: &'f Arc<Path>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchored>,
    aliased: usize,
    root: Option<Node>,
    diagnostics: Vec<Diagnostic>,
}

/// A collection whose end has not come yet.
struct Open {
    position: Position,
    anchor: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: IndexMap<String, Entry>, key: Option<Key> },
}

/// A key that waits for its value; without a name the value is dropped.
struct Key {
    name: Option<String>,
    position: Position,
}

/// A node that aliases may repeat, with what a copy costs.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

impl<'f> Builder<'f> {
    fn new(file: &'f Arc<Path>) -> Self {
        Self {
            file,
            open: Vec::new(),
            anchors: HashMap::new(),
            aliased: 0,
            root: None,
            diagnostics: Vec::new(),
        }
    }

    /// Takes one event; an error ends the parsing.
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Diagnostic> {
        let position = place(self.file, span.start);
        match event {
            Event::DocumentStart(_) if self.root.is_some() => Err(Diagnostic::error(
                position,
                Problem::new(
                    "a second document begins here",
                    "remove the `---`, or move what follows to a file of its own and include it",
                ),
            )),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain && self.is_typed(tag.as_deref(), &position);
                // A missing value is reported at its key, not in the void behind it.
                let position = match self.waiting_key() {
                    Some(key) if plain && text.is_empty() => key.position.clone(),
                    _ => position,
                };
                self.add(Node::scalar(position, &text, plain), anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                self.is_typed(tag.as_deref(), &position);
                self.begin(position, anchor, Content::List(Vec::new()))
            }
            Event::MappingStart(anchor, tag) => {
                self.is_typed(tag.as_deref(), &position);
                let content = Content::Map { entries: IndexMap::new(), key: None };
                self.begin(position, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.repeat(anchor, position),
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        position: Position,
        anchor: usize,
        content: Content,
    ) -> Result<(), Diagnostic> {
        if self.open.len() >= MAX_DEPTH {
            return Err(too_deep(position));
        }
        self.open.push(Open { position, anchor, content });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Diagnostic> {
        let Some(Open { position, anchor, content }) = self.open.pop() else { return Ok(()) };
        let value = match content {
            Content::List(items) => Value::List(items),
            Content::Map { entries, .. } => Value::Map(entries),
        };
        self.add(Node::collection(position, value), anchor)
    }

    fn repeat(&mut self, anchor: usize, position: Position) -> Result<(), Diagnostic> {
        let Some(Anchored { node, nodes, depth }) = self.anchors.get(&anchor) else {
            return Err(Diagnostic::error(
                position,
                Problem::new("this alias stands within its own anchor", "write the value out"),
            ));
        };
        self.aliased += nodes;
        if self.open.len() + depth > MAX_DEPTH {
            return Err(too_deep(position));
        }
        if self.aliased > MAX_ALIASED {
            return Err(Diagnostic::error(
                position,
                Problem::new(
                    format!("the aliases stand for more than {MAX_ALIASED} values"),
                    "write fewer aliases of aliases",
                ),
            ));
        }
        let mut node = node.clone();
        node.position = position;
        self.add(node, 0)
    }

    /// Puts a finished node where it belongs: under its key, into its list, or at the top.
    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Diagnostic> {
        if anchor != 0 {
            let (nodes, depth) = measure(&node);
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, key }) => match key.take() {
                None => *key = Some(read_key(node, entries, &mut self.diagnostics)),
                Some(Key { name: Some(name), position }) => {
                    entries.insert(name, Entry { key: position, node });
                }
                Some(Key { name: None, .. }) => {}
            },
        }
        Ok(())
    }

    fn waiting_key(&self) -> Option<&Key> {
        match &self.open.last()?.content {
            Content::Map { key, .. } => key.as_ref(),
            Content::List(_) => None,
        }
    }

    /// Whether a tag leaves it to the text what a plain scalar is.
    fn is_typed(&mut self, tag: Option<&Tag>, position: &Position) -> bool {
        match tag {
            None => true,
            Some(tag) if tag.is_yaml_core_schema() => tag.suffix != "str",
            Some(tag) => {
                let what = format!("the tag `{tag}` has no meaning here");
                self.diagnostics.push(Diagnostic::error(
                    position.clone(),
                    Problem::new(what, "remove it, or quote a value that begins with `!`"),
                ));
                false
            }
        }
    }

    fn syntax(&self, error: &ScanError, text: &str) -> Diagnostic {
        let line = error.marker().line();
        let is_past = |open: &&Open| {
            let begun = open.position.line as usize;
            error.marker().index() >= text.trim_end().chars().count()
                || line > begun && indentation(text, line) <= indentation(text, begun)
        };
        let open = self.open.last().filter(|open| opens_flow(text, &open.position));
        let unclosed = open.filter(is_past);
        match unclosed {
            Some(open) => Diagnostic::error(
                open.position.clone(),
                Problem::new("this bracket is never closed", "close it"),
            ),
            None => Diagnostic::error(place(self.file, *error.marker()), syntax::problem(error)),
        }
    }
}

/// The name of a key, unless it is no text or there already.
fn read_key(
    node: Node,
    entries: &IndexMap<String, Entry>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Key {
    let problem = match node.written_text() {
        None => Problem::new("a list or a map cannot be a key", "write text before the colon"),
        Some("<<") if node.is_plain() => {
            Problem::new("YAML 1.2 has no merge key `<<`", "write the keys out")
        }
        Some(name) => match entries.get(name) {
            Some(first) => Problem::new(
                format!("`{name}` is here twice, first at {}", first.key),
                "keep one of them",
            ),
            None => return Key { name: Some(name.to_owned()), position: node.position },
        },
    };
    diagnostics.push(Diagnostic::error(node.position.clone(), problem));
    Key { name: None, position: node.position }
}

/// How many nodes there are and how deep collections nest.
fn measure(node: &Node) -> (usize, usize) {
    let below: Box<dyn Iterator<Item = &Node>> = match &node.value {
        Value::List(items) => Box::new(items.iter()),
        Value::Map(entries) => Box::new(entries.values().map(|entry| &entry.node)),
        _ => return (1, 0),
    };
    let (nodes, depth) = below
        .map(measure)
        .fold((1, 0), |(nodes, depth), (more, deeper)| (nodes + more, depth.max(deeper)));
    (nodes, depth + 1)
}

fn too_deep(position: Position) -> Diagnostic {
    let what = format!("values are nested more than {MAX_DEPTH} deep");
    Diagnostic::error(position, Problem::new(what, "flatten them"))
}

/// Where the first key or value of a line stands.
fn indentation(text: &str, line: usize) -> usize {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    line.len() - line.trim_start_matches([' ', '-']).len()
}

fn opens_flow(text: &str, position: &Position) -> bool {
    let line = text.lines().nth(position.line.saturating_sub(1) as usize);
    let column = position.column.saturating_sub(1) as usize;
    matches!(line.and_then(|line| line.chars().nth(column)), Some('{' | '['))
}

fn place(file: &Arc<Path>, marker: Marker) -> Position {
    let (line, column) = line_and_column(marker);
    Position { file: file.clone(), line, column }
}

pub(super) fn line_and_column(marker: Marker) -> (u32, u32) {
    let small = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    (small(marker.line()), small(marker.col() + 1))
}

#[cfg(test)]
mod tests;
