//! The four TLS configurations that the data plane uses.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use crate::Certificate;

/// Protocols on a client's or provider's connection; HTTP/2 is off on the content path.
const HTTP: &[u8] = b"http/1.1";

static PUBLIC_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
static LINK_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13];

/// Why a configuration could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// A certificate or trust root is not a certificate.
    Certificate,
    /// The private key cannot sign, or does not belong to the certificate.
    Key,
}

/// The client port: certificate and key as the operator gave them, TLS 1.2 and 1.3.
///
/// # Errors
/// [`ConfigError`] when the library refuses its own defaults.
pub fn server_for_clients(certificate: Arc<Certificate>) -> Result<Arc<ServerConfig>, ConfigError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(PUBLIC_VERSIONS)
        .map_err(|_| ConfigError::Key)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(Arc::new(config))
}

/// A port for Lethe's own parts: whoever connects must show a certificate of `authority` (DER). TLS 1.3.
///
/// # Errors
/// [`ConfigError`] when an input is not what it should be.
pub fn server_of_authority(
    authority: &[u8],
    certificate: Arc<Certificate>,
    protocol: &[u8],
) -> Result<Arc<ServerConfig>, ConfigError> {
    let roots = Arc::new(roots_of([authority])?);
    let verifier =
        WebPkiClientVerifier::builder_with_provider(roots, provider()).build().map_err(|_| ConfigError::Certificate)?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(LINK_VERSIONS)
        .map_err(|_| ConfigError::Key)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Toward Lethe's own parts: the server must show a certificate of `authority` (DER), and gets ours. TLS 1.3.
///
/// # Errors
/// [`ConfigError`] when an input is not what it should be.
pub fn client_of_authority(
    authority: &[u8],
    certificate: Arc<Certificate>,
    protocol: &[u8],
) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(LINK_VERSIONS)
        .map_err(|_| ConfigError::Key)?
        .with_root_certificates(roots_of([authority])?)
        .with_client_cert_resolver(certificate);
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Toward a hosted provider: the public web's roots and `extra` ones (DER). TLS 1.2 and 1.3.
///
/// # Errors
/// [`ConfigError::Certificate`] when an extra root is not a certificate.
pub fn client_of_public(public: &[TrustAnchor<'static>], extra: &[Vec<u8>]) -> Result<Arc<ClientConfig>, ConfigError> {
    let mut roots = roots_of(extra.iter().map(Vec::as_slice))?;
    roots.extend(public.iter().cloned());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(PUBLIC_VERSIONS)
        .map_err(|_| ConfigError::Key)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![HTTP.to_vec()];
    Ok(Arc::new(config))
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn roots_of<'a>(roots: impl IntoIterator<Item = &'a [u8]>) -> Result<RootCertStore, ConfigError> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(CertificateDer::from(root.to_vec())).map_err(|_| ConfigError::Certificate)?;
    }
    Ok(store)
}
