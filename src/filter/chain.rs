//! The ordered filters of a route.

use super::Filter;
use crate::exchange::Exchange;
use pingora::http::ResponseHeader;
use std::sync::Arc;

/// Filters in the order of the document: those for every route, then the route's own.
#[derive(Clone, Debug, Default)]
pub struct Chain {
    filters: Vec<Arc<Filter>>,
}

impl Chain {
    /// A chain of filters.
    pub fn new(filters: Vec<Arc<Filter>>) -> Self {
        Self { filters }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Runs the request side, first to last.
    pub fn request(&self, exchange: &mut Exchange<'_>) {
        for filter in &self.filters {
            filter.request(exchange);
        }
    }

    /// Runs the response side, last to first.
    pub fn response(&self, exchange: &Exchange<'_>, response: &mut ResponseHeader) {
        for filter in self.filters.iter().rev() {
            filter.response(exchange, response);
        }
    }
}
