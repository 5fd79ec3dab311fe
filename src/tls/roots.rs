//! The authorities that vouch for endpoints: the system's.

use crate::value::{Diagnostic, Problem};
use pingora::tls::{RootCertStore, load_platform_certs_incl_env_into_store};

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
