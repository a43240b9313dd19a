//! What befell the other parts, as the supervisor last told it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lethe_handover::{Mishap, MishapCount, PanicReport, Role};

/// Places of panics that are shown apart.
const PLACES: usize = 64;

/// The supervisor's totals. A clone is the same list.
#[derive(Clone, Default)]
pub struct Mishaps(Arc<Mutex<Vec<MishapCount>>>);

impl Mishaps {
    /// Takes a new list over.
    pub fn replace(&self, list: Vec<MishapCount>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = list;
    }

    /// How parts ended, under names of a closed set.
    pub(crate) fn ends(&self) -> BTreeMap<(Role, &'static str), u64> {
        let mut ends = BTreeMap::new();
        for entry in self.list() {
            if let Some(how) = how(entry.mishap) {
                *ends.entry((entry.role, how)).or_default() += entry.count;
            }
        }
        ends
    }

    /// Where parts panicked; `None` stands for every place beyond the first 64.
    pub(crate) fn panics(&self) -> BTreeMap<(Role, Option<PanicReport>), u64> {
        let mut panics = BTreeMap::new();
        for entry in self.list() {
            let Mishap::Panicked(report) = entry.mishap else { continue };
            let apart = report.location != 0 && panics.len() < PLACES;
            *panics.entry((entry.role, apart.then_some(report))).or_default() += entry.count;
        }
        panics
    }

    fn list(&self) -> Vec<MishapCount> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Signals by their numbers on this architecture (signal(7)).
const fn how(mishap: Mishap) -> Option<&'static str> {
    Some(match mishap {
        Mishap::Panicked(_) => return None,
        Mishap::NotStarted => "not_started",
        Mishap::Exited(0) => "code_0",
        Mishap::Exited(_) => "code_other",
        Mishap::Killed(4) => "sigill",
        Mishap::Killed(6) => "sigabrt",
        Mishap::Killed(7) => "sigbus",
        Mishap::Killed(9) => "sigkill",
        Mishap::Killed(11) => "sigsegv",
        Mishap::Killed(15) => "sigterm",
        Mishap::Killed(31) => "sigsys",
        Mishap::Killed(_) => "signal_other",
    })
}

#[cfg(test)]
mod tests {
    use lethe_handover::{Mishap, MishapCount, PanicReport, Role};

    use super::{Mishaps, PLACES};

    #[test]
    fn a_list_replaces_the_one_before_and_is_bounded() {
        let mishaps = Mishaps::default();
        let role = Role::Gateway;
        let count = |mishap| MishapCount { role, mishap, count: 2 };
        let place = |line| count(Mishap::Panicked(PanicReport { build: 1, location: 2, line }));
        mishaps.replace(vec![count(Mishap::Killed(9))]);
        mishaps.replace((0..500).map(place).chain((1..60).map(|code| count(Mishap::Exited(code)))).collect());
        assert_eq!(mishaps.ends(), [((role, "code_other"), 118)].into());
        let panics = mishaps.panics();
        assert_eq!((panics.len(), panics[&(role, None)]), (PLACES + 1, 2 * (500 - PLACES as u64)));
    }
}
