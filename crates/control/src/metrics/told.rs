//! Totals that gateways tell, added up over every start of every gateway.

use std::collections::BTreeMap;

use lethe_link::{Beat, Counted, Tally};
use lethe_types::Millis;
use lethe_usage::InstanceId;

/// Gateway starts whose last totals are remembered, so that one that links again is not counted twice.
const INSTANCES: usize = 1024;

/// What was told since the start of control.
#[derive(Clone, Default)]
pub(crate) struct Told {
    pub(crate) counted: BTreeMap<Counted, u64>,
    pub(crate) started: u64,
    pub(crate) finished: u64,
    instances: BTreeMap<InstanceId, Last>,
}

/// What one gateway start said last.
#[derive(Clone, Default)]
struct Last {
    counted: BTreeMap<Counted, u64>,
    started: u64,
    finished: u64,
    at: Millis,
}

impl Told {
    pub(crate) fn tally(&mut self, instance: InstanceId, tally: Tally, now: Millis) {
        let last = self.last(instance, now).counted.entry(tally.of).or_default();
        let more = raise(last, tally.total);
        let sum = self.counted.entry(tally.of).or_default();
        *sum = sum.saturating_add(more);
    }

    pub(crate) fn beat(&mut self, instance: InstanceId, beat: Beat, now: Millis) {
        let last = self.last(instance, now);
        let (started, finished) = (raise(&mut last.started, beat.started), raise(&mut last.finished, beat.finished));
        self.started = self.started.saturating_add(started);
        self.finished = self.finished.saturating_add(finished);
    }

    fn last(&mut self, instance: InstanceId, now: Millis) -> &mut Last {
        if !self.instances.contains_key(&instance) && self.instances.len() >= INSTANCES {
            let oldest = self.instances.iter().min_by_key(|(_, last)| last.at).map(|(instance, _)| *instance);
            oldest.and_then(|oldest| self.instances.remove(&oldest));
        }
        let last = self.instances.entry(instance).or_default();
        last.at = now;
        last
    }
}

/// Raises `last` to `total` and says by how much; a total that went down says nothing new.
fn raise(last: &mut u64, total: u64) -> u64 {
    let more = total.saturating_sub(*last);
    *last += more;
    more
}

#[cfg(test)]
mod tests {
    use lethe_link::{Beat, Counted, Tally};
    use lethe_types::{Failure, Refused, RouteId};
    use lethe_usage::InstanceId;

    use super::{INSTANCES, Told};

    const OF: Counted = Counted::Failure(RouteId(1), Failure::Cut);

    fn instance(number: usize) -> InstanceId {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
        InstanceId(bytes)
    }

    #[test]
    fn repetition_and_loss_do_no_harm_and_starts_add_up() {
        let mut told = Told::default();
        // The second is lost on the way; the third comes twice; another start begins anew.
        for (from, total) in [(1, 1), (1, 3), (1, 3), (2, 2), (1, 3), (2, 1)] {
            told.tally(instance(from), Tally { of: OF, total }, 0);
        }
        told.tally(instance(1), Tally { of: Counted::Refused(Refused::Stale), total: 4 }, 0);
        assert_eq!(told.counted, [(OF, 5), (Counted::Refused(Refused::Stale), 4)].into());
        for (from, started) in [(1, 5), (1, 4), (1, 7), (2, 1)] {
            told.beat(instance(from), Beat { started, finished: started - 1, ..Beat::default() }, 0);
        }
        assert_eq!((told.started, told.finished), (8, 6));
    }

    #[test]
    fn totals_beyond_every_number_stay_there() {
        let mut told = Told::default();
        for from in [1, 2] {
            told.tally(instance(from), Tally { of: OF, total: u64::MAX }, 0);
            told.beat(instance(from), Beat { started: u64::MAX, finished: u64::MAX, ..Beat::default() }, 0);
        }
        assert_eq!((told.counted[&OF], told.started, told.finished), (u64::MAX, u64::MAX, u64::MAX));
    }

    #[test]
    fn the_longest_unheard_is_forgotten_first() {
        let mut told = Told::default();
        for number in 0..=INSTANCES {
            told.tally(instance(number), Tally { of: OF, total: 1 }, number as u64);
        }
        assert_eq!(told.instances.len(), INSTANCES);
        assert!(!told.instances.contains_key(&instance(0)) && told.instances.contains_key(&instance(INSTANCES)));
        assert_eq!(told.counted[&OF], INSTANCES as u64 + 1, "what was counted stays");
    }
}
