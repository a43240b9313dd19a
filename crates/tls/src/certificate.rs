//! A certificate with its key, which can be replaced while connections are open.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use lethe_confine::secret::Secret;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::CertificateDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::{ConfigError, SecretKey};

/// What this side shows in handshakes. Configurations that were made with it show the new one from [`Certificate::replace`] on;
/// connections that are open go on with what they agreed on, and the old key is wiped with the last handshake that uses it.
pub struct Certificate(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// A chain (DER, leaf first) and its private key.
    ///
    /// # Errors
    /// [`ConfigError`] when they do not make a pair.
    pub fn new(chain: &[Vec<u8>], key: Secret) -> Result<Arc<Self>, ConfigError> {
        Ok(Arc::new(Self(RwLock::new(certified(chain, key)?))))
    }

    /// Shows another one from now on.
    ///
    /// # Errors
    /// [`ConfigError`] when chain and key do not make a pair; nothing is changed then.
    pub fn replace(&self, chain: &[Vec<u8>], key: Secret) -> Result<(), ConfigError> {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certified(chain, key)?;
        Ok(())
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Certificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn certified(chain: &[Vec<u8>], key: Secret) -> Result<Arc<CertifiedKey>, ConfigError> {
    let chain: Vec<_> = chain.iter().map(|der| CertificateDer::from(der.clone())).collect();
    let key = SecretKey::new(key).ok_or(ConfigError::Key)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(_) => Err(ConfigError::Key),
    }
}
