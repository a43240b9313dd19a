//! Who a request is counted for. Nothing here can be turned back into a person or a key.

use serde::{Deserialize, Serialize};

/// Account pseudonym (policy 2.1): 64 random bits, one per API key, so that spend per key needs no further field.
///
/// ```
/// use lethe_types::AccountPseudonym;
/// let pseudonym = AccountPseudonym(0x0102_0304_0506_0708);
/// assert_eq!(pseudonym.to_string(), "acct_0102030405060708");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AccountPseudonym(pub u64);

impl std::fmt::Display for AccountPseudonym {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "acct_{:016x}", self.0)
    }
}

/// SHA-256 of an API key. Keys carry 256 random bits, so a plain hash cannot be searched.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyHash(pub [u8; 32]);

/// Number of an API key in this deployment; shown to operators, never secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct KeyId(pub u32);

/// Catalogue number of a route (model and provider) in this deployment; 0 means that none was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RouteId(pub u32);

impl RouteId {
    /// The request ended before a route was chosen.
    pub const NONE: Self = Self(0);
}
