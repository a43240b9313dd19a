//! How slowly the other side may go.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

/// Waits for `work`, for at most `limit` from the moment that it has to be waited for: what is done at once costs no timer and no
/// look at the clock.
///
/// # Errors
/// [`Elapsed`] when it took longer.
pub async fn within<Work: Future>(limit: Duration, work: Work) -> Result<Work::Output, Elapsed> {
    let mut work = pin!(work);
    match poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await {
        Poll::Ready(done) => Ok(done),
        Poll::Pending => timeout(limit, work).await,
    }
}

/// A bound on each wait, and one on all of them together.
#[derive(Clone, Copy)]
pub(crate) struct Rate {
    /// For one wait.
    pub(crate) idle: Duration,
    /// For all of them: `idle`, and one second more for so many bytes that have passed; 0 for no such bound. (The rule of Apache's
    /// `RequestReadTimeout`, which has held against slow clients for long.)
    pub(crate) bytes_per_second: u32,
}

/// Something that passes slowly, from its start on.
pub(crate) struct Pace {
    rate: Rate,
    started: Instant,
    bytes: u64,
}

impl Pace {
    pub(crate) fn start(rate: Rate) -> Self {
        Self { rate, started: Instant::now(), bytes: 0 }
    }

    /// So many bytes more have passed.
    pub(crate) const fn passed(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// How long may be waited now.
    pub(crate) fn left(&self) -> Duration {
        let Some(seconds) = self.bytes.checked_div(self.rate.bytes_per_second.into()) else { return self.rate.idle };
        let allowed = self.rate.idle.saturating_add(Duration::from_secs(seconds));
        allowed.saturating_sub(self.started.elapsed()).min(self.rate.idle)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Pace, Rate};

    #[test]
    fn bytes_buy_time_and_none_is_bought_for_ever() {
        let slow = Rate { idle: Duration::from_secs(10), bytes_per_second: 100 };
        let mut pace = Pace { started: tokio::time::Instant::now() - Duration::from_secs(15), ..Pace::start(slow) };
        assert_eq!(pace.left(), Duration::ZERO);
        pace.passed(900);
        let left = pace.left();
        assert!(left > Duration::from_secs(3) && left <= Duration::from_secs(4), "{left:?}");
        pace.passed(1_000_000);
        assert_eq!(pace.left(), slow.idle, "never more than one wait's bound");
        let free = Rate { bytes_per_second: 0, ..slow };
        let pace = Pace { started: tokio::time::Instant::now() - Duration::from_secs(1_000), ..Pace::start(free) };
        assert_eq!(pace.left(), free.idle);
    }
}
