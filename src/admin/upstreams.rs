//! Shows the endpoints of upstreams, and does what operators want done with one of them.

use super::answer::Answer;
use crate::runtime::{Act, Commands};
use crate::value::{Duration, Problem};
use http::StatusCode;
use percent_encoding::percent_decode_str;

/// How long an endpoint that drains keeps the clients that belong to it, unless it is said.
const KEEPS_FOR: Duration = Duration::secs(600);

/// Every upstream with its endpoints, as JSON.
pub(super) async fn list(commands: &Commands) -> Result<Answer, Answer> {
    let list = commands.upstreams().await.ok_or_else(Answer::ending)?;
    Ok(Answer::json(StatusCode::OK, &list))
}

/// What the path says is done with an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    /// It drains.
    Drain,
    /// It drains no more.
    Resume,
    /// It gets the weight that the query says.
    Weight,
}

/// Does it with the endpoint that the query names.
pub(super) async fn act(commands: &Commands, query: &str, what: What) -> Result<Answer, Answer> {
    let (mut upstream, mut endpoint, mut weight, mut within) = (None, None, None, KEEPS_FOR);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_decode_str(value).decode_utf8_lossy().into_owned();
        match (key, what) {
            ("upstream", _) => upstream = Some(value),
            ("endpoint", _) => endpoint = Some(value),
            ("weight", What::Weight) => weight = Some(value),
            ("within", What::Drain) => {
                within = value.parse().map_err(|problem| refuse(&problem))?
            }
            _ => return Err(usage(what)),
        }
    }
    let act = match (what, weight.as_deref()) {
        (What::Drain, _) => Act::Drain { keeps_for: within.0 },
        (What::Resume, _) => Act::Resume,
        (What::Weight, Some("document")) => Act::Weigh(None),
        (What::Weight, Some(weight)) => match weight.parse::<u16>() {
            Ok(weight) => Act::Weigh(Some(weight.into())),
            Err(_) => return Err(usage(what)),
        },
        (What::Weight, None) => return Err(usage(what)),
    };
    let (Some(upstream), Some(endpoint)) = (upstream, endpoint) else { return Err(usage(what)) };
    match commands.act(upstream, endpoint, act).await.ok_or_else(Answer::ending)? {
        Ok(changed) => Ok(Answer::json(StatusCode::OK, &changed)),
        Err(what) => Err(Answer::text(StatusCode::NOT_FOUND, &format!("{what}\n"))),
    }
}

fn usage(what: What) -> Answer {
    let more = match what {
        What::Weight => "; and weight=N from 0 to 65535, or weight=document",
        What::Drain => "; and within=10m may say how long its clients are kept",
        What::Resume => "",
    };
    let what =
        format!("The query must hold upstream=NAME and endpoint=URL, or an address of it{more}.\n");
    Answer::text(StatusCode::BAD_REQUEST, &what)
}

fn refuse(problem: &Problem) -> Answer {
    Answer::text(StatusCode::BAD_REQUEST, &format!("{problem}\n"))
}
