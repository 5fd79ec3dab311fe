//! Finds the certificate for a name and keeps it valid.

mod certificate;
mod config;
mod resolver;
mod roots;
mod self_signed;
mod server;
mod tickets;

pub use certificate::{Certificate, Fault};
pub use config::{Config, Source};
pub use resolver::Resolver;
pub use roots::{Authorities, check_roots};
pub use self_signed::Unkept;
pub use server::{Serving, Version};
pub use tickets::{TicketKey, Tickets};
