//! Other proxies, as Debian packages them, to stand before and behind the edge.

use super::client::Client;
use super::eventually;
use super::process::Process;
use std::fs;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

/// Where Debian keeps servers; an ordinary user's shell does not look there.
const SERVERS: &str = "/usr/sbin";

/// A running proxy; dropped, it is killed.
pub struct Proxy {
    process: Process,
    _folder: TempDir,
}

/// HAProxy with these sections after `global` and `defaults`. `@pair` is the file of a certificate
/// and its key, given as PEM.
pub async fn haproxy(sections: &str, pair: &str) -> Proxy {
    let folder = TempDir::new().expect("a folder");
    let (socket, file) = (folder.path().join("stats"), folder.path().join("pair.pem"));
    fs::write(&file, pair).expect("a certificate");
    let text = format!(
        "global
  stats socket {}
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
{}
",
        socket.display(),
        sections.replace("@pair", &file.display().to_string())
    );
    let config = folder.path().join("haproxy.cfg");
    fs::write(&config, text).expect("its configuration");
    let mut command = Command::new(format!("{SERVERS}/haproxy"));
    command.arg("-db").arg("-f").arg(config);
    let process = Process::start(command);
    eventually("HAProxy to answer on its own socket", async || {
        let mut stats = UnixStream::connect(&socket).await.ok()?;
        stats.write_all(b"show info\n").await.ok()?;
        stats.read_u8().await.ok()
    })
    .await;
    Proxy { process, _folder: folder }
}

/// nginx with these servers in `http` and in `stream`. `@pair` is a file as for [`haproxy`].
pub async fn nginx(http: &str, stream: &str, pair: &str) -> Proxy {
    let folder = TempDir::new().expect("a folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::write(at("pair.pem"), pair).expect("a certificate");
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|kind| format!("  {kind}_temp_path {};\n", at(kind)))
        .concat();
    let text = format!(
        "load_module modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {};
error_log stderr notice;
events {{}}
http {{
  access_log off;
{temporary}
  server {{ listen unix:{}; return 204; }}
{http}
}}
stream {{
{stream}
}}
",
        at("pid"),
        at("ready"),
    );
    fs::write(at("nginx.conf"), text.replace("@pair", &at("pair.pem"))).expect("its configuration");
    let mut command = Command::new(format!("{SERVERS}/nginx"));
    command.arg("-e").arg("stderr").arg("-c").arg(at("nginx.conf"));
    let process = Process::start(command);
    let own = Client::new(format!("unix:{}", at("ready")));
    eventually("nginx to answer on a socket of its own", async || {
        own.request("GET", "/").try_send().await.ok()
    })
    .await;
    Proxy { process, _folder: folder }
}

/// A test that fails is easier to understand with what the proxy said.
impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the other proxy said:\n{}", self.process.stderr().text());
        }
    }
}
