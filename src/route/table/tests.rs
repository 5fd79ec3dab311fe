//! The table against tables of cases, and against a search that tries everything.

use super::*;
use crate::route::Match;
use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::Ipv4Addr;

const LISTENERS: [&str; 2] = ["web", "secure"];

/// `{ "match": ..., "priority": ... }`, both optional.
fn spec(route: &Value) -> Spec {
    let config: Match = match route.get("match") {
        Some(config) => serde_json::from_value(config.clone()).unwrap(),
        None => Match::default(),
    };
    Spec {
        matcher: Matcher::compile(&config, &LISTENERS).unwrap(),
        priority: route.get("priority").map_or(0, |p| i32::try_from(p.as_i64().unwrap()).unwrap()),
        guarded: false,
    }
}

fn specs(routes: &Value) -> Vec<Spec> {
    routes.as_array().unwrap().iter().map(spec).collect()
}

fn with_path(paths: &[&str]) -> Vec<Spec> {
    paths.iter().map(|path| spec(&json!({ "match": { "path": path } }))).collect()
}

/// A request from 10.0.0.1 that a test owns.
#[derive(Clone, Debug)]
struct Sent {
    listener: u16,
    method: Method,
    host: String,
    path: String,
    query: &'static str,
    headers: HeaderMap,
}

impl Sent {
    fn get(host: &str, path: &str) -> Self {
        let (host, path) = (host.to_owned(), path.to_owned());
        let headers = HeaderMap::new();
        Self { listener: 0, method: Method::GET, host, path, query: "", headers }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        self.headers.append(name, value);
        self
    }

    fn request(&self) -> Request<'_> {
        Request {
            listener: self.listener,
            method: &self.method,
            host: &self.host,
            path: &self.path,
            query: self.query,
            headers: &self.headers,
            client: Ipv4Addr::new(10, 0, 0, 1).into(),
        }
    }
}

fn find(routes: &[Spec], sent: &Sent) -> Outcome {
    Table::build(routes, &LISTENERS).find(&sent.request())
}

fn found(routes: &[Spec], sent: &Sent) -> Option<usize> {
    match find(routes, sent) {
        Outcome::Found(found) => Some(found.index),
        _ => None,
    }
}

#[test]
fn a_path_pattern_matches_what_it_says_and_nothing_else() {
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("/a", &["/a"], &["/a/", "/A", "/ab", "/a/b", "/", ""]),
        ("/a/", &["/a/"], &["/a", "/a/b"]),
        ("/", &["/"], &["/a", "//", "*"]),
        ("/a/*", &["/a", "/a/", "/a/b", "/a/b/c", "/a//"], &["/ab", "/", "/A/b", "*"]),
        ("/*", &["/", "/a", "//", "*", ""], &[]),
        ("/u/{id}", &["/u/1", "/u/%2F"], &["/u/", "/u", "/u/1/", "/u/1/2", "/x/1"]),
        ("/u/{id}/o", &["/u/1/o"], &["/u//o", "/u/1/p", "/u/1/o/", "/u/1/o/2"]),
        ("/u/{id}/*", &["/u/1", "/u/1/", "/u/1/2/3"], &["/u", "/u/", "/u//x", "/v/1"]),
        ("/f/{rest*}", &["/f", "/f/", "/f/a/b"], &["/fa", "/"]),
        ("~ ^/v[0-9]+/", &["/v1/", "/v22/x"], &["/v/", "/x/v1/"]),
    ];
    for (pattern, matched, not) in cases {
        let routes = with_path(&[pattern]);
        for path in matched {
            assert_eq!(found(&routes, &Sent::get("h", path)), Some(0), "{pattern} {path}");
        }
        for path in not {
            assert_eq!(found(&routes, &Sent::get("h", path)), None, "{pattern} {path}");
        }
    }
}

#[test]
fn the_more_specific_path_wins_in_any_order() {
    // Each is more specific than those behind it, for the path it stands with.
    let cases: [(&str, &[&str]); 6] = [
        ("/a/b/c", &["/a/b/c", "/a/b/{x}", "/a/{x}/c", "/{x}/b/c", "~ ^/a/b", "/a/b/*", "/*"]),
        ("/a/b", &["/a/{x}", "/{x}/b", "/{x}/{y}", "~ ^/a", "/a/b/*", "/a/*"]),
        ("/a/b/c", &["/{x}/b/c", "/{x}/b/{y}", "/{x}/{y}/c", "/{x}/{y}/{z}"]),
        ("/a/b/c", &["/a/b/{r*}", "/a/{x}/*", "/{x}/b/*", "/{x}/{r*}", "/{r*}"]),
        ("/a/b/c", &["/{x}/b/*", "/a/*", "/{x}/*"]),
        ("/a/", &["/a/", "~ /$", "/a/*"]),
    ];
    for (path, patterns) in cases {
        for (at, better) in patterns.iter().enumerate() {
            for worse in &patterns[at + 1..] {
                let sent = Sent::get("h", path);
                assert_eq!(found(&with_path(&[better, worse]), &sent), Some(0), "{better} {worse}");
                assert_eq!(found(&with_path(&[worse, better]), &sent), Some(1), "{better} {worse}");
            }
        }
    }
}

#[test]
fn the_more_specific_host_wins_before_any_path() {
    let routes = specs(&json!([
        { "match": { "path": "/a" } },
        { "match": { "host": "*.test", "path": "/a" } },
        { "match": { "host": "*.x.test", "path": "/*" } },
        { "match": { "host": "a.x.test" } },
        { "match": { "host": "*", "path": "/b" } },
    ]));
    let cases = [
        ("a.x.test", 3),
        ("b.x.test", 2),
        ("c.b.x.test", 2),
        ("x.test", 1),
        ("test", 0),
        (".test", 0),
        ("other", 0),
        ("", 0),
    ];
    for (host, index) in cases {
        assert_eq!(found(&routes, &Sent::get(host, "/a")), Some(index), "{host}");
    }
}

#[test]
fn a_route_that_fails_gives_way_to_the_next_specific_one() {
    let routes = specs(&json!([
        { "match": { "host": "a.test", "path": "/a", "header": { "x": "1" } } },
        { "match": { "host": "a.test", "path": "/a/*", "header": { "x": "2" } } },
        { "match": { "host": "*.test", "path": "~ ^/a", "header": { "x": "3" } } },
        { "match": { "path": "/{p}", "header": { "x": "4" } } },
        { "match": { "path": "/*" } },
    ]));
    for (value, index) in [("1", 0), ("2", 1), ("3", 2), ("4", 3), ("5", 4)] {
        let sent = Sent::get("a.test", "/a").with("x", value);
        assert_eq!(found(&routes, &sent), Some(index), "x: {value}");
    }
}

#[test]
fn further_matchers_then_the_document_decide_between_equal_paths() {
    let routes = specs(&json!([
        { "match": { "path": "/a/{x}" } },
        { "match": { "path": "/a/{y}", "header": { "x": "1" } } },
        { "match": { "path": "/a/{z}", "header": { "x": "present", "y": "absent" } } },
        { "match": { "path": "/a/{z}", "method": ["GET"], "client": "10.0.0.0/8" } },
    ]));
    assert_eq!(found(&routes, &Sent::get("h", "/a/b").with("x", "1")), Some(2));
    assert_eq!(found(&routes, &Sent::get("h", "/a/b").with("x", "1").with("y", "")), Some(3));
    let put = Sent { method: Method::PUT, ..Sent::get("h", "/a/b").with("x", "1").with("y", "") };
    assert_eq!(found(&routes, &put), Some(1));
}

#[test]
fn no_path_counts_like_the_open_root() {
    let routes = specs(&json!([
        { "match": { "path": "/*" } },
        { "match": { "header": { "x": "1" } } },
        {},
    ]));
    assert_eq!(found(&routes, &Sent::get("h", "/a").with("x", "1")), Some(1));
    assert_eq!(found(&routes, &Sent::get("h", "/a")), Some(0));
}

#[test]
fn priority_goes_before_all_specificity() {
    let routes = specs(&json!([
        { "match": { "host": "a.test", "path": "/a" } },
        { "priority": 10, "match": { "path": "/*", "header": { "x": "1" } } },
        { "priority": -1, "match": { "host": "a.test", "path": "/b" } },
        { "match": { "path": "/*" } },
    ]));
    assert_eq!(found(&routes, &Sent::get("a.test", "/a").with("x", "1")), Some(1));
    assert_eq!(found(&routes, &Sent::get("a.test", "/a")), Some(0));
    assert_eq!(found(&routes, &Sent::get("a.test", "/b")), Some(3));
}

#[test]
fn captured_parts_are_found_by_the_place_of_their_name() {
    let routes = specs(&json!([
        { "match": { "path": ["/u/{id}/o/{order}", "/o/{order}/{rest*}", "~ ^/r(/)(?<order>[^/]+)/(?<id>.+)?"] } },
        { "match": { "path": "/u/{user}/*" } },
    ]));
    let cases = [
        ("/u/7%2F/o/9", ["7%2F", "9", ""]),
        ("/o/9", ["", "9", ""]),
        ("/o/9/", ["", "9", ""]),
        ("/o/9//a/b", ["", "9", "/a/b"]),
        ("/r/9/7/8", ["7/8", "9", ""]),
        ("/r/9/", ["", "9", ""]),
    ];
    for (path, values) in cases {
        let Outcome::Found(found) = find(&routes, &Sent::get("h", path)) else { panic!("{path}") };
        let captured = [0, 1, 2].map(|place| found.captures.value(place, path));
        assert_eq!((found.index, captured), (0, values), "{path}");
    }
    let Outcome::Found(found) = find(&routes, &Sent::get("h", "/u/me/x")) else { panic!() };
    assert_eq!((found.index, found.captures.value(0, "/u/me/x")), (1, "me"));
}

#[test]
fn a_host_that_no_route_names_is_unknown_where_all_routes_name_hosts() {
    let routes = specs(&json!([
        { "match": { "host": ["a.test", "*.b.test"], "path": "/a", "listener": "web" } },
        { "match": { "host": "c.test", "path": "/a" } },
        { "match": { "path": "/open", "listener": "secure" } },
    ]));
    let table = Table::build(&routes, &LISTENERS);
    let outcome =
        |host, listener| table.find(&Sent { listener, ..Sent::get(host, "/none") }.request());
    assert_eq!(outcome("a.test", 0), Outcome::NoRoute);
    assert_eq!(outcome("x.b.test", 0), Outcome::NoRoute);
    assert_eq!(outcome("c.test", 0), Outcome::NoRoute);
    assert_eq!(outcome("b.test", 0), Outcome::UnknownHost);
    assert_eq!(outcome("other.test", 0), Outcome::UnknownHost);
    assert_eq!(outcome("other.test", 1), Outcome::NoRoute);
    assert_eq!(outcome("other.test", 9), Outcome::NoRoute);
    assert!(table.knows_host("a.test", 0) && !table.knows_host("a.test", 1));
    assert_eq!(
        Table::build(&[], &LISTENERS).find(&Sent::get("a", "/").request()),
        Outcome::NoRoute
    );
}

#[test]
fn the_caller_may_refuse_a_route() {
    let mut routes = with_path(&["/a", "/a", "/*"]);
    routes[1].guarded = true;
    let table = Table::build(&routes, &LISTENERS);
    let sent = Sent::get("h", "/a");
    let without = |refused: &[usize]| match table
        .find_if(&sent.request(), |index| !refused.contains(&index))
    {
        Outcome::Found(found) => Some(found.index),
        _ => None,
    };
    assert_eq!(without(&[]), Some(1));
    assert_eq!(without(&[1]), Some(0));
    assert_eq!(without(&[0, 1]), Some(2));
    assert_eq!(without(&[0, 1, 2]), None);
}

#[test]
fn a_route_of_many_hosts_and_many_paths_stays_small() {
    let hosts: Vec<_> = (0..1000).map(|n| format!("h{n}.test")).collect();
    let paths: Vec<_> = (0..1000).map(|n| format!("/p{n}/{{id}}")).collect();
    let matched = json!({ "host": hosts, "path": paths, "method": ["GET"] });
    let routes = [spec(&json!({ "match": matched }))];
    let table = Table::build(&routes, &LISTENERS);
    assert_eq!(table.levels[0].candidates.len(), 1000);
    let outcome = table.find(&Sent::get("h999.test", "/p999/x").request());
    assert!(matches!(outcome, Outcome::Found(Found { index: 0, .. })));
}

#[test]
fn routes_that_never_win_are_told_with_their_winner() {
    let cases = [
        // The same again, under other names, with more conditions or fewer values.
        (json!([{ "match": { "path": "/a" } }, { "match": { "path": "/a" } }]), vec![(1, 0)]),
        (
            json!([{ "match": { "path": "/{a}/*" } }, { "match": { "path": "/{b}/{rest*}" } }]),
            vec![(1, 0)],
        ),
        (json!([{ "match": { "path": "/*" } }, {}]), vec![(1, 0)]),
        (
            json!([
                { "match": { "host": ["a", "b"], "method": ["GET", "PUT"] } },
                { "match": { "host": "b", "method": "PUT" } },
            ]),
            vec![(1, 0)],
        ),
        (json!([{ "match": { "path": "~ ^/a" } }, { "match": { "path": "~ ^/a" } }]), vec![(1, 0)]),
        (
            json!([
                { "match": { "path": "~ ^/a" } },
                { "match": { "path": "~ ^/a", "method": "GET" } },
            ]),
            vec![(1, 0)],
        ),
        // A higher priority covers what is more specific.
        (
            json!([
                { "match": { "host": "x.a.test", "path": "/a/{id}/b", "method": "GET" } },
                { "match": { "host": "*.test", "path": "/a/*" }, "priority": 1 },
            ]),
            vec![(0, 1)],
        ),
        (
            json!([{ "match": { "path": "~ x" } }, { "priority": 1 }, { "priority": 1 }]),
            vec![(0, 1), (2, 1)],
        ),
        // These all have requests of their own.
        (json!([{ "match": { "path": "/a/*" } }, { "match": { "path": "/a" } }]), vec![]),
        (
            json!([{ "match": { "path": "/a" } }, { "match": { "path": "/a", "method": "GET" } }]),
            vec![],
        ),
        (json!([{ "match": { "path": "/a" } }, { "match": { "path": ["/a", "/b"] } }]), vec![]),
        (
            json!([
                { "match": { "host": "*.a.test" }, "priority": 1 },
                { "match": { "host": "a.test" } },
            ]),
            vec![],
        ),
        (
            json!([
                { "match": { "method": "GET" }, "priority": 1 },
                { "match": { "path": "/a", "method": ["GET", "PUT"] } },
            ]),
            vec![],
        ),
    ];
    for (routes, told) in cases {
        assert_eq!(shadowed(&specs(&routes)), told, "{routes}");
    }
}

#[test]
fn a_guarded_route_shadows_none() {
    let mut routes = with_path(&["/a", "/a"]);
    routes[0].guarded = true;
    assert_eq!(shadowed(&routes), []);
}

/// What a route is worth for a request; more is better.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    priority: i64,
    host: usize,
    path: Path,
    matchers: usize,
    order: Reverse<(usize, usize)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Path {
    /// Segments, and which of them are literal.
    Open(usize, Vec<bool>),
    /// Place in the document.
    Regex(Reverse<(usize, usize)>),
    Captures(Vec<bool>),
    Exact,
}

/// What the pattern captures of a path it matches, by name.
type Values = Vec<(String, String)>;

fn judge_host(pattern: &str, host: &str) -> Option<usize> {
    match pattern.strip_prefix('*') {
        Some("") => Some(0),
        Some(end) => {
            (host.ends_with(end) && host.len() > end.len()).then(|| end.split('.').count())
        }
        None => (pattern == host).then_some(usize::MAX),
    }
}

fn judge_path(pattern: &str, path: &str, place: (usize, usize)) -> Option<(Path, Values)> {
    if let Some(source) = pattern.strip_prefix("~ ") {
        let regex = regex::RegexBuilder::new(source).build().unwrap();
        let groups = regex.captures(path)?;
        let names = regex.capture_names().flatten();
        let values = names.map(|name| {
            (name.to_owned(), groups.name(name).map_or(String::new(), |m| m.as_str().to_owned()))
        });
        return Some((Path::Regex(Reverse(place)), values.collect()));
    }
    let mut values = Values::new();
    let mut literal = Vec::new();
    let mut rest = path;
    let patterns: Vec<_> = pattern.split('/').skip(1).collect();
    for (at, segment) in patterns.iter().enumerate() {
        if let Some(star) = segment.strip_suffix('*').or(segment.strip_suffix("*}")) {
            if !(at == 0 || rest.is_empty() || rest.starts_with('/')) {
                return None;
            }
            if let Some(name) = star.strip_prefix('{') {
                values.push((name.to_owned(), rest.get(1..).unwrap_or("").to_owned()));
            }
            return Some((Path::Open(at, literal), values));
        }
        rest = rest.strip_prefix('/')?;
        let (part, behind) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let name = segment.strip_prefix('{').and_then(|name| name.strip_suffix('}'));
        match name {
            Some(_) if part.is_empty() => return None,
            Some(name) => values.push((name.to_owned(), part.to_owned())),
            None if *segment != part => return None,
            None => {}
        }
        literal.push(name.is_none());
        rest = behind;
    }
    let exact = literal.iter().all(|is_literal| *is_literal);
    let path = if exact { Path::Exact } else { Path::Captures(literal) };
    rest.is_empty().then_some((path, values))
}

fn strings(config: &Value, key: &str) -> Option<Vec<String>> {
    config.get(key).map(|list| serde_json::from_value(list.clone()).unwrap())
}

fn judge_rest(config: &Value, sent: &Sent) -> Option<usize> {
    let mut matchers = 0;
    for (key, is) in
        [("method", sent.method.as_str()), ("listener", LISTENERS[usize::from(sent.listener)])]
    {
        let Some(any) = strings(config, key) else { continue };
        matchers += 1;
        if !any.iter().any(|one| one == is) {
            return None;
        }
    }
    for (name, wanted) in config.get("header").and_then(Value::as_object).into_iter().flatten() {
        matchers += 1;
        let value = sent.headers.get(name.as_str()).map(|value| value.to_str().unwrap());
        let fits = match wanted.as_str().unwrap() {
            "present" => value.is_some(),
            "absent" => value.is_none(),
            text => value == Some(text),
        };
        if !fits {
            return None;
        }
    }
    Some(matchers)
}

/// Tries every host and path of every route.
fn judge(routes: &[Value], sent: &Sent) -> Option<(usize, Values)> {
    judge_all(routes, sent).map(|(worth, values)| (worth.order.0.0, values))
}

fn judge_all(routes: &[Value], sent: &Sent) -> Option<(Worth, Values)> {
    let mut best: Option<(Worth, Values)> = None;
    for (index, route) in routes.iter().enumerate() {
        let config = &route["match"];
        let Some(matchers) = judge_rest(config, sent) else { continue };
        let hosts = strings(config, "host").unwrap_or(vec!["*".into()]);
        let paths = strings(config, "path").unwrap_or(vec!["/*".into()]);
        for host in hosts.iter().filter_map(|host| judge_host(host, &sent.host)) {
            for (at, path) in paths.iter().enumerate() {
                let Some((path, values)) = judge_path(path, &sent.path, (index, at)) else {
                    continue;
                };
                let order = Reverse((index, at));
                let priority = route["priority"].as_i64().unwrap();
                let worth = Worth { priority, host, path, matchers, order };
                if best.as_ref().is_none_or(|(other, _)| worth > *other) {
                    best = Some((worth, values));
                }
            }
        }
    }
    best
}

/// The rule by which one route wins over another that matches.
fn judge_rule(winner: &Worth, loser: &Worth) -> Rule {
    assert!(winner > loser, "{winner:?} {loser:?}");
    match (&winner.path, &loser.path) {
        _ if winner.priority != loser.priority => Rule::Priority,
        _ if winner.host != loser.host => Rule::Host,
        (Path::Regex(_), Path::Regex(_)) => Rule::Order,
        (path, other) if path != other => Rule::Path,
        _ if winner.matchers != loser.matchers => Rule::Matchers,
        _ => Rule::Order,
    }
}

/// Whether the request deserves 421, given that nothing matches.
fn is_unknown(routes: &[Value], sent: &Sent) -> bool {
    let here = |route: &&Value| {
        let listeners = strings(&route["match"], "listener");
        listeners.is_none_or(|any| any.iter().any(|l| l == LISTENERS[usize::from(sent.listener)]))
    };
    let hosts: Vec<_> = routes
        .iter()
        .filter(here)
        .flat_map(|route| strings(&route["match"], "host").unwrap_or(vec!["*".into()]))
        .collect();
    !hosts.is_empty() && !hosts.iter().any(|host| judge_host(host, &sent.host).is_some())
}

fn random_host(random: &mut Rng) -> String {
    let labels: Vec<_> = (0..random.usize(1..4)).map(|_| ["a", "b"][random.usize(..2)]).collect();
    labels.join(".")
}

fn random_host_pattern(random: &mut Rng) -> String {
    match random.u8(..6) {
        0 => "*".to_owned(),
        1 | 2 => format!("*.{}", random_host(random)),
        _ => random_host(random),
    }
}

fn random_path(random: &mut Rng) -> String {
    (0..random.usize(1..5)).map(|_| ["/a", "/b", "/c", "/"][random.usize(..4)]).collect()
}

fn random_path_pattern(random: &mut Rng) -> String {
    if random.u8(..8) == 0 {
        let all = ["~ ^/a", "~ b$", "~ ^/(?<v0>[ab])/(?<x>.)?", "~ /(a|b)/"];
        return all[random.usize(..all.len())].to_owned();
    }
    let mut path = String::new();
    for at in 0..random.usize(..4) {
        path += &match random.u8(..8) {
            0 | 1 => format!("/{{v{at}}}"),
            2 => format!("/{{w{}}}", 9 - at),
            3..=5 => "/a".to_owned(),
            6 => "/b".to_owned(),
            _ => "/".to_owned(),
        };
    }
    match random.u8(..5) {
        0 => path + "/*",
        1 => path + "/{rest*}",
        _ if path.is_empty() => "/".to_owned(),
        _ => path,
    }
}

fn some<T>(random: &mut Rng, make: impl Fn(&mut Rng) -> T) -> Vec<T> {
    (0..random.usize(1..3)).map(|_| make(random)).collect()
}

fn random_route(random: &mut Rng) -> Value {
    let mut config = json!({});
    if random.u8(..4) > 0 {
        config["host"] = json!(some(random, random_host_pattern));
    }
    if random.u8(..8) > 0 {
        config["path"] = json!(some(random, random_path_pattern));
    }
    if random.u8(..6) == 0 {
        config["method"] = json!(some(random, |random| ["GET", "POST"][random.usize(..2)]));
    }
    if random.u8(..6) == 0 {
        config["listener"] = json!(some(random, |random| LISTENERS[random.usize(..2)]));
    }
    for name in ["x", "y"] {
        if random.u8(..5) == 0 {
            config["header"][name] = json!(["1", "2", "present", "absent"][random.usize(..4)]);
        }
    }
    let priority = [0, 0, 0, 0, 1, -1][random.usize(..6)];
    json!({ "priority": priority, "match": config })
}

fn random_request(random: &mut Rng) -> Sent {
    let mut sent = Sent::get(&random_host(random), &random_path(random));
    sent.listener = random.u16(..2);
    sent.method = [Method::GET, Method::POST][random.usize(..2)].clone();
    for name in ["x", "y"] {
        if random.bool() {
            sent = sent.with(name, ["1", "2"][random.usize(..2)]);
        }
    }
    sent
}

#[test]
fn a_route_says_by_what_it_lost() {
    let mut random = Rng::with_seed(43);
    let mut rules = HashMap::new();
    for _ in 0..300 {
        let routes: Vec<Value> =
            (0..random.usize(1..25)).map(|_| random_route(&mut random)).collect();
        let specs: Vec<Spec> = routes.iter().map(spec).collect();
        for _ in 0..5 {
            let sent = random_request(&mut random);
            let request = sent.request();
            let winner = found(&specs, &sent);
            for (place, route) in routes.iter().enumerate() {
                let told = || format!("{route} of {sent:?} against {winner:?}");
                // The same place in the document, so that ties are judged alike.
                let mut alone =
                    vec![json!({ "priority": 0, "match": { "host": ["none"] } }); place];
                alone.push(route.clone());
                let own = judge_all(&alone, &sent);
                let best = judge_all(&routes, &sent);
                let loss = loss(&specs, place, winner, &request);
                match (&loss, own, best) {
                    (None, Some(_), _) if winner == Some(place) => {}
                    (Some(Loss::To(rule)), Some((own, _)), Some((best, _))) => {
                        assert_eq!(*rule, judge_rule(&best, &own), "{}", told());
                        *rules.entry(format!("{loss:?}")).or_insert(0) += 1;
                    }
                    (Some(Loss::To(_)) | None, ..) => panic!("{loss:?}: {}", told()),
                    (Some(loss), own, _) => {
                        assert!(own.is_none(), "{loss:?}: {}", told());
                        *rules.entry(format!("{loss:?}")).or_insert(0) += 1;
                    }
                }
            }
        }
    }
    // Five rules, and host, listener, path, method and two headers.
    assert_eq!(rules.len(), 11, "{rules:?}");
    assert!(rules.values().all(|count| *count > 20), "{rules:?} do not try much");
}

#[test]
fn the_first_matcher_that_fails_is_told() {
    let cases = [
        (json!({ "host": ["b", "*.a"], "path": "/b" }), Loss::Host),
        (json!({ "path": "/b", "method": "GET", "listener": "secure" }), Loss::Listener),
        (json!({ "path": ["/b", "/a/{x}", "~ ^/c"], "method": "POST" }), Loss::Path),
        (json!({ "method": "POST", "client": "10.0.0.9" }), Loss::Method),
        (json!({ "client": "10.0.0.9", "header": { "x": "absent" } }), Loss::Client),
        (
            json!({ "header": { "y": "absent", "x": "2" }, "query": { "q": "1" } }),
            Loss::Header("x".into()),
        ),
        (json!({ "query": { "q": "1" }, "cookie": { "c": "1" } }), Loss::Query("q".into())),
        (json!({ "cookie": { "c": "1" } }), Loss::Cookie("c".into())),
    ];
    let sent = Sent::get("a", "/a").with("x", "1");
    for (config, expected) in cases {
        let routes = [spec(&json!({ "match": config })), spec(&json!({}))];
        assert_eq!(loss(&routes, 0, Some(1), &sent.request()), Some(expected), "{config}");
        assert_eq!(loss(&routes, 1, Some(1), &sent.request()), None);
    }
}

#[test]
fn the_table_agrees_with_a_search_that_tries_everything() {
    let mut random = Rng::with_seed(42);
    let mut outcomes = [0; 3];
    for _ in 0..1000 {
        let routes: Vec<Value> =
            (0..random.usize(..25)).map(|_| random_route(&mut random)).collect();
        let specs: Vec<Spec> = routes.iter().map(spec).collect();
        let table = Table::build(&specs, &LISTENERS);
        let losers: Vec<_> = shadowed(&specs).into_iter().map(|(loser, _)| loser).collect();
        for _ in 0..20 {
            let sent = random_request(&mut random);
            let told = || format!("{sent:?} in {}", serde_json::to_string_pretty(&routes).unwrap());
            match (table.find(&sent.request()), judge(&routes, &sent)) {
                (Outcome::Found(found), Some((index, values))) => {
                    outcomes[0] += 1;
                    assert_eq!(found.index, index, "{}", told());
                    assert!(!losers.contains(&index), "{index} can win: {}", told());
                    for (place, name) in specs[index].matcher.names().iter().enumerate() {
                        let wanted = values.iter().find(|(known, _)| known == name);
                        let wanted = wanted.map_or("", |(_, value)| value);
                        let value = found.captures.value(place, &sent.path);
                        assert_eq!(value, wanted, "{name} of route {index}: {}", told());
                    }
                }
                (Outcome::UnknownHost, None) if is_unknown(&routes, &sent) => outcomes[1] += 1,
                (Outcome::NoRoute, None) if !is_unknown(&routes, &sent) => outcomes[2] += 1,
                (outcome, judged) => panic!("{outcome:?} for {judged:?}: {}", told()),
            }
        }
    }
    assert!(outcomes.iter().all(|count| *count > 500), "{outcomes:?} do not try much");
}
