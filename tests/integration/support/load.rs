//! Clients that ask and ask, and fail the test when anything goes wrong.

use super::client::Client;
use super::origin::{Origin, origin};
use super::reply::{Feed, Reply};
use super::response::Broken;
use super::within;
use futures::future::join_all;
use futures::{SinkExt, StreamExt};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// How the reason NO_ERROR of HTTP/2 reads.
const NO_ERROR: &str = "not a result of an error";

/// How often something comes on a stream.
const PACE: Duration = Duration::from_millis(50);

/// What the origin answers to `GET /app`.
const ANSWER: &str = "hello";

/// Whether tests shall show in full, alone on the machine, what they show in short otherwise:
/// `make chaos` sets it.
pub fn is_chaos() -> bool {
    std::env::var_os("FALCONER_CHAOS").is_some()
}

/// What answers the load, and so many streams of events.
pub async fn app_for_load(streams: usize) -> (Origin, Vec<Feed>) {
    let feeds: Vec<_> = (0..streams).map(|_| Feed::new()).collect();
    let mut app = origin().answer("/app", Reply::ok(ANSWER)).answer("/ws", Reply::websocket());
    for (n, feed) in feeds.iter().enumerate() {
        app = app.answer(&events_path(n), Reply::new(200).fed_by(feed));
    }
    (app.start().await, feeds)
}

fn events_path(number: usize) -> String {
    format!("/feed-{number}")
}

/// Constant load: each client asks for `/app` as soon as it has its answer.
pub struct Load {
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    /// Answers.
    answers: AtomicUsize,
    /// How often a server wanted a connection to end.
    farewells: AtomicUsize,
}

impl Load {
    /// Asks by HTTP/1 with keep-alive and without, and by HTTP/2, of each of these clients.
    pub fn of(clients: &[Client]) -> Self {
        let mut load = Self { seen: Arc::default(), tasks: Vec::new() };
        for client in clients {
            load.tasks.push(tokio::spawn(h1(client.clone(), true, load.seen.clone())));
            load.tasks.push(tokio::spawn(h1(client.clone(), false, load.seen.clone())));
            load.tasks.push(tokio::spawn(h2(client.clone().h2(), load.seen.clone())));
        }
        load
    }

    /// Asks besides on a new connection for each request.
    pub fn and_without_keep_alive(mut self, client: &Client) -> Self {
        self.tasks.push(tokio::spawn(h1(client.clone(), false, self.seen.clone())));
        self
    }

    /// Keeps so many WebSockets open and gets their echoes, and a stream of events for each feed;
    /// the clients share them.
    pub fn and_streams(mut self, clients: &[Client], websockets: usize, feeds: &[Feed]) -> Self {
        for (_, client) in (0..websockets).zip(clients.iter().cycle()) {
            self.tasks.push(tokio::spawn(websocket(client.clone(), self.seen.clone())));
        }
        for ((n, feed), client) in feeds.iter().enumerate().zip(clients.iter().cycle()) {
            let events = events(client.clone(), events_path(n), feed.clone(), self.seen.clone());
            self.tasks.push(tokio::spawn(events));
        }
        self
    }

    /// Waits until so many more answers have come.
    pub async fn goes_on(&self, answers: usize) {
        let before = self.seen.answers.load(Ordering::Relaxed);
        let is_alive = || self.tasks.iter().all(|task| !task.is_finished());
        while self.seen.answers.load(Ordering::Relaxed) < before + answers && is_alive() {
            tokio::task::yield_now().await;
        }
    }

    /// Ends it; nobody may have noticed anything. Gives the answers, and how often a connection
    /// was to end.
    pub async fn end(self) -> (usize, usize) {
        self.seen.stop.store(true, Ordering::Relaxed);
        for task in join_all(self.tasks).await {
            task.expect("a client that noticed nothing");
        }
        (self.seen.answers.load(Ordering::Relaxed), self.seen.farewells.load(Ordering::Relaxed))
    }
}

impl Seen {
    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::Relaxed)
    }

    fn answered(&self) {
        self.answers.fetch_add(1, Ordering::Relaxed);
    }

    fn farewell(&self) {
        self.farewells.fetch_add(1, Ordering::Relaxed);
    }
}

async fn h1(client: Client, keeps: bool, seen: Arc<Seen>) {
    let mut raw = client.raw().await;
    let close = if keeps { "" } else { "Connection: close\r\n" };
    while seen.goes_on() {
        raw.write(format!("GET /app HTTP/1.1\r\nHost: a\r\n{close}\r\n")).await;
        let response = raw.response().await;
        assert_eq!((response.status, response.text().as_str()), (200, ANSWER), "{response:?}");
        seen.answered();
        let is_last = response.header("connection") == Some("close");
        assert!(keeps || is_last, "{response:?}");
        if keeps && is_last {
            seen.farewell();
        }
        if is_last {
            raw = client.raw().await;
        }
    }
}

async fn h2(client: Client, seen: Arc<Seen>) {
    let mut h2 = client.open_h2().await;
    while seen.goes_on() {
        let request = http::Request::get("http://localhost/app").body(()).unwrap();
        match h2.try_begin(request, true).await {
            Ok(mut exchange) => match exchange.try_response().await {
                Ok(response) => {
                    assert_eq!(response, ANSWER);
                    seen.answered();
                    continue;
                }
                // Above the last stream of GOAWAY: it was not looked at, and goes elsewhere (RFC
                // 9113, 6.8). The test counts what the origin got.
                Err(Broken::BeforeHead(why)) if why.contains(NO_ERROR) => {}
                Err(broken) => panic!("an answer: {broken:?}"),
            },
            // It takes no more streams: nothing was sent.
            Err(error) => assert!(error.is_go_away() && error.to_string().contains(NO_ERROR)),
        }
        seen.farewell();
        h2 = client.open_h2().await;
    }
}

async fn websocket(client: Client, seen: Arc<Seen>) {
    let mut socket = client.websocket("/ws", &[]).await.expect("a WebSocket");
    let mut pace = tokio::time::interval(PACE);
    for number in 0.. {
        let text = Message::text(format!("message {number}"));
        within("a message to be sent", socket.send(text.clone())).await.expect("an open WebSocket");
        let echo = within("an echo", socket.next()).await.expect("an open WebSocket");
        assert_eq!(echo.expect("an echo"), text);
        if !seen.goes_on() {
            return;
        }
        pace.tick().await;
    }
}

async fn events(client: Client, path: String, feed: Feed, seen: Arc<Seen>) {
    let mut flow = client.request("GET", &path).open().await;
    assert_eq!(flow.head().await.status, 200);
    let mut pace = tokio::time::interval(PACE);
    while seen.goes_on() {
        feed.send("data: tick\n\n");
        assert_eq!(flow.bytes(12).await, b"data: tick\n\n");
        pace.tick().await;
    }
}
