//! Certificates that we make ourselves, for development.

use super::Certificate;
use crate::value::Problem;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A certificate that was made and is still to be kept.
#[derive(Debug)]
pub struct Unkept {
    names: Vec<String>,
    folder: PathBuf,
    pem: Pem,
}

/// The two PEM texts of a certificate.
pub(super) struct Pem {
    chain: String,
    key: String,
}

impl Certificate {
    /// The certificate for these names that is kept in a folder. If it is missing or unfit one is
    /// made, which [`Unkept::keep`] then writes there.
    pub fn self_signed(names: &[String], folder: &Path) -> Result<(Self, Option<Unkept>), Problem> {
        let (chain, key) = files(names, folder);
        if chain.exists()
            && let Ok(kept) = Self::load(&chain, &key)
        {
            return Ok((kept, None));
        }
        let (pem, certificate) = make(names).map_err(|error| unmakeable(names, &error))?;
        let unkept = Unkept { names: names.to_vec(), folder: folder.to_owned(), pem };
        Ok((certificate, Some(unkept)))
    }

    /// A certificate for these names that is kept nowhere.
    pub fn unkept(names: &[String]) -> Result<Self, Problem> {
        let made = make(names).map_err(|error| unmakeable(names, &error))?;
        Ok(made.1)
    }
}

impl Unkept {
    /// Writes it.
    pub fn keep(&self) -> Result<(), Problem> {
        let (chain, key) = files(&self.names, &self.folder);
        write(&self.folder, &chain, &key, &self.pem).map_err(|error| {
            Problem::new(
                format!("the certificate for {} cannot be kept ({error})", self.names.join(", ")),
                format!("let this user write to `{}`", self.folder.display()),
            )
        })
    }
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pem").field("chain", &self.chain).finish_non_exhaustive()
    }
}

fn unmakeable(names: &[String], error: &str) -> Problem {
    Problem::new(
        format!("no certificate can be made for {} ({error})", names.join(", ")),
        "give DNS names (`xn--...` beyond ASCII) or IP addresses",
    )
}

/// One pair for each set of names.
fn files(names: &[String], folder: &Path) -> (PathBuf, PathBuf) {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' };
    let stem: String = names.join("+").chars().map(safe).take(100).collect();
    (folder.join(format!("{stem}.pem")), folder.join(format!("{stem}.key")))
}

fn write(folder: &Path, chain: &Path, key: &Path, pem: &Pem) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(key)?;
    file.write_all(pem.key.as_bytes())?;
    fs::write(chain, &pem.chain)
}

/// Makes a certificate and returns it with its texts.
pub(super) fn make(names: &[String]) -> Result<(Pem, Certificate), String> {
    let text = |error: rcgen::Error| error.to_string();
    let key = KeyPair::generate().map_err(text)?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(text)?;
    params.distinguished_name.push(DnType::CommonName, "falconer, self-signed");
    let certificate = params.self_signed(&key).map_err(text)?;
    let pem = Pem { chain: certificate.pem(), key: key.serialize_pem() };
    let der = PrivateKeyDer::try_from(key.serialize_der()).map_err(str::to_owned)?;
    Ok((pem, Certificate::new(vec![certificate.der().clone()], &der)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|n| (*n).to_owned()).collect()
    }

    /// Makes a certificate and keeps it.
    fn kept(names: &[String], folder: &Path) -> Certificate {
        let (certificate, unkept) = Certificate::self_signed(names, folder).unwrap();
        unkept.unwrap().keep().unwrap();
        certificate
    }

    #[test]
    fn it_is_made_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let names = names(&["localhost", "127.0.0.1"]);
        let first = kept(&names, folder.path());
        let (again, unkept) = Certificate::self_signed(&names, folder.path()).unwrap();
        assert!(unkept.is_none());
        assert_eq!(first.key.cert, again.key.cert);
        assert_eq!(again.names, ["localhost".into()]);
    }

    #[test]
    fn the_key_is_for_its_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let names = names(&["localhost"]);
        kept(&names, folder.path());
        let (_, key) = files(&names, folder.path());
        assert_eq!(key.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_key_of_another_certificate_does_not_fit() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (names(&["one.example"]), names(&["two.example"]));
        kept(&one, folder.path());
        kept(&two, folder.path());
        let (chain, _) = files(&one, folder.path());
        let (_, key) = files(&two, folder.path());
        let faults = Certificate::load(&chain, &key).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].key, "key");
        assert!(faults[0].problem.what.contains("does not fit"), "{faults:?}");
    }

    #[test]
    fn nonsense_is_no_certificate() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.pem");
        fs::write(&file, "nonsense").unwrap();
        for chain in [file.clone(), folder.path().join("missing")] {
            let faults = Certificate::load(&chain, &file).unwrap_err();
            assert_eq!(faults.iter().map(|fault| fault.key).collect::<Vec<_>>(), ["chain", "key"]);
        }
    }
}
