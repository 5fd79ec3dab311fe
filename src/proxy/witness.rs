//! Who sees what becomes of a request, without a part in it.

use crate::exchange::Cause;
use crate::route::table::{Captures, Request};
use crate::route::{Choice, Route};
use pingora::upstreams::peer::HttpPeer;

/// Sees the requests of a proxy.
pub trait Witness: Send + Sync {
    /// A request was accepted or refused; its filters have not run.
    fn accepted(&self, sight: &Sight<'_>);

    /// An endpoint is about to be connected to; of a split, one of the part that was chosen.
    fn connects(&self, choice: Option<Choice>, peer: &mut HttpPeer);

    /// The request failed, and was answered so.
    fn failed(&self, cause: Cause);
}

/// A request that was accepted or refused.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// What the table of routes was asked; `None` if the request could not be read.
    pub request: Option<Request<'a>>,
    /// The route that took it.
    pub route: Option<&'a Route>,
    /// What the route's path captured.
    pub captures: &'a Captures,
}
