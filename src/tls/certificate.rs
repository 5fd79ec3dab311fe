//! A chain and its key, ready to be served.

use crate::value::Problem;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::path::Path;
use std::sync::Arc;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate with the names it is for.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// What rustls serves.
    pub key: Arc<CertifiedKey>,
    /// DNS names in lower case, wildcards as `*.example.com`.
    pub names: Vec<Box<str>>,
}

impl Certificate {
    /// Reads a pair of PEM files.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Problem> {
        let certificates = read_chain(chain)?;
        let key_file = key.display();
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| {
            Problem::new(
                format!("no private key can be read from `{key_file}` ({error})"),
                "name a PEM file with an unencrypted private key that this user may read",
            )
        })?;
        Self::new(certificates, &key).map_err(|what| {
            let remedy = format!("name the key of `{}`, or the chain of this key", chain.display());
            Problem::new(format!("`{key_file}` does not fit: {what}"), remedy)
        })
    }

    /// Checks that a key is the chain's.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: &PrivateKeyDer<'_>,
    ) -> Result<Self, String> {
        let first = chain.first().ok_or("the chain is empty")?;
        let names = names(first)?;
        let signer = rustls::crypto::aws_lc_rs::sign::any_supported_type(key)
            .map_err(|error| error.to_string())?;
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self { key: Arc::new(key), names })
            }
            Err(_) => Err("the key is not the certificate's".into()),
        }
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let unreadable = |error: String| {
        Problem::new(
            format!("no certificate can be read from `{}` ({error})", path.display()),
            "name a PEM file with the server's certificate first, that this user may read",
        )
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(|error| unreadable(error.to_string()))?
        .collect();
    let chain = chain.map_err(|error| unreadable(error.to_string()))?;
    if chain.is_empty() { Err(unreadable("it holds none".into())) } else { Ok(chain) }
}

fn names(certificate: &CertificateDer<'_>) -> Result<Vec<Box<str>>, String> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|e| e.to_string())?;
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Ok(Vec::new());
    };
    let dns = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
        _ => None,
    });
    Ok(dns.collect())
}
