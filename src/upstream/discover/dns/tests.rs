use super::super::Tally;
use super::*;
use crate::observe::Registry;
use crate::upstream::{Discovery, Follows, Metrics, Security, Terms, Tried, Upstream};
use serde_json::json;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What the name server of a test answers.
#[derive(Clone, Default)]
struct Zone {
    v4: Vec<[u8; 4]>,
    v6: Vec<[u8; 16]>,
    /// Priority, weight, port and target.
    services: Vec<([u16; 3], &'static str)>,
    ttl: u32,
    code: u8,
}

const SERVER_FAILURE: u8 = 2;
const NO_SUCH_NAME: u8 = 3;

/// A name server on loopback with one zone for every name.
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    /// The names asked for.
    asked: watch::Receiver<Vec<String>>,
    task: JoinHandle<()>,
}

impl Server {
    async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let zone = Arc::new(Mutex::new(zone));
        let (asking, asked) = watch::channel(Vec::new());
        let answering = Arc::clone(&zone);
        let task = tokio::spawn(async move {
            let mut query = [0; 1500];
            while let Ok((length, client)) = socket.recv_from(&mut query).await {
                let query = &query[..length];
                let (response, name) = respond(query, &answering.lock().unwrap());
                socket.send_to(&response, client).await.unwrap();
                asking.send_modify(|asked: &mut Vec<String>| asked.push(name));
            }
        });
        Self { address, zone, asked, task }
    }

    /// What is asked of it.
    fn asked(&self, name: &str) -> Asked {
        Asked { name: name.into(), resolvers: [self.address].into() }
    }

    async fn lookup(&self, name: &str) -> Result<Answer<IpAddr>, Failure> {
        Dns::default().addresses(&self.asked(name)).await
    }

    fn change(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().unwrap());
    }

    /// Waits for further queries than those seen until now.
    async fn asked_again(&mut self, times: usize) {
        let seen = self.asked.borrow_and_update().len();
        let more = self.asked.wait_for(|asked| asked.len() >= seen + times);
        timeout(PATIENCE, more).await.expect("the server is asked again").unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Far more than any test needs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A response to a query with one question, and the name it asks for.
fn respond(query: &[u8], zone: &Zone) -> (Vec<u8>, String) {
    let mut labels = Vec::new();
    let mut at = 12;
    while query[at] > 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    let question = &query[12..at + 5];
    let kind = query[at + 2];
    let data: Vec<Vec<u8>> = match kind {
        _ if zone.code > 0 => Vec::new(),
        1 => zone.v4.iter().map(|ip| ip.to_vec()).collect(),
        28 => zone.v6.iter().map(|ip| ip.to_vec()).collect(),
        33 => zone.services.iter().map(|(numbers, target)| service(numbers, target)).collect(),
        _ => Vec::new(),
    };
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80 | zone.code, 0, 1, 0, data.len() as u8, 0, 0, 0, 0]);
    response.extend(question);
    for data in data {
        response.extend([0xc0, 12, 0, kind, 0, 1]);
        response.extend(zone.ttl.to_be_bytes());
        response.extend([0, data.len() as u8]);
        response.extend(data);
    }
    (response, labels.join("."))
}

fn service(numbers: &[u16; 3], target: &str) -> Vec<u8> {
    let mut data: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    for label in target.split('.').filter(|label| !label.is_empty()) {
        data.push(label.len() as u8);
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

/// A name that the system's servers are asked for.
fn named(name: &str) -> Asked {
    Asked { name: name.into(), resolvers: Arc::default() }
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A `Dns` that no server answers, with these lines in its hosts file.
fn with_hosts(lines: &str) -> (tempfile::TempDir, Dns) {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, lines).unwrap();
    let servers = folder.path().join("resolv.conf");
    (folder, Dns { hosts, servers })
}

#[tokio::test]
async fn both_families_are_asked_and_the_ttl_is_told() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
    let zone =
        Zone { v4: vec![[10, 0, 0, 1], [10, 0, 0, 2]], v6: vec![v6], ttl: 300, ..Zone::default() };
    let server = Server::start(zone).await;

    let mut answer = server.lookup("shop_1.example").await.unwrap();
    answer.found.sort();
    assert_eq!(answer.found, ips(&["10.0.0.1", "10.0.0.2", "2001:db8::1"]));
    let ttl = answer.ttl.unwrap();
    assert!(ttl > Duration::from_secs(290) && ttl <= Duration::from_secs(300), "{ttl:?}");
    assert!(server.asked.borrow().iter().all(|name| name == "shop_1.example"));
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = Server::start(Zone { v4: vec![[10, 0, 0, 1]], ttl: 5, ..Zone::default() }).await;
    let answer = server.lookup("shop.example.").await.unwrap();
    assert_eq!(answer.found, ips(&["10.0.0.1"]));
}

#[tokio::test]
async fn an_answer_without_addresses_and_every_error_code_are_failures() {
    for code in [0, SERVER_FAILURE, NO_SUCH_NAME] {
        let server = Server::start(Zone { code, ..Zone::default() }).await;
        let answer = server.lookup("shop.example").await;
        assert!(answer.is_err(), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn a_change_is_seen_after_the_ttl_and_a_failing_server_changes_nothing() {
    let zone = Zone { v4: vec![[10, 0, 0, 1]], ttl: 1, ..Zone::default() };
    let server = Server::start(zone).await;
    let discovery = Discovery::new(Arc::new(Dns::default()), |_| Ok(Vec::new()), Duration::ZERO);
    let mut watched = discovery.addresses(&server.asked("shop.example"));
    let mut tallied = async |holds: fn(Tally) -> bool| {
        let tally = watched.tally.wait_for(|tally| holds(*tally));
        let tally = *timeout(PATIENCE, tally).await.expect("a look-up").unwrap();
        (tally.changed, watched.found.now().to_vec())
    };
    assert_eq!(tallied(|tally| tally.changed == 1).await, (1, ips(&["10.0.0.1"])));

    let answered = Instant::now();
    server.change(|zone| zone.v4 = vec![[10, 0, 0, 2]]);
    assert_eq!(tallied(|tally| tally.changed == 2).await, (2, ips(&["10.0.0.2"])));
    assert!(answered.elapsed() > Duration::from_millis(900), "{:?}", answered.elapsed());

    server.change(|zone| zone.code = NO_SUCH_NAME);
    assert_eq!(tallied(|tally| tally.failed == 1).await, (2, ips(&["10.0.0.2"])));

    server.change(|zone| *zone = Zone { v4: vec![[10, 0, 0, 3]], ttl: 1, ..Zone::default() });
    assert_eq!(tallied(|tally| tally.changed == 3).await, (3, ips(&["10.0.0.3"])));
}

#[tokio::test]
async fn a_service_has_targets_with_priorities_weights_and_ports() {
    let services =
        vec![([10, 3, 8080], "One.example."), ([20, 0, 8081], "two.example."), ([0, 0, 0], ".")];
    let server = Server::start(Zone { services, ttl: 7, ..Zone::default() }).await;
    let answer = Dns::default().services(&server.asked("_http._tcp.shop.example")).await.unwrap();
    let shown: Vec<_> = answer.found.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10 3 8080 One.example", "20 0 8081 two.example", "0 0 0 ."]);
    assert!(answer.ttl.unwrap() <= Duration::from_secs(7));
    assert_eq!(server.asked.borrow().as_slice(), ["_http._tcp.shop.example"]);
}

#[tokio::test]
async fn a_target_that_cannot_be_connected_to_is_a_failure() {
    for (numbers, target, why) in [
        ([0, 0, 80], "a b.example.", "no name of a host"),
        ([0, 0, 0], "a.example.", "has no port"),
    ] {
        let services = vec![([0, 0, 80], "good.example."), (numbers, target)];
        let server = Server::start(Zone { services, ttl: 7, ..Zone::default() }).await;
        let failure = Dns::default().services(&server.asked("_http._tcp.a")).await.unwrap_err();
        assert!(failure.to_string().contains(why), "{failure}");
    }
}

#[tokio::test]
async fn name_servers_are_asked_in_turn_until_one_answers() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let broken = Server::start(Zone { code: SERVER_FAILURE, ..Zone::default() }).await;
    let without = Server::start(Zone { code: NO_SUCH_NAME, ..Zone::default() }).await;
    let good = Server::start(Zone { v4: vec![[10, 0, 0, 1]], ttl: 7, ..Zone::default() }).await;
    let ask = async |resolvers: &[SocketAddr]| {
        let asked = Asked { name: "shop.example".into(), resolvers: resolvers.into() };
        Dns::default().addresses(&asked).await.map(|answer| answer.found)
    };
    let silent = silent.local_addr().unwrap();
    let found = ask(&[silent, broken.address, good.address, without.address]).await;
    assert_eq!(found.unwrap(), ips(&["10.0.0.1"]));
    assert!(!broken.asked.borrow().is_empty() && without.asked.borrow().is_empty());
    assert!(
        ask(&[without.address, good.address]).await.is_err(),
        "that there is none is an answer"
    );
    assert!(ask(&[broken.address, silent]).await.is_err());
}

#[tokio::test]
async fn the_hosts_file_wins_and_is_read_anew() {
    let (folder, dns) = with_hosts("10.0.0.9 shop # old\n10.0.0.8 Shop\n2001:db8::9 shop\n");
    let answer = dns.addresses(&named("shop")).await.unwrap();
    assert_eq!(answer.found, ips(&["10.0.0.9", "10.0.0.8", "2001:db8::9"]));
    assert_eq!(answer.ttl, None);

    std::fs::write(folder.path().join("hosts"), "10.0.0.7 shop\n").unwrap();
    assert_eq!(dns.addresses(&named("SHOP")).await.unwrap().found, ips(&["10.0.0.7"]));
}

#[tokio::test]
async fn localhost_is_loopback_unless_the_hosts_file_says_less() {
    let (_folder, dns) = with_hosts("");
    for name in ["localhost", "LOCALHOST.", "app.localhost"] {
        let answer = dns.addresses(&named(name)).await.unwrap();
        assert_eq!(answer.found, ips(&["127.0.0.1", "::1"]), "{name}");
    }
    let (_folder, dns) = with_hosts("127.0.0.1 localhost\n");
    assert_eq!(dns.addresses(&named("localhost")).await.unwrap().found, ips(&["127.0.0.1"]));
}

#[tokio::test]
async fn a_system_without_name_servers_fails_and_says_why() {
    let (folder, dns) = with_hosts("");
    let failure = dns.addresses(&named("shop.example")).await.unwrap_err();
    assert!(failure.to_string().contains("resolv.conf: No such file"), "{failure}");

    std::fs::write(folder.path().join("resolv.conf"), "search example\n").unwrap();
    assert!(dns.addresses(&named("shop.example")).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_a_failure() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolvers = [silent.local_addr().unwrap()].into();
    let asked = Asked { name: "shop.example".into(), resolvers };
    let answer = timeout(Duration::from_secs(60), async { Dns::default().addresses(&asked).await });
    assert!(answer.await.expect("it gives up by itself").is_err());
}

#[tokio::test]
async fn an_upstream_counts_on_by_its_name_whatever_addresses_that_has() {
    let mut server =
        Server::start(Zone { v4: vec![[10, 0, 0, 1]], ttl: 1, ..Zone::default() }).await;
    let registry = Registry::new();
    let dns = json!({ "name": "shop.internal", "port": 8080, "resolvers": [server.address] });
    let config = serde_json::from_value(json!({ "discover": { "dns": dns } })).unwrap();
    let metrics = Metrics::new(&registry);
    let upstream = Upstream::new(
        "shop".into(),
        config,
        Security::default(),
        None,
        Arc::default(),
        &metrics,
        None,
    );
    let dns = Arc::new(Dns::default());
    upstream.follow(&Discovery::new(dns, |_| Ok(Vec::new()), Duration::ZERO)).await;
    let address = || {
        let timeouts = upstream.timeouts();
        let terms =
            Terms { claim: None, key: "", panics: true, timeouts, follows: Follows::Nothing };
        let picked = upstream.pick(&mut Tried::new(), terms);
        picked.map(|picked| picked.endpoint().address().to_string()).unwrap_or_default()
    };
    assert_eq!(address(), "10.0.0.1:8080");

    server.change(|zone| zone.v4 = vec![[10, 0, 0, 2]]);
    let mut picks = 1;
    timeout(PATIENCE, async {
        loop {
            picks += 1;
            if address() == "10.0.0.2:8080" {
                return;
            }
            server.asked_again(1).await;
        }
    })
    .await
    .expect("the new address");
    let shown = registry.encode();
    let attempts = "falconer_upstream_attempts_total{upstream=\"shop\",\
                    endpoint=\"http://shop.internal:8080\"}";
    assert!(shown.contains(&format!("{attempts} {picks}\n")), "{shown}");
    assert!(!shown.contains("10.0.0."), "{shown}");
}
