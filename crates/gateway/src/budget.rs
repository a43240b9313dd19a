//! A bound on the content that is in memory at once: beyond it requests answer 503 instead of the kernel ending the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::Budget;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(100);
        let mut share = budget.take(60).unwrap();
        assert!(budget.take(41).is_none());
        assert!(share.grow_to(100));
        assert!(!share.grow_to(101));
        assert!(budget.take(1).is_none());
        drop(share);
        assert!(budget.take(100).is_some());
    }
}
