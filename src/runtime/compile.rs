//! From a document to a snapshot, or to everything that is wrong with it.

mod forwarding;

use super::entry::Entry;
use super::retain::Retained;
use super::snapshot::Snapshot;
use crate::config::{self, Document, Placed, Step, nearest};
use crate::exchange::{Entrance, Limits};
use crate::expr::Variable;
use crate::filter::{Chain, Filter};
use crate::listener::{self, Address, MinVersion, Protocol, ProxyProtocol};
use crate::net::CidrSet;
use crate::observe::access;
use crate::route::table::{Spec, shadowed};
use crate::route::{self, Matcher, Route, Table, Target};
use crate::tls::{self, Authorities, Certificate, Source, Unkept};
use crate::upstream::{self, Security, Upstream, affinity};
use crate::value::{Diagnostic, Problem, Severity, Switch};
use indexmap::IndexMap;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// What templates lack that are for every route.
const OF_NO_ROUTE: &str = "the path of no route captures";

/// A compiled document.
#[derive(Debug)]
pub struct Compiled {
    /// What requests use.
    pub snapshot: Snapshot,
    /// What listeners use, by name.
    pub listeners: IndexMap<String, Entry>,
    /// The certificates, by name.
    pub certificates: IndexMap<String, Certificate>,
    /// Why some of them are not those of their files.
    pub outdated: Vec<Diagnostic>,
}

/// Compiles what could be read of a document; `None` if something in it cannot be compiled.
///
/// Without a `state_dir`, nothing is written: a self-signed certificate is made and forgotten.
/// State lives on: what has the same identity in the previous snapshot keeps its counters.
pub fn compile(
    document: &Document,
    previous: Option<&Snapshot>,
    retained: &Retained,
    state_dir: Option<&Path>,
) -> (Option<Compiled>, Vec<Diagnostic>) {
    compile_keeping(document, previous, retained, state_dir, &IndexMap::new())
}

/// The same, with certificates that take the place of those whose files have problems.
pub(super) fn compile_keeping(
    document: &Document,
    previous: Option<&Snapshot>,
    retained: &Retained,
    state_dir: Option<&Path>,
    kept: &IndexMap<String, Certificate>,
) -> (Option<Compiled>, Vec<Diagnostic>) {
    let mut compiler = Compiler {
        document,
        retained,
        kept,
        outdated: Vec::new(),
        previous,
        before: routes(previous),
        unkept: Vec::new(),
        key: retained.key.get().cloned(),
        unkept_key: None,
        diagnostics: Vec::new(),
    };
    for name in document.names("listeners") {
        retained.number(name);
    }
    compiler.addresses();
    compiler.admin();
    compiler.references();
    let certificates = compiler.certificates(state_dir);
    let upstreams = compiler.upstreams(&certificates, state_dir);
    let filters = compiler.filters(&document.filters);
    let routes = compiler.routes(&upstreams, &filters);
    let listeners = compiler.listeners(&certificates);
    // Last, because it writes, and a document with problems leaves no trace.
    compiler.keep();
    let outdated = std::mem::take(&mut compiler.outdated);
    let compiled = compiler.is_sound().then(|| {
        let (specs, routes): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let names = retained.names();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let snapshot = Snapshot {
            generation: previous.map_or(retained.first, |p| p.generation + 1),
            table: Table::build(&specs, &names),
            routes,
            upstreams,
            unrouted: Arc::new(compiler.counting("", None)),
        };
        Compiled { snapshot, listeners, certificates, outdated }
    });
    (compiled, compiler.diagnostics)
}

struct Compiler<'a> {
    document: &'a Document,
    retained: &'a Retained,
    previous: Option<&'a Snapshot>,
    /// The routes of the snapshot before, by their names.
    before: HashMap<&'a str, &'a Route>,
    /// Certificates that are known to be good.
    kept: &'a IndexMap<String, Certificate>,
    outdated: Vec<Diagnostic>,
    /// Certificates that were made.
    unkept: Vec<Placed<Unkept>>,
    /// The key of affinity, and that it was made.
    key: Option<affinity::Key>,
    unkept_key: Option<Placed<affinity::Unkept>>,
    diagnostics: Vec<Diagnostic>,
}

impl Compiler<'_> {
    fn is_sound(&self) -> bool {
        self.diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error)
    }

    fn fail(&mut self, steps: &[Step], problem: Problem) {
        self.diagnostics.push(self.document.error(steps, problem));
    }

    fn warn(&mut self, steps: &[Step], problem: Problem) {
        self.diagnostics.push(self.document.warning(steps, problem));
    }

    fn certificates(&mut self, state_dir: Option<&Path>) -> IndexMap<String, Certificate> {
        let mut certificates = IndexMap::new();
        let document = self.document;
        for (name, Placed { value, steps }) in &document.certificates {
            let loaded = match value.source() {
                Ok(Source::Files { chain, key }) => Certificate::load(chain, key)
                    .map_or_else(|faults| self.instead(name, steps, faults), Some),
                Ok(Source::SelfSigned(names)) => {
                    let made = match state_dir {
                        Some(folder) => {
                            Certificate::self_signed(names, &folder.join("certificates"))
                        }
                        None => Certificate::unkept(names).map(|certificate| (certificate, None)),
                    };
                    let steps = below(steps, "self_signed");
                    let made = made.map_err(|problem| self.fail(&steps, problem)).ok();
                    made.map(|(certificate, unkept)| {
                        self.unkept.extend(unkept.map(|value| Placed { value, steps }));
                        certificate
                    })
                }
                Err(problem) => {
                    self.fail(steps, problem);
                    None
                }
            };
            certificates.extend(loaded.map(|certificate| (name.clone(), certificate)));
        }
        certificates
    }

    /// The certificate that is served as long as the files of one have these faults, if any is.
    fn instead(
        &mut self,
        name: &str,
        steps: &[Step],
        faults: Vec<tls::Fault>,
    ) -> Option<Certificate> {
        let kept = self.kept.get(name).cloned();
        for tls::Fault { key, problem } in faults {
            let diagnostic = self.document.error(&below(steps, key), problem);
            let list = if kept.is_some() { &mut self.outdated } else { &mut self.diagnostics };
            list.push(diagnostic);
        }
        kept
    }

    /// Writes what was made, unless the document has problems.
    fn keep(&mut self) {
        for Placed { value, steps } in std::mem::take(&mut self.unkept) {
            if self.is_sound()
                && let Err(problem) = value.keep()
            {
                self.fail(&steps, problem);
            }
        }
        if let Some(Placed { value, steps }) = self.unkept_key.take()
            && self.is_sound()
            && let Err(problem) = value.keep()
        {
            self.fail(&steps, problem);
        }
        if let Some(key) = self.key.take().filter(|_| self.is_sound()) {
            // Nobody else was faster: documents follow each other, and say the same.
            let _ = self.retained.key.set(key);
        }
    }

    fn listeners(
        &mut self,
        certificates: &IndexMap<String, Certificate>,
    ) -> IndexMap<String, Entry> {
        let mut entries = IndexMap::new();
        let document = self.document;
        let via = document.server.via.compile();
        for (name, Placed { value, steps }) in &document.listeners {
            let tls = match &value.tls {
                Some(tls) => self.tls(tls, (name, value), certificates, steps),
                None => None,
            };
            if value.protocols.as_ref().is_some_and(Vec::is_empty) {
                let remedy = "name h1, h2 or both, or leave `protocols` out";
                self.fail(
                    &below(steps, "protocols"),
                    Problem::new("no protocol is spoken", remedy),
                );
            }
            if value.proxy_protocol == ProxyProtocol::Accept && value.trusted_proxies.is_empty() {
                let what = "no PROXY header is believed: `trusted_proxies` names nobody";
                let remedy = "name the proxies there, or write `require`";
                self.warn(&below(steps, "proxy_protocol"), Problem::new(what, remedy));
            }
            let limits = value.limits.of_request();
            let entrance = Arc::new(Entrance {
                name: name.as_str().into(),
                index: self.retained.number(name),
                trusted_proxies: value.trusted_proxies.iter().copied().collect::<CidrSet>(),
                client_address: (&value.client_address).into(),
                via: via.clone(),
                limits: Limits { longest_uri: self.longest_uri(limits.uri_size), ..limits },
            });
            let entry = Entry { config: value.clone(), entrance, tls, steps: steps.clone() };
            entries.insert(name.clone(), entry);
        }
        entries
    }

    /// How long a target may be before its route is known: some route may take more than others.
    fn longest_uri(&self, of_listener: Option<u64>) -> Option<u64> {
        let own = self.document.routes.iter().filter_map(|route| route.value.limits.uri_size);
        own.fold(of_listener, |longest, own| Some(longest?.max(own.on()?.0)))
    }

    fn tls(
        &mut self,
        config: &listener::Tls,
        (name, listener): (&str, &listener::Config),
        certificates: &IndexMap<String, Certificate>,
        steps: &[Step],
    ) -> Option<tls::Serving> {
        let steps = below(&below(steps, "tls"), "certificates");
        let served = config.certificates.iter().filter_map(|name| certificates.get(name));
        let served: Vec<_> = served.cloned().collect();
        let oldest = match config.min_version {
            MinVersion::Tls12 => tls::Version::Tls12,
            MinVersion::Tls13 => tls::Version::Tls13,
        };
        let protocols = listener.protocols();
        let mut alpn = Vec::new();
        if protocols.contains(&Protocol::H2) {
            alpn.push(b"h2".to_vec());
        }
        if protocols.contains(&Protocol::H1) {
            alpn.push(b"http/1.1".to_vec());
        }
        let resolver = tls::Resolver::new(&served)?;
        match tls::Serving::new(resolver, oldest, alpn, (&self.retained.tickets, name)) {
            Ok(serving) => Some(serving),
            Err(error) => {
                let remedy = "serve another certificate";
                self.fail(&steps, Problem::new(format!("TLS cannot be set up: {error}"), remedy));
                None
            }
        }
    }

    fn upstreams(
        &mut self,
        certificates: &IndexMap<String, Certificate>,
        state_dir: Option<&Path>,
    ) -> IndexMap<String, Arc<Upstream>> {
        let mut upstreams = IndexMap::new();
        let document = self.document;
        for (name, Placed { value, steps }) in &document.upstreams {
            self.endpoints(name, value, steps);
            let security = value.tls.as_ref().and_then(|tls| {
                let steps = below(steps, "tls");
                if !value.speaks_tls() {
                    let what = "`tls` has no effect: no endpoint is reached by `https://`";
                    let remedy = match value.discover {
                        Some(_) => "write `tls: true` under `discover`, or remove it",
                        None => "write `https://` where TLS is spoken, or remove it",
                    };
                    self.fail(&steps, Problem::new(what, remedy));
                }
                self.security(tls, certificates, &steps)
            });
            if let Some(Err(fault)) = value.health.as_ref().map(upstream::health::Config::compile) {
                let health = below(steps, "health");
                let at = fault.at.iter().fold(health, |at, key| below(&at, key));
                self.fail(&at, fault.problem);
            }
            if let Some(Err(fault)) = value.warm_up.as_ref().map(upstream::health::WarmUp::compile)
            {
                let warm_up = below(steps, "warm_up");
                let at = fault.at.iter().fold(warm_up, |at, key| below(&at, key));
                self.fail(&at, fault.problem);
            }
            self.limits(&value.limits, &below(steps, "limits"));
            self.affinity(value, steps, state_dir);
            if let upstream::Balance::Hash(by) = &value.balance
                && by.key.is_constant()
            {
                let what = "every request has this key, so all go to one endpoint";
                let remedy = "write what tells requests apart, such as `{client.ip}`";
                let at = below(&below(&below(steps, "balance"), "hash"), "key");
                self.warn(&at, Problem::new(what, remedy));
            }
            let security = security.unwrap_or_default();
            let before = self.previous.and_then(|previous| previous.upstreams.get(name));
            let upstream = match before.filter(|before| before.is(value, &security)) {
                Some(same) => same.clone(),
                None => Upstream::new(
                    name.as_str().into(),
                    value.clone(),
                    security,
                    self.key.as_ref(),
                    self.retained.endpoints.clone(),
                    &self.retained.upstreams,
                    before.map(|before| &**before),
                ),
            };
            upstreams.insert(name.clone(), upstream);
        }
        upstreams
    }

    /// Who waits must wait for something.
    fn limits(&mut self, limits: &upstream::Limits, steps: &[Step]) {
        if let Some(adaptive) = limits.adaptive.as_ref().filter(|a| a.least > a.most) {
            let what = format!("`least` is more than `most`, which is {}", adaptive.most);
            let remedy = "write a smaller `least`, or a larger `most`";
            self.fail(&below(&below(steps, "adaptive"), "least"), Problem::new(what, remedy));
        }
        if *limits != upstream::Limits::default() && !limits.limits() {
            let what = "no request waits, because nothing is limited";
            let remedy = "add one of `requests`, `requests_per_endpoint` and `adaptive: {}`";
            self.warn(steps, Problem::new(what, remedy));
        }
    }

    /// Affinity must be sound. The first upstream that needs a key has it read, or made.
    fn affinity(&mut self, config: &upstream::Config, steps: &[Step], state_dir: Option<&Path>) {
        let Some(affinity) = &config.affinity else { return };
        let at = below(steps, "affinity");
        if let Err(fault) = affinity.check() {
            let at = fault.at.iter().fold(at, |at, key| below(&at, key));
            return self.fail(&at, fault.problem);
        }
        let (None, true, Some(folder)) = (&self.key, affinity.wants_key(), state_dir) else {
            return;
        };
        match affinity::Key::kept(folder) {
            Ok((key, unkept)) => {
                self.key = Some(key);
                self.unkept_key = unkept.map(|value| Placed { value, steps: at });
            }
            Err(problem) => self.fail(&at, problem),
        }
    }

    /// An upstream must say where its endpoints are. What a file says of them is beside the
    /// document, and may come later.
    fn endpoints(&mut self, name: &str, config: &upstream::Config, steps: &[Step]) {
        if config.endpoints.is_empty() && config.discover.is_none() {
            let what = format!("the upstream `{name}` has no endpoints");
            let remedy = "add `endpoints:` with a list, or `discover:`";
            self.fail(steps, Problem::new(what, remedy));
        }
        let Some(upstream::Discover::File(file)) = &config.discover else { return };
        let at = below(&below(&below(steps, "discover"), "file"), "path");
        for problem in config::endpoints(&file.path).err().into_iter().flatten() {
            let position = problem.position.unwrap_or_else(|| self.document.position(&at));
            self.diagnostics.push(Diagnostic::warning(position, problem.problem));
        }
    }

    /// How TLS is spoken to endpoints; `None` if something it needs cannot be loaded.
    fn security(
        &mut self,
        config: &upstream::Tls,
        certificates: &IndexMap<String, Certificate>,
        steps: &[Step],
    ) -> Option<Security> {
        if !config.verify {
            let what = "endpoints are not verified: anyone on the way to them can pose as one";
            let remedy = "remove it, and name the authority of their certificates by `ca`";
            self.warn(&below(steps, "verify"), Problem::new(what, remedy));
        }
        let mut authorities = None;
        if let Some(path) = &config.ca {
            let at = below(steps, "ca");
            if !config.verify {
                let what = "`ca` has no effect with `verify: false`";
                self.warn(&at, Problem::new(what, "remove one of them"));
            }
            let loaded = Authorities::load(path);
            authorities = Some(loaded.map_err(|problem| self.fail(&at, problem)).ok()?);
        }
        let named = config.client_certificate.as_ref();
        let certificate = named.and_then(|name| certificates.get(name));
        let security = Security::new(config, authorities.as_ref(), certificate);
        let at = below(steps, "client_certificate");
        security.map_err(|problem| self.fail(&at, problem)).ok()
    }

    fn filters(&mut self, items: &[Placed<crate::filter::Config>]) -> Vec<Arc<Filter>> {
        let mut filters = Vec::new();
        for Placed { value, steps } in items {
            match value.compile() {
                Ok(filter) => filters.push(Arc::new(filter)),
                Err(problem) => self.fail(steps, problem),
            }
        }
        filters
    }

    fn routes(
        &mut self,
        upstreams: &IndexMap<String, Arc<Upstream>>,
        shared: &[Arc<Filter>],
    ) -> Vec<(Spec, Arc<Route>)> {
        let document = self.document;
        let names = self.retained.names();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let mut seen: HashMap<String, &[Step]> = HashMap::new();
        let mut captured = Vec::new();
        let mut routes = Vec::new();
        for Placed { value, steps } in &document.routes {
            let name = name_of(value, steps);
            if let Some(first) = seen.insert(name.clone(), steps) {
                let place = document.position(first);
                let what = format!("the route `{name}` is there already, at {place}");
                self.fail(&below(steps, "name"), Problem::new(what, "give it another name"));
            }
            let spec = spec(value, &names);
            let target = self.target(value, steps, upstreams);
            let mirror = self.mirror(value, (&name, steps), upstreams);
            let own = place(&value.filters, &below(steps, "filters"));
            let own = self.filters(&own);
            let spec = match spec {
                Ok(spec) => spec,
                Err(faults) => {
                    for fault in faults {
                        let mut at = below(&below(steps, "match"), fault.matcher);
                        at.extend(fault.entry.map(Step::Key));
                        self.fail(&at, fault.problem);
                    }
                    continue;
                }
            };
            let matcher = &spec.matcher;
            for key in ["filters", "redirect", "split"] {
                let lacking = "the path of this route does not capture";
                self.captures(matcher.names(), &below(steps, key), lacking);
            }
            captured.extend_from_slice(matcher.names());
            let Some(target) = target else { continue };
            let chain = Chain::new(shared.iter().cloned().chain(own).collect());
            let metrics = self.counting(&name, Some(value));
            let before = self.before.get(&*name);
            let route = Route {
                name: name.into(),
                captures: matcher.names().to_vec(),
                chain,
                target,
                mirror,
                limits: value.limits,
                is_logged: value.access_log != Some(Switch::Off),
                timeouts: value.timeouts,
                metrics: Arc::new(metrics),
                ending: before.map(|before| before.ending.clone()).unwrap_or_default(),
                drains_on_change: value.drain_on_change,
            };
            routes.push((spec, (Arc::new(route), steps)));
        }
        if document.is_whole() && routes.len() == document.count("routes") {
            for section in ["filters", "upstreams"] {
                self.captures(&captured, &[section.into()], OF_NO_ROUTE);
            }
            if let access::Format::Template(line) = &document.access_log.format {
                let steps = ["access_log", "format", "template"].map(Step::from);
                self.captured(&captured, line.variables(), &steps, OF_NO_ROUTE);
            }
        }
        let specs: Vec<Spec> = routes.iter().map(|(spec, _)| spec.clone()).collect();
        for (loser, winner) in shadowed(&specs) {
            if let (Some((_, (lost, steps))), Some((_, (won, _)))) =
                (routes.get(loser), routes.get(winner))
            {
                let what = format!("the route `{}` can never win over `{}`", lost.name, won.name);
                let problem = Problem::new(what, "narrow the other one, or remove this one");
                self.warn(steps, problem);
            }
        }
        routes.into_iter().map(|(spec, (route, _))| (spec, route)).collect()
    }

    fn target(
        &mut self,
        config: &route::Config,
        steps: &[Step],
        upstreams: &IndexMap<String, Arc<Upstream>>,
    ) -> Option<Target> {
        match config.targets().as_slice() {
            [_] => {}
            [] => {
                let remedy = "give it one of `upstream`, `split`, `redirect` and `reply`";
                self.fail(steps, Problem::new("the route has no target", remedy));
                return None;
            }
            many => {
                let what = format!("the route has {} targets: {}", many.len(), many.join(", "));
                self.fail(steps, Problem::new(what, "keep one of them"));
                return None;
            }
        }
        if let Some(name) = &config.upstream {
            return upstreams.get(name).cloned().map(Target::Upstream);
        }
        if let Some(split) = &config.split {
            return self.split(split, &below(steps, "split"), upstreams);
        }
        let (key, compiled) = match (&config.redirect, &config.reply) {
            (Some(redirect), _) => ("redirect", redirect.compile().map(Target::Redirect)),
            (None, Some(reply)) => ("reply", reply.compile().map(Target::Reply)),
            (None, None) => return None,
        };
        compiled.map_err(|problem| self.fail(&below(steps, key), problem)).ok()
    }

    /// Names that templates below a place take from the path must be captured by it.
    fn captures(&mut self, captured: &[String], steps: &[Step], lacking: &str) {
        for Placed { value, steps } in self.document.templates(steps) {
            self.captured(captured, value.variables(), &steps, lacking);
        }
    }

    fn captured<'a>(
        &mut self,
        captured: &[String],
        variables: impl Iterator<Item = &'a Variable>,
        steps: &[Step],
        lacking: &str,
    ) {
        for variable in variables {
            let Variable::PathCapture(name) = variable else { continue };
            if captured.iter().any(|known| **known == **name) {
                continue;
            }
            let what = format!("{lacking} `{name}`");
            let remedy = match (nearest(name, captured.iter().map(String::as_str)), captured) {
                (Some(near), _) => format!("did you mean `{{path.{near}}}`?"),
                (None, []) => format!("capture it, as in `path: \"/{{{name}}}\"`"),
                (None, some) => format!("use one of: {}", some.join(", ")),
            };
            self.fail(steps, Problem::new(what, remedy));
        }
    }

    /// What is referred to by name must be there, also from what could not be read.
    fn references(&mut self) {
        let document = self.document;
        for name in document.names("listeners") {
            let steps = [Step::from("listeners"), name.as_str().into()];
            let steps = below(&below(&steps, "tls"), "certificates");
            self.reference("certificates", "certificate", &steps);
        }
        for name in document.names("upstreams") {
            let steps = [Step::from("upstreams"), name.as_str().into()];
            let steps = below(&below(&steps, "tls"), "client_certificate");
            self.reference("certificates", "certificate", &steps);
        }
        for index in 0..document.count("routes") {
            let route = [Step::from("routes"), index.into()];
            let listener = below(&below(&route, "match"), "listener");
            self.reference("listeners", "listener", &listener);
            self.reference("upstreams", "upstream", &below(&route, "upstream"));
            let mirror = below(&route, "mirror");
            self.reference("upstreams", "upstream", &below(&mirror, "upstream"));
            let to = below(&below(&route, "split"), "to");
            for place in 0..document.items(&to) {
                self.reference("upstreams", "upstream", &below(&item(&to, place), "upstream"));
            }
        }
    }

    fn reference(&mut self, section: &'static str, kind: &str, steps: &[Step]) {
        for Placed { value, steps } in self.document.texts(steps) {
            self.unknown(section, kind, &value, &steps);
        }
    }

    /// Nothing can listen where another listener does already; port 0 is a free one each time.
    fn addresses(&mut self) {
        let document = self.document;
        let admin = document.admin.iter().map(|admin| (&admin.value.address, &admin.steps));
        let listeners = document.listeners.values();
        let all = listeners.map(|placed| (&placed.value.address, &placed.steps)).chain(admin);
        let mut seen = HashMap::new();
        for (addresses, steps) in all {
            let steps = below(steps, "address");
            for (place, address) in addresses.iter().enumerate() {
                let steps = item(&steps, place);
                let taken = match address {
                    Address::Tcp(address) if address.port() == 0 => None,
                    _ => seen.insert(address, document.position(&steps)),
                };
                if let Some(first) = taken {
                    let what = format!("`{address}` is taken already, at {first}");
                    self.fail(&steps, Problem::new(what, "take another address"));
                }
            }
        }
    }

    fn admin(&mut self) {
        let document = self.document;
        let Some(Placed { value, steps }) = &document.admin else { return };
        for (further, problem) in value.problems() {
            self.fail(&[steps.as_slice(), &further].concat(), problem);
        }
    }

    fn unknown(&mut self, section: &'static str, kind: &str, name: &str, steps: &[Step]) {
        let known = self.document.names(section);
        if known.iter().any(|known| known == name) || !self.document.is_whole() {
            // It is there but broken, or in a file that is, and that was said already.
            return;
        }
        let remedy = match nearest(name, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if known.is_empty() => format!("define it under `{section}:`"),
            None => format!("define it under `{section}:`, or use one of: {}", known.join(", ")),
        };
        self.fail(steps, Problem::new(format!("there is no {kind} `{name}`"), remedy));
    }

    /// What a route counts; exchanges that no route takes count as one without a name.
    fn counting(&self, name: &str, route: Option<&route::Config>) -> route::Handles {
        let before = match name {
            "" => self.previous.map(|previous| &*previous.unrouted),
            name => self.before.get(name).map(|before| &*before.metrics),
        };
        self.retained.routes.of(name, &self.numbered(route), before)
    }

    /// The listeners that a route serves, by number.
    fn numbered(&self, route: Option<&route::Config>) -> Vec<(u16, &str)> {
        let only = route.and_then(|route| route.matches.listener.as_ref());
        let names = self.document.names("listeners").iter();
        names
            .filter(|name| only.is_none_or(|only| only.iter().any(|wanted| wanted == *name)))
            .map(|name| (self.retained.number(name), name.as_str()))
            .collect()
    }
}

/// The routes of a snapshot, by their names.
fn routes(snapshot: Option<&Snapshot>) -> HashMap<&str, &Route> {
    let routes = snapshot.into_iter().flat_map(|snapshot| &snapshot.routes);
    routes.map(|route| (&*route.name, &**route)).collect()
}

/// A route as the table takes it; `names` are the listeners' in the order of their numbers.
pub(super) fn spec(config: &route::Config, names: &[&str]) -> Result<Spec, Vec<route::Fault>> {
    let matcher = Matcher::compile(&config.matches, names)?;
    Ok(Spec { matcher, priority: config.priority, guarded: false })
}

pub(super) fn below(steps: &[Step], key: &str) -> Vec<Step> {
    let mut steps = steps.to_vec();
    steps.push(Step::Key(key.into()));
    steps
}

fn item(steps: &[Step], place: usize) -> Vec<Step> {
    let mut steps = steps.to_vec();
    steps.push(Step::Item(place));
    steps
}

/// The items of a list with their ways.
fn place<T: Clone>(items: &[T], steps: &[Step]) -> Vec<Placed<T>> {
    let placed =
        |(index, value): (usize, &T)| Placed { value: value.clone(), steps: item(steps, index) };
    items.iter().enumerate().map(placed).collect()
}

/// The route's own name, or `route-N` by its place, from 1.
pub(super) fn name_of(config: &route::Config, steps: &[Step]) -> String {
    let place = match steps.last() {
        Some(Step::Item(index)) => index + 1,
        _ => 0,
    };
    config.name.clone().unwrap_or_else(|| format!("route-{place}"))
}
