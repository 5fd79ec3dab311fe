//! Asks endpoints whether they are well, beside the requests.
//!
//! [`Config`] is what the document says, [`Check`] what it means, and `Checks` what is under way:
//! one task for each address, which goes from document to document as long as it asks the same.

mod checks;
mod config;
mod grpc;
mod h2;
mod http;
mod probe;
mod status;
mod tally;
mod tcp;
mod warm_up;

pub(super) use checks::{Checks, Turn, Wanted};
pub use config::{Check, Config, Fault};
pub use http::Path;
pub(super) use probe::Manner;
pub use status::StatusRange;
pub use warm_up::Config as WarmUp;

use async_trait::async_trait;

/// Asks one endpoint once.
#[async_trait]
pub(super) trait Ask: Send + Sync + 'static {
    /// Whether it is well; it takes as long as it takes.
    async fn ask(&self) -> Result<(), Failure>;

    /// Has it answer one request before it gets those of clients.
    async fn warm(&self) -> Result<(), Failure>;
}

/// Why an endpoint is not well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failure(String);

impl From<Box<pingora::Error>> for Failure {
    fn from(error: Box<pingora::Error>) -> Self {
        use pingora::ErrorType::{
            ConnectNoRoute, ConnectRefused, ConnectionClosed, HandshakeError, InvalidCert,
            InvalidHTTPHeader, TLSHandshakeFailure,
        };
        let root = error.root_cause();
        Self(match error.etype() {
            ConnectRefused => "it refuses connections".to_owned(),
            ConnectNoRoute => "there is no route to it".to_owned(),
            TLSHandshakeFailure | HandshakeError | InvalidCert => {
                format!("the TLS handshake failed: {root}")
            }
            ConnectionClosed => "it closed the connection without an answer".to_owned(),
            InvalidHTTPHeader => "its answer is not HTTP".to_owned(),
            other => format!("{}: {root}", other.as_str()),
        })
    }
}

impl From<::h2::Error> for Failure {
    fn from(error: ::h2::Error) -> Self {
        Self(format!("HTTP/2 failed: {error}"))
    }
}
