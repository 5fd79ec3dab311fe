//! Sockets for what a document says, before anything of it is started.

use crate::config::{Document, Step};
use crate::listener::{Address, Bound};
use crate::value::{Diagnostic, OneOrMany, Problem};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// A socket, and the address of the document that it was bound for.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) listener: Arc<str>,
    pub(super) address: Address,
    pub(super) bound: Arc<Bound>,
    /// Whether it is new to its listener.
    is_new: bool,
}

/// Sockets that may be taken instead of binding an address anew.
pub(super) struct Spare(pub(super) Vec<Place>);

impl Spare {
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
            if let Some(place) = self.take(name, &address) {
                let is_new = *place.listener != *name;
                return Ok(Place { listener: name.into(), is_new, ..place });
            }
            let bound = Bound::new(&address, takes_ipv4(&address, addresses)).map_err(|error| {
                let steps = [steps, &[Step::Key("address".into())]].concat();
                document.error(&steps, problem(name, &address, &error))
            })?;
            Ok(Place { listener: name.into(), address, bound: Arc::new(bound), is_new: true })
        };
        addresses.iter().map(bind).collect()
    }

    /// A socket of the same address. Of port 0, every listener has its own.
    fn take(&mut self, name: &str, address: &Address) -> Option<Place> {
        let is_any = matches!(address, Address::Tcp(address) if address.port() == 0);
        let fits =
            |place: &Place| place.address == *address && (!is_any || *place.listener == *name);
        let found = self.0.iter().position(fits)?;
        Some(self.0.swap_remove(found))
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

fn problem(name: &str, address: &Address, error: &io::Error) -> Problem {
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "stop the other process (`ss -ltnp` shows it), or take another",
        io::ErrorKind::PermissionDenied => {
            "take a port from 1024 on, or give the process CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => "take an address of this machine (`ip addr`)",
        _ => "take another address",
    };
    Problem::new(format!("listener `{name}` cannot bind {address}: {error}"), remedy)
}
