//! What is said about a value that does not fit: what is wanted and what to write.

use super::fit::tags;
use super::schema::{Branch, Kind};
use super::suggest;
use super::tree::{Node, Value};
use crate::value::Problem;

/// A value of a kind that nothing takes.
pub(super) fn misfit(subject: &str, node: &Node, branches: &[Branch<'_>]) -> Problem {
    if Kind::of(node) == Kind::Text && !tags(branches).is_empty() {
        return unknown(subject, node, branches);
    }
    let what = format!("{subject} takes {}, not {}", wanted(branches), given(node));
    let mut remedy = remedy(node, branches);
    if Kind::of(node) == Kind::Null {
        remedy.push_str(", or remove it");
    }
    Problem::new(what, remedy)
}

/// A text that is none of the words that may stand here.
pub(super) fn unknown(subject: &str, node: &Node, branches: &[Branch<'_>]) -> Problem {
    if node.is_secret() {
        return secret(subject, branches);
    }
    let text = node.text().unwrap_or_default();
    if let Some(map) = branches.iter().find(|map| map.tag() == Some(text)) {
        let what = format!("`{text}` needs its settings");
        return Problem::new(what, format!("write `{text}: {}`", outline(text, map)));
    }
    let (words, tags) = (branches.iter().filter_map(Branch::words).flatten(), tags(branches));
    let words: Vec<&str> = words.collect();
    let known = words.iter().chain(&tags).copied();
    let takes_more = |branch: &Branch<'_>| {
        let kinds = [Kind::Bool, Kind::Number, Kind::Text, Kind::List, Kind::Map];
        branch.words().is_none() && branch.tag().is_none() && kinds.iter().any(|k| branch.takes(*k))
    };
    if !branches.iter().any(takes_more) {
        let what = format!("unknown value {} for {subject}", shown(node));
        let remedy = suggest::nearest(text, known).map_or_else(
            || {
                let tags: Vec<String> = tags.iter().map(|tag| format!("{tag}: ...")).collect();
                let all = words.iter().copied().chain(tags.iter().map(String::as_str));
                format!("use {}", suggest::one_of(all))
            },
            |meant| format!("did you mean `{meant}`?"),
        );
        return Problem::new(what, remedy);
    }
    let what = format!("{subject} takes {}, not {}", wanted(branches), shown(node));
    match suggest::nearest(text, known) {
        Some(meant) => Problem::new(what, format!("did you mean `{meant}`?")),
        None => Problem::new(what, remedy(node, branches)),
    }
}

/// A key that must be there.
pub(super) fn missing(subject: &str, key: &str, map: &Branch<'_>) -> Problem {
    let branches = map.property(key).map(|schema| schema.branches()).unwrap_or_default();
    let what = format!("{subject} lacks the key `{key}`");
    Problem::new(what, format!("add `{key}:` with {}", wanted(&branches)))
}

/// A secret that is not the word it should be.
pub(super) fn secret(subject: &str, texts: &[Branch<'_>]) -> Problem {
    let what = format!("the secret in {subject} is not {}", wanted(texts));
    Problem::new(what, "correct it where it is kept")
}

/// The numbers that a branch takes.
pub(super) fn number(branch: &Branch<'_>) -> String {
    if let Some(choices) = branch.choices() {
        let choices: Vec<String> = choices.iter().map(ToString::to_string).collect();
        return suggest::one_of(choices.iter().map(String::as_str));
    }
    let kind = number_kind(branch);
    match (branch.bound("minimum"), branch.bound("maximum")) {
        (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
        (Some(least), None) => format!("{kind}, at least {least}"),
        (None, Some(most)) => format!("{kind}, at most {most}"),
        (None, None) => kind,
    }
}

fn number_kind(branch: &Branch<'_>) -> String {
    if branch.is_whole() { "a whole number".into() } else { "a number".into() }
}

/// A scalar as it may be shown.
pub(super) fn shown(node: &Node) -> String {
    match node.text() {
        Some(_) if node.is_secret() => "the secret".into(),
        Some(text) => quoted(text),
        None => given(node).into(),
    }
}

/// A text of the operator's on one short line.
pub(super) fn quoted(text: &str) -> String {
    let mut short: String = text.chars().take(MAX_SHOWN).map(visible).collect();
    if text.chars().nth(MAX_SHOWN).is_some() {
        short.push_str("...");
    }
    format!("`{short}`")
}

const MAX_SHOWN: usize = 60;

fn visible(character: char) -> char {
    if character.is_control() { ' ' } else { character }
}

/// "a list, a duration or `off`".
fn wanted(branches: &[Branch<'_>]) -> String {
    let mut all: Vec<String> = Vec::new();
    let are_variants = !tags(branches).is_empty();
    for description in branches.iter().flat_map(|branch| describe(branch, are_variants)) {
        if !all.contains(&description) {
            all.push(description);
        }
    }
    match all.split_last() {
        None => "a value".into(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

fn describe(branch: &Branch<'_>, is_variant: bool) -> Vec<String> {
    let mut all = Vec::new();
    if branch.takes(Kind::Text) {
        match (branch.words(), branch.format()) {
            (Some(words), _) => all.extend(words.iter().map(|word| format!("`{word}`"))),
            (None, Some(format)) => all.push(with_article(&noun(format))),
            (None, None) => all.push("text".into()),
        }
    }
    if branch.takes(Kind::Number) {
        all.push(if branch.choices().is_some() { number(branch) } else { number_kind(branch) });
    }
    if branch.takes(Kind::Bool) {
        all.extend(["`true`".into(), "`false`".into()]);
    }
    if branch.takes(Kind::List) {
        all.push("a list".into());
    }
    if branch.takes(Kind::Map) {
        let tag = branch.tag().filter(|_| is_variant);
        all.push(tag.map_or("a map".into(), |tag| format!("`{tag}:`")));
    }
    all
}

fn noun(format: &str) -> String {
    format.replace('-', " ").replace("url", "URL")
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

/// The kind of a node in words.
fn given(node: &Node) -> &'static str {
    match Kind::of(node) {
        Kind::Null => "nothing",
        Kind::Bool => "`true` or `false`",
        Kind::Number => "a number",
        Kind::Text => "text",
        Kind::List => "a list",
        Kind::Map => "a map",
    }
}

/// What to write instead, by the first alternative that speaks to what is there.
fn remedy(node: &Node, branches: &[Branch<'_>]) -> String {
    let takes = |kind| branches.iter().find(|branch| branch.takes(kind));
    if takes(Kind::Bool).is_some() {
        return boolean(node).into();
    }
    if let Some(branch) = takes(Kind::Number) {
        let digits = matches!(&node.value, Value::String(text) if text.parse::<f64>().is_ok());
        return if digits {
            "remove the quotes".into()
        } else {
            format!("write {}", number(branch))
        };
    }
    let tags = tags(branches);
    match (takes(Kind::List), takes(Kind::Map)) {
        (_, Some(map)) if tags.is_empty() => keys(node, map),
        (_, Some(_)) => format!("write {} with a colon and its settings", suggest::one_of(tags)),
        (Some(_), None) if takes(Kind::Text).is_some() => "write one value or a list".into(),
        (Some(_), None) => "write its items below it, each after `- `".into(),
        (None, None) => "write a single value".into(),
    }
}

fn boolean(node: &Node) -> &'static str {
    match node.text().map(str::to_ascii_lowercase).as_deref() {
        Some("yes" | "on" | "y" | "1" | "true") => "write `true`",
        Some("no" | "off" | "n" | "0" | "false") => "write `false`",
        _ => "write `true` or `false`",
    }
}

fn keys(node: &Node, map: &Branch<'_>) -> String {
    if map.is_open() {
        return match Kind::of(node) {
            Kind::List => "give each item a name, `name:` in place of `- `".into(),
            _ => "write entries below it, each with its name and a colon".into(),
        };
    }
    match map.required().next().or(map.keys().next()) {
        Some(key) => format!("write its keys below it, such as `{key}:`"),
        None => "write `{}`".into(),
    }
}

/// The settings of a variant in short: empty braces do if nothing is required.
fn outline(tag: &str, map: &Branch<'_>) -> String {
    let inner = map.property(tag).map(|schema| schema.branches()).unwrap_or_default();
    let required = inner.iter().find(|branch| branch.takes(Kind::Map)).map(|branch| {
        branch.required().map(|key| format!("{key}: ...")).collect::<Vec<_>>().join(", ")
    });
    match required.as_deref() {
        Some("") => "{}".into(),
        Some(required) => format!("{{ {required} }}"),
        None => "...".into(),
    }
}
