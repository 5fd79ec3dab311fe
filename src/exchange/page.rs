//! The page of a failure: plain text, HTML or problem JSON (RFC 9457), by what the client accepts.

use super::{Cause, Reply, RequestId};
use http::header::{self, HeaderMap, HeaderValue};

impl Reply {
    /// The reply for a failure. `headers` are the request's, if they were read.
    pub fn failure(cause: Cause, id: &RequestId, headers: Option<&HeaderMap>) -> Self {
        let reply = Self::new(cause.status())
            .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let accept = headers.and_then(|h| h.get(header::ACCEPT)).and_then(|v| v.to_str().ok());
        match Kind::preferred(accept.unwrap_or_default()) {
            Kind::Text => reply.body("text/plain; charset=utf-8", text(cause, id)),
            Kind::Html => reply.body("text/html; charset=utf-8", html(cause, id)),
            Kind::Json => reply.body("application/problem+json", json(cause, id)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Html,
    Json,
}

impl Kind {
    /// The kind with the highest weight; the first named wins a tie, plain text wins `*/*`.
    fn preferred(accept: &str) -> Self {
        let mut best = (Self::Text, 0.0_f32);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let kind = match parts.next().unwrap_or_default() {
                "text/html" | "application/xhtml+xml" => Self::Html,
                "application/json" | "application/problem+json" | "application/*" => Self::Json,
                "text/plain" | "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            let weight = parts.find_map(|p| p.strip_prefix("q=")).map_or(Ok(1.0), str::parse);
            let weight = weight.unwrap_or(0.0);
            if weight > best.1 {
                best = (kind, weight);
            }
        }
        best.0
    }
}

/// The reason phrase; 499 has none of its own.
fn reason(cause: Cause) -> &'static str {
    cause.status().canonical_reason().unwrap_or("Failure")
}

fn text(cause: Cause, id: &RequestId) -> String {
    let status = cause.status().as_u16();
    format!("{status} {}\n\n{}\n\nRequest id: {id}\n", reason(cause), cause.sentence())
}

fn html(cause: Cause, id: &RequestId) -> String {
    let (status, reason, sentence) = (cause.status().as_u16(), reason(cause), cause.sentence());
    let id = id.to_string().replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{status} {reason}</title>\n\
         <style>:root{{color-scheme:light dark}}body{{font:1rem/1.5 system-ui,sans-serif;\
         max-width:34rem;margin:18vh auto;padding:0 1rem}}h1{{font-size:1.5rem}}\
         small{{opacity:.7}}</style>\n\
         <h1>{status} {reason}</h1>\n<p>{sentence}</p>\n\
         <p><small>Request id: <code>{id}</code></small></p>\n</html>\n"
    )
}

fn json(cause: Cause, id: &RequestId) -> String {
    let problem = serde_json::json!({
        "type": "about:blank",
        "title": reason(cause),
        "status": cause.status().as_u16(),
        "detail": cause.sentence(),
        "request_id": id.to_string(),
    });
    format!("{problem}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses_the_kind() {
        for (accept, kind) in [
            ("", Kind::Text),
            ("*/*", Kind::Text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Kind::Html),
            ("application/json", Kind::Json),
            ("application/problem+json, text/html;q=0.5", Kind::Json),
            ("text/html;q=0, application/json;q=0.1", Kind::Json),
            ("image/png", Kind::Text),
            ("text/html;q=nonsense", Kind::Text),
        ] {
            assert_eq!(Kind::preferred(accept), kind, "{accept}");
        }
    }

    #[test]
    fn every_kind_names_the_request() {
        let id = RequestId::given("id-1").unwrap();
        for page in [text, html, json] {
            let page = page(Cause::NoRoute, &id);
            assert!(page.contains("id-1") && page.contains("404"), "{page}");
        }
    }

    #[test]
    fn a_given_id_is_no_markup() {
        let id = RequestId::given("<b>&").unwrap();
        assert!(html(Cause::NoRoute, &id).contains("&lt;b>&amp;"));
    }
}
