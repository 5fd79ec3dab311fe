//! The authorities that vouch for endpoints: the system's, or those of a file.

use super::Certificate;
use super::certificate::{parse, read_certificates};
use crate::value::{Diagnostic, Problem};
use pingora::protocols::tls::CaType;
use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};
use pingora::utils::tls::{WrappedX509, parse_x509};
use rustls::pki_types::CertificateDer;
use std::path::Path;
use std::sync::Arc;

/// Authorities in the place of the system's.
#[derive(Clone, Debug)]
pub struct Authorities(Vec<CertificateDer<'static>>);

impl Authorities {
    /// Reads a PEM file of one or more of them.
    pub fn load(path: &Path) -> Result<Self, Problem> {
        let remedy = "name a PEM file with the certificate of the authority";
        let certificates = read_certificates(path, remedy)?;
        let mut has_one = false;
        for certificate in &certificates {
            let vouches = usable(certificate).map_err(|why| {
                let what = format!("`{}` holds a certificate that cannot be used", path.display());
                Problem::new(format!("{what}: {why}"), "take it out of the file")
            })?;
            has_one |= vouches;
        }
        if !has_one {
            let what = format!("`{}` holds no certificate of an authority", path.display());
            let remedy = "name the certificate of the authority that issued the one in this file";
            return Err(Problem::new(what, remedy));
        }
        Ok(Self(certificates))
    }

    /// One of which nobody has the key.
    pub fn nobody() -> Result<Self, Problem> {
        let made = Certificate::unkept(&["nobody.invalid".to_owned()])?;
        Ok(Self(made.key.cert.clone()))
    }

    /// As the engine takes them.
    pub fn to_engine(&self) -> Arc<CaType> {
        let parsed = self.0.iter().map(|one| WrappedX509::new(one.to_vec(), parse_x509));
        parsed.collect()
    }
}

/// Whether the engine can use a certificate at all, and then whether others can be issued by it:
/// an authority's, or one that vouches for itself.
fn usable(certificate: &CertificateDer<'static>) -> Result<bool, String> {
    let parsed = parse(certificate)?;
    let added = RootCertStore::empty().add(certificate.clone());
    added.map_err(|error| error.to_string())?;
    Ok(parsed.is_ca() || parsed.subject() == parsed.issuer())
}

/// Whether the system's authorities can be loaded; the engine, which loads them too, would panic.
pub fn check_roots() -> Result<(), Diagnostic> {
    let loaded = load_platform_certs_incl_env_into_store(&mut RootCertStore::empty());
    loaded.map_err(|error| {
        let cause = error.root_cause();
        Diagnostic::unplaced(Problem::new(
            format!("the system's certificate authorities cannot be loaded: {cause}"),
            "mend them, or name others by the variables SSL_CERT_FILE and SSL_CERT_DIR",
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

    /// An authority and a certificate that it issued, as PEM.
    fn authority() -> (String, String) {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        let (own, issuer) = (KeyPair::generate().unwrap(), Issuer::new(params, key));
        let params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        (pem, params.signed_by(&own, &issuer).unwrap().pem())
    }

    fn load(content: &str) -> Result<Authorities, Problem> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, content).unwrap();
        Authorities::load(&path)
    }

    #[test]
    fn a_bundle_may_hold_several_authorities_and_what_they_issued() {
        let ((one, issued), (two, _)) = (authority(), authority());
        assert_eq!(load(&one).unwrap().to_engine().len(), 1);
        assert_eq!(load(&format!("{one}{two}{issued}")).unwrap().to_engine().len(), 3);
    }

    #[test]
    fn a_certificate_of_a_server_is_no_authority() {
        let (_, issued) = authority();
        let problem = load(&issued).unwrap_err();
        assert!(problem.what.ends_with("holds no certificate of an authority"), "{problem}");
    }

    #[test]
    fn nonsense_is_no_authority() {
        let (one, _) = authority();
        for (content, expected) in [
            ("", "holds no certificate"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be used"),
            (&format!("{one}-----BEGIN CERTIFICATE-----\nAAAA\n"), "holds no certificate"),
        ] {
            let problem = load(content).unwrap_err();
            assert!(problem.what.contains(expected), "{problem}");
        }
    }
}
