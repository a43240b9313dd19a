//! A bound on the content that is in memory at once: beyond it requests answer 503 instead of the kernel ending the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a connection in the clear takes while it has a request: a head of 32 KB in a block that doubles, what is sent ahead, a
/// part of a body or of an answer.
const PLAIN_BYTES: u64 = 64 * 1024;
/// With TLS also the records of both sides, which wait for a reader that is slow.
const TLS_BYTES: u64 = 192 * 1024;
/// Blocks of a body or an answer up to this size are counted in the connection's own share.
pub(crate) const SMALL_BYTES: usize = 16 * 1024;

/// The share of a connection with a request in progress. An idle one holds no buffer, and has none.
pub(crate) const fn connection_bytes(tls: bool) -> u64 {
    if tls { TLS_BYTES } else { PLAIN_BYTES }
}

/// Bytes that may still be taken.
pub(crate) struct Budget {
    left: AtomicU64,
}

/// Bytes taken; dropping it gives them back.
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }

    /// Whether `bytes` could be taken now. Nothing is held for whoever asks.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.left.load(Ordering::Relaxed) >= bytes
    }

    /// Takes `bytes`, if so many are left.
    pub(crate) fn take(self: &Arc<Self>, bytes: u64) -> Option<Share> {
        let taken = |left: u64| left.checked_sub(bytes);
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).ok()?;
        Some(Share { budget: Arc::clone(self), bytes })
    }
}

impl Share {
    /// Bytes that this share holds.
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Takes what is missing to hold `bytes` in all; false if so many are not left.
    pub(crate) fn grow_to(&mut self, bytes: u64) -> bool {
        let Some(more) = bytes.checked_sub(self.bytes) else { return true };
        let Some(mut share) = self.budget.take(more) else { return false };
        // The new share's bytes are this one's from now on.
        self.bytes += std::mem::take(&mut share.bytes);
        true
    }

    /// Makes room beside `base` bytes for a block of `capacity` and its copy (a body is patched into a second block, and moves to a
    /// larger one as it grows); false if there is none.
    pub(crate) fn holds_block(&mut self, base: u64, capacity: usize) -> bool {
        capacity <= SMALL_BYTES || self.grow_to(base.saturating_add((capacity as u64).saturating_mul(2)))
    }

    /// Gives back what is more than `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: u64) {
        let more = self.bytes.saturating_sub(bytes);
        if more > 0 {
            self.bytes -= more;
            self.budget.left.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{Budget, SMALL_BYTES};

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(100);
        let mut share = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        assert!(share.grow_to(100));
        assert!(!share.grow_to(101));
        assert!(budget.take(1).is_none());
        drop(share);
        assert!(budget.has(100) && !budget.has(101));
        assert!(budget.take(100).is_some());
    }

    #[test]
    fn blocks_count_twice_and_small_ones_not_at_all() {
        let budget = Budget::new(100_000);
        let mut share = budget.take(10_000).unwrap();
        assert!(share.holds_block(10_000, SMALL_BYTES) && budget.has(90_000));
        assert!(share.holds_block(10_000, 40_000) && budget.has(10_000));
        assert!(!share.holds_block(10_000, 50_000));
        share.shrink_to(10_000);
        assert!(budget.has(90_000) && !budget.has(90_001));
        share.shrink_to(20_000);
        assert_eq!(share.bytes(), 10_000, "shrinking takes nothing");
    }
}
