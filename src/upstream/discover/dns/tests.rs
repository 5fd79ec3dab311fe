use super::super::{Discovered, Names};
use super::*;
use crate::observe::Registry;
use crate::upstream::{Follows, Metrics, Security, Tried, Upstream};
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

    fn dns(&self) -> Dns {
        Dns { hosts: "/nonexistent".into(), ..Dns::asking(self.address) }
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
    let data: Vec<&[u8]> = match kind {
        _ if zone.code > 0 => Vec::new(),
        1 => zone.v4.iter().map(|ip| &ip[..]).collect(),
        28 => zone.v6.iter().map(|ip| &ip[..]).collect(),
        _ => Vec::new(),
    };
    let mut response = query[..2].to_vec();
    response.extend([0x81, 0x80 | zone.code, 0, 1, 0, data.len() as u8, 0, 0, 0, 0]);
    response.extend(question);
    for ip in data {
        response.extend([0xc0, 12, 0, kind, 0, 1]);
        response.extend(zone.ttl.to_be_bytes());
        response.extend([0, ip.len() as u8]);
        response.extend(ip);
    }
    (response, labels.join("."))
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A `Dns` that no server answers, with these lines in its hosts file.
fn with_hosts(lines: &str) -> (tempfile::TempDir, Dns) {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    std::fs::write(&hosts, lines).unwrap();
    let servers = Servers::File(folder.path().join("resolv.conf"));
    (folder, Dns { hosts, servers })
}

#[tokio::test]
async fn both_families_are_asked_and_the_ttl_is_told() {
    let v6 = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).octets();
    let zone = Zone { v4: vec![[10, 0, 0, 1], [10, 0, 0, 2]], v6: vec![v6], ttl: 300, code: 0 };
    let server = Server::start(zone).await;

    let mut answer = server.dns().lookup("shop_1.example").await.unwrap();
    answer.addresses.sort();
    assert_eq!(answer.addresses, ips(&["10.0.0.1", "10.0.0.2", "2001:db8::1"]));
    let ttl = answer.ttl.unwrap();
    assert!(ttl > Duration::from_secs(290) && ttl <= Duration::from_secs(300), "{ttl:?}");
    assert!(server.asked.borrow().iter().all(|name| name == "shop_1.example"));
}

#[tokio::test]
async fn one_family_is_enough() {
    let server = Server::start(Zone { v4: vec![[10, 0, 0, 1]], ttl: 5, ..Zone::default() }).await;
    let answer = server.dns().lookup("shop.example.").await.unwrap();
    assert_eq!(answer.addresses, ips(&["10.0.0.1"]));
}

#[tokio::test]
async fn an_answer_without_addresses_and_every_error_code_are_failures() {
    for code in [0, SERVER_FAILURE, NO_SUCH_NAME] {
        let server = Server::start(Zone { code, ..Zone::default() }).await;
        let answer = server.dns().lookup("shop.example").await;
        assert!(answer.is_err(), "{code}: {answer:?}");
    }
}

#[tokio::test]
async fn a_change_is_seen_after_the_ttl_and_a_failing_server_changes_nothing() {
    let zone = Zone { v4: vec![[10, 0, 0, 1]], ttl: 1, ..Zone::default() };
    let mut server = Server::start(zone).await;
    let discovered = Discovered::start("shop.example".into(), Arc::new(server.dns()));
    let mut changes = discovered.changes();
    timeout(PATIENCE, discovered.settled()).await.unwrap();
    assert_eq!(**discovered.addresses(), ips(&["10.0.0.1"]));
    changes.mark_unchanged();

    let answered = Instant::now();
    server.change(|zone| zone.v4 = vec![[10, 0, 0, 2]]);
    timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    assert!(answered.elapsed() > Duration::from_millis(900), "{:?}", answered.elapsed());
    assert_eq!(**discovered.addresses(), ips(&["10.0.0.2"]));

    server.change(|zone| zone.code = NO_SUCH_NAME);
    // One look-up asks for two types; a third query means that the first look-up has failed.
    server.asked_again(3).await;
    assert_eq!(**discovered.addresses(), ips(&["10.0.0.2"]));
    assert!(!changes.has_changed().unwrap());

    server.change(|zone| *zone = Zone { v4: vec![[10, 0, 0, 3]], ttl: 1, ..Zone::default() });
    timeout(PATIENCE, changes.changed()).await.unwrap().unwrap();
    assert_eq!(**discovered.addresses(), ips(&["10.0.0.3"]));
}

#[tokio::test]
async fn the_hosts_file_wins_and_is_read_anew() {
    let (folder, dns) = with_hosts("10.0.0.9 shop # old\n10.0.0.8 Shop\n2001:db8::9 shop\n");
    let answer = dns.lookup("shop").await.unwrap();
    assert_eq!(answer.addresses, ips(&["10.0.0.9", "10.0.0.8", "2001:db8::9"]));
    assert_eq!(answer.ttl, None);

    std::fs::write(folder.path().join("hosts"), "10.0.0.7 shop\n").unwrap();
    assert_eq!(dns.lookup("SHOP").await.unwrap().addresses, ips(&["10.0.0.7"]));
}

#[tokio::test]
async fn localhost_is_loopback_unless_the_hosts_file_says_less() {
    let (_folder, dns) = with_hosts("");
    for name in ["localhost", "LOCALHOST.", "app.localhost"] {
        let answer = dns.lookup(name).await.unwrap();
        assert_eq!(answer.addresses, ips(&["127.0.0.1", "::1"]), "{name}");
    }
    let (_folder, dns) = with_hosts("127.0.0.1 localhost\n");
    assert_eq!(dns.lookup("localhost").await.unwrap().addresses, ips(&["127.0.0.1"]));
}

#[tokio::test]
async fn a_system_without_name_servers_fails_and_says_why() {
    let (folder, dns) = with_hosts("");
    let failure = dns.lookup("shop.example").await.unwrap_err();
    assert!(failure.to_string().contains("resolv.conf: No such file"), "{failure}");

    std::fs::write(folder.path().join("resolv.conf"), "search example\n").unwrap();
    assert!(dns.lookup("shop.example").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_a_failure() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let dns = Dns { hosts: "/nonexistent".into(), ..Dns::asking(silent.local_addr().unwrap()) };
    let answer = timeout(Duration::from_secs(60), dns.lookup("shop.example")).await;
    assert!(answer.expect("it gives up by itself").is_err());
}

#[tokio::test]
async fn an_upstream_counts_on_by_its_name_whatever_addresses_that_has() {
    let mut server =
        Server::start(Zone { v4: vec![[10, 0, 0, 1]], ttl: 1, ..Zone::default() }).await;
    let registry = Registry::new();
    let config = json!({ "endpoints": ["http://shop.internal:8080"] });
    let config = serde_json::from_value(config).unwrap();
    let metrics = Metrics::new(&registry);
    let upstream =
        Upstream::new("shop".into(), config, Security::default(), Arc::default(), &metrics, None);
    upstream.follow(&Names::new(Arc::new(server.dns()))).await;
    let address = || {
        let timeouts = upstream.timeouts();
        let picked = upstream.pick(&mut Tried::new(), "", timeouts, Follows::Nothing);
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
