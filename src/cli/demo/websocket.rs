//! `/ws`: says back whatever it hears.

use super::app::App;
use super::body::{Body, full};
use crate::value::Problem;
use futures::{SinkExt, StreamExt};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Accepts the upgrade and serves it beside the connection's own task.
pub(super) fn accept(mut request: Request<Incoming>, app: &App) -> Result<Response<Body>, Problem> {
    let response = create_response_with_body(&request, || full("")).map_err(|error| {
        Problem::new(format!("this is no WebSocket request ({error})"), "use a WebSocket client")
    })?;
    let upgrade = hyper::upgrade::on(&mut request);
    let app = app.clone();
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            let io = TokioIo::new(upgraded);
            converse(WebSocketStream::from_raw_socket(io, Role::Server, None).await, &app).await;
        }
    });
    Ok(response)
}

async fn converse(mut socket: Socket, app: &App) {
    tokio::select! {
        () = echo(&mut socket) => return,
        () = app.stopped() => {}
    }
    let farewell = CloseFrame { code: CloseCode::Away, reason: "the demo stops".into() };
    if socket.close(Some(farewell)).await.is_ok() {
        while let Some(Ok(_)) = socket.next().await {}
    }
}

/// Repeats messages until the client closes; pings and closes the library answers by itself.
async fn echo(socket: &mut Socket) {
    while let Some(Ok(message)) = socket.next().await {
        let is_content = message.is_text() || message.is_binary();
        if is_content && socket.send(message).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Demo, soon};
    use super::*;
    use tokio::net::TcpStream;
    use tokio_tungstenite::tungstenite::protocol::Message;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    async fn client(demo: &Demo) -> WebSocketStream<TcpStream> {
        let stream = demo.stream().await;
        let (socket, response) =
            tokio_tungstenite::client_async("ws://demo.test/ws", stream).await.unwrap();
        assert_eq!(response.headers()["x-instance"], "test");
        socket
    }

    #[tokio::test]
    async fn text_and_binary_come_back_as_they_went() {
        let demo = Demo::start().await;
        let mut socket = client(&demo).await;
        for message in [
            Message::text("hello"),
            Message::binary(vec![0, 255, 1]),
            Message::text(""),
            Message::text("x".repeat(1 << 20)),
        ] {
            socket.send(message.clone()).await.unwrap();
            assert!(soon(socket.next()).await.unwrap().unwrap() == message);
        }
    }

    #[tokio::test]
    async fn fragments_come_back_as_one_message() {
        let demo = Demo::start().await;
        let mut socket = client(&demo).await;
        for (piece, data, last) in [
            ("one ", Data::Text, false),
            ("two ", Data::Continue, false),
            ("three", Data::Continue, true),
        ] {
            let frame = Frame::message(piece.as_bytes().to_vec(), OpCode::Data(data), last);
            socket.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("one two three"));
    }

    #[tokio::test]
    async fn a_ping_is_answered() {
        let demo = Demo::start().await;
        let mut socket = client(&demo).await;
        socket.send(Message::Ping("are you there".into())).await.unwrap();
        let answer = soon(socket.next()).await.unwrap().unwrap();
        assert_eq!(answer, Message::Pong("are you there".into()));
    }

    #[tokio::test]
    async fn a_close_comes_back_with_its_code() {
        let demo = Demo::start().await;
        let mut socket = client(&demo).await;
        let frame = CloseFrame { code: CloseCode::Library(4321), reason: "enough".into() };
        socket.send(Message::Close(Some(frame))).await.unwrap();
        let Message::Close(Some(answer)) = soon(socket.next()).await.unwrap().unwrap() else {
            panic!("not a close frame");
        };
        assert_eq!(u16::from(answer.code), 4321);
        assert!(soon(socket.next()).await.is_none());
    }

    #[tokio::test]
    async fn a_stopping_demo_says_goodbye() {
        let demo = Demo::start().await;
        let mut socket = client(&demo).await;
        drop(demo);
        let Message::Close(Some(farewell)) = soon(socket.next()).await.unwrap().unwrap() else {
            panic!("not a close frame");
        };
        assert_eq!(farewell.code, CloseCode::Away);
    }

    #[tokio::test]
    async fn an_ordinary_request_is_refused() {
        let reply = Demo::start().await.get("/ws").await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("no WebSocket request"), "{}", reply.text());
    }
}
