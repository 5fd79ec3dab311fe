//! Shows the running state over HTTP, and takes commands.

mod answer;
mod api;
mod body;
mod guard;
mod readiness;
mod upgrade;
mod upstreams;

use crate::exchange::Arrival;
use crate::observe::Registry;
use crate::runtime::Commands;
use answer::Answer;
use async_trait::async_trait;
use http::{Method, Response, StatusCode, header};
use pingora::apps::http_app::ServeHttp;
use pingora::protocols::http::ServerSession;
use std::sync::Arc;

use guard::Door;
pub use guard::Guard;
pub use readiness::Readiness;

/// The app behind the admin address, and behind the socket for commands.
#[derive(Clone, Debug)]
pub struct Admin {
    registry: Registry,
    readiness: Arc<Readiness>,
    commands: Commands,
    guard: Arc<Guard>,
    /// Whether only those can ask who may do everything.
    is_private: bool,
}

impl Admin {
    /// An app over what the process counts, for the admin address.
    pub fn new(
        registry: Registry,
        readiness: Arc<Readiness>,
        commands: Commands,
        guard: Arc<Guard>,
    ) -> Self {
        Self { registry, readiness, commands, guard, is_private: false }
    }

    /// The same, for the socket in the state folder.
    #[must_use]
    pub fn commanding(self) -> Self {
        Self { is_private: true, ..self }
    }

    async fn answer(&self, session: &mut ServerSession, door: Door) -> Answer {
        let request = session.req_header();
        let path = request.uri.path();
        if path.starts_with("/api/") {
            if let Some(refused) = self.guard.refuse(request, door) {
                return refused;
            }
            if let Some(answer) = api::answer(session, &self.commands, door).await {
                return answer;
            }
        }
        let request = session.req_header();
        let accept = request.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_json = accept.is_some_and(|accept| accept.contains("json"));
        self.show(&request.method, request.uri.path(), wants_json)
    }

    /// What needs no token.
    fn show(&self, method: &Method, path: &str, wants_json: bool) -> Answer {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Answer::not_allowed("GET, HEAD");
        }
        match path {
            "/metrics" => Answer::new(
                StatusCode::OK,
                "text/plain; version=0.0.4; charset=utf-8",
                self.registry.encode(),
            ),
            "/healthz" => Answer::text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready(wants_json),
            "/" => Answer::text(StatusCode::OK, PLACES),
            _ => Answer::text(StatusCode::NOT_FOUND, "Nothing here; see /.\n"),
        }
    }

    fn ready(&self, wants_json: bool) -> Answer {
        let is_ready = self.readiness.is_ready();
        let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        if !wants_json {
            return Answer::text(status, if is_ready { "ready\n" } else { "not ready\n" });
        }
        let problems = self.readiness.problems();
        Answer::json(
            status,
            &match problems.is_empty() {
                true => serde_json::json!({ "ready": is_ready }),
                false => serde_json::json!({ "ready": is_ready, "problems": problems }),
            },
        )
    }
}

/// What is where.
const PLACES: &str = "\
falconer

/metrics
/healthz
/readyz
/api/status
/api/config
/api/documents
/api/reload
/api/rollback
";

#[async_trait]
impl ServeHttp for Admin {
    async fn response(&self, session: &mut ServerSession) -> Response<Vec<u8>> {
        let arrival = Arrival::current();
        if let Some(arrival) = &arrival {
            arrival.enter();
        }
        let door = match arrival {
            _ if self.is_private => Door::Commands,
            Some(arrival) if arrival.connection.peer.is_none() => Door::Socket,
            _ => Door::Network,
        };
        let answer = self.answer(session, door).await;
        if !session.is_body_done() {
            // What is not wanted is not read to its end either.
            session.set_keepalive(None);
        }
        answer.response(session.req_header().method == Method::HEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admin(readiness: &Arc<Readiness>) -> Admin {
        let (commands, _) = Commands::new();
        Admin::new(Registry::new(), readiness.clone(), commands, Arc::default())
    }

    #[test]
    fn readiness_turns_the_probe() {
        let readiness = Arc::new(Readiness::default());
        let admin = admin(&readiness);
        assert_eq!(admin.show(&Method::GET, "/readyz", false).status, 503);
        readiness.begin();
        let answer = admin.show(&Method::GET, "/readyz", true);
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, "{\"ready\":true}\n"));
        readiness.stop();
        readiness.begin();
        assert_eq!(admin.show(&Method::GET, "/readyz", false).status, 503, "it stays so");
    }

    #[test]
    fn only_reading_is_served() {
        let admin = admin(&Arc::default());
        assert_eq!(admin.show(&Method::POST, "/metrics", false).status, 405);
        assert_eq!(admin.show(&Method::GET, "/nothing", false).status, 404);
    }
}
