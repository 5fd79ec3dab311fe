use super::*;
use std::collections::HashMap;

/// Facts by the name of their variable.
struct Known(HashMap<&'static str, &'static str>);

impl Facts for Known {
    fn write(&self, variable: &Variable, out: &mut String) {
        out.push_str(self.0.get(variable.to_string().as_str()).unwrap_or(&""));
    }
}

fn template(source: &str) -> Template {
    source.parse().unwrap()
}

fn render<const N: usize>(
    source: &str,
    escape: Escape,
    facts: [(&'static str, &'static str); N],
) -> String {
    let mut out = String::new();
    template(source).render(&Known(facts.into()), escape, &mut out);
    out
}

fn problem(source: &str) -> String {
    source.parse::<Template>().unwrap_err().to_string()
}

#[test]
fn facts_take_the_place_of_their_names() {
    let facts = [("request.host", "a.example"), ("request.id", "7")];
    let text = render("<{request.host}|{request.id}|{tls.sni}>", Escape::Text, facts);
    assert_eq!(text, "<a.example|7|>", "what is absent is empty");
}

#[test]
fn rendering_appends_to_what_is_there() {
    let mut out = String::from("//kept\n");
    let facts = Known([("request.path", "//x")].into());
    template("{request.path}").render(&facts, Escape::UrlPath, &mut out);
    template("\n{request.id}").render(&facts, Escape::Header, &mut out);
    assert_eq!(out, "//kept\n/x");
}

#[test]
fn doubled_braces_are_literal() {
    assert_eq!(template("{{\"a\": 1}}").constant(), Some("{\"a\": 1}"));
    assert_eq!(render("{{{request.id}}}", Escape::Text, [("request.id", "7")]), "{7}");
    assert_eq!(template("{{request.id}}").constant(), Some("{request.id}"));
}

#[test]
fn a_text_without_variables_is_constant() {
    assert_eq!(template("plain").constant(), Some("plain"));
    assert_eq!(template("").constant(), Some(""));
    assert!(!template("a{request.id}").is_constant());
    assert_eq!(template("a{request.id}").constant(), None);
}

#[test]
fn the_variables_are_listed_in_order() {
    let template = template("{path.page}/x/{request.header.x-a}{path.page}");
    let names: Vec<_> = template.variables().map(ToString::to_string).collect();
    assert_eq!(names, ["path.page", "request.header.x-a", "path.page"]);
}

#[test]
fn the_source_is_shown_as_written() {
    assert_eq!(template("{{x}} {request.id}").to_string(), "{{x}} {request.id}");
}

#[test]
fn a_brace_without_its_pair_is_a_problem() {
    let open = "a `{` in `a {request.id` has no `}`; add it, or write `{{` for a literal brace";
    assert_eq!(problem("a {request.id"), open);
    let closed = "a `}` in `a} b` has no `{`; add it, or write `}}` for a literal brace";
    assert_eq!(problem("a} b"), closed);
    assert!(problem("{").contains("has no `}`"));
    assert!(problem("{request.id}}").contains("has no `{`"));
}

#[test]
fn an_unknown_name_is_a_problem() {
    assert_eq!(
        problem("https://{request.hots}/"),
        "`{request.hots}` is not known in a template; did you mean `{request.host}`?"
    );
}

#[test]
fn line_breaks_never_pass_into_a_header() {
    let facts = [("request.header.x-a", "a\r\nset-cookie: b\0\x07\tc\u{e9}")];
    let value = render("v={request.header.x-a}\n", Escape::Header, facts);
    assert_eq!(value, "v=aset-cookie: b\tc\u{e9}");
    assert!(http::HeaderValue::from_str(&value).is_ok());
}

#[test]
fn text_is_left_alone() {
    let value = render("{request.header.x-a}", Escape::Text, [("request.header.x-a", "a\n%&/")]);
    assert_eq!(value, "a\n%&/");
}

#[test]
fn a_value_stays_data_inside_a_url() {
    let facts = [("request.header.x-a", "a/b?c=d&e#f%20 \u{e9}~")];
    let encoded = "a%2Fb%3Fc%3Dd%26e%23f%2520%20%C3%A9~";
    let path = render("/t/{request.header.x-a}/end", Escape::UrlPath, facts);
    assert_eq!(path, format!("/t/{encoded}/end"));
    let query = render("{request.header.x-a}", Escape::UrlQuery, facts);
    assert_eq!(query, encoded);
}

#[test]
fn what_is_encoded_already_is_not_encoded_twice() {
    let facts = [
        ("request.path", "/a%20b/c+d"),
        ("request.query", "x=%26&y=[1]"),
        ("path.rest", "e%2Ff/g"),
    ];
    let url = "https://a.example{request.path}/{path.rest}?{request.query}";
    assert_eq!(
        render(url, Escape::UrlPath, facts),
        "https://a.example/a%20b/c+d/e%2Ff/g?x=%26&y=[1]"
    );
}

#[test]
fn what_may_not_stand_in_a_url_is_encoded_even_so() {
    let facts = [("request.path", "/a b#\u{e9}\n"), ("request.query", "a b#\u{e9}\"\n")];
    let url = render("{request.path}?{request.query}", Escape::UrlPath, facts);
    assert_eq!(url, "/a%20b%23%C3%A9%0A?a%20b%23%C3%A9%22%0A");
}

#[test]
fn a_path_inside_a_query_stays_in_its_parameter() {
    let facts = [("request.path", "/a&admin=1;b+c%26")];
    let url = render("/login?back={request.path}&x=1", Escape::UrlPath, facts);
    assert_eq!(url, "/login?back=/a%26admin=1%3Bb%2Bc%26&x=1");
    let query = render("back={request.path}", Escape::UrlQuery, facts);
    assert_eq!(query, "back=/a%26admin=1%3Bb%2Bc%26");
}

#[test]
fn a_host_may_name_the_host_of_a_url() {
    let to = "https://{request.host}/x";
    let ask = |host| render(to, Escape::UrlPath, [("request.host", host)]);
    assert_eq!(ask("a.example"), "https://a.example/x");
    assert_eq!(ask("[2001:db8::1]"), "https://[2001:db8::1]/x");
    assert_eq!(ask("a.example/b@c?d"), "https://a.example%2Fb%40c%3Fd/x");
}

#[test]
fn a_path_never_names_another_host() {
    for (source, path) in [
        ("{request.path}", "//evil.example/x"),
        ("{request.path}", "///evil.example/x"),
        ("/{path.rest}", "/evil.example/x"),
    ] {
        let facts = [("request.path", path), ("path.rest", path)];
        assert_eq!(render(source, Escape::UrlPath, facts), "/evil.example/x", "{source} {path}");
    }
    let backslash =
        render("{request.path}", Escape::UrlPath, [("request.path", "/\\evil.example")]);
    assert_eq!(backslash, "/%5Cevil.example");
}

#[test]
fn a_value_at_the_beginning_is_a_path_and_never_a_scheme() {
    let ask = |source, rest| render(source, Escape::UrlPath, [("path.rest", rest)]);
    assert_eq!(ask("{path.rest}", "https://evil.example/x"), "/https://evil.example/x");
    assert_eq!(ask("{path.rest}/y", "javascript:alert(1)"), "/javascript:alert(1)/y");
    assert_eq!(ask("{path.rest}", ""), "/");
    let facts = [("request.scheme", "https"), ("request.host", "a.example")];
    let url = render("{request.scheme}://{request.host}/x", Escape::UrlPath, facts);
    assert_eq!(url, "https://a.example/x");
}

#[test]
fn a_capture_in_a_host_stays_within_its_label() {
    let ask = |source, page| {
        render(source, Escape::UrlPath, [("path.page", page), ("request.path", "/p/q")])
    };
    let to = "https://{path.page}.example.com{request.path}{path.page}";
    assert_eq!(ask(to, "shop"), "https://shop.example.com/p/qshop");
    assert_eq!(ask(to, "a/b"), "https://a%2Fb.example.com/p/qa/b");
    assert_eq!(
        ask("//cdn.example:80{path.page}", "@evil.example/"),
        "//cdn.example:80%40evil.example%2F"
    );
    assert_eq!(ask("https://a.example/{path.page}", "x@y:z//w"), "https://a.example/x@y:z//w");
    assert_eq!(ask("/go/https://{path.page}", "a/b"), "/go/https://a/b");
}

#[test]
fn an_operator_may_name_another_host() {
    let url = render("//cdn.example{request.path}", Escape::UrlPath, [("request.path", "/x")]);
    assert_eq!(url, "//cdn.example/x");
}

#[test]
fn it_is_a_word_of_the_document() {
    let read = |json: serde_json::Value| serde_json::from_value::<Template>(json);
    assert_eq!(read("{request.id}".into()).unwrap(), template("{request.id}"));
    assert!(read("{nonsense}".into()).unwrap_err().to_string().contains("not known"));
    let schema = schemars::schema_for!(Template);
    assert_eq!(schema.get("format").unwrap(), "template");
}

#[test]
fn a_value_ends_no_line_and_no_quotes() {
    let facts = [("request.header.x-a", "a\"\\\r\n\u{7f}\u{fc} b")];
    let line = render("\"{request.header.x-a}\" \u{fc}", Escape::Line, facts);
    assert_eq!(line, "\"a\\x22\\x5C\\x0D\\x0A\\x7F\\xC3\\xBC b\" \u{fc}");
}

#[test]
fn what_only_the_access_log_knows_is_refused_elsewhere() {
    assert!(problem("{duration_ms}").starts_with("`{duration_ms}` is not known in a template; "));
    assert!(Template::of_log("{duration_ms} {request.host}").is_ok());
}
