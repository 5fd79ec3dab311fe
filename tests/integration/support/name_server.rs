//! A real name server, dnsmasq as Debian packages it.

use super::port::Port;
use super::process::{Process, Signal};
use std::fs;
use tempfile::TempDir;
use tokio::process::Command;

/// Where Debian keeps servers; an ordinary user's shell does not look there.
const SERVER: &str = "/usr/sbin/dnsmasq";

/// A running name server that knows all there is of `.test`; dropped, it is killed.
pub struct NameServer {
    process: Process,
    port: Port,
    folder: TempDir,
}

impl NameServer {
    /// One that knows these records, as dnsmasq writes them, each for a second:
    /// `host-record=app.test,127.0.0.2`, `srv-host=_http._tcp.app.test,app.test,80,10,1`.
    pub async fn start(records: &str) -> Self {
        let (port, folder) = (Port::free(), TempDir::new().expect("a folder"));
        let process = serve(&folder, &port, records).await;
        Self { process, port, folder }
    }

    /// Knows other records from now on.
    pub async fn tell(&mut self, records: &str) {
        self.process.signal(Signal::SIGKILL);
        self.process.wait_exit().await;
        self.process = serve(&self.folder, &self.port, records).await;
    }

    /// Answers nobody until it goes on.
    pub fn falls_silent(&self) {
        self.process.signal(Signal::SIGSTOP);
    }

    /// Answers again.
    pub fn goes_on(&self) {
        self.process.signal(Signal::SIGCONT);
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

async fn serve(folder: &TempDir, port: &Port, records: &str) -> Process {
    let path = folder.path().join("dnsmasq.conf");
    let text = format!(
        "port={port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
local=/test/
local-ttl=1
pid-file=
{records}
"
    );
    fs::write(&path, text).expect("its configuration");
    let mut command = Command::new(SERVER);
    // Nothing runs in the background, and as nobody else.
    command.arg("--no-daemon").arg(format!("--conf-file={}", path.display()));
    let process = Process::start(command);
    process.stderr().line("started, version").await;
    process
}
