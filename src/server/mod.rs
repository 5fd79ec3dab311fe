//! The composition root: one compiled document in, one running engine out.

mod activation;
mod admin;
mod bind;
mod change;
mod control;
pub mod explain;
mod files;
mod kept;
mod library;
mod limits;
mod listeners;
mod notify;
mod pid_file;
mod signals;
mod state;
mod upgrade;
mod user;
mod watched;

use crate::admin::{Admin, Guard, Readiness};
use crate::config::{self, Document, Placed, Step};
use crate::listener::{Drain, Manager, Shared};
use crate::observe::access::{self, Writer};
use crate::observe::{Registry, process};
use crate::proxy::Proxy;
use crate::runtime::{Commands, Compiled, Handle, Retained, Running};
use crate::tls;
use crate::upstream::{Discovery, Dns};
use crate::value::{Diagnostic, Problem};
use admin::AdminDoors;
use bind::{Place, Spare};
use control::{Control, Standing};
use library::Library;
use listeners::{Listeners, Ready};
use notify::Supervisor;
use pid_file::PidFile;
use pingora::apps::HttpServerOptions;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use signals::{Signals, Stop};
use state::State;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watched::Watched;

pub use control::Reader;
pub use state::{SOCKET, draining};
pub use upgrade::Predecessor;
pub use user::{Purpose, read};

/// How long the last lines of the access log may take when the process ends.
const FLUSH: Duration = Duration::from_secs(2);
/// Attempts of one exchange: every endpoint once, but not for ever.
const ATTEMPTS: usize = 64;

/// The name of the admin's own listener in logs and metrics.
const ADMIN: &str = "admin";

/// A document that can run, and what it needs to be followed.
pub struct Start {
    /// The document.
    pub document: Document,
    /// The same, compiled.
    pub compiled: Compiled,
    /// What outlives it.
    pub retained: Retained,
    /// Reads it again.
    pub reader: Reader,
    /// Where state is kept; without it, commands do not find the edge.
    pub state_dir: Option<PathBuf>,
    /// Whose place it takes.
    pub predecessor: Option<Predecessor>,
}

/// Runs a compiled document until the process is told to end.
///
/// An error is what kept it from starting; then nothing was started.
pub fn run(mut start: Start) -> Result<(), Diagnostic> {
    match Prepared::new(&mut start) {
        Ok(prepared) => {
            serve(start, prepared);
            Ok(())
        }
        Err(problem) => {
            if let Some(predecessor) = start.predecessor {
                predecessor.refuse(vec![problem.line()]);
            }
            Err(problem)
        }
    }
}

/// What a process must have before anything is started.
struct Prepared {
    state: Option<State>,
    ready: Ready,
    admin: Vec<Place>,
    writer: Arc<Writer>,
}

impl Prepared {
    fn new(start: &mut Start) -> Result<Self, Diagnostic> {
        let Start { document, state_dir, predecessor, .. } = start;
        let sockets = activation::sockets();
        limits::raise_descriptors();
        tls::check_roots()?;
        let state = match state_dir {
            Some(folder) => State::take(document, folder, predecessor.as_mut())?,
            None => None,
        };
        let mut spare = match predecessor.as_ref() {
            Some(predecessor) => Spare::given(predecessor),
            None => Spare::activated(sockets),
        };
        let entries = std::mem::take(&mut start.compiled.listeners);
        let ready = Ready::bind(document, entries, &mut spare)?;
        let admin = admin(document, &mut spare)?;
        spare.tell_unused();
        let writer = Arc::new(access_log(document, &start.retained.registry)?);
        Ok(Self { state, ready, admin, writer })
    }
}

fn serve(start: Start, prepared: Prepared) {
    let Start { document, compiled, retained, reader, state_dir, predecessor } = start;
    let Compiled { snapshot, certificates, .. } = compiled;
    let Prepared { state, ready, admin, writer } = prepared;
    let threads = document.server.threads.or(limits::cores);
    process::show(&retained.registry, crate::VERSION, crate::COMMIT);

    let supervisor = Supervisor::of_environment();
    let pid_file = PidFile::of(&document, state_dir.as_deref().filter(|_| state.is_some()));
    let runtime = Handle::new(snapshot);
    let readiness = Arc::new(Readiness::default());
    let drain = Arc::new(Drain::default());
    let pool = document.server.upstream_pool;
    let conf = ServerConf {
        threads: usize::try_from(threads).unwrap_or(1),
        upstream_keepalive_pool_size: pool.div_ceil(usize::try_from(threads).unwrap_or(1)),
        max_retries: ATTEMPTS,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();

    let shared = Shared {
        drain: drain.clone(),
        idle_grace: document.server.idle_grace.0,
        connections: limits::connections(&document),
        metrics: retained.listeners.clone(),
        access: writer.sender(),
    };
    let proxy = engine(&server.configuration, Proxy::new(runtime.clone(), writer.sender()));
    let (manager, opener) = Manager::new("edge", server.configuration.threads);
    let longest = document.server.drain.0;
    let mut listeners = Listeners::new(opener, proxy, shared.clone(), longest);
    listeners.open(ready);

    let (commands, requests) = Commands::new();
    let (closed, doors) = watch::channel(false);
    let first = if predecessor.is_some() { Standing::Next } else { Standing::Edge };
    let (standing, stands) = watch::channel(first);
    let (stopping, stops) = watch::channel(false);
    let stop = Stop {
        doors,
        standing: stands,
        stopping,
        drain: drain.clone(),
        readiness: readiness.clone(),
        supervisor: supervisor.clone(),
        delay: document.server.shutdown_delay.0,
        longest,
    };
    let signals = Signals::new(stop, writer.clone(), commands.clone());
    let guard = Arc::new(Guard::of(document.admin.as_ref().map(|admin| &admin.value)));
    let registry = retained.registry.clone();
    let app = Admin::new(registry, readiness.clone(), commands, guard.clone());
    let (keeper, opener) = Manager::new(ADMIN, 1);
    let admin = AdminDoors::open(opener, [app.clone(), app.commanding()], admin, &shared);
    let kept = state_dir.clone().filter(|_| state.is_some());
    let dns = Arc::new(Dns::default());
    let discovery = Discovery::new(dns, config::endpoints, document.server.drain.0);
    let control = Control {
        library: Arc::new(Library::new(reader, document.source().main().0, kept)),
        is_beside: false,
        guard,
        watched: Watched::of(&document),
        ready: None,
        last_reload: None,
        running: Arc::new(Running { document: Arc::new(document), certificates }),
        retained: Arc::new(retained),
        runtime,
        discovery,
        listeners,
        admin,
        state,
        state_dir,
        drain,
        closed,
        readiness,
        supervisor,
        pid_file: pid_file.clone(),
        heard: signals.heard(),
        requests,
        deferred: VecDeque::new(),
        binary: upgrade::binary(),
        stand_by: None,
        standing,
        stopping: stops,
        predecessor,
    };
    let is_first = control.predecessor.is_none();
    let control = server.add_service(control);
    server.add_service(manager).add_dependency(&control);
    let keeper = server.add_service(keeper);
    if !is_first {
        // Until it is ready, its predecessor answers those who ask.
        keeper.add_dependency(&control);
    }

    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    writer.close(FLUSH);
    pid_file.iter().for_each(PidFile::remove_if_own);
}

/// The sockets of the admin address.
fn admin(document: &Document, spare: &mut Spare) -> Result<Vec<Place>, Diagnostic> {
    match &document.admin {
        Some(Placed { value, steps }) => spare.bind(document, ADMIN, &value.address, steps),
        None => Ok(Vec::new()),
    }
}

/// Starts the writer of the access log.
fn access_log(document: &Document, registry: &Registry) -> Result<Writer, Diagnostic> {
    let steps = [Step::Key("access_log".into()), Step::Key("path".into())];
    let path = document.access_log.path.resolve(document.folder(&steps));
    let shown = path.to_string();
    let config = access::Config { path, ..document.access_log.clone() };
    Writer::start(&config, registry).map_err(|error| {
        let what = format!("the access log cannot be opened at {shown}: {error}");
        document.error(&steps, Problem::new(what, "name a file that this user may write"))
    })
}

/// The engine that calls the hooks.
fn engine(conf: &Arc<ServerConf>, proxy: Proxy) -> Arc<HttpProxy<Proxy>> {
    let mut proxy = http_proxy(conf, proxy);
    // CONNECT is refused by a hook, so that it is logged; the engine would answer it before.
    let mut options = HttpServerOptions::default();
    options.allow_connect_method_proxying = true;
    proxy.server_options = Some(options);
    Arc::new(proxy)
}

/// Where state is kept: as written, else systemd's directory, else `state` beside the document.
pub fn state_dir(document: &Document) -> PathBuf {
    state_dir_or(document.state_dir(), document.folder(&[]))
}

/// The same for the document of a file, of which nothing else is read.
pub fn state_dir_of(file: &Path) -> PathBuf {
    state_dir_or(config::state_dir(file), file.parent().unwrap_or(Path::new("")))
}

fn state_dir_or(written: Option<PathBuf>, folder: &Path) -> PathBuf {
    let of_systemd = || config::env::variable("STATE_DIRECTORY").map(Into::into);
    written.or_else(of_systemd).unwrap_or_else(|| folder.join("state"))
}
