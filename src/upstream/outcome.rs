//! What came of an attempt, and what may be wrong with one in the words of a document.

use crate::exchange::Cause;
use crate::value::{Problem, word};
use http::StatusCode;
use std::str::FromStr;

/// One thing that may be wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// No connection could be made, or its TLS handshake failed.
    ConnectError,
    /// The endpoint closed or reset before its response was complete.
    Reset,
    /// The endpoint was silent for too long.
    Timeout,
    /// The response breaks the rules of HTTP.
    InvalidResponse,
    /// Any status from 500 to 599.
    ServerError,
    /// This status.
    Status(StatusCode),
}

word!(
    FailureKind,
    "failure-kind",
    "`connect_error`, `reset`, `timeout`, `invalid_response`, `5xx`, or a status from 400 to 599."
);

impl FromStr for FailureKind {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        Ok(match text {
            "connect_error" => Self::ConnectError,
            "reset" => Self::Reset,
            "timeout" => Self::Timeout,
            "invalid_response" => Self::InvalidResponse,
            "5xx" => Self::ServerError,
            _ => {
                let status: Option<StatusCode> = text.parse().ok();
                let status = status.filter(|s| s.is_client_error() || s.is_server_error());
                Self::Status(status.ok_or_else(|| {
                    Problem::new(
                        format!("`{text}` is nothing that an attempt fails by"),
                        "write `connect_error`, `reset`, `timeout`, `invalid_response`, `5xx`, or a \
                         status from 400 to 599",
                    )
                })?)
            }
        })
    }
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The head of a final response.
    Answered(StatusCode),
    /// A failure.
    Failed(Cause),
}

/// Several kinds, compiled: asked by bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FailureKinds {
    connect_error: bool,
    reset: bool,
    timeout: bool,
    invalid_response: bool,
    /// The statuses from 400, and those from 500.
    statuses: [u128; 2],
}

impl FailureKinds {
    pub(super) fn new(kinds: &[FailureKind]) -> Self {
        let mut all = Self::default();
        for kind in kinds {
            match kind {
                FailureKind::ConnectError => all.connect_error = true,
                FailureKind::Reset => all.reset = true,
                FailureKind::Timeout => all.timeout = true,
                FailureKind::InvalidResponse => all.invalid_response = true,
                FailureKind::ServerError => {
                    (500..600).filter_map(bit).for_each(|(half, bit)| all.add(half, bit));
                }
                FailureKind::Status(status) => {
                    bit(status.as_u16()).into_iter().for_each(|(half, bit)| all.add(half, bit));
                }
            }
        }
        all
    }

    fn add(&mut self, half: usize, bit: u128) {
        if let Some(statuses) = self.statuses.get_mut(half) {
            *statuses |= bit;
        }
    }

    /// Whether what came of an attempt is one of them.
    pub(super) fn contain(&self, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Answered(status) => bit(status.as_u16()).is_some_and(|(half, bit)| {
                self.statuses.get(half).is_some_and(|statuses| statuses & bit != 0)
            }),
            Outcome::Failed(cause) => match cause {
                Cause::UpstreamConnectRefused
                | Cause::UpstreamConnectFailed
                | Cause::UpstreamTimeoutConnect
                | Cause::UpstreamTlsFailed => self.connect_error,
                Cause::UpstreamReset => self.reset,
                Cause::UpstreamTimeoutRequest
                | Cause::UpstreamTimeoutResponse
                | Cause::UpstreamTimeoutIdle => self.timeout,
                Cause::UpstreamInvalidResponse => self.invalid_response,
                _ => false,
            },
        }
    }
}

/// Where a status is noted.
fn bit(status: u16) -> Option<(usize, u128)> {
    let of = status.checked_sub(400)?;
    let half = usize::from(of / 100);
    (half < 2).then(|| (half, 1 << (of % 100)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(texts: &[&str]) -> FailureKinds {
        let kinds: Vec<FailureKind> = texts.iter().map(|text| text.parse().unwrap()).collect();
        FailureKinds::new(&kinds)
    }

    #[test]
    fn statuses_are_told_apart() {
        let some = kinds(&["404", "429", "502", "599"]);
        let all = kinds(&["5xx"]);
        for status in (200..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let code = status.as_u16();
            let outcome = Outcome::Answered(status);
            assert_eq!(some.contain(outcome), [404, 429, 502, 599].contains(&code), "{code}");
            assert_eq!(all.contain(outcome), code >= 500, "{code}");
        }
    }

    #[test]
    fn every_cause_of_an_upstream_is_one_kind() {
        let words = ["connect_error", "reset", "timeout", "invalid_response"];
        for cause in Cause::ALL.iter().filter(|cause| cause.is_upstream()) {
            let outcome = Outcome::Failed(*cause);
            let those = words.iter().filter(|word| kinds(&[word]).contain(outcome)).count();
            assert_eq!(those, 1, "{}", cause.name());
        }
        assert!(!kinds(&words).contain(Outcome::Failed(Cause::ClientClosed)));
    }

    #[test]
    fn what_is_no_kind_is_told() {
        for text in ["200", "399", "600", "4xx", "error", ""] {
            let problem = text.parse::<FailureKind>().unwrap_err();
            assert!(problem.what.contains("nothing that an attempt fails by"), "{text}");
        }
    }
}
