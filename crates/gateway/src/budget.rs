//! A bound on the content that is in memory at once: beyond it requests answer 503 instead of the kernel ending the process.

use std::cell::Cell;
use std::rc::Rc;
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

/// What a worker takes at a time for its requests, so that two workers do not fight over one counter for each of them.
const AT_A_TIME: u64 = 512 * 1024;
/// What a worker keeps for the next requests; the rest goes back.
const KEPT: u64 = 1024 * 1024;

/// Bytes that may still be taken, by all workers.
pub(crate) struct Budget {
    left: AtomicU64,
}

/// One worker's hold on the budget.
pub(crate) struct Purse {
    budget: Arc<Budget>,
    /// Taken from the budget, and no request's yet.
    spare: Cell<u64>,
}

/// Bytes taken; dropping it gives them back.
pub(crate) struct Share {
    purse: Rc<Purse>,
    bytes: u64,
    /// What it was taken with.
    base: u64,
}

impl Budget {
    pub(crate) fn new(bytes: u64) -> Arc<Self> {
        Arc::new(Self { left: AtomicU64::new(bytes) })
    }

    fn take(&self, bytes: u64) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }
}

impl Purse {
    pub(crate) fn new(budget: Arc<Budget>) -> Rc<Self> {
        Rc::new(Self { budget, spare: Cell::new(0) })
    }

    /// Whether `bytes` could be taken now. Nothing is held for whoever asks.
    pub(crate) fn has(&self, bytes: u64) -> bool {
        self.budget.left.load(Ordering::Relaxed).saturating_add(self.spare.get()) >= bytes
    }

    /// Takes `bytes`, if so many are left.
    pub(crate) fn take(self: &Rc<Self>, bytes: u64) -> Option<Share> {
        let spare = self.spare.get();
        let missing = bytes.saturating_sub(spare);
        let more = match missing {
            0 => 0,
            _ if self.budget.take(missing.max(AT_A_TIME)) => missing.max(AT_A_TIME),
            _ if self.budget.take(missing) => missing,
            _ => return None,
        };
        self.spare.set(spare + more - bytes);
        Some(Share { purse: Rc::clone(self), bytes, base: bytes })
    }

    fn give_back(&self, bytes: u64) {
        let spare = self.spare.get() + bytes;
        let kept = if spare > KEPT { AT_A_TIME } else { spare };
        self.spare.set(kept);
        if spare > kept {
            self.budget.left.fetch_add(spare - kept, Ordering::Relaxed);
        }
    }
}

impl Drop for Purse {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.spare.get(), Ordering::Relaxed);
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
        let Some(mut share) = self.purse.take(more) else { return false };
        // The new share's bytes are this one's from now on.
        self.bytes += std::mem::take(&mut share.bytes);
        true
    }

    /// Makes room beside `base` bytes for a block of `capacity` and its copy (a body is patched into a second block, and moves to a
    /// larger one as it grows); false if there is none.
    pub(crate) fn holds_block(&mut self, base: u64, capacity: usize) -> bool {
        capacity <= SMALL_BYTES || self.grow_to(base.saturating_add((capacity as u64).saturating_mul(2)))
    }

    /// Gives back what has been added to what it was taken with.
    pub(crate) fn shrink(&mut self) {
        let more = self.bytes - self.base;
        self.bytes = self.base;
        self.purse.give_back(more);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.purse.give_back(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use super::{AT_A_TIME, Budget, KEPT, Purse, SMALL_BYTES};

    #[test]
    fn what_is_taken_comes_back() {
        let purse = Purse::new(Budget::new(100));
        let mut share = purse.take(60).unwrap();
        assert!(purse.take(41).is_none());
        assert!(share.grow_to(100));
        assert!(!share.grow_to(101));
        assert!(purse.take(1).is_none());
        drop(share);
        assert!(purse.has(100) && !purse.has(101));
        assert!(purse.take(100).is_some());
    }

    #[test]
    fn blocks_count_twice_and_small_ones_not_at_all() {
        let purse = Purse::new(Budget::new(100_000));
        let mut share = purse.take(10_000).unwrap();
        assert!(share.holds_block(10_000, SMALL_BYTES) && purse.has(90_000));
        assert!(share.holds_block(10_000, 40_000) && purse.has(10_000));
        assert!(!share.holds_block(10_000, 50_000));
        share.shrink();
        assert!(purse.has(90_000) && !purse.has(90_001));
        share.shrink();
        assert_eq!(share.bytes(), 10_000, "shrinking twice gives nothing back");
    }

    #[test]
    fn a_purse_keeps_little_and_its_end_gives_all_back() {
        let budget = Budget::new(10 * KEPT);
        let (one, other) = (Purse::new(std::sync::Arc::clone(&budget)), Purse::new(budget));
        let share = one.take(1).unwrap();
        assert!(other.has(10 * KEPT - AT_A_TIME) && !other.has(10 * KEPT - AT_A_TIME + 1), "a worker takes more than it needs");
        let large = one.take(8 * KEPT).unwrap();
        drop((share, large));
        assert!(other.has(9 * KEPT), "and keeps at most so much");
        drop(one);
        assert!(other.has(10 * KEPT));
    }
}
