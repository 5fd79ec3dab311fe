//! Shows the running state over HTTP.

use crate::exchange::Arrival;
use crate::observe::Registry;
use crate::runtime::{Commands, Outcome, Upgrade};
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use parking_lot::Mutex;
use percent_encoding::percent_decode;
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whether the edge can serve: bound, names looked up, not stopping.
#[derive(Debug, Default)]
pub struct Readiness {
    is_ready: AtomicBool,
    is_stopping: AtomicBool,
    /// What is not as it should be, though the edge serves.
    problems: Mutex<Vec<String>>,
}

impl Readiness {
    /// Says that it can serve.
    pub fn begin(&self) {
        self.is_ready.store(true, Ordering::Relaxed);
    }

    /// Says that it stops; it is not ready any more, whatever is said after that.
    pub fn stop(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
    }

    /// Says what is not as it should be from here on.
    pub fn tell(&self, problems: Vec<String>) {
        *self.problems.lock() = problems;
    }

    /// Whether it can serve.
    pub fn is_ready(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed) && !self.is_stopping.load(Ordering::Relaxed)
    }
}

/// The app behind the admin address, and behind the socket for commands.
#[derive(Clone, Debug)]
pub struct Admin {
    registry: Registry,
    readiness: Arc<Readiness>,
    /// Only where commands come in.
    commands: Option<Commands>,
}

impl Admin {
    /// An app over what the process counts.
    pub fn new(registry: Registry, readiness: Arc<Readiness>) -> Self {
        Self { registry, readiness, commands: None }
    }

    /// The same, which does what it is told under `/api/`.
    #[must_use]
    pub fn commanding(self, commands: Commands) -> Self {
        Self { commands: Some(commands), ..self }
    }

    /// How the edge is, as JSON.
    async fn status(commands: &Commands) -> Answer {
        let Some(status) = commands.status().await else { return Answer::ending() };
        // It holds nothing that JSON cannot say.
        let body = serde_json::to_string(&status).unwrap_or_default() + "\n";
        Answer { status: StatusCode::OK, kind: "application/json", body }
    }

    /// Reloads; what became of it as JSON.
    async fn reload(commands: &Commands, is_dry_run: bool) -> Answer {
        let Some(outcome) = commands.reload(is_dry_run).await else { return Answer::ending() };
        let status = match outcome {
            Outcome::Rejected { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Outcome::NeedsUpgrade { .. } => StatusCode::CONFLICT,
            _ => StatusCode::OK,
        };
        // It holds nothing that JSON cannot say.
        let body = serde_json::to_string(&outcome).unwrap_or_default() + "\n";
        Answer { status, kind: "application/json", body }
    }

    /// Has another process take the place; what became of it as JSON.
    async fn upgrade(commands: &Commands, query: &[u8]) -> Answer {
        let (mut binary, mut patience) = (None, None);
        for pair in query.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut sides = pair.splitn(2, |byte| *byte == b'=');
            let (key, value) = (sides.next().unwrap_or_default(), sides.next().unwrap_or_default());
            let value = percent_decode(value).collect::<Vec<u8>>();
            let text = String::from_utf8_lossy(&value);
            match (key, text.parse()) {
                (b"binary", _) => binary = Some(PathBuf::from(OsString::from_vec(value))),
                (b"timeout", Ok(seconds)) => patience = Some(Duration::from_secs(seconds)),
                _ => {
                    let what = "The query may hold binary=PATH and timeout=SECONDS.\n";
                    return Answer::text(StatusCode::BAD_REQUEST, what);
                }
            }
        }
        let upgrade = commands.upgrade(binary, patience).await;
        let Some(upgrade) = upgrade else { return Answer::ending() };
        let status = match upgrade {
            Upgrade::Done { .. } => StatusCode::OK,
            Upgrade::Failed { .. } => StatusCode::BAD_GATEWAY,
        };
        // It holds nothing that JSON cannot say.
        let body = serde_json::to_string(&upgrade).unwrap_or_default() + "\n";
        Answer { status, kind: "application/json", body }
    }

    fn answer(&self, method: &Method, path: &str, wants_json: bool) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::text(StatusCode::METHOD_NOT_ALLOWED, "Only GET is served here.\n");
        }
        match path {
            "/metrics" => Answer {
                status: StatusCode::OK,
                kind: "text/plain; version=0.0.4; charset=utf-8",
                body: self.registry.encode(),
            },
            "/healthz" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(wants_json),
            "/" => Answer::text(StatusCode::OK, "falconer\n\n/metrics\n/healthz\n/readyz\n"),
            _ => Answer::text(StatusCode::NOT_FOUND, "Nothing here; see /.\n"),
        }
    }

    fn ready(&self, wants_json: bool) -> Answer {
        let is_ready = self.readiness.is_ready();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if wants_json {
            let problems = self.readiness.problems.lock().clone();
            let body = if problems.is_empty() {
                serde_json::json!({ "ready": is_ready })
            } else {
                serde_json::json!({ "ready": is_ready, "problems": problems })
            };
            let body = format!("{body}\n");
            return Answer { status, kind: "application/json", body };
        }
        Answer::text(status, if is_ready { "ready\n" } else { "not ready\n" })
    }
}

struct Answer {
    status: StatusCode,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn ending() -> Self {
        Self::text(StatusCode::SERVICE_UNAVAILABLE, "The edge is about to end.\n")
    }

    fn text(status: StatusCode, body: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        if let Some(arrival) = Arrival::current() {
            arrival.enter();
        }
        let request = session.req_header();
        let accept = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_json = accept.is_some_and(|accept| accept.contains("json"));
        let answer = match (&self.commands, &request.method, request.uri.path()) {
            (Some(commands), &Method::POST, "/api/reload") => match request.uri.query() {
                None => Self::reload(commands, false).await,
                Some("dry_run=true") => Self::reload(commands, true).await,
                Some(_) => Answer::text(
                    StatusCode::BAD_REQUEST,
                    "The query may be dry_run=true, or nothing.\n",
                ),
            },
            (Some(commands), &Method::GET, "/api/status") => Self::status(commands).await,
            (Some(commands), &Method::POST, "/api/upgrade") => {
                let query = request.uri.query().unwrap_or_default().as_bytes();
                Self::upgrade(commands, query).await
            }
            (_, method, path) => self.answer(method, path, wants_json),
        };
        let length = answer.body.len();
        let request = session.req_header();
        let body = if request.method == Method::HEAD { String::new() } else { answer.body };
        let response = Response::builder()
            .status(answer.status)
            .header(header::CONTENT_TYPE, answer.kind)
            .header(header::CACHE_CONTROL, "no-store")
            .header(header::CONTENT_LENGTH, length)
            .body(body.into_bytes());
        // Every part is valid, so the fallback never comes.
        response.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_turns_the_probe() {
        let readiness = Arc::new(Readiness::default());
        let admin = Admin::new(Registry::new(), readiness.clone());
        assert_eq!(admin.answer(&Method::GET, "/readyz", false).status, 503);
        readiness.begin();
        let answer = admin.answer(&Method::GET, "/readyz", true);
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "{\"ready\":true}\n"));
        readiness.stop();
        readiness.begin();
        assert_eq!(admin.answer(&Method::GET, "/readyz", false).status, 503, "it stays so");
    }

    #[test]
    fn only_reading_is_served() {
        let admin = Admin::new(Registry::new(), Arc::default());
        assert_eq!(admin.answer(&Method::POST, "/metrics", false).status, 405);
        assert_eq!(admin.answer(&Method::GET, "/nothing", false).status, 404);
    }
}
