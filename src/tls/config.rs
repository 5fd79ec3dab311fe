//! `certificates:` in the document.

use crate::value::Problem;
use schemars::JsonSchema;
use serde::Deserialize;
use std::path::PathBuf;

/// A chain with its key, from files (`chain` and `key`) or made here (`self_signed`).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "certificate")]
pub struct Config {
    /// The certificate and its intermediates, PEM, the server's own first.
    #[schemars(extend("format" = "path"))]
    pub chain: Option<PathBuf>,
    /// The private key, PEM.
    #[schemars(extend("format" = "path"))]
    pub key: Option<PathBuf>,
    /// Names and addresses for a certificate that is made once and kept in `state_dir`; for
    /// development, because no client trusts it.
    #[schemars(length(min = 1))]
    pub self_signed: Option<Vec<String>>,
}

/// Where a certificate comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// A pair of files.
    Files {
        /// The chain.
        chain: &'a PathBuf,
        /// The key.
        key: &'a PathBuf,
    },
    /// Made for these names.
    SelfSigned(&'a [String]),
}

impl Config {
    /// The one source.
    pub fn source(&self) -> Result<Source<'_>, Problem> {
        let (what, remedy) = match (&self.chain, &self.key, &self.self_signed) {
            (Some(chain), Some(key), None) => return Ok(Source::Files { chain, key }),
            (None, None, Some(names)) => return Ok(Source::SelfSigned(names)),
            (Some(_), None, None) => ("the chain has no key", "add `key:` with a file"),
            (None, Some(_), None) => ("the key has no chain", "add `chain:` with a file"),
            (None, None, None) => {
                ("the certificate has no source", "add `chain:` and `key:`, or `self_signed:`")
            }
            (_, _, Some(_)) => {
                ("the certificate has two sources, files and `self_signed`", "keep one of them")
            }
        };
        Err(Problem::new(what, remedy))
    }
}
