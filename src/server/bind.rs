//! Everything that can fail for a reason outside the document, before anything is started.

use crate::config::{Document, Step};
use crate::listener::{Address, Bound};
use crate::observe::Registry;
use crate::observe::access::{self, Writer};
use crate::runtime::Entry;
use crate::value::{Diagnostic, OneOrMany, Problem};
use indexmap::IndexMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;

/// All sockets of a document, bound and listening.
pub(super) struct Bindings<'a> {
    listeners: Vec<(Vec<Bound>, &'a Entry)>,
    admin: Vec<Bound>,
    files: Files,
}

/// What [`Bindings`] come to.
pub(super) struct Ready<'a> {
    pub(super) sockets: Vec<(Vec<Bound>, &'a Entry)>,
    pub(super) admin: Vec<Bound>,
    pub(super) files: Files,
}

/// The files of unix sockets, removed when dropped: by a start that failed, or at the end.
#[derive(Default)]
pub(super) struct Files(Vec<PathBuf>);

impl Drop for Files {
    fn drop(&mut self) {
        for path in &self.0 {
            // Whoever removed it already did our work.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl<'a> Bindings<'a> {
    /// Binds every address, or none.
    pub(super) fn bind(
        document: &Document,
        listeners: &'a IndexMap<String, Entry>,
    ) -> Result<Self, Diagnostic> {
        let mut all = Self { listeners: Vec::new(), admin: Vec::new(), files: Files::default() };
        for (name, entry) in listeners {
            let bound = all.addresses(document, name, &entry.config.address, &entry.steps)?;
            all.listeners.push((bound, entry));
        }
        if let Some(admin) = &document.admin {
            all.admin =
                all.addresses(document, super::ADMIN, &admin.value.address, &admin.steps)?;
        }
        Ok(all)
    }

    /// Hands the sockets over; from here on they are used.
    pub(super) fn ready(self) -> Ready<'a> {
        for (bound, entry) in &self.listeners {
            tell(&entry.entrance.name, bound);
        }
        tell(super::ADMIN, &self.admin);
        Ready { sockets: self.listeners, admin: self.admin, files: self.files }
    }

    fn addresses(
        &mut self,
        document: &Document,
        name: &str,
        addresses: &OneOrMany<Address>,
        steps: &[Step],
    ) -> Result<Vec<Bound>, Diagnostic> {
        let mut bound = Vec::new();
        for address in addresses.iter() {
            let address = resolve(address, document, steps);
            match Bound::new(&address, takes_ipv4(&address, addresses)) {
                Ok(socket) => bound.push(socket),
                Err(error) => {
                    let steps = [steps, &[Step::Key("address".into())]].concat();
                    return Err(document.error(&steps, problem(name, &address, &error)));
                }
            }
            if let Address::Unix(path) = address {
                self.files.0.push(path);
            }
        }
        Ok(bound)
    }
}

fn tell(listener: &str, sockets: &[Bound]) {
    for socket in sockets {
        let address = socket.address().map(|a| a.to_string()).unwrap_or_default();
        tracing::info!(listener, %address, "listening");
    }
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

/// Starts the writer of the access log.
pub(super) fn access_log(document: &Document, registry: &Registry) -> Result<Writer, Diagnostic> {
    let steps = [Step::Key("access_log".into()), Step::Key("path".into())];
    let path = document.access_log.path.resolve(document.folder(&steps));
    let shown = path.to_string();
    let config = access::Config { path, ..document.access_log.clone() };
    Writer::start(&config, registry).map_err(|error| {
        let what = format!("the access log cannot be opened at {shown}: {error}");
        document.error(&steps, Problem::new(what, "name a file that this user may write"))
    })
}
