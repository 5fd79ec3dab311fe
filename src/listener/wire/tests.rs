use super::*;
use crate::exchange::{ClientAddress, Connection, Entrance, Limits};
use crate::listener::idle::Table;
use crate::net::CidrSet;
use parking_lot::Mutex;
use std::future::poll_fn;
use std::os::fd::RawFd;
use std::time::Duration;

/// Keeps what is written until it is flushed, as TLS does while its socket is full.
struct Keeping {
    kept: Vec<u8>,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for Keeping {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Keeping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let kept = std::mem::take(&mut self.kept);
        self.sent.lock().extend(kept);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Transport for Keeping {
    fn poll_readable(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn reset_on_close(&self) {}

    fn descriptor(&self) -> RawFd {
        -1
    }

    fn local(&self) -> Option<std::net::SocketAddr> {
        None
    }
}

fn wire(sent: &Arc<Mutex<Vec<u8>>>) -> Box<Wire<Keeping>> {
    let limits = Limits {
        header_timeout: None,
        header_size: None,
        header_count: None,
        uri_size: None,
        longest_uri: None,
        body_size: None,
        min_body_rate: None,
    };
    let entrance = Entrance {
        name: "web".into(),
        index: 0,
        trusted_proxies: CidrSet::default(),
        client_address: ClientAddress::default(),
        via: None,
        limits,
    };
    let connection = Connection::new(Arc::new(entrance), None, None, None);
    let drain = tokio::sync::watch::channel(false).1;
    let io = Keeping { kept: Vec::new(), sent: sent.clone() };
    Wire::new(io, Arrival::new(Arc::new(connection), drain), Arc::new(Table::default()).enter(-1))
}

#[tokio::test]
async fn nothing_stays_behind_while_the_engine_waits_for_more_to_send() {
    for length in [5, COALESCE + 1, 100 * COALESCE] {
        let sent = Arc::default();
        let mut wire = wire(&sent);
        wire.write_all(&vec![b'x'; length]).await.unwrap();
        // Meanwhile the engine does not flush, but asks whether the client is still there.
        let mut buffer = [0; 8];
        let read = |cx: &mut Context<'_>| {
            Poll::Ready(Pin::new(&mut wire).poll_read(cx, &mut ReadBuf::new(&mut buffer)))
        };
        assert!(poll_fn(read).await.is_pending());
        assert_eq!(sent.lock().len(), length);
    }
}

#[tokio::test]
async fn a_reply_of_ours_that_moves_is_not_overdue() {
    let mut wire = wire(&Arc::default());
    wire.arrival().watch.set(Phase::Reply, Some(Duration::from_secs(1)));
    let mut pace = tokio::time::interval(Duration::from_millis(300));
    for _ in 0..6 {
        pace.tick().await;
        wire.write_all(&[b'x'; 2 * COALESCE]).await.unwrap();
    }
    let mut buffer = [0; 8];
    let read = |cx: &mut Context<'_>| {
        Poll::Ready(Pin::new(&mut wire).poll_read(cx, &mut ReadBuf::new(&mut buffer)))
    };
    assert!(poll_fn(read).await.is_pending());
}
