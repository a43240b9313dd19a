//! What the records that were booked say, added up. Nothing here knows whose they were.

use std::collections::BTreeMap;

use lethe_types::{Operation, RouteId};
use lethe_usage::{Kind, UnitClass, Usage};

/// Upper bounds of the buckets, in seconds: from a cached answer to the longest that is waited for.
pub(crate) const BOUNDS: [f64; 15] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];

/// Classes of status, in the order of their counts. Clients that have gone are none of the others' failures.
pub(crate) const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "499"];

/// Times in seconds.
#[derive(Clone, Default)]
pub(crate) struct Times {
    /// By bucket, the last for everything above.
    pub(crate) counts: [u64; BOUNDS.len() + 1],
    sum_ms: u64,
}

/// One operation on one route.
#[derive(Clone, Default)]
pub(crate) struct Series {
    pub(crate) requests: [u64; CLASSES.len()],
    pub(crate) input_tokens: u64,
    pub(crate) output_tokens: u64,
    pub(crate) total: Times,
    pub(crate) first_byte: Times,
}

/// Everything since the start of control.
#[derive(Clone, Default)]
pub(crate) struct Booked(pub(crate) BTreeMap<(Operation, RouteId), Series>);

impl Times {
    fn add(&mut self, ms: u32) {
        let seconds = f64::from(ms) / 1000.0;
        let bucket = BOUNDS.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_ms += u64::from(ms);
    }

    #[expect(clippy::cast_precision_loss, reason = "a sum beyond 2^53 ms is 285,000 years")]
    pub(crate) fn sum_seconds(&self) -> f64 {
        self.sum_ms as f64 / 1000.0
    }
}

impl Booked {
    /// Adds a record. One that reserves or gives back is no request that has ended.
    pub(crate) fn add(&mut self, usage: &Usage) {
        if !matches!(usage.kind, Kind::Charge | Kind::Settle) {
            return;
        }
        let series = self.0.entry((usage.operation, usage.route)).or_default();
        let class = match usage.status {
            499 => CLASSES.len() - 1,
            status => usize::from(status / 100).saturating_sub(1),
        };
        if let Some(count) = series.requests.get_mut(class) {
            *count += 1;
        }
        if usage.unit_class == UnitClass::Tokens {
            series.input_tokens += u64::from(usage.input_units);
            series.output_tokens += u64::from(usage.output_units);
        }
        series.total.add(usage.total_ms);
        series.first_byte.add(usage.first_byte_ms);
    }
}

#[cfg(test)]
mod tests {
    use lethe_types::{AccountPseudonym, Operation, RouteId};
    use lethe_usage::{Kind, Quality, UnitClass, Usage};

    use super::Booked;

    #[test]
    fn records_are_added_up_by_operation_route_and_class() {
        let usage = |status, total_ms, kind| Usage {
            kind,
            operation: Operation::Chat,
            unit_class: UnitClass::Tokens,
            quality: Quality::Reported,
            status,
            timestamp: 1,
            account: AccountPseudonym(u64::from(total_ms)),
            route: RouteId(3),
            total_ms,
            first_byte_ms: 1,
            input_units: 10,
            output_units: 4,
        };
        let mut booked = Booked::default();
        for (status, total_ms) in [(200, 5), (499, 6), (504, 400_000)] {
            booked.add(&usage(status, total_ms, Kind::Charge));
        }
        booked.add(&usage(200, 5, Kind::Reserve));
        let series = &booked.0[&(Operation::Chat, RouteId(3))];
        assert_eq!(booked.0.len(), 1, "whoever they were booked for");
        assert_eq!(series.requests, [0, 1, 0, 0, 1, 1]);
        assert_eq!((series.input_tokens, series.output_tokens), (30, 12));
        assert_eq!((series.total.counts[0], series.total.counts[1], series.total.counts[15]), (1, 1, 1));
        assert!((series.total.sum_seconds() - 400.011).abs() < 1e-9);
    }
}
