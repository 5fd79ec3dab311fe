//! How an origin speaks HTTP/2.

use super::seen::{Received, Record};
use super::serving::{By, Serving, settle};
use crate::support::h2::{map, write};
use crate::support::reply::{Body, Ending, Reply};
use crate::support::wire::{Headers, Stream};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Serves a connection to its end.
pub(super) async fn serve(io: Stream, number: usize, serving: &Serving) -> By {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(1 << 20).initial_connection_window_size(1 << 21);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else { return By::Peer };
    let goodbye = Arc::new(Notify::new());
    let mut by = By::Peer;
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            stream = connection.accept() => {
                let Some(Ok((request, respond))) = stream else { return by };
                let goodbye = Arc::clone(&goodbye);
                streams.spawn(exchange(request, respond, number, serving.clone(), goodbye));
            }
            () = goodbye.notified() => {
                by = By::Us;
                connection.graceful_shutdown();
            }
        }
    }
}

async fn exchange(
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    number: usize,
    serving: Serving,
    goodbye: Arc<Notify>,
) {
    let (head, mut body) = request.into_parts();
    let record = serving.begin(received(&head, number));
    let done = if serving.script.before_body {
        let reply = serving.reply(&record.request());
        let closing = reply.ending == Ending::Close;
        if let Body::Echo(largest) = reply.body {
            echo_body(&mut body, &mut respond, &record, largest).await.map(|()| false)
        } else {
            let both = async {
                let body = read_body(&mut body, &record, &serving);
                tokio::try_join!(body, answer(&mut respond, reply))
            };
            both.await.map(|_| closing)
        }
    } else {
        match read_body(&mut body, &record, &serving).await {
            Ok(()) => {
                let reply = serving.reply(&record.request());
                let closing = reply.ending == Ending::Close;
                answer(&mut respond, reply).await.map(|()| closing)
            }
            Err(e) => Err(e),
        }
    };
    match done {
        Ok(true) => goodbye.notify_one(),
        Ok(false) => {}
        Err(_) => record.cancelled(),
    }
}

fn received(head: &http::request::Parts, connection: usize) -> Received {
    let target = head.uri.path_and_query().map(ToString::to_string);
    Received {
        connection,
        method: head.method.to_string(),
        target: target.unwrap_or_default(),
        version: "HTTP/2.0".to_owned(),
        scheme: head.uri.scheme_str().map(str::to_owned),
        authority: head.uri.authority().map(ToString::to_string),
        headers: Headers::from(&head.headers),
        ..Received::default()
    }
}

async fn read_body(
    body: &mut RecvStream,
    record: &Record,
    serving: &Serving,
) -> Result<(), h2::Error> {
    serving.before_body().await;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        record.piece(&piece);
    }
    let trailers = body.trailers().await?;
    record.complete(trailers.as_ref().map(Headers::from).unwrap_or_default());
    Ok(())
}

async fn echo_body(
    body: &mut RecvStream,
    respond: &mut SendResponse<Bytes>,
    record: &Record,
    largest: usize,
) -> Result<(), h2::Error> {
    let mut send = respond.send_response(http::Response::new(()), false)?;
    while let Some(piece) = body.data().await {
        let mut piece = piece?;
        let length = piece.len();
        record.piece(&piece);
        while !piece.is_empty() {
            let echoed = piece.split_to(largest.min(piece.len()));
            write(&mut send, echoed, false).await?;
        }
        // The client may send as much as it has got back.
        body.flow_control().release_capacity(length)?;
    }
    record.complete(Headers::default());
    write(&mut send, Bytes::new(), true).await
}

/// Sends the answer; an error says that the peer reset the stream.
async fn answer(respond: &mut SendResponse<Bytes>, reply: Reply) -> Result<(), h2::Error> {
    tokio::select! {
        biased;
        reset = std::future::poll_fn(|cx| respond.poll_reset(cx)) => {
            return Err(reset.map_or_else(|e| e, h2::Error::from));
        }
        () = reply.wait() => {}
    }
    if let Body::Wire(bytes) = &reply.body {
        assert!(bytes.is_empty(), "bytes of a test's own go over HTTP/1 only");
        respond.send_reset(Reason::INTERNAL_ERROR);
        return Ok(());
    }
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(reply.status).expect("a status");
    *head.headers_mut() = map(&reply.headers);
    let bare = matches!(&reply.body, Body::Whole(bytes) if bytes.is_empty())
        && reply.trailers.0.is_empty()
        && reply.ending != Ending::Reset;
    let mut send = respond.send_response(head, bare)?;
    if bare {
        return Ok(());
    }
    let last = reply.trailers.0.is_empty() && reply.ending != Ending::Reset;
    match reply.body {
        Body::Whole(bytes) => write(&mut send, bytes, last).await?,
        Body::Fed(feed) => {
            let mut n = 0;
            loop {
                let piece = tokio::select! {
                    biased;
                    reset = std::future::poll_fn(|cx| send.poll_reset(cx)) => {
                        return Err(reset.map_or_else(|e| e, h2::Error::from));
                    }
                    piece = feed.piece(n) => piece,
                };
                let Some(piece) = piece else { break };
                write(&mut send, piece, false).await?;
                n += 1;
            }
            write(&mut send, Bytes::new(), last).await?;
        }
        Body::Wire(_) | Body::WebSocket | Body::Tunnel(_) | Body::Echo(_) => {
            panic!("this reply goes over HTTP/1 only, or before the body")
        }
    }
    if reply.ending == Ending::Reset {
        settle().await;
        send.send_reset(Reason::INTERNAL_ERROR);
    } else if !last {
        send.send_trailers(map(&reply.trailers))?;
    }
    Ok(())
}
