//! What a changed document comes to: the same value in the log, the metric, the reply and the exit
//! code.

use super::asked::{Answer, Asked, Kept};
use super::compile::{Compiled, compile, compile_keeping};
use super::retain::Retained;
use super::snapshot::Snapshot;
use super::status::Status;
use crate::config::{Change, Document, Read, Server};
use crate::observe::{Counter, Gauge, Registry};
use crate::route::Route;
use crate::tls::Certificate;
use crate::upstream::Act;
use crate::upstream::UpstreamStatus;
use crate::value::Diagnostic;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The keys of their sections that a reload applies.
const FOLLOWED: [&str; 3] = [WATCH, TOKEN, HOSTS];
const WATCH: &str = "server.watch";
const TOKEN: &str = "admin.token";
const HOSTS: &str = "admin.hosts";

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The changed document runs.
    Applied {
        /// The number of its snapshot.
        generation: u64,
        /// What changed.
        changes: Vec<Changed>,
    },
    /// It would run; nothing was done, as was asked for.
    Planned {
        /// What would change.
        changes: Vec<Changed>,
    },
    /// It says what runs already.
    Unchanged {
        /// The number of the snapshot that runs.
        generation: u64,
    },
    /// It has problems; the old one goes on.
    Rejected {
        /// What is wrong, each with its place and its remedy.
        problems: Vec<String>,
    },
    /// It changes what only another process can take on; the old one goes on.
    NeedsUpgrade {
        /// The keys that differ.
        fields: Vec<String>,
    },
    /// It was meant for the place of another snapshot than the one that runs; nothing was done.
    Outdated {
        /// The number of the snapshot that runs.
        generation: u64,
    },
}

/// Something with a name that changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// How.
    pub change: Change,
    /// What it is: `listener`, `certificate`, `upstream`, `endpoint`, `route`, `filters`,
    /// `order`, `log` or `key`.
    pub kind: String,
    /// Its name; of an endpoint, after the name of its upstream.
    pub name: String,
}

impl Outcome {
    /// Its name in logs and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Planned { .. } => "planned",
            Self::Unchanged { .. } => "unchanged",
            Self::Rejected { .. } => "rejected",
            Self::NeedsUpgrade { .. } => "needs_upgrade",
            Self::Outdated { .. } => "outdated",
        }
    }

    /// A document that has this problem.
    pub fn rejected(problem: &Diagnostic) -> Self {
        Self::Rejected { problems: vec![problem.line()] }
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.change.name(), self.kind, self.name)
    }
}

/// What runs, as far as the next document is compared with it.
#[derive(Debug)]
pub struct Running {
    /// The document.
    pub document: Arc<Document>,
    /// Its certificates.
    pub certificates: IndexMap<String, Certificate>,
}

/// A document that can take the place of the one that runs.
#[derive(Debug)]
pub struct Planned {
    /// The document.
    pub document: Arc<Document>,
    /// The document, compiled.
    pub compiled: Compiled,
    /// What changes.
    pub changes: Vec<Changed>,
    /// What is odd about it, and does not keep it from running.
    pub warnings: Vec<String>,
}

/// Compiles a document and says what changes with it, if anything does, or why it cannot run.
///
/// Without a `state_dir`, nothing is written, as in [`compile`].
pub fn plan(
    read: Read,
    running: &Running,
    snapshot: &Snapshot,
    retained: &Retained,
    state_dir: Option<&Path>,
) -> Result<Planned, Outcome> {
    let document = &read.document;
    let is_sound = read.is_sound();
    let state_dir = state_dir.filter(|_| is_sound);
    let (compiled, further) = compile(document, Some(snapshot), retained, state_dir);
    let diagnostics = read.diagnostics(further);
    let Some(mut compiled) = compiled.filter(|_| is_sound) else {
        return Err(Outcome::Rejected { problems: told(&diagnostics) });
    };
    let sections = of_process(&running.document, document);
    let mut fields = running.document.differing(document, &sections);
    fields.retain(|field| !FOLLOWED.contains(&field.as_str()));
    if !fields.is_empty() {
        return Err(Outcome::NeedsUpgrade { fields });
    }
    let changes = changes(running, document, snapshot, &compiled);
    // Streams go by the document they began with, in this too.
    let drain: HashSet<_> =
        snapshot.routes.iter().filter(|r| r.drains_on_change).map(|r| &*r.name).collect();
    compiled.snapshot.part_from(|r| drain.contains(&*r.name) && touches(&changes, r));
    let warnings = diagnostics.iter().map(Diagnostic::line).collect();
    Ok(Planned { document: Arc::new(read.document), compiled, changes, warnings })
}

/// Compiles the document that runs with the certificates that its files hold now; one whose files
/// have problems stays as it is.
pub fn renew(
    running: &Running,
    snapshot: &Snapshot,
    retained: &Retained,
    state_dir: Option<&Path>,
) -> Result<Planned, Outcome> {
    let (document, kept) = (&running.document, &running.certificates);
    let (compiled, diagnostics) =
        compile_keeping(document, Some(snapshot), retained, state_dir, kept);
    let Some(compiled) = compiled else {
        return Err(Outcome::Rejected { problems: told(&diagnostics) });
    };
    let changes = changes(running, document, snapshot, &compiled);
    Ok(Planned { document: document.clone(), compiled, changes, warnings: Vec::new() })
}

/// How many problems of a document are told; `falconer check` tells all of them.
const MOST_PROBLEMS: usize = 100;

/// What is wrong, as far as it is told.
fn told(diagnostics: &[Diagnostic]) -> Vec<String> {
    let errors = diagnostics.iter().filter(|problem| problem.is_error());
    let more = errors.clone().count().saturating_sub(MOST_PROBLEMS);
    let rest = (more > 0).then(|| format!("and {more} more; `falconer check` names them"));
    errors.take(MOST_PROBLEMS).map(Diagnostic::line).chain(rest).collect()
}

/// The sections that are read once, when the process starts, and mean something else now.
fn of_process(before: &Document, after: &Document) -> Vec<&'static str> {
    let admin = |of: &Document| of.admin.as_ref().map(|admin| admin.value.address.clone());
    let fixed = |of: &Document| Server { watch: false, ..of.server.clone() };
    let differ = [
        ("server", fixed(before) != fixed(after)),
        ("access_log", before.access_log != after.access_log),
        ("metrics", before.metrics != after.metrics),
        ("admin", admin(before) != admin(after)),
    ];
    differ.into_iter().filter(|(_, differs)| *differs).map(|(section, _)| section).collect()
}

fn changes(
    running: &Running,
    document: &Document,
    snapshot: &Snapshot,
    compiled: &Compiled,
) -> Vec<Changed> {
    let mut all = Vec::new();
    for (section, kind) in [
        ("listeners", "listener"),
        ("certificates", "certificate"),
        ("upstreams", "upstream"),
        ("routes", "route"),
    ] {
        let mut found = running.document.compare(document, section);
        let is_known = |name: &String| found.iter().any(|(_, known)| known == name);
        let differ: Vec<_> = match kind {
            // What a certificate or an upstream names may differ though the document does not.
            "certificate" => {
                let has_files = |name: &String| {
                    let config = document.certificates.get(name);
                    config.is_some_and(|config| config.value.chain.is_some())
                };
                let kept = compiled.certificates.iter().filter(|(name, certificate)| {
                    let before = running.certificates.get(*name);
                    has_files(name)
                        && before.is_some_and(|before| before.key.cert != certificate.key.cert)
                });
                kept.map(|(name, _)| name).filter(|name| !is_known(name)).cloned().collect()
            }
            "upstream" => {
                let kept = compiled.snapshot.upstreams.iter().filter(|(name, upstream)| {
                    let before = snapshot.upstreams.get(*name);
                    before.is_some_and(|before| !Arc::ptr_eq(before, upstream))
                });
                kept.map(|(name, _)| name).filter(|name| !is_known(name)).cloned().collect()
            }
            _ => Vec::new(),
        };
        found.extend(differ.into_iter().map(|name| (Change::Changed, name)));
        for (change, name) in found {
            if kind == "upstream" && change == Change::Changed {
                all.extend(endpoints(&running.document, document, &name));
            }
            all.push(Changed { change, kind: kind.to_owned(), name });
        }
    }
    let other = |kind: &str, name: &str| Changed {
        change: Change::Changed,
        kind: kind.to_owned(),
        name: name.to_owned(),
    };
    let admin = |of: &Document| of.admin.as_ref().map(|admin| admin.value.clone());
    let (before, after) = (admin(&running.document), admin(document));
    for (key, differs) in [
        (WATCH, running.document.server.watch != document.server.watch),
        (TOKEN, before.as_ref().map(|a| &a.token) != after.as_ref().map(|a| &a.token)),
        (HOSTS, before.as_ref().map(|a| &a.hosts) != after.as_ref().map(|a| &a.hosts)),
    ] {
        if differs {
            all.push(other("key", key));
        }
    }
    if running.document.log != document.log {
        all.push(other("log", "of falconer"));
    }
    if !running.document.differing(document, &["filters"]).is_empty() {
        all.push(other("filters", "of all routes"));
    }
    if !running.document.orders_like(document) {
        all.push(other("order", "of routes"));
    }
    all
}

/// Whether a route is among what changes, or what it names is.
fn touches(changes: &[Changed], route: &Route) -> bool {
    changes.iter().any(|changed| match changed.kind.as_str() {
        "route" => *changed.name == *route.name,
        "upstream" => route.target.upstreams().any(|upstream| *changed.name == *upstream.name),
        "filters" => true,
        _ => false,
    })
}

/// The endpoints that an upstream gained and lost.
fn endpoints(before: &Document, after: &Document, upstream: &str) -> Vec<Changed> {
    let of = |document: &Document| -> Vec<String> {
        let found = document.upstreams.get(upstream);
        let members = found.into_iter().flat_map(|placed| &placed.value.endpoints);
        members.map(|member| member.url.to_string()).collect()
    };
    let (before, after) = (of(before), of(after));
    let changed = |change, url: &String| Changed {
        change,
        kind: "endpoint".to_owned(),
        name: format!("{upstream} {url}"),
    };
    let gone = before.iter().filter(|url| !after.contains(url));
    let new = after.iter().filter(|url| !before.contains(url));
    gone.map(|url| changed(Change::Removed, url))
        .chain(new.map(|url| changed(Change::Added, url)))
        .collect()
}

/// What a running edge is asked for.
#[derive(Debug)]
pub enum Requested {
    /// To take on another document, or only to say what would change.
    Change(Asked, oneshot::Sender<Answer>),
    /// To show the document that runs.
    Document(oneshot::Sender<(u64, Arc<Document>)>),
    /// To say which documents ran before.
    Kept(oneshot::Sender<Vec<Kept>>),
    /// To say how it is.
    Status(oneshot::Sender<Status>),
    /// To say how the endpoints of upstreams fare.
    Upstreams(oneshot::Sender<Vec<UpstreamStatus>>),
    /// To have an endpoint treated otherwise.
    Act {
        /// The upstream's name.
        upstream: String,
        /// The endpoint's label or address.
        endpoint: String,
        /// How.
        act: Act,
        /// Who waits; an error says what is not there.
        answer: oneshot::Sender<Result<Vec<UpstreamStatus>, String>>,
    },
    /// To have another process take its place.
    Upgrade {
        /// The binary; `None` is the one that this process was started with.
        binary: Option<PathBuf>,
        /// How long it may take until it serves.
        patience: Duration,
        /// Who waits.
        answer: oneshot::Sender<Upgrade>,
    },
}

/// How long another process may take until it serves, unless it is said.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of an upgrade.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Upgrade {
    /// Another process serves.
    Done {
        /// The number of the process.
        process: u32,
        /// Its version.
        falconer: String,
        /// The number of its snapshot.
        generation: u64,
        /// The number of the process before.
        before: u32,
        /// How many connections are open there.
        connections: usize,
    },
    /// The process goes on that was there.
    Failed {
        /// What is wrong with the other one.
        problems: Vec<String>,
    },
}

/// Where a running edge is asked; it does one thing after the other.
#[derive(Clone, Debug)]
pub struct Commands(mpsc::Sender<Requested>);

impl Commands {
    /// A place to ask, and where the requests arrive.
    pub fn new() -> (Self, mpsc::Receiver<Requested>) {
        let (sender, receiver) = mpsc::channel(16);
        (Self(sender), receiver)
    }

    /// Has another document run; `None`, here and below, if the process is about to end.
    pub async fn change(&self, asked: Asked) -> Option<Answer> {
        self.ask(|answer| Requested::Change(asked, answer)).await
    }

    /// The document that runs, and the number of its snapshot.
    pub async fn document(&self) -> Option<(u64, Arc<Document>)> {
        self.ask(Requested::Document).await
    }

    /// The documents that ran, the newest first.
    pub async fn kept(&self) -> Option<Vec<Kept>> {
        self.ask(Requested::Kept).await
    }

    /// How the endpoints of upstreams fare.
    pub async fn upstreams(&self) -> Option<Vec<UpstreamStatus>> {
        self.ask(Requested::Upstreams).await
    }

    /// Has an endpoint treated otherwise; an error says what is not there.
    pub async fn act(
        &self,
        upstream: String,
        endpoint: String,
        act: Act,
    ) -> Option<Result<Vec<UpstreamStatus>, String>> {
        self.ask(|answer| Requested::Act { upstream, endpoint, act, answer }).await
    }

    /// Has another process take the place.
    pub async fn upgrade(
        &self,
        binary: Option<PathBuf>,
        patience: Option<Duration>,
    ) -> Option<Upgrade> {
        let patience = patience.unwrap_or(PATIENCE);
        self.ask(|answer| Requested::Upgrade { binary, patience, answer }).await
    }

    /// How the edge is.
    pub async fn status(&self) -> Option<Status> {
        self.ask(Requested::Status).await
    }

    async fn ask<T>(&self, about: impl FnOnce(oneshot::Sender<T>) -> Requested) -> Option<T> {
        let (answer, told) = oneshot::channel();
        self.0.send(about(answer)).await.ok()?;
        told.await.ok()
    }
}

/// What is counted of reloads.
#[derive(Clone, Debug)]
pub struct Metrics {
    generation: Gauge,
    differs: Gauge,
    outdated: Gauge,
    outcomes: Vec<(&'static str, Counter)>,
    failed_upgrades: Counter,
    taken_back: Counter,
}

impl Metrics {
    /// Declares the families.
    pub fn new(registry: &Registry) -> Self {
        let outcomes = registry.counter(
            "falconer_runtime_reloads_total",
            "Times that a document was to take the place of the one that runs, by what became of it.",
            &["outcome"],
        );
        let outcome = |name| (name, outcomes.handle(&[name]));
        let upgrades = registry.counter(
            "falconer_runtime_upgrades_failed_total",
            "Upgrades that came to nothing, by whether the new process never served or died soon.",
            &["outcome"],
        );
        let generation = registry.gauge(
            "falconer_runtime_generation",
            "The number of the snapshot that runs; it grows with each reload that is applied.",
            &[],
        );
        let differs = registry.gauge(
            "falconer_runtime_document_differs",
            "1 if the files of the document say something else than what runs: they were not applied, or it came from elsewhere.",
            &[],
        );
        let outdated = registry.gauge(
            "falconer_runtime_certificates_outdated",
            "Problems of changed files of certificates; those that were served before still are.",
            &[],
        );
        Self {
            failed_upgrades: upgrades.handle(&["failed"]),
            taken_back: upgrades.handle(&["taken_back"]),
            generation: generation.handle(&[]),
            differs: differs.handle(&[]),
            outdated: outdated.handle(&[]),
            outcomes: ["applied", "unchanged", "rejected", "needs_upgrade"].map(outcome).into(),
        }
    }

    /// Shows the number of the first snapshot.
    pub fn starts(&self, generation: u64) {
        self.generation.set(generation.try_into().unwrap_or(i64::MAX));
    }

    /// Shows the number of a snapshot that came without a reload.
    pub fn renewed(&self, outcome: &Outcome) {
        if let Outcome::Applied { generation, .. } = outcome {
            self.starts(*generation);
        }
    }

    /// Shows how many problems keep certificates from being renewed.
    pub fn outdated(&self, problems: usize) {
        self.outdated.set(problems.try_into().unwrap_or(i64::MAX));
    }

    /// Counts an upgrade whose process never served.
    pub fn upgrade_failed(&self) {
        self.failed_upgrades.inc();
    }

    /// Counts an upgrade whose process died soon, so that this one serves again.
    pub fn taken_back(&self) {
        self.taken_back.inc();
    }

    /// Counts what became of a document.
    pub fn count(&self, outcome: &Outcome) {
        if let Some((_, counter)) = self.outcomes.iter().find(|(name, _)| *name == outcome.name()) {
            counter.inc();
        }
        self.renewed(outcome);
    }

    /// Shows whether the files of the document say something else than what runs.
    pub fn differs(&self, differs: bool) {
        self.differs.set(differs.into());
    }
}
