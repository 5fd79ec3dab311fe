//! What differs between two documents.

use super::document::Document;
use super::tree::{Node, Value};
use indexmap::IndexMap;

/// How something that has a name differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It is new.
    Added,
    /// It says something else.
    Changed,
    /// It is gone.
    Removed,
}

impl Change {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

impl Document {
    /// What differs in the things of a section that have names, by name: the removed first, then
    /// the others in the order of the newer document.
    pub fn compare(&self, newer: &Self, section: &str) -> Vec<(Change, String)> {
        let (before, after) = (named(&self.root, section), named(&newer.root, section));
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        let mut found: Vec<_> = gone.map(|name| (Change::Removed, name.clone())).collect();
        for (name, node) in &after {
            match before.get(name) {
                None => found.push((Change::Added, name.clone())),
                Some(known) if !known.says(node) => found.push((Change::Changed, name.clone())),
                Some(_) => {}
            }
        }
        found
    }

    /// Whether the routes that both documents have stand in the same order.
    pub fn orders_like(&self, newer: &Self) -> bool {
        let (before, after) = (named(&self.root, "routes"), named(&newer.root, "routes"));
        let kept = before.keys().filter(|name| after.contains_key(*name));
        kept.eq(after.keys().filter(|name| before.contains_key(*name)))
    }

    /// The keys below some sections whose values differ, each as the way to it: `server.threads`.
    pub fn differing(&self, newer: &Self, sections: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        for section in sections {
            let of = |root: &Node| root.entry(section).map(|entry| entry.node.clone());
            differ(of(&self.root).as_ref(), of(&newer.root).as_ref(), section, &mut found);
        }
        found
    }
}

/// The things of a section by name; routes without one are named by their place.
fn named<'a>(root: &'a Node, section: &str) -> IndexMap<String, &'a Node> {
    match root.entry(section).map(|entry| &entry.node.value) {
        Some(Value::Map(entries)) => {
            entries.iter().map(|(name, entry)| (name.clone(), &entry.node)).collect()
        }
        Some(Value::List(items)) => {
            let name = |(place, item): (usize, &'a Node)| {
                let own = item.entry("name").and_then(|entry| entry.node.text());
                (own.map_or_else(|| format!("route-{}", place + 1), str::to_owned), item)
            };
            items.iter().enumerate().map(name).collect()
        }
        _ => IndexMap::new(),
    }
}

fn differ(before: Option<&Node>, after: Option<&Node>, way: &str, found: &mut Vec<String>) {
    let map = |node: Option<&Node>| match node.map(|node| &node.value) {
        Some(Value::Map(entries)) => Some(entries.clone()),
        None | Some(Value::Null) => Some(IndexMap::new()),
        Some(_) => None,
    };
    match (map(before), map(after)) {
        (Some(before), Some(after)) => {
            let mut keys: Vec<_> = before.keys().collect();
            keys.extend(after.keys().filter(|key| !before.contains_key(*key)));
            for key in keys {
                let of = |map: &'_ IndexMap<String, super::tree::Entry>| {
                    map.get(key).map(|entry| entry.node.clone())
                };
                let way = format!("{way}.{key}");
                differ(of(&before).as_ref(), of(&after).as_ref(), &way, found);
            }
        }
        _ => {
            let same = match (before, after) {
                (Some(before), Some(after)) => before.says(after),
                (before, after) => before.is_none() && after.is_none(),
            };
            if !same {
                found.push(way.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::read_text;
    use std::path::Path;

    fn document(text: &str) -> Document {
        read_text(Path::new("falconer.yaml"), text).document
    }

    #[test]
    fn things_are_compared_by_name_and_not_by_place() {
        let before =
            document("upstreams: {a: {endpoints: x}, b: {endpoints: y}, c: {endpoints: z}}");
        let after = document(
            "# moved\nupstreams:\n  d: {endpoints: w}\n  b: {endpoints: y}\n  a: {endpoints: v}\n",
        );
        let found = before.compare(&after, "upstreams");
        let found: Vec<_> = found.iter().map(|(how, name)| (how.name(), name.as_str())).collect();
        assert_eq!(found, [("removed", "c"), ("added", "d"), ("changed", "a")]);
    }

    #[test]
    fn routes_without_a_name_are_known_by_their_place_and_order_matters() {
        let before = document("routes: [{name: a, upstream: x}, {upstream: x}, {name: c}]");
        let after = document("routes: [{name: c}, {upstream: y}, {name: a, upstream: x}]");
        let found = before.compare(&after, "routes");
        assert_eq!(found, [(Change::Changed, "route-2".to_owned())]);
        assert!(!before.orders_like(&after) && before.orders_like(&before));
    }

    #[test]
    fn keys_are_named_by_their_way() {
        let before = document("server: {threads: 2, limits: {connections: 5}}\nlog: {level: info}");
        let after = document("server: {threads: 2, limits: {connections: 6}, drain: 5s}");
        let found = before.differing(&after, &["server", "log", "admin"]);
        assert_eq!(found, ["server.limits.connections", "server.drain", "log.level"]);
        assert!(before.differing(&before, &["server", "log"]).is_empty());
    }
}
