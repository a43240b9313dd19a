//! Interleaved rounds: every target in every round, so that what else the machine does falls on all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::load::{self, Load, Outcome, as_f64, percentile};
use crate::machine::processors;
use crate::problem::Problem;
use crate::process::{busy_time, cpu_time};
use crate::targets::Target;
use crate::workload::Workload;

/// How long, how often, how many.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) connections: usize,
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub(crate) window: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// One target, one workload, one round.
#[derive(Clone, Serialize)]
pub(crate) struct Round {
    pub(crate) per_second: f64,
    pub(crate) first_byte_p50_us: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time per answer by role, in microseconds.
    pub(crate) cpu_us: BTreeMap<String, f64>,
    /// Part of the processors' time that went to none of these: other programs, interrupts, other guests of the host. 0 to 1.
    pub(crate) others: f64,
}

/// Every round of one target at one workload.
#[derive(Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) target: &'static str,
    pub(crate) workload: Workload,
    pub(crate) rounds: Vec<Round>,
    /// Roles that stand for the target itself, and not for the mock or the load.
    pub(crate) own_roles: Vec<String>,
    /// Why there are no figures.
    pub(crate) failure: Option<String>,
}

/// Role of the mock upstream.
pub(crate) const MOCK: &str = "mock upstream";
/// Role of the load.
pub(crate) const LOAD: &str = "load";

impl Row {
    /// Median over the rounds of what `figure` reads out of one.
    pub(crate) fn median(&self, figure: impl Fn(&Round) -> f64) -> f64 {
        let rising = self.rising(figure);
        let middle = rising.len() / 2;
        match rising.get(middle) {
            None => 0.0,
            Some(upper) if rising.len() % 2 == 1 => *upper,
            Some(upper) => f64::midpoint(*upper, rising[middle - 1]),
        }
    }

    /// Smallest and largest over the rounds.
    pub(crate) fn spread(&self, figure: impl Fn(&Round) -> f64) -> (f64, f64) {
        let rising = self.rising(figure);
        (rising.first().copied().unwrap_or_default(), rising.last().copied().unwrap_or_default())
    }

    /// Median processor time per answer of the target's own processes together, in microseconds.
    pub(crate) fn own_cpu(&self) -> f64 {
        self.median(|round| self.own_roles.iter().map(|role| round.cpu_us.get(role).copied().unwrap_or_default()).sum())
    }

    /// Median processor time per answer of one role, in microseconds.
    pub(crate) fn cpu_of(&self, role: &str) -> f64 {
        self.median(|round| round.cpu_us.get(role).copied().unwrap_or_default())
    }

    fn rising(&self, figure: impl Fn(&Round) -> f64) -> Vec<f64> {
        let mut values: Vec<f64> = self.rounds.iter().map(figure).collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

/// Runs every round. A target that fails at a workload is left out of the rest of it; the row says why.
pub(crate) fn run(
    plan: Plan,
    workloads: &[Workload],
    targets: &[&dyn Target],
    mock: u32,
    mut progress: impl FnMut(&str),
) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for workload in workloads {
        for target in targets {
            let mut own_roles: Vec<String> = target.processes().into_iter().map(|(role, _)| role).collect();
            own_roles.sort();
            own_roles.dedup();
            rows.push(Row { target: target.name(), workload: *workload, rounds: Vec::new(), own_roles, failure: None });
        }
    }
    for round in 1..=plan.rounds {
        for (at, row) in rows.iter_mut().enumerate() {
            if row.failure.is_some() {
                continue;
            }
            progress(&format!("round {round} of {}: {:?} through {}", plan.rounds, row.workload, row.target));
            match one(plan, row.workload, targets[at % targets.len()], mock) {
                Ok(round) => row.rounds.push(round),
                Err(problem) => {
                    progress(&format!("FAILED: {problem}"));
                    row.failure = Some(problem.to_string());
                }
            }
        }
    }
    rows
}

fn one(plan: Plan, workload: Workload, target: &dyn Target, mock: u32) -> Result<Round, Problem> {
    let mut processes = target.processes();
    processes.push((MOCK.to_owned(), mock));
    processes.push((LOAD.to_owned(), std::process::id()));
    let load = Load {
        address: target.address(workload),
        workload,
        api_key: target.api_key().map(str::to_owned),
        connections: plan.connections,
        warm_up: plan.window / 5,
        window: plan.window,
    };
    let mut edges = Vec::new();
    let outcome = load::run(&load, || {
        edges.push((busy_time().unwrap_or_default(), processes.iter().map(|(_, pid)| cpu_time(*pid)).collect::<Vec<_>>()));
    })?;
    let (busy_before, before) = &edges[0];
    let (busy_after, after) = &edges[1];
    let mut cpu_us: BTreeMap<String, f64> = BTreeMap::new();
    let mut others = busy_after.saturating_sub(*busy_before);
    for (at, (role, _)) in processes.iter().enumerate() {
        let (Some(before), Some(after)) = (before[at], after[at]) else {
            return Err(Problem::new(format!("a process of role `{role}` ended during the measurement")));
        };
        let used = after.saturating_sub(before);
        others = others.saturating_sub(used);
        *cpu_us.entry(role.clone()).or_default() += micros(used) / as_f64(outcome.total.len());
    }
    let others = others.as_secs_f64() / (outcome.elapsed.as_secs_f64() * as_f64(processors()));
    Ok(figures(&outcome, cpu_us, others))
}

fn figures(outcome: &Outcome, cpu_us: BTreeMap<String, f64>, others: f64) -> Round {
    Round {
        others,
        per_second: outcome.per_second(),
        first_byte_p50_us: micros(percentile(&outcome.first_byte, 50)),
        p50_us: micros(percentile(&outcome.total, 50)),
        p99_us: micros(percentile(&outcome.total, 99)),
        cpu_us,
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::{Round, Row, Workload};

    #[test]
    fn medians_are_of_the_sorted_rounds() {
        let round = |per_second| Round {
            per_second,
            first_byte_p50_us: 0.0,
            p50_us: 0.0,
            p99_us: 0.0,
            others: 0.0,
            cpu_us: [("a".to_owned(), per_second)].into(),
        };
        let row = |rates: &[f64]| Row {
            target: "direct",
            workload: Workload::Chat,
            rounds: rates.iter().copied().map(round).collect(),
            own_roles: vec!["a".to_owned()],
            failure: None,
        };
        let near = |left: f64, right: f64| (left - right).abs() < 1e-9;
        assert!(near(row(&[3.0, 1.0, 2.0]).median(|round| round.per_second), 2.0));
        assert!(near(row(&[4.0, 1.0, 2.0, 3.0]).own_cpu(), 2.5));
        let (least, most) = row(&[3.0, 1.0, 2.0]).spread(|round| round.per_second);
        assert!(near(least, 1.0) && near(most, 3.0));
        assert!(near(row(&[]).median(|round| round.per_second), 0.0));
    }
}
