//! What one exchange carries from hook to hook.

use super::mirror::Mirrored;
use crate::exchange::{
    Arrival, Captured, Cause, Client, Connection, Exchange, Phase, RequestId, Target, Watch,
};
use crate::net::hop::Minded;
use crate::route::table::Captures;
use crate::route::{Choice, InFlight, Route};
use crate::upstream::affinity::Listener;
use crate::upstream::{Introduced, Outcome, Picked, Timeouts, Tried, Upstream};
use http::{HeaderValue, StatusCode, Version};
use pingora::http::RequestHeader;
use pingora::{Error, ErrorType};
use std::os::fd::RawFd;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// The context of one exchange.
pub struct Ctx {
    /// How the request reached us; `None` only outside a listener.
    pub(super) arrival: Option<Arc<Arrival>>,
    pub(super) time: SystemTime,
    pub(super) started: Instant,
    pub(super) id: RequestId,
    /// What became known when the request was accepted.
    pub(super) accepted: Option<Accepted>,
    /// The route that took it, and its count of open exchanges.
    pub(super) route: Option<Arc<Route>>,
    pub(super) captures: Captures,
    /// Which part of a split it goes to.
    pub(super) choice: Option<Choice>,
    pub(super) in_flight: Option<InFlight>,
    /// The copy of the request, if it is mirrored.
    pub(super) mirrored: Option<Box<Mirrored>>,
    /// Whether the request entered the route's filters, so that they see its response too.
    pub(super) entered: bool,
    /// Whether the request tells who the client is already, for those who look at it.
    pub(super) introduced: bool,
    pub(super) stripped_prefix: Option<Box<str>>,
    pub(super) tried: Tried,
    /// The last attempt.
    pub(super) attempt: Option<Attempt>,
    /// What came of it, if another one follows.
    pub(super) outcome: Option<Outcome>,
    pub(super) attempts: u32,
    /// What the document counts as attempts: those that had a connection, and those rounds in which
    /// no endpoint gave one.
    pub(super) counted: u32,
    /// How often it was sent again because the endpoint had not looked at it.
    pub(super) repeats: u32,
    /// Whether the request is to be sent again, though each endpoint was tried, and whether it is
    /// to wait for that.
    pub(super) is_again: bool,
    pub(super) waits: bool,
    /// The attempts before the last one.
    pub(super) earlier: Vec<Earlier>,
    /// Bytes of the request body that passed.
    pub(super) received: u64,
    /// What reads along with the body of the response.
    pub(super) listener: Option<Listener>,
    pub(super) cause: Option<Cause>,
    /// Whether the connection ends after this exchange, and must not cut the answer off.
    pub(super) is_last: bool,
}

/// What is known of an accepted request.
pub(super) struct Accepted {
    pub(super) client: Client,
    pub(super) target: Target,
    /// The host as the client sent it; `None` if it sent none, as HTTP/1.0 may, or an empty one.
    pub(super) host: Option<HeaderValue>,
    pub(super) is_upgrade: bool,
    /// The version it came by.
    pub(super) version: Version,
    /// What it has of the fields that matter.
    pub(super) minded: Minded,
}

impl Accepted {
    /// What the endpoint is told of the client.
    pub(super) fn introduced<'a>(&'a self, connection: &'a Connection) -> Introduced<'a> {
        Introduced {
            connection,
            client: &self.client,
            host: self.host.as_ref(),
            received: self.version,
            minded: self.minded,
        }
    }
}

/// An attempt that another one followed.
pub(super) struct Earlier {
    pub(super) endpoint: Arc<str>,
    pub(super) took: Duration,
    pub(super) outcome: Option<Outcome>,
}

/// One attempt at an endpoint.
pub(super) struct Attempt {
    pub(super) picked: Picked,
    /// The number of its connection.
    pub(super) descriptor: RawFd,
    /// When the response was complete.
    pub(super) ended: Option<Instant>,
    /// When it was given up for another attempt.
    pub(super) left: Option<Instant>,
}

impl Ctx {
    /// Whether the request asks what the edge itself can do.
    pub(super) fn is_asterisk(&self) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.target.is_asterisk())
    }

    /// Boxed: the engine moves it from future to future.
    pub(super) fn new() -> Box<Self> {
        let arrival = Arrival::current();
        if let Some(arrival) = &arrival {
            arrival.enter();
        }
        let time = SystemTime::now();
        Box::new(Self {
            arrival,
            time,
            started: Instant::now(),
            id: RequestId::new(time),
            accepted: None,
            route: None,
            captures: Captures::default(),
            choice: None,
            in_flight: None,
            mirrored: None,
            entered: false,
            introduced: false,
            stripped_prefix: None,
            tried: Tried::new(),
            attempt: None,
            outcome: None,
            attempts: 0,
            counted: 0,
            repeats: 0,
            is_again: false,
            waits: false,
            earlier: Vec::new(),
            received: 0,
            listener: None,
            cause: None,
            is_last: false,
        })
    }

    pub(super) fn connection(&self) -> Option<&Connection> {
        self.arrival.as_deref().map(|arrival| &*arrival.connection)
    }

    pub(super) fn watch(&self) -> Option<&Watch> {
        self.arrival.as_deref().map(|arrival| &arrival.watch)
    }

    /// The phase of the exchange's watch.
    pub(super) fn phase(&self) -> Phase {
        self.watch().map_or(Phase::Idle, Watch::phase)
    }

    pub(super) fn touch(&self) {
        if let Some(watch) = self.watch() {
            watch.touch();
        }
    }

    pub(super) fn is_upgrade(&self) -> bool {
        self.accepted.as_ref().is_some_and(|accepted| accepted.is_upgrade)
    }

    /// The upstream that the request goes to.
    pub(super) fn upstream(&self) -> Option<&Arc<Upstream>> {
        self.route.as_ref()?.target.upstream(self.choice)
    }

    /// How long the exchange may take, and for what.
    pub(super) fn timeouts(&self) -> Timeouts {
        let of_upstream = self.upstream().map(|upstream| upstream.timeouts()).unwrap_or_default();
        self.route.as_ref().map_or(of_upstream, |route| route.timeouts.over(of_upstream))
    }

    /// Tells the upstream what came of the attempt.
    pub(super) fn learn(&mut self, outcome: Outcome) {
        let upstream = self.route.as_ref().and_then(|route| route.target.upstream(self.choice));
        if let (Some(upstream), Some(attempt)) = (upstream, &mut self.attempt) {
            upstream.learn(&mut attempt.picked, outcome);
        }
    }

    /// Counts a failure that tells nothing of the endpoint.
    pub(super) fn excuse(&mut self, cause: Cause) {
        if let Some(attempt) = &mut self.attempt {
            attempt.picked.excuse(cause);
        }
    }

    /// The attempt is over, and another one is to go elsewhere if it can.
    pub(super) fn leave(&mut self) {
        if let Some(attempt) = &mut self.attempt {
            attempt.picked.answered();
            attempt.left = Some(Instant::now());
            self.tried.insert(attempt.picked.index);
        }
    }

    /// Begins an attempt; the one before is remembered with what came of it.
    pub(super) fn begin(&mut self, attempt: Attempt) {
        if let Some(last) = self.attempt.replace(attempt) {
            self.earlier.push(Earlier {
                endpoint: last.picked.endpoint().label().clone(),
                took: last.left.unwrap_or_else(Instant::now) - last.picked.started,
                outcome: self.outcome,
            });
        }
        self.attempts += 1;
    }

    /// Ends the exchange for a cause; the error carries its status to the engine.
    pub(super) fn fail(&mut self, cause: Cause) -> Box<Error> {
        self.cause = Some(cause);
        Error::explain(ErrorType::HTTPStatus(cause.status().as_u16()), cause.name())
    }

    /// Lends the exchange to filters and templates; `None` before it has a route.
    pub(super) fn lend<T>(
        &mut self,
        request: &mut RequestHeader,
        status: Option<StatusCode>,
        to: impl FnOnce(&Route, &mut Exchange<'_>) -> T,
    ) -> Option<T> {
        self.lend_unrouted(request, status, |route, exchange| Some(to(route?, exchange))).flatten()
    }

    /// The same with or without a route; `None` before the request was accepted.
    pub(super) fn lend_unrouted<T>(
        &mut self,
        request: &mut RequestHeader,
        status: Option<StatusCode>,
        to: impl FnOnce(Option<&Route>, &mut Exchange<'_>) -> T,
    ) -> Option<T> {
        let (arrival, accepted) = (self.arrival.as_deref()?, self.accepted.as_ref()?);
        let route = self.route.as_deref();
        let captured = OfRoute { route, captures: &self.captures, path: accepted.target.path() };
        let mut exchange = Exchange {
            connection: &arrival.connection,
            client: &accepted.client,
            id: &mut self.id,
            target: &accepted.target,
            route: route.map_or("", |route| &route.name),
            captures: &captured,
            request,
            stripped_prefix: &mut self.stripped_prefix,
            status,
        };
        Some(to(route, &mut exchange))
    }
}

/// What the route captured, by name.
struct OfRoute<'a> {
    route: Option<&'a Route>,
    captures: &'a Captures,
    path: &'a str,
}

impl Captured for OfRoute<'_> {
    fn value(&self, name: &str) -> &str {
        let place = self.route.and_then(|r| r.captures.iter().position(|known| known == name));
        place.map_or("", |place| self.captures.value(place, self.path))
    }
}
