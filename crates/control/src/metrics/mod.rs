//! Metrics: what is counted from records and heartbeats, the page that shows it, and its form for a collector.
//!
//! Every label is of a closed set: the catalogue's routes and providers (the operator's names), and vocabularies of this
//! program. Nothing of a request and nothing of an account is one, so that no traffic can add a series. Counters begin with the
//! start of control.

mod booked;
mod family;
mod otlp;
mod page;
mod routing;
mod text;
mod told;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lethe_link::{Beat, Counted, Tally};
use lethe_store::Delivery;
use lethe_types::{Failure, Millis};
use lethe_usage::InstanceId;

use booked::Booked;
pub(crate) use page::page;
pub(crate) use text::CONTENT_TYPE;
use told::Told;

/// What is counted; the rest of the page is read where it is.
#[derive(Default)]
pub(crate) struct Meters {
    booked: Mutex<Booked>,
    told: Mutex<Told>,
    exports: Mutex<BTreeMap<Result<(), Failure>, u64>>,
}

impl Meters {
    /// Records were committed that had not come before.
    pub(crate) fn booked(&self, records: &[Delivery]) {
        let mut booked = lock(&self.booked);
        for delivery in records {
            if let Delivery::Keep(record) = delivery {
                booked.add(&record.usage());
            }
        }
    }

    /// A gateway told a total. Whoever calls this has checked its route.
    pub(crate) fn tally(&self, instance: InstanceId, tally: Tally, now: Millis) {
        lock(&self.told).tally(instance, tally, now);
    }

    /// A gateway told its counters.
    pub(crate) fn beat(&self, instance: InstanceId, beat: Beat, now: Millis) {
        lock(&self.told).beat(instance, beat, now);
    }

    /// The page was sent to a collector.
    pub(crate) fn exported(&self, exported: Result<(), Failure>) {
        *lock(&self.exports).entry(exported).or_default() += 1;
    }

    /// Every total that gateways have told.
    pub(crate) fn counted(&self) -> Vec<(Counted, u64)> {
        lock(&self.told).counted.iter().map(|(of, total)| (*of, *total)).collect()
    }
}

/// No code that holds one of these locks can panic between two changes.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
