//! Shows the endpoints of upstreams, and has one of them get no further requests.

use super::answer::Answer;
use crate::runtime::Commands;
use http::StatusCode;
use percent_encoding::percent_decode_str;

/// Every upstream with its endpoints, as JSON.
pub(super) async fn list(commands: &Commands) -> Result<Answer, Answer> {
    let list = commands.upstreams().await.ok_or_else(Answer::ending)?;
    Ok(Answer::json(StatusCode::OK, &list))
}

/// Drains an endpoint, or resumes it.
pub(super) async fn drain(
    commands: &Commands,
    query: &str,
    is_draining: bool,
) -> Result<Answer, Answer> {
    let (mut upstream, mut endpoint) = (None, None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = Some(percent_decode_str(value).decode_utf8_lossy().into_owned());
        match key {
            "upstream" => upstream = value,
            "endpoint" => endpoint = value,
            _ => return Err(usage()),
        }
    }
    let (Some(upstream), Some(endpoint)) = (upstream, endpoint) else { return Err(usage()) };
    let done = commands.drain(upstream, endpoint, is_draining).await.ok_or_else(Answer::ending)?;
    match done {
        Ok(drained) => Ok(Answer::json(StatusCode::OK, &drained)),
        Err(what) => Err(Answer::text(StatusCode::NOT_FOUND, &format!("{what}\n"))),
    }
}

fn usage() -> Answer {
    let what = "The query must hold upstream=NAME and endpoint=URL, or an address of it.\n";
    Answer::text(StatusCode::BAD_REQUEST, what)
}
