//! Who may import whom: every `crate::room` path of `src/` against the table of `ARCHITECTURE.md`;
//! and what some rooms may not use.
//!
//! The reader of source text below is a line scanner, not a compiler: it drops comments, literals
//! and `#[cfg(test)]` items, then looks for paths that begin with `crate::`.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail and may wait"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A room and the rooms it may import.
type Row = (&'static str, &'static [&'static str]);

/// A new edge goes in here in the same commit, which says why.
const TABLE: &[Row] = &[
    ("value", &[]),
    ("net", &["value"]),
    ("exchange", &["net", "value"]),
    ("expr", &["exchange", "value"]),
    ("observe", &["value", "exchange", "expr"]),
    ("fleet", &["value", "observe"]),
    ("tls", &["value", "net", "exchange", "observe", "fleet"]),
    ("cache", &["value", "exchange", "expr", "observe", "fleet"]),
    ("files", &["value", "net", "exchange"]),
    ("plugin", &["value", "exchange", "observe"]),
    ("upstream", &["value", "net", "exchange", "expr", "observe", "tls"]),
    ("hosting", &["value", "net", "observe", "exchange", "upstream"]),
    ("filter", &["value", "net", "exchange", "expr", "observe", "plugin", "fleet"]),
    ("stream", &["value", "net", "observe", "upstream"]),
    (
        "route",
        // `observe`, because the metrics of a route belong to the room that counts them.
        &[
            "value", "net", "exchange", "expr", "observe", "filter", "upstream", "cache", "files",
            "hosting", "tls",
        ],
    ),
    ("listener", &["value", "net", "exchange", "tls", "observe", "stream"]),
    // `config` composes the rooms' `Config` types; `listener` is the only room above `route` it reads.
    (
        "config",
        &[
            "value", "net", "exchange", "expr", "observe", "fleet", "tls", "cache", "files",
            "plugin", "upstream", "hosting", "filter", "stream", "route", "listener",
        ],
    ),
    (
        "runtime",
        &[
            "value", "net", "exchange", "expr", "observe", "fleet", "tls", "cache", "files",
            "plugin", "upstream", "hosting", "filter", "stream", "route", "listener", "config",
        ],
    ),
    (
        "proxy",
        &[
            "value", "net", "exchange", "expr", "observe", "fleet", "tls", "cache", "files",
            "plugin", "upstream", "hosting", "filter", "stream", "route", "runtime",
        ],
    ),
    (
        "admin",
        &[
            "value", "net", "exchange", "expr", "observe", "fleet", "tls", "cache", "files",
            "plugin", "upstream", "hosting", "filter", "stream", "route", "config", "runtime",
        ],
    ),
    (
        "server",
        &[
            "value", "net", "exchange", "expr", "observe", "fleet", "tls", "cache", "files",
            "plugin", "upstream", "hosting", "filter", "stream", "route", "listener", "config",
            "runtime", "proxy", "admin",
        ],
    ),
    ("cli", &["server", "config", "runtime", "value", "observe"]),
];

/// Words that these rooms may not say, and why; clippy knows no rooms.
const BANS: &[(&str, &[&str], &str)] = &[
    (
        "std::fs",
        &["net", "exchange", "expr", "route", "stream", "proxy"],
        "blocks, and these rooms work while a request waits",
    ),
    (
        "SystemTime::now",
        &["net", "value", "exchange", "expr", "cache", "upstream", "filter", "route", "config"],
        "takes the time as an argument, so that a test can choose it",
    ),
];

#[test]
fn every_import_is_in_the_table() {
    assert_none(|room, code| judge(room, &rooms_named(code)).collect());
}

#[test]
fn no_room_says_what_it_may_not() {
    assert_none(|room, code| {
        let broken =
            BANS.iter().filter(|(word, rooms, _)| rooms.contains(&room) && code.contains(word));
        broken.map(|(word, _, why)| format!("{room} may not use {word}: {why}")).collect()
    });
}

#[test]
fn the_table_has_no_cycle() {
    let rank: BTreeMap<_, _> = TABLE.iter().enumerate().map(|(n, row)| (row.0, n)).collect();
    assert_eq!(rank.len(), TABLE.len(), "a room stands in the table twice");
    for (room, may) in TABLE {
        for below in *may {
            assert!(rank.contains_key(below), "{room} may import {below}, which is no room");
            assert!(rank[below] < rank[room], "{room} stands above {below}, which it may import");
        }
    }
}

/// Fails with all that is wrong with the code of the rooms, tests left out.
fn assert_none(wrong: impl Fn(&str, &str) -> Vec<String>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut problems = Vec::new();
    for file in rust_files(&root) {
        let Some(room) = room_of(&root, &file) else { continue };
        let code = without_tests(&code_only(&fs::read_to_string(&file).unwrap()));
        let place = file.strip_prefix(&root).unwrap().display().to_string();
        problems.extend(wrong(&room, &code).iter().map(|why| format!("src/{place}: {why}")));
    }
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// What is wrong with a room that imports these.
fn judge<'a>(
    room: &'a str,
    imports: &'a BTreeSet<String>,
) -> impl Iterator<Item = String> + use<'a> {
    let row = TABLE.iter().find(|row| row.0 == room);
    let unknown = row.is_none().then(|| format!("the room `{room}` is not in the table"));
    let edges = imports.iter().filter(move |import| {
        row.is_some_and(|(_, may)| *import != room && !may.contains(&import.as_str()))
    });
    unknown.into_iter().chain(edges.map(move |import| format!("{room} may not import {import}")))
}

/// The top-level module a file belongs to; none for `main.rs` and `lib.rs`.
fn room_of(root: &Path, file: &Path) -> Option<String> {
    let first = file.strip_prefix(root).unwrap().iter().next().unwrap().to_str().unwrap();
    let room = first.strip_suffix(".rs").unwrap_or(first);
    (room != "main" && room != "lib").then(|| room.to_owned())
}

/// All files below a folder that are code; a sibling `tests.rs` is a test module.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("tests.rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The rooms that paths beginning with `crate::` lead to, grouped imports included.
fn rooms_named(code: &str) -> BTreeSet<String> {
    let mut rooms = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let glued = code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        if !glued {
            rooms.extend(heads(&code[at + "crate::".len()..]));
        }
    }
    rooms
}

/// The first names of what follows `crate::`: one name, or one of each item of a group.
fn heads(path: &str) -> Vec<String> {
    let path = path.trim_start();
    let Some(group) = path.strip_prefix('{') else {
        return name(path).into_iter().collect();
    };
    let mut found = Vec::new();
    let (mut depth, mut start) = (1, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if (c == ',' && depth == 1) || depth == 0 {
            found.extend(name(group[start..at].trim_start()));
            start = at + 1;
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The identifier a text begins with, if it can be a room: a module, not a type, macro or glob.
fn name(text: &str) -> Option<String> {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let is_module = name.starts_with(|c: char| c.is_lowercase()) && !rest.starts_with('!');
    is_module.then(|| name.to_owned())
}

/// The source with comments and the insides of literals blanked out.
fn code_only(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            'r' | 'b' | 'c' if !code.ends_with(|c: char| c.is_alphanumeric() || c == '_') => {
                prefixed_literal(rest)
            }
            '"' => quoted(rest),
            '\'' => char_literal(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            // A blank, so that what stood on both sides is not joined to one word.
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

/// Length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        let here = &text.as_bytes()[at..];
        if here.starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    text.len()
}

/// Length of a literal with a prefix (`r"..."`, `br#"..."#`, `b'x'`); 0 for a plain word.
fn prefixed_literal(text: &str) -> usize {
    let prefix = text.find(|c| !matches!(c, 'r' | 'b' | 'c')).unwrap_or(text.len());
    let (letters, rest) = text.split_at(prefix);
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    let inside = &rest[hashes..];
    if letters.ends_with('r') && inside.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let length = inside[1..].find(&end).map_or(inside.len(), |at| 1 + at + end.len());
        return prefix + hashes + length;
    }
    match rest.chars().next() {
        Some('"') => prefix + quoted(rest),
        Some('\'') if letters == "b" => prefix + char_literal(rest),
        _ => 0,
    }
}

/// Length of a text in quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of a character literal; 0 for a lifetime.
fn char_literal(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    let end = match chars.next() {
        Some((_, '\\')) => text[3.min(text.len())..].find('\'').map(|at| at + 3),
        Some(_) => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at),
        None => None,
    };
    end.map_or(0, |at| at + 1)
}

/// The code without the items that only tests compile.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        kept.push_str(&rest[..at]);
        rest = &rest[at + item_length(&rest[at..])..];
    }
    kept + rest
}

/// Length of an item: to its `;`, or to the brace that closes its first one.
fn item_length(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            ';' if depth == 0 => return at + 1,
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

mod scanner {
    use super::*;

    fn found(source: &str) -> Vec<String> {
        rooms_named(&without_tests(&code_only(source))).into_iter().collect()
    }

    #[test]
    fn finds_plain_and_nested_paths() {
        assert_eq!(
            found("use crate::value::Size;\nfn f(t: crate::net::Cidr) {}"),
            ["net", "value"]
        );
    }

    #[test]
    fn finds_every_room_of_a_group() {
        let source =
            "use crate::{\n    route::{Table, host::{self, Name}},\n    tls,\n    Edge,\n};";
        assert_eq!(found(source), ["route", "tls"]);
    }

    #[test]
    fn sees_visibility_as_no_import() {
        assert_eq!(found("pub(crate) use word::word; pub(in crate::proxy) fn f() {}"), ["proxy"]);
    }

    #[test]
    fn passes_over_macros_and_types_of_the_crate() {
        assert_eq!(found("crate::word!(A); let e: crate::Edge; use mycrate::route;"), [""; 0]);
    }

    #[test]
    fn passes_over_comments_and_literals() {
        let source = r####"
            // crate::a::B
            /* crate::b /* nested */ crate::c */
            /// See [`crate::d`].
            let s = "crate::e \" crate::f"; let r = r#"crate::g " crate::h"#; let b = b"crate::i";
            let c = '"'; let d = '\''; fn f<'a>(x: &'a str) { crate::real::f(x) }
        "####;
        assert_eq!(found(source), ["real"]);
    }

    #[test]
    fn passes_over_what_only_tests_compile() {
        let source = "use crate::net::A;\n#[cfg(test)]\nmod tests {\n    use crate::server::B;\n    \
                      fn f() { let open = '{'; }\n}\n#[cfg(test)]\nuse crate::cli::C;\nuse crate::tls::D;";
        assert_eq!(found(source), ["net", "tls"]);
    }

    #[test]
    fn knows_the_room_of_a_file() {
        let room = |file| room_of(Path::new("src"), &Path::new("src").join(file));
        assert_eq!(room("route/host.rs").as_deref(), Some("route"));
        assert_eq!(room("net.rs").as_deref(), Some("net"));
        assert_eq!([room("main.rs"), room("lib.rs")], [None, None]);
    }

    #[test]
    fn judges_edges_and_rooms_that_the_table_lacks() {
        let imports = ["value", "route", "server"].map(str::to_owned).into_iter().collect();
        assert_eq!(judge("route", &imports).collect::<Vec<_>>(), ["route may not import server"]);
        let none = BTreeSet::new();
        let expected = ["the room `utils` is not in the table"];
        assert_eq!(judge("utils", &none).collect::<Vec<_>>(), expected);
    }
}
