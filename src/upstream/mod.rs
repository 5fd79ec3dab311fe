//! Chooses an endpoint worth trying and remembers how it went.

pub mod affinity;
mod balance;
mod breaker;
mod clock;
mod config;
mod connect;
mod discover;
mod endpoint;
pub mod health;
mod latency;
mod limits;
mod mentioned;
mod metrics;
mod outcome;
mod outlier;
mod peer;
mod picked;
mod proxy_protocol;
mod request;
mod retry;
mod set;
mod standing;
mod status;
mod tls;
mod tunnel;
mod url;

pub use balance::Tried;
pub use breaker::Circuit;
pub use config::{Balance, Config, Host, Member, Panic, Protocol, TimeoutOverrides, Timeouts, Tls};
pub use discover::{
    Answer, Asked, Config as Discover, Discovery, Dns, Failure, Lookup, Name, ReadList, Resolver,
    Service,
};
pub use endpoint::{Address, Endpoint, InFlight, States};
pub use limits::{Config as Limits, Place};
pub use metrics::Metrics;
pub use outcome::{FailureKind, Outcome};
pub use peer::Follows;
pub use picked::Picked;
pub use request::{Introduced, Outgoing, introduce, prepare};
pub use set::{Lack, Terms, Upstream};
pub use standing::{Health, Standing};
pub use status::{Act, EndpointStatus, State, UpstreamStatus};
pub use tls::{Security, Sni};
pub use url::Url;
