use super::*;
use crate::config::{Read, read_text};
use crate::observe::Registry;
use crate::runtime::compile;
use crate::upstream::Config;
use http::HeaderValue;
use serde_json::json;
use std::path::Path;

const DOCUMENT: &str = "
listeners: {web: {address: ':80'}, secure: {address: ':443'}}
upstreams:
  app:
    endpoints: [http://a:1, {url: http://b:2, weight: 3}]
    balance: {hash: {key: '{client.ip}'}}
    timeouts: {idle: 5s}
filters: [request_id: {}]
routes:
  - {name: first, priority: 1, match: {path: /first}, reply: {}}
  - name: api
    match: {host: shop.test, path: '/api/{id}'}
    filters: [rewrite: {strip_prefix: /api}]
    timeouts: {response: 10m}
    upstream: app
  - {name: api-post, match: {host: shop.test, path: '/api/{id}', method: POST}, reply: {}}
  - {name: tagged, match: {host: shop.test, path: '/api/{x}', header: {X-Tag: a*}}, reply: {}}
  - {name: all, match: {host: shop.test}, reply: {}}
  - {name: again, match: {host: shop.test, path: '/api/{again}'}, reply: {}}
  - {name: other, match: {host: other.test}, reply: {}}
  - {name: anywhere, match: {query: {a: present}}, reply: {}}
  - {name: secure, match: {host: shop.test, listener: secure}, reply: {}}
  - {name: near, match: {host: '*.test', client: 10.0.0.0/8, cookie: {sid: present}}, reply: {}}
";

/// The explanation of a request to `web` that this route took, or nobody.
fn explain(read: &Read, asked: Asked, route: Option<&str>) -> Explanation {
    let retained = Retained::new(Registry::new(), false);
    let (compiled, diagnostics) = compile(&read.document, None, &retained, None);
    let snapshot = compiled.unwrap_or_else(|| panic!("{diagnostics:?}")).snapshot;
    let explainer =
        Explainer { document: &read.document, snapshot: &snapshot, retained: &retained };
    let seen = Seen { asked: Some(asked), route: route.map(Into::into), ..Seen::default() };
    explainer.explain(Request::default(), &seen, None, None)
}

fn asked(path: &str) -> Asked {
    Asked {
        listener: 0,
        method: Method::GET,
        host: "shop.test".into(),
        path: path.into(),
        query: String::new(),
        headers: HeaderMap::new(),
        client: [10, 0, 0, 1].into(),
    }
}

fn losses(explanation: &Explanation) -> Vec<String> {
    let shown = |lost: &Considered| format!("{} by {}: {}", lost.route, lost.lost_by, lost.why);
    explanation.considered.iter().map(shown).collect()
}

#[test]
fn every_other_route_says_by_what_it_lost() {
    let read = read_text(Path::new("edge.yaml"), DOCUMENT);
    let mut request = asked("/api/7");
    request.headers.insert("x-tag", HeaderValue::from_static("b"));
    let explained = explain(&read, request, Some("api"));
    assert_eq!(
        losses(&explained),
        [
            "first by path: /first",
            "api-post by method: POST",
            "tagged by header: x-tag: a*",
            "all by precedence: the more specific path: \"/api/{id}\" goes before any path",
            "again by precedence: the earlier in the document wins",
            "other by host: other.test",
            "anywhere by query: a: present",
            "secure by listener: secure",
            "near by cookie: sid: present",
        ]
    );
    assert_eq!(explained.considered[0].place, "edge.yaml:10:5");
}

#[test]
fn precedence_says_which_rule_decided() {
    let read = read_text(Path::new("edge.yaml"), DOCUMENT);
    let mut request = asked("/api/7");
    request.headers.insert("x-tag", HeaderValue::from_static("a1"));
    request.query = "a=1".into();
    let by = |explained: &Explanation, route: &str| {
        let lost = explained.considered.iter().find(|lost| lost.route == route).unwrap();
        lost.why.clone()
    };
    let explained = explain(&read, request, Some("tagged"));
    assert_eq!(by(&explained, "api"), "more matchers besides host and path win");
    assert_eq!(
        by(&explained, "anywhere"),
        "the more specific host: shop.test goes before any host"
    );
    let explained = explain(&read, asked("/first"), Some("first"));
    assert_eq!(by(&explained, "all"), "priority: 1 goes before 0");
}

#[test]
fn without_a_winner_every_route_lost_by_a_matcher() {
    let read = read_text(Path::new("edge.yaml"), DOCUMENT);
    let request = Asked { host: "none".into(), ..asked("/") };
    let explained = explain(&read, request, None);
    let by: Vec<_> = explained.considered.iter().map(|lost| lost.lost_by).collect();
    assert_eq!(by.len(), 10);
    assert_eq!(by.iter().filter(|by| **by == "host").count(), 8);
    assert!(explained.route.is_none() && explained.upstream.is_none());
}

#[test]
fn the_winner_comes_with_what_the_document_says_of_it() {
    let read = read_text(Path::new("edge.yaml"), DOCUMENT);
    let explained = explain(&read, asked("/api/7"), Some("api"));
    let route = explained.route.unwrap();
    assert_eq!((route.name.as_str(), route.place.as_str()), ("api", "edge.yaml:11:5"));
    assert_eq!(route.matchers, ["host: shop.test", "path: \"/api/{id}\""]);
    assert_eq!(explained.filters, ["request_id", "rewrite: {strip_prefix: /api}"]);
    let upstream = explained.upstream.unwrap();
    assert_eq!(upstream.endpoints, ["http://a:1", "{url: http://b:2, weight: 3}"]);
    assert_eq!(upstream.options["balance"], "{hash: {key: \"{client.ip}\"}}");
    assert_eq!(upstream.options["protocol"], "h1");
    let timeouts = upstream.timeouts.iter();
    let timeouts: Vec<_> =
        timeouts.map(|(name, t)| format!("{name} {} {}", t.time, t.of_route)).collect();
    assert_eq!(
        timeouts,
        ["connect 3s false", "response 10m true", "idle 5s false", "tunnel 1h false"]
    );
}

#[test]
fn what_is_said_of_defaults_is_what_they_are() {
    let mut written = json!({ "endpoints": ["http://a:1"] });
    let default: Config = serde_json::from_value(written.clone()).unwrap();
    for (key, value) in DEFAULTS {
        written[key] = value.into();
    }
    let written: Config = serde_json::from_value(written).unwrap();
    let shown = |config: &Config| format!("{config:?}").replace("Some(Off)", "None");
    assert_eq!(shown(&default), shown(&written));
}
