use super::*;
use crate::config::load::{load, load_text};
use crate::value::{Duration, Limit, OneOrMany, Secret, Size, Word};
use indexmap::IndexMap;
use schemars::JsonSchema;
use std::path::Path;

/// A small document with every shape that real ones have.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Document {
    listeners: IndexMap<String, Listener>,
    routes: Vec<Route>,
    #[schemars(default)]
    filters: Vec<Filter>,
    #[schemars(default)]
    upstreams: IndexMap<String, Upstream>,
    admin: Option<Admin>,
    anything: Option<serde_json::Value>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Listener {
    address: OneOrMany<String>,
    #[schemars(default)]
    limits: Limits,
    min_version: Option<Version>,
}

#[derive(Default, JsonSchema)]
#[schemars(deny_unknown_fields, default)]
#[allow(dead_code, reason = "only its schema is used")]
struct Limits {
    connections: Option<Limit<u32>>,
    keep_alive: Option<Limit<Duration>>,
    body_size: Option<Size>,
    watch: bool,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "only its schema is used")]
enum Version {
    #[schemars(rename = "1.2")]
    V12,
    #[schemars(rename = "1.3")]
    V13,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Route {
    name: Option<String>,
    #[schemars(default)]
    header: IndexMap<String, String>,
    #[schemars(default)]
    priority: i32,
    status: Option<u16>,
    #[schemars(default)]
    filters: Vec<Filter>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Filter {
    Cors(Cors),
    Headers(Headers),
    RequestId(Cors),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Cors {
    origin: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Headers {
    set: IndexMap<String, String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Upstream {
    endpoints: Vec<Endpoint>,
    balance: Option<Balance>,
    health: Option<Health>,
}

/// An address alone or with more.
#[derive(JsonSchema)]
#[schemars(untagged)]
#[allow(dead_code, reason = "only its schema is used")]
enum Endpoint {
    Address(String),
    Full(FullEndpoint),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct FullEndpoint {
    url: String,
    #[schemars(range(min = 1, max = 100))]
    weight: Option<u8>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Balance {
    RoundRobin,
    /// One that is documented gets a schema of its own.
    LeastRequest,
    Hash(Hash),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Hash {
    key: String,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[allow(dead_code, reason = "only its schema is used")]
enum Health {
    Http(Cors),
    Tcp(Cors),
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
struct Admin {
    address: String,
    token: Option<Secret>,
    renew: Option<Duration>,
}

const WORDS: Words<'static> = &[
    (Duration::FORMAT, |text| text.parse::<Duration>().map(drop)),
    (Size::FORMAT, |text| text.parse::<Size>().map(drop)),
];

const REQUIRED: &str = "listeners: {}\nroutes: []\n";

fn checked_of(loaded: &Loaded) -> Checked {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<Document>();
    check(loaded, &schema.to_value(), WORDS)
}

fn loaded(text: &str) -> Loaded {
    let loaded = load_text(Path::new("a.yaml"), text, &|_| None, &[]);
    assert_eq!(loaded.diagnostics, [], "{text}");
    loaded
}

/// The problems of a whole document without its file name, one a line.
fn all(text: &str) -> String {
    let diagnostics = checked_of(&loaded(text)).diagnostics;
    let lines: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    lines.join("\n").replace("a.yaml:", "")
}

/// The problems of a document that has the required sections before this text.
fn more(text: &str) -> String {
    all(&format!("{REQUIRED}{text}"))
}

#[track_caller]
fn assert_problem(text: &str, expected: &str) {
    assert_eq!(more(text), expected, "{text}");
}

#[test]
fn a_good_document_has_no_problems() {
    let good = "listeners:
  web: { address: \"0.0.0.0:80\", limits: { connections: off, keep_alive: 75s, watch: true } }
  more: { address: [a, b], min_version: 1.2, limits: { connections: 5, body_size: 512 } }
routes:
  - { name: 4, header: { x-beta: 1, y: true }, priority: -10, status: 404 }
  - filters: [ cors: {}, headers: { set: { a: 1.50 } }, { request_id: } ]
filters: []
upstreams:
  a: { endpoints: [x, { url: y, weight: 2 }], balance: least_request, health: { http: {} } }
  b: { endpoints: [], balance: { hash: { key: x } } }
admin: { address: x, token: 5 }
anything: { a: [1, { b: ~ }] }
";
    assert_eq!(all(good), "");
}

#[test]
fn an_unknown_key_is_told_with_the_nearest_or_with_all() {
    assert_problem("admin:\n  adress: x\n", "4:3: unknown key `adress`; did you mean `address`?");
    assert_problem(
        "admin: { address: x, zebra: 1 }",
        "3:22: unknown key `zebra`; use one of `address`, `token`, `renew`",
    );
}

#[test]
fn a_missing_key_is_told_at_its_map() {
    assert_eq!(
        all("filters: []\n"),
        "1:1: the document lacks the key `listeners`; add `listeners:` with a map\n\
         1:1: the document lacks the key `routes`; add `routes:` with a list"
    );
    assert_eq!(all("").lines().count(), 2);
    assert_problem(
        "upstreams:\n  a: { balance: round_robin }\n",
        "4:6: `a` lacks the key `endpoints`; add `endpoints:` with a list",
    );
}

#[test]
fn a_value_of_the_wrong_kind_is_told_what_to_write() {
    for (text, expected) in [
        (
            "filters: x",
            "3:10: `filters` takes a list, not text; write its items below it, each after `- `",
        ),
        (
            "filters:",
            "3:1: `filters` takes a list, not nothing; \
             write its items below it, each after `- `, or remove it",
        ),
        (
            "upstreams: [a]",
            "3:12: `upstreams` takes a map, not a list; \
             give each item a name, `name:` in place of `- `",
        ),
        (
            "upstreams: { a: x }",
            "3:17: `a` takes a map, not text; write its keys below it, such as `endpoints:`",
        ),
        (
            "admin: { address: {}, token: 5 }",
            "3:19: `address` takes text, not a map; write a single value",
        ),
        (
            "admin: { address: }",
            "3:10: `address` takes text, not nothing; write a single value, or remove it",
        ),
        (
            "upstreams: { a: { endpoints: [[x]] } }",
            "3:31: an item of `endpoints` takes text or a map, not a list; \
             write its keys below it, such as `url:`",
        ),
    ] {
        assert_problem(text, expected);
    }
    assert_eq!(
        all("- x\n"),
        "1:1: the document takes a map, not a list; write its keys below it, such as `listeners:`"
    );
}

/// The problem of one entry under `limits`, without its place.
fn limit(entry: &str) -> String {
    let text = format!("listeners: {{ a: {{ address: x, limits: {{ {entry} }} }} }}\nroutes: []");
    all(&text).split_once(": ").map(|(_, problem)| problem.to_owned()).unwrap_or_default()
}

#[test]
fn a_scalar_of_the_wrong_type_is_told_what_to_write() {
    for (entry, expected) in [
        ("watch: yes", "`watch` takes `true` or `false`, not text; write `true`"),
        ("watch: 0", "`watch` takes `true` or `false`, not a number; write `false`"),
        ("watch: \"true\"", "`watch` takes `true` or `false`, not text; write `true`"),
        (
            "connections: of",
            "`connections` takes `off` or a whole number, not `of`; did you mean `off`?",
        ),
        (
            "connections: \"5\"",
            "`connections` takes `off` or a whole number, not `5`; remove the quotes",
        ),
        ("connections: 1.5", "`connections` cannot be `1.5`; write a whole number, at least 0"),
        ("connections: -1", "`connections` cannot be `-1`; write a whole number, at least 0"),
        (
            "connections: 4294967296",
            "`connections` cannot be `4294967296`; write a whole number from 0 to 4294967295",
        ),
        (
            "connections: 99999999999999999999",
            "`connections` cannot be `99999999999999999999`; write a whole number, at least 0",
        ),
        (
            "keep_alive: [x]",
            "`keep_alive` takes `off` or a duration, not a list; write a single value",
        ),
    ] {
        assert_eq!(limit(entry), expected);
    }
}

#[test]
fn a_word_judges_its_own_text() {
    for (entry, expected) in [
        ("keep_alive: 30", "`30` is not a duration; write the unit, such as `30s`"),
        (
            "keep_alive: 1.5",
            "`1.5` is not a duration; write a whole number of a smaller unit, such as `1500ms`",
        ),
        ("keep_alive: true", "`true` is not a duration; write a number and a unit, such as `30s`"),
        ("keep_alive: offf", "`offf` is not a duration; did you mean `off`?"),
        ("keep_alive: off", ""),
        ("body_size: 512", ""),
        ("body_size: \"64KiB\"", ""),
    ] {
        assert_eq!(limit(entry), expected);
    }
}

#[test]
fn numbers_keep_their_bounds() {
    let endpoint = |weight: &str| {
        more(&format!("upstreams: {{ a: {{ endpoints: [{{ url: x, weight: {weight} }}] }} }}"))
    };
    assert_eq!(endpoint("100"), "");
    assert_eq!(
        endpoint("101"),
        "3:49: `weight` cannot be `101`; write a whole number from 1 to 100"
    );
    let route = all("listeners: {}\nroutes: [{ priority: 3000000000 }]");
    assert!(route.contains("from -2147483648 to 2147483647"), "{route}");
}

#[test]
fn a_list_that_must_have_items_says_so() {
    assert_eq!(
        all("listeners: { a: { address: [] } }\nroutes: []"),
        "1:28: `address` has too few items; write at least 1"
    );
}

#[test]
fn an_unknown_value_is_told_with_the_nearest_or_with_all() {
    let balance =
        |value: &str| more(&format!("upstreams: {{ a: {{ endpoints: [], balance: {value} }} }}"));
    for (value, expected) in [
        (
            "rond_robin",
            "3:43: unknown value `rond_robin` for `balance`; did you mean `round_robin`?",
        ),
        (
            "zebra",
            "3:43: unknown value `zebra` for `balance`; \
             use one of `round_robin`, `least_request`, `hash: ...`",
        ),
        ("hash", "3:43: `hash` needs its settings; write `hash: { key: ... }`"),
        (
            "{ round_robin: {} }",
            "3:45: `round_robin` takes no settings; write `round_robin` alone, without a colon",
        ),
        ("{ hsh: { key: x } }", "3:45: unknown key `hsh`; did you mean `hash`?"),
        ("{ hash: }", "3:45: `hash` lacks the key `key`; add `key:` with text"),
        ("{}", "3:43: `balance` is empty; write `hash` in it"),
        (
            "[x]",
            "3:43: `balance` takes `round_robin`, `least_request` or `hash:`, not a list; \
             write `hash` with a colon and its settings",
        ),
    ] {
        assert_eq!(balance(value), expected);
    }
    assert_eq!(
        all("listeners: { a: { address: x, min_version: 1.1 } }\nroutes: []"),
        "1:44: unknown value `1.1` for `min_version`; use `1.2` or `1.3`"
    );
}

#[test]
fn one_item_holds_one_filter() {
    for (items, expected) in [
        ("[cors: {}]", ""),
        ("[cors: ]", ""),
        ("[crs: {}]", "3:11: unknown filter `crs`; did you mean `cors`?"),
        ("[zebra: {}]", "3:11: unknown filter `zebra`; use one of `cors`, `headers`, `request_id`"),
        ("[cors]", "3:11: `cors` needs its settings; write `cors: {}`"),
        ("[headers]", "3:11: `headers` needs its settings; write `headers: { set: ... }`"),
        (
            "[{}]",
            "3:11: an item of `filters` is empty; \
             write one of `cors`, `headers`, `request_id` in it",
        ),
        (
            "[{ cors: {}, request_id: {} }]",
            "3:23: one item of `filters` holds one filter, here `cors`; \
             write `- request_id:` as an item of its own",
        ),
    ] {
        assert_problem(&format!("filters: {items}"), expected);
    }
    assert_problem(
        "upstreams: { a: { endpoints: [], health: { http: {}, tcp: {} } } }",
        "3:54: `health` cannot be both `http` and `tcp`; keep one of them",
    );
}

#[test]
fn what_is_broken_is_known_by_its_path() {
    let text = "listeners: {}\nroutes:\n  - { name: a }\n  - { nam: b }\nadmin: {}\n";
    let checked = checked_of(&loaded(text));
    assert!(checked.is_broken(&["routes".into(), 1.into()]));
    assert!(checked.is_broken(&["routes".into()]));
    assert!(!checked.is_broken(&["routes".into(), 0.into()]));
    assert!(!checked.is_broken(&["listeners".into()]));
    assert!(checked.is_broken(&["admin".into()]));
}

#[test]
fn a_failed_substitution_is_told_once() {
    let text = format!("{REQUIRED}admin: {{ address: x, renew: \"${{NONE}}\" }}");
    let loaded = load_text(Path::new("a.yaml"), &text, &|_| None, &[]);
    assert_eq!(loaded.diagnostics.len(), 1);
    let checked = checked_of(&loaded);
    assert_eq!(checked.diagnostics, []);
    assert!(checked.is_broken(&["admin".into(), "renew".into()]));
}

#[test]
fn what_an_unreadable_file_may_hold_is_not_missed() {
    let loaded = load_text(Path::new("a.yaml"), "include: none.yaml\n", &|_| None, &[]);
    assert_eq!(checked_of(&loaded).diagnostics, []);
    let broken = load_text(Path::new("a.yaml"), "a: ]\n", &|_| None, &[]);
    assert_eq!(checked_of(&broken).diagnostics, []);
}

#[test]
fn a_secret_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), "hunter2").unwrap();
    let text = "listeners: { a: { address: x, min_version: \"${file:secret}\" } }
routes: [{ status: \"${file:secret}\" }]
admin: { adress: x, token: hunter2, renew: \"${file:secret}\" }
";
    let loaded = load_text(&folder.path().join("a.yaml"), text, &|_| None, &[]);
    let checked = checked_of(&loaded);
    assert_eq!(checked.diagnostics.len(), 4);
    let arranged = loaded.sources.arrange(checked.diagnostics, &checked.hidden);
    for diagnostic in &arranged {
        assert!(!diagnostic.to_string().contains("hunter2"), "{diagnostic}");
    }
    assert!(arranged.iter().any(|d| d.source.is_some()));
    assert!(checked.hidden.keys.contains("token"));
}

#[test]
fn a_file_that_is_no_yaml_does_not_show_its_secrets() {
    let text = "admin:\n  token: hunter2: x\n";
    let loaded = load_text(Path::new("a.yaml"), text, &|_| None, &[]);
    let checked = checked_of(&loaded);
    let arranged = loaded.sources.arrange(loaded.diagnostics, &checked.hidden);
    assert_eq!((arranged.len(), arranged[0].source.as_deref()), (1, None));
}

#[test]
fn a_secret_that_looks_like_a_number_or_nothing_is_text() {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in [("number", "0012"), ("null", "null"), ("empty", "")] {
        std::fs::write(folder.path().join(name), content).unwrap();
        let text = format!("{REQUIRED}admin: {{ address: x, token: \"${{file:{name}}}\" }}");
        let loaded = load_text(&folder.path().join("a.yaml"), &text, &|_| None, &[]);
        assert_eq!(checked_of(&loaded).diagnostics, [], "{name}");
    }
}

#[test]
fn twelve_mistakes_in_two_files_are_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let main = "include: [sites/*.yaml]
listeners:
  web: { address: \"0.0.0.0:80\", limits: { keep_alive: 75 } }
  web: { address: \"0.0.0.0:81\" }
  tls:
    adress: 0.0.0.0:443
routes:
  - { name: a, status: abc }
filters:
  - crs: {}
admin: { address: x, renew: \"${NONE}\" }
";
    let site = "server: {}
listeners:
  tls: { address: x }
upstreams:
  shop:
    balance: rond_robin
routes:
  - filters: [{ headers: { set: {} }, cors: {} }]
  - { name: b, priority: [1] }
";
    std::fs::create_dir(folder.path().join("sites")).unwrap();
    std::fs::write(folder.path().join("main.yaml"), main).unwrap();
    std::fs::write(folder.path().join("sites/a.yaml"), site).unwrap();

    let mergeable = ["listeners", "upstreams", "routes"];
    let loaded = load(&folder.path().join("main.yaml"), &|_| None, &mergeable);
    let checked = checked_of(&loaded);
    let all = [loaded.diagnostics, checked.diagnostics].concat();
    let arranged = loaded.sources.arrange(all, &checked.hidden);
    let places: Vec<String> = arranged
        .iter()
        .map(|diagnostic| {
            let position = diagnostic.position.as_ref().unwrap();
            let file = position.file.file_name().unwrap().display();
            format!("{file}:{}:{} {}", position.line, position.column, diagnostic.problem.what)
        })
        .map(|line| line.replace(&format!("{}/", folder.path().display()), ""))
        .collect();
    assert_eq!(
        places,
        [
            "main.yaml:3:55 `75` is not a duration",
            "main.yaml:4:3 `web` is here twice, first at main.yaml:3:3",
            "main.yaml:6:5 unknown key `adress`",
            "main.yaml:8:24 `status` takes a whole number, not text",
            "main.yaml:10:5 unknown filter `crs`",
            "main.yaml:11:29 the variable `NONE` is not set",
            "a.yaml:1:1 `server` cannot stand in an included document",
            "a.yaml:3:3 `tls` is defined twice, first at main.yaml:5:3",
            "a.yaml:6:5 `shop` lacks the key `endpoints`",
            "a.yaml:6:14 unknown value `rond_robin` for `balance`",
            "a.yaml:8:39 one item of `filters` holds one filter, here `headers`",
            "a.yaml:9:26 `priority` takes a whole number, not a list",
        ]
    );
    assert_eq!(arranged[0].source.as_deref(), main.lines().nth(2));
}
