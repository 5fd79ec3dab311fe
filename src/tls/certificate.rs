//! A chain and its key, ready to be served.

use crate::value::Problem;
use pingora::utils::tls::CertKey;
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
    /// The key as the file has it.
    private: Arc<PrivateKeyDer<'static>>,
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
        let remedy = "name a PEM file that begins with the server's certificate";
        let read_chain = read_certificates(chain, remedy).map_err(fault("chain"));
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

    /// As the engine takes what it shows to endpoints.
    ///
    /// It panics where it cannot read a part, so that all of them are read here.
    pub fn to_engine(&self) -> Result<CertKey, Problem> {
        let chain = self.key.cert.iter().map(|certificate| {
            parse(certificate)?;
            Ok(certificate.to_vec())
        });
        let chain = chain.collect::<Result<Vec<_>, String>>();
        let key = self.private.secret_der();
        let read_again = PrivateKeyDer::try_from(key).map_err(str::to_owned);
        match (chain, read_again) {
            (Ok(chain), Ok(_)) => Ok(CertKey::new(chain, key.to_vec())),
            (Err(why), _) | (_, Err(why)) => Err(Problem::new(
                format!("the certificate cannot be shown to endpoints: {why}"),
                "name another certificate",
            )),
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
        let private = Arc::new(key.clone_key());
        let key = CertifiedKey::new(chain, signer);
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
                Ok(Self { key: Arc::new(key), names, private })
            }
            Err(_) => Err("the key is not the certificate's".into()),
        }
    }
}

/// The certificates in a file, at least one; the remedy is for a file that holds none.
pub(super) fn read_certificates(
    path: &Path,
    remedy: &str,
) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let text = fs::read(path).map_err(|error| Problem::unreadable(path, &error))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let why = match chain {
        Ok(chain) if !chain.is_empty() => return Ok(chain),
        Ok(_) => String::new(),
        Err(error) => format!(" ({error})"),
    };
    Err(Problem::new(format!("`{}` holds no certificate{why}", path.display()), remedy))
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
    let parsed = parse(certificate)?;
    let Ok(Some(alternatives)) = parsed.subject_alternative_name() else {
        return Ok(Vec::new());
    };
    let dns = alternatives.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase().into_boxed_str()),
        _ => None,
    });
    Ok(dns.collect())
}

/// What stands in a certificate.
pub(super) fn parse<'c>(
    certificate: &'c CertificateDer<'_>,
) -> Result<X509Certificate<'c>, String> {
    let parsed = X509Certificate::from_der(certificate);
    parsed.map(|(_, parsed)| parsed).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};

    #[test]
    fn the_engine_can_read_every_kind_of_key() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("a.pem"), folder.path().join("a.key"));
        for algorithm in
            [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519]
        {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
            fs::write(&chain, params.self_signed(&pair).unwrap().pem()).unwrap();
            fs::write(&key, pair.serialize_pem()).unwrap();
            let shown = Certificate::load(&chain, &key).unwrap().to_engine().unwrap();
            assert_eq!(*shown.key(), pair.serialize_der(), "{algorithm:?}");
        }
    }
}
