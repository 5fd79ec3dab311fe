//! A client that speaks HTTP/2.

use super::client::{Request, meanwhile};
use super::response::{Broken, Response};
use super::tls::Agreed;
use super::wire::{Headers, Stream};
use super::within;
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::task::JoinHandle;

/// A connection by HTTP/2.
pub struct H2 {
    sender: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
    scheme: &'static str,
    authority: String,
    /// What the TLS handshake agreed on.
    pub agreed: Option<Agreed>,
}

impl H2 {
    pub(super) async fn open(
        io: Stream,
        agreed: Option<Agreed>,
        tls: bool,
        authority: String,
    ) -> Self {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 21);
        let (sender, connection) =
            within("the HTTP/2 preface", builder.handshake(io)).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        Self { sender, connection, scheme: if tls { "https" } else { "http" }, authority, agreed }
    }

    /// The answer to a GET.
    pub async fn get(&mut self, path: &str) -> Response {
        let mut exchange = self.start("GET", path, &[], true).await;
        exchange.response().await
    }

    /// Begins a request; `ended` says that it has no body.
    pub async fn start(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        ended: bool,
    ) -> Exchange {
        let uri = format!("{}://{}{path}", self.scheme, self.authority);
        let mut request = http::Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).expect("a request that HTTP/2 can say");
        self.begin(request, ended).await
    }

    /// Begins a request given as such.
    pub async fn begin(&mut self, request: http::Request<()>, ended: bool) -> Exchange {
        self.try_begin(request, ended).await.unwrap_or_else(|e| panic!("a request: {e}"))
    }

    /// Begins a request, or says why the connection takes none.
    pub async fn try_begin(
        &self,
        request: http::Request<()>,
        ended: bool,
    ) -> Result<Exchange, h2::Error> {
        let mut sender = within("room for a stream", self.sender.clone().ready()).await?;
        let (response, send) = sender.send_request(request, ended)?;
        Ok(Exchange { response: Some(response), send, body: None })
    }

    /// Waits until the peer ends the connection, and says how.
    pub async fn closed(self) -> Result<(), h2::Error> {
        drop(self.sender);
        within("the end of the HTTP/2 connection", self.connection).await.expect("no panic")
    }

    /// Waits until the peer ends the connection, and says how; unlike [`Self::closed`] it keeps
    /// the wish to send more, without which a client ends an idle connection itself.
    pub async fn left(&mut self) -> Result<(), h2::Error> {
        within("the peer to end the connection", &mut self.connection).await.expect("no panic")
    }

    /// Ends the connection at once, as a client that is gone.
    pub fn abort(self) {
        self.connection.abort();
    }

    /// The head of a request as HTTP/2 sends it.
    pub(super) fn head(&self, request: &Request) -> http::Request<()> {
        let uri = format!("{}://{}{}", self.scheme, request.authority(), request.target);
        let mut head = http::Request::builder().method(request.method.as_str()).uri(uri);
        for (name, value) in &request.headers.0 {
            head = head.header(name, value);
        }
        if let Some(body) = request.body.as_ref().filter(|_| !request.chunked) {
            head = head.header("content-length", body.len());
        }
        head.body(()).expect("a request that HTTP/2 can say")
    }

    pub(super) async fn try_send(&self, request: Request) -> Result<Response, Broken> {
        let before = |e: h2::Error| Broken::BeforeHead(e.to_string());
        let head = self.head(&request);
        let bare = request.body.is_none() && request.trailers.0.is_empty();
        let mut exchange = self.try_begin(head, bare).await.map_err(before)?;
        if bare {
            return exchange.try_response().await;
        }
        let Exchange { response, send, body } = &mut exchange;
        let write = async {
            let last = request.trailers.0.is_empty();
            let sent = write(send, request.body.unwrap_or_default(), last).await;
            if !last && sent.is_ok() {
                let _ = send.send_trailers(map(&request.trailers));
            }
        };
        meanwhile(write, read_response(response, body)).await
    }
}

/// One request by HTTP/2 and its answer.
pub struct Exchange {
    pub(super) response: Option<ResponseFuture>,
    pub(super) send: SendStream<Bytes>,
    pub(super) body: Option<RecvStream>,
}

impl Exchange {
    /// Sends bytes of the body as the window allows; `last` ends it.
    pub async fn write(&mut self, bytes: impl Into<Bytes>, last: bool) {
        let sent = within("room in the window", write(&mut self.send, bytes.into(), last)).await;
        sent.expect("the stream takes bytes");
    }

    /// Ends the body with trailers.
    pub fn finish(&mut self, trailers: &[(&str, &str)]) {
        let mut headers = Headers::default();
        trailers.iter().for_each(|(name, value)| headers.push(name, value));
        self.send.send_trailers(map(&headers)).expect("the stream takes trailers");
    }

    /// Resets the stream, as a client that lost interest.
    pub fn reset(&mut self) {
        self.send.send_reset(h2::Reason::CANCEL);
    }

    /// The head of the answer, as soon as it comes.
    pub async fn head(&mut self) -> http::Response<()> {
        let awaited = self.response.take().expect("the head was not read before");
        let response = within("a head", awaited).await.expect("a head");
        let (parts, body) = response.into_parts();
        self.body = Some(body);
        http::Response::from_parts(parts, ())
    }

    /// The next bytes of the answer's body, after [`Self::head`]; `None` at its proper end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let body = self.body.as_mut().expect("the head was read");
        within("a piece of the body", next_piece(body)).await
    }

    /// What came after the body, when [`Self::piece`] has given `None`.
    pub async fn trailers(&mut self) -> Headers {
        read_trailers(self.body.as_mut().expect("the head was read")).await
    }

    /// The whole answer; a broken one fails the test.
    pub async fn response(&mut self) -> Response {
        self.try_response().await.unwrap_or_else(|broken| panic!("a whole answer: {broken:?}"))
    }

    /// The whole answer, or how it broke.
    pub async fn try_response(&mut self) -> Result<Response, Broken> {
        within("an answer", read_response(&mut self.response, &mut self.body)).await
    }
}

async fn read_response(
    awaited: &mut Option<ResponseFuture>,
    body: &mut Option<RecvStream>,
) -> Result<Response, Broken> {
    let before = |e: h2::Error| Broken::BeforeHead(e.to_string());
    let head = awaited.take().expect("the answer was not read before").await.map_err(before)?;
    let (parts, stream) = head.into_parts();
    let stream = body.insert(stream);
    let mut response = Response {
        status: parts.status.as_u16(),
        version: "HTTP/2.0".to_owned(),
        headers: Headers::from(&parts.headers),
        ..Response::default()
    };
    let mut bytes = Vec::new();
    let ended = loop {
        match stream.data().await {
            Some(Ok(piece)) => {
                let _ = stream.flow_control().release_capacity(piece.len());
                bytes.extend(piece);
            }
            Some(Err(e)) => break Err(e),
            None => break stream.trailers().await,
        }
    };
    response.body = bytes.into();
    match ended {
        Ok(trailers) => {
            response.trailers = trailers.as_ref().map(Headers::from).unwrap_or_default();
            Ok(response)
        }
        Err(e) => Err(Broken::InBody(Box::new(response), e.to_string())),
    }
}

/// The next bytes of a body; `None` at its proper end.
pub(super) async fn next_piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    loop {
        let piece = body.data().await?;
        let length = piece.as_ref().map_or(0, Bytes::len);
        let _ = body.flow_control().release_capacity(length);
        // An empty frame says nothing but that the body may end.
        if piece.is_err() || length > 0 {
            return Some(piece);
        }
    }
}

/// What came after a body, when [`next_piece`] has given `None`.
pub(super) async fn read_trailers(body: &mut RecvStream) -> Headers {
    let trailers = within("the trailers", body.trailers()).await.expect("a proper end");
    trailers.as_ref().map(Headers::from).unwrap_or_default()
}

/// Sends bytes as fast as the peer's window opens; `last` ends the body.
pub(super) async fn write(
    send: &mut SendStream<Bytes>,
    mut bytes: Bytes,
    last: bool,
) -> Result<(), h2::Error> {
    if bytes.is_empty() && last {
        return send.send_data(bytes, true);
    }
    while !bytes.is_empty() {
        send.reserve_capacity(bytes.len().min(64 * 1024));
        let room = match std::future::poll_fn(|cx| send.poll_capacity(cx)).await {
            Some(room) => room?,
            None => return Err(h2::Reason::STREAM_CLOSED.into()),
        };
        let piece = bytes.split_to(room.min(bytes.len()));
        send.send_data(piece, last && bytes.is_empty())?;
    }
    Ok(())
}

/// Fields as HTTP/2 sends them.
pub(super) fn map(headers: &Headers) -> http::HeaderMap {
    let pairs = headers.0.iter().map(|(name, value)| {
        let name = http::HeaderName::try_from(name.as_str()).expect("a header name");
        (name, http::HeaderValue::try_from(value.as_str()).expect("a header value"))
    });
    pairs.collect()
}
