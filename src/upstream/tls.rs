//! How TLS is spoken to the endpoints of an upstream.

use super::config::Tls;
use crate::tls::{Authorities, Certificate};
use crate::value::{Problem, word};
use pingora::protocols::tls::CaType;
use pingora::upstreams::peer::HttpPeer;
use pingora::utils::tls::CertKey;
use rustls::pki_types::DnsName;
use std::hash::Hasher;
use std::str::FromStr;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3Default;

/// The name that endpoints are asked for: lower case, without a dot at its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sni(Box<str>);

word!(Sni, "sni", "A DNS name, such as `shop.internal`.");

impl FromStr for Sni {
    type Err = Problem;

    fn from_str(text: &str) -> Result<Self, Problem> {
        let name = text.strip_suffix('.').unwrap_or(text);
        // The engine asks for `-` where a name has `_`.
        if name.ends_with('.') || name.contains('_') || DnsName::try_from(name).is_err() {
            return Err(Problem::new(
                format!("`{text}` cannot be asked for"),
                "write a DNS name of letters, digits and `-`, such as `shop.internal`",
            ));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

/// What connections need beyond an address, loaded once.
#[derive(Clone, Debug)]
pub struct Security {
    authorities: Option<Arc<CaType>>,
    certificate: Option<Arc<CertKey>>,
    sni: Option<Sni>,
    verify: bool,
    fingerprint: u64,
}

impl Default for Security {
    /// As without `tls`.
    fn default() -> Self {
        Self { authorities: None, certificate: None, sni: None, verify: true, fingerprint: 0 }
    }
}

impl Security {
    /// As the document says, with what it names.
    pub fn new(
        config: &Tls,
        authorities: Option<&Authorities>,
        certificate: Option<&Certificate>,
    ) -> Result<Self, Problem> {
        let nobody;
        let in_use = match authorities {
            // The engine wants authorities where it asks none of them; the system may have none.
            None if !config.verify => {
                nobody = Authorities::nobody()?;
                Some(&nobody)
            }
            _ => authorities,
        };
        let shown = certificate.map(Certificate::to_engine).transpose()?;
        let given = authorities.map(Authorities::to_engine);
        Ok(Self {
            fingerprint: fingerprint(given.as_deref(), shown.as_ref()),
            authorities: in_use.map(Authorities::to_engine),
            certificate: shown.map(Arc::new),
            sni: config.sni.clone(),
            verify: config.verify,
        })
    }

    /// Whether connections are made in the same way.
    pub(super) fn is(&self, other: &Self) -> bool {
        let asks = |of: &Self| (of.sni.clone(), of.verify, of.fingerprint);
        asks(self) == asks(other)
    }

    /// The name to ask for, if it is not the endpoint's own.
    pub(super) fn sni(&self) -> Option<&str> {
        self.sni.as_ref().map(|Sni(name)| &**name)
    }

    /// Of what the engine leaves out when it tells connections apart.
    pub(super) fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    pub(super) fn apply(&self, peer: &mut HttpPeer) {
        peer.client_cert_key.clone_from(&self.certificate);
        peer.options.ca.clone_from(&self.authorities);
        peer.options.verify_cert = self.verify;
    }
}

/// The engine does not look at authorities, and at certificates only by their serial numbers, which
/// two authorities may give twice.
fn fingerprint(authorities: Option<&CaType>, certificate: Option<&CertKey>) -> u64 {
    if authorities.is_none() && certificate.is_none() {
        return 0;
    }
    let mut hash = Xxh3Default::new();
    let mut part = |bytes: &[u8]| {
        hash.write_usize(bytes.len());
        hash.write(bytes);
    };
    let authorities = authorities.unwrap_or_default();
    part(&authorities.len().to_ne_bytes());
    authorities.iter().for_each(|one| part(one.borrow_raw_cert()));
    if let Some(certificate) = certificate {
        part(certificate.key());
        part(certificate.leaf().borrow_raw_cert());
        certificate.intermediates().iter().for_each(|one| part(one.borrow_raw_cert()));
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_dns_name_in_lower_case() {
        let shown = |text: &str| text.parse::<Sni>().map(|Sni(name)| name.into_string());
        for (text, expected) in [
            ("shop.internal", "shop.internal"),
            ("Shop.Internal.", "shop.internal"),
            ("localhost", "localhost"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(shown(text).as_deref(), Ok(expected));
        }
        for text in
            ["", ".", "a..", "10.0.0.1", "::1", "a:443", "https://a", "a_b.shop.internal", "*.a"]
        {
            assert!(shown(text).is_err(), "{text}");
        }
    }
}
