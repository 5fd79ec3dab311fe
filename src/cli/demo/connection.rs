//! Accepts connections and speaks HTTP/1 or HTTP/2 on each, whichever the client begins.

use super::app::App;
use super::socket::{Io, Socket};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

/// Accepts until the app is told to stop.
pub(super) async fn accept(socket: Socket, app: App) {
    loop {
        tokio::select! {
            accepted = socket.accept() => match accepted {
                Ok((io, remote)) => drop(tokio::spawn(converse(io, remote.into(), app.clone()))),
                // Most likely out of file descriptors, which others give back with time.
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            () = app.stopped() => return,
        }
    }
}

async fn converse(io: Box<dyn Io>, remote: Arc<str>, app: App) {
    let answering = app.clone();
    let service = service_fn(move |request| {
        let (app, remote) = (answering.clone(), Arc::clone(&remote));
        async move { Ok::<_, Infallible>(app.answer(request, &remote).await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(io), service);
    tokio::pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = app.stopped() => connection.as_mut().graceful_shutdown(),
    }
    // How a connection ends is the client's business.
    let _ = connection.await;
}

const PAUSE: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::super::testing::Demo;

    #[tokio::test]
    async fn one_port_speaks_http_1_and_http_2() {
        let demo = Demo::start().await;
        assert_eq!(demo.get("/echo").await.json()["protocol"], "HTTP/1.1");

        let (mut client, connection) = h2::client::handshake(demo.stream().await).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://demo.test/echo?a=1").body(()).unwrap();
        let (response, _) = client.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert_eq!(response.headers()["x-instance"], "test");
        let body = response.into_body().data().await.unwrap().unwrap();
        let echo: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(echo["protocol"], "HTTP/2.0");
        assert_eq!(echo["target"], "/echo?a=1");
        assert_eq!(echo["headers"][0], serde_json::json!([":authority", "demo.test"]));
    }

    #[tokio::test]
    async fn a_connection_carries_one_exchange_after_another() {
        let demo = Demo::start().await;
        let mut client = demo.connect().await;
        for status in [200, 404, 503] {
            client.send(&format!("GET /status/{status} HTTP/1.1\r\nHost: demo\r\n\r\n")).await;
            assert_eq!(client.reply().await.status, status);
        }
    }
}
