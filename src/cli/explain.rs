//! `falconer explain`.

use super::{exit, report, run};
use crate::config;
use crate::observe::Registry;
use crate::runtime::explain::{Considered, Explanation, Reply, Request, Split, Taken, Upstream};
use crate::runtime::{Retained, compile};
use crate::server;
use crate::server::explain::{Asked, Unexplained};
use crate::value::{Diagnostic, Problem};
use std::fmt::{self, Display, Formatter};
use std::io::stdout;
use std::net::IpAddr;
use std::process::ExitCode;

/// Routes that are shown of those that lost by a path or a later matcher.
const SHOWN: usize = 20;
/// Of a reply's body.
const BODY_LINES: usize = 8;

/// Which request.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The method, such as GET.
    method: String,
    /// The whole URL, such as `https://shop.example.com/cart?id=1`.
    url: String,
    /// A header field, `name: value`; `Host` wins over the URL's.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    headers: Vec<String>,
    /// The listener. Default: the one that fits the URL's scheme and port, else the first.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// The address that the request comes from. Default: 127.0.0.1.
    #[arg(long, value_name = "IP")]
    client: Option<IpAddr>,
    /// Ask by HTTP/2 instead of HTTP/1.1.
    #[arg(long)]
    http2: bool,
    /// Show every route that lost, however many there are.
    #[arg(long)]
    all: bool,
    /// Print JSON, with all routes.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    document: run::Args,
}

impl Args {
    fn asked(&self) -> Result<Asked, Problem> {
        let mut asked = Asked::new(&self.method, &self.url, &self.headers)?;
        asked.listener.clone_from(&self.listener);
        asked.client = self.client;
        asked.http2 = self.http2;
        Ok(asked)
    }
}

/// Says what becomes of a request; binds, connects and writes nothing.
pub(super) fn explain(args: &Args) -> ExitCode {
    let usage = |problem| report::refused(&Diagnostic::unplaced(problem));
    let asked = match args.asked() {
        Ok(asked) => asked,
        Err(problem) => return usage(problem),
    };
    let file = match args.document.document() {
        Ok(file) => file,
        Err(diagnostic) => return report::refused(&diagnostic),
    };
    let read = config::read(&file);
    let document = &read.document;
    let retained = Retained::new(Registry::new(), document.metrics.latency);
    let (compiled, further) = compile(document, None, &retained, None);
    let has_errors = report::report(&read.diagnostics(further));
    let Some(compiled) = compiled.filter(|_| !has_errors) else {
        return ExitCode::from(exit::PROBLEMS);
    };
    let explanation = match server::explain::explain(document, compiled, &retained, &asked) {
        Ok(explanation) => explanation,
        Err(Unexplained::Usage(problem)) => return usage(problem),
        Err(Unexplained::Failed(diagnostic)) => return super::failed(&diagnostic.to_string()),
    };
    if args.json {
        report::tell(stdout(), format_args!("{:#}", serde_json::json!(explanation)));
    } else {
        report::tell(stdout(), Page { explanation: &explanation, all: args.all });
    }
    ExitCode::SUCCESS
}

/// An explanation to read.
struct Page<'a> {
    explanation: &'a Explanation,
    all: bool,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Explanation { request, route, considered, filters, .. } = self.explanation;
        let Explanation { split, upstream, mirror, sent, reply, .. } = self.explanation;
        write_request(f, request)?;
        match route {
            Some(route) => write_taken(f, route)?,
            None if request.host.is_none() => f.write_str("\nno route is asked")?,
            None => f.write_str("\nno route takes it")?,
        }
        self.write_considered(f, considered)?;
        if !filters.is_empty() {
            f.write_str("\n\nfilters, in their order")?;
            filters.iter().try_for_each(|filter| write!(f, "\n  {filter}"))?;
        }
        split.iter().try_for_each(|split| write_split(f, split))?;
        upstream.iter().try_for_each(|upstream| write_upstream(f, upstream))?;
        mirror.iter().try_for_each(|mirror| write!(f, "\n\nmirror: {mirror}"))?;
        if let (Some(upstream), Some(lines)) = (upstream, sent) {
            write!(f, "\n\nthe endpoint gets{}", depends(upstream, lines))?;
            lines.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
        }
        reply.iter().try_for_each(|reply| write_reply(f, reply))
    }
}

fn write_request(f: &mut Formatter<'_>, request: &Request) -> fmt::Result {
    let Request { method, target, protocol, listener, .. } = request;
    let tls = if request.tls { " over TLS" } else { "" };
    write!(f, "{method} {target}\n  {protocol}{tls} at the listener `{listener}`")?;
    match (request.peer, request.client) {
        (None, _) => f.write_str(", from a unix socket")?,
        (Some(peer), Some(client)) if client != peer => {
            write!(f, ", from {client} as the trusted proxy {peer} tells")?;
        }
        (Some(peer), _) => write!(f, ", from {peer}")?,
    }
    if let (Some(host), Some(path)) = (&request.host, &request.path) {
        let host = if host.is_empty() { "none" } else { host };
        write!(f, "\n  routes see the host {host} and the path {path}")?;
    }
    f.write_str("\n")
}

fn write_taken(f: &mut Formatter<'_>, route: &Taken) -> fmt::Result {
    write!(f, "\nroute `{}` takes it ({})", route.name, route.place)?;
    route.matchers.iter().try_for_each(|matcher| write!(f, "\n  {matcher}"))?;
    if route.matchers.is_empty() {
        f.write_str("\n  it takes every request")?;
    }
    let captures = route.captures.iter().filter(|(_, value)| !value.is_empty());
    for (name, value) in captures {
        write!(f, "\n  {{path.{name}}} is {value}")?;
    }
    Ok(())
}

impl Page<'_> {
    fn write_considered(&self, f: &mut Formatter<'_>, considered: &[Considered]) -> fmt::Result {
        let is_far = |lost: &&Considered| matches!(lost.lost_by, "host" | "listener");
        let shown: Vec<_> = match self.all {
            true => considered.iter().collect(),
            false => considered.iter().filter(|lost| !is_far(lost)).take(SHOWN).collect(),
        };
        if !shown.is_empty() {
            f.write_str("\n\nother routes, and by what they lost")?;
        }
        let width = |of: fn(&Considered) -> &str| {
            shown.iter().map(|lost| of(lost).chars().count()).max().unwrap_or(0)
        };
        let (names, words) = (width(|lost| &lost.route), width(|lost| lost.lost_by));
        for Considered { route, lost_by, why, .. } in &shown {
            write!(f, "\n  {route:names$}  {lost_by:words$}  {why}")?;
        }
        let far = considered.iter().filter(is_far).count();
        let near = considered.len() - far;
        let hidden = [
            (near.saturating_sub(shown.len()), "by another path or a later matcher"),
            (far, "by another host or listener"),
        ];
        for (count, what) in hidden.iter().filter(|(count, _)| *count > 0 && !self.all) {
            let routes = report::number(*count, "route");
            write!(f, "\n\n{routes} lost {what}; `--all` shows them")?;
        }
        Ok(())
    }
}

fn write_split(f: &mut Formatter<'_>, split: &Split) -> fmt::Result {
    f.write_str("\n\nsplit ")?;
    match (&split.sticky, split.by_key) {
        (Some(key), true) => write!(f, "by {key}, which this request has")?,
        (Some(key), false) => write!(f, "by chance: this request has no {key}")?,
        (None, _) => f.write_str("by chance")?,
    }
    split.parts.iter().try_for_each(|part| write!(f, "\n  {}%  {}", part.percent, part.upstream))
}

fn write_upstream(f: &mut Formatter<'_>, upstream: &Upstream) -> fmt::Result {
    write!(f, "\n\nupstream `{}`; one of its endpoints is picked at run time", upstream.name)?;
    upstream.endpoints.iter().try_for_each(|endpoint| write!(f, "\n  {endpoint}"))?;
    for (name, value) in &upstream.options {
        write!(f, "\n  {name}: {value}")?;
    }
    f.write_str("\n  timeouts: ")?;
    for (place, (name, timeout)) in upstream.timeouts.iter().enumerate() {
        let comma = if place == 0 { "" } else { ", " };
        let of_route = if timeout.of_route { " (the route's)" } else { "" };
        write!(f, "{comma}{name} {}{of_route}", timeout.time)?;
    }
    Ok(())
}

/// On what of the run time a head depends.
fn depends(upstream: &Upstream, head: &[String]) -> &'static str {
    let is = |key: &str, value: &str| upstream.options.get(key).is_some_and(|is| is == value);
    let is_h2 = head.first().is_some_and(|line| line.starts_with(':'));
    match (is("host", "endpoint") && upstream.endpoints.len() > 1, is("protocol", "auto") && is_h2)
    {
        (true, true) => ", if it agrees on HTTP/2, with its own name as `:authority`",
        (true, false) => ", with its own name as `Host` if another one is picked",
        (false, true) => ", if it agrees on HTTP/2",
        (false, false) => "",
    }
}

fn write_reply(f: &mut Formatter<'_>, reply: &Reply) -> fmt::Result {
    write!(f, "\n\nthe client gets {}", reply.status)?;
    if let Some(cause) = reply.cause {
        write!(f, ", and the log the cause `{cause}`")?;
    }
    reply.fields.iter().try_for_each(|field| write!(f, "\n  {field}"))?;
    let mut lines = reply.body.lines();
    if !reply.body.is_empty() {
        f.write_str("\n")?;
    }
    lines.by_ref().take(BODY_LINES).try_for_each(|line| write!(f, "\n  {line}"))?;
    if lines.next().is_some() {
        f.write_str("\n  ...")?;
    }
    Ok(())
}
