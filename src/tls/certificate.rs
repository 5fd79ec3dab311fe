//! A chain and its key, ready to be served.

use crate::value::Problem;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use std::fs;
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

/// What is wrong with one file of a certificate.
#[derive(Debug)]
pub struct Fault {
    /// The key that names the file: `chain` or `key`.
    pub key: &'static str,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Certificate {
    /// Reads a pair of PEM files.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, Vec<Fault>> {
        let fault = |key| move |problem| Fault { key, problem };
        let read_chain = read_chain(chain).map_err(fault("chain"));
        let read_key = read_key(key).map_err(fault("key"));
        match (read_chain, read_key) {
            (Ok(certificates), Ok(private)) => Self::new(certificates, &private).map_err(|what| {
                let what = format!("`{}` does not fit: {what}", key.display());
                let remedy = format!("name the key of `{}`", chain.display());
                vec![fault("key")(Problem::new(what, remedy))]
            }),
            (chain, key) => Err(chain.err().into_iter().chain(key.err()).collect()),
        }
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
    let text = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let why = match chain {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => String::new(),
        Err(error) => format!(" ({error})"),
    };
    Err(Problem::new(
        format!("`{}` holds no certificate{why}", path.display()),
        "name a PEM file that begins with the server's certificate",
    ))
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, Problem> {
    let text = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => String::new(),
            error => format!(" ({error})"),
        };
        Problem::new(
            format!("`{}` holds no private key{why}", path.display()),
            "name a PEM file with an unencrypted private key",
        )
    })
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
