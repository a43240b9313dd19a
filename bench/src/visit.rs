//! One round of one target at one row, as figures.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::load::{self, Load, Outcome, as_f64, ask_once, percentile};
use crate::machine::processors;
use crate::problem::Problem;
use crate::process::{busy_time, cpu_time};
use crate::rows::{How, Row};
use crate::series::{LOAD, MOCK, Round};
use crate::targets::Target;

/// For the first answer after a target says that it is up.
const FIRST_ANSWER: Duration = Duration::from_secs(20);

/// Processor times at an edge of the window.
struct Edge {
    at: Instant,
    busy: Duration,
    of: Vec<Option<Duration>>,
}

/// Puts the load on a target with these processes.
pub(crate) fn load(row: &Row, load: &Load, mut processes: Vec<(String, u32)>, mock: u32) -> Result<Round, Problem> {
    processes.push((MOCK.to_owned(), mock));
    processes.push((LOAD.to_owned(), std::process::id()));
    let mut edges = Vec::new();
    let outcome = load::run(load, || {
        let of = processes.iter().map(|(_, pid)| cpu_time(*pid)).collect();
        edges.push(Edge { at: Instant::now(), busy: busy_time().unwrap_or_default(), of });
    })?;
    let [before, after] = edges.as_slice() else { return Err(Problem::new("the window has no edges")) };
    let capacity = (after.at - before.at).as_secs_f64() * as_f64(processors());
    let mut cpu_us: BTreeMap<String, f64> = BTreeMap::new();
    let mut used_by_all = 0.0;
    for (at, (role, _)) in processes.iter().enumerate() {
        let (Some(before), Some(after)) = (before.of[at], after.of[at]) else {
            return Err(Problem::new(format!("a process of role `{role}` ended during the measurement")));
        };
        let used = after.saturating_sub(before).as_secs_f64();
        used_by_all += used;
        *cpu_us.entry(role.clone()).or_default() += used * 1e6 / as_f64(outcome.total.len());
    }
    let mut figures = answers(&outcome);
    let share = |role: &str| cpu_us.get(role).copied().unwrap_or_default() * as_f64(outcome.total.len()) / 1e6 / capacity;
    figures.insert("load_share", share(LOAD));
    figures.insert("mock_share", share(MOCK));
    figures.insert("others_share", ((after.busy.saturating_sub(before.busy)).as_secs_f64() - used_by_all) / capacity);
    if let How::Closed(connections) | How::Fresh(connections) | How::Paced(connections) = row.how {
        // Little's law: what arrives in a second, times how long it stays, is how much is there. 1 if nothing is wrong.
        figures.insert("little", outcome.per_second() * outcome.mean() / as_f64(connections));
    }
    Ok(Round { figures, cpu_us })
}

fn answers(outcome: &Outcome) -> BTreeMap<&'static str, f64> {
    let mut figures = BTreeMap::from([
        ("per_second", outcome.per_second()),
        ("mean_us", outcome.mean() * 1e6),
        ("first_p50_us", micros(percentile(&outcome.first_byte, 50))),
        ("first_p99_us", micros(percentile(&outcome.first_byte, 99))),
        ("p50_us", micros(percentile(&outcome.total, 50))),
        ("p99_us", micros(percentile(&outcome.total, 99))),
    ]);
    if !outcome.events.is_empty() {
        figures.insert("event_p50_us", micros(percentile(&outcome.events, 50)));
        figures.insert("event_p99_us", micros(percentile(&outcome.events, 99)));
    }
    figures
}

/// What stands in the figures of a target beside what the same round measured without one.
const ADDED: [(&str, &str); 6] = [
    ("event_p50_us", "added_event_p50_us"),
    ("event_p99_us", "added_event_p99_us"),
    ("first_p50_us", "added_first_p50_us"),
    ("first_p99_us", "added_first_p99_us"),
    ("p50_us", "added_p50_us"),
    ("p99_us", "added_p99_us"),
];

/// Adds to `round` how much longer everything took than directly.
pub(crate) fn add(round: &mut Round, direct: &Round) {
    for (name, added) in ADDED {
        if let (Some(through), Some(direct)) = (round.figure(name), direct.figure(name)) {
            round.figures.insert(added, through - direct);
        }
    }
}

/// From the start of a process to its first answer.
pub(crate) fn first_answer(target: &dyn Target, row: &Row) -> Result<Round, Problem> {
    let door = target.doors(row).into_iter().next().ok_or_else(|| Problem::new("the target has no door"))?;
    let load = Load::one(&door, None);
    loop {
        let asked = ask_once(&load);
        let took = target.since().elapsed();
        match asked {
            Ok(()) => return Ok(Round { figures: [("start_ms", took.as_secs_f64() * 1e3)].into(), cpu_us: BTreeMap::new() }),
            Err(problem) if took > FIRST_ANSWER => return Err(problem),
            Err(_) => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}

/// Memory of a target's processes, with and without streams.
pub(crate) fn memory_figures(before: &[(String, u64)], after: &[(String, u64)], streams: usize) -> Round {
    let sum = |sizes: &[(String, u64)]| sizes.iter().map(|(_, size)| as_f64(usize::try_from(*size).unwrap_or(0))).sum::<f64>();
    let of = |sizes: &[(String, u64)], role: &str| {
        let own: Vec<(String, u64)> = sizes.iter().filter(|(name, _)| name == role).cloned().collect();
        sum(&own)
    };
    let per_stream = (sum(after) - sum(before)) / as_f64(streams) / 1024.0;
    let mut figures = BTreeMap::from([
        ("before_mib", sum(before) / 1024.0 / 1024.0),
        ("open_mib", sum(after) / 1024.0 / 1024.0),
        ("stream_kib", per_stream),
    ]);
    if after.iter().any(|(role, _)| role == "gateway") {
        figures.insert("gateway_stream_kib", (of(after, "gateway") - of(before, "gateway")) / as_f64(streams) / 1024.0);
    }
    Round { figures, cpu_us: BTreeMap::new() }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

#[cfg(test)]
mod tests {
    use super::{add, memory_figures};
    use crate::series::Round;

    #[test]
    fn what_a_target_adds_is_the_difference_of_the_same_round() {
        let round = |p50| Round { figures: [("p50_us", p50)].into(), ..Round::default() };
        let mut through = round(150.0);
        add(&mut through, &round(100.0));
        assert_eq!(through.figure("added_p50_us"), Some(50.0));
        assert_eq!(through.figure("added_p99_us"), None);
    }

    #[test]
    fn memory_is_counted_per_stream_and_for_the_gateway_apart() {
        let sizes = |gateway, control| vec![("gateway".to_owned(), gateway), ("control".to_owned(), control)];
        let round = memory_figures(&sizes(1 << 20, 1 << 20), &sizes(2 << 20, (1 << 20) + 1024), 1024);
        assert_eq!(round.figure("gateway_stream_kib"), Some(1.0));
        assert_eq!(round.figure("stream_kib"), Some(1.0 + 1.0 / 1024.0));
    }
}
