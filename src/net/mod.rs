//! Small truths about addresses and headers.

pub mod cidr;
pub mod forwarded;
pub mod hop;
pub mod proxy_protocol;
pub mod uri;
pub mod via;

pub use cidr::{Cidr, CidrSet};
pub use via::Via;
