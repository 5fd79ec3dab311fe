//! Why an exchange failed: the one table of failures.

use http::StatusCode;

/// The cause of a failure, in log lines and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The request breaks the rules of HTTP.
    BadRequest,
    /// The request head is larger, or has more fields, than the listener allows.
    HeaderTooLarge,
    /// The request target is longer than allowed.
    UriTooLong,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The head did not come in time.
    RequestTimeout,
    /// The body did not come in time, or too slowly.
    RequestBodyTimeout,
    /// CONNECT or TRACE, which no edge serves.
    MethodNotAllowed,
    /// A version of HTTP that we do not speak.
    VersionNotSupported,
    /// A transfer coding that we do not speak.
    CodingNotSupported,
    /// No route matches.
    NoRoute,
    /// The request passed this process before: it goes round.
    LoopDetected,
    /// Every route of the listener names hosts, and none names this one.
    UnknownHost,
    /// The upstream has no endpoint to try.
    NoEndpoint,
    /// The upstream has as many requests as it may, and this one waited too long or could not.
    UpstreamOverloaded,
    /// The endpoint that the client belongs to does not serve.
    UpstreamAffinityLost,
    /// The endpoint refused the connection.
    UpstreamConnectRefused,
    /// The connection failed in another way.
    UpstreamConnectFailed,
    /// The connection took too long.
    UpstreamTimeoutConnect,
    /// The TLS handshake failed, or a certificate did not verify: the endpoint's or ours.
    UpstreamTlsFailed,
    /// The endpoint took too long to accept the request.
    UpstreamTimeoutRequest,
    /// The endpoint took too long to respond.
    UpstreamTimeoutResponse,
    /// The endpoint and the client were both silent for too long.
    UpstreamTimeoutIdle,
    /// An upgraded connection was silent for too long.
    TunnelTimeout,
    /// The endpoint closed or reset before its response was complete.
    UpstreamReset,
    /// The response breaks the rules of HTTP.
    UpstreamInvalidResponse,
    /// The client left before its response was complete.
    ClientClosed,
    /// The client took its response too slowly, or not at all.
    ClientTooSlow,
    /// Its route, its endpoint or its listener is gone, and its time was over.
    DrainOver,
    /// Our own fault.
    Internal,
}

impl Cause {
    /// Every cause, for metrics and tests.
    pub const ALL: [Self; 29] = [
        Self::BadRequest,
        Self::HeaderTooLarge,
        Self::UriTooLong,
        Self::BodyTooLarge,
        Self::RequestTimeout,
        Self::RequestBodyTimeout,
        Self::MethodNotAllowed,
        Self::VersionNotSupported,
        Self::CodingNotSupported,
        Self::NoRoute,
        Self::LoopDetected,
        Self::UnknownHost,
        Self::NoEndpoint,
        Self::UpstreamOverloaded,
        Self::UpstreamAffinityLost,
        Self::UpstreamConnectRefused,
        Self::UpstreamConnectFailed,
        Self::UpstreamTimeoutConnect,
        Self::UpstreamTlsFailed,
        Self::UpstreamTimeoutRequest,
        Self::UpstreamTimeoutResponse,
        Self::UpstreamTimeoutIdle,
        Self::TunnelTimeout,
        Self::UpstreamReset,
        Self::UpstreamInvalidResponse,
        Self::ClientClosed,
        Self::ClientTooSlow,
        Self::DrainOver,
        Self::Internal,
    ];

    /// The status that the client gets, or would have got.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.row().1).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The word in logs and metrics.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// What the client is told; nothing of our inside.
    pub fn sentence(self) -> &'static str {
        self.row().2
    }

    /// Whether an attempt at an endpoint ended by it.
    pub fn is_upstream(self) -> bool {
        let is_asked = !matches!(
            self,
            Self::NoEndpoint | Self::UpstreamOverloaded | Self::UpstreamAffinityLost
        );
        self.name().starts_with("upstream_") && is_asked
    }

    #[rustfmt::skip]
    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::BadRequest => ("bad_request", 400, "The request is malformed."),
            Self::HeaderTooLarge => ("header_too_large", 431, "The request's header fields are too large."),
            Self::UriTooLong => ("uri_too_long", 414, "The requested address is too long."),
            Self::BodyTooLarge => ("body_too_large", 413, "The request's body is too large."),
            Self::RequestTimeout => ("request_timeout", 408, "The request took too long to arrive."),
            Self::RequestBodyTimeout => ("request_body_timeout", 408, "The request's body took too long to arrive."),
            Self::MethodNotAllowed => ("method_not_allowed", 405, "This method is not allowed here."),
            Self::VersionNotSupported => ("version_not_supported", 505, "This version of HTTP is not supported."),
            Self::CodingNotSupported => ("coding_not_supported", 501, "This transfer coding is not supported."),
            Self::NoRoute => ("no_route", 404, "There is nothing at this address."),
            Self::LoopDetected => ("loop_detected", 508, "The request goes round in a loop."),
            Self::UnknownHost => ("unknown_host", 421, "This host is not served here."),
            Self::NoEndpoint => ("upstream_no_endpoint", 503, "The service is not available at the moment."),
            Self::UpstreamOverloaded => ("upstream_overloaded", 503, "The service has too much to do at the moment."),
            Self::UpstreamAffinityLost => ("upstream_affinity_lost", 503, "The service is not available at the moment."),
            Self::UpstreamConnectRefused => ("upstream_connect_refused", 502, "The service could not be reached."),
            Self::UpstreamConnectFailed => ("upstream_connect_failed", 502, "The service could not be reached."),
            Self::UpstreamTimeoutConnect => ("upstream_timeout_connect", 504, "The service could not be reached in time."),
            Self::UpstreamTlsFailed => ("upstream_tls_failed", 502, "The service could not be reached securely."),
            Self::UpstreamTimeoutRequest => ("upstream_timeout_request", 504, "The service did not take the request in time."),
            Self::UpstreamTimeoutResponse => ("upstream_timeout_response", 504, "The service did not answer in time."),
            Self::UpstreamTimeoutIdle => ("upstream_timeout_idle", 504, "The service stopped answering."),
            Self::TunnelTimeout => ("tunnel_timeout", 504, "The connection was silent for too long."),
            Self::UpstreamReset => ("upstream_reset", 502, "The service broke off its answer."),
            Self::UpstreamInvalidResponse => ("upstream_invalid_response", 502, "The service gave an invalid answer."),
            Self::ClientClosed => ("client_closed", 499, "The client left."),
            Self::ClientTooSlow => ("client_too_slow", 408, "The response was taken too slowly."),
            Self::DrainOver => ("drain_over", 503, "The service has changed; ask again."),
            Self::Internal => ("internal", 500, "Something went wrong here."),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_cause_has_a_name_of_its_own() {
        let names: HashSet<_> = Cause::ALL.iter().map(|c| c.name()).collect();
        assert_eq!(names.len(), Cause::ALL.len());
    }

    #[test]
    fn every_status_is_a_failure() {
        assert!(Cause::ALL.iter().all(|c| c.status().as_u16() >= 400));
    }
}
