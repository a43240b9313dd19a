//! What a gateway counts besides its records: failures of each route's provider, and clients that were not served.
//!
//! Totals since the start of the gateway, in memory, told to control when they have changed. Totals instead of differences, so
//! that one that comes twice or not at all does no harm. Everything that counts here has already gone wrong, so a read lock and
//! a relaxed addition cost nothing that matters; the memory is bounded by the routes that control has named.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use lethe_types::{Failure, Refused, RouteId};

use crate::frame::{Counted, Frame, FrameError, Tally, Up};

const FAILURES: usize = Failure::ALL.len();
const REFUSALS: usize = Refused::ALL.len();

/// One route's failures, by their position in [`Failure::ALL`].
struct Row([AtomicU64; FAILURES]);

/// The counters of one gateway start.
pub struct Counts {
    /// Failures before a route was chosen, or of a route that nobody named.
    nowhere: Row,
    routes: RwLock<BTreeMap<RouteId, Row>>,
    refused: [AtomicU64; REFUSALS],
    /// Something was counted since it was asked for last.
    news: AtomicBool,
}

impl Row {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; FAILURES])
    }

    fn add(&self, failure: Failure) {
        if let Some(position) = Failure::ALL.iter().position(|known| *known == failure) {
            self.0[position].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn tallies(&self, route: RouteId) -> impl Iterator<Item = Tally> {
        let of = move |failure| Counted::Failure(route, failure);
        Failure::ALL.into_iter().zip(&self.0).map(move |(failure, count)| Tally::new(of(failure), count))
    }
}

impl Counts {
    /// Nothing counted yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            nowhere: Row::new(),
            routes: RwLock::new(BTreeMap::new()),
            refused: [const { AtomicU64::new(0) }; REFUSALS],
            news: AtomicBool::new(false),
        }
    }

    /// Makes room for these routes. What was counted for others stays.
    pub fn know(&self, routes: impl IntoIterator<Item = RouteId>) {
        let mut known = self.routes.write().unwrap_or_else(PoisonError::into_inner);
        for route in routes {
            known.entry(route).or_insert_with(Row::new);
        }
    }

    /// An attempt on `route` failed.
    pub fn failed(&self, route: RouteId, failure: Failure) {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        known.get(&route).unwrap_or(&self.nowhere).add(failure);
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

    /// Every total that is not 0.
    #[must_use]
    pub fn tallies(&self) -> Vec<Tally> {
        let known = self.routes.read().unwrap_or_else(PoisonError::into_inner);
        let routes = known.iter().flat_map(|(route, row)| row.tallies(*route));
        let refused = Refused::ALL.into_iter().zip(&self.refused);
        let refused = refused.map(|(refused, count)| Tally::new(Counted::Refused(refused), count));
        self.nowhere.tallies(RouteId::NONE).chain(routes).chain(refused).filter(|tally| tally.total > 0).collect()
    }
}

/// One connection's knowledge of the counts: control may be another than on the last one, so it is told every total anew.
pub(crate) struct Teller<'a> {
    counts: &'a Counts,
    told: BTreeMap<Counted, u64>,
    begun: bool,
}

impl<'a> Teller<'a> {
    pub(crate) const fn new(counts: &'a Counts) -> Self {
        Self { counts, told: BTreeMap::new(), begun: false }
    }

    /// Appends the totals that have changed since they were told.
    pub(crate) fn load(&mut self, bytes: &mut Vec<u8>) -> Result<(), FrameError> {
        if !self.counts.take_news() && self.begun {
            return Ok(());
        }
        self.begun = true;
        let told = &mut self.told;
        let changed = self.counts.tallies().into_iter().filter(|tally| told.insert(tally.of, tally.total) != Some(tally.total));
        changed.map(Up::Tally).try_for_each(|frame| frame.encode(bytes))
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
    use lethe_types::{Failure, Refused, RouteId};

    use super::Counts;
    use crate::frame::{Counted, Tally};

    #[test]
    fn what_is_counted_is_told_and_routes_are_bounded_by_what_is_known() {
        let counts = Counts::new();
        assert!(!counts.take_news() && counts.tallies().is_empty());
        counts.know([RouteId(7)]);
        counts.failed(RouteId(7), Failure::Tls);
        counts.failed(RouteId(7), Failure::Tls);
        counts.refused(Refused::ZeroRetentionConflict);
        for unknown in 8..1000 {
            counts.failed(RouteId(unknown), Failure::Cut);
        }
        counts.know([RouteId(7), RouteId(9)]);
        assert!(counts.take_news() && !counts.take_news());
        let expected = [
            Tally { of: Counted::Failure(RouteId::NONE, Failure::Cut), total: 992 },
            Tally { of: Counted::Failure(RouteId(7), Failure::Tls), total: 2 },
            Tally { of: Counted::Refused(Refused::ZeroRetentionConflict), total: 1 },
        ];
        assert_eq!(counts.tallies(), expected);
    }
}
