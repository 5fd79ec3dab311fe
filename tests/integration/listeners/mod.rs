//! Listeners: where they bind, how they encrypt, what they speak and what they limit.

mod addresses;
mod exchanges;
mod limits;
mod protocols;
mod proxy_protocol;
mod tls;
