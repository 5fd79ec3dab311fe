//! What a value must lose or change before it enters a header or a URL.

use super::Variable;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write;

/// Where a rendered template goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Plain text, such as a body or a key: nothing changes.
    Text,
    /// A header's value: control characters, CR, LF and NUL among them, are dropped.
    Header,
    /// A URL or its path: values are percent-encoded; a query begins at the first literal `?`.
    UrlPath,
    /// A query or a part of one: values are percent-encoded.
    UrlQuery,
    /// A line of a log: values are escaped by [`escape_line`].
    Line,
}

/// Appends a text that can end neither the line nor the quotes it stands in: quotes, backslashes,
/// control characters and every byte beyond ASCII become `\xHH`.
pub fn escape_line(text: &str, line: &mut String) {
    // Nearly always there is nothing to escape.
    if !text.bytes().any(must_escape) {
        return line.push_str(text);
    }
    for byte in text.bytes() {
        if must_escape(byte) {
            // Writing to a string cannot fail.
            let _ = write!(line, "\\x{byte:02X}");
        } else {
            line.push(char::from(byte));
        }
    }
}

fn must_escape(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f | 0x7f..)
}

/// Where in a URL a value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing but the scheme, if anything, stands before it.
    #[default]
    Start,
    /// Behind `//`: a host, or a part of one.
    Authority,
    Path,
    Query,
}

impl Place {
    /// Where the text behind a literal stands.
    pub(super) fn after(self, literal: &str) -> Self {
        if self == Self::Query || literal.contains('?') {
            return Self::Query;
        }
        // A slash before it makes it a path with a URL in it.
        let is_scheme = |before: &str| before.ends_with(':') && !before.contains('/');
        let begins_authority = |before: &str| before.is_empty() || is_scheme(before);
        match (self, literal.split_once("//")) {
            (Self::Start, Some((before, behind))) if begins_authority(before) => {
                Self::Authority.after(behind)
            }
            (Self::Start | Self::Authority, _) if literal.contains('/') => Self::Path,
            _ => self,
        }
    }
}

/// Nothing but unreserved characters, so a value is never more than data in one segment.
const DATA: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An address keeps its colons and brackets, because it may stand where a URL names its host.
const HOST: &AsciiSet = &DATA.remove(b':').remove(b'[').remove(b']');

/// What is percent-encoded already keeps its `%` and its delimiters.
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>');

/// A backslash is encoded too: browsers take it for a slash.
const PATH: &AsciiSet =
    &QUERY.add(b'?').add(b'\\').add(b'^').add(b'`').add(b'{').add(b'|').add(b'}');

/// A path inside a query must not end the parameter it stands in.
const PATH_IN_QUERY: &AsciiSet = &PATH.add(b'&').add(b'+').add(b';');

/// Percent-encodes what `variable` has put into `out` from byte `start` on.
pub(super) fn encode(variable: &Variable, place: Place, out: &mut String, start: usize) {
    let set = match (variable, place) {
        (Variable::RequestHost | Variable::ClientIp, _) => HOST,
        (Variable::RequestQuery, Place::Query) => QUERY,
        (Variable::RequestPath | Variable::PathCapture(_), Place::Query) => PATH_IN_QUERY,
        (Variable::RequestPath, _) => PATH,
        (Variable::PathCapture(_) | Variable::RequestQuery, Place::Start | Place::Path) => PATH,
        // In a host even what is encoded must not end it.
        _ => DATA,
    };
    let encoded = |value: &str| utf8_percent_encode(value, set).to_string();
    // A first piece that is not the whole value means that something has to be encoded.
    let is_needed = |value: &str| utf8_percent_encode(value, set).next().unwrap_or("") != value;
    replace(out, start, encoded, is_needed);
}

/// Drops from byte `start` on what may not stand in a header's value.
pub(super) fn clean_header(out: &mut String, start: usize) {
    let is_refused = |c: char| c.is_ascii_control() && c != '\t';
    let clean = |text: &str| text.chars().filter(|c| !is_refused(*c)).collect();
    replace(out, start, clean, |text| text.contains(is_refused));
}

/// Escapes for a line what stands in `out` from byte `start` on.
pub(super) fn line(out: &mut String, start: usize) {
    let escaped = |text: &str| {
        let mut escaped = String::new();
        escape_line(text, &mut escaped);
        escaped
    };
    replace(out, start, escaped, |text| text.bytes().any(must_escape));
}

/// Leaves one of several slashes at byte `start`: `//name` would send the client to another host.
pub(super) fn keep_host(out: &mut String, start: usize) {
    let one_slash = |text: &str| format!("/{}", text.trim_start_matches('/'));
    replace(out, start, one_slash, |text| text.starts_with("//"));
}

/// Leaves exactly one slash at byte `start`: without one, `scheme:` would lead anywhere.
pub(super) fn keep_path(out: &mut String, start: usize) {
    let one_slash = |text: &str| format!("/{}", text.trim_start_matches('/'));
    replace(out, start, one_slash, |text| !text.starts_with('/') || text.starts_with("//"));
}

/// Allocates only for the rare text that has to change.
fn replace(
    out: &mut String,
    start: usize,
    change: impl FnOnce(&str) -> String,
    is_needed: impl FnOnce(&str) -> bool,
) {
    let text = out.get(start..).unwrap_or_default();
    if is_needed(text) {
        let changed = change(text);
        out.truncate(start);
        out.push_str(&changed);
    }
}
