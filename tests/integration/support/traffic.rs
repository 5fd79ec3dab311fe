//! Clients that ask at a constant rate, however long the answers take, and note what came of each.

use super::client::{Client, Request};
use super::h2::H2;
use super::raw::Raw;
use super::response::{Broken, Response};
use super::within;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// So many are in flight at most: on a machine that gives less, the rate falls.
const MOST: usize = 500;

/// A request of the traffic, and what came of it.
pub struct Asked {
    /// Its place among all of them, from 0.
    pub number: usize,
    /// When it was to be sent.
    pub began: Instant,
    /// How long it took from then on.
    pub took: Duration,
    /// The whole answer, or how it broke.
    pub answer: Result<Response, Broken>,
}

impl Asked {
    /// Whether the answer is whole and a good one.
    pub fn is_good(&self) -> bool {
        self.answer.as_ref().is_ok_and(|answer| answer.status == 200)
    }
}

/// So many requests a second, in turn by HTTP/1 over connections that are kept and by HTTP/2.
pub struct Traffic {
    asking: JoinHandle<Vec<Asked>>,
    stop: watch::Sender<bool>,
    answered: Arc<watch::Sender<usize>>,
}

impl Traffic {
    /// Begins to ask: what, is said for each request by its number.
    pub async fn of(
        clients: &[Client],
        per_second: u32,
        question: impl Fn(&Client, usize) -> Request + Send + 'static,
    ) -> Self {
        let mut lanes = Vec::new();
        for client in clients {
            lanes.push(Lane::h1(client));
            lanes.push(Lane::h2(client).await);
        }
        let (stop, answered) = (watch::Sender::new(false), Arc::new(watch::Sender::new(0)));
        let asking =
            tokio::spawn(ask(lanes, per_second, question, stop.subscribe(), answered.clone()));
        Self { asking, stop, answered }
    }

    /// Waits until so many more answers have come.
    pub async fn goes_on(&self, answers: usize) {
        let mut answered = self.answered.subscribe();
        let enough = *answered.borrow() + answers;
        let _ = within("further answers", answered.wait_for(|count| *count >= enough)).await;
    }

    /// Ends it once, and gives all that was asked, in this order.
    pub async fn end(&mut self) -> Vec<Asked> {
        self.stop.send_replace(true);
        let mut asked = within("the last answers", &mut self.asking).await.expect("no panic");
        asked.sort_by_key(|asked| asked.number);
        asked
    }
}

async fn ask(
    lanes: Vec<Lane>,
    per_second: u32,
    question: impl Fn(&Client, usize) -> Request,
    mut stop: watch::Receiver<bool>,
    answered: Arc<watch::Sender<usize>>,
) -> Vec<Asked> {
    let mut pace = tokio::time::interval(Duration::from_secs(1) / per_second);
    let mut tasks = JoinSet::new();
    let mut asked = Vec::new();
    for number in 0.. {
        tokio::select! {
            _ = stop.changed() => break,
            // Whoever was late is asked for at once, so that the rate stays.
            began = pace.tick() => {
                let lane = lanes[number % lanes.len()].clone();
                let (request, answered) = (question(&lane.client, number), answered.clone());
                tasks.spawn(async move {
                    let answer = lane.answer(request).await;
                    answered.send_modify(|count| *count += 1);
                    let began = began.into_std();
                    Asked { number, began, took: began.elapsed(), answer }
                });
            }
        }
        while tasks.len() >= MOST
            && let Some(done) = tasks.join_next().await
        {
            asked.push(done.expect("no panic"));
        }
        while let Some(done) = tasks.try_join_next() {
            asked.push(done.expect("no panic"));
        }
    }
    asked.extend(tasks.join_all().await);
    asked
}

/// The connections of one client in one version.
#[derive(Clone)]
struct Lane {
    client: Client,
    connections: Connections,
}

#[derive(Clone)]
enum Connections {
    /// Those that are idle.
    H1(Arc<Mutex<Vec<Raw>>>),
    H2(Arc<H2>),
}

impl Lane {
    fn h1(client: &Client) -> Self {
        Self { client: client.clone(), connections: Connections::H1(Arc::default()) }
    }

    async fn h2(client: &Client) -> Self {
        let client = client.clone().h2();
        let connections = Connections::H2(Arc::new(client.open_h2().await));
        Self { client, connections }
    }

    async fn answer(&self, request: Request) -> Result<Response, Broken> {
        let idle = match &self.connections {
            Connections::H2(h2) => return within("an answer", h2.try_send(request)).await,
            Connections::H1(idle) => idle,
        };
        let known = idle.lock().pop();
        let mut raw = match known {
            Some(raw) => raw,
            None => self.client.raw().await,
        };
        let (bytes, method) = (request.bytes(), &request.method);
        let answer = within("an answer", raw.exchange(&bytes, method)).await?;
        if answer.header("connection") != Some("close") {
            idle.lock().push(raw);
        }
        Ok(answer)
    }
}
