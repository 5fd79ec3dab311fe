//! What programs ask and tell the edge under `/api/`.

use super::answer::Answer;
use super::guard::Door;
use super::upstreams::What;
use super::{body, upgrade, upstreams};
use crate::runtime::{self, Asked, By, Commands, Outcome, Wanted};
use http::{HeaderMap, Method, StatusCode, header};
use pingora::protocols::http::ServerSession;
use std::str::FromStr;

/// The kinds of content that a document may be sent as; JSON is YAML too.
const KINDS: [&str; 6] = [
    "application/yaml",
    "application/x-yaml",
    "text/yaml",
    "text/x-yaml",
    "text/plain",
    "application/json",
];

/// Answers a request; `None` if nothing is at its path.
pub(super) async fn answer(
    session: &mut ServerSession,
    commands: &Commands,
    door: Door,
) -> Option<Answer> {
    let path = session.req_header().uri.path().to_owned();
    let answered = match path.as_str() {
        "/api/status" => status(session, commands).await,
        "/api/documents" => documents(session, commands).await,
        "/api/config" => config(session, commands).await,
        "/api/upstreams" => upstreams(session, commands).await,
        "/api/upstreams/drain" => act(session, commands, What::Drain).await,
        "/api/upstreams/resume" => act(session, commands, What::Resume).await,
        "/api/upstreams/weight" => act(session, commands, What::Weight).await,
        "/api/reload" => reload(session, commands, door).await,
        "/api/rollback" => rollback(session, commands).await,
        // It names a program to start, which is for nobody beyond this machine to do.
        "/api/upgrade" if door == Door::Commands => upgrade(session, commands).await,
        _ => return None,
    };
    Some(answered.unwrap_or_else(|refused| refused))
}

type Answered = Result<Answer, Answer>;

async fn status(session: &ServerSession, commands: &Commands) -> Answered {
    only(session, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    let status = commands.status().await.ok_or_else(Answer::ending)?;
    Ok(Answer::json(StatusCode::OK, &status))
}

async fn documents(session: &ServerSession, commands: &Commands) -> Answered {
    only(session, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    let kept = commands.kept().await.ok_or_else(Answer::ending)?;
    Ok(Answer::json(StatusCode::OK, &kept))
}

async fn config(session: &mut ServerSession, commands: &Commands) -> Answered {
    if session.req_header().method == Method::PUT {
        return put(session, commands).await;
    }
    only(session, &[Method::GET, Method::HEAD], "GET, HEAD, PUT")?;
    let (generation, document) = commands.document().await.ok_or_else(Answer::ending)?;
    // A large document takes its time, and probes are answered by this thread.
    let text = tokio::task::spawn_blocking(move || document.shown_text().into_owned()).await;
    let text = text.map_err(|_| Answer::ending())?;
    Ok(Answer::new(StatusCode::OK, "application/yaml", text).of_generation(generation))
}

async fn put(session: &mut ServerSession, commands: &Commands) -> Answered {
    let query = Query::of(session, &["dry_run", "write"])?;
    let headers = &session.req_header().headers;
    let kind = headers.get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap_or_default());
    let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
    if kind.is_some_and(|kind| !KINDS.iter().any(|known| known.eq_ignore_ascii_case(kind))) {
        let remedy = "Send the document as `Content-Type: application/yaml`.\n";
        return Err(Answer::text(StatusCode::UNSUPPORTED_MEDIA_TYPE, remedy));
    }
    let expected = expected(headers)?;
    if expected == Expected::Nothing && !query.is_dry_run {
        let remedy = "Send `If-Match: \"GENERATION\"`, the ETag of the document that this one is \
            made of, or `If-Match: *`.\n";
        return Err(Answer::text(StatusCode::PRECONDITION_REQUIRED, remedy));
    }
    let text = body::text(session).await?;
    change(commands, Wanted::Text(text), By::Api, &query, expected).await
}

async fn reload(session: &ServerSession, commands: &Commands, door: Door) -> Answered {
    only(session, &[Method::POST], "POST")?;
    let query = Query::of(session, &["dry_run"])?;
    let by = if door == Door::Commands { By::Command } else { By::Api };
    let expected = expected(&session.req_header().headers)?;
    change(commands, Wanted::Files, by, &query, expected).await
}

async fn rollback(session: &ServerSession, commands: &Commands) -> Answered {
    only(session, &[Method::POST], "POST")?;
    let query = Query::of(session, &["dry_run", "write", "steps"])?;
    let expected = expected(&session.req_header().headers)?;
    change(commands, Wanted::Earlier(query.steps), By::Rollback, &query, expected).await
}

async fn upstreams(session: &ServerSession, commands: &Commands) -> Answered {
    only(session, &[Method::GET, Method::HEAD], "GET, HEAD")?;
    upstreams::list(commands).await
}

async fn act(session: &ServerSession, commands: &Commands, what: What) -> Answered {
    only(session, &[Method::POST], "POST")?;
    let query = session.req_header().uri.query().unwrap_or_default();
    upstreams::act(commands, query, what).await
}

async fn upgrade(session: &ServerSession, commands: &Commands) -> Answered {
    only(session, &[Method::POST], "POST")?;
    let query = session.req_header().uri.query().unwrap_or_default();
    upgrade::upgrade(commands, query.as_bytes()).await
}

async fn change(
    commands: &Commands,
    wanted: Wanted,
    by: By,
    query: &Query,
    expected: Expected,
) -> Answered {
    let Query { is_dry_run, write, .. } = *query;
    let expected = match expected {
        Expected::Nothing | Expected::Any => None,
        Expected::These(these) => Some(these),
    };
    let asked = Asked { wanted, by, is_dry_run, write, expected };
    let told = commands.change(asked).await.ok_or_else(Answer::ending)?;
    Ok(of(&told))
}

fn of(told: &runtime::Answer) -> Answer {
    let (status, generation) = match told.outcome {
        Outcome::Applied { generation, .. } | Outcome::Unchanged { generation } => {
            (StatusCode::OK, Some(generation))
        }
        Outcome::Planned { .. } => (StatusCode::OK, None),
        Outcome::Rejected { .. } => (StatusCode::UNPROCESSABLE_ENTITY, None),
        Outcome::NeedsUpgrade { .. } => (StatusCode::CONFLICT, None),
        Outcome::Outdated { generation } => (StatusCode::PRECONDITION_FAILED, Some(generation)),
    };
    let answer = Answer::json(status, told);
    match generation {
        Some(generation) => answer.of_generation(generation),
        None => answer,
    }
}

fn only(session: &ServerSession, methods: &[Method], named: &'static str) -> Result<(), Answer> {
    match methods.contains(&session.req_header().method) {
        true => Ok(()),
        false => Err(Answer::not_allowed(named)),
    }
}

/// What a query may ask for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    is_dry_run: bool,
    write: bool,
    steps: usize,
}

impl Query {
    fn of(session: &ServerSession, known: &[&str]) -> Result<Self, Answer> {
        let query = session.req_header().uri.query().unwrap_or_default();
        Self::parse(query, known).ok_or_else(|| {
            let known = known.iter().map(|name| match *name {
                "steps" => "steps=N".to_owned(),
                name => format!("{name}=true"),
            });
            let known = known.collect::<Vec<_>>().join(", ");
            let body = format!("The query may be {known}, joined by `&`, or nothing.\n");
            Answer::text(StatusCode::BAD_REQUEST, &body)
        })
    }

    fn parse(query: &str, known: &[&str]) -> Option<Self> {
        let mut parsed = Self { is_dry_run: false, write: false, steps: 1 };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=')?;
            let flag = || bool::from_str(value).ok();
            match name {
                _ if !known.contains(&name) => return None,
                "dry_run" => parsed.is_dry_run = flag()?,
                "write" => parsed.write = flag()?,
                "steps" => parsed.steps = value.parse().ok()?,
                _ => return None,
            }
        }
        Some(parsed)
    }
}

/// What `If-Match` asks for.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Nothing,
    Any,
    These(Vec<u64>),
}

/// The generations of `If-Match`; what is none of ours matches nothing (RFC 9110, 13.1.1).
fn expected(headers: &HeaderMap) -> Result<Expected, Answer> {
    let mut these = Vec::new();
    let mut is_there = false;
    for value in headers.get_all(header::IF_MATCH) {
        is_there = true;
        let value = value.to_str().map_err(|_| {
            Answer::text(StatusCode::BAD_REQUEST, "`If-Match` is `\"GENERATION\"` or `*`.\n")
        })?;
        for tag in value.split(',').map(str::trim) {
            if tag == "*" {
                return Ok(Expected::Any);
            }
            let tag = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
            these.extend(tag.parse::<u64>());
        }
    }
    Ok(if is_there { Expected::These(these) } else { Expected::Nothing })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_match(values: &[&'static str]) -> Expected {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::IF_MATCH, http::HeaderValue::from_static(value));
        }
        expected(&headers).unwrap_or(Expected::Nothing)
    }

    #[test]
    fn generations_are_read_from_every_form_of_if_match() {
        assert_eq!(if_match(&[]), Expected::Nothing);
        assert_eq!(if_match(&["\"3\""]), Expected::These(vec![3]));
        assert_eq!(if_match(&["3"]), Expected::These(vec![3]));
        assert_eq!(if_match(&["\"3\" , \"4\"", "\"5\""]), Expected::These(vec![3, 4, 5]));
        assert_eq!(if_match(&["W/\"3\"", "\"x\""]), Expected::These(Vec::new()));
        assert_eq!(if_match(&["*"]), Expected::Any);
    }

    #[test]
    fn a_query_holds_what_is_known_at_its_place() {
        let parse = |query| Query::parse(query, &["dry_run", "steps"]);
        let nothing = Query { is_dry_run: false, write: false, steps: 1 };
        assert_eq!(parse(""), Some(nothing));
        let both = Query { is_dry_run: true, write: false, steps: 3 };
        assert_eq!(parse("dry_run=true&steps=3"), Some(both));
        for wrong in ["write=true", "dry_run", "dry_run=1", "steps=-1", "steps=", "x=true"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
