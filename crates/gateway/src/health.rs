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
/// Time in which a peak of the latency is forgotten by two thirds, or by half where nothing is asked any more.
const DECAY: Duration = Duration::from_secs(10);
/// What is expected of a provider that has been asked and has not answered yet.
const UNKNOWN_US: u64 = 1_000_000;

/// One provider's health, as this gateway sees it.
pub(crate) struct Health {
    born: Instant,
    open: AtomicU32,
    /// Those of them whose answer has not begun.
    waiting: AtomicU32,
    /// Peak-sensitive moving average of the time to the head of an answer, in microseconds.
    latency_us: AtomicU64,
    /// When it was taken, in milliseconds since `born`.
    latency_at_ms: AtomicU64,
    /// In a row.
    failures: AtomicU32,
    /// Rests in a row.
    trips: AtomicU32,
    /// Until when the provider is left alone because it fails, in milliseconds since `born`.
    resting_until_ms: AtomicU64,
    /// Until when because it asked for that. No success ends it: a request that was sent before may well succeed after.
    limited_until_ms: AtomicU64,
}

/// A request that is open at a provider.
pub(crate) struct Open {
    health: Arc<Health>,
    waits: bool,
}

impl Open {
    /// The head of an answer came, and it was none of a failing server.
    pub(crate) fn answered(&mut self, after: Duration, now: Instant) {
        self.heard();
        self.health.answered(after, now);
    }

    /// The server failed: it did not answer, its answer said so, or it stopped in the middle. Says whether that opened the circuit breaker.
    pub(crate) fn failed(&mut self, failure: Failure, retry_after: Option<Duration>, now: Instant) -> bool {
        self.heard();
        self.health.failed(failure, retry_after, now)
    }

    /// The answer came to its end.
    pub(crate) fn served(&self) {
        self.health.served();
    }

    fn heard(&mut self) {
        if std::mem::take(&mut self.waits) {
            self.health.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.heard();
        self.health.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Health {
    pub(crate) fn new(now: Instant) -> Arc<Self> {
        Arc::new(Self {
            born: now,
            open: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            latency_us: AtomicU64::new(0),
            latency_at_ms: AtomicU64::new(0),
            failures: AtomicU32::new(0),
            trips: AtomicU32::new(0),
            resting_until_ms: AtomicU64::new(0),
            limited_until_ms: AtomicU64::new(0),
        })
    }

    /// Counts a request as open, unless `limit` of them are.
    pub(crate) fn open(self: &Arc<Self>, limit: Option<u32>) -> Option<Open> {
        let limit = limit.unwrap_or(u32::MAX);
        let more = |open: u32| (open < limit).then_some(open + 1);
        self.open.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Some(Open { health: Arc::clone(self), waits: true })
    }

    fn answered(&self, after: Duration, now: Instant) {
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

    fn served(&self) {
        // Looked at first: written by every request, the line would pass from processor to processor.
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.trips.store(0, Ordering::Relaxed);
        }
    }

    fn failed(&self, failure: Failure, retry_after: Option<Duration>, now: Instant) -> bool {
        let limited = failure == Failure::RateLimited;
        if let Some(rest) = retry_after.or_else(|| limited.then_some(Duration::from_secs(1))) {
            self.limited_until_ms.fetch_max(self.after(rest.min(LIMITED), now), Ordering::Relaxed);
        }
        if limited {
            return false;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        let rested = self.resting_until_ms.load(Ordering::Relaxed);
        // Those that were sent before the rest began, and fail in it, make it no longer.
        if failures < TRIPS_AFTER || self.millis(now) < rested {
            return false;
        }
        let trips = self.trips.load(Ordering::Relaxed).min(16);
        let until = self.after(REST.saturating_mul(1 << trips).min(REST_LIMIT), now);
        // Of those that fail at the same moment one opens it.
        if self.resting_until_ms.compare_exchange(rested, until, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return false;
        }
        self.trips.fetch_add(1, Ordering::Relaxed);
        // One more failure after the rest, and it rests again.
        self.failures.store(TRIPS_AFTER - 1, Ordering::Relaxed);
        true
    }

    fn after(&self, time: Duration, now: Instant) -> u64 {
        self.millis(now).saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    /// Whether the provider had better be left alone at the moment. After a rest one request may try; the others wait for how it fares.
    pub(crate) fn rests(&self, now: Instant) -> bool {
        let is_limited = self.millis(now) < self.limited_until_ms.load(Ordering::Relaxed);
        let is_tried = || self.trips.load(Ordering::Relaxed) > 0 && self.waiting.load(Ordering::Relaxed) > 0;
        is_limited || self.is_resting(now) || is_tried()
    }

    /// Whether the circuit breaker is open: the provider is left alone because it failed.
    pub(crate) fn is_resting(&self, now: Instant) -> bool {
        self.millis(now) < self.resting_until_ms.load(Ordering::Relaxed)
    }

    /// Requests that are open.
    pub(crate) fn open_now(&self) -> u32 {
        self.open.load(Ordering::Relaxed)
    }

    /// Whether one more request would be too many.
    pub(crate) fn is_full(&self, limit: Option<u32>) -> bool {
        limit.is_some_and(|limit| self.open.load(Ordering::Relaxed) >= limit)
    }

    /// Expected waiting: latency times what is open.
    pub(crate) fn cost(&self, now: Instant) -> u64 {
        let open = u64::from(self.open.load(Ordering::Relaxed));
        let known = self.latency_us.load(Ordering::Relaxed);
        let latency = if self.waiting.load(Ordering::Relaxed) > 0 {
            // Who is silent gets no better by it.
            if known == 0 { UNKNOWN_US } else { known }
        } else {
            // Who was slow once and is not asked any more has to be asked again some day.
            let since = self.millis(now).saturating_sub(self.latency_at_ms.load(Ordering::Relaxed));
            u32::try_from(since / DECAY_MS).ok().and_then(|halvings| known.checked_shr(halvings)).unwrap_or(0)
        };
        latency.saturating_mul(open + 1)
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
            assert!(!health.failed(Failure::Connect, None, now));
        }
        assert!(!health.rests(now));
        assert!(health.failed(Failure::Connect, None, now), "it opens once");
        assert!(!health.failed(Failure::Connect, None, now) && health.is_resting(now));
        assert!(health.rests(now) && health.rests(now + Duration::from_secs(4)));
        let later = now + Duration::from_secs(6);
        assert!(!health.rests(later) && !health.is_resting(later), "one may try");
        assert!(health.failed(Failure::ServerError, None, later), "and opens again");
        assert!(health.rests(later + Duration::from_secs(9)), "twice as long");
        health.answered(Duration::from_millis(1), later);
        assert!(!health.rests(later));
        health.served();
        health.failed(Failure::Connect, None, later);
        assert!(!health.rests(later), "and counting begins anew");
    }

    #[test]
    fn after_a_rest_one_request_tries_and_the_others_wait_for_it() {
        let now = Instant::now();
        let health = Health::new(now);
        let stream = health.open(None).map(|mut open| {
            open.answered(Duration::from_millis(1), now);
            open
        });
        for _ in 0..TRIPS_AFTER {
            health.failed(Failure::ServerError, None, now);
        }
        let later = now + Duration::from_secs(6);
        assert!(!health.rests(later), "an old stream does not stand in the way");
        let mut trying = health.open(None).unwrap();
        assert!(health.rests(later));
        trying.failed(Failure::TimeoutFirstByte, None, later);
        drop(trying);
        let later = later + Duration::from_secs(11);
        let mut trying = health.open(None).unwrap();
        assert!(health.rests(later));
        trying.answered(Duration::from_millis(1), later);
        assert!(!health.rests(later));
        trying.served();
        let _waiting = health.open(None).unwrap();
        assert!(!health.rests(later), "everybody may");
        drop(stream);
    }

    #[test]
    fn many_failures_at_once_are_one_rest() {
        let now = Instant::now();
        let health = Health::new(now);
        for _ in 0..100 {
            health.failed(Failure::Connect, None, now);
        }
        assert!(health.rests(now + Duration::from_secs(4)) && !health.rests(now + Duration::from_secs(6)));
    }

    #[test]
    fn answers_that_break_count_though_they_began_well() {
        let now = Instant::now();
        let health = Health::new(now);
        for turn in 1..=TRIPS_AFTER {
            let mut open = health.open(None).unwrap();
            open.answered(Duration::from_millis(1), now);
            open.failed(Failure::Cut, None, now);
            assert_eq!(health.rests(now), turn == TRIPS_AFTER);
        }
    }

    #[test]
    fn retry_after_is_obeyed_up_to_a_minute_whatever_succeeds_meanwhile() {
        let now = Instant::now();
        let health = Health::new(now);
        assert!(!health.failed(Failure::RateLimited, Some(Duration::from_secs(7)), now), "no failure of its circuit breaker");
        health.answered(Duration::from_millis(1), now);
        health.served();
        assert!(health.rests(now + Duration::from_secs(6)) && !health.rests(now + Duration::from_secs(8)));
        health.failed(Failure::RateLimited, Some(Duration::from_secs(86_400)), now);
        assert!(health.rests(now + Duration::from_secs(59)) && !health.rests(now + Duration::from_secs(61)));
        let health = Health::new(now);
        health.failed(Failure::ServerError, Some(Duration::from_secs(7)), now);
        assert!(health.rests(now + Duration::from_secs(6)), "503 says it too");
    }

    #[test]
    fn open_requests_are_limited_and_given_back() {
        let health = Health::new(Instant::now());
        let first = health.open(Some(2)).unwrap();
        let second = health.open(Some(2)).unwrap();
        assert_eq!(health.open_now(), 2);
        assert!(health.open(Some(2)).is_none() && health.is_full(Some(2)) && !health.is_full(None));
        drop(first);
        assert!(health.open(Some(2)).is_some());
        drop(second);
    }

    #[test]
    fn peaks_count_at_once_and_are_forgotten() {
        let now = Instant::now();
        let health = Health::new(now);
        assert_eq!(health.cost(now), 0, "whoever is unknown is tried");
        let mut first = health.open(None).unwrap();
        assert!(health.cost(now) >= 1_000_000, "but not by everybody before it has answered");
        first.answered(Duration::from_millis(10), now);
        drop(first);
        assert_eq!(health.cost(now), 10_000);
        health.answered(Duration::from_millis(500), now);
        assert_eq!(health.cost(now), 500_000);
        let later = now + Duration::from_secs(20);
        assert_eq!(health.cost(later), 125_000, "without a sample too");
        let waiting = health.open(None).unwrap();
        assert_eq!(health.cost(later), 1_000_000, "unless it is silent because it is slow");
        drop(waiting);
        health.answered(Duration::from_millis(10), later);
        assert!(health.cost(later) < 50_000, "{}", health.cost(later));
        let _open = health.open(None).unwrap();
        assert!(health.cost(later) >= 20_000);
    }
}
