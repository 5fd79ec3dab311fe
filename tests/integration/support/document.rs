//! The document of a test: short, and completed with what every edge needs.

use std::fmt::Write;

/// Takes the indentation of the test's own source from a document.
pub fn dedent(text: &str) -> String {
    let filled = text.lines().filter(|line| !line.trim().is_empty());
    let depth = filled.map(|line| line.len() - line.trim_start().len()).min().unwrap_or(0);
    let lines = text.lines().map(|line| line.get(depth..).unwrap_or("").trim_end());
    let text = lines.collect::<Vec<_>>().join("\n");
    format!("{}\n", text.trim_matches('\n'))
}

/// Puts values in the place of `$name`; what has no value (`${HOME}`, `$$`) stays.
pub fn fill(text: &str, values: &[(String, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        let (before, after) = (&rest[..at], &rest[at + 1..]);
        filled.push_str(before);
        let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
        let value = values.iter().find(|(name, _)| name == &after[..end]);
        match value {
            Some((_, value)) => filled.push_str(value),
            None => filled.extend(["$", &after[..end]]),
        }
        rest = &after[end..];
        // The second of two dollars begins no name.
        if value.is_none() && end == 0 && rest.starts_with('$') {
            filled.push('$');
            rest = &rest[1..];
        }
    }
    filled + rest
}

/// Adds what a document lacks to run in a test. It goes to the end, so that lines keep their numbers.
pub fn complete(text: &str) -> String {
    let mut text = text.to_owned();
    add(&mut text, "listeners", "{web: {address: \"127.0.0.1:0\"}}");
    add(&mut text, "admin", "{address: \"127.0.0.1:0\"}");
    add(&mut text, "access_log", "{format: json, path: access.log}");
    if let Some(upstream) = first_upstream(&text) {
        let routes = format!("[{{upstream: {upstream}}}]");
        add(&mut text, "routes", &routes);
    }
    text
}

fn add(text: &mut String, key: &str, value: &str) {
    if !text.lines().any(|line| has_key(line, key)) {
        let _ = writeln!(text, "{key}: {value}");
    }
}

fn has_key(line: &str, key: &str) -> bool {
    line.strip_prefix(key).is_some_and(|rest| rest.starts_with(':'))
}

/// The name that follows `upstreams:`, in block or flow style.
fn first_upstream(text: &str) -> Option<&str> {
    let start = text.lines().find(|line| has_key(line, "upstreams"))?;
    // `lines` gives parts of the text, so the distance is where the line begins.
    let at = start.as_ptr() as usize - text.as_ptr() as usize + "upstreams:".len();
    let name = text[at..].trim_start_matches(|c: char| c.is_whitespace() || c == '{');
    name.split_once(':').map(|(name, _)| name.trim())
}

mod tests {
    use super::{complete, dedent, fill};

    #[test]
    fn a_document_loses_the_indentation_of_the_test() {
        assert_eq!(dedent("\n    a:\n      b: 1\n\n    c: 2\n    "), "a:\n  b: 1\n\nc: 2\n");
    }

    #[test]
    fn only_whole_known_names_are_filled_in() {
        let values = [("a", "1"), ("app", "2")].map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(fill("$a $app $apple ${a} $$a $", &values), "1 2 $apple ${a} $$a $");
    }

    #[test]
    fn a_short_document_is_completed_at_its_end() {
        let text = complete("upstreams: {app: {endpoints: [x]}}\nadmin: {address: a}\n");
        let expected = "upstreams: {app: {endpoints: [x]}}\nadmin: {address: a}\n\
                        listeners: {web: {address: \"127.0.0.1:0\"}}\n\
                        access_log: {format: json, path: access.log}\n\
                        routes: [{upstream: app}]\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn the_upstream_is_found_in_block_style_and_routes_stay() {
        let block = complete("upstreams:\n  shop:\n    endpoints: [x]\n");
        assert!(block.contains("\nroutes: [{upstream: shop}]\n"), "{block}");
        let own = complete("routes:\n  - reply: {status: 204}\n");
        assert_eq!(own.matches("routes:").count(), 1);
    }
}
