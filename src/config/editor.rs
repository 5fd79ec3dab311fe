//! The document's schema as editors show it best.
//!
//! It says the same as the schema that `check` holds a document against, in the words that YAML
//! language servers know: lists of values with their descriptions, Markdown, and no alternative
//! that a completion could stumble over. What `check` takes, they take, save a key that nothing
//! follows.

use super::document::schema;
use super::words::WORDS;
use serde_json::{Map, Value, json};

/// A variable, which may stand for any scalar.
const VARIABLE: &str = r"\$\{.+\}";

/// The document's JSON Schema for editors.
pub fn editor_schema() -> Value {
    let mut whole = part(schema());
    if let Value::Object(whole) = &mut whole {
        // It would head whatever is shown of any key.
        whole.remove("title");
        // An editor sees one file: what is required may stand in one that includes it.
        whole.remove("required");
    }
    whole
}

fn part(schema: &Value) -> Value {
    let Value::Object(written) = schema else { return schema.clone() };
    let mut shown = Map::new();
    for (key, value) in written {
        let value = match (key.as_str(), value) {
            // Ours, or read by the reference.
            ("$comment" | "format", _) | ("default", Value::Null) => continue,
            ("properties" | "$defs", Value::Object(named)) => {
                named.iter().map(|(name, value)| (name.clone(), part(value))).collect()
            }
            ("anyOf" | "oneOf", Value::Array(all)) => all.iter().map(part).collect(),
            ("items" | "additionalProperties", value) => part(value),
            (_, value) => value.clone(),
        };
        shown.insert(key.clone(), value);
    }
    let format = written.get("format").and_then(Value::as_str);
    types(&mut shown, format);
    alternatives(&mut shown);
    describe(&mut shown, comment(schema));
    Value::Object(shown)
}

/// What a scalar may be written as, and that a map without required keys may be empty.
fn types(shown: &mut Map<String, Value>, format: Option<&str>) {
    if let Some(Value::Array(several)) = shown.get("type") {
        let first = several.iter().find(|name| *name != "null").cloned();
        shown.insert("type".into(), first.unwrap_or(Value::Null));
    }
    let is_listed = ["const", "enum"].iter().any(|word| shown.contains_key(*word));
    match shown.get("type").and_then(Value::as_str) {
        Some("object") if !shown.contains_key("required") => {
            shown.insert("type".into(), json!(["object", "null"]));
        }
        Some("string") if !is_listed => {
            shown.insert("type".into(), of_text(format));
        }
        Some(name @ ("integer" | "boolean")) if !is_listed => {
            let expected = if name == "integer" { "a whole number" } else { "true or false" };
            shown.insert("type".into(), json!([name, "string"]));
            shown.insert("pattern".into(), VARIABLE.into());
            shown.insert("patternErrorMessage".into(), format!("Expected {expected}.").into());
        }
        _ => {}
    }
}

/// What a text may look like to an editor: `512` is a size, and a number.
fn of_text(format: Option<&str>) -> Value {
    let word = WORDS.iter().find(|(known, _)| Some(*known) == format);
    let takes = |text| word.is_none_or(|(_, check)| check(text).is_ok());
    let mut types = vec!["string"];
    // A status is a number too.
    let takes_integer = takes("7") || takes("503");
    types.extend(if takes("1.5") { Some("number") } else { takes_integer.then_some("integer") });
    types.extend(takes("true").then_some("boolean"));
    if types.len() > 1 { types.into() } else { "string".into() }
}

/// Words in one list, and no nothing.
fn alternatives(shown: &mut Map<String, Value>) {
    let Some(all) = shown.remove("oneOf").or_else(|| shown.remove("anyOf")) else { return };
    let (words, mut others) = sorted(all);
    for other in &mut others {
        name(other);
    }
    let free = others.iter_mut().filter_map(Value::as_object_mut).find(|other| is_scalar(other));
    match free {
        // The words of a number or a text are shown as examples of it.
        Some(free) if !words.is_empty() => {
            let mut texts: Vec<_> = words.iter().map(|word| word["const"].clone()).collect();
            // Of an alternative that has words itself.
            texts.extend(
                free.get("examples").and_then(Value::as_array).into_iter().flatten().cloned(),
            );
            let texts: Vec<_> = texts.iter().filter_map(Value::as_str).collect();
            if free.contains_key("pattern") {
                let pattern = format!("^({})$|{VARIABLE}", texts.join("|"));
                free.insert("pattern".into(), pattern.into());
                let expected = format!("Expected a whole number or {}.", texts.join(" or "));
                free.insert("patternErrorMessage".into(), expected.into());
            }
            free.insert("examples".into(), texts.into());
        }
        None if !words.is_empty() => {
            others.insert(0, listed(&words));
            others.push(json!({ "type": "string", "pattern": VARIABLE }));
        }
        _ => {}
    }
    match <[Value; 1]>::try_from(others) {
        Ok([Value::Object(only)]) => {
            for (key, value) in only {
                shown.entry(key).or_insert(value);
            }
        }
        Ok(_) => {}
        Err(several) => {
            shown.insert("anyOf".into(), several.into());
        }
    }
}

/// Alternatives that are words, and all others but nothing; those of an alternative are its own.
fn sorted(all: Value) -> (Vec<Value>, Vec<Value>) {
    let Value::Array(all) = all else { return Default::default() };
    let some = all.into_iter().filter(|one| one["type"] != "null");
    some.partition(|one| one.get("const").is_some())
}

fn is_scalar(part: &Map<String, Value>) -> bool {
    let first = part.get("type").and_then(|kind| kind.as_array().map_or(Some(kind), |k| k.first()));
    let is = |name| first.is_some_and(|first| first == name);
    (is("string") || is("integer")) && !part.contains_key("enum")
}

/// A list of words with what each means.
fn listed(words: &[Value]) -> Value {
    let mut values: Vec<_> = words.iter().map(|word| word["const"].clone()).collect();
    let mut meanings: Vec<_> = words.iter().map(|word| word["description"].clone()).collect();
    for (word, meaning) in values.clone().iter().zip(meanings.clone()) {
        // `1.2` without quotes is a number to an editor.
        if let Some(number) = word.as_str().and_then(|word| word.parse::<f64>().ok()) {
            values.push(number.into());
            meanings.push(meaning);
        }
    }
    json!({ "enum": values, "markdownEnumDescriptions": meanings })
}

/// An alternative with one key is called by it; any other is told by the key it stands for.
fn name(other: &mut Value) {
    let Some(other) = other.as_object_mut() else { return };
    let tag = match other.get("required").and_then(Value::as_array).map(Vec::as_slice) {
        Some([tag]) => Some(tag.clone()),
        _ => None,
    };
    if let Some(tag) = tag {
        other.insert("title".into(), tag);
    } else if !other.contains_key("$ref") {
        other.remove("description");
        other.remove("markdownDescription");
    }
}

/// What a word of the document looks like, of a schema or of what it is made of.
fn comment(schema: &Value) -> Option<&str> {
    let own = schema.get("$comment").and_then(Value::as_str);
    let any = || schema.get("anyOf")?.as_array()?.iter().find_map(comment);
    own.or_else(any).or_else(|| comment(schema.get("items")?))
}

fn describe(shown: &mut Map<String, Value>, comment: Option<&str>) {
    let Some(Value::String(written)) = shown.get("description") else { return };
    let mut paragraphs: Vec<_> = written.split("\n\n").map(|p| p.replace('\n', " ")).collect();
    paragraphs.extend(comment.filter(|comment| comment != written).map(str::to_owned));
    let text = paragraphs.join("\n\n");
    shown.insert("markdownDescription".into(), text.clone().into());
    shown.insert("description".into(), text.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Value {
        editor_schema().pointer(path).unwrap_or_else(|| panic!("nothing at {path}")).clone()
    }

    #[test]
    fn words_are_one_list_with_their_meanings() {
        let protocol = at("/$defs/upstream-protocol/anyOf/0");
        assert_eq!(protocol["enum"], json!(["h1", "h2", "auto"]));
        assert_eq!(protocol["markdownEnumDescriptions"][0], "HTTP/1.1.");
    }

    #[test]
    fn what_is_optional_is_not_an_alternative() {
        let tls = at("/$defs/listener/properties/tls");
        assert_eq!(tls["$ref"], "#/$defs/listener-tls");
        assert_eq!(tls.get("anyOf"), None);
    }

    #[test]
    fn a_number_or_a_word_is_both_and_may_be_a_variable() {
        let connections = at("/$defs/server-limits/properties/connections");
        assert_eq!(connections["type"], json!(["integer", "string"]));
        assert_eq!(connections["pattern"], r"^(off|auto)$|\$\{.+\}");
        assert_eq!(connections["minimum"], 1);
    }

    #[test]
    fn a_text_that_looks_like_a_number_is_taken_where_check_takes_it() {
        let size = at("/$defs/listener-limits/properties/body_size");
        assert_eq!(size["type"], json!(["string", "integer"]));
        assert_eq!(at("/$defs/server/properties/drain")["type"], "string");
        assert_eq!(at("/$defs/tls-version/anyOf/0/enum"), json!(["1.2", "1.3", 1.2, 1.3]));
    }

    #[test]
    fn a_key_is_described_with_what_its_value_looks_like() {
        let drain = at("/$defs/server/properties/drain");
        let text = drain["markdownDescription"].as_str().unwrap();
        assert!(
            text.starts_with("How long a stopping process") && text.contains("\n\nA length of")
        );
        assert!(!text.contains("lets\n"), "{text}");
    }
}
