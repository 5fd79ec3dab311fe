//! A port that is known before anybody listens on it.

use socket2::{Domain, Socket, Type};
use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

/// A port of every address. It is bound and not listening, so that nobody else is given it, and
/// whoever allows the address to be used again, as the edge does, can listen on it.
pub struct Port {
    number: u16,
    _held: Socket,
}

impl Port {
    /// A port that is free now.
    pub fn free() -> Self {
        let socket = Socket::new(Domain::IPV6, Type::STREAM, None).expect("a socket");
        socket.set_only_v6(false).expect("both kinds of addresses");
        socket.set_reuse_address(true).expect("an address to use again");
        socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)).into()).expect("a port");
        let address = socket.local_addr().expect("an address").as_socket();
        Self { number: address.expect("TCP").port(), _held: socket }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
