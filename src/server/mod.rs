//! The composition root: one compiled document in, one running engine out.

mod bind;
pub mod explain;
mod limits;
mod services;
mod signals;

use crate::admin::{Admin, Readiness};
use crate::config::{self, Document};
use crate::exchange::{ClientAddress, Entrance, Limits};
use crate::listener::{self, Drain, Listener, Manager, Shared, Socket};
use crate::net::CidrSet;
use crate::observe::{access, process};
use crate::proxy::Proxy;
use crate::runtime::{Compiled, Handle, Retained};
use crate::tls;
use crate::upstream::{Dns, Names};
use crate::value::Diagnostic;
use bind::{Bindings, Ready};
use pingora::apps::HttpServerOptions;
use pingora::proxy::{HttpProxy, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server};
use services::Warm;
use signals::Signals;
use std::sync::Arc;
use std::time::Duration;

/// How long the last lines of the access log may take when the process ends.
const FLUSH: Duration = Duration::from_secs(2);
/// Attempts of one exchange: every endpoint once, but not for ever.
const ATTEMPTS: usize = 64;

/// The name of the admin's own listener in logs and metrics.
const ADMIN: &str = "admin";

/// Runs a compiled document until the process is told to end.
///
/// An error is what kept it from starting; then nothing was started.
pub fn run(document: &Document, compiled: Compiled, retained: &Retained) -> Result<(), Diagnostic> {
    let threads = document.server.threads.or(limits::cores);
    limits::raise_descriptors();
    tls::check_roots()?;
    let bindings = Bindings::bind(document, &compiled.listeners)?;
    let writer = Arc::new(bind::access_log(document, &retained.registry)?);
    process::show(&retained.registry, crate::VERSION, crate::COMMIT);

    let runtime = Handle::new(compiled.snapshot);
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
        connections: limits::connections(document),
        metrics: retained.listeners.clone(),
        access: writer.sender(),
    };
    let proxy = Proxy::new(runtime.clone(), writer.sender());
    let proxy = engine(&server.configuration, proxy);
    let Ready { sockets, admin, files: _files } = bindings.ready();
    let sockets = sockets
        .into_iter()
        .map(|(bound, entry)| {
            let (config, entrance) = (&entry.config, entry.entrance.clone());
            let listener =
                Listener::new(config, entrance, entry.tls.clone(), proxy.clone(), &shared);
            (bound, Arc::new(listener))
        })
        .flat_map(|(bound, listener)| {
            bound.into_iter().map(move |bound| Socket { bound, listener: listener.clone() })
        })
        .collect();

    let signals = Signals::new(drain, readiness.clone(), writer.clone(), &document.server);
    let names = Names::new(Arc::new(Dns::default()));
    let warm = Warm::new(runtime, names, readiness.clone(), signals.heard());
    let warm = server.add_service(warm);
    let accepting = server.add_service(Manager::new("edge", sockets, server.configuration.threads));
    accepting.add_dependency(&warm);
    if !admin.is_empty() {
        let app = Admin::new(retained.registry.clone(), readiness);
        server.add_service(admin_service(admin, app, &shared));
    }

    server.run(RunArgs { shutdown_signal: Box::new(signals) });
    writer.close(FLUSH);
    Ok(())
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
fn admin_service(bound: Vec<listener::Bound>, app: Admin, shared: &Shared) -> Manager<Admin> {
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
    let listener = Arc::new(Listener::new(&config, entrance, None, Arc::new(app), &shared));
    let sockets =
        bound.into_iter().map(|bound| Socket { bound, listener: listener.clone() }).collect();
    Manager::new(ADMIN, sockets, 1)
}

/// Where state is kept: as written, else systemd's directory, else `state` beside the document.
pub fn state_dir(document: &Document) -> std::path::PathBuf {
    let written = document.server.state_dir.clone();
    let of_systemd = || config::env::variable("STATE_DIRECTORY").map(Into::into);
    written.or_else(of_systemd).unwrap_or_else(|| document.folder(&[]).join("state"))
}
