//! One exchange by HTTP/2 on a connection of its own.

use super::Failure;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::Fuse;
use h2::client::{Builder, Connection, SendRequest};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Uri};
use pingora::protocols::Stream;
use pingora::upstreams::peer::HttpPeer;
use std::convert::Infallible;
use std::pin::Pin;
use std::time::Duration;

/// How long an endpoint may take to hear that a connection ends.
const GOODBYE: Duration = Duration::from_secs(1);

/// The head of a request without fields.
pub(super) fn request(
    method: &Method,
    path: &PathAndQuery,
    peer: &HttpPeer,
    host: &HeaderValue,
) -> Result<Request<()>, Failure> {
    let scheme = if peer.is_tls() { Scheme::HTTPS } else { Scheme::HTTP };
    let uri = Uri::builder().scheme(scheme).authority(host.as_bytes()).path_and_query(path.clone());
    let uri = uri.build().map_err(|error| unsent(&error))?;
    Request::builder().method(method).uri(uri).body(()).map_err(|error| unsent(&error))
}

fn unsent(error: &http::Error) -> Failure {
    Failure(format!("it cannot be asked: {error}"))
}

/// The connection under an exchange.
pub(super) struct Conversation(Pin<Box<Fuse<Connection<Stream, Bytes>>>>);

/// Begins to speak HTTP/2.
pub(super) async fn open(stream: Stream) -> Result<(SendRequest<Bytes>, Conversation), Failure> {
    let mut builder = Builder::new();
    builder.enable_push(false).max_header_list_size(64 * 1024);
    let (sender, connection) = builder.handshake(stream).await?;
    Ok((sender, Conversation(Box::pin(connection.fuse()))))
}

impl Conversation {
    /// Has an exchange take place, and ends.
    pub(super) async fn through<T>(mut self, exchange: impl Future<Output = T>) -> T {
        let told = tokio::select! {
            biased;
            told = exchange => told,
            never = self.hold() => match never {},
        };
        // It is not the endpoint's answer that is late now.
        tokio::spawn(tokio::time::timeout(GOODBYE, self.0));
        told
    }

    /// What ends it before the exchange, that is told there.
    async fn hold(&mut self) -> Infallible {
        let _ = (&mut self.0).await;
        std::future::pending().await
    }
}
