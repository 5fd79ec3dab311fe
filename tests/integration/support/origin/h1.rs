//! How an origin speaks HTTP/1.

use super::seen::{Received, Record};
use super::serving::{By, Serving, reset_on_close, settle};
use crate::support::reply::{Body, Ending, Reply};
use crate::support::wire::{
    self, Framing, Head, Headers, Reader, Stream, Writer, chunk, last_chunk,
};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use std::io::{ErrorKind, Result};
use std::net::TcpStream;
use std::time::Duration;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

/// Serves a connection to its end.
pub(super) async fn serve(
    io: Stream,
    number: usize,
    serving: &Serving,
    socket: Option<TcpStream>,
) -> By {
    let (mut reader, mut writer) = wire::split(io);
    loop {
        let head = match next_head(&mut reader, serving.script.idle).await {
            Next::Head(head) => head,
            Next::Ended => return By::Peer,
            Next::Idle => return By::Us,
        };
        let record = serving.begin(received(&head, number));
        let (reply, answered) = exchange(&mut reader, &mut writer, &head, &record, serving).await;
        if answered.is_err() {
            record.cancelled();
            return By::Peer;
        }
        match (reply.body, reply.ending) {
            (Body::WebSocket, _) => return echo_messages(reader, writer).await,
            (Body::Tunnel(_), _) => return echo_bytes(reader, writer).await,
            (_, Ending::Reset) => {
                settle().await;
                socket.iter().for_each(reset_on_close);
                return By::Us;
            }
            (_, Ending::Close) => return close(reader, writer).await,
            _ if !keeps(&head) || !keeps_reply(&reply.headers) => {
                return close(reader, writer).await;
            }
            _ => {}
        }
    }
}

enum Next {
    Head(Head),
    Ended,
    Idle,
}

async fn next_head(reader: &mut Reader, idle: Option<Duration>) -> Next {
    let head = reader.head();
    let head = match idle {
        None => head.await,
        Some(time) => match tokio::time::timeout(time, head).await {
            Ok(head) => head,
            Err(_) => return Next::Idle,
        },
    };
    head.ok().flatten().map_or(Next::Ended, Next::Head)
}

fn received(head: &Head, connection: usize) -> Received {
    Received {
        connection,
        raw: head.raw.clone(),
        method: head.word(0).to_owned(),
        target: head.word(1).to_owned(),
        version: head.word(2).to_owned(),
        headers: head.headers.clone(),
        ..Received::default()
    }
}

/// One request to its answer; an error says that the peer left.
async fn exchange(
    reader: &mut Reader,
    writer: &mut Writer,
    head: &Head,
    record: &Record,
    serving: &Serving,
) -> (Reply, Result<()>) {
    if serving.script.before_body {
        let reply = serving.reply(&record.request());
        if let Body::Echo(largest) = reply.body {
            let echoed = echo_body(reader, writer, head, record, largest).await;
            return (reply, echoed);
        }
        let both = async {
            let body = read_body(reader, head, record, serving);
            tokio::try_join!(body, answer(writer, head, &reply))
        };
        let both = both.await.map(|_| ());
        return (reply, both);
    }
    let body = async {
        if head.lists("expect", "100-continue") {
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        read_body(reader, head, record, serving).await
    };
    if let Err(gone) = body.await {
        return (Reply::new(0), Err(gone));
    }
    let reply = serving.reply(&record.request());
    let answered = tokio::select! {
        biased;
        answered = answer(writer, head, &reply) => answered,
        () = reader.ended() => Err(ErrorKind::ConnectionAborted.into()),
    };
    (reply, answered)
}

async fn read_body(
    reader: &mut Reader,
    head: &Head,
    record: &Record,
    serving: &Serving,
) -> Result<()> {
    serving.before_body().await;
    let mut framing = head.framing(Framing::Length(0))?;
    let mut trailers = Headers::default();
    while let Some(piece) = reader.piece(&mut framing, &mut trailers).await? {
        record.piece(&piece);
    }
    record.complete(trailers);
    Ok(())
}

async fn echo_body(
    reader: &mut Reader,
    writer: &mut Writer,
    head: &Head,
    record: &Record,
    largest: usize,
) -> Result<()> {
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
    let mut framing = head.framing(Framing::Length(0))?;
    let mut trailers = Headers::default();
    while let Some(piece) = reader.piece(&mut framing, &mut trailers).await? {
        record.piece(&piece);
        for echoed in piece.chunks(largest) {
            writer.write(&chunk(echoed)).await?;
        }
    }
    record.complete(trailers);
    writer.write(&last_chunk(&Headers::default())).await
}

async fn answer(writer: &mut Writer, request: &Head, reply: &Reply) -> Result<()> {
    for (status, headers) in &reply.interim {
        writer.write(format!("HTTP/1.1 {status} Interim\r\n{headers}\r\n").as_bytes()).await?;
    }
    reply.wait().await;
    let chunked = !reply.trailers.0.is_empty()
        || matches!(reply.body, Body::Fed(_)) && reply.headers.one("content-length").is_none();
    let head = head(request, reply, chunked);
    let bodiless = request.word(0) == "HEAD";
    match &reply.body {
        Body::Wire(bytes) => writer.write(bytes).await,
        Body::WebSocket | Body::Tunnel(_) => writer.write(&head).await,
        Body::Echo(_) => panic!("this reply needs an origin that answers before the body"),
        Body::Whole(_) | Body::Fed(_) if bodiless => writer.write(&head).await,
        Body::Whole(bytes) if !chunked => writer.write(&[&head, &bytes[..]].concat()).await,
        Body::Whole(bytes) => {
            let body = [chunk(bytes), last_chunk(&reply.trailers)].concat();
            writer.write(&[head, body].concat()).await
        }
        Body::Fed(feed) => {
            writer.write(&head).await?;
            let mut n = 0;
            while let Some(piece) = feed.piece(n).await {
                let bytes = if chunked { chunk(&piece) } else { piece.to_vec() };
                writer.write(&bytes).await?;
                n += 1;
            }
            // What is cut off must look cut off.
            let whole = chunked && reply.ending != Ending::Reset && reply.ending != Ending::Close;
            if whole { writer.write(&last_chunk(&reply.trailers)).await } else { Ok(()) }
        }
    }
}

fn head(request: &Head, reply: &Reply, chunked: bool) -> Vec<u8> {
    let mut headers = reply.headers.clone();
    match &reply.body {
        Body::WebSocket => {
            let key = request.headers.one("sec-websocket-key").unwrap_or_default();
            headers.push("Upgrade", "websocket");
            headers.push("Connection", "Upgrade");
            headers.push("Sec-WebSocket-Accept", derive_accept_key(key.as_bytes()));
        }
        Body::Tunnel(protocol) => {
            headers.push("Upgrade", protocol);
            headers.push("Connection", "Upgrade");
        }
        _ if chunked => headers.push("Transfer-Encoding", "chunked"),
        Body::Whole(bytes) => {
            let has_body = !matches!(reply.status, 100..=199 | 204 | 304);
            if has_body && headers.one("content-length").is_none() {
                headers.push("Content-Length", bytes.len());
            }
        }
        _ => {}
    }
    let reason = http::StatusCode::from_u16(reply.status).ok().and_then(|s| s.canonical_reason());
    let reason = reason.unwrap_or("Unknown");
    format!("HTTP/1.1 {} {reason}\r\n{headers}\r\n", reply.status).into_bytes()
}

fn keeps(request: &Head) -> bool {
    let old = request.word(2) == "HTTP/1.0";
    if old {
        request.lists("connection", "keep-alive")
    } else {
        !request.lists("connection", "close")
    }
}

fn keeps_reply(headers: &Headers) -> bool {
    !headers.all("connection").iter().any(|value| value.eq_ignore_ascii_case("close"))
}

/// Ends our direction, and gives the peer time to read all before the socket goes.
async fn close(mut reader: Reader, mut writer: Writer) -> By {
    let _ = writer.finish().await;
    let _ = tokio::time::timeout(Duration::from_secs(1), reader.ended()).await;
    By::Us
}

async fn echo_messages(reader: Reader, writer: Writer) -> By {
    let (io, read) = wire::join(reader, writer);
    let mut socket =
        WebSocketStream::from_partially_read(io, read.to_vec(), Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            break;
        }
    }
    By::Peer
}

async fn echo_bytes(mut reader: Reader, mut writer: Writer) -> By {
    loop {
        let bytes = reader.any().await.unwrap_or_else(|_| Bytes::new());
        if bytes.is_empty() || writer.write(&bytes).await.is_err() {
            return By::Peer;
        }
    }
}
