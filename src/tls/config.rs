//! `certificates:` in the document.

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
    /// The source, if exactly one is given.
    pub fn source(&self) -> Option<Source<'_>> {
        match (&self.chain, &self.key, &self.self_signed) {
            (Some(chain), Some(key), None) => Some(Source::Files { chain, key }),
            (None, None, Some(names)) if !names.is_empty() => Some(Source::SelfSigned(names)),
            _ => None,
        }
    }
}
