//! Certificates and keys from PEM files.

use std::path::Path;

use lethe_types::SecretBytes;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

/// Every certificate in the file, DER, in its order; at least one.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Vec<u8>>, String> {
    let text = read(path)?;
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&text).map(|certificate| certificate.map(|der| der.as_ref().to_vec())).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{} holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)", path.display())),
    }
}

/// The first private key in the file, DER.
pub(crate) fn private_key(path: &Path) -> Result<SecretBytes, String> {
    let text = SecretBytes::new(read(path)?);
    PrivateKeyDer::from_pem_slice(text.expose())
        .map(|key| SecretBytes::new(key.secret_der().to_vec()))
        .map_err(|_| format!("{} holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)", path.display()))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("{} cannot be read ({})", path.display(), error.kind()))
}
