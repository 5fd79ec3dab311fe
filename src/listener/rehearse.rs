//! A connection that came in by no socket of ours.

use super::accept::{Held, room, serve, wire};
use super::running::Listener;
use crate::exchange::Connection;
use bytes::BytesMut;
use pingora::apps::HttpServerApp;
use std::sync::Arc;
use tokio::net::UnixStream;

impl<A: HttpServerApp + Send + Sync + 'static> Listener<A> {
    /// Serves what a stream carries to its end, with the facts of a connection that it only stands
    /// for: behind the handshake, if that has TLS.
    pub async fn rehearse(self: Arc<Self>, stream: UnixStream, facts: Connection, is_h2: bool) {
        let held = Held::new(&self, Some(room(&self).await), None);
        // In clear text the connection tells by its first bytes.
        let is_h2 = is_h2 && facts.tls.is_some();
        let mut wire = wire(&self, stream, facts);
        if is_h2 {
            wire.begin_h2(BytesMut::new());
        }
        serve(self, wire, is_h2, held).await;
    }
}
