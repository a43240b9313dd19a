//! One kind of TLS for every target: version 1.3, AES-128-GCM, X25519, a certificate with a P-256 key.
//!
//! The load and the mock upstream speak nothing else, so that no target gains by a cheaper cipher.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::problem::{Problem, While as _};

/// The name that the certificate is for.
pub(crate) const NAME: &str = "localhost";

/// Certificates of one run, as files.
pub(crate) struct Pki {
    pub(crate) authority: PathBuf,
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
}

impl Pki {
    /// Makes an authority and a certificate of it in `folder`.
    pub(crate) fn make(folder: &Path) -> Result<Self, Problem> {
        let doing = "make certificates";
        let mut params = CertificateParams::new(Vec::new()).doing(doing)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // A name of its own: OpenSSL takes a leaf with its issuer's name for self-signed.
        params.distinguished_name.push(DnType::CommonName, "Benchmark authority");
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().doing(doing)?).doing(doing)?;
        let key = KeyPair::generate().doing(doing)?;
        let leaf = CertificateParams::new(vec![NAME.to_owned()]).doing(doing)?.signed_by(&key, &issuer).doing(doing)?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).doing("write a certificate").map(|()| path)
        };
        Ok(Self {
            authority: write("authority.pem", issuer.pem())?,
            chain: write("chain.pem", leaf.pem())?,
            key: write("key.pem", key.serialize_pem())?,
        })
    }

    /// For the load: trusts this authority alone, resumes nothing.
    pub(crate) fn connector(&self) -> Result<TlsConnector, Problem> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.authority)? {
            roots.add(certificate).doing("trust the benchmark's authority")?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .doing("configure TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.resumption = rustls::client::Resumption::disabled();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}

/// For the mock upstream.
pub(crate) fn acceptor(chain: &Path, key: &Path) -> Result<TlsAcceptor, Problem> {
    let key = PrivateKeyDer::from_pem_file(key).doing("read the mock upstream's key")?;
    let config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .doing("configure TLS")?
        .with_no_client_auth()
        .with_single_cert(certificates(chain)?, key)
        .doing("configure TLS")?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).doing("read a certificate")?.collect();
    all.doing("read a certificate")
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    })
}
