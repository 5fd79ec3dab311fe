//! `/`: the page that shows what reached the application, with something to press for each path.

use super::body::{Body, full, typed};
use super::echo;
use http::header::{CACHE_CONTROL, HeaderValue};
use http::{Request, Response, request};
use hyper::body::Incoming;

/// The page, filled in for one request.
pub(super) fn page(name: &str, remote: &str, request: Request<Incoming>) -> Response<Body> {
    let (head, _) = request.into_parts();
    let page = fill(TEMPLATE, |blank| match blank {
        "instance" => escape(name),
        "way" => way(&head).into(),
        "request" => escape(&format!("{} {}", head.method, echo::target(&head))),
        "protocol" => echo::protocol(head.version),
        "remote" => escape(remote),
        "arrival" => rows(&head, is_of_arrival),
        "others" => rows(&head, |name| !is_of_arrival(name)),
        _ => String::new(),
    });
    let mut response = typed("text/html; charset=utf-8", full(page));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Replaces each `{{blank}}` in one pass, so that what is filled in is never filled in itself.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut page = String::with_capacity(template.len() * 2);
    for (index, part) in template.split("{{").enumerate() {
        match part.split_once("}}") {
            Some((blank, rest)) if index > 0 => {
                page.push_str(&value(blank));
                page.push_str(rest);
            }
            _ => page.push_str(part),
        }
    }
    page
}

/// The stations between browser and application, as far as the headers tell.
fn way(head: &request::Parts) -> &'static str {
    match head.headers.keys().any(|name| is_of_the_way(name.as_str())) {
        true => r#"<b id="front">&rarr;</b> <span>the edge</span> "#,
        false => "",
    }
}

fn rows(head: &request::Parts, belongs: impl Fn(&str) -> bool) -> String {
    let headers = echo::headers(head).into_iter().filter(|[name, _]| belongs(name));
    let rows = headers.map(|[name, value]| {
        let class = if is_of_the_way(&name) { " class=\"way\"" } else { "" };
        format!("<tr{class}><th>{}</th><td>{}</td></tr>\n", escape(&name), escape(&value))
    });
    rows.collect()
}

/// Whether a header says where a request wants to go or which way it came.
fn is_of_arrival(name: &str) -> bool {
    ["host", ":authority"].contains(&name) || is_of_the_way(name)
}

/// Whether a proxy adds a header of this name on the way.
fn is_of_the_way(name: &str) -> bool {
    let names = ["forwarded", "via", "x-real-ip", "x-request-id", "traceparent", "tracestate"];
    names.contains(&name) || name.starts_with("x-forwarded-")
}

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

const TEMPLATE: &str = include_str!("page.html");

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;
    use super::*;

    async fn page(headers: &str) -> String {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        client.send(&format!("GET / HTTP/1.1\r\nHost: demo.test\r\n{headers}\r\n")).await;
        client.reply().await.text()
    }

    #[tokio::test]
    async fn the_page_shows_instance_protocol_and_headers() {
        let page = page("Accept: x/y\r\nX-Forwarded-For: 192.0.2.7\r\n").await;
        assert!(page.contains("<h1>test</h1>"));
        assert!(page.contains("HTTP/1.1"));
        let forwarded =
            page.find("<tr class=\"way\"><th>x-forwarded-for</th><td>192.0.2.7</td></tr>");
        let accept = page.find("<tr><th>accept</th><td>x/y</td></tr>");
        let others = page.find("<details>");
        assert!(forwarded.unwrap() < others.unwrap() && others.unwrap() < accept.unwrap());
        assert!(!page.contains("{{"));
    }

    #[tokio::test]
    async fn the_edge_is_drawn_only_if_a_header_tells_of_it() {
        let edge = "<span>the edge</span>";
        assert!(page("Via: 1.1 edge\r\n").await.contains(edge));
        assert!(!page("").await.contains(edge));
    }

    #[tokio::test]
    async fn headers_cannot_write_into_the_page() {
        let page = page("X-A: <script>'\"&{{instance}}\r\n").await;
        assert!(page.contains("<td>&lt;script&gt;&#39;&quot;&amp;{{instance}}</td>"));
    }

    #[test]
    fn the_page_asks_for_nothing_from_elsewhere() {
        let outside = ["src=", "href=\"/", "href=\"http", "url(", "@import"];
        assert_eq!(outside.map(|text| TEMPLATE.contains(text)), [false; 5]);
    }
}
