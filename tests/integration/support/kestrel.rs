//! A real ASP.NET Core application: one process for all tests, reached in three ways, and processes
//! of a test's own.

use super::port::Port;
use super::process::Process;
use super::{eventually, tool};
use futures::future::join_all;
use std::fmt;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tokio::sync::OnceCell;

/// Ends the application with its own input: nobody drops what a whole test binary shares.
const KEEPER: &str = r#"trap '' INT; "$@" >"$0/log" 2>&1 & read -r _; kill -9 $!; rm -rf "$0""#;

/// The program and the application in the unpacked folder.
const HOST: &str = "dotnet/dotnet";
const APP: &str = "app/KestrelProbe.dll";

/// Without its debugging sockets, which would outlive it.
const FRUGAL: [(&str, &str); 2] = [("DOTNET_gcServer", "0"), ("DOTNET_EnableDiagnostics", "0")];

/// The application, which believes every forwarded field; `None` where its pack does not exist.
pub async fn kestrel() -> Option<&'static Kestrel> {
    static SHARED: OnceCell<Option<Kestrel>> = OnceCell::const_new();
    let start = || async { Some(Kestrel::start(unpacked().await?).await) };
    SHARED.get_or_init(start).await.as_ref()
}

/// So many applications that nobody else uses, and that end when they are dropped.
pub async fn own_kestrels<const N: usize>() -> Option<[Kestrel; N]> {
    let unpacked = unpacked().await?;
    join_all([(); N].map(|()| Kestrel::start(unpacked))).await.try_into().ok()
}

/// An instance of a test's own, which speaks `h1` or `h2` on a port that it can come back to; `None`
/// where the pack does not exist. Dropped, it is killed.
pub async fn kestrel_on(port: &Port, protocol: &str) -> Option<Process> {
    let unpacked = unpacked().await?;
    let mut command = tokio::process::Command::new(unpacked.join(HOST));
    // It watches all that is below its folder.
    command.arg(unpacked.join(APP)).current_dir(unpacked.join("app")).envs(FRUGAL);
    command.env("Kestrel__Endpoints__a__Url", format!("http://127.0.0.1:{port}"));
    let protocols = if protocol == "h2" { "Http2" } else { "Http1" };
    command.env("Kestrel__Endpoints__a__Protocols", protocols);
    let process = Process::start(command);
    process.stdout().line("Application started").await;
    Some(process)
}

/// Where the pack was unpacked; `None`, and a word about it, where it does not exist.
async fn unpacked() -> Option<&'static Path> {
    static UNPACKED: OnceCell<Option<PathBuf>> = OnceCell::const_new();
    let unpack = || async {
        let Some(pack) = pack() else {
            // Written past the test's captured output, so that everybody reads it.
            let _ = writeln!(
                std::io::stderr(),
                "the tests against Kestrel are skipped: neither $FALCONER_KESTREL nor \
                 ../shared/kestrel holds an unpack.sh"
            );
            return None;
        };
        let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kestrel");
        let unpack = pack.join("unpack.sh");
        let unpacked = tool("bash", &[&unpack.to_string_lossy(), &to.to_string_lossy()]).await;
        Some(PathBuf::from(unpacked.well().trim()))
    };
    UNPACKED.get_or_init(unpack).await.as_deref()
}

/// The folder that holds the pack's `unpack.sh`.
fn pack() -> Option<PathBuf> {
    let named = std::env::var_os("FALCONER_KESTREL").map(PathBuf::from);
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/kestrel");
    named.into_iter().chain([shared]).find(|folder| folder.join("unpack.sh").is_file())
}

/// A running application.
pub struct Kestrel {
    h1: String,
    h2c: String,
    unix: String,
    /// Its input keeps the application alive.
    _keeper: Child,
}

/// How an upstream reaches the application; shown, it is the upstream in a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// `HTTP/1.1` or `HTTP/2`, as the application calls it.
    pub protocol: &'static str,
    /// Where it listens.
    pub address: &'static str,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = if self.protocol == "HTTP/2" { "h2" } else { "h1" };
        write!(f, "{{endpoints: [\"{}\"], protocol: {protocol}}}", self.address)
    }
}

impl Kestrel {
    async fn start(unpacked: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder").keep();
        let unix = format!("unix:{}", folder.join("app.sock").display());
        let mut keeper = Command::new("sh");
        keeper.args(["-c", KEEPER]).arg(&folder).current_dir(&folder).stdin(Stdio::piped());
        keeper.arg(unpacked.join(HOST)).arg(unpacked.join(APP));
        keeper.envs(FRUGAL).envs([
            ("PROBE_TRUST_FORWARDED", "all"),
            // Two loopback addresses tell the two ports apart in its log.
            ("Kestrel__Endpoints__h1__Url", "http://127.0.0.1:0"),
            ("Kestrel__Endpoints__h2c__Url", "http://127.0.0.2:0"),
            ("Kestrel__Endpoints__h2c__Protocols", "Http2"),
            ("Kestrel__Endpoints__unix__Url", &format!("http://{unix}")),
        ]);
        let keeper = keeper.spawn().expect("sh starts");

        let log = eventually("Kestrel to start", async || {
            let log = fs::read_to_string(folder.join("log")).unwrap_or_default();
            assert!(!log.contains("Unhandled exception"), "Kestrel ended:\n{log}");
            log.contains("Application started").then_some(log)
        })
        .await;
        let listening = |at: &str| {
            let line = log.lines().find(|line| line.contains(at)).expect("a line for each address");
            line.split_whitespace().last().expect("its address").to_owned()
        };
        let (h1, h2c) = (listening("http://127.0.0.1:"), listening("http://127.0.0.2:"));
        Self { h1, h2c, unix, _keeper: keeper }
    }

    /// Where it speaks HTTP/1, as a document writes it.
    pub fn url(&self) -> &str {
        &self.h1
    }

    /// By HTTP/1.
    pub fn h1(&'static self) -> Way {
        Way { protocol: "HTTP/1.1", address: &self.h1 }
    }

    /// By HTTP/2 in clear text.
    pub fn h2c(&'static self) -> Way {
        Way { protocol: "HTTP/2", address: &self.h2c }
    }

    /// By HTTP/1 over a unix socket.
    pub fn unix(&'static self) -> Way {
        Way { protocol: "HTTP/1.1", address: &self.unix }
    }

    /// Every way.
    pub fn ways(&'static self) -> [Way; 3] {
        [self.h1(), self.h2c(), self.unix()]
    }
}
