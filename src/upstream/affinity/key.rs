//! The key from which opaque values are made.

use super::Claim;
use crate::upstream::endpoint::Endpoint;
use crate::value::{Problem, Secret};
use aws_lc_rs::{hmac, rand};
use std::fmt::{self, Write as _};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Where an edge keeps its own, in the state folder.
const FILE: &str = "affinity.key";
/// Digits of a value.
const DIGITS: usize = 32;
/// Bytes of a key.
const BYTES: usize = 32;

/// What makes the values that clients are told; nobody else can make them, or read them.
#[derive(Clone, Debug)]
pub struct Key(hmac::Key);

/// A key that was made and is still to be kept.
pub struct Unkept {
    file: PathBuf,
    secret: String,
}

impl Key {
    /// The key of a secret, the same wherever that is known.
    pub(super) fn of(secret: &Secret) -> Self {
        Self::new(secret.expose())
    }

    /// The key that is kept in a folder; if there is none one is made, which [`Unkept::keep`] then
    /// writes there.
    pub fn kept(folder: &Path) -> Result<(Self, Option<Unkept>), Problem> {
        let file = folder.join(FILE);
        match fs::read_to_string(&file) {
            Ok(text) if text.trim_end().len() == 2 * BYTES => {
                Ok((Self::new(text.trim_end()), None))
            }
            Ok(_) => {
                let what = format!("`{}` is damaged", file.display());
                let remedy = "remove it: another one is made, and clients are told anew";
                Err(Problem::new(what, remedy))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let secret = random().ok_or_else(|| {
                    Problem::new("no key can be made without randomness", "set `secret`")
                })?;
                Ok((Self::new(&secret), Some(Unkept { file, secret })))
            }
            Err(error) => Err(Problem::unreadable(&file, &error)),
        }
    }

    fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// What clients of an endpoint are told, and what they claim by it.
    pub(super) fn value(&self, upstream: &str, endpoint: &Endpoint) -> (Claim, String) {
        let text = format!("{upstream}\0{}\0{}", endpoint.label(), endpoint.address());
        let tag = hmac::sign(&self.0, text.as_bytes());
        let mut value = hex(tag.as_ref());
        value.truncate(DIGITS);
        let number = u128::from_str_radix(&value, 16).unwrap_or_default();
        (Claim(number), value)
    }
}

/// What a request claims by a value; `None` if none of ours looks like it.
pub(super) fn claim(value: &str) -> Option<Claim> {
    Claim::read(value, DIGITS)
}

impl Unkept {
    /// Writes it, for its owner alone.
    pub fn keep(&self) -> Result<(), Problem> {
        self.write().map_err(|error| {
            let folder = self.file.parent().unwrap_or(&self.file).display();
            Problem::new(
                format!("the key of `affinity` cannot be kept ({error})"),
                format!("let this user write to `{folder}`, or set `secret`"),
            )
        })
    }

    fn write(&self) -> io::Result<()> {
        fs::create_dir_all(self.file.parent().unwrap_or(&self.file))?;
        // At once: half a key would be another one.
        let half = self.file.with_extension("half");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&half)?;
        file.write_all(self.secret.as_bytes())?;
        file.sync_all()?;
        fs::rename(half, &self.file)
    }
}

impl fmt::Debug for Unkept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unkept").field("file", &self.file).finish_non_exhaustive()
    }
}

fn random() -> Option<String> {
    let mut bytes = [0; BYTES];
    rand::fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

/// Bytes in base 16.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::endpoint::Address;
    use std::os::unix::fs::PermissionsExt;

    fn endpoint(label: &str, port: u16) -> Endpoint {
        Endpoint::new(label.into(), Address::Tcp(([127, 0, 0, 1], port).into()))
    }

    #[test]
    fn values_tell_endpoints_apart_and_nothing_else() {
        let (one, two) = (Key::new("one"), Key::new("two"));
        let endpoints = [endpoint("http://a:80", 80), endpoint("http://a:80", 81)];
        let (claim, value) = one.value("shop", &endpoints[0]);
        assert_eq!(one.value("shop", &endpoints[0]), (claim, value.clone()));
        assert_eq!(super::claim(&value), Some(claim));
        for other in [
            one.value("blog", &endpoints[0]),
            one.value("shop", &endpoints[1]),
            one.value("shop", &endpoint("http://b:80", 80)),
            two.value("shop", &endpoints[0]),
        ] {
            assert_ne!(other.1, value);
        }
    }

    #[test]
    fn the_value_of_a_secret_never_changes() {
        // HMAC-SHA-256 of "shop\0http://a:80\0127.0.0.1:80" by another implementation.
        let (_, value) = Key::new("0123456789abcdef").value("shop", &endpoint("http://a:80", 80));
        assert_eq!(value, "37cd86c25ec57e0bd0151a27ffb2c53a");
    }

    #[test]
    fn what_no_value_looks_like_claims_nothing() {
        for foreign in ["", "x", "0123", &"g".repeat(32), &"a".repeat(31), &"a".repeat(33)] {
            assert_eq!(claim(foreign), None, "{foreign}");
        }
        assert!(claim(&"a".repeat(32)).is_some());
    }

    #[test]
    fn a_key_is_made_once_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("state");
        let (first, unkept) = Key::kept(&folder).unwrap();
        assert!(!folder.exists(), "a document with problems leaves no trace");
        unkept.unwrap().keep().unwrap();
        let (again, unkept) = Key::kept(&folder).unwrap();
        assert!(unkept.is_none());
        let value = |key: &Key| key.value("shop", &endpoint("http://a:80", 80)).1;
        assert_eq!(value(&first), value(&again));
        let mode = folder.join(FILE).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        fs::write(folder.join(FILE), "half").unwrap();
        assert!(Key::kept(&folder).unwrap_err().what.contains("damaged"));
    }

    #[test]
    fn it_is_not_shown() {
        let (key, unkept) = Key::kept(Path::new("/nowhere")).unwrap();
        let unkept = unkept.unwrap();
        assert!(!format!("{key:?}{unkept:?}").contains(&unkept.secret));
    }
}
