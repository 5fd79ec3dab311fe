//! What the admin answers.

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use serde::Serialize;

/// An answer; it is never stored by whoever gets it.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) body: String,
    /// Further fields.
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, kind: &'static str, body: String) -> Self {
        Self { status, kind, body, fields: Vec::new() }
    }

    pub(super) fn text(status: StatusCode, body: &str) -> Self {
        Self::new(status, "text/plain; charset=utf-8", body.into())
    }

    pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Self {
        // Nothing that is answered holds what JSON cannot say.
        let body = serde_json::to_string(value).unwrap_or_default() + "\n";
        Self::new(status, "application/json", body)
    }

    pub(super) fn ending() -> Self {
        Self::text(
            StatusCode::SERVICE_UNAVAILABLE,
            "This process is about to end, or another one has its place.\n",
        )
    }

    /// Only these methods are served.
    pub(super) fn not_allowed(allowed: &'static str) -> Self {
        let body = format!("Only {allowed} is served here.\n");
        let answer = Self::text(StatusCode::METHOD_NOT_ALLOWED, &body);
        answer.with(header::ALLOW, HeaderValue::from_static(allowed))
    }

    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With the number of the snapshot that it tells of.
    pub(super) fn of_generation(self, generation: u64) -> Self {
        let tag = HeaderValue::try_from(format!("\"{generation}\""));
        match tag {
            Ok(tag) => self.with(header::ETAG, tag),
            Err(_) => self,
        }
    }

    pub(super) fn response(self, is_head: bool) -> Response<Vec<u8>> {
        let length = self.body.len();
        let body = if is_head { String::new() } else { self.body };
        let mut response = Response::new(body.into_bytes());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.extend(self.fields);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.kind));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::CONTENT_LENGTH, length.into());
        response
    }
}
