use super::*;
use crate::config::tree::Step;

fn parsed(text: &str) -> Parsed {
    parse(&Path::new("a.yaml").into(), text)
}

fn tree(text: &str) -> Node {
    let parsed = parsed(text);
    assert_eq!(parsed.diagnostics, [], "{text}");
    parsed.root.unwrap()
}

/// All problems of a text, one a line.
fn problems(text: &str) -> String {
    let diagnostics = parsed(text).diagnostics;
    diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn place_of(root: &Node, steps: &[Step]) -> (u32, u32) {
    let position = &root.at(steps).unwrap().position;
    (position.line, position.column)
}

#[test]
fn every_node_and_key_knows_its_place() {
    let root = tree("a: 1\nb:\n  - x\n  - { c: \"é\", d: y }\n");
    assert_eq!(place_of(&root, &[]), (1, 1));
    assert_eq!(place_of(&root, &["a".into()]), (1, 4));
    assert_eq!(place_of(&root, &["b".into(), 0.into()]), (3, 5));
    assert_eq!(place_of(&root, &["b".into(), 1.into()]), (4, 5));
    let d = ["b".into(), 1.into(), "d".into()];
    assert_eq!(place_of(&root, &d), (4, 18));
    assert_eq!(root.key_position(&d).map(|p| p.column), Some(15));
}

#[test]
fn a_missing_value_stands_at_its_key() {
    let root = tree("a:\n  b:\n\nc: 1\n");
    assert_eq!(place_of(&root, &["a".into(), "b".into()]), (2, 3));
}

#[test]
fn quotes_and_blocks_make_text() {
    let root = tree("a: \"1\"\nb: 'true'\nc: |\n  12\nd: !!str 5\ne: 5\n");
    let text = |key: &str| root.at(&[key.into()]).map(|node| node.value.clone());
    for (key, expected) in [("a", "1"), ("b", "true"), ("c", "12\n"), ("d", "5")] {
        assert_eq!(text(key), Some(Value::String(expected.into())));
    }
    assert_eq!(text("e"), Some(Value::Number(5.into())));
}

#[test]
fn a_key_that_is_no_text_is_taken_as_written() {
    let root = tree("1: a\n0x2: b\ntrue: c\n~: d\n: e\n");
    let keys: Vec<&str> = root.entries().map(|(key, _)| key).collect();
    assert_eq!(keys, ["1", "0x2", "true", "~", ""]);
}

#[test]
fn an_empty_file_is_nothing() {
    for text in ["", "\n", "# only a comment\n", "---\n", "\u{feff}"] {
        assert_eq!(tree(text).value, Value::Null, "{text:?}");
    }
}

#[test]
fn a_byte_order_mark_shifts_nothing() {
    assert_eq!(place_of(&tree("\u{feff}a: 1"), &["a".into()]), (1, 4));
}

#[test]
fn every_duplicate_key_names_the_first() {
    assert_eq!(
        problems("a: 1\nb: { c: 1, c: 2 }\na: 2\n"),
        "a.yaml:2:12: `c` is here twice, first at a.yaml:2:6; keep one of them\n\
         a.yaml:3:1: `a` is here twice, first at a.yaml:1:1; keep one of them"
    );
    let root = parsed("a: 1\na: 2\n").root.unwrap();
    assert_eq!(root.at(&["a".into()]).and_then(Node::text), Some("1"));
}

#[test]
fn an_alias_repeats_its_anchor() {
    let root = tree("a: &x { b: [1] }\nc: *x\n");
    let one = ["c".into(), "b".into(), 0.into()];
    assert_eq!(root.at(&one).and_then(Node::text), Some("1"));
    assert_eq!(place_of(&root, &["c".into()]), (2, 4));
    assert_eq!(place_of(&root, &one), (1, 13));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        text += &format!("a{level}: &a{level} [{}]\n", vec![below; 9].join(", "));
    }
    let parsed = parsed(&text);
    assert!(parsed.root.is_none());
    assert!(parsed.diagnostics[0].problem.what.contains("more than 100000 values"));
}

#[test]
fn an_alias_within_its_own_anchor_is_refused() {
    assert!(problems("a: &x [*x]").starts_with("a.yaml:1:8: this alias stands within"));
}

#[test]
fn a_large_document_without_aliases_is_fine() {
    let text = "- { a: 1, b: 2, c: 3 }\n".repeat(40_000);
    assert_eq!(tree(&text).items().len(), 40_000);
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| format!("a: {}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(problems(&nested(63)), "");
    assert!(problems(&nested(64)).contains("nested more than 64 deep"));
    assert!(problems(&nested(100_000)).contains("nested"));
    assert!(problems(&"- ".repeat(10_000)).contains("nested"));

    let mut by_alias = "a0: &a0 [x]\n".to_owned();
    for level in 1..70 {
        by_alias += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert!(problems(&by_alias).contains("nested more than 64 deep"));
}

#[test]
fn a_file_holds_one_document() {
    assert!(problems("a: 1\n---\nb: 2\n").starts_with("a.yaml:2:1: a second document begins"));
    assert_eq!(problems("---\na: 1\n...\n"), "");
}

#[test]
fn a_syntax_mistake_has_its_place_and_a_remedy() {
    for (text, expected) in [
        ("a:\n\tb: 1", "2:2: a tab stands where spaces belong; indent with spaces"),
        ("a: [1, {b: 2}\n", "1:4: this bracket is never closed; close it"),
        ("a:\n  b: {c: 1", "2:6: this bracket is never closed; close it"),
        ("a: ]", "1:4: this bracket closes nothing; remove it, or quote the value"),
        ("a: b: c", "1:5: a colon makes no sense here; quote text that holds `: `"),
        ("a: \"b", "1:4: this quote is never closed; close it"),
        ("a: \"\\q\"", "1:4: a double-quoted text holds an escape"),
        ("a: 'b' c", "1:8: text follows the closing quote; quote the whole value"),
        ("a: *.example.com", "1:4: no anchor of this name stands above; quote a value"),
        ("a: [*, b]", "1:5: a `*` or `&` begins an alias or an anchor"),
        ("a: @b", "1:4: plain text cannot begin like this; quote the value"),
        ("a: { b: ${N} }", "1:10: the brackets `{ }` or `[ ]` are broken here; close them"),
        ("a:\n  - b\n c: 1", "3:2: this line does not fit the indentation"),
        ("  a: 1\n b: 2", "2:2: this line does not fit the indentation"),
        ("a: 1\nb\nc: 2", "3:1: a key stands here without its colon; write `key: value`"),
        ("a: [,1]", "1:5: a value is missing here"),
        ("a\0b", "1:2: a control character stands here; remove it"),
    ] {
        let problems = problems(text);
        assert!(problems.starts_with(&format!("a.yaml:{expected}")), "{text:?}: {problems}");
        assert_eq!(problems.lines().count(), 1, "{problems}");
    }
}

#[test]
fn keys_that_cannot_be_keys_are_reported() {
    assert!(problems("? [a]\n: b\n").contains("1:3: a list or a map cannot be a key"));
    assert!(problems("a: &x {b: 1}\nc:\n  <<: *x\n").contains("3:3: YAML 1.2 has no merge key"));
    assert!(problems("a: !secret b").contains("1:4: the tag `!secret` has no meaning here"));
}

/// Whatever an operator's editor leaves behind, parsing ends with a tree or a diagnostic.
#[test]
fn no_text_makes_it_panic() {
    let pieces = [
        "a", ":", " ", "\n", "- ", "{", "}", "[", "]", ",", "\"", "'", "&x ", "*x", "|", ">", "#",
        "!", "!!str ", "%", "---", "...", "\t", "é", "? ", "~", "\u{feff}", "0x1", "\r", "${",
    ];
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..20_000 {
        let text: String =
            (0..random.usize(1..14)).map(|_| pieces[random.usize(..pieces.len())]).collect();
        let parsed = parsed(&text);
        assert!(parsed.root.is_some() || !parsed.diagnostics.is_empty(), "{text:?}");
    }
}
