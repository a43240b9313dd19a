//! How a provider has been doing, as the requests to it show: what is open, how long answers take, whether it fails.
//!
//! Nothing asks a provider whether it is well; real traffic says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lethe_types::Failure;

/// Failures in a row after which a provider is left alone.
const TRIPS_AFTER: u32 = 5;
/// For how long, the first time; then twice as long each time.
const REST: Duration = Duration::from_secs(5);
/// And at most.
const REST_LIMIT: Duration = Duration::from_secs(60);
/// A `Retry-After` beyond this is not waited for by everybody.
const LIMITED: Duration = Duration::from_secs(60);
/// Time in which a peak of the latency is forgotten by two thirds.
const DECAY: Duration = Duration::from_secs(10);

/// One provider's health, as this gateway sees it.
pub(crate) struct Health {
    born: Instant,
    open: AtomicU32,
    /// Peak-sensitive moving average of the time to the head of an answer, in microseconds.
    latency_us: AtomicU64,
    /// When it was taken, in milliseconds since `born`.
    latency_at_ms: AtomicU64,
    failures: AtomicU32,
    trips: AtomicU32,
    /// Until when the provider is left alone, in milliseconds since `born`.
    resting_until_ms: AtomicU64,
}

/// A request that is open at a provider.
pub(crate) struct Open(Arc<Health>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Health {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            born: now,
            open: AtomicU32::new(0),
            latency_us: AtomicU64::new(0),
            latency_at_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            trips: AtomicU32::new(0),
            resting_until_ms: AtomicU64::new(0),
        })
    }

    /// Counts a request as open, unless `limit` of them are.
    pub(crate) fn open(self: &Arc<Self>, limit: Option<u32>) -> Option<Open> {
        let limit = limit.unwrap_or(u32::MAX);
        let more = |open: u32| (open < limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Open(Arc::clone(self)))
    }

    /// The head of an answer came, and it was none of a failing server.
    pub(crate) fn answered(&self, after: Duration, now: Instant) {
        self.failures.store(0, Ordering::Relaxed);
        self.trips.store(0, Ordering::Relaxed);
        self.resting_until_ms.store(0, Ordering::Relaxed);
        let sample = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        let known = self.latency_us.load(Ordering::Relaxed);
        let at = self.millis(now);
        let since = at.saturating_sub(self.latency_at_ms.swap(at, Ordering::Relaxed));
        // A peak counts at once, and is forgotten slowly. Two workers that write at the same time lose one sample.
        let next = if sample >= known {
            sample
        } else {
            let share = since.min(DECAY_MS);
            known - (known - sample).saturating_mul(share + DECAY_MS / 100) / (DECAY_MS + DECAY_MS / 100)
        };
        self.latency_us.store(next, Ordering::Relaxed);
    }

    /// An attempt failed in a way that is the server's doing.
    pub(crate) fn failed(&self, failure: Failure, retry_after: Option<Duration>, now: Instant) {
        if failure == Failure::RateLimited {
            let rest = retry_after.unwrap_or(Duration::from_secs(1)).min(LIMITED);
            return self.rest(rest, now);
        }
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= TRIPS_AFTER {
            let trips = self.trips.fetch_add(1, Ordering::Relaxed).min(16);
            self.rest(REST.saturating_mul(1 << trips).min(REST_LIMIT), now);
            // One more failure after the rest, and it rests again.
            self.failures.store(TRIPS_AFTER - 1, Ordering::Relaxed);
        }
    }

    fn rest(&self, time: Duration, now: Instant) {
        let until = self.millis(now).saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        self.resting_until_ms.fetch_max(until, Ordering::Relaxed);
    }

    /// Whether the provider had better be left alone at the moment.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        self.millis(now) < self.resting_until_ms.load(Ordering::Relaxed)
    }

    /// Whether one more request would be too many.
    pub(crate) fn is_full(&self, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.open.load(Ordering::Relaxed) >= limit)
    }

    /// Expected waiting: latency times what is open.
    pub(crate) fn cost(&self) -> u64 {
        let open = u64::from(self.open.load(Ordering::Relaxed)) + 1;
        self.latency_us.load(Ordering::Relaxed).max(1).saturating_mul(open)
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "ten thousand fits")]
const DECAY_MS: u64 = DECAY.as_millis() as u64;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use std::time::{Duration, Instant};

    use lethe_types::Failure;

    use super::{Health, TRIPS_AFTER};

    #[test]
    fn failures_in_a_row_give_a_rest_and_success_ends_it() {
        let now = Instant::now();
        let health = Health::new(now);
        for _ in 1..TRIPS_AFTER {
            health.failed(Failure::Connect, None, now);
        }
        assert!(!health.rests(now));
        health.failed(Failure::Connect, None, now);
        assert!(health.rests(now) && health.rests(now + Duration::from_secs(4)));
        let later = now + Duration::from_secs(6);
        assert!(!health.rests(later), "one may try");
        health.failed(Failure::ServerError, None, later);
        assert!(health.rests(later + Duration::from_secs(9)), "twice as long");
        health.answered(Duration::from_millis(1), later);
        assert!(!health.rests(later));
        health.failed(Failure::Connect, None, later);
        assert!(!health.rests(later), "and counting begins anew");
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_minute() {
        let now = Instant::now();
        let health = Health::new(now);
        health.failed(Failure::RateLimited, Some(Duration::from_secs(7)), now);
        assert!(health.rests(now + Duration::from_secs(6)) && !health.rests(now + Duration::from_secs(8)));
        health.failed(Failure::RateLimited, Some(Duration::from_secs(86_400)), now);
        assert!(!health.rests(now + Duration::from_secs(61)));
    }

    #[test]
    fn open_requests_are_limited_and_given_back() {
        let health = Health::new(Instant::now());
        let first = health.open(Some(2)).unwrap();
        let second = health.open(Some(2)).unwrap();
        assert!(health.open(Some(2)).is_none() && health.is_full(Some(2)) && !health.is_full(None));
        drop(first);
        assert!(health.open(Some(2)).is_some());
        drop(second);
    }

    #[test]
    fn peaks_count_at_once_and_are_forgotten() {
        let now = Instant::now();
        let health = Health::new(now);
        health.answered(Duration::from_millis(10), now);
        assert_eq!(health.cost(), 10_000);
        health.answered(Duration::from_millis(500), now);
        assert_eq!(health.cost(), 500_000);
        let later = now + Duration::from_secs(20);
        health.answered(Duration::from_millis(10), later);
        assert!(health.cost() < 50_000, "{}", health.cost());
        let _open = health.open(None).unwrap();
        assert!(health.cost() >= 20_000);
    }
}
