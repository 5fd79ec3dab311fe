//! A raw HTTP/1 connection to play with.

use super::client::meanwhile;
use super::response::{Broken, Response, read_response};
use super::tls::Agreed;
use super::wire::{self, Head, Reader, Stream, Writer};
use super::within;
use bytes::Bytes;

/// A raw HTTP/1 connection.
pub struct Raw {
    pub(super) reader: Reader,
    pub(super) writer: Writer,
    /// What the TLS handshake agreed on.
    pub agreed: Option<Agreed>,
}

impl Raw {
    pub(super) fn new(io: Stream, agreed: Option<Agreed>) -> Self {
        let (reader, writer) = wire::split(io);
        Self { reader, writer, agreed }
    }

    /// Sends a request of this method and reads its answer, which may come before all is sent.
    pub(super) async fn exchange(
        &mut self,
        bytes: &[u8],
        method: &str,
    ) -> Result<Response, Broken> {
        let read = read_response(&mut self.reader, method);
        meanwhile(self.writer.write(bytes), read).await
    }

    /// Sends bytes in one write.
    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        let written = within("a write", self.writer.write(bytes.as_ref())).await;
        written.expect("the connection takes bytes");
    }

    /// Ends the direction that we write.
    pub async fn finish(&mut self) {
        let _ = self.writer.finish().await;
    }

    /// The next head, interim ones included.
    pub async fn head(&mut self) -> Head {
        let head = within("a head", self.reader.head()).await.expect("a whole head");
        head.expect("a head before the end of the connection")
    }

    /// The next whole answer to a GET.
    pub async fn response(&mut self) -> Response {
        self.response_to("GET").await
    }

    /// The next whole answer to a request of this method.
    pub async fn response_to(&mut self, method: &str) -> Response {
        let response = within("an answer", read_response(&mut self.reader, method)).await;
        response.unwrap_or_else(|broken| panic!("a whole answer: {broken:?}"))
    }

    /// The next answer, or how it broke.
    pub async fn try_response(&mut self) -> Result<Response, Broken> {
        within("an answer", read_response(&mut self.reader, "GET")).await
    }

    /// What one read gives; nothing at the end of the connection.
    pub async fn read(&mut self) -> Bytes {
        let read = within("something to read", self.reader.any()).await;
        read.unwrap_or_else(|e| panic!("something to read: {e}"))
    }

    /// Reads until these bytes have come, and gives all up to and with them.
    pub async fn until(&mut self, bytes: &[u8]) -> Bytes {
        let what = format!("{:?}", wire::text(bytes));
        within(&what, async {
            loop {
                if let Some(at) = wire::find(self.reader.unread(), bytes) {
                    return self.reader.take(at + bytes.len());
                }
                let read = self.reader.fill().await.expect("more bytes");
                let unread = || wire::text(self.reader.unread());
                assert!(read > 0, "the connection ended before {what}, after {:?}", unread());
            }
        })
        .await
    }

    /// The next so many bytes; an end of the connection before them fails the test.
    pub async fn exactly(&mut self, count: usize) -> Bytes {
        within("some bytes", async {
            while self.reader.unread().len() < count {
                let read = self.reader.fill().await.expect("more bytes");
                let unread = || wire::text(self.reader.unread());
                assert!(read > 0, "the connection ended after {:?}", unread());
            }
            self.reader.take(count)
        })
        .await
    }

    /// Everything until the peer closes; a reset counts as a close.
    pub async fn rest(&mut self) -> Bytes {
        within("the end of the connection", self.reader.ended()).await;
        self.reader.take(self.reader.unread().len())
    }

    /// Waits until the peer ends the connection properly: with nothing more before it, with no
    /// reset, and over TLS with the word that says so.
    pub async fn ended(&mut self) {
        let end = within("the end of the connection", self.reader.any()).await;
        assert!(end.as_ref().is_ok_and(Bytes::is_empty), "no proper end: {end:?}");
    }

    /// Waits until the peer closes, and insists that nothing more came.
    pub async fn closed(&mut self) {
        let rest = self.rest().await;
        assert!(rest.is_empty(), "something came before the close: {:?}", wire::text(&rest));
    }
}
