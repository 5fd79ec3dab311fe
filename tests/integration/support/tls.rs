//! TLS for clients and origins of the tests.

use super::certs::Certificate;
use super::wire::Stream;
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    ClientConfig, DigitallySignedStruct, HandshakeKind, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};
use std::io;
use std::sync::Arc;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// How a client speaks TLS; without an authority it believes any certificate.
#[derive(Clone)]
pub struct Tls {
    /// The name asked for; none sends no SNI.
    pub name: Option<String>,
    /// The protocols offered by ALPN.
    pub alpn: Vec<&'static str>,
    /// The authority to check the certificate against, as PEM.
    pub authority: Option<String>,
    /// The client's own certificate.
    pub certificate: Option<Certificate>,
    /// The versions offered; none means all.
    pub versions: Vec<&'static SupportedProtocolVersion>,
    /// What several connections share that may resume each other's sessions, by
    /// [`Tls::remembering`].
    pub shared: Option<Arc<ClientConfig>>,
}

impl Default for Tls {
    fn default() -> Self {
        let name = Some("localhost".to_owned());
        Self {
            name,
            alpn: vec![],
            authority: None,
            certificate: None,
            versions: vec![],
            shared: None,
        }
    }
}

impl Tls {
    /// The same for several connections, which resume sessions.
    pub fn remembering(mut self) -> Self {
        let mut config = client_config(&self);
        config.resumption = Resumption::in_memory_sessions(8);
        self.shared = Some(Arc::new(config));
        self
    }
}

/// What the handshake of a client agreed on.
#[derive(Clone, Debug)]
pub struct Agreed {
    /// The server's certificates.
    pub chain: Vec<CertificateDer<'static>>,
    /// The protocol chosen by ALPN.
    pub alpn: Option<String>,
    /// The version of TLS.
    pub version: rustls::ProtocolVersion,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// A handshake of a client.
pub async fn connect(tls: &Tls, io: Stream) -> io::Result<(Stream, Agreed)> {
    // rustls wants some name; an address is never sent as SNI.
    let name = tls.name.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
    let name = ServerName::try_from(name).map_err(io::Error::other)?;
    let config = tls.shared.clone().unwrap_or_else(|| Arc::new(client_config(tls)));
    let stream = TlsConnector::from(config).connect(name, io).await?;
    let session = stream.get_ref().1;
    let agreed = Agreed {
        chain: session.peer_certificates().unwrap_or_default().to_vec(),
        alpn: session.alpn_protocol().map(super::wire::text),
        version: session.protocol_version().ok_or(io::ErrorKind::InvalidData)?,
        resumed: session.handshake_kind() == Some(HandshakeKind::Resumed),
    };
    Ok((Box::new(stream), agreed))
}

/// How a server speaks TLS.
#[derive(Clone)]
pub struct Security {
    /// Its certificate.
    pub certificate: Certificate,
    /// The protocols offered by ALPN.
    pub alpn: Vec<&'static str>,
    /// The authorities of the clients' certificates, as PEM; without, none is asked for.
    pub clients: Option<String>,
    /// Whether clients without a certificate are let in.
    pub open: bool,
}

/// What the client of a connection said of itself in the handshake.
#[derive(Clone, Debug, Default)]
pub struct Hello {
    /// The name it asked for.
    pub sni: Option<String>,
    /// Its certificates, its own first.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Hello {
    /// What was said in a handshake that is over.
    pub fn of(session: &ServerConnection) -> Self {
        Self {
            sni: session.server_name().map(str::to_owned),
            chain: session.peer_certificates().unwrap_or_default().to_vec(),
        }
    }

    /// Whether the client showed this certificate.
    pub fn shows(&self, certificate: &Certificate) -> bool {
        self.chain.first() == certificate.chain_der().first()
    }
}

/// A server that shows a certificate and offers protocols by ALPN.
pub fn acceptor(security: &Security) -> TlsAcceptor {
    let Security { certificate, alpn, clients, open } = security;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(pem) => {
            let roots = Arc::new(roots(pem));
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
            let verifier = if *open { verifier.allow_unauthenticated() } else { verifier };
            builder.with_client_cert_verifier(verifier.build().unwrap())
        }
    };
    let mut config =
        builder.with_single_cert(certificate.chain_der(), certificate.key_der()).unwrap();
    config.alpn_protocols = wire_names(alpn);
    TlsAcceptor::from(Arc::new(config))
}

fn client_config(tls: &Tls) -> ClientConfig {
    let versions =
        if tls.versions.is_empty() { rustls::ALL_VERSIONS } else { tls.versions.as_slice() };
    let builder =
        ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).unwrap();
    let builder = match &tls.authority {
        Some(pem) => builder.with_root_certificates(roots(pem)),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone(provider()))),
    };
    let mut config = match &tls.certificate {
        Some(own) => builder.with_client_auth_cert(own.chain_der(), own.key_der()).unwrap(),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = wire_names(&tls.alpn);
    config.resumption = Resumption::disabled();
    config
}

fn roots(pem: &str) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let certificate = Certificate { chain: pem.to_owned(), key: String::new() };
    roots.add_parsable_certificates(certificate.chain_der());
    roots
}

fn wire_names(alpn: &[&str]) -> Vec<Vec<u8>> {
    alpn.iter().map(|name| name.as_bytes().to_vec()).collect()
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Believes any certificate, but checks that the server holds its key.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
