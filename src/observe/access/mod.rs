//! One line per exchange: what it says, how it is written and where it goes.

mod combined;
mod config;
mod json;
mod line;
mod output;
mod record;
mod syslog;
mod w3c;
mod writer;

pub use config::{Class, Config, Destination, Format};
pub use line::Line;
pub use record::{Client, Earlier, Record};
pub use syslog::Receiver;
pub use writer::{Kept, Outcome, Sender, Writer};
