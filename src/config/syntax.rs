//! What the YAML parser complains of, in the words of an operator.

use crate::value::Problem;
use saphyr_parser::ScanError;

/// The parser speaks of tokens; operators are told what to write.
pub(super) fn problem(error: &ScanError) -> Problem {
    let info = error.info();
    match SYNTAX.iter().find(|(sign, ..)| info.contains(sign)) {
        Some((_, what, remedy)) => Problem::new(*what, *remedy),
        None => Problem::new(format!("this is not YAML: {info}"), "correct the syntax here"),
    }
}

/// A sign in the parser's message, what is wrong, and the remedy; the first that fits is taken.
const SYNTAX: [(&str, &str, &str); 19] = [
    ("unprintable", "a control character stands here", "remove it"),
    ("tab", "a tab stands where spaces belong", "indent with spaces"),
    (
        "unknown anchor",
        "no anchor of this name stands above",
        "quote a value that begins with `*`, such as `\"*.example.com\"`",
    ),
    (
        "anchor or alias",
        "a `*` or `&` begins an alias or an anchor, and this is neither",
        "quote a value that begins with `*` or `&`",
    ),
    (
        "mapping values are not allowed",
        "a colon makes no sense here",
        "quote text that holds `: `, correct the indentation, or add the colon that a key above \
         lacks",
    ),
    (
        "placement of ':'",
        "a colon makes no sense here",
        "close the bracket before it, or quote text that holds `:`",
    ),
    ("quoted scalar, found unexpected", "this quote is never closed", "close it"),
    (
        "escape",
        "a double-quoted text holds an escape that YAML does not know",
        "double the backslash, or use single quotes",
    ),
    ("trailing content", "text follows the closing quote", "quote the whole value"),
    (
        "in quoted scalar",
        "a quoted text goes on less indented than its key",
        "indent its further lines, or close the quote",
    ),
    (
        "flow",
        "the brackets `{ }` or `[ ]` are broken here",
        "close them, and quote values inside that hold `{ } [ ] ,`",
    ),
    ("misplaced bracket", "this bracket closes nothing", "remove it, or quote the value"),
    ("unexpected character", "plain text cannot begin like this", "quote the value"),
    ("byte order mark", "a byte order mark stands within the text", "remove it"),
    ("recursion", "values are nested too deep", "flatten them"),
    ("node content", "a value is missing here", "write one, or remove the comma"),
    ("simple key", "a key stands here without its colon", "write `key: value`"),
    ("indent", MISALIGNED, ALIGN),
    ("did not find expected", MISALIGNED, ALIGN),
];

const MISALIGNED: &str = "this line does not fit the indentation of the lines above";
const ALIGN: &str = "align it with the key or item it belongs to";
