use super::*;
use crate::exchange::{ClientAddress, Connection, Ending, Entrance, Footing, Limits, Manner};
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
    let connection = Connection::new(Arc::new(entrance), None, None, None, Arc::default());
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

/// A wire of a stream in this manner whose time is over as soon as it is looked at.
fn ending(manner: Manner, sent: &Arc<Mutex<Vec<u8>>>) -> Box<Wire<Keeping>> {
    let wire = wire(sent);
    let footing: Footing = std::array::from_fn(|_| Arc::new(Ending::default()));
    footing[1].end(Duration::ZERO);
    wire.arrival().watch.set(Phase::Tunnel, None);
    wire.arrival().watch.lasts(manner, footing);
    wire
}

/// What reading gives within a time.
async fn read(wire: &mut Wire<Keeping>, time: Duration) -> Option<io::Result<usize>> {
    let mut buffer = [0; 8];
    tokio::time::timeout(time, wire.read(&mut buffer)).await.ok()
}

const MOMENT: Duration = Duration::from_millis(200);
const SWITCHED: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
const FRAME: &[u8] = &[0x81, 5, 0x88, 2, 3, 0xf4, 0];
const CLOSE: &[u8] = &[0x88, 2, 3, 0xf4];

#[tokio::test]
async fn a_websocket_is_closed_between_two_frames() {
    for cut in 1..FRAME.len() {
        let sent = Arc::default();
        let mut wire = ending(Manner::Close, &sent);
        wire.write_all(&[SWITCHED, FRAME, &FRAME[..cut]].concat()).await.unwrap();
        assert!(read(&mut wire, MOMENT).await.is_none());
        assert_eq!(*sent.lock(), [SWITCHED, FRAME, &FRAME[..cut]].concat());
        wire.write_all(&[&FRAME[cut..], FRAME, FRAME].concat()).await.unwrap();
        wire.flush().await.unwrap();
        assert_eq!(*sent.lock(), [SWITCHED, FRAME, FRAME, CLOSE].concat());
        assert!(wire.arrival().has_parted());
    }
}

#[tokio::test]
async fn a_websocket_between_two_frames_is_closed_at_once_and_ends_when_nobody_answers() {
    let sent = Arc::default();
    let mut wire = ending(Manner::Close, &sent);
    wire.write_all(&[SWITCHED, FRAME].concat()).await.unwrap();
    assert!(read(&mut wire, MOMENT).await.is_none());
    assert_eq!(*sent.lock(), [SWITCHED, FRAME, CLOSE].concat());
    let ends = [read(&mut wire, 20 * MOMENT).await, read(&mut wire, MOMENT).await];
    assert!(ends.iter().all(|end| matches!(end, Some(Ok(0)))), "{ends:?}");
}

#[tokio::test]
async fn a_websocket_whose_endpoint_has_closed_it_is_not_closed_twice() {
    let sent = Arc::default();
    let mut wire = ending(Manner::Close, &sent);
    let all = [SWITCHED, FRAME, &[0x88, 0]].concat();
    wire.write_all(&all).await.unwrap();
    assert!(read(&mut wire, MOMENT).await.is_none());
    assert_eq!(*sent.lock(), all);
}

#[tokio::test]
async fn a_frame_that_does_not_end_ends_the_stream_with_an_error() {
    let mut wire = ending(Manner::Close, &Arc::default());
    wire.write_all(&[SWITCHED, &FRAME[..3]].concat()).await.unwrap();
    let end = read(&mut wire, 20 * MOMENT).await;
    assert!(matches!(end, Some(Err(_))) && !wire.arrival().has_parted(), "{end:?}");
}

#[tokio::test]
async fn events_end_after_a_chunk_as_if_they_were_all() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";
    let sent = Arc::default();
    let mut wire = ending(Manner::Events, &sent);
    wire.write_all(&[HEAD, b"5\r\nhel"].concat()).await.unwrap();
    assert!(read(&mut wire, 6 * MOMENT).await.is_none());
    wire.write_all(b"lo\r\n5\r\nworld\r\n").await.unwrap();
    assert!(read(&mut wire, MOMENT).await.unwrap().is_err());
    wire.flush().await.unwrap();
    assert_eq!(*sent.lock(), [HEAD, b"5\r\nhello\r\n0\r\n\r\n"].concat());
    assert!(wire.arrival().has_parted());
}
