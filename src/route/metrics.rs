//! What is counted of routes.

use crate::exchange::Cause;
use crate::observe::{
    Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily, Registry,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The metric families of all routes.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: CounterFamily<3>,
    failures: CounterFamily<2>,
    duration: Option<HistogramFamily<1>>,
    received: CounterFamily<1>,
    sent: CounterFamily<1>,
    in_flight: GaugeFamily<1>,
    copies: CounterFamily<2>,
    differences: CounterFamily<2>,
}

impl Metrics {
    /// Declares the families; latency histograms only if they are wanted.
    pub fn new(registry: &Registry, with_latency: bool) -> Self {
        let duration = || {
            registry.histogram(
                "falconer_route_request_duration_seconds",
                "Time from the request's head to the end of its response.",
                &["route"],
            )
        };
        Self {
            requests: registry.counter(
                "falconer_route_requests_total",
                "Exchanges that ended, by the class of their status.",
                &["listener", "route", "class"],
            ),
            failures: registry.counter(
                "falconer_route_failures_total",
                "Exchanges that failed, by cause.",
                &["route", "cause"],
            ),
            duration: with_latency.then(duration),
            received: registry.counter(
                "falconer_route_received_bytes_total",
                "Bytes of request bodies.",
                &["route"],
            ),
            sent: registry.counter(
                "falconer_route_sent_bytes_total",
                "Bytes of response bodies.",
                &["route"],
            ),
            in_flight: registry.gauge(
                "falconer_route_requests_in_flight",
                "Exchanges that are open now.",
                &["route"],
            ),
            copies: registry.counter(
                "falconer_route_mirrored_requests_total",
                "Requests that were drawn to be mirrored, by what became of their copies.",
                &["route", "outcome"],
            ),
            differences: registry.counter(
                "falconer_route_mirror_differences_total",
                "Copies that were answered otherwise than their requests, by what differed.",
                &["route", "what"],
            ),
        }
    }

    /// What is counted of the copies of a route's requests.
    pub(super) fn copies(&self, route: &str) -> Copies {
        let of = |outcome| self.copies.handle(&[route, outcome]);
        Copies { sent: of("sent"), skipped: of("skipped"), failed: of("failed") }
    }

    /// What is counted of the answers to them.
    pub(super) fn differences(&self, route: &str) -> Differences {
        let of = |what| self.differences.handle(&[route, what]);
        Differences { status: of("status"), header: of("header") }
    }

    /// The handles of one route; `listeners` are those it serves, by their number. What it counts
    /// in the snapshot before goes on.
    pub fn of(&self, route: &str, listeners: &[(u16, &str)], before: Option<&Handles>) -> Handles {
        let class = |listener| CLASSES.map(|class| self.requests.handle(&[listener, route, class]));
        let most = listeners.iter().map(|(index, _)| usize::from(*index) + 1).max().unwrap_or(0);
        let mut requests: Vec<Option<[Counter; 5]>> = vec![None; most];
        for (index, name) in listeners {
            if let Some(place) = requests.get_mut(usize::from(*index)) {
                *place = Some(class(name));
            }
        }
        Handles {
            route: route.into(),
            requests,
            failures: self.failures.clone(),
            causes: before.map(|before| before.causes.clone()).unwrap_or_default(),
            duration: self.duration.as_ref().map(|family| family.handle(&[route])),
            received: self.received.handle(&[route]),
            sent: self.sent.handle(&[route]),
            in_flight: self.in_flight.handle(&[route]),
        }
    }
}

/// Copies of a route's requests, by what became of them.
#[derive(Debug)]
pub struct Copies {
    /// They were answered.
    pub sent: Counter,
    /// They were not sent: too many were on their way, there was no room, or the body was too long
    /// or too late.
    pub skipped: Counter,
    /// They got no answer.
    pub failed: Counter,
}

/// Copies that were answered otherwise than their requests, by what differed.
#[derive(Debug)]
pub struct Differences {
    /// The status.
    pub status: Counter,
    /// A header field.
    pub header: Counter,
}

/// The counters of one route.
#[derive(Debug)]
pub struct Handles {
    route: Box<str>,
    requests: Vec<Option<[Counter; 5]>>,
    failures: CounterFamily<2>,
    causes: Arc<Causes>,
    duration: Option<Histogram>,
    received: Counter,
    sent: Counter,
    in_flight: Gauge,
}

/// A counter for each cause, made when it first comes up: all of them for every route would be a
/// flood of zeros.
#[derive(Debug)]
struct Causes([OnceLock<Counter>; Cause::ALL.len()]);

impl Default for Causes {
    fn default() -> Self {
        Self([const { OnceLock::new() }; Cause::ALL.len()])
    }
}

/// An open exchange, counted until dropped.
#[must_use = "the exchange ends when this is dropped"]
#[derive(Debug)]
pub struct InFlight {
    handles: Arc<Handles>,
    listener: u16,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.handles.in_flight.dec();
    }
}

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// The status that was sent, or would have been.
    pub status: u16,
    /// Why it failed.
    pub cause: Option<Cause>,
    /// From its head to its end.
    pub duration: Duration,
    /// Bytes of the request body.
    pub received: u64,
    /// Bytes of the response body.
    pub sent: u64,
}

impl Handles {
    /// Counts an exchange that began, on the listener of a number.
    pub fn begin(self: &Arc<Self>, listener: u16) -> InFlight {
        self.in_flight.inc();
        InFlight { handles: self.clone(), listener }
    }

    fn fail(&self, cause: Cause) {
        let place = Cause::ALL.iter().position(|known| *known == cause);
        if let Some(counter) = place.and_then(|place| self.causes.0.get(place)) {
            let make = || self.failures.handle(&[&self.route, cause.name()]);
            counter.get_or_init(make).inc();
        }
    }
}

impl InFlight {
    /// Counts how the exchange ended.
    pub fn end(&self, ended: &Ended) {
        let handles = &self.handles;
        let class = usize::from(ended.status / 100).saturating_sub(1);
        let requests = handles.requests.get(usize::from(self.listener)).and_then(Option::as_ref);
        if let Some(counter) = requests.and_then(|classes| classes.get(class)) {
            counter.inc();
        }
        if let Some(duration) = &handles.duration {
            duration.observe(ended.duration);
        }
        handles.received.add(ended.received);
        handles.sent.add(ended.sent);
        if let Some(cause) = ended.cause {
            handles.fail(cause);
        }
    }
}
