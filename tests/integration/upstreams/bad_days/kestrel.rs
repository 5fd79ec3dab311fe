//! Three instances of a real application under constant load: whatever becomes of one of them, no
//! GET fails whose response had not begun, and no POST is executed twice.

use crate::support::{
    Asked, Broken, Client, Edge, Origin, Port, Process, Reply, Request, Signal, Traffic, edge,
    eventually, is_chaos, kestrel_on, origin,
};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

const DOCUMENT: &str = "
    listeners:
      web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}
      secure: {address: \"127.0.0.1:0\", tls: {certificates: [site]}}
    certificates: {site: {self_signed: [localhost]}}
    upstreams:
      app:
        endpoints: [\"http://127.0.0.1:$a\", \"http://127.0.0.1:$b\", \"http://127.0.0.1:$c\"]
        protocol: $protocol
        balance: $balance
        health: {path: /healthz, interval: 250ms, timeout: 1s}
        retry: {attempts: 3, per_try: 300ms, on: [connect_error, reset, timeout, invalid_response, 5xx]}
        outlier: {consecutive_failures: 3, ejection: 250ms, longest_ejection: 500ms}
        slow_start: 1s
        timeouts: {connect: 500ms, response: 5s}
    ";

/// From a check to the next, and the ramp.
const BACK_WITHIN: Duration = Duration::from_millis(250 + 1000);
/// What a check may come late, and what it takes to look.
const LATE: Duration = Duration::from_millis(750);

/// What becomes of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is killed with all that it does.
    Killed,
    /// It does nothing for a while, and then goes on.
    Frozen,
    /// It says that it is well, and answers 500 to all else.
    Failing,
    /// It refuses connections.
    Refusing,
    /// It says that it is well, and resets the connection in the middle of each response.
    BreakingOff,
    /// It says that it is well, and answers after 30 s.
    Late,
}

const FATES: [Fate; 6] =
    [Fate::Killed, Fate::Frozen, Fate::Failing, Fate::Refusing, Fate::BreakingOff, Fate::Late];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_becomes_of_one_instance_the_others_serve() {
    let (fates, rounds, per_second) =
        if is_chaos() { (&FATES[..], 2, 1000) } else { (&FATES[..2], 1, 200) };
    for (protocol, balance) in [("h1", "round_robin"), ("h2", "least_request")] {
        let Some(mut app) = App::start(protocol, balance, per_second).await else { return };
        for round in 0..rounds {
            for (n, fate) in fates.iter().enumerate() {
                app.suffers(*fate, (n + round) % 3).await;
            }
        }
        app.judge().await;
        if !is_chaos() {
            return;
        }
    }
}

/// The instances, the edge before them, and the load.
struct App {
    protocol: &'static str,
    per_second: usize,
    ports: [Port; 3],
    instances: Vec<Process>,
    edge: Edge,
    traffic: Traffic,
    /// How often each number was executed, by all who do not live any more.
    executed: HashMap<usize, u64>,
    bad_days: Vec<BadDay>,
}

/// When something became of an instance.
struct BadDay {
    fate: Fate,
    endpoint: String,
    from: Instant,
    until: Instant,
}

/// So long after a death the edge may not know of it yet.
const UNKNOWN: Duration = Duration::from_millis(50);

impl App {
    async fn start(protocol: &'static str, balance: &str, per_second: u32) -> Option<Self> {
        let ports = [Port::free(), Port::free(), Port::free()];
        let mut instances = Vec::new();
        for port in &ports {
            instances.push(instance(port, protocol).await?);
        }
        let edge = edge(DOCUMENT).with("protocol", protocol).with("balance", balance);
        let [a, b, c] = &ports;
        let edge = edge.with("a", a).with("b", b).with("c", c).start().await;
        for at in 0..3 {
            serves(&edge, at).await;
        }
        let clients = [edge.client("web"), edge.client("secure").tls()];
        let traffic = Traffic::of(&clients, per_second, question).await;
        // Retries are a share of the requests before.
        traffic.goes_on(per_second as usize).await;
        let (executed, bad_days) = (HashMap::new(), Vec::new());
        let per_second = per_second as usize;
        Some(Self { protocol, per_second, ports, instances, edge, traffic, executed, bad_days })
    }

    /// Has something become of an instance for a second, and then of it what it was.
    async fn suffers(&mut self, fate: Fate, at: usize) {
        let from = Instant::now();
        let (until, well) = match fate {
            Fate::Frozen => {
                self.instances[at].signal(Signal::SIGSTOP);
                self.traffic.goes_on(self.per_second).await;
                self.instances[at].signal(Signal::SIGCONT);
                (Instant::now(), Instant::now())
            }
            Fate::Killed => {
                self.dies(at).await;
                let until = Instant::now();
                self.traffic.goes_on(self.per_second).await;
                (until, self.restarts(at).await)
            }
            _ => {
                self.is_taken_out(at).await;
                self.dies(at).await;
                let stands_in = self.stands_in(fate, at).await;
                self.command(&["--resume", "app", &self.endpoint(at)]).await;
                self.traffic.goes_on(self.per_second).await;
                if fate != Fate::Refusing {
                    for request in stands_in.requests().iter().filter(|r| r.method == "POST") {
                        *self.executed.entry(number(&request.target)).or_default() += 1;
                    }
                }
                drop(stands_in);
                (Instant::now(), self.restarts(at).await)
            }
        };
        let (endpoint, until) = (self.endpoint(at), until + UNKNOWN);
        self.bad_days.push(BadDay { fate, endpoint, from, until });
        serves(&self.edge, at).await;
        let took = well.elapsed();
        println!("{} {fate:?}: back with its whole share after {took:?}", self.protocol);
        // Alone on the machine.
        assert!(!is_chaos() || took < BACK_WITHIN + LATE, "{fate:?}: {took:?}");
        self.shares_evenly(at).await;
    }

    async fn dies(&mut self, at: usize) {
        self.remember(at).await;
        self.instances[at].signal(Signal::SIGKILL);
        self.instances[at].wait_exit().await;
    }

    /// Notes what an instance has executed so far.
    async fn remember(&mut self, at: usize) {
        let client = Client::new(self.endpoint(at)).speaking(self.protocol);
        let counts = client.get("/counts").await.json();
        for (key, count) in counts["keys"].as_object().unwrap() {
            *self.executed.entry(key.parse().unwrap()).or_default() += count.as_u64().unwrap();
        }
    }

    async fn restarts(&mut self, at: usize) -> Instant {
        self.instances[at] = instance(&self.ports[at], self.protocol).await.unwrap();
        Instant::now()
    }

    /// Has an instance finish what it does and get no more.
    async fn is_taken_out(&self, at: usize) {
        self.command(&["--drain", "app", &self.endpoint(at)]).await;
        eventually("the last answer of the instance", async || {
            (status(&self.edge, at).await["in_flight"] == 0).then_some(())
        })
        .await;
    }

    /// Somebody in the place of an instance that is gone.
    async fn stands_in(&self, fate: Fate, at: usize) -> Origin {
        let place = origin().speaking(self.protocol).at(format!("127.0.0.1:{}", self.ports[at]));
        let reply = match fate {
            Fate::Refusing => return place.refusing().start().await,
            Fate::BreakingOff => Reply::ok("half").header("Content-Length", 100).then_reset(),
            Fate::Late => Reply::ok("late").after(Duration::from_secs(30)),
            _ => Reply::new(500).body("failed"),
        };
        place.reply("/healthz", "well").handler(move |_| reply.clone()).start().await
    }

    /// Insists that an instance gets its part of the requests.
    async fn shares_evenly(&self, at: usize) {
        let requests = async || {
            let mut all = Vec::new();
            for at in 0..3 {
                all.push(status(&self.edge, at).await["requests"].as_u64().unwrap());
            }
            all
        };
        let before = requests().await;
        self.traffic.goes_on(self.per_second / 2).await;
        let more: Vec<_> = requests().await.iter().zip(&before).map(|(a, b)| a - b).collect();
        // Half of its part at least: it has just started, and `least_request` minds that.
        assert!(more[at] * 6 > more.iter().sum(), "{more:?}");
    }

    async fn command(&self, arguments: &[&str]) {
        let ended = self.edge.command(&[&["upstreams"], arguments].concat()).await;
        assert_eq!(ended.code, 0, "{}", ended.complained);
    }

    fn endpoint(&self, at: usize) -> String {
        format!("http://127.0.0.1:{}", self.ports[at])
    }

    /// Says what may have happened and what not.
    async fn judge(mut self) {
        let asked = self.traffic.end().await;
        for at in 0..3 {
            self.remember(at).await;
        }
        let twice: Vec<_> = self.executed.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "executed more than once: {twice:?}");
        let lines = self.edge.access_log(asked.len()).await;
        let lines: HashMap<_, _> = lines.iter().map(|line| (number_of(line), line)).collect();
        let mut failed = BTreeMap::<_, usize>::new();
        for one in &asked {
            let line = lines[&one.number];
            assert!(line["method"] == "GET" || was_sent_once(line), "{line}");
            if !one.is_good() {
                let day = self.bad_days.iter().find(|day| day.excuses(one, line));
                let day = day.unwrap_or_else(|| panic!("{:?}: {line}", one.answer));
                *failed.entry(format!("{:?} {}", day.fate, line["method"])).or_default() += 1;
            }
        }
        println!("{}: of {} requests failed {failed:?}", self.protocol, asked.len());
    }
}

impl BadDay {
    /// Whether a request failed by it that may.
    fn excuses(&self, one: &Asked, line: &Value) -> bool {
        let was_there = line["endpoint"] == *self.endpoint
            && one.began < self.until
            && one.began + one.took > self.from;
        let has_begun = matches!(one.answer, Err(Broken::InBody(..)));
        was_there && self.fate != Fate::Refusing && (has_begun || line["method"] == "POST")
    }
}

/// Whether no endpoint got a request, as far as the edge can know, but the last.
fn was_sent_once(line: &Value) -> bool {
    let earlier = line["earlier"].as_array().map(Vec::as_slice).unwrap_or_default();
    let is_connect = |cause: &Value| cause.as_str().is_some_and(|cause| cause.contains("connect"));
    earlier.iter().all(|attempt| is_connect(&attempt["cause"]))
}

/// An instance that has answered: its first answer takes longer than a check may.
async fn instance(port: &Port, protocol: &str) -> Option<Process> {
    let process = kestrel_on(port, protocol).await?;
    let client = Client::new(format!("http://127.0.0.1:{port}")).speaking(protocol);
    assert_eq!(client.get("/healthz").await.status, 200);
    Some(process)
}

/// Every fifth is a POST without a key that the edge could know.
fn question(client: &Client, number: usize) -> Request {
    if number.is_multiple_of(5) {
        let post = client.request("POST", &format!("/once?n={number}"));
        post.header("X-Key", number).body("order")
    } else {
        client.request("GET", &format!("/status/200?n={number}"))
    }
}

fn number(target: &str) -> usize {
    target.rsplit_once("n=").unwrap().1.parse().unwrap()
}

fn number_of(line: &Value) -> usize {
    number(line["query"].as_str().unwrap())
}

/// What the edge says of an endpoint.
async fn status(edge: &Edge, at: usize) -> Value {
    let list = edge.client("admin").get("/api/upstreams").await.json();
    list[0]["endpoints"][at].clone()
}

/// Waits until an endpoint gets its whole share.
async fn serves(edge: &Edge, at: usize) {
    eventually("an instance to serve", async || {
        (status(edge, at).await["state"] == "serving").then_some(())
    })
    .await;
}
