//! The figures of one target at one row, round by round.

use std::collections::BTreeMap;

use serde::Serialize;

/// Role of the mock upstream.
pub(crate) const MOCK: &str = "mock upstream";
/// Role of the load.
pub(crate) const LOAD: &str = "load";

/// One target, one row, one round.
#[derive(Clone, Default, Serialize)]
pub(crate) struct Round {
    /// By name; the unit is the name's end.
    pub(crate) figures: BTreeMap<&'static str, f64>,
    /// Processor time per answer by role, in microseconds.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) cpu_us: BTreeMap<String, f64>,
}

impl Round {
    pub(crate) fn figure(&self, name: &str) -> Option<f64> {
        self.figures.get(name).copied()
    }
}

/// Every round of one target at one row.
#[derive(Clone, Serialize)]
pub(crate) struct Series {
    pub(crate) row: &'static str,
    pub(crate) target: String,
    pub(crate) rounds: Vec<Round>,
    /// Roles that stand for the target itself, and not for the mock or the load.
    pub(crate) own_roles: Vec<String>,
    /// Why there are no figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failure: Option<String>,
}

impl Series {
    pub(crate) fn new(row: &'static str, target: &str, mut own_roles: Vec<String>) -> Self {
        own_roles.sort();
        own_roles.dedup();
        Self { row, target: target.to_owned(), rounds: Vec::new(), own_roles, failure: None }
    }

    /// Median over the rounds; `None` where no round has this figure.
    pub(crate) fn median(&self, name: &str) -> Option<f64> {
        median(&self.rising(|round| round.figure(name)))
    }

    /// Smallest and largest over the rounds.
    pub(crate) fn spread(&self, name: &str) -> Option<(f64, f64)> {
        let rising = self.rising(|round| round.figure(name));
        Some((*rising.first()?, *rising.last()?))
    }

    /// Median processor time per answer of the target's own processes together, in microseconds.
    pub(crate) fn own_cpu(&self) -> Option<f64> {
        median(&self.rising(|round| {
            let of = |role: &String| round.cpu_us.get(role).copied();
            (!self.own_roles.is_empty() && !round.cpu_us.is_empty()).then(|| self.own_roles.iter().filter_map(of).sum())
        }))
    }

    /// Median processor time per answer of one role, in microseconds.
    pub(crate) fn cpu_of(&self, role: &str) -> Option<f64> {
        median(&self.rising(|round| round.cpu_us.get(role).copied()))
    }

    fn rising(&self, figure: impl Fn(&Round) -> Option<f64>) -> Vec<f64> {
        let mut values: Vec<f64> = self.rounds.iter().filter_map(figure).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

fn median(rising: &[f64]) -> Option<f64> {
    let middle = rising.len() / 2;
    let upper = *rising.get(middle)?;
    Some(if rising.len() % 2 == 1 { upper } else { f64::midpoint(upper, rising[middle - 1]) })
}

#[cfg(test)]
mod tests {
    use super::{Round, Series};

    #[test]
    fn medians_are_of_the_sorted_rounds() {
        let round = |rate| Round { figures: [("per_second", rate)].into(), cpu_us: [("a".to_owned(), rate)].into() };
        let series = |rates: &[f64]| {
            let mut series = Series::new("chat", "direct", vec!["a".to_owned(), "a".to_owned()]);
            series.rounds = rates.iter().copied().map(round).collect();
            series
        };
        assert_eq!(series(&[3.0, 1.0, 2.0]).median("per_second"), Some(2.0));
        assert_eq!(series(&[4.0, 1.0, 2.0, 3.0]).own_cpu(), Some(2.5));
        assert_eq!(series(&[3.0, 1.0, 2.0]).spread("per_second"), Some((1.0, 3.0)));
        assert_eq!(series(&[]).median("per_second"), None);
        assert_eq!(series(&[1.0]).median("other"), None);
    }
}
