//! What may be wrong with an attempt, in the words of a document.

use crate::exchange::Cause;
use crate::value::{Problem, word};
use http::StatusCode;
use std::str::FromStr;

/// One thing that may be wrong with an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
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
    Fault,
    "fault",
    "`connect_error`, `reset`, `timeout`, `invalid_response`, `5xx`, or a status from 400 to 599."
);

impl FromStr for Fault {
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

/// Several faults, compiled: asked by bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Faults {
    connect_error: bool,
    reset: bool,
    timeout: bool,
    invalid_response: bool,
    /// The statuses from 400, and those from 500.
    statuses: [u128; 2],
}

impl Faults {
    pub(super) fn new(faults: &[Fault]) -> Self {
        let mut all = Self::default();
        for fault in faults {
            match fault {
                Fault::ConnectError => all.connect_error = true,
                Fault::Reset => all.reset = true,
                Fault::Timeout => all.timeout = true,
                Fault::InvalidResponse => all.invalid_response = true,
                Fault::ServerError => {
                    (500..600).filter_map(bit).for_each(|(half, bit)| all.add(half, bit));
                }
                Fault::Status(status) => {
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

    fn faults(texts: &[&str]) -> Faults {
        let faults: Vec<Fault> = texts.iter().map(|text| text.parse().unwrap()).collect();
        Faults::new(&faults)
    }

    #[test]
    fn statuses_are_told_apart() {
        let some = faults(&["404", "429", "502", "599"]);
        let all = faults(&["5xx"]);
        for status in (200..600).filter_map(|status| StatusCode::from_u16(status).ok()) {
            let code = status.as_u16();
            let outcome = Outcome::Answered(status);
            assert_eq!(some.contain(outcome), [404, 429, 502, 599].contains(&code), "{code}");
            assert_eq!(all.contain(outcome), code >= 500, "{code}");
        }
    }

    #[test]
    fn every_cause_of_an_upstream_is_one_fault() {
        let words = ["connect_error", "reset", "timeout", "invalid_response"];
        for cause in Cause::ALL.iter().filter(|cause| cause.is_upstream()) {
            let outcome = Outcome::Failed(*cause);
            let those = words.iter().filter(|word| faults(&[word]).contain(outcome)).count();
            assert_eq!(those, 1, "{}", cause.name());
        }
        assert!(!faults(&words).contain(Outcome::Failed(Cause::ClientClosed)));
    }

    #[test]
    fn what_is_no_fault_is_told() {
        for text in ["200", "399", "600", "4xx", "error", ""] {
            let problem = text.parse::<Fault>().unwrap_err();
            assert!(problem.what.contains("nothing that an attempt fails by"), "{text}");
        }
    }
}
