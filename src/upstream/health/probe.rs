//! How an endpoint is reached to be asked.

use super::config::{Check, Kind};
use super::warm_up::WarmUp;
use super::{Ask, Failure, grpc, http, tcp};
use crate::tls;
use crate::upstream::config::{Config, Protocol};
use crate::upstream::proxy_protocol::ProxyProtocol;
use crate::upstream::tls::Security;
use ::http::HeaderValue;
use async_trait::async_trait;
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::{ALPN, Stream};
use pingora::upstreams::peer::HttpPeer;
use std::sync::{Arc, OnceLock};

/// What the checks of an upstream's endpoints have in common: a task whose manner stays goes on.
#[derive(Debug)]
pub(in crate::upstream) struct Manner {
    /// How they are asked whether they are well, if they are.
    pub(super) check: Option<Check>,
    /// What they are asked before they serve.
    pub(super) warm_up: Option<WarmUp>,
    protocol: Protocol,
    proxy_protocol: ProxyProtocol,
    security: Security,
}

impl Manner {
    /// As the document says; `None` if endpoints are not to be asked anything.
    pub(in crate::upstream) fn new(config: &Config, security: &Security) -> Option<Arc<Self>> {
        // What does not compile was told when the document was.
        let check = config.health.as_ref().and_then(|health| health.compile().ok());
        let warm_up = config.warm_up.as_ref().and_then(|warm_up| warm_up.compile().ok());
        let is_something = check.is_some() || warm_up.is_some();
        is_something.then(|| {
            Arc::new(Self {
                check,
                warm_up,
                protocol: config.protocol,
                proxy_protocol: config.proxy_protocol,
                security: security.clone(),
            })
        })
    }

    /// Asks what is reached like this and has this `Host`.
    pub(in crate::upstream) fn ask(
        self: &Arc<Self>,
        mut peer: Box<HttpPeer>,
        authority: HeaderValue,
    ) -> Arc<dyn Ask> {
        // There is one time for all of it.
        peer.options.connection_timeout = None;
        peer.options.total_connection_timeout = None;
        Arc::new(Probe { manner: Arc::clone(self), peer, authority })
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        self.check == other.check
            && self.warm_up == other.warm_up
            && self.protocol == other.protocol
            && self.proxy_protocol == other.proxy_protocol
            && self.security.is(&other.security)
    }
}

/// Asks one endpoint.
struct Probe {
    manner: Arc<Manner>,
    peer: Box<HttpPeer>,
    /// The `Host` of the endpoint.
    authority: HeaderValue,
}

#[async_trait]
impl Ask for Probe {
    async fn ask(&self) -> Result<(), Failure> {
        let (peer, authority) = (&*self.peer, &self.authority);
        let Some(check) = &self.manner.check else { return Ok(()) };
        match &check.kind {
            Kind::Http(check) => http::ask(check, peer, authority).await,
            Kind::Tcp => tcp::ask(peer.clone()).await,
            Kind::Grpc(check) => grpc::ask(check, peer.clone(), authority).await,
        }
    }

    async fn warm(&self) -> Result<(), Failure> {
        let Some(warm_up) = &self.manner.warm_up else { return Ok(()) };
        http::ask(&warm_up.asks, &self.peer, &self.authority).await
    }
}

/// A new connection, made as those for requests are; it is closed when it is dropped.
pub(super) async fn connect(peer: &HttpPeer) -> Result<Stream, Failure> {
    static CONNECTOR: OnceLock<TransportConnector> = OnceLock::new();
    let connector = match CONNECTOR.get() {
        Some(connector) => connector,
        None => {
            // The engine would panic without them.
            tls::check_roots().map_err(|problem| Failure(problem.problem.what))?;
            CONNECTOR.get_or_init(|| TransportConnector::new(Some(ConnectorOptions::new(0))))
        }
    };
    Ok(connector.new_stream(peer).await?)
}

/// Whether HTTP/2 is spoken on it: by ALPN, or by prior knowledge on clear text.
pub(super) fn speaks_h2(stream: &Stream, peer: &HttpPeer) -> bool {
    match stream.selected_alpn_proto() {
        Some(agreed) => matches!(agreed, ALPN::H2),
        None => !peer.is_tls() && peer.options.alpn.get_min_http_version() == 2,
    }
}
