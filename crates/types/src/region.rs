//! Where content may be processed.

use serde::{Deserialize, Serialize};

/// A tag that an operator gives to providers and asks for on keys, such as `eu` or `us-east-1`: 1 to 15 lower-case letters, digits and `-`.
///
/// ```
/// use lethe_types::Region;
/// assert_eq!(Region::new("eu").map(|region| region.as_str().to_owned()), Some("eu".to_owned()));
/// assert_eq!(Region::new("EU"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Region([u8; Region::LENGTH]);

impl Region {
    /// Bytes of a tag, filled up with zeros.
    pub const LENGTH: usize = 15;

    /// The tag's bytes, filled up with zeros.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; Self::LENGTH] {
        &self.0
    }

    /// The tag, if `text` can be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if text.is_empty() || text.len() > Self::LENGTH || !text.bytes().all(allowed) {
            return None;
        }
        let mut tag = [0; Self::LENGTH];
        tag[..text.len()].copy_from_slice(text.as_bytes());
        Some(Self(tag))
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap_or(Self::LENGTH);
        std::str::from_utf8(&self.0[..end]).unwrap_or_default()
    }
}
