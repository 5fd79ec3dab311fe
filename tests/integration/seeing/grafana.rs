//! The dashboard and the alerts of `grafana/`, before a real Prometheus and edges in trouble.

use crate::support::{
    Certificate, Edge, Flow, Origin, Prometheus, Raw, Reply, Signal, edge, eventually, origin, tool,
};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap};
use std::convert::Infallible;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

const RULES: &str = "grafana/alerts/falconer.rules.yaml";
const RULES_TEST: &str = "grafana/alerts/falconer.rules.test.yaml";

#[tokio::test]
async fn every_panel_has_data_and_every_alert_sees_its_trouble() {
    let troubled = Troubled::start().await;
    let starved = Starved::start().await;
    let gone = origin().refusing().start().await;
    let targets = [troubled.edge.address("admin"), starved.edge.address("admin"), gone.address()];
    let prometheus = Prometheus::start("falconer", &targets, &file(RULES)).await;
    tokio::select! {
        never = troubled.load() => match never {},
        () = async {
            panels_have_data(&prometheus).await;
            alerts_are_pending(&prometheus).await;
        } => {}
    }
}

async fn panels_have_data(prometheus: &Prometheus) {
    let dashboard = dashboard();
    let values = variables(&dashboard, prometheus).await;
    for (title, expression) in expressions(&dashboard) {
        let expression = fill(expression, &values);
        // Most counters are there from the start: only what is above zero shows that it counts.
        eventually(&format!("data for {title:?}: {expression}"), async || {
            let values = prometheus.query(&expression).await;
            values.iter().any(|value| value.is_finite() && *value > 0.0).then_some(())
        })
        .await;
    }
}

/// A pending alert is one whose expression returns data; firing is only a matter of time.
async fn alerts_are_pending(prometheus: &Prometheus) {
    let rules = fs::read_to_string(file(RULES)).unwrap();
    for alert in alerts(&rules) {
        eventually(&format!("{alert} to be pending"), async || {
            let rules = prometheus.rules().await;
            let rule = rules.iter().find(|rule| rule["name"] == alert)?;
            assert!(rule["health"] != "err", "{rule}");
            (rule["state"] != "inactive").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn promtool_accepts_the_rules_and_every_alert_has_its_test() {
    let (rules, test) = (file(RULES), file(RULES_TEST));
    tool("promtool", &["check", "rules", rules.to_str().unwrap()]).await.well();
    tool("promtool", &["test", "rules", test.to_str().unwrap()]).await.well();
    let (rules, test) = (fs::read_to_string(rules).unwrap(), fs::read_to_string(test).unwrap());
    for alert in alerts(&rules) {
        assert!(test.contains(&format!("alertname: {alert}\n")), "no test lets {alert} fire");
        let silent = format!("alertname: {alert}, exp_alerts: [] }}");
        assert!(test.contains(&silent), "no test keeps {alert} silent");
    }
}

#[tokio::test]
async fn the_dashboard_shows_the_metrics_that_there_are_and_all_of_them() {
    let gone = origin().refusing().start().await;
    // Only what is discovered, mirrored or belongs somewhere is counted as that.
    let document = "
        upstreams:
          gone:
            endpoints: [$gone, 'http://localhost:1']
            health: {tcp: {}}
            limits: {adaptive: {}}
            affinity: {cookie: node}
        routes: [{upstream: gone, mirror: {upstream: gone, compare: {}}}]
        ";
    let edge = edge(document).with("gone", &gone).start().await;
    edge.get("/").await;
    edge.metric_becomes("falconer_route_failures_total", 1.0).await;
    let metrics = edge.metrics().await;
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let served: BTreeSet<_> = types.filter_map(|line| line.split(' ').next()).collect();

    let dashboard = dashboard();
    let of_a_name = |c: char| c.is_alphanumeric() || c == '_';
    let shown: BTreeSet<_> = expressions(&dashboard)
        .into_iter()
        .flat_map(|(_, expression)| expression.split(|c| !of_a_name(c)))
        .filter(|word| word.starts_with("falconer_") || word.starts_with("process_"))
        .map(|name| name.trim_end_matches("_bucket"))
        .collect();
    assert_eq!(shown, served);

    let rules = fs::read_to_string(file(RULES)).unwrap();
    for name in rules.split(|c| !of_a_name(c)).filter(|word| word.starts_with("falconer_")) {
        assert!(served.contains(name), "{name}");
    }
}

#[test]
fn every_panel_has_a_place_of_its_own_and_a_source_to_choose() {
    let dashboard = dashboard();
    let mut ids = BTreeSet::new();
    let mut taken = HashMap::new();
    for panel in panels(&dashboard) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is taken");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(w > 0 && h > 0 && x + w <= 24, "{title}: beyond the 24 columns");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            let other = taken.insert(place, title);
            assert!(other.is_none(), "{title} covers {other:?}");
        }
    }
    let is_row = |panel: &&Value| panel["type"] == "row";
    let rows: Vec<_> = panels(&dashboard).iter().filter(is_row).map(|row| &row["title"]).collect();
    assert_eq!(rows, ["Traffic", "Failures", "Upstreams", "Listeners", "Process"]);

    let source = json!({"type": "prometheus", "uid": "${datasource}"});
    for panel in panels(&dashboard).iter().filter(|panel| !is_row(panel)) {
        let title = &panel["title"];
        assert_ne!(panel["description"].as_str().unwrap(), "", "{title}");
        assert!(panel["fieldConfig"]["defaults"].is_object() && panel["options"].is_object());
        let targets = panel["targets"].as_array().unwrap();
        let letters: BTreeSet<_> = targets.iter().map(|t| t["refId"].as_str().unwrap()).collect();
        assert!(!targets.is_empty() && letters.len() == targets.len(), "{title}: {letters:?}");
        for one in targets.iter().chain([panel]) {
            assert_eq!(one["datasource"], source, "{title}");
        }
    }
}

#[test]
fn every_variable_is_declared_and_used() {
    let dashboard = dashboard();
    let list = dashboard["templating"]["list"].as_array().unwrap();
    let declared: BTreeSet<_> = list.iter().map(|v| v["name"].as_str().unwrap()).collect();
    let text = dashboard.to_string().replace("${datasource}", "$datasource");
    let end = |text: &str| text.find(|c: char| !c.is_alphanumeric() && c != '_');
    let used: BTreeSet<_> = text
        .split('$')
        .skip(1)
        .map(|rest| &rest[..end(rest).unwrap_or(rest.len())])
        // Grafana's own begin with two underscores.
        .filter(|name| !name.starts_with("__"))
        .collect();
    assert_eq!(used, declared);
    assert_eq!(declared, ["datasource", "instance", "listener", "route", "upstream"].into());
}

/// An edge with a trouble of every kind.
struct Troubled {
    edge: Edge,
    _open: [Flow; 3],
    _only: Raw,
    _origins: [Origin; 4],
}

impl Troubled {
    async fn start() -> Self {
        let app = || {
            let last = Reply::ok("hi").header("Connection", "close").then_close();
            let app = origin().answer("/app/open", Reply::never()).answer("/app/last", last);
            let app = app.answer("/busy", Reply::never());
            app.handler(|_| Reply::ok("hi"))
        };
        let sick = origin().handler(|_| Reply::new(500)).start().await;
        let gone = origin().refusing().start().await;
        let origins = [app().start().await, app().start().await, gone, sick];
        let document = "
            listeners:
              web: {address: '127.0.0.1:0'}
              secure: {address: '127.0.0.1:0', tls: {certificates: [own]}}
              narrow: {address: '127.0.0.1:0', limits: {connections_per_client: 1}}
              full: {address: '127.0.0.1:0', limits: {connections: 1}}
              told: {address: '127.0.0.1:0', proxy_protocol: require}
            certificates: {own: {self_signed: [localhost]}, late: {chain: late.pem, key: late.key}}
            upstreams:
              app:
                endpoints: [$one, $two]
                health: {path: /app/x, interval: 500ms}
                affinity: {cookie: node}
              gone: {endpoints: [$gone], health: {tcp: {}}}
              busy: {endpoints: [$one], limits: {requests: 1, adaptive: {}, pending_timeout: 1h}}
              unknown: {discover: {dns: {name: app.internal, port: 80, resolvers: ['127.0.0.1:1']}}}
              sick:
                endpoints: [$sick]
                retry: {on: [500], budget: 0%, budget_floor: 2, attempts: 10, backoff: 1ms}
                outlier: {consecutive_failures: 1, ejection: 1ms, eject_at_most: 100%}
            routes:
              - name: app
                match: {path: /app/*}
                upstream: app
                mirror: {upstream: sick, compare: {}}
              - {name: gone, match: {path: /gone}, upstream: gone}
              - {name: sick, match: {path: /sick}, upstream: sick}
              - {name: busy, match: {path: /busy}, upstream: busy}
              - {name: reply, match: {path: /reply}, reply: {body: hello}}
            access_log: {path: /dev/full}
        ";
        let late = Certificate::self_signed(&["late.example"]);
        let edge = edge(document).file("late.pem", late.chain).file("late.key", late.key);
        let edge = edge.with("one", &origins[0]).with("two", &origins[1]);
        let edge = edge.with("gone", &origins[2]).with("sick", &origins[3]).start().await;
        let open = async |path| edge.request("GET", path).open().await;
        // Of two, one waits for the other.
        let open = [open("/app/open").await, open("/busy").await, open("/busy").await];
        let mut only = edge.raw("narrow").await;
        ask(&mut only).await;
        edge.rewrite("routes: what");
        fs::write(edge.file("late.key"), "none").unwrap();
        Self { edge, _open: open, _only: only, _origins: origins }
    }

    /// One request of each kind, again and again.
    async fn load(&self) -> Infallible {
        let secure = self.edge.client("secure").tls();
        let mut pace = tokio::time::interval(Duration::from_millis(50));
        loop {
            pace.tick().await;
            self.edge.signal(Signal::SIGHUP);
            self.edge.command(&["upgrade", "/bin/false"]).await;
            for path in ["/app/x", "/app/last", "/gone", "/none", "/sick"] {
                self.edge.get(path).await;
            }
            self.edge.request("POST", "/app/x").body("abc").send().await;
            secure.get("/reply").await;
            // A request without a host, and clear text where TLS is spoken.
            for (listener, bytes) in [("web", "GET / HTTP/1.1\r\n\r\n"), ("secure", ASK)] {
                let mut raw = self.edge.raw(listener).await;
                raw.write(bytes).await;
                raw.rest().await;
            }
            let mut told = self.edge.raw("told").await;
            told.write("PROXY TCP4 192.0.2.7 203.0.113.1 4711 80\r\n").await;
            ask(&mut told).await;
            let mut untold = self.edge.raw("told").await;
            untold.write(ASK).await;
            untold.rest().await;
            self.edge.raw("narrow").await.rest().await;
            let mut inside = self.edge.raw("full").await;
            ask(&mut inside).await;
            let mut outside = self.edge.raw("full").await;
            outside.write(ASK).await;
            ask(&mut inside).await;
            drop(inside);
            outside.response().await;
        }
    }
}

/// An edge that has hardly a descriptor left.
struct Starved {
    edge: Edge,
    _clients: Vec<Raw>,
}

impl Starved {
    async fn start() -> Self {
        let document = "
            server: {threads: 1, limits: {connections: off}}
            routes: [{name: reply, reply: {}}]
        ";
        let edge = edge(document).descriptors(80, 80).start().await;
        let mut clients = Vec::new();
        while edge.metric("process_open_fds").await < 0.85 * 80.0 {
            let mut client = edge.raw("web").await;
            ask(&mut client).await;
            clients.push(client);
        }
        Self { edge, _clients: clients }
    }
}

const ASK: &str = "GET /reply HTTP/1.1\r\nHost: a\r\n\r\n";

async fn ask(raw: &mut Raw) {
    raw.write(ASK).await;
    assert_eq!(raw.response().await.status, 200);
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn dashboard() -> Value {
    let text = fs::read_to_string(file("grafana/dashboards/falconer.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().unwrap()
}

/// Every expression of the dashboard, with the title of its panel or the name of its annotation.
fn expressions(dashboard: &Value) -> Vec<(&str, &str)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in panel["targets"].as_array().into_iter().flatten() {
            found.push((panel["title"].as_str().unwrap(), target["expr"].as_str().unwrap()));
        }
    }
    for annotation in dashboard["annotations"]["list"].as_array().unwrap() {
        let name = annotation["name"].as_str().unwrap();
        found.push((name, annotation["target"]["expr"].as_str().unwrap()));
    }
    found
}

/// The names of the alerts in a file of rules.
fn alerts(rules: &str) -> Vec<&str> {
    let found: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(!found.is_empty(), "no alert in\n{rules}");
    found
}

/// The variables of the dashboard with all their values chosen, as Grafana writes them.
async fn variables(dashboard: &Value, prometheus: &Prometheus) -> Vec<(String, String)> {
    let mut chosen = vec![("$__rate_interval".to_owned(), "10s".to_owned())];
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if variable["type"] != "query" {
            continue;
        }
        let name = variable["name"].as_str().unwrap();
        let query = fill(variable["query"]["query"].as_str().unwrap(), &chosen);
        let inner = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
        let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).unwrap();
        let values = eventually(&format!("values of ${name}"), async || {
            let values = prometheus.label_values(label, series).await;
            // The troubled edge and the starved one; what one of them lacks, the other has twice.
            (values.len() >= 2).then_some(values)
        })
        .await;
        let all = variable["allValue"].as_str().map_or(values.join("|"), str::to_owned);
        chosen.push((format!("${name}"), all));
    }
    chosen
}

fn fill(expression: &str, variables: &[(String, String)]) -> String {
    let filled = variables
        .iter()
        .fold(expression.to_owned(), |text, (variable, value)| text.replace(variable, value));
    assert!(!filled.contains('$'), "an unknown variable in {expression}");
    filled
}
