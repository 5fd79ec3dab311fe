//! The text of a document without the secrets that are written in it.

use super::document::Document;
use super::parse;
use super::show::VEIL;
use saphyr_parser::{Event, Parser, Span};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

impl Document {
    /// The text of its main file; a secret that stands in it is not shown, but where it is kept is.
    pub fn shown_text(&self) -> Cow<'_, str> {
        let (path, text) = self.source().main();
        let secrets = self.secrets.iter().filter(|secret| *secret.file == *path);
        let places: HashSet<_> = secrets.map(|secret| (secret.line, secret.column)).collect();
        if places.is_empty() {
            return text.into();
        }
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let offsets: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let offset = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
        let (mut shown, mut end) = (String::with_capacity(text.len()), 0);
        for span in scalars(text, &places) {
            let (from, to) = (offset(span.start.index()), offset(span.end.index()));
            let Some(written) = text.get(from..to) else { continue };
            let secret = value(written);
            // It is a part of the text, so its distance is where it begins.
            let from = secret.as_ptr() as usize - text.as_ptr() as usize;
            shown.push_str(text.get(end..from).unwrap_or_default());
            match is_elsewhere(secret.trim_matches(['"', '\''])) {
                true => shown.push_str(secret),
                // Without quotes it would be an alias.
                false => shown.extend(["\"", VEIL, "\""]),
            }
            end = from + secret.len();
        }
        shown.push_str(text.get(end..).unwrap_or_default());
        shown.into()
    }
}

/// The value in the text of a scalar, between its anchor or tag and the comment behind it.
fn value(text: &str) -> &str {
    let text = text.trim();
    if text.starts_with(['&', '!'])
        && let Some((_, rest)) = text.split_once(char::is_whitespace)
    {
        return value(rest);
    }
    let Some(quote) = text.chars().next().filter(|first| matches!(first, '"' | '\'')) else {
        return text;
    };
    let mut is_escaped = false;
    // Two single quotes stand for one; a comment that holds one goes rather than a part stays.
    let end = text.char_indices().skip(1).filter(|(_, c)| {
        let ends = *c == quote && !is_escaped;
        is_escaped = *c == '\\' && quote == '"' && !is_escaped;
        ends
    });
    let end =
        if quote == '"' { end.map(|(at, _)| at).next() } else { end.map(|(at, _)| at).last() };
    end.and_then(|end| text.get(..=end)).unwrap_or(text)
}

/// Whether a text is all taken from a variable or a file, so that it shows nothing.
fn is_elsewhere(text: &str) -> bool {
    let inside = text.strip_prefix("${").and_then(|text| text.strip_suffix('}'));
    inside.is_some_and(|inside| !inside.contains(['{', '}', '$']) && !inside.contains(":-"))
}

/// The scalars that stand at some places, or are repeated there, in the order of the text.
fn scalars(text: &str, places: &HashSet<(u32, u32)>) -> Vec<Span> {
    let (mut found, mut anchored) = (Vec::new(), HashMap::new());
    let mut parser = Parser::new_from_str(text);
    while let Some(Ok((event, span))) = parser.next_event() {
        let is_wanted = places.contains(&parse::line_and_column(span.start));
        match event {
            Event::Scalar(_, _, anchor, _) => {
                anchored.insert(anchor, span);
                found.extend(is_wanted.then_some(span));
            }
            Event::Alias(anchor) if is_wanted => found.extend(anchored.get(&anchor).copied()),
            _ => {}
        }
    }
    found.sort_by_key(|span| span.start.index());
    found.dedup_by_key(|span| span.start.index());
    found
}

#[cfg(test)]
mod tests {
    use crate::config::read_text;
    use std::path::Path;

    fn shown(admin: &str) -> String {
        let text = format!("# caf\u{e9}\nroutes: []\nadmin: {admin}\nmetrics: {{latency: true}}\n");
        let read = read_text(Path::new("falconer.yaml"), &text);
        let shown = read.document.shown_text().into_owned();
        let rest = shown.strip_prefix("# caf\u{e9}\nroutes: []\nadmin: ").unwrap();
        rest.strip_suffix("\nmetrics: {latency: true}\n").unwrap().to_owned()
    }

    #[test]
    fn a_secret_that_is_written_out_is_not_shown_in_whatever_style() {
        for token in ["hunter2", "'hunter2'", "\"hunt\\x65r2\"", "12345", "&t hunter2"] {
            let anchor = if token.starts_with('&') { "&t " } else { "" };
            let flow = shown(&format!("{{address: '127.0.0.1:0', token: {token} }}"));
            let expected = format!("{{address: '127.0.0.1:0', token: {anchor}\"***\" }}");
            assert_eq!(flow, expected, "{token}");
            let block = shown(&format!("\n  token: {token} # mine\n  address: ':0'"));
            let expected = format!("\n  token: {anchor}\"***\" # mine\n  address: ':0'");
            assert_eq!(block, expected, "{token}");
        }
        for token in ["|\n    hunter2\n    more", ">-\n    hunter2", "\"hunter2\n    more\""] {
            let block = shown(&format!("\n  token: {token}\n  address: ':0'"));
            assert!(block.contains("\"***\""), "{block}");
            assert!(!block.contains("hunter2") && !block.contains("more"), "{block}");
        }
    }

    #[test]
    fn where_a_secret_is_kept_is_shown_and_a_default_is_not() {
        for token in ["${file:/proc/version}", "\"${HOME}\"", "${HOME}"] {
            let admin = format!("{{token: {token}}}");
            let is_plain = !token.starts_with('"');
            let admin = if is_plain { format!("\n  token: {token}") } else { admin };
            assert_eq!(shown(&admin), admin);
        }
        for token in ["${TOKEN:-hunter2}", "hunter2${HOME}", "${HOME}hunter2${HOME}"] {
            assert_eq!(shown(&format!("\n  token: {token}")), "\n  token: \"***\"");
        }
    }

    #[test]
    fn an_alias_shows_its_secret_nowhere() {
        let shown = shown("\n  hosts: [&t hunter2]\n  token: *t");
        assert_eq!(shown, "\n  hosts: [&t \"***\"]\n  token: *t");
    }

    #[test]
    fn a_key_of_the_same_name_is_no_secret() {
        let text = "routes: [{match: {query: {token: absent}}, reply: {}}]\n";
        let read = read_text(Path::new("falconer.yaml"), text);
        assert_eq!(read.document.shown_text(), text);
    }
}
