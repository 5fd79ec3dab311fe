//! Holds the tree against the document's schema and collects everything that does not fit.

use super::expect;
use super::fit::{Fit, fit};
use super::load::Loaded;
use super::schema::{Branch, Schema};
use super::source::Hidden;
use super::suggest;
use super::tree::{Node, Step, Value, Written};
use crate::value::{Diagnostic, Position, Problem};
use std::collections::BTreeSet;
use std::ops::Bound;

/// The words of the document by their `format`, each with its check.
pub(super) type Words<'w> = &'w [(&'static str, fn(&str) -> Result<(), Problem>)];

/// What a check found.
#[derive(Debug, Default)]
pub(super) struct Checked {
    /// Every problem, in the order of the tree.
    pub diagnostics: Vec<Diagnostic>,
    /// Where problems are, so that reading leaves these places out.
    pub broken: BTreeSet<Vec<Step>>,
    /// What the document's lines would reveal.
    pub hidden: Hidden,
}

impl Checked {
    /// Whether there is a problem at a place or below it.
    pub(super) fn is_broken(&self, steps: &[Step]) -> bool {
        // What is below a place comes right after it in this order.
        let after = (Bound::Included(steps), Bound::Unbounded);
        self.broken.range::<[Step], _>(after).next().is_some_and(|next| next.starts_with(steps))
    }
}

/// Checks a document; what a file that could not be read may define is not missed.
pub(super) fn check(loaded: &Loaded, schema: &serde_json::Value, words: Words<'_>) -> Checked {
    let mut walk =
        Walk { words, whole: loaded.whole, steps: Vec::new(), checked: Checked::default() };
    collect_secret_keys(schema, &mut walk.checked.hidden);
    walk.node(&loaded.root, Schema::new(schema));
    walk.checked
}

struct Walk<'w> {
    words: Words<'w>,
    whole: bool,
    steps: Vec<Step>,
    checked: Checked,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, schema: Schema<'_>) {
        if node.is_broken() {
            self.checked.broken.insert(self.steps.clone());
            return;
        }
        match fit(node, schema) {
            Fit::Anything | Fit::Null | Fit::Bool => {}
            Fit::Number(branch) => self.number(node, &branch),
            Fit::Text(texts) => self.text(node, &texts, schema),
            Fit::List(list) => self.list(node, &list),
            Fit::Map(map) => self.map(node, &map),
            Fit::Tagged(maps) => self.tagged(node, &maps, schema),
            Fit::Misfit(branches) => {
                let problem = expect::misfit(&self.subject(), node, &branches);
                self.report(&node.position, problem);
            }
        }
    }

    fn below(&mut self, step: Step, node: &Node, schema: Schema<'_>) {
        self.steps.push(step);
        self.node(node, schema);
        self.steps.pop();
    }

    fn number(&mut self, node: &Node, branch: &Branch<'_>) {
        let Value::Number(number) = &node.value else { return };
        let value = number.as_f64().unwrap_or(f64::NAN);
        let bound = |keyword| branch.bound(keyword).and_then(serde_json::Number::as_f64);
        let fits = !(branch.is_whole() && number.is_f64())
            && bound("minimum").is_none_or(|minimum| value >= minimum)
            && bound("maximum").is_none_or(|maximum| value <= maximum)
            && branch.choices().is_none_or(|all| all.iter().any(|one| one.as_f64() == Some(value)));
        let held = branch.range().filter(|(least, most)| {
            number.as_i64().is_none_or(|number| !(least..=most).contains(&&number))
        });
        let remedy = match held {
            _ if !fits => format!("write {}", expect::number(branch)),
            Some((least, most)) => format!("write a whole number from {least} to {most}"),
            None => return,
        };
        let what = format!("{} cannot be {}", self.subject(), expect::shown(node));
        self.report(&node.position, Problem::new(what, remedy));
    }

    fn text(&mut self, node: &Node, texts: &[Branch<'_>], schema: Schema<'_>) {
        if texts.iter().any(Branch::is_secret) {
            self.secret(node);
        }
        let text = node.text().unwrap_or_default();
        let known: Vec<&str> = texts.iter().filter_map(Branch::words).flatten().collect();
        if known.contains(&text) {
            return;
        }
        let mut free = texts.iter().filter(|branch| branch.words().is_none()).peekable();
        if free.peek().is_none() {
            let problem = expect::unknown(&self.subject(), node, &schema.branches());
            return self.report(&node.position, problem);
        }
        let tried: Option<Vec<Problem>> =
            free.map(|branch| self.word(branch.format()?, text).err()).collect();
        let Some(mut problem) = tried.and_then(|problems| problems.into_iter().next()) else {
            return;
        };
        if let Some(meant) = suggest::nearest(text, known) {
            problem.remedy = format!("did you mean `{meant}`?");
        }
        if node.is_secret() || texts.iter().any(Branch::is_secret) {
            problem = expect::secret(&self.subject(), texts);
        }
        self.report(&node.position, problem);
    }

    /// Lets the word of a format judge its own text.
    fn word(&self, format: &str, text: &str) -> Result<(), Problem> {
        let word = self.words.iter().find(|(name, _)| *name == format);
        word.map_or(Ok(()), |(_, check)| check(text))
    }

    fn secret(&mut self, node: &Node) {
        let hidden = &mut self.checked.hidden;
        if matches!(node.written, Written::Plain | Written::Quoted) {
            hidden.lines.insert((node.position.file.clone(), node.position.line));
        }
        hidden.places.push(node.position.clone());
    }

    fn list(&mut self, node: &Node, list: &Branch<'_>) {
        let items = node.items();
        let bound = |keyword| list.bound(keyword).and_then(serde_json::Number::as_u64);
        let count = items.len() as u64;
        if let Some(least) = bound("minItems").filter(|least| count < *least) {
            self.report_count(node, "few", format!("write at least {least}"));
        }
        if let Some(most) = bound("maxItems").filter(|most| count > *most) {
            self.report_count(node, "many", format!("write at most {most}"));
        }
        for (index, item) in items.iter().enumerate() {
            if let Some(schema) = list.item(index) {
                self.below(Step::Item(index), item, schema);
            }
        }
    }

    fn report_count(&mut self, node: &Node, amount: &str, remedy: String) {
        let what = format!("{} has too {amount} items", self.subject());
        self.report(&node.position, Problem::new(what, remedy));
    }

    fn map(&mut self, node: &Node, map: &Branch<'_>) {
        let mut meant = Vec::new();
        if map.bound("minProperties").is_some() && node.entries().next().is_none() && self.whole {
            let what = format!("{} is empty", self.subject());
            self.report(&node.position, Problem::new(what, "add an entry to it"));
        }
        self.names(node, map);
        for (key, entry) in node.entries() {
            match map.property(key) {
                Some(schema) => self.below(key.into(), &entry.node, schema),
                None => {
                    meant.extend(suggest::nearest(key, map.keys()));
                    self.unknown_key("key", key, &entry.key, &map.keys().collect::<Vec<_>>());
                }
            }
        }
        // The main document may be lacking what an unreadable file holds.
        if self.steps.is_empty() && !self.whole {
            return;
        }
        for key in map.required() {
            // A misspelt key is one mistake, not two.
            if node.entry(key).is_none() && !meant.contains(&key) {
                let problem = expect::missing(&self.subject(), key, map);
                self.report(&node.position, problem);
            }
        }
    }

    /// Names of header fields, which are the same in large and small letters.
    fn names(&mut self, node: &Node, map: &Branch<'_>) {
        let Some(format) = map.names() else { return };
        let mut seen: Vec<(&str, &Position)> = Vec::new();
        for (key, entry) in node.entries() {
            let same = seen.iter().find(|(other, _)| other.eq_ignore_ascii_case(key));
            let problem = match same {
                Some((other, first)) => Some(Problem::new(
                    format!("`{key}` is the same as `{other}`, at {first}"),
                    "keep one of them",
                )),
                None => self.word(format, key).err(),
            };
            seen.push((key, &entry.key));
            if let Some(problem) = problem {
                self.steps.push(key.into());
                self.report(&entry.key, problem);
                self.steps.pop();
            }
        }
    }

    fn unknown_key(&mut self, noun: &str, key: &str, at: &Position, known: &[&str]) {
        let remedy = match known {
            [] => "remove it".into(),
            _ => suggest::remedy(key, known.iter().copied()),
        };
        let what = format!("unknown {noun} {}", expect::quoted(key));
        self.steps.push(key.into());
        self.report(at, Problem::new(what, remedy));
        self.steps.pop();
    }

    fn tagged(&mut self, node: &Node, maps: &[Branch<'_>], schema: Schema<'_>) {
        let tags: Vec<&str> = maps.iter().filter_map(Branch::tag).collect();
        let mut first = None;
        for (key, entry) in node.entries() {
            let Some(map) = maps.iter().find(|map| map.tag() == Some(key)) else {
                self.unknown_tag(key, &entry.key, &tags, schema);
                continue;
            };
            match first {
                None => first = Some(key),
                Some(first) => {
                    let problem = self.second_tag(first, key);
                    self.report(&entry.key, problem);
                }
            }
            if let Some(schema) = map.property(key) {
                self.below(key.into(), &entry.node, schema);
            }
        }
        if node.entries().next().is_none() {
            let remedy = format!("write {} in it", suggest::one_of(tags));
            self.report(
                &node.position,
                Problem::new(format!("{} is empty", self.subject()), remedy),
            );
        }
    }

    fn unknown_tag(&mut self, key: &str, at: &Position, tags: &[&str], schema: Schema<'_>) {
        let branches = schema.branches();
        let words: Vec<&str> = branches.iter().filter_map(Branch::words).flatten().collect();
        if words.contains(&key) {
            let problem = Problem::new(
                format!("`{key}` takes no settings"),
                format!("write `{key}` alone, without a colon"),
            );
            return self.report(at, problem);
        }
        let known: Vec<&str> = tags.iter().copied().chain(words).collect();
        let noun = self.list_name().map_or("key", singular).to_owned();
        self.unknown_key(&noun, key, at, &known);
    }

    fn second_tag(&self, first: &str, second: &str) -> Problem {
        match self.list_name() {
            Some(list) => Problem::new(
                format!("one item of `{list}` holds one {}, here `{first}`", singular(list)),
                format!("write `- {second}:` as an item of its own"),
            ),
            None => Problem::new(
                format!("{} cannot be both `{first}` and `{second}`", self.subject()),
                "keep one of them",
            ),
        }
    }

    /// The list that the node is an item of.
    fn list_name(&self) -> Option<&str> {
        match self.steps.as_slice() {
            [.., Step::Key(list), Step::Item(_)] => Some(list),
            _ => None,
        }
    }

    /// The node in words.
    fn subject(&self) -> String {
        match self.steps.as_slice() {
            [] => "the document".into(),
            [.., Step::Key(key)] => expect::quoted(key),
            [.., Step::Key(list), Step::Item(_)] => format!("an item of {}", expect::quoted(list)),
            _ => "an item".into(),
        }
    }

    fn report(&mut self, position: &Position, problem: Problem) {
        self.checked.diagnostics.push(Diagnostic::error(position.clone(), problem));
        self.checked.broken.insert(self.steps.clone());
    }
}

/// The keys of the document are plain English plurals.
fn singular(list: &str) -> &str {
    list.strip_suffix('s').unwrap_or(list)
}

/// Notes the names of all properties that are or hold secrets.
fn collect_secret_keys(schema: &serde_json::Value, hidden: &mut Hidden) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        let secret = properties.iter().filter(|(_, property)| has_secret(property));
        hidden.keys.extend(secret.map(|(name, _)| name.clone()));
    }
    for below in children(schema) {
        collect_secret_keys(below, hidden);
    }
}

fn has_secret(schema: &serde_json::Value) -> bool {
    schema.get("writeOnly") == Some(&true.into()) || children(schema).any(has_secret)
}

fn children(schema: &serde_json::Value) -> Box<dyn Iterator<Item = &serde_json::Value> + '_> {
    match schema {
        serde_json::Value::Object(map) => Box::new(map.values()),
        serde_json::Value::Array(list) => Box::new(list.iter()),
        _ => Box::new(std::iter::empty()),
    }
}

#[cfg(test)]
mod tests;
