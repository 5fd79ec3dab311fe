//! A copy of the request goes to another upstream; whatever becomes of it, the client notices
//! nothing.
//!
//! The body is kept as it passes. When all of it is there, a task of its own sends the copy, over
//! connections of its own, reads the answer and discards it. There is no queue: what does not fit
//! is not copied.

use super::ctx::Ctx;
use super::{failure, forward, response};
use crate::exchange::{Cause, Client, Connection, RequestId};
use crate::net::hop::Minded;
use crate::observe::log::Throttle;
use crate::route::mirror::{Answer, Compare, Mirror, UnderWay};
use crate::tls;
use crate::upstream::{
    self, Follows, Introduced, Lack, Outcome, Outgoing, Picked, Terms, Timeouts, Tried, Upstream,
};
use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderValue};
use http::uri::{Scheme, Uri};
use http::{StatusCode, Version};
use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::Connector;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::http::client::HttpSession;
use pingora::proxy::Session;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot};
use tokio::time::timeout;

/// The longest body that is copied; as much is kept for retries.
const LONGEST: usize = 64 * 1024;
/// Idle connections that wait for further copies.
const POOL: usize = 128;

static FAILURES: Throttle = Throttle::burst(5, Duration::from_secs(1));
static DIFFERENCES: Throttle = Throttle::burst(5, Duration::from_secs(1));

/// Connections for copies.
static CONNECTOR: LazyLock<Connector> =
    LazyLock::new(|| Connector::new(Some(ConnectorOptions::new(POOL))));

/// The connector, which at first loads authorities from a disk that may be slow.
async fn connector() -> Result<&'static Connector> {
    static IS_LOADED: OnceCell<()> = OnceCell::const_new();
    let load = || async {
        let loading = tokio::task::spawn_blocking(|| {
            // The engine would panic without them.
            tls::check_roots().map_err(|problem| problem.problem.what)?;
            LazyLock::force(&CONNECTOR);
            Ok::<_, String>(())
        });
        let loaded = loading.await.unwrap_or_else(|error| Err(error.to_string()));
        loaded.map_err(|why| Error::explain(ErrorType::InternalError, why))
    };
    IS_LOADED.get_or_try_init(load).await?;
    Ok(&CONNECTOR)
}

/// What an exchange has to do with the copy of its request.
pub(super) struct Mirrored {
    mirror: Arc<Mirror>,
    /// The copy, until it is sent or given up.
    copy: Option<Copied>,
    /// Where the answer is compared, if it is.
    compares: Option<oneshot::Sender<Answer>>,
}

/// The copy of a request, and what decides on it at its end.
struct Copied {
    id: RequestId,
    head: RequestHeader,
    body: BytesMut,
    key: String,
    stripped_prefix: Option<Box<str>>,
    connection: Arc<Connection>,
    client: Client,
    host: Option<HeaderValue>,
    received: Version,
    minded: Minded,
    /// What the client gets.
    told: Option<oneshot::Receiver<Answer>>,
    /// It counts among those at once from its first byte on.
    under_way: UnderWay,
}

/// Begins to copy a request that is about to go upstream, if its route says so and chance agrees.
pub(super) fn begin(session: &mut Session, ctx: &mut Ctx) {
    let mirror = ctx.route.as_ref().and_then(|route| route.mirror.as_ref());
    // Two sides that talk to each other cannot both be copied.
    let mirror = mirror.filter(|mirror| !ctx.is_upgrade() && mirror.draws());
    let Some(mirror) = mirror.cloned() else { return };
    let Some(under_way) = mirror.enter() else { return mirror.copies.skipped.inc() };
    let Some(mut copy) = Copied::of(session, ctx, &mirror.upstream, under_way) else { return };
    let compares = mirror.compare.as_ref().map(|_| {
        let (compares, told) = oneshot::channel();
        copy.told = Some(told);
        compares
    });
    let mut mirrored = Box::new(Mirrored { mirror, copy: Some(copy), compares });
    if session.as_downstream_mut().is_body_empty() {
        mirrored.send();
    }
    ctx.mirrored = Some(mirrored);
}

impl Mirrored {
    /// The request goes another way, and its body begins anew.
    pub(super) fn rewind(&mut self) {
        if let Some(copy) = &mut self.copy {
            copy.body.clear();
        }
    }

    /// A piece of the request's body passes.
    pub(super) fn body(&mut self, piece: Option<&Bytes>, is_last: bool) {
        let Some(copy) = &mut self.copy else { return };
        let piece = piece.map_or(&[][..], |piece| piece);
        if copy.body.len() + piece.len() > LONGEST {
            return self.skip();
        }
        // A part of a large buffer would keep all of it.
        copy.body.extend_from_slice(piece);
        if is_last {
            self.send();
        }
    }

    /// The endpoint has answered the client's own request.
    pub(super) fn answered(&mut self, head: &ResponseHeader) {
        if let (Some(compares), Some(compare)) = (self.compares.take(), &self.mirror.compare) {
            // Nobody compares where no copy was sent.
            let _ = compares.send(compare.of(head.status, &head.headers));
        }
    }

    /// The exchange is over; `status` is what the client got.
    pub(super) fn end(mut self, status: u16, cause: Option<Cause>) {
        if self.copy.is_some() {
            self.skip();
        }
        if let (Some(compares), Ok(status)) = (self.compares.take(), StatusCode::from_u16(status))
            && cause != Some(Cause::ClientClosed)
        {
            let _ = compares.send(Answer::own(status));
        }
    }

    fn skip(&mut self) {
        self.copy = None;
        self.mirror.copies.skipped.inc();
    }

    fn send(&mut self) {
        let Some(copy) = self.copy.take() else { return };
        let mirror = self.mirror.clone();
        tokio::spawn(async move { copy.send(&mirror).await });
    }
}

impl Copied {
    /// The head as it is after its filters; `None` outside a listener.
    fn of(
        session: &mut Session,
        ctx: &mut Ctx,
        upstream: &Upstream,
        under_way: UnderWay,
    ) -> Option<Self> {
        let key = upstream.key().map(|key| forward::key_of(session, ctx, key));
        let (arrival, accepted) = (ctx.arrival.as_ref()?, ctx.accepted.as_ref()?);
        Some(Self {
            id: ctx.id.clone(),
            head: session.req_header().clone(),
            body: BytesMut::new(),
            key: key.unwrap_or_default(),
            stripped_prefix: ctx.stripped_prefix.clone(),
            connection: arrival.connection.clone(),
            client: accepted.client,
            host: accepted.host.clone(),
            received: accepted.version,
            minded: accepted.minded,
            told: None,
            under_way,
        })
    }

    /// Sends it, and compares what comes back with what the client gets.
    async fn send(mut self, mirror: &Mirror) {
        let (told, asked) = (self.told.take(), self.ask(mirror).await);
        let Self { under_way, id, .. } = self;
        drop(under_way);
        match asked {
            Ok(answer) => {
                mirror.copies.sent.inc();
                if let (Some(told), Some(compare), Some(answer)) = (told, &mirror.compare, answer)
                    && let Ok(client) = told.await
                {
                    tell(mirror, compare, &id, [&client, &answer]);
                }
            }
            // It waits for no room.
            Err((Cause::UpstreamOverloaded, _)) => mirror.copies.skipped.inc(),
            Err((cause, error)) => {
                mirror.copies.failed.inc();
                if let Some(suppressed) = FAILURES.allow() {
                    let (route, cause, request) = (&*mirror.route, cause.name(), &id);
                    let error = error.map(tracing::field::display);
                    tracing::warn!(route, cause, %request, error, suppressed, "a copy failed");
                }
            }
        }
    }

    /// Asks an endpoint; gives what is compared of its answer.
    async fn ask(
        &mut self,
        mirror: &Mirror,
    ) -> std::result::Result<Option<Answer>, (Cause, Option<Box<Error>>)> {
        let (upstream, timeouts) = (&mirror.upstream, mirror.upstream.timeouts());
        let terms = Terms {
            // A copy belongs nowhere.
            claim: None,
            key: &self.key,
            panics: true,
            timeouts,
            follows: Follows::Nothing,
        };
        if upstream.has_line() {
            // Clients wait there already.
            return Err((Cause::UpstreamOverloaded, None));
        }
        let connector = connector().await.map_err(|error| (Cause::Internal, Some(error)))?;
        let mut picked = upstream.pick(&mut Tried::new(), terms).map_err(|lack| match lack {
            Lack::Endpoint | Lack::Own => (Cause::NoEndpoint, None),
            Lack::Room => (Cause::UpstreamOverloaded, None),
        })?;
        upstream.announce(&mut picked, &self.connection, &self.client);
        let peer = picked.take_peer().ok_or((Cause::Internal, None))?;
        let (mut session, is_reused) = match connector.get_http_session(&*peer).await {
            Ok(connected) => connected,
            Err(error) => {
                let cause = failure::of_connect(&error);
                upstream.learn(&mut picked, Outcome::Failed(cause));
                return Err((cause, Some(error)));
            }
        };
        picked.connected(is_reused);
        let head = match self.head(&session, upstream, &picked, &peer) {
            Ok(head) => head,
            Err(error) => {
                picked.excuse(Cause::BadRequest);
                leave(session, &peer, false).await;
                return Err((Cause::BadRequest, Some(error)));
            }
        };
        let exchanged = self.exchange(&mut session, head, timeouts).await;
        let is_taken = matches!(exchanged, Ok(true));
        if let Err(error) = exchanged {
            let cause = failure::of_upstream(&error, false);
            if is_reused && cause == Cause::UpstreamReset {
                // It may have been closed while it was idle.
                picked.excuse(cause);
            } else {
                upstream.learn(&mut picked, Outcome::Failed(cause));
            }
            leave(session, &peer, false).await;
            return Err((cause, Some(error)));
        }
        let head = session.response_header();
        let answer = head
            .zip(mirror.compare.as_ref())
            .map(|(head, compare)| compare.of(head.status, &head.headers));
        if let Some(head) = head {
            upstream.learn(&mut picked, Outcome::Answered(head.status));
            response::learn(&picked, head);
        }
        session.set_read_timeout(Some(timeouts.idle.0));
        let discarded = timeout(timeouts.response.0, discard(&mut session)).await;
        match &discarded {
            Ok(Ok(())) => {
                picked.answered();
                upstream.completed(&picked);
            }
            Ok(Err(error)) => {
                let cause = failure::of_upstream(error, true);
                upstream.learn(&mut picked, Outcome::Failed(cause));
            }
            // Some never end.
            Err(_) => {}
        }
        leave(session, &peer, is_taken && matches!(discarded, Ok(Ok(())))).await;
        Ok(answer)
    }

    /// Sends the request, and reads the head of the final response; gives whether the endpoint took
    /// all of the request. One that answers before need not.
    async fn exchange(
        &mut self,
        session: &mut HttpSession,
        head: Box<RequestHeader>,
        timeouts: Timeouts,
    ) -> Result<bool> {
        session.set_write_timeout(Some(timeouts.idle.0));
        session.set_read_timeout(None);
        let body = self.body.split().freeze();
        match &mut *session {
            HttpSession::H2(stream) => stream.write_request_header(head, body.is_empty())?,
            connection => connection.write_request_header(head).await?,
        }
        let sent = send_body(session, body).await;
        let late = |_| Error::explain(ErrorType::ReadTimedout, "no response to a copy");
        let told = timeout(timeouts.response.0, final_head(session)).await.map_err(late);
        match (sent, told) {
            (Ok(()), told) => told?.map(|()| true),
            (Err(_), Ok(Ok(()))) => Ok(false),
            (Err(error), _) => Err(error),
        }
    }

    /// The head that goes to an endpoint, in the version that it speaks.
    fn head(
        &self,
        session: &HttpSession,
        upstream: &Upstream,
        picked: &Picked,
        peer: &HttpPeer,
    ) -> Result<Box<RequestHeader>> {
        let is_h2 = session.as_http2().is_some();
        let mut head = Box::new(self.head.clone());
        head.set_version(if is_h2 { Version::HTTP_2 } else { Version::HTTP_11 });
        let introduced = Introduced {
            connection: &self.connection,
            client: &self.client,
            host: self.host.as_ref(),
            received: self.received,
            minded: self.minded,
        };
        let outgoing = Outgoing {
            host: upstream.host(picked, self.host.is_some()),
            stripped_prefix: self.stripped_prefix.as_deref(),
            forwarded: upstream.sends_forwarded().then_some(introduced),
        };
        upstream::prepare(&mut head, &outgoing)?;
        // All of the body is there.
        head.remove_header(&header::EXPECT);
        let is_chunked = head.remove_header(&header::TRANSFER_ENCODING).is_some();
        if is_chunked || !self.body.is_empty() {
            head.insert_header(header::CONTENT_LENGTH, self.body.len())?;
        }
        if is_h2 {
            to_stream(&mut head, peer)?;
        }
        Ok(head)
    }
}

/// Makes a head one of HTTP/2: the host is part of the target.
fn to_stream(head: &mut RequestHeader, peer: &HttpPeer) -> Result<()> {
    let bad = |why| Error::explain(ErrorType::InvalidHTTPHeader, why);
    let host = head.remove_header(&header::HOST).ok_or_else(|| bad("no host for HTTP/2"))?;
    let path = head.uri.path_and_query().cloned().ok_or_else(|| bad("no path for HTTP/2"))?;
    let scheme = if peer.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path);
    head.set_uri(uri.build().map_err(|_| bad("a host that HTTP/2 cannot carry"))?);
    Ok(())
}

async fn send_body(session: &mut HttpSession, body: Bytes) -> Result<()> {
    if !body.is_empty() {
        session.write_request_body(body, true).await?;
    }
    session.finish_request_body().await
}

/// Reads heads until the final one; the engine keeps interim ones of HTTP/2 to itself.
async fn final_head(session: &mut HttpSession) -> Result<()> {
    loop {
        session.read_response_header().await?;
        let status = session.response_header().map(|head| head.status);
        if status == Some(StatusCode::SWITCHING_PROTOCOLS) {
            return Err(Error::explain(
                ErrorType::InvalidHTTPHeader,
                "an upgrade nobody asked for",
            ));
        }
        if !status.is_some_and(|status| status.is_informational()) || session.as_http2().is_some() {
            return Ok(());
        }
    }
}

async fn discard(session: &mut HttpSession) -> Result<()> {
    while session.read_response_body().await?.is_some() {}
    Ok(())
}

/// Leaves a connection, to the next copy if the answer was whole.
async fn leave(mut session: HttpSession, peer: &HttpPeer, is_whole: bool) {
    let is_stream = session.as_http2().is_some();
    if is_stream && !is_whole {
        // It is reset, and leaves its connection to the others.
        session.shutdown().await;
    }
    if is_stream || is_whole {
        CONNECTOR.release_http_session(session, peer, peer.options.idle_timeout).await;
    }
}

/// Counts and logs in what two answers differ.
fn tell(mirror: &Mirror, compare: &Compare, request: &RequestId, [client, copy]: [&Answer; 2]) {
    let difference = compare.difference(client, copy);
    if difference.is_none() {
        return;
    }
    if difference.status {
        compare.differences.status.inc();
    }
    if !difference.headers.is_empty() {
        compare.differences.header.inc();
    }
    if let Some(suppressed) = DIFFERENCES.allow() {
        let names: Vec<_> = difference.headers.iter().map(|name| name.as_str()).collect();
        let headers = (!names.is_empty()).then(|| names.join(", "));
        let [client, copy] = [client, copy].map(|answer| answer.status.as_u16());
        let (route, headers) = (&*mirror.route, headers.as_deref());
        tracing::info!(
            route,
            %request,
            client,
            copy,
            headers,
            suppressed,
            "a copy was answered otherwise"
        );
    }
}
