//! Bytes of a private key or credential on their way to a child.

use serde::{Deserialize, Serialize};

/// A private key or credential: no `Debug`, no `Display`; serialised only toward a child or a gateway, never toward a file.
#[derive(Clone, Serialize, Deserialize)]
pub struct SecretBytes(Vec<u8>);

impl SecretBytes {
    /// Takes the bytes over.
    #[must_use]
    pub const fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes. Whoever calls this holds a secret: copy it into secret memory and drop this value.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.0.fill(0);
        std::hint::black_box(self.0.as_ptr());
    }
}
