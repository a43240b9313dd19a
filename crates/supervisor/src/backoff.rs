//! How long a part that ended by itself waits before it is started again.
//!
//! As systemd's `RestartSec` with `RestartSteps`: soon at first, because most ends are single events, and then at ever longer
//! intervals, because what fails at once every time would otherwise use up the machine that the others need.

use std::time::{Duration, Instant};

/// Bounds of the pauses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pauses {
    /// Before the first new start.
    pub first: Duration,
    /// Beyond this they do not grow.
    pub longest: Duration,
    /// A part that has run for so long is well: its next end is a first one again.
    pub well: Duration,
}

impl Default for Pauses {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(10), well: Duration::from_secs(60) }
    }
}

/// The pauses of one role.
#[derive(Debug)]
pub(crate) struct Backoff {
    pauses: Pauses,
    next: Duration,
    running_since: Option<Instant>,
}

impl Backoff {
    pub(crate) const fn new(pauses: Pauses) -> Self {
        Self { pauses, next: pauses.first, running_since: None }
    }

    /// The part serves from `now` on.
    pub(crate) const fn started(&mut self, now: Instant) {
        self.running_since = Some(now);
    }

    /// For how long the part has been serving.
    pub(crate) fn running_for(&self, now: Instant) -> Option<Duration> {
        self.running_since.map(|since| now.saturating_duration_since(since))
    }

    /// The part ended at `now`, or could not be started: how long to wait.
    pub(crate) fn ended(&mut self, now: Instant) -> Duration {
        let ran = self.running_since.take().map(|since| now.saturating_duration_since(since));
        if ran.is_some_and(|ran| ran >= self.pauses.well) {
            self.next = self.pauses.first;
        }
        let pause = self.next.min(self.pauses.longest);
        self.next = pause.saturating_mul(2);
        pause
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Backoff, Pauses};

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut backoff = Backoff::new(Pauses::default());
        let now = Instant::now();
        let pauses: Vec<u128> = (0..9).map(|_| backoff.ended(now).as_millis()).collect();
        assert_eq!(pauses, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn a_minute_of_good_running_begins_anew_and_less_does_not() {
        let mut backoff = Backoff::new(Pauses::default());
        let now = Instant::now();
        assert_eq!(backoff.ended(now), 100 * MS);
        backoff.started(now);
        assert_eq!(backoff.ended(now + 59 * SECOND), 200 * MS);
        backoff.started(now);
        assert_eq!(backoff.ended(now + 60 * SECOND), 100 * MS);
        // A start that failed is no running, however long it took.
        assert_eq!(backoff.ended(now + 600 * SECOND), 200 * MS);
    }
}
