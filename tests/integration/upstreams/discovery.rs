//! Endpoints that are learned: from DNS, and from files.

use super::settled;
use crate::support::{
    Edge, Feed, Load, NameServer, Origin, Reply, edge, eventually, is_chaos, origin, paced,
};
use std::fs;
use std::net::TcpListener;
use std::time::{Duration, Instant};

const DISCOVERIES: &str = "falconer_upstream_discoveries_total";
const ENDPOINTS: &str = "falconer_upstream_endpoints{upstream=\"app\"}";

/// Asks a name server for the addresses of `app.test`.
const BY_NAME: &str = "
listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
upstreams: {app: {discover: {dns: {name: app.test, port: $port, resolvers: [\"$dns\"]}}}}
";

/// Origins on one port of 127.0.0.2, 127.0.0.3 and so on, each of which answers with its address;
/// but all alike to the load.
async fn origins<const N: usize>() -> [Origin; N] {
    let hosts: [String; N] = std::array::from_fn(|n| format!("127.0.0.{}", n + 2));
    let port = loop {
        // Below those that the system gives to others, who could take it before we do.
        let port = fastrand::u16(20_000..32_000);
        if hosts.iter().all(|host| TcpListener::bind((host.as_str(), port)).is_ok()) {
            break port;
        }
    };
    let mut started = Vec::new();
    for host in hosts {
        let app = origin().at(format!("{host}:{port}")).reply("/app", "hello").reply("/", &host);
        started.push(app.start().await);
    }
    started.try_into().unwrap_or_else(|_| unreachable!("there are as many"))
}

/// Records of `app.test` with these last numbers of its addresses.
fn addresses(of: &[u8]) -> String {
    of.iter().map(|n| format!("host-record=app.test,127.0.0.{n}\n")).collect()
}

/// Who answers so many requests, in a row.
async fn answering(edge: &Edge, requests: usize) -> Vec<String> {
    let mut all = Vec::new();
    paced(requests, Duration::from_millis(20), async |_| {
        let response = edge.get("/").await;
        assert_eq!(response.status, 200);
        all.push(response.text());
    })
    .await;
    all
}

/// Waits until requests are answered by these alone, all of them.
async fn answered_by(edge: &Edge, hosts: &[&str]) {
    eventually(&format!("answers of {hosts:?} alone"), async || {
        let mut seen = answering(edge, 2 * hosts.len()).await;
        seen.sort();
        seen.dedup();
        (seen == hosts).then_some(())
    })
    .await;
}

/// How many lines of the log hold this.
fn lines(edge: &Edge, text: &str) -> usize {
    edge.stderr().text().lines().filter(|line| line.contains(text)).count()
}

async fn failed(edge: &Edge, times: f64) {
    let failed = format!("{DISCOVERIES}{{upstream=\"app\",result=\"failed\"}}");
    let before = edge.metric(&failed).await;
    edge.metric_reaches(&failed, before + times).await;
}

#[tokio::test]
async fn a_change_of_addresses_is_followed_under_load_and_nobody_notices() {
    let turns = if is_chaos() { 12 } else { 1 };
    let apps: [Origin; 3] = origins().await;
    let mut dns = NameServer::start(&addresses(&[2, 3])).await;
    let edge = edge(BY_NAME).with("port", apps[0].port()).with("dns", dns.address()).start().await;
    let load = Load::of(&[edge.client("web")]);
    load.goes_on(50).await;
    assert!(apps[0].hits() > 0 && apps[1].hits() > 0);
    assert_eq!(edge.metric(ENDPOINTS).await, 2.0);

    let mut slowest = Duration::ZERO;
    for turn in 0..turns {
        let [going, staying, coming] = [0, 1, 2].map(|n| (turn + n) % 3);
        let unknown = apps[coming].hits();
        dns.tell(&addresses(&[2 + staying as u8, 2 + coming as u8])).await;
        let changed = Instant::now();
        let is_followed = async || (apps[coming].hits() > unknown).then_some(());
        eventually("the new address", is_followed).await;
        slowest = slowest.max(changed.elapsed());
        // Those that had begun end.
        load.goes_on(12).await;
        let (gone, stays) = (apps[going].hits(), apps[staying].hits());
        load.goes_on(100).await;
        assert!(apps[going].hits() == gone && apps[staying].hits() > stays);
        assert_eq!(edge.metric(ENDPOINTS).await, 2.0);
    }
    println!("{turns} changes, each followed within {slowest:?}, with a TTL of 1 s");
    // The TTL and a second, where nobody else keeps the machine busy.
    let within = Duration::from_secs(if is_chaos() { 2 } else { 5 });
    assert!(slowest < within, "{slowest:?}");
    let (answers, farewells) = load.end().await;
    assert_eq!(farewells, 0);
    edge.metric_becomes("falconer_route_requests_total{class=\"2xx\"}", answers as f64).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
    let attempts = format!("{{upstream=\"app\",endpoint=\"http://app.test:{}\"}}", apps[0].port());
    let attempts = edge.metric(&format!("falconer_upstream_attempts_total{attempts}")).await;
    assert_eq!(attempts, answers as f64, "they are counted by the name");
}

#[tokio::test]
async fn an_address_that_stays_keeps_its_connection() {
    let [first, second, third] = origins().await;
    let mut dns = NameServer::start(&addresses(&[2, 3])).await;
    let edge = edge(BY_NAME).with("port", first.port()).with("dns", dns.address()).start().await;
    // The next request comes when the connection of the one before is back in the pool.
    let answer = async || {
        let answer = edge.get("/").await.text();
        settled(&edge).await;
        answer
    };
    for other in [2, 4, 2, 4] {
        dns.tell(&addresses(&[3, other])).await;
        let host = format!("127.0.0.{other}");
        eventually(&host, async || (answer().await == host).then_some(())).await;
        // One of the next two goes to the one that stays.
        assert!([answer().await, answer().await].contains(&"127.0.0.3".to_owned()));
    }
    assert_eq!(second.connections(), 1);
    assert!(first.hits() > 0 && third.hits() > 0);
}

#[tokio::test]
async fn a_server_that_is_silent_or_knows_nothing_changes_nothing() {
    let [first, _second] = origins().await;
    let mut dns = NameServer::start(&addresses(&[2])).await;
    let edge = edge(BY_NAME).with("port", first.port()).with("dns", dns.address()).start().await;
    assert_eq!(answering(&edge, 1).await, ["127.0.0.2"]);
    dns.falls_silent();
    failed(&edge, 2.0).await;
    assert_eq!(answering(&edge, 1).await, ["127.0.0.2"]);
    dns.goes_on();
    edge.stderr().line("endpoints are discovered again").await;
    dns.tell("").await;
    failed(&edge, 1.0).await;
    assert_eq!(answering(&edge, 1).await, ["127.0.0.2"]);
    let lost = "cannot discover endpoints; those found are kept";
    assert_eq!(lines(&edge, lost), 2, "each time once");
    assert_eq!(edge.metric(ENDPOINTS).await, 1.0);
    dns.tell(&addresses(&[3])).await;
    answered_by(&edge, &["127.0.0.3"]).await;
    assert_eq!(edge.metric(ENDPOINTS).await, 1.0);
}

#[tokio::test]
async fn a_reload_keeps_what_was_learned() {
    let [app, _other] = origins().await;
    let dns = NameServer::start(&addresses(&[2])).await;
    let edge = edge(BY_NAME).with("port", app.port()).with("dns", dns.address());
    let mut edge = edge.start().await;
    let load = Load::of(&[edge.client("web")]);
    load.goes_on(12).await;
    // Whoever asked anew would get no answer.
    dns.falls_silent();
    for response in [110, 111, 112] {
        let timeouts = format!("{{app: {{timeouts: {{response: {response}s}}, discover");
        edge.reload(&BY_NAME.replace("{app: {discover", &timeouts)).await;
        load.goes_on(12).await;
        assert_eq!(edge.metric(ENDPOINTS).await, 1.0);
    }
    load.end().await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
}

#[tokio::test]
async fn resolvers_are_those_of_one_upstream_and_asked_in_turn() {
    let [first, second] = origins().await;
    let (one, two) =
        (NameServer::start(&addresses(&[2])).await, NameServer::start(&addresses(&[3])).await);
    let silent = NameServer::start("").await;
    silent.falls_silent();
    let document = "
        upstreams:
          one: {discover: {dns: {name: app.test, port: $port, resolvers: [\"$one\"]}}}
          two: {discover: {dns: {name: app.test, port: $port, resolvers: [\"$silent\", \"$two\"]}}}
        routes:
          - {match: {path: /}, upstream: one}
          - {match: {path: /app}, upstream: two}
        ";
    let edge = edge(document)
        .with("port", first.port())
        .with("one", one.address())
        .with("two", two.address())
        .with("silent", silent.address())
        .start()
        .await;
    assert_eq!(answering(&edge, 2).await, ["127.0.0.2", "127.0.0.2"]);
    edge.metric_becomes("falconer_upstream_endpoints{upstream=\"two\"}", 1.0).await;
    assert_eq!(edge.get("/app").await, "hello");
    assert_eq!((first.hits(), second.hits()), (2, 1));
}

#[tokio::test]
async fn a_service_is_shared_by_weight_and_its_later_priorities_wait() {
    let [one, two, spare] = origins().await;
    let port = one.port();
    let hosts = "host-record=one.test,127.0.0.2
host-record=two.test,127.0.0.3
host-record=spare.test,127.0.0.4
";
    let service = |target: &str, priority: u16, weight: u16| {
        format!("srv-host=_http._tcp.app.test,{target}.test,{port},{priority},{weight}\n")
    };
    let later = service("spare", 20, 5);
    let all = [hosts, &service("one", 10, 3), &service("two", 10, 1), &later].concat();
    let mut dns = NameServer::start(&all).await;
    let document = "
        upstreams:
          app: {discover: {srv: {name: _http._tcp.app.test, resolvers: [\"$dns\"]}}, host: endpoint}
        ";
    let edge = edge(document).with("dns", dns.address()).start().await;
    assert_eq!(edge.metric(ENDPOINTS).await, 3.0);
    answering(&edge, 8).await;
    assert_eq!([&one, &two, &spare].map(Origin::hits), [6, 2, 0]);
    let host = format!("one.test:{port}");
    assert_eq!(one.request().await.header("host"), Some(host.as_str()));

    dns.tell(&[hosts, &later].concat()).await;
    answered_by(&edge, &["127.0.0.4"]).await;
    let label = |name: &str| format!("endpoint=\"http://{name}.test:{port}\"");
    eventually("the series of those that are gone to end", async || {
        let metrics = edge.metrics().await;
        (!metrics.contains(&label("one")) && metrics.contains(&label("spare"))).then_some(())
    })
    .await;

    // A service that is not to be had: its target is the root.
    dns.tell("srv-host=_http._tcp.app.test").await;
    edge.metric_becomes(ENDPOINTS, 0.0).await;
    assert_eq!(edge.get("/").await.status, 503);
    dns.tell(&[hosts, &service("two", 7, 0)].concat()).await;
    eventually("an endpoint", async || (edge.get("/").await == "127.0.0.3").then_some(())).await;
}

const BY_FILE: &str = "
server: {drain: 1s, idle_grace: 0s}
listeners: {web: {address: \"127.0.0.1:0\", protocols: [h1, h2]}}
upstreams: {app: {discover: {file: {path: list.yaml}}}}
";

/// Puts another list in the place of the edge's, at once, as programs should.
fn list(edge: &Edge, text: &str) {
    let (new, path) = (edge.file("list.yaml.new"), edge.file("list.yaml"));
    fs::write(&new, text).and_then(|()| fs::rename(new, path)).unwrap();
}

#[tokio::test]
async fn a_file_is_followed_and_its_mistakes_change_nothing() {
    let [one, two, three] = origins().await;
    let first = format!("- {one}\n- {{ url: \"{two}\", backup: true }}\n");
    let edge = edge(BY_FILE).file("list.yaml", first).start().await;
    let load = Load::of(&[edge.client("web")]);
    load.goes_on(12).await;
    assert_eq!(answering(&edge, 3).await, ["127.0.0.2"; 3]);

    list(&edge, &format!("- {{url: \"{two}\"}}\n- {{url: \"{three}\"}}\n"));
    answered_by(&edge, &["127.0.0.3", "127.0.0.4"]).await;
    list(&edge, "- http://a\n- { url: http://b, wight: 2 }\n");
    edge.stderr().line("unknown key `wight`").await;
    edge.stderr().line("list.yaml:2:20: ").await;
    fs::remove_file(edge.file("list.yaml")).unwrap();
    edge.stderr().line("there is no such file").await;
    load.goes_on(50).await;
    answered_by(&edge, &["127.0.0.3", "127.0.0.4"]).await;
    // JSON is YAML.
    list(&edge, &format!("[\"{three}\"]"));
    answered_by(&edge, &["127.0.0.4"]).await;
    edge.stderr().line("endpoints are discovered again").await;
    load.end().await;
    assert_eq!(lines(&edge, "those found are kept"), 2);
    edge.metric_becomes(ENDPOINTS, 1.0).await;
    edge.metric_becomes("falconer_route_requests_total{class=\"5xx\"}", 0.0).await;
    let metrics = edge.metrics().await;
    assert!(!metrics.contains(&format!("endpoint=\"{two}\"")), "{metrics}");
}

#[tokio::test]
async fn a_file_that_comes_later_means_503_until_then() {
    let app = origin().reply("/", "hello").start().await;
    let (code, _, stderr) = edge(BY_FILE).ends("check").await;
    assert!(code == 0 && stderr.contains("warning: cannot read `"), "{stderr}");
    let edge = edge(BY_FILE).start().await;
    edge.stderr().line("cannot discover endpoints; none was found yet").await;
    assert_eq!(edge.get("/").await.status, 503);
    let line = edge.logged("it", |_| true).await;
    assert_eq!(line["cause"], "upstream_no_endpoint");
    list(&edge, &format!("[{app}]"));
    eventually("an endpoint", async || (edge.get("/").await == "hello").then_some(())).await;
}

#[tokio::test]
async fn names_in_a_file_are_looked_up_and_endpoints_beside_it_stay() {
    let [fixed, listed] = origins().await;
    let text = format!("- http://app.localhost:{}\n", listed.port());
    let document = "upstreams: {app: {endpoints: [$fixed], discover: {file: {path: list.yaml}}}}";
    let edge = edge(document).with("fixed", &fixed).file("list.yaml", text).start().await;
    // Both addresses of loopback, and the fixed one.
    edge.metric_becomes(ENDPOINTS, 3.0).await;
    list(&edge, "[]");
    edge.metric_becomes(ENDPOINTS, 1.0).await;
    assert_eq!(answering(&edge, 2).await, ["127.0.0.2"; 2]);
}

#[tokio::test]
async fn streams_of_an_endpoint_that_is_gone_end_and_the_others_go_on() {
    let (going, staying) = (Feed::new(), Feed::new());
    let one = origin().answer("/events", Reply::new(200).fed_by(&going)).start().await;
    let two = origin().answer("/events", Reply::new(200).fed_by(&staying)).start().await;
    let edge = edge(BY_FILE).file("list.yaml", format!("[{one}, {two}]")).start().await;
    let mut flows = Vec::new();
    for app in [&one, &two] {
        let mut flow = edge.request("GET", "/events").open().await;
        assert_eq!(flow.head().await.status, 200);
        app.until("a stream", |seen| seen.requests.len() == 1).await;
        flows.push(flow);
    }
    going.send("begun");
    staying.send("begun");
    for flow in &mut flows {
        assert_eq!(flow.bytes(5).await, b"begun");
    }
    list(&edge, &format!("[{two}]"));
    let line = edge.logged("the end of a stream", |line| line["cause"] == "drain_over").await;
    assert_eq!(line["endpoint"], one.endpoint());
    staying.send("goes on");
    assert_eq!(flows[1].bytes(7).await, b"goes on");
}

#[tokio::test]
async fn explain_shows_how_endpoints_are_learned() {
    let edge = edge(BY_NAME).with("port", 8080).with("dns", "127.0.0.1:53").start().await;
    let ended = edge.command(&["explain", "GET", "http://app.test/"]).await;
    assert_eq!(ended.code, 0, "{}", ended.complained);
    let shown = "discover: {dns: {name: app.test, port: 8080, resolvers: [";
    assert!(ended.said.contains(shown), "{}", ended.said);
}
