//! Sockets for what a document says, before anything of it is started.

use super::activation::Activated;
use super::upgrade::Predecessor;
use crate::config::{Document, Step};
use crate::listener::{Address, Bound};
use crate::value::{Diagnostic, OneOrMany, Problem, user};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// A socket, and the address of the document that it was bound for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) listener: Arc<str>,
    pub(super) address: Address,
    pub(super) bound: Arc<Bound>,
    /// Whether it takes IPv4 beside IPv6.
    pub(super) with_ipv4: bool,
    /// Whether it is new to its listener.
    is_new: bool,
}

/// Sockets that may be taken instead of binding an address anew.
#[derive(Default)]
pub(super) struct Spare(Vec<Place>);

impl Spare {
    /// Those that are open already.
    pub(super) fn open<'a>(places: impl Iterator<Item = &'a Place>) -> Self {
        Self(places.map(|place| Place { is_new: false, ..place.clone() }).collect())
    }

    /// Those that another process gave.
    pub(super) fn given(predecessor: &Predecessor) -> Self {
        let place = |(listener, address, with_ipv4, bound): (&str, &str, bool, &Arc<Bound>)| {
            let address = address.parse().ok()?;
            let (listener, bound) = (listener.into(), bound.clone());
            Some(Place { listener, address, bound, with_ipv4, is_new: true })
        };
        Self(predecessor.sockets().filter_map(place).collect())
    }

    /// Those that systemd bound; they are nobody's yet.
    pub(super) fn activated(sockets: Vec<Activated>) -> Self {
        let place = |Activated { name, bound }: Activated| {
            let address = bound.address().ok()?;
            tracing::debug!(name, %address, "handed over by systemd");
            let bound = Arc::new(bound);
            Some(Place { listener: "".into(), address, bound, with_ipv4: false, is_new: true })
        };
        Self(sockets.into_iter().filter_map(place).collect())
    }

    /// Tells which of systemd's sockets nobody took.
    pub(super) fn tell_unused(self) {
        for Place { address, .. } in self.0.iter().filter(|place| place.is_nobodys()) {
            let remedy = "give a listener this address, or take it out of the socket's unit";
            tracing::warn!(%address, remedy, "a socket of systemd's is at no listener's address");
        }
    }

    /// One socket for each address of a listener.
    pub(super) fn bind(
        &mut self,
        document: &Document,
        name: &str,
        addresses: &OneOrMany<Address>,
        steps: &[Step],
    ) -> Result<Vec<Place>, Diagnostic> {
        let bind = |address: &Address| {
            let address = resolve(address, document, steps);
            let with_ipv4 = takes_ipv4(&address, addresses);
            if let Some(place) = self.take(name, &address, with_ipv4) {
                let is_new = place.is_new || *place.listener != *name;
                return Ok(Place { listener: name.into(), with_ipv4, is_new, ..place });
            }
            let bound = Bound::new(&address, with_ipv4).map_err(|error| {
                let steps = [steps, &[Step::Key("address".into())]].concat();
                document.error(&steps, problem(name, &address, &error, self.is_own(&address)))
            })?;
            let bound = Arc::new(bound);
            Ok(Place { listener: name.into(), address, bound, with_ipv4, is_new: true })
        };
        addresses.iter().map(bind).collect()
    }

    /// A socket of the same address. Of port 0, every listener has its own.
    fn take(&mut self, name: &str, address: &Address, with_ipv4: bool) -> Option<Place> {
        let is_any = matches!(address, Address::Tcp(address) if address.port() == 0);
        let fits = |place: &Place| {
            place.address == *address
                && (place.with_ipv4 == with_ipv4 || place.is_nobodys())
                && (!is_any || *place.listener == *name)
                && place.bound.is_reachable()
        };
        let found = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(found))
    }

    /// Whether the edge itself is in the way of an address: it listens at the same port.
    fn is_own(&self, address: &Address) -> bool {
        let Address::Tcp(wanted) = address else { return false };
        let has_port = |place: &Place| matches!(place.address, Address::Tcp(held) if held.port() == wanted.port());
        self.0.iter().any(|place| has_port(place) && !place.is_nobodys())
    }
}

impl Place {
    /// Whether it is no listener's. Its unit decides about IPv4.
    fn is_nobodys(&self) -> bool {
        self.listener.is_empty()
    }
}

/// Says where somebody listens, if that is news.
pub(super) fn tell(place: &Place) {
    if !place.is_new {
        return;
    }
    let address = place.bound.address().map(|a| a.to_string()).unwrap_or_default();
    tracing::info!(listener = &*place.listener, %address, "listening");
}

/// A relative path is seen from the document's folder.
fn resolve(address: &Address, document: &Document, steps: &[Step]) -> Address {
    match address {
        Address::Tcp(address) => Address::Tcp(*address),
        Address::Unix(path) => Address::Unix(document.folder(steps).join(path)),
    }
}

/// Whether `[::]` shall take IPv4 too: not if the listener names IPv4's own address as well.
fn takes_ipv4(address: &Address, all: &OneOrMany<Address>) -> bool {
    let Address::Tcp(address) = address else { return false };
    !all.iter().any(|other| {
        matches!(other, Address::Tcp(other)
            if other.port() == address.port() && matches!(other.ip(), IpAddr::V4(_)))
    })
}

fn problem(name: &str, address: &Address, error: &io::Error, is_own: bool) -> Problem {
    let of_folder = || format!("let the user `{}` write to its folder, or take another", user());
    let remedy = match error.kind() {
        io::ErrorKind::PermissionDenied if matches!(address, Address::Unix(_)) => &of_folder(),
        io::ErrorKind::AddrInUse if is_own => {
            "this edge listens at that port already: take the old address out by a reload of its \
            own first, or start the edge anew"
        }
        io::ErrorKind::AddrInUse => "stop the other process (`ss -ltnp` shows it), or take another",
        io::ErrorKind::PermissionDenied => {
            "take a port from 1024 on, or give the process CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "take an address of this machine (`ip addr`)",
        _ => "take another address",
    };
    Problem::new(format!("listener `{name}` cannot bind {address}: {error}"), remedy)
}
