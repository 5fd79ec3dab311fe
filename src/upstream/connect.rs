//! Makes the connections to endpoints that are more than a socket: a PROXY header goes before
//! everything else, even TLS, or a tunnel follows.

use super::tunnel;
use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::{Error, ErrorType, Result};
use tokio::io::{AsyncWrite, AsyncWriteExt};

/// Makes the connections of one attempt.
#[derive(Debug)]
pub(super) struct Connector {
    header: Vec<u8>,
    is_tunnel: bool,
}

impl Connector {
    /// A connector that writes these bytes first; an upgrade needs a tunnel.
    pub(super) fn new(header: Vec<u8>, is_tunnel: bool) -> Self {
        Self { header, is_tunnel }
    }

    async fn begin(&self, io: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        let written = io.write_all(&self.header).await;
        let failed = |error| Error::because(ErrorType::ConnectError, "the PROXY header", error);
        written.map_err(failed)
    }
}

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> Result<Stream> {
        match address {
            SocketAddr::Inet(address) => {
                let mut io = ext::connect(address, None).await?;
                self.begin(&mut io).await?;
                Ok(if self.is_tunnel { tunnel::stream(io) } else { io.into() })
            }
            SocketAddr::Unix(address) => {
                let path = address.as_pathname();
                let path = path.ok_or_else(|| Error::new(ErrorType::ConnectError))?;
                let mut io = ext::connect_uds(path).await?;
                self.begin(&mut io).await?;
                Ok(if self.is_tunnel { tunnel::stream(io) } else { io.into() })
            }
        }
    }
}
