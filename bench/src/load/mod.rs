//! The load: one thread, so that it takes as little of the machine as it can.

mod closed;
mod exchange;
mod held;
mod open;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::time::Duration;

pub(crate) use exchange::ask_once;
pub(crate) use held::hold;
use tokio_rustls::TlsConnector;

use crate::ask::Ask;
use crate::problem::Problem;
use crate::rows::How;
use crate::targets::Door;

/// What to do to whom.
#[derive(Clone)]
pub(crate) struct Load {
    pub(crate) address: SocketAddr,
    pub(crate) ask: Ask,
    pub(crate) how: How,
    /// One is shown with each request, taken at random. All have the same length.
    pub(crate) keys: Vec<String>,
    /// Header fields that this target asks for, each with its line's end.
    pub(crate) headers: String,
    pub(crate) tls: Option<TlsConnector>,
    /// The target writes answers anew.
    pub(crate) rewritten: bool,
    /// Before the window, not counted.
    pub(crate) warm_up: Duration,
    pub(crate) window: Duration,
    /// The same number gives the same arrival times.
    pub(crate) seed: u64,
}

impl Load {
    /// One chat completion through `door`.
    pub(crate) fn one(door: &Door, tls: Option<TlsConnector>) -> Self {
        Self {
            address: door.address,
            ask: Ask::Chat,
            how: How::Closed(1),
            keys: door.keys.clone(),
            headers: door.headers.clone(),
            tls,
            rewritten: door.rewritten,
            warm_up: Duration::ZERO,
            window: Duration::ZERO,
            seed: 1,
        }
    }
}

/// What was done in the window.
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// From a request's first byte (open loop: from its planned time) to the first of the answer's body, rising.
    pub(crate) first_byte: Vec<Duration>,
    /// The same to the answer's last byte, rising; one for each answer.
    pub(crate) total: Vec<Duration>,
    /// From the mock upstream's sending of an event to its arrival, rising. The first event of a stream is not among them.
    pub(crate) events: Vec<Duration>,
}

impl Outcome {
    pub(crate) fn per_second(&self) -> f64 {
        as_f64(self.total.len()) / self.elapsed.as_secs_f64()
    }

    /// Mean time of an answer, in seconds.
    pub(crate) fn mean(&self) -> f64 {
        self.total.iter().map(Duration::as_secs_f64).sum::<f64>() / as_f64(self.total.len().max(1))
    }
}

/// The value below which so many hundredths of `rising` lie.
pub(crate) fn percentile(rising: &[Duration], hundredths: usize) -> Duration {
    let at = (rising.len() * hundredths / 100).min(rising.len().saturating_sub(1));
    rising.get(at).copied().unwrap_or_default()
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "counts of requests stay far below 2^52")]
pub(crate) const fn as_f64(count: usize) -> f64 {
    count as f64
}

/// Puts the load on; `at_edge` is called at the start and at the end of the window.
///
/// # Errors
/// Any answer that is not the expected one: a figure with failures in it is none.
pub(crate) fn run(load: &Load, at_edge: impl FnMut()) -> Result<Outcome, Problem> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = tokio::task::LocalSet::new();
    let mut outcome = match load.how {
        How::Open(per_second) => tasks.block_on(&runtime, open::run(load, per_second, at_edge))?,
        How::Closed(connections) | How::Fresh(connections) | How::Paced(connections) => {
            tasks.block_on(&runtime, closed::run(load, connections, at_edge))?
        }
        How::Keys(_) => tasks.block_on(&runtime, closed::run(load, 64, at_edge))?,
        How::Held(_) | How::Start => return Err(Problem::new("this row has no load")),
    };
    for times in [&mut outcome.first_byte, &mut outcome.total, &mut outcome.events] {
        times.sort_unstable();
    }
    if outcome.total.is_empty() { Err(Problem::new("nothing was answered in the window")) } else { Ok(outcome) }
}

/// What the tasks of one run share.
#[derive(Default)]
struct Shared {
    counts: Cell<bool>,
    stops: Cell<bool>,
    first_byte: RefCell<Vec<Duration>>,
    total: RefCell<Vec<Duration>>,
    events: RefCell<Vec<Duration>>,
    failure: RefCell<Option<String>>,
}

impl Shared {
    fn fail(&self, why: String) {
        self.failure.borrow_mut().get_or_insert(why);
        self.stops.set(true);
    }

    fn outcome(&self, elapsed: Duration) -> Result<Outcome, Problem> {
        match self.failure.take() {
            Some(why) => Err(Problem::new(why)),
            None => {
                Ok(Outcome { elapsed, first_byte: self.first_byte.take(), total: self.total.take(), events: self.events.take() })
            }
        }
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
struct Random(Cell<u64>);

impl Random {
    fn new(seed: u64) -> Self {
        // The first step spreads small seeds, and 0 would stay 0.
        Self(Cell::new((seed ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xbf58_476d_1ce4_e5b9) | 1))
    }

    fn next(&self) -> u64 {
        let mut number = self.0.get();
        number ^= number >> 12;
        number ^= number << 25;
        number ^= number >> 27;
        self.0.set(number);
        number.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }

    /// Above 0, at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    fn part(&self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Random, percentile};

    #[test]
    fn percentiles_are_of_the_sorted_list() {
        let rising: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&rising, 50), Duration::from_millis(101));
        assert_eq!(percentile(&rising, 99), Duration::from_millis(199));
        assert_eq!(percentile(&rising[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }

    #[test]
    fn random_numbers_cover_their_range_and_come_again() {
        let (one, same, other) = (Random::new(1), Random::new(1), Random::new(2));
        let draw = |random: &Random| (0..1000).map(|_| random.below(10)).collect::<Vec<_>>();
        let drawn = draw(&one);
        assert_eq!(drawn, draw(&same));
        assert_ne!(drawn, draw(&other));
        for digit in 0..10 {
            assert!(drawn.iter().filter(|drawn| **drawn == digit).count() > 50, "{digit}");
        }
        let mean = (0..10_000).map(|_| -one.part().ln()).sum::<f64>() / 10_000.0;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
    }
}
