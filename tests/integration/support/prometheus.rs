//! A real Prometheus, as Debian packages it.

use super::client::Client;
use super::process::Process;
use super::wire::text;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tempfile::TempDir;
use tokio::process::Command;

/// A running Prometheus; dropped, it is killed.
pub struct Prometheus {
    client: Client,
    _process: Process,
    _folder: TempDir,
}

impl Prometheus {
    /// One that scrapes these addresses twice a second, as one job, and evaluates a file of rules.
    pub async fn start(job: &str, targets: &[&str], rules: &Path) -> Self {
        let folder = TempDir::new().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [{rules:?}]
scrape_configs: [{{job_name: {job}, static_configs: [{{targets: {targets:?}}}]}}]
"
        );
        fs::write(&config, text).expect("its configuration");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg("--web.listen-address=127.0.0.1:0");
        let process = Process::start(command);
        let line = process.stderr().line("msg=\"Listening on\"").await;
        let (_, address) = line.rsplit_once("address=").expect("its address");
        let client = Client::new(address);
        process.stderr().line("ready to receive web requests").await;
        Self { client, _process: process, _folder: folder }
    }

    /// The values that an expression has now; one that Prometheus does not understand fails the test.
    pub async fn query(&self, expression: &str) -> Vec<f64> {
        let found = self.api("query", &[("query", expression)]).await;
        let found = found["result"].as_array().expect("a vector").iter();
        found.map(|one| one["value"][1].as_str().expect("a value").parse().unwrap()).collect()
    }

    /// The values of a label among the series of a selector.
    pub async fn label_values(&self, label: &str, selector: &str) -> Vec<String> {
        let found = self.api(&format!("label/{label}/values"), &[("match[]", selector)]).await;
        serde_json::from_value(found).expect("a list of values")
    }

    /// Its rules, with their health and state.
    pub async fn rules(&self) -> Vec<Value> {
        let found = self.api("rules", &[]).await;
        let groups = found["groups"].as_array().expect("groups").iter();
        groups.flat_map(|group| group["rules"].as_array().expect("rules").clone()).collect()
    }

    async fn api(&self, name: &str, parameters: &[(&str, &str)]) -> Value {
        let mut path = format!("/api/v1/{name}?");
        for (name, value) in parameters {
            let (name, value) = (encoded(name), encoded(value));
            let _ = write!(path, "{name}={value}&");
        }
        let response = self.client.get(&path).await;
        assert_eq!(response.status, 200, "{parameters:?}: {}", text(&response.body));
        response.json()["data"].take()
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}
