//! Where connections come in: sockets, TLS, deadlines and caps, up to the first byte of HTTP.
//!
//! A listener is handed the app that serves its requests; it knows none itself.

mod accept;
mod address;
mod body;
mod config;
mod drain;
mod gate;
mod h1;
mod h2;
mod head;
mod idle;
mod manager;
mod messages;
mod metrics;
mod proxy_protocol;
mod refusal;
mod rehearse;
mod running;
mod socket;
mod stream;
mod sweep;
mod transport;
mod watchdog;
mod wire;

pub use address::Address;
pub use config::{Config, MinVersion, Protocol, Tls};
pub use drain::Drain;
pub use idle::Connections;
pub use manager::{Accepting, Manager, Opener};
pub use metrics::Metrics;
pub use proxy_protocol::ProxyProtocol;
pub use running::{Listener, Shared};
pub use socket::{Bound, Doorway};
