//! As what a schema takes a node: the one decision that checking and reading share.

use super::schema::{Branch, Kind, Schema};
use super::tree::{Node, Value};

/// As what a node is taken.
pub(super) enum Fit<'s> {
    /// As it stands, for the schema allows anything.
    Anything,
    /// As nothing.
    Null,
    /// As `true` or `false`.
    Bool,
    /// As a number.
    Number(Branch<'s>),
    /// As text of one of these.
    Text(Vec<Branch<'s>>),
    /// As a list.
    List(Branch<'s>),
    /// As a map, perhaps an empty one.
    Map(Branch<'s>),
    /// As the one entry of a map whose key says which of these it is.
    Tagged(Vec<Branch<'s>>),
    /// Not at all; these were possible.
    Misfit(Vec<Branch<'s>>),
}

/// Chooses among the alternatives of a schema by what the operator seems to mean.
pub(super) fn fit<'s>(node: &Node, schema: Schema<'s>) -> Fit<'s> {
    let branches = schema.branches();
    if branches.iter().any(Branch::is_anything) {
        return Fit::Anything;
    }
    let taken = |kind: &&Kind| branches.iter().any(|branch| branch.takes(**kind));
    let Some(kind) = kinds(node).iter().find(taken).copied() else {
        return Fit::Misfit(branches);
    };
    let has_words = branches.iter().any(|branch| branch.words().is_some());
    let mut fitting = branches.into_iter().filter(|branch| branch.takes(kind));
    let one = |branch: Option<Branch<'s>>, fit: fn(Branch<'s>) -> Fit<'s>| {
        branch.map_or(Fit::Anything, fit)
    };
    match kind {
        Kind::Null => Fit::Null,
        Kind::Bool => Fit::Bool,
        Kind::Number => one(fitting.next(), Fit::Number),
        Kind::List => one(fitting.next(), Fit::List),
        Kind::Text => Fit::Text(fitting.collect()),
        Kind::Map => choose(node, fitting.collect(), has_words),
    }
}

/// As what a node may be taken, the likeliest first.
fn kinds(node: &Node) -> &'static [Kind] {
    match Kind::of(node) {
        Kind::Bool if !node.is_secret() => &[Kind::Bool, Kind::Text],
        Kind::Number if !node.is_secret() => &[Kind::Number, Kind::Text],
        Kind::Bool => &[Kind::Text, Kind::Bool],
        Kind::Number => &[Kind::Text, Kind::Number],
        // An empty substitute stands for nothing only where text is not wanted.
        Kind::Text if node.value == Value::Null => &[Kind::Text, Kind::Null, Kind::Map],
        Kind::Text => &[Kind::Text],
        Kind::Null => &[Kind::Null, Kind::Map],
        Kind::List => &[Kind::List],
        Kind::Map => &[Kind::Map],
    }
}

/// Of several variants the tagged ones are told apart by their key, others by how much they fit.
fn choose<'s>(node: &Node, mut maps: Vec<Branch<'s>>, has_words: bool) -> Fit<'s> {
    if are_variants(&maps, has_words) {
        return Fit::Tagged(maps);
    }
    let best =
        (0..maps.len()).rev().max_by_key(|index| maps.get(*index).map(|m| likeness(node, m)));
    Fit::Map(maps.swap_remove(best.unwrap_or_default()))
}

/// The keys that tell variants of one thing apart; none if these are no variants.
pub(super) fn tags<'s>(branches: &[Branch<'s>]) -> Vec<&'s str> {
    let has_words = branches.iter().any(|branch| branch.words().is_some());
    let maps: Vec<_> = branches.iter().filter(|b| b.takes(Kind::Map)).cloned().collect();
    let tags = maps.iter().filter_map(Branch::tag);
    if are_variants(&maps, has_words) { tags.collect() } else { Vec::new() }
}

/// A lone map with one required key is a variant only beside variants without settings.
fn are_variants(maps: &[Branch<'_>], has_words: bool) -> bool {
    (maps.len() > 1 || has_words) && maps.iter().all(|map| map.tag().is_some())
}

/// First the constants that agree, then the known keys, then the fewest that are missing.
fn likeness(node: &Node, map: &Branch<'_>) -> (usize, usize, std::cmp::Reverse<usize>) {
    let agrees = |key: &str, value: &Node| {
        let choices = map.property(key).and_then(|schema| schema.branches().pop()?.words());
        choices.is_some_and(|words| value.text().is_some_and(|text| words.contains(&text)))
    };
    let constants = node.entries().filter(|(key, entry)| agrees(key, &entry.node)).count();
    let known = node.entries().filter(|(key, _)| map.keys().any(|known| known == *key)).count();
    let missing = map.required().filter(|key| node.entry(key).is_none()).count();
    (constants, known, std::cmp::Reverse(missing))
}
