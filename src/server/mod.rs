//! The composition root: one compiled document in, one running engine out.

mod bind;
mod control;
pub mod explain;
mod limits;
mod listeners;
mod signals;
mod state;
mod watched;

use crate::admin::{Admin, Readiness};
use crate::config::{self, Document, Placed, Step};
use crate::exchange::{ClientAddress, Entrance, Limits};
use crate::listener::{self, Accepting, Drain, Listener, Manager, Opener, Shared};
use crate::net::CidrSet;
use crate::observe::access::{self, Writer};
use crate::observe::{Registry, process};
use crate::proxy::Proxy;
use crate::runtime::{Commands, Compiled, Handle, Retained, Running};
use crate::tls;
use crate::upstream::{Dns, Names};
use crate::value::{Diagnostic, Problem};
use bind::{Place, Spare};
use control::Control;
use listeners::{Listeners, Ready};
use pingora::apps::HttpServerOptions;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use signals::{Signals, Stop};
use state::State;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use watched::Watched;

pub use control::Reader;
pub use state::SOCKET;

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
}

/// Runs a compiled document until the process is told to end.
///
/// An error is what kept it from starting; then nothing was started.
pub fn run(start: Start) -> Result<(), Diagnostic> {
    let Start { document, compiled, retained, reader, state_dir } = start;
    let Compiled { snapshot, listeners: entries, certificates, .. } = compiled;
    let threads = document.server.threads.or(limits::cores);
    limits::raise_descriptors();
    tls::check_roots()?;
    let state = match &state_dir {
        Some(folder) => State::take(&document, folder)?,
        None => None,
    };
    let ready = Ready::bind(&document, entries, Vec::new())?;
    let admin = admin(&document)?;
    let writer = Arc::new(access_log(&document, &retained.registry)?);
    process::show(&retained.registry, crate::VERSION, crate::COMMIT);

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
    let stop = Stop {
        doors,
        drain: drain.clone(),
        readiness: readiness.clone(),
        delay: document.server.shutdown_delay.0,
        longest,
    };
    let signals = Signals::new(stop, writer.clone(), commands.clone());
    let registry = retained.registry.clone();
    let control = Control {
        reader,
        watched: Watched::of(&document),
        ready: None,
        last_reload: None,
        running: Arc::new(Running { document: Arc::new(document), certificates }),
        retained: Arc::new(retained),
        runtime,
        names: Names::new(Arc::new(Dns::default())),
        listeners,
        state_dir,
        drain,
        closed,
        readiness: readiness.clone(),
        heard: signals.heard(),
        requests,
    };
    let control = server.add_service(control);
    server.add_service(manager).add_dependency(&control);
    let (manager, opener) = Manager::new(ADMIN, 1);
    let app = Admin::new(registry, readiness);
    let doors = admin.iter().map(|place| (&*place.bound, app.clone()));
    let commands = state.as_ref().map(|state| (&state.socket, app.clone().commanding(commands)));
    let _accepting: Vec<Accepting> = doors
        .chain(commands)
        .filter_map(|(bound, app)| {
            let listener = admin_listener(app, &shared, &opener);
            Some(opener.accept(&listener, bound.doorway().ok()?))
        })
        .collect();
    admin.iter().for_each(bind::tell);
    server.add_service(manager);

    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    writer.close(FLUSH);
    Ok(())
}

/// The sockets of the admin address.
fn admin(document: &Document) -> Result<Vec<Place>, Diagnostic> {
    match &document.admin {
        Some(Placed { value, steps }) => {
            Spare(Vec::new()).bind(document, ADMIN, &value.address, steps)
        }
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

/// The admin's listener has no part in the drain: probes are answered to the end.
fn admin_listener(app: Admin, shared: &Shared, opener: &Opener<Admin>) -> Arc<Listener<Admin>> {
    let config = listener::Config::plain();
    let entrance = Arc::new(Entrance {
        name: ADMIN.into(),
        index: u16::MAX,
        trusted_proxies: CidrSet::default(),
        client_address: ClientAddress::default(),
        via: None,
        limits: Limits { body_size: Some(0), ..config.limits.of_request() },
    });
    let shared = Shared {
        drain: Arc::default(),
        connections: None,
        access: access::Sender::off(),
        ..shared.clone()
    };
    let listener = Listener::new(&config, entrance, None, Arc::new(app), &shared, None);
    let listener = Arc::new(listener);
    opener.open(&listener);
    listener
}

/// Where state is kept: as written, else systemd's directory, else `state` beside the document.
pub fn state_dir(document: &Document) -> PathBuf {
    let written = document.state_dir();
    let of_systemd = || config::env::variable("STATE_DIRECTORY").map(Into::into);
    written.or_else(of_systemd).unwrap_or_else(|| document.folder(&[]).join("state"))
}
