//! What becomes of one request: `falconer explain`.
//!
//! The request goes through the listener, the engine and the hooks of a running edge. Pairs of
//! sockets stand in for the network on both sides, so that nothing is bound, looked up or connected
//! to, and nothing of what an edge does is done here a second time.

mod asked;
mod caller;
mod entrance;
mod stand_in;

pub use asked::Asked;

use crate::config::{self, Document};
use crate::exchange::Cause;
use crate::listener::{Drain, Listener, Shared};
use crate::observe::access::{Kept, Sender};
use crate::proxy::{Proxy, Sight, Witness};
use crate::route::Choice;
use crate::runtime::explain::{Explainer, Explanation, Reply, Seen};
use crate::runtime::{Compiled, Handle, Retained};
use crate::tls;
use crate::upstream::{Answer as Found, Asked as Name, Discovery, Failure, Lookup, Service};
use crate::value::{Diagnostic, Problem};
use async_trait::async_trait;
use caller::{Answer, Silence};
use entrance::Entrance;
use parking_lot::Mutex;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use stand_in::StandIn;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Nothing here waits for anybody else.
const DEADLINE: Duration = Duration::from_secs(10);

/// Why there is no explanation.
#[derive(Debug)]
pub enum Unexplained {
    /// What was asked makes no sense for the document.
    Usage(Problem),
    /// It failed here.
    Failed(Diagnostic),
}

/// Explains what a compiled document does with a request.
pub fn explain(
    document: &Document,
    compiled: Compiled,
    retained: &Retained,
    asked: &Asked,
) -> Result<Explanation, Unexplained> {
    let Compiled { snapshot, listeners, .. } = compiled;
    let entrance = Entrance::choose(&listeners, asked).map_err(Unexplained::Usage)?;
    // The engine loads them and would panic.
    tls::check_roots().map_err(Unexplained::Failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("no runtime can be started: {error}")))?;
    let handle = Handle::new(snapshot);
    let request = entrance.request(asked);
    let Rehearsed { seen, sent, reply } =
        runtime.block_on(rehearse(&handle, &entrance, retained, asked))?;
    let snapshot = &*handle.snapshot();
    Ok(Explainer { document, snapshot, retained }.explain(request, &seen, sent, reply))
}

/// What came of a rehearsal.
struct Rehearsed {
    seen: Seen,
    sent: Option<Vec<String>>,
    reply: Option<Reply>,
}

async fn rehearse(
    handle: &Arc<Handle>,
    entrance: &Entrance<'_>,
    retained: &Retained,
    asked: &Asked,
) -> Result<Rehearsed, Unexplained> {
    let discovery = Discovery::new(Arc::new(Unasked), config::endpoints, Duration::ZERO);
    for upstream in handle.load().upstreams.values() {
        upstream.follow(&discovery).await;
    }
    let (heads, mut sent) = unbounded_channel();
    let stand_in = StandIn::new(heads).map_err(|problem| failed(problem.what))?;
    let account = Arc::new(Account { seen: Mutex::default(), stand_in });
    let (access, records) = Sender::kept();
    let proxy = Proxy::new(handle.clone(), access.clone()).before(account.clone());
    let conf = ServerConf { threads: 1, ..ServerConf::default() };
    let shared = Shared {
        drain: Arc::new(Drain::default()),
        idle_grace: Duration::ZERO,
        connections: None,
        metrics: retained.listeners.clone(),
        access,
    };
    let (config, facts) = (&entrance.entry.config, entrance.entry.entrance.clone());
    let tls = entrance.entry.tls.as_ref().map(|tls| tls.config.clone());
    let engine = super::engine(&Arc::new(conf), proxy);
    let listener = Arc::new(Listener::new(config, facts, tls, engine, &shared, None));
    let pair = UnixStream::pair();
    let (ours, theirs) =
        pair.map_err(|error| failed(format!("no pair of sockets can be made: {error}")))?;
    let serving = tokio::spawn(listener.rehearse(ours, entrance.connection(asked), entrance.is_h2));
    let ended = tokio::time::timeout(DEADLINE, async {
        let ended = ended(&mut sent, theirs, entrance, asked).await;
        if !matches!(ended, Ended::Sent(_)) {
            // The client is gone; what is left is to be logged.
            let _ = serving.await;
        }
        ended
    });
    let ended = ended.await.map_err(|_| failed("the request got stuck on its way".into()))?;
    let seen = account.seen.lock().take().unwrap_or_default();
    match ended {
        Ended::Sent(head) => Ok(Rehearsed { seen, sent: Some(head), reply: None }),
        Ended::Answered(answer) => {
            let reply = Some(reply(answer, seen.cause, &records)?);
            Ok(Rehearsed { seen, sent: None, reply })
        }
    }
}

/// How a rehearsal ended.
enum Ended {
    /// An endpoint got this head.
    Sent(Vec<String>),
    /// The client got an answer, or none.
    Answered(Result<Answer, Silence>),
}

async fn ended(
    sent: &mut UnboundedReceiver<Vec<String>>,
    stream: UnixStream,
    entrance: &Entrance<'_>,
    asked: &Asked,
) -> Ended {
    let answer = async {
        match entrance.is_h2 {
            true => caller::by_h2(stream, asked, entrance.scheme()).await,
            false => caller::by_h1(stream, asked).await,
        }
    };
    tokio::select! {
        biased;
        // The sender lives in the account.
        Some(head) = sent.recv() => Ended::Sent(head),
        answer = answer => Ended::Answered(answer),
    }
}

/// The answer with its cause, which the log knows if no hook saw the request.
fn reply(
    answer: Result<Answer, Silence>,
    cause: Option<Cause>,
    records: &Kept,
) -> Result<Reply, Unexplained> {
    let outcome = records.take();
    let cause = cause.map(Cause::name).or(outcome.and_then(|outcome| outcome.cause));
    let status = outcome.map(|outcome| outcome.status);
    match (answer, cause, status) {
        (Ok(Answer { status, fields, body }), cause, _) => {
            Ok(Reply { status, cause, fields, body })
        }
        // Over HTTP/2 a malformed request has no answer but the end of its stream.
        (Err(Silence::Broken(_)), Some(cause), Some(status)) => {
            Ok(Reply { status, cause: Some(cause), fields: Vec::new(), body: String::new() })
        }
        (Err(Silence::Unsayable(why)), ..) => {
            let what = format!("a client cannot send this by HTTP/2: {why}");
            Err(Unexplained::Usage(Problem::new(what, "correct it, or ask without `--http2`")))
        }
        (Err(Silence::Broken(why)), ..) => Err(failed(format!("the edge gave no answer: {why}"))),
    }
}

fn failed(what: String) -> Unexplained {
    let problem = Problem::new(what, "try again, and report it if that does not help");
    Unexplained::Failed(Diagnostic::unplaced(problem))
}

/// Keeps what becomes of the request, and puts the stand-in in the place of every endpoint.
struct Account {
    seen: Mutex<Option<Seen>>,
    stand_in: StandIn,
}

impl Witness for Account {
    fn accepted(&self, sight: &Sight<'_>) {
        let path = sight.request.map_or("", |request| request.path);
        let names = sight.route.map_or(&[][..], |route| &route.captures);
        let captured = |(place, name): (usize, &String)| {
            (name.clone(), sight.captures.value(place, path).to_owned())
        };
        *self.seen.lock() = Some(Seen {
            asked: sight.request.map(Into::into),
            route: sight.route.map(|route| route.name.clone()),
            captures: names.iter().enumerate().map(captured).collect(),
            ..Seen::default()
        });
    }

    fn connects(&self, choice: Option<Choice>, peer: &mut HttpPeer) {
        self.seen.lock().get_or_insert_default().choice = choice;
        self.stand_in.replace(peer);
    }

    fn failed(&self, cause: Cause) {
        self.seen.lock().get_or_insert_default().cause = Some(cause);
    }
}

/// Knows an address of every name and a target of every service, which nobody has and nobody is
/// asked for.
struct Unasked;

#[async_trait]
impl Lookup for Unasked {
    async fn addresses(&self, _: &Name) -> Result<Found<IpAddr>, Failure> {
        let nobody = Ipv4Addr::new(192, 0, 2, 1).into();
        Ok(Found { found: vec![nobody], ttl: None })
    }

    async fn services(&self, asked: &Name) -> Result<Found<Service>, Failure> {
        let target = Some(asked.name.clone());
        let service = Service { priority: 0, weight: 1, port: 80, target };
        Ok(Found { found: vec![service], ttl: None })
    }
}
