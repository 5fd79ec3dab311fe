//! Which path leads to which reply.

use super::body::{Body, text};
use super::query::Query;
use super::{echo, page, scripted, stream, websocket};
use crate::value::Problem;
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::sync::watch;

/// One instance of the sample application; whoever holds a clone delays its end.
#[derive(Clone)]
pub(super) struct App {
    name: Arc<str>,
    header: HeaderValue,
    stop: watch::Receiver<bool>,
}

impl App {
    /// An instance that stops when it reads `true` or the sender is gone.
    pub(super) fn new(name: &str, stop: watch::Receiver<bool>) -> Self {
        let header = HeaderValue::from_str(name).unwrap_or(HeaderValue::from_static("demo"));
        Self { name: name.into(), header, stop }
    }

    /// The response to a request, whatever it asks.
    pub(super) async fn answer(&self, request: Request<Incoming>, remote: &str) -> Response<Body> {
        let answer = self.dispatch(request, remote).await;
        let mut response =
            answer.unwrap_or_else(|problem| text(StatusCode::BAD_REQUEST, format!("{problem}\n")));
        response.headers_mut().insert("x-instance", self.header.clone());
        response
    }

    /// Ends when the instance shall stop.
    pub(super) fn stopped(&self) -> impl Future<Output = ()> + use<> {
        let mut stop = self.stop.clone();
        async move {
            let _ = stop.wait_for(|stop| *stop).await;
        }
    }

    async fn dispatch(
        &self,
        request: Request<Incoming>,
        remote: &str,
    ) -> Result<Response<Body>, Problem> {
        let uri = request.uri().clone();
        let query = Query::of(&uri);
        // Only the targets of OPTIONS * and CONNECT lack the slash; no page is theirs.
        let path = uri.path().strip_prefix('/').unwrap_or("*");
        let split = path.split_once('/').map(|(first, rest)| (first, Some(rest)));
        match split.unwrap_or((path, None)) {
            ("", None) => Ok(page::page(&self.name, remote, request)),
            ("echo", None) => echo::echo(request, remote).await,
            ("upload", None) => echo::upload(request).await,
            ("sse", None) => stream::events(&query, &self.name),
            ("chunks", Some(count)) => stream::chunks(count, &query),
            ("bytes", Some(size)) => stream::bytes(size),
            ("trailers", None) => Ok(stream::trailers()),
            ("slow", None) => scripted::slow(&query).await,
            ("status", Some(code)) => scripted::status(code),
            ("headers", None) => scripted::headers(&query),
            ("cookie", None) => Ok(scripted::cookies()),
            ("ws", None) => websocket::accept(request, self),
            _ => Ok(text(StatusCode::NOT_FOUND, format!("no such page: {}\n", uri.path()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;

    #[tokio::test]
    async fn every_response_names_its_instance() {
        let demo = Demo::start().await;
        for path in ["/", "/echo", "/status/204", "/slow?ms=x", "/nowhere"] {
            assert_eq!(demo.get(path).await.header("x-instance"), Some("test"), "{path}");
        }
    }

    #[tokio::test]
    async fn an_unknown_path_is_not_found() {
        let demo = Demo::start().await;
        for path in ["/nowhere", "/echo/more", "/bytes", "/status"] {
            let reply = demo.get(path).await;
            assert_eq!((reply.status, reply.text()), (404, format!("no such page: {path}\n")));
        }
    }

    #[tokio::test]
    async fn a_target_that_is_no_path_is_not_found() {
        let demo = Demo::start().await;
        for line in ["OPTIONS *", "CONNECT demo.test:443"] {
            let mut client = demo.connect().await;
            client.send(&format!("{line} HTTP/1.1\r\nHost: demo\r\n\r\n")).await;
            assert_eq!(client.reply().await.status, 404, "{line}");
        }
    }

    #[tokio::test]
    async fn a_bad_number_is_answered_with_what_to_write() {
        let demo = Demo::start().await;
        let reply = demo.get("/sse?n=many").await;
        assert_eq!(reply.status, 400);
        assert_eq!(reply.text(), "`n=many` is not a number; write a whole number, such as `5`\n");
        for path in
            ["/slow?ms=-1", "/bytes/x", "/bytes/17GiB", "/chunks/1.5", "/status/99", "/status/600"]
        {
            assert_eq!(demo.get(path).await.status, 400, "{path}");
        }
    }
}
