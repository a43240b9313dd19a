//! Numbers for choices and waits; nothing depends on their being hard to guess.

/// Any number.
pub(crate) fn roll() -> u64 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    RandomState::new().build_hasher().finish()
}
