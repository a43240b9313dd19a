//! A private key that stays in secret memory and is unpacked for one handshake only.

use std::fmt;
use std::sync::Arc;

use lethe_confine::secret::Secret;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

/// A signing key whose DER lies in `memfd_secret` memory, out of reach of `/proc/PID/mem` and core dumps. Each handshake
/// unpacks it, signs once and drops it; AWS-LC cleanses the unpacked form when it frees it.
pub struct SecretKey {
    der: Secret,
    algorithm: SignatureAlgorithm,
    public: Option<Vec<u8>>,
}

impl SecretKey {
    /// Takes a private key in DER (PKCS#8, PKCS#1 or SEC1); `None` if it is not one that can sign.
    #[must_use]
    pub fn new(der: Secret) -> Option<Arc<Self>> {
        let unpacked = unpack(&der)?;
        let algorithm = unpacked.algorithm();
        let public = unpacked.public_key().map(|key| key.as_ref().to_vec());
        Some(Arc::new(Self { der, algorithm, public }))
    }
}

fn unpack(der: &Secret) -> Option<Arc<dyn SigningKey>> {
    let key = PrivateKeyDer::try_from(der.expose()).ok()?;
    any_supported_type(&key).ok()
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

impl SigningKey for SecretKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        unpack(&self.der)?.choose_scheme(offered)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        self.public.as_deref().map(SubjectPublicKeyInfoDer::from)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}
