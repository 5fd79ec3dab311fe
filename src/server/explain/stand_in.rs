//! Who stands in for every endpoint: it takes the head of a request, and answers nothing.

use crate::tls::{Certificate, Resolver, Serving, Version};
use crate::value::Problem;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio_rustls::TlsAcceptor;

const H2: &[u8] = b"h2";

/// Stands in for an endpoint; connecting to it leaves the process for nowhere.
#[derive(Clone, Debug)]
pub(super) struct StandIn {
    /// Gets the lines of every head.
    heads: UnboundedSender<Vec<String>>,
    tls: Arc<rustls::ServerConfig>,
    speaks_tls: bool,
    /// Without TLS, where it would be agreed on.
    speaks_h2: bool,
}

impl StandIn {
    /// A stand-in that tells of the heads it gets.
    pub(super) fn new(heads: UnboundedSender<Vec<String>>) -> std::result::Result<Self, Problem> {
        let certificate = Certificate::unkept(&["endpoint.invalid".to_owned()])?;
        let protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        let tls = Resolver::new(&[certificate])
            .and_then(|resolver| {
                Serving::new(resolver, Version::Tls12, protocols, (&Arc::default(), "")).ok()
            })
            .map(|serving| serving.config)
            .ok_or_else(|| Problem::new("TLS cannot be set up", "report it, please"))?;
        Ok(Self { heads, tls, speaks_tls: false, speaks_h2: false })
    }

    /// Takes the place of an endpoint.
    pub(super) fn replace(&self, peer: &mut HttpPeer) {
        let speaks_h2 = peer.options.alpn.get_min_http_version() == 2;
        let stand_in = Self { speaks_tls: peer.is_tls(), speaks_h2, ..self.clone() };
        peer.options.custom_l4 = Some(Arc::new(stand_in));
        // Nobody has its certificate.
        peer.options.verify_cert = false;
        peer.options.verify_hostname = false;
    }

    /// Takes the head that comes; what breaks off before has none.
    async fn take(self, stream: UnixStream) {
        let lines = if self.speaks_tls {
            let Ok(stream) = TlsAcceptor::from(self.tls).accept(stream).await else { return };
            let is_h2 = stream.get_ref().1.alpn_protocol() == Some(H2);
            lines(stream, is_h2).await
        } else {
            lines(stream, self.speaks_h2).await
        };
        if let Some(lines) = lines {
            // Whoever asked may have its answer already.
            let _ = self.heads.send(lines);
        }
    }
}

#[async_trait]
impl L4Connect for StandIn {
    async fn connect(&self, _address: &SocketAddr) -> Result<Stream> {
        let pair = UnixStream::pair();
        let (ours, theirs) = pair.map_err(|error| {
            Error::because(ErrorType::ConnectError, "no pair of sockets can be made", error)
        })?;
        tokio::spawn(self.clone().take(theirs));
        Ok(Stream::from(ours))
    }
}

async fn lines(stream: impl AsyncRead + AsyncWrite + Unpin, is_h2: bool) -> Option<Vec<String>> {
    if is_h2 { h2_lines(stream).await } else { h1_lines(stream).await }
}

/// The request line and the fields, as they came.
async fn h1_lines(mut stream: impl AsyncRead + Unpin) -> Option<Vec<String>> {
    let mut read = BytesMut::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(read.get(..end)?).into_owned();
            return Some(head.split("\r\n").map(str::to_owned).collect());
        }
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
}

/// The pseudo-fields in the order of the protocol library, and the fields.
async fn h2_lines(stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<Vec<String>> {
    let mut connection = h2::server::handshake(stream).await.ok()?;
    let (request, _answer) = connection.accept().await?.ok()?;
    let (head, _body) = request.into_parts();
    let uri = &head.uri;
    let pseudo = [
        (":method", Some(head.method.as_str())),
        (":scheme", uri.scheme_str()),
        (":authority", uri.authority().map(http::uri::Authority::as_str)),
        (":path", uri.path_and_query().map(http::uri::PathAndQuery::as_str)),
    ];
    let pseudo = pseudo.into_iter().filter_map(|(name, value)| Some(format!("{name}: {}", value?)));
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let fields = head.headers.iter().map(|(name, value)| format!("{name}: {}", text(value)));
    Some(pseudo.chain(fields).collect())
}
