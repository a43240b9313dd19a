//! What a gateway counts besides its records: the steps of requests on each route, failures of its provider, and clients that were
//! not served.
//!
//! Totals since the start of the gateway, in memory, told to control when they have changed. Totals instead of differences, so
//! that one that comes twice or not at all does no harm. What has gone wrong takes a read lock and a relaxed addition, which cost
//! nothing that matters then, and is told soon; what counts every request is a relaxed addition to what the request has at hand
//! ([`OnRoute`]), and is told with the next heartbeat. The memory is bounded by the routes that control has named.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use lethe_types::{Failure, Refused, RouteId};

use crate::frame::{Counted, Frame, FrameError, Level, Tally, Up};
use crate::routed::{Gauge, Routed};

const FAILURES: usize = Failure::ALL.len();
const REFUSALS: usize = Refused::ALL.len();
const STEPS: usize = Routed::ALL.len();

/// One route's counters, each by its position in `ALL`.
pub struct OnRoute {
    failures: [AtomicU64; FAILURES],
    steps: [AtomicU64; STEPS],
}

/// The counters of one gateway start.
pub struct Counts {
    /// Before a route was chosen, or of a route that nobody named.
    nowhere: OnRoute,
    routes: RwLock<BTreeMap<RouteId, Arc<OnRoute>>>,
    refused: [AtomicU64; REFUSALS],
    /// Something went wrong since it was asked for last.
    news: AtomicBool,
}

impl OnRoute {
    const fn new() -> Self {
        Self { failures: [const { AtomicU64::new(0) }; FAILURES], steps: [const { AtomicU64::new(0) }; STEPS] }
    }

    /// A request has made this step on the route.
    pub fn routed(&self, routed: Routed) {
        if let Some(count) = self.steps.get(usize::from(routed.code()) - 1) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failed(&self, failure: Failure) {
        if let Some(position) = Failure::ALL.iter().position(|known| *known == failure) {
            self.failures[position].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn failures(&self, route: RouteId) -> impl Iterator<Item = Tally> {
        let of = move |failure| Counted::Failure(route, failure);
        Failure::ALL.into_iter().zip(&self.failures).map(move |(failure, count)| Tally::new(of(failure), count))
    }

    fn steps(&self, route: RouteId) -> impl Iterator<Item = Tally> {
        let of = move |routed| Counted::Routed(route, routed);
        Routed::ALL.into_iter().zip(&self.steps).map(move |(routed, count)| Tally::new(of(routed), count))
    }
}

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nowhere: OnRoute::new(),
            routes: RwLock::new(BTreeMap::new()),
            refused: [const { AtomicU64::new(0) }; REFUSALS],
            news: AtomicBool::new(false),
        }
    }

    /// Makes room for these routes. What was counted for others stays.
    pub fn know(&self, routes: impl IntoIterator<Item = RouteId>) {
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for route in routes {
            known.entry(route).or_insert_with(|| Arc::new(OnRoute::new()));
        }
    }

    /// The counters of `route`, to be at hand where its requests are; `None` for one that there is no room for.
    pub fn on(&self, route: RouteId) -> Option<Arc<OnRoute>> {
        self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&route).map(Arc::clone)
    }

    /// A request has made this step on `route`. For steps that not every request makes.
    pub fn routed(&self, route: RouteId, routed: Routed) {
        if let Some(on) = self.routes.read().unwrap_or_else(PoisonError::into_inner).get(&route) {
            on.routed(routed);
        }
    }

    /// An attempt on `route` failed.
    pub fn failed(&self, route: RouteId, failure: Failure) {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&route).map_or(&self.nowhere, |on| on).failed(failure);
        drop(known);
        self.news.store(true, Ordering::Release);
    }

    /// A client was not served.
    pub fn refused(&self, refused: Refused) {
        if let Some(count) = self.refused.get(usize::from(refused.code()) - 1) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.news.store(true, Ordering::Release);
    }

    /// Whether anything was counted since the last call. For one asker, the link.
    pub fn take_news(&self) -> bool {
        self.news.load(Ordering::Relaxed) && self.news.swap(false, Ordering::Acquire)
    }

    /// Every total of steps that is not 0.
    #[must_use]
    pub fn steps(&self) -> Vec<Tally> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        known.iter().flat_map(|(route, on)| on.steps(*route)).filter(|tally| tally.total > 0).collect()
    }

    /// Every total of what went wrong that is not 0.
    #[must_use]
    pub fn faults(&self) -> Vec<Tally> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let routes = known.iter().flat_map(|(route, on)| on.failures(*route));
        let refused = Refused::ALL.into_iter().zip(&self.refused);
        let refused = refused.map(|(refused, count)| Tally::new(Counted::Refused(refused), count));
        self.nowhere.failures(RouteId::NONE).chain(routes).chain(refused).filter(|tally| tally.total > 0).collect()
    }
}

/// One connection's knowledge of counts and gauges: control may be another than on the last one, so it is told everything anew.
pub(crate) struct Teller<'a, Levels> {
    counts: &'a Counts,
    /// How the providers are now.
    levels: Levels,
    told: BTreeMap<Counted, u64>,
    told_levels: BTreeMap<(Gauge, RouteId), u32>,
    begun: bool,
}

impl<'a, Levels: Fn() -> Vec<Level>> Teller<'a, Levels> {
    pub(crate) const fn new(counts: &'a Counts, levels: Levels) -> Self {
        Self { counts, levels, told: BTreeMap::new(), told_levels: BTreeMap::new(), begun: false }
    }

    /// Appends what has changed since it was told: what went wrong always, the rest if `beat`.
    pub(crate) fn load(&mut self, beat: bool, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        if self.counts.take_news() || !self.begun {
            self.begun = true;
            self.tell(self.counts.faults(), bytes)?;
        }
        if beat {
            self.tell(self.counts.steps(), bytes)?;
            self.tell_levels(bytes)?;
        }
        Ok(())
    }

    fn tell(&mut self, tallies: Vec<Tally>, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        let told = &mut self.told;
        let changed = tallies.into_iter().filter(|tally| told.insert(tally.of, tally.total) != Some(tally.total));
        changed.map(Up::Tally).try_for_each(|frame| frame.encode(bytes))
    }

    /// What is not among the levels any more, since the configuration has changed, is 0.
    fn tell_levels(&mut self, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        let now: BTreeMap<_, _> = (self.levels)().into_iter().map(|level| ((level.of, level.route), level.value)).collect();
        let told = std::mem::take(&mut self.told_levels);
        let gone = told.keys().filter(|of| !now.contains_key(of)).map(|of| (*of, 0));
        let changed =
            now.iter().map(|(of, value)| (*of, *value)).chain(gone).filter(|(of, value)| told.get(of).unwrap_or(&0) != value);
        for ((of, route), value) in changed {
            Up::Level(Level { of, route, value }).encode(bytes)?;
        }
        self.told_levels = now;
        Ok(())
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    fn new(of: Counted, count: &AtomicU64) -> Self {
        Self { of, total: count.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test")]

    use std::cell::RefCell;

    use lethe_types::{Failure, Refused, RouteId};

    use super::{Counts, Teller};
    use crate::decoder::Decoder;
    use crate::frame::{Counted, Level, Tally, Up};
    use crate::routed::{Gauge, Routed};

    #[test]
    fn what_is_counted_is_told_and_routes_are_bounded_by_what_is_known() {
        let counts = Counts::new();
        assert!(!counts.take_news() && counts.faults().is_empty());
        counts.know([RouteId(7)]);
        counts.failed(RouteId(7), Failure::Tls);
        counts.failed(RouteId(7), Failure::Tls);
        counts.refused(Refused::ZeroRetentionConflict);
        for unknown in 8..1000 {
            counts.failed(RouteId(unknown), Failure::Cut);
            counts.routed(RouteId(unknown), Routed::Fallback);
            assert!(counts.on(RouteId(unknown)).is_none());
        }
        counts.know([RouteId(7), RouteId(9)]);
        assert!(counts.take_news() && !counts.take_news());
        let expected = [
            Tally { of: Counted::Failure(RouteId::NONE, Failure::Cut), total: 992 },
            Tally { of: Counted::Failure(RouteId(7), Failure::Tls), total: 2 },
            Tally { of: Counted::Refused(Refused::ZeroRetentionConflict), total: 1 },
        ];
        assert_eq!(counts.faults(), expected);
        assert_eq!(counts.steps(), []);
    }

    #[test]
    fn steps_are_counted_where_they_are_at_hand_and_are_no_news() {
        let counts = Counts::new();
        counts.know([RouteId(7)]);
        let on = counts.on(RouteId(7)).unwrap();
        // Another configuration finds the same counters.
        counts.know([RouteId(7)]);
        counts.on(RouteId(7)).unwrap().routed(Routed::Attempt);
        on.routed(Routed::Attempt);
        for routed in Routed::ALL {
            counts.routed(RouteId(7), routed);
        }
        assert!(!counts.take_news());
        let total = |routed| if routed == Routed::Attempt { 3 } else { 1 };
        let expected = Routed::ALL.map(|routed| Tally { of: Counted::Routed(RouteId(7), routed), total: total(routed) });
        assert_eq!(counts.steps(), expected);
    }

    #[test]
    fn what_has_changed_is_told_with_the_next_heartbeat() {
        let (counts, levels) = (Counts::new(), RefCell::new(Vec::new()));
        counts.know([RouteId(7)]);
        let mut teller = Teller::new(&counts, || levels.borrow().clone());
        let mut load = |beat| {
            let (mut bytes, mut decoder, mut told) = (Vec::new(), Decoder::<Up>::new(), Vec::new());
            teller.load(beat, &mut bytes).unwrap();
            decoder.push(&bytes);
            while let Some(frame) = decoder.next_frame().unwrap() {
                told.push(frame);
            }
            told
        };
        let level = |of, route, value| Level { of, route: RouteId(route), value };
        let attempts = |total| Up::Tally(Tally { of: Counted::Routed(RouteId(7), Routed::Attempt), total });
        counts.routed(RouteId(7), Routed::Attempt);
        levels.replace(vec![level(Gauge::CircuitOpen, 7, 0), level(Gauge::RequestsOpen, 7, 1)]);
        assert_eq!(load(false), []);
        assert_eq!(load(true), [attempts(1), Up::Level(level(Gauge::RequestsOpen, 7, 1))], "0 need not be told");
        assert_eq!(load(true), []);
        counts.routed(RouteId(7), Routed::Attempt);
        levels.replace(vec![level(Gauge::CircuitOpen, 7, 1), level(Gauge::RequestsOpen, 7, 0)]);
        let told = [attempts(2), Up::Level(level(Gauge::CircuitOpen, 7, 1)), Up::Level(level(Gauge::RequestsOpen, 7, 0))];
        assert_eq!(load(true), told);
        // The provider has another first route, and then there is none.
        levels.replace(vec![level(Gauge::CircuitOpen, 3, 1)]);
        assert_eq!(load(true), [Up::Level(level(Gauge::CircuitOpen, 3, 1)), Up::Level(level(Gauge::CircuitOpen, 7, 0))]);
        levels.take();
        assert_eq!(load(true), [Up::Level(level(Gauge::CircuitOpen, 3, 0))]);
        assert_eq!(load(true), []);
    }
}
