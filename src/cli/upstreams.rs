//! `falconer upstreams`.

use super::report::{number, refused, tell};
use super::{edge, failed, run};
use crate::runtime::{EndpointStatus, State, UpstreamStatus};
use crate::value::Duration;
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use std::io::stdout;
use std::process::ExitCode;

/// Which edge, and what to do with an endpoint.
#[derive(clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    document: run::Args,
    /// Have an endpoint, or one of its addresses, get no further requests; those that it has are
    /// finished. With affinity, clients that belong to it are kept for a while.
    #[arg(long, num_args = 2, value_names = WHICH, conflicts_with = "resume")]
    drain: Option<Vec<String>>,
    /// For so long an endpoint that drains keeps the clients that belong to it. Default: 10m.
    #[arg(long, value_name = "TIME", requires = "drain")]
    within: Option<Duration>,
    /// Have an endpoint that drains get requests again.
    #[arg(long, num_args = 2, value_names = WHICH, conflicts_with = "weight")]
    resume: Option<Vec<String>>,
    /// Give an endpoint another weight, from 0 (no requests) to 65535, until the process ends;
    /// `document` gives it that of the document again.
    #[arg(long, num_args = 3, value_names = WEIGHT, conflicts_with = "drain")]
    weight: Option<Vec<String>>,
}

const WHICH: [&str; 2] = ["UPSTREAM", "ENDPOINT"];
const WEIGHT: [&str; 3] = ["UPSTREAM", "ENDPOINT", "WEIGHT"];

/// Says how the endpoints of a running edge fare, or has one of them drain or weigh otherwise.
pub(super) fn run(args: &Args) -> ExitCode {
    let file = match args.document.document() {
        Ok(file) => file,
        Err(diagnostic) => return refused(&diagnostic),
    };
    let acts = (args.drain.as_deref(), args.resume.as_deref(), args.weight.as_deref());
    let request = match acts {
        (Some([upstream, endpoint]), ..) => {
            let within = args.within.map_or_else(String::new, |time| format!("&within={time}"));
            post("drain", upstream, endpoint) + &within
        }
        (_, Some([upstream, endpoint]), _) => post("resume", upstream, endpoint),
        (.., Some([upstream, endpoint, weight])) => {
            format!("{}&weight={}", post("weight", upstream, endpoint), encoded(weight))
        }
        _ => "GET /api/upstreams".to_owned(),
    };
    match edge::ask::<Vec<UpstreamStatus>>(&file, &request) {
        Ok(upstreams) => {
            upstreams.iter().flat_map(lines).for_each(|line| tell(stdout(), line));
            ExitCode::SUCCESS
        }
        Err(what) => failed(&what),
    }
}

fn post(act: &str, upstream: &str, endpoint: &str) -> String {
    let (upstream, endpoint) = (encoded(upstream), encoded(endpoint));
    format!("POST /api/upstreams/{act}?upstream={upstream}&endpoint={endpoint}")
}

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

fn lines(status: &UpstreamStatus) -> Vec<String> {
    let mut lines = vec![format!("upstream {}", status.upstream)];
    lines.extend(status.endpoints.iter().map(line));
    if status.pending > 0 {
        lines.push(format!("  {} for room", waiting(status.pending)));
    }
    if status.endpoints.is_empty() {
        lines.push("  no endpoint has an address".to_owned());
    }
    lines
}

fn waiting(requests: usize) -> String {
    let verb = if requests == 1 { "waits" } else { "wait" };
    format!("{} {verb}", number(requests, "request"))
}

fn line(status: &EndpointStatus) -> String {
    let EndpointStatus { endpoint, address, weight, priority, .. } = status;
    let place = match endpoint.ends_with(address.as_str()) {
        true => String::new(),
        false => format!(" ({address})"),
    };
    let state = match &status.state {
        State::Serving => "serving".to_owned(),
        State::Fresh { share } => format!("serving, slowly at first: {share}% of its share"),
        State::Unchecked => "not checked yet".to_owned(),
        State::Unhealthy { why } => format!("unhealthy, {why}"),
        State::Ejected { why, tries_in } => {
            format!("taken out, {why}; one request tries in {tries_in}s")
        }
        State::Trying { why } => format!("taken out, {why}; the next request tries"),
        State::Draining { keeps_for: None | Some(0) } => "draining".to_owned(),
        State::Draining { keeps_for: Some(left) } => {
            format!("draining, keeps its clients for {left}s")
        }
    };
    let requests = number(usize::try_from(status.requests).unwrap_or(usize::MAX), "request");
    let open = match status.most {
        Some(most) => format!("{} of {most}", status.in_flight),
        None => status.in_flight.to_string(),
    };
    format!(
        "  {endpoint}{place}: {state}; {requests}, {open} in flight; weight {weight}, priority {priority}"
    )
}
