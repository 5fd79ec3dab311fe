//! The document's JSON Schema, as far as the generator of schemas makes use of it.

use super::tree::{Node, Step, Value as Held};
use serde_json::{Map, Value};

/// A part of a schema, with the whole for its references.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema<'s> {
    root: &'s Value,
    here: &'s Value,
}

impl<'s> Schema<'s> {
    /// The whole schema.
    pub(super) fn new(root: &'s Value) -> Self {
        Self { root, here: root }
    }

    /// The schema of what stands at the end of the steps.
    pub(super) fn at(self, steps: &[Step]) -> Self {
        steps.iter().fold(self, |schema, step| {
            let branches = schema.branches();
            let below = match step {
                Step::Key(key) => {
                    branches.iter().filter(|b| b.takes(Kind::Map)).find_map(|b| b.property(key))
                }
                Step::Item(index) => {
                    branches.iter().filter(|b| b.takes(Kind::List)).find_map(|b| b.item(*index))
                }
            };
            below.unwrap_or(Self { here: &Value::Bool(true), ..schema })
        })
    }

    /// The alternatives, with references and nested alternatives resolved.
    pub(super) fn branches(self) -> Vec<Branch<'s>> {
        let bare = Branch { root: self.root, parts: Vec::new() };
        self.restrict(vec![bare], self.here, MAX_REFERENCES)
    }

    /// Adds what a schema demands to every branch, which its own alternatives may multiply.
    fn restrict(
        self,
        mut branches: Vec<Branch<'s>>,
        schema: &'s Value,
        depth: usize,
    ) -> Vec<Branch<'s>> {
        let part = match schema {
            Value::Object(part) => part,
            Value::Bool(false) => return Vec::new(),
            _ => return branches,
        };
        for branch in &mut branches {
            branch.parts.push(part);
        }
        let Some(depth) = depth.checked_sub(1) else { return branches };
        if let Some(target) = part.get("$ref").and_then(|name| self.target(name)) {
            branches = self.restrict(branches, target, depth);
        }
        for all in list(part, "allOf") {
            branches = self.restrict(branches, all, depth);
        }
        for keyword in ["anyOf", "oneOf"] {
            if part.contains_key(keyword) {
                let any = list(part, keyword).iter();
                branches =
                    any.flat_map(|any| self.restrict(branches.clone(), any, depth)).collect();
            }
        }
        branches
    }

    fn target(self, name: &Value) -> Option<&'s Value> {
        self.root.pointer(name.as_str()?.strip_prefix('#')?)
    }
}

/// References that lead nowhere but to each other must end.
const MAX_REFERENCES: usize = 32;

/// What a value can be, as schemas see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    List,
    Map,
}

impl Kind {
    /// The kind of a node as written, a substituted nothing being text.
    pub(super) fn of(node: &Node) -> Self {
        match &node.value {
            Held::Null if node.text().is_some() => Self::Text,
            Held::Null => Self::Null,
            Held::Bool(_) => Self::Bool,
            Held::Number(_) => Self::Number,
            Held::String(_) => Self::Text,
            Held::List(_) => Self::List,
            Held::Map(_) => Self::Map,
        }
    }

    fn of_json(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(_) => Self::Number,
            Value::String(_) => Self::Text,
            Value::Array(_) => Self::List,
            Value::Object(_) => Self::Map,
        }
    }

    fn is_named(self, name: &str) -> bool {
        match self {
            Self::Null => name == "null",
            Self::Bool => name == "boolean",
            Self::Number => matches!(name, "number" | "integer"),
            Self::Text => name == "string",
            Self::List => name == "array",
            Self::Map => name == "object",
        }
    }
}

/// One alternative: all its parts hold together.
#[derive(Clone, Debug)]
pub(super) struct Branch<'s> {
    root: &'s Value,
    parts: Vec<&'s Map<String, Value>>,
}

impl<'s> Branch<'s> {
    pub(super) fn takes(&self, kind: Kind) -> bool {
        self.parts.iter().all(|part| part_takes(part, kind))
    }

    /// Whether it says nothing about the value.
    pub(super) fn is_anything(&self) -> bool {
        use Kind::{Bool, List, Map, Null, Number, Text};
        [Null, Bool, Number, Text, List, Map].into_iter().all(|kind| self.takes(kind))
    }

    /// The keys of a map that have a schema of their own.
    pub(super) fn keys(&self) -> impl Iterator<Item = &'s str> + Clone {
        let properties = self.parts.iter().filter_map(|part| part.get("properties")?.as_object());
        properties.flat_map(|properties| properties.keys().map(String::as_str))
    }

    /// The schema of a key's value; `None` if there must not be such a key.
    pub(super) fn property(&self, key: &str) -> Option<Schema<'s>> {
        let named = self.value("properties").find_map(|properties| properties.get(key));
        // Keys that break the pattern are left to the type that reads them.
        let by_pattern =
            || self.value("patternProperties").find_map(|by| by.as_object()?.values().next());
        let schema = named.or_else(by_pattern).unwrap_or_else(|| {
            self.value("additionalProperties").next().unwrap_or(&Value::Bool(true))
        });
        (schema != &Value::Bool(false)).then_some(Schema { root: self.root, here: schema })
    }

    /// Whether any name may be a key, as in a map by name.
    pub(super) fn is_open(&self) -> bool {
        self.value("patternProperties").next().is_some()
            || self.value("additionalProperties").all(|rest| rest != &Value::Bool(false))
    }

    /// The keys that must be there.
    pub(super) fn required(&self) -> impl Iterator<Item = &'s str> {
        self.parts.iter().flat_map(|part| list(part, "required")).filter_map(Value::as_str)
    }

    /// The one key of an externally tagged variant.
    pub(super) fn tag(&self) -> Option<&'s str> {
        let mut keys = self.keys();
        let key = keys.next().filter(|_| keys.next().is_none())?;
        (!self.is_open() && self.required().any(|required| required == key)).then_some(key)
    }

    /// The schema of a list's item.
    pub(super) fn item(&self, index: usize) -> Option<Schema<'s>> {
        let own = self.value("prefixItems").find_map(|items| items.get(index));
        let here = own.or_else(|| self.value("items").next())?;
        Some(Schema { root: self.root, here })
    }

    /// The values it is restricted to; `None` if it is free.
    pub(super) fn choices(&self) -> Option<Vec<&'s Value>> {
        let constants = self.value("const").map(|value| vec![value]);
        let enums = self.value("enum").filter_map(Value::as_array).map(|e| e.iter().collect());
        constants.chain(enums).next()
    }

    /// The texts it is restricted to; `None` if it is free.
    pub(super) fn words(&self) -> Option<Vec<&'s str>> {
        self.choices().map(|choices| choices.into_iter().filter_map(Value::as_str).collect())
    }

    /// The name of the word that the keys of a map must be.
    pub(super) fn names(&self) -> Option<&'s str> {
        self.value("propertyNames").find_map(|names| names.get("format")?.as_str())
    }

    /// The name of the word that a text must be.
    pub(super) fn format(&self) -> Option<&'s str> {
        self.value("format").find_map(Value::as_str)
    }

    pub(super) fn is_secret(&self) -> bool {
        self.value("writeOnly").any(|secret| secret == &Value::Bool(true))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.value("type").any(|kind| has(kind, |name| name == "integer"))
            && !self.value("type").any(|kind| has(kind, |name| name == "number"))
    }

    /// The range of the machine's number that the format names.
    pub(super) fn range(&self) -> Option<(i64, i64)> {
        Some(match self.format()? {
            "int8" => (i8::MIN.into(), i8::MAX.into()),
            "int16" => (i16::MIN.into(), i16::MAX.into()),
            "int32" => (i32::MIN.into(), i32::MAX.into()),
            "uint8" => (0, u8::MAX.into()),
            "uint16" => (0, u16::MAX.into()),
            "uint32" => (0, u32::MAX.into()),
            _ => return None,
        })
    }

    /// A bound such as `minimum` or `maxItems`.
    pub(super) fn bound(&self, keyword: &'static str) -> Option<&'s serde_json::Number> {
        self.value(keyword).find_map(|bound| match bound {
            Value::Number(bound) => Some(bound),
            _ => None,
        })
    }

    fn value(&self, keyword: &'static str) -> impl Iterator<Item = &'s Value> {
        self.parts.iter().filter_map(move |part| part.get(keyword))
    }
}

fn part_takes(part: &Map<String, Value>, kind: Kind) -> bool {
    if let Some(types) = part.get("type") {
        return has(types, |name| kind.is_named(name));
    }
    if let Some(value) = part.get("const") {
        return Kind::of_json(value) == kind;
    }
    if part.contains_key("enum") {
        return list(part, "enum").iter().any(|value| Kind::of_json(value) == kind);
    }
    // Schemas written by hand may leave out the type that their keywords imply.
    let implied = [
        (Kind::Map, ["properties", "additionalProperties"]),
        (Kind::List, ["items", "prefixItems"]),
        (Kind::Text, ["format", "pattern"]),
    ];
    let mut implied =
        implied.iter().filter(|(_, keywords)| keywords.iter().any(|word| part.contains_key(*word)));
    implied.next().is_none_or(|(only, _)| *only == kind)
}

/// Whether a `type`, one name or several, fulfils a condition.
fn has(types: &Value, fulfils: impl Fn(&str) -> bool) -> bool {
    match types {
        Value::String(name) => fulfils(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(fulfils),
        _ => false,
    }
}

fn list<'s>(part: &'s Map<String, Value>, keyword: &str) -> &'s [Value] {
    part.get(keyword).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schema() -> Value {
        json!({
            "properties": {
                "balance": { "anyOf": [{ "$ref": "#/$defs/Balance" }, { "type": "null" }] },
                "routes": { "type": "array", "items": { "$ref": "#/$defs/Route" } },
                "loop": { "$ref": "#/$defs/Loop" },
            },
            "$defs": {
                "Balance": { "oneOf": [
                    { "type": "string", "enum": ["first"] },
                    {
                        "type": "object",
                        "properties": { "hash": { "type": "integer", "format": "uint8" } },
                        "required": ["hash"],
                        "additionalProperties": false,
                    },
                ] },
                "Route": { "type": "object", "additionalProperties": { "type": "boolean" } },
                "Loop": { "$ref": "#/$defs/Loop" },
            },
        })
    }

    #[test]
    fn references_and_alternatives_are_flattened() {
        let root = schema();
        let branches = Schema::new(&root).at(&["balance".into()]).branches();
        assert_eq!(branches.len(), 3);
        assert_eq!(branches[0].words(), Some(vec!["first"]));
        assert_eq!(branches[1].tag(), Some("hash"));
        assert!(branches[2].takes(Kind::Null) && !branches[2].takes(Kind::Map));
    }

    #[test]
    fn steps_lead_to_the_schema_of_their_place() {
        let root = schema();
        let schema = Schema::new(&root);
        let hash = schema.at(&["balance".into(), "hash".into()]).branches();
        assert_eq!(hash[0].range(), Some((0, 255)));
        let any_key = schema.at(&["routes".into(), 7.into(), "x".into()]).branches();
        assert!(any_key[0].takes(Kind::Bool) && !any_key[0].takes(Kind::Text));
    }

    #[test]
    fn a_place_without_schema_takes_anything() {
        let root = schema();
        let nowhere = Schema::new(&root).at(&["balance".into(), "hash".into(), "x".into()]);
        assert!(nowhere.branches()[0].is_anything());
    }

    #[test]
    fn a_reference_to_itself_ends() {
        let root = schema();
        assert!(!Schema::new(&root).at(&["loop".into()]).branches().is_empty());
    }

    #[test]
    fn all_parts_of_a_branch_hold_together() {
        let root = json!({ "allOf": [
            { "type": ["string", "object"], "properties": { "a": true } },
            { "properties": { "b": { "type": "null" } }, "additionalProperties": false },
        ] });
        let branches = Schema::new(&root).branches();
        assert!(branches[0].keys().eq(["a", "b"]));
        assert!(branches[0].takes(Kind::Map) && !branches[0].takes(Kind::Text));
        assert!(branches[0].property("c").is_none());
    }
}
