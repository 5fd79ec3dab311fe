//! Finds the certificate for the name a client asks for.

use super::Certificate;
use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::collections::HashMap;
use std::sync::Arc;

type Names = HashMap<Box<str>, Arc<CertifiedKey>, foldhash::fast::RandomState>;

/// The certificates of a listener, by name; they can change while it runs.
#[derive(Debug)]
pub struct Resolver(ArcSwap<Served>);

#[derive(Debug)]
struct Served {
    exact: Names,
    /// By what follows the `*.`.
    wildcard: Names,
    /// For clients without SNI, and for names that no certificate has.
    first: Arc<CertifiedKey>,
}

impl Resolver {
    /// A resolver over certificates in the order of the document; `None` without any.
    pub fn new(certificates: &[Certificate]) -> Option<Self> {
        let first = certificates.first()?.key.clone();
        let (mut exact, mut wildcard) = (Names::default(), Names::default());
        for certificate in certificates {
            for name in &certificate.names {
                let (names, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut wildcard, parent),
                    None => (&mut exact, &**name),
                };
                names.entry(name.into()).or_insert_with(|| certificate.key.clone());
            }
        }
        Some(Self(ArcSwap::from_pointee(Served { exact, wildcard, first })))
    }

    /// Serves what another serves from here on.
    pub(super) fn follow(&self, newer: &Self) {
        self.0.store(newer.0.load_full());
    }

    /// The certificate for a name, compared in lower case; a wildcard stands for one label.
    pub fn find(&self, name: Option<&str>) -> Arc<CertifiedKey> {
        self.0.load().find(name).clone()
    }
}

impl Served {
    fn find(&self, name: Option<&str>) -> &Arc<CertifiedKey> {
        let Some(name) = name else { return &self.first };
        let lower;
        let name = if name.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = name.to_ascii_lowercase();
            &lower
        } else {
            name
        };
        let parent = name.split_once('.').map(|(_, parent)| parent);
        self.exact
            .get(name)
            .or_else(|| parent.and_then(|parent| self.wildcard.get(parent)))
            .unwrap_or(&self.first)
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::self_signed;

    fn certificate(names: &[&str]) -> Certificate {
        let names: Vec<_> = names.iter().map(|n| (*n).to_owned()).collect();
        self_signed::make(&names).unwrap().1
    }

    #[test]
    fn exact_names_win_over_wildcards_and_the_first_serves_the_rest() {
        let certificates = [
            certificate(&["first.example"]),
            certificate(&["*.example.com"]),
            certificate(&["www.example.com"]),
        ];
        let resolver = Resolver::new(&certificates).unwrap();
        for (name, index) in [
            (Some("www.example.com"), 2),
            (Some("WWW.Example.COM"), 2),
            (Some("shop.example.com"), 1),
            (Some("a.b.example.com"), 0),
            (Some("example.com"), 0),
            (Some("other.example"), 0),
            (None, 0),
        ] {
            assert!(Arc::ptr_eq(&resolver.find(name), &certificates[index].key), "{name:?}");
        }
    }
}
