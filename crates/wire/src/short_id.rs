//! Ids of calls for Mistral, which takes nine letters or digits and nothing else. Clients bring ids of other providers along when a conversation goes
//! on there, and Lethe keeps nothing between two requests: so the short id is computed from the long one, the same for the call and for its result.

/// What stands for a longer id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShortId([u8; LENGTH]);

const LENGTH: usize = 9;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

impl ShortId {
    /// For `id` with its escapes resolved; `None` for one that may stay as it is.
    pub(crate) fn of(id: &str) -> Option<Self> {
        if id.len() == LENGTH && id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return None;
        }
        let mut rest = mixed(id);
        Some(Self(std::array::from_fn(|_| {
            let digit = usize::try_from(rest % 62).unwrap_or(0);
            rest /= 62;
            ALPHABET.get(digit).copied().unwrap_or(b'0')
        })))
    }

    /// As a JSON string.
    pub(crate) fn quoted(self) -> Vec<u8> {
        [b"\"" as &[u8], &self.0, b"\""].concat()
    }
}

/// FNV-1a (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>), and SplitMix64's finalizer, since the low digits of the former are weak. A client who looks
/// for two ids that meet confuses its own conversation only.
fn mixed(id: &str) -> u64 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::ShortId;

    #[test]
    fn ids_are_short_and_stay_apart() {
        assert_eq!(ShortId::of("D681PevKs"), None);
        assert_eq!(ShortId::of("call_abc"), ShortId::of("call_abc"));
        let many: HashSet<_> = (0..10_000).filter_map(|at| ShortId::of(&format!("call_{at}"))).map(|id| id.0).collect();
        assert_eq!(many.len(), 10_000);
        assert!(many.iter().flatten().all(u8::is_ascii_alphanumeric));
        assert!(ShortId::of("").is_some() && ShortId::of("D681Pev_s").is_some());
    }
}
