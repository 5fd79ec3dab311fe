//! The only implementation of the engine's `ProxyHttp`.

use super::ctx::Ctx;
use super::witness::Witness;
use super::{accept, affinity, failure, finish, forward, mirror, request, response};
use crate::observe::access;
use crate::runtime::Handle;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::Duration;

/// The proxy: every request passes its hooks, in the order they stand here.
pub struct Proxy {
    runtime: Arc<Handle>,
    access: access::Sender,
    /// Only `falconer explain` has one.
    witness: Option<Arc<dyn Witness>>,
}

impl Proxy {
    /// A proxy over the current snapshot; `access` takes a record of each exchange.
    pub fn new(runtime: Arc<Handle>, access: access::Sender) -> Self {
        Self { runtime, access, witness: None }
    }

    /// Shows every request to a witness.
    #[must_use]
    pub fn before(self, witness: Arc<dyn Witness>) -> Self {
        Self { witness: Some(witness), ..self }
    }
}

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = Box<Ctx>;

    fn new_ctx(&self) -> Box<Ctx> {
        Ctx::new()
    }

    /// The engine would add a compressor that is never used to each request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<()> {
        let accepted = accept::accept(&self.runtime.load(), session, ctx);
        if let Some(witness) = &self.witness {
            witness.accepted(&accept::sight(session, ctx));
        }
        accepted
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Box<Ctx>) -> Result<bool> {
        let is_answered = request::answer(session, ctx, self.access.further()).await?;
        // A rehearsal sends nothing.
        if !is_answered && self.witness.is_none() {
            mirror::begin(session, ctx);
        }
        Ok(is_answered)
    }

    async fn upstream_peer(
        &self,
        session: &mut Session,
        ctx: &mut Box<Ctx>,
    ) -> Result<Box<HttpPeer>> {
        let mut peer = forward::peer(session, ctx).await?;
        if let Some(witness) = &self.witness {
            witness.connects(ctx.choice, &mut peer);
        }
        Ok(peer)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Box<Ctx>,
        error: Box<Error>,
    ) -> Box<Error> {
        failure::connect(ctx, error)
    }

    async fn connected_to_upstream(
        &self,
        _session: &mut Session,
        reused: bool,
        _peer: &HttpPeer,
        descriptor: RawFd,
        _digest: Option<&Digest>,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        forward::connected(ctx, reused, descriptor);
        Ok(())
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        forward::request(session, request, ctx).await
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        forward::body(session, body.as_ref(), end, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        response::arrived(session, response, ctx)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Box<Ctx>,
    ) -> Result<()> {
        response::filter(session, response, ctx)
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Duration>> {
        if let Some(body) = body {
            affinity::hear(body, ctx);
        }
        Ok(None)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Duration>> {
        response::body(body.as_ref().map_or(0, Bytes::len), end, ctx);
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        _session: &mut Session,
        _trailers: &mut HeaderMap,
        ctx: &mut Box<Ctx>,
    ) -> Result<Option<Bytes>> {
        response::body(0, true, ctx);
        Ok(None)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Box<Ctx>,
        reused: bool,
    ) -> Box<Error> {
        failure::exchange(peer, session, error, ctx, reused)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &Error,
        ctx: &mut Box<Ctx>,
    ) -> FailToProxy {
        let answered = failure::answer(session, error, ctx).await;
        if let (Some(witness), Some(cause)) = (&self.witness, ctx.cause) {
            witness.failed(cause);
        }
        answered
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Box<Ctx>) {
        finish::finish(session, error, ctx, &self.access);
        // Not before: the client may take its time.
        if ctx.is_last {
            failure::close(session).await;
        }
    }

    /// Failures are logged by `failure`, at the rate of a log and not of an attack.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Box<Ctx>, _error: &Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _session: &Session,
        _ctx: &Box<Ctx>,
        _error: &Error,
        _context: ProxyWarnLogContext,
    ) -> bool {
        true
    }
}
