//! Ed25519 keys (RFC 8032): one per signer, in a file that only its owner reads.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::HEXLOWER;

/// Bytes of a public key.
const PUBLIC: usize = 32;

/// Why there is no key.
#[derive(Debug)]
pub enum NoKey {
    /// The file cannot be read or made.
    File(io::Error),
    /// The file is there and holds something else.
    NotAKey,
    /// The system has no random bytes.
    NoRandomness,
}

impl fmt::Display for NoKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => write!(f, "{error}"),
            Self::NotAKey => f.write_str("the file holds no Ed25519 key in PKCS #8 form"),
            Self::NoRandomness => f.write_str("no random bytes are to be had"),
        }
    }
}

impl std::error::Error for NoKey {}

/// A key's short name: the beginning of its SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyId(String);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey([u8; PUBLIC]);

impl PublicKey {
    /// From 64 hexadecimal digits, in small letters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = HEXLOWER.decode(text.trim().as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// 64 hexadecimal digits.
    #[must_use]
    pub fn hex(&self) -> String {
        HEXLOWER.encode(&self.0)
    }

    /// `ed25519:` and 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = digest(&SHA256, &self.0);
        KeyId(format!("ed25519:{}", HEXLOWER.encode(hash.as_ref().get(..8).unwrap_or_default())))
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

/// What signs. It is never printed.
pub struct SigningKey(Ed25519KeyPair);

impl SigningKey {
    /// The key of this file (PKCS #8, DER). Where there is none, a new one that only its owner may read.
    ///
    /// # Errors
    /// [`NoKey`].
    ///
    /// ```no_run
    /// let key = lethe_evidence::SigningKey::of_file(std::path::Path::new("lethe-audit.key"))?;
    /// println!("{}", key.public().id());
    /// # Ok::<(), lethe_evidence::NoKey>(())
    /// ```
    pub fn of_file(path: &Path) -> Result<Self, NoKey> {
        match fs::read(path) {
            Ok(bytes) => Ed25519KeyPair::from_pkcs8(&bytes).map(Self).map_err(|_| NoKey::NotAKey),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Self::create(path),
            Err(error) => Err(NoKey::File(error)),
        }
    }

    fn create(path: &Path) -> Result<Self, NoKey> {
        let pair = Ed25519KeyPair::generate().map_err(|_| NoKey::NoRandomness)?;
        let document = pair.to_pkcs8().map_err(|_| NoKey::NoRandomness)?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(NoKey::File)?;
        file.write_all(document.as_ref()).and_then(|()| file.sync_all()).map_err(NoKey::File)?;
        Ok(Self(pair))
    }

    /// What checks this key's signatures.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut bytes = [0; PUBLIC];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}
