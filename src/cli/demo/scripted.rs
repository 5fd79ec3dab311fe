//! Replies as the request asks for them.

use super::body::{Body, full, text};
use super::query::Query;
use crate::value::Problem;
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, SET_COOKIE, TRANSFER_ENCODING};
use http::{Response, StatusCode};

/// `/slow?ms=`: an answer that takes its time.
pub(super) async fn slow(query: &Query) -> Result<Response<Body>, Problem> {
    let pause = query.pause(1000)?;
    tokio::time::sleep(pause).await;
    Ok(text(StatusCode::OK, format!("answered after {} ms\n", pause.as_millis())))
}

/// `/status/N`: any final status.
pub(super) fn status(code: &str) -> Result<Response<Body>, Problem> {
    let wanted = code.parse().ok().filter(|code| (200..=599).contains(code));
    let Some(status) = wanted.and_then(|code: u16| StatusCode::from_u16(code).ok()) else {
        let what = format!("`{code}` is not a status to answer with");
        return Err(Problem::new(what, "use a number from 200 to 599"));
    };
    let mut response = text(status, format!("status {status}\n"));
    let bare = [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED];
    if bare.contains(&status) {
        response = Response::new(full(""));
        *response.status_mut() = status;
    }
    Ok(response)
}

/// `/headers?name=value`: any response headers, in the order given.
pub(super) fn headers(query: &Query) -> Result<Response<Body>, Problem> {
    let mut response = Response::new(full("see the headers\n"));
    for (name, value) in query.pairs() {
        let (name, value) = (header_name(name)?, header_value(value)?);
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

/// `/cookie`: two cookies.
pub(super) fn cookies() -> Response<Body> {
    let mut response = text(StatusCode::OK, "two cookies set\n");
    for cookie in ["session=demo; Path=/; HttpOnly; SameSite=Lax", "theme=dark; Path=/"] {
        response.headers_mut().append(SET_COOKIE, HeaderValue::from_static(cookie));
    }
    response
}

fn header_name(name: &str) -> Result<HeaderName, Problem> {
    let bad = |what: &str| Problem::new(format!("`{name}` {what}"), "use another name");
    match HeaderName::from_bytes(name.as_bytes()) {
        Ok(CONTENT_LENGTH | TRANSFER_ENCODING) => Err(bad("is for the server to set")),
        Ok(name) => Ok(name),
        Err(_) => Err(bad("is not a header name")),
    }
}

fn header_value(value: &str) -> Result<HeaderValue, Problem> {
    HeaderValue::from_str(value).map_err(|_| {
        let what = format!("`{}` is not a header value", value.escape_debug());
        Problem::new(what, "leave out control characters")
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;
    use std::time::{Duration, Instant};

    #[tokio::test]
    async fn any_final_status_is_answered() {
        let demo = Demo::start().await;
        for code in [200, 302, 404, 418, 503, 599] {
            let reply = demo.get(&format!("/status/{code}")).await;
            assert_eq!(reply.status, code);
            assert!(reply.text().starts_with(&format!("status {code}")));
        }
    }

    #[tokio::test]
    async fn a_status_that_forbids_a_body_has_none() {
        let demo = Demo::start().await;
        for code in [204, 304] {
            let mut client = demo.connect().await;
            let request =
                format!("GET /status/{code} HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n");
            client.send(&request).await;
            let head = client.head().await;
            assert_eq!((head.status, head.header("content-length")), (code, None));
            assert_eq!(client.rest().await, b"");
        }
    }

    #[tokio::test]
    async fn headers_are_set_as_asked_and_may_repeat() {
        let demo = Demo::start().await;
        let reply = demo.get("/headers?X-A=1&Cache-Control=max-age%3D5&X-A=two+words").await;
        assert_eq!(reply.headers("x-a"), ["1", "two words"]);
        assert_eq!(reply.header("cache-control"), Some("max-age=5"));
    }

    #[tokio::test]
    async fn headers_that_would_break_the_response_are_refused() {
        let demo = Demo::start().await;
        for query in ["Content-Length=5", "transfer-encoding=chunked", "a+b=1", "x=a%0d%0ab", "=1"]
        {
            assert_eq!(demo.get(&format!("/headers?{query}")).await.status, 400, "{query}");
        }
    }

    #[tokio::test]
    async fn two_cookies_come_in_two_headers() {
        let cookies = Demo::start().await.get("/cookie").await;
        assert_eq!(cookies.headers("set-cookie").len(), 2);
    }

    #[tokio::test]
    async fn a_slow_answer_takes_the_time_asked() {
        let demo = Demo::start().await;
        let start = Instant::now();
        assert_eq!(demo.get("/slow?ms=80").await.text(), "answered after 80 ms\n");
        assert!(start.elapsed() >= Duration::from_millis(80));
    }
}
