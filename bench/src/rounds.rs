//! Interleaved rounds: every target in every round, each time in another order, so that what else the machine does falls on all.

use std::time::Duration;

use serde::Serialize;
use tokio_rustls::TlsConnector;

use crate::interrupt;
use crate::load::{Load, hold};
use crate::problem::Problem;
use crate::process::memory;
use crate::rows::{How, Legs, Row};
use crate::series::{Round, Series};
use crate::targets::{Door, Kind, Lethe, Mock, Site, Target};
use crate::tls::Pki;
use crate::visit;

/// How long, how often, through whom.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Plan {
    pub(crate) rounds: u64,
    #[serde(rename = "window_seconds", serialize_with = "seconds")]
    pub(crate) window: Duration,
    #[serde(serialize_with = "names")]
    pub(crate) targets: Vec<Kind>,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

fn names<S: serde::Serializer>(kinds: &[Kind], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(kinds.iter().map(|kind| kind.name()))
}

/// Everything that one run needs at hand.
pub(crate) struct Bench<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) mock: &'a Mock,
    pub(crate) pki: &'a Pki,
    pub(crate) connector: TlsConnector,
    pub(crate) workers: usize,
    /// What was to be measured and could not be.
    pub(crate) missing: Vec<String>,
    pub(crate) progress: fn(&str),
}

/// A way to a running target, and what is known of it so far.
struct Lane<'a> {
    target: &'a dyn Target,
    door: Door,
    series: Series,
}

impl Bench<'_> {
    /// Measures these rows, which stand in the order of [`crate::rows::ROWS`].
    ///
    /// # Errors
    /// Somebody interrupted it. A target that fails at a row is left out of the rest of it; its series says why.
    pub(crate) fn run(&mut self, rows: &[&'static Row]) -> Result<Vec<Series>, Problem> {
        let mut all = Vec::new();
        let mut rest = rows;
        while let Some(row) = rest.first().copied() {
            let together = match row.how {
                How::Held(_) | How::Start => {
                    all.extend(self.anew(row)?);
                    1
                }
                How::Keys(keys) => {
                    all.extend(self.with_keys(row, keys)?);
                    1
                }
                _ => {
                    let load = |how| matches!(how, How::Closed(_) | How::Fresh(_) | How::Open(_) | How::Paced(_));
                    let together = rest.iter().take_while(|next| next.legs == row.legs && load(next.how)).count();
                    all.extend(self.together(&rest[..together], row.legs)?);
                    together
                }
            };
            rest = &rest[together..];
        }
        Ok(all)
    }

    const fn site(&self, legs: Legs) -> Site<'_> {
        Site { mock: self.mock, pki: self.pki, legs, workers: self.workers }
    }

    fn not_measured(&mut self, what: &str, problem: &Problem) -> Result<(), Problem> {
        interrupt::check()?;
        (self.progress)(&format!("NOT MEASURED: {what}: {problem}"));
        self.missing.push(format!("{what}: {problem}"));
        Ok(())
    }

    /// Rows over the same legs: the targets are started once.
    fn together(&mut self, rows: &[&'static Row], legs: Legs) -> Result<Vec<Series>, Problem> {
        let mut running: Vec<(Kind, Box<dyn Target>)> = Vec::new();
        for kind in self.plan.targets.clone() {
            if !rows.iter().any(|row| kind.does(row)) {
                continue;
            }
            match kind.start(&self.site(legs)) {
                Ok(target) => running.push((kind, target)),
                Err(problem) => {
                    let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
                    self.not_measured(&format!("{kind} at {}", names.join(", ")), &problem)?;
                }
            }
        }
        let mut all = Vec::new();
        for row in rows {
            let mut lanes: Vec<Lane<'_>> = Vec::new();
            for (_, target) in running.iter().filter(|(kind, _)| kind.does(row)) {
                lanes.extend(target.doors(row).into_iter().map(|door| lane(row, &**target, door)));
            }
            self.rounds(row, &mut lanes)?;
            all.extend(lanes.into_iter().map(|lane| lane.series));
        }
        Ok(all)
    }

    /// One key and many, side by side.
    fn with_keys(&mut self, row: &'static Row, keys: usize) -> Result<Vec<Series>, Problem> {
        if !self.plan.targets.contains(&Kind::Lethe) {
            return Ok(Vec::new());
        }
        let site = self.site(row.legs);
        let started = Lethe::before(&site).and_then(|one| Lethe::with_keys(&site, keys - 1).map(|many| (one, many)));
        let (one, many) = match started {
            Ok(started) => started,
            Err(problem) => {
                self.not_measured(&format!("lethe at {}", row.name), &problem)?;
                return Ok(Vec::new());
            }
        };
        let mut lanes =
            vec![lane(row, &one, one.door("lethe, 1 key")), lane(row, &many, many.door(&format!("lethe, {keys} keys")))];
        self.rounds(row, &mut lanes)?;
        Ok(lanes.into_iter().map(|lane| lane.series).collect())
    }

    fn rounds(&self, row: &'static Row, lanes: &mut [Lane<'_>]) -> Result<(), Problem> {
        for round in 1..=self.plan.rounds {
            for turn in 0..lanes.len() {
                let at = (turn + usize::try_from(round).unwrap_or_default()) % lanes.len();
                let lane = &mut lanes[at];
                if lane.series.failure.is_some() {
                    continue;
                }
                (self.progress)(&format!("{}, round {round} of {}: {}", row.name, self.plan.rounds, lane.door.label));
                let load = Load {
                    ask: row.ask,
                    how: row.how,
                    warm_up: self.plan.window / 5,
                    window: self.plan.window,
                    // The same arrivals for every target of a round.
                    seed: round,
                    ..Load::one(&lane.door, row.legs.inward.then(|| self.connector.clone()))
                };
                match visit::load(row, &load, lane.target.processes(), self.mock.pid()) {
                    Ok(figures) => lane.series.rounds.push(figures),
                    Err(problem) => self.failed(&mut lane.series, &problem)?,
                }
            }
            let direct = lanes.iter().find(|lane| lane.door.label == Kind::Direct.name() && lane.series.failure.is_none());
            if let Some(direct) = direct.and_then(|direct| direct.series.rounds.last().cloned()) {
                for lane in
                    lanes.iter_mut().filter(|lane| lane.door.label != Kind::Direct.name() && lane.series.failure.is_none())
                {
                    lane.series.rounds.last_mut().into_iter().for_each(|round| visit::add(round, &direct));
                }
            }
        }
        Ok(())
    }

    fn failed(&self, series: &mut Series, problem: &Problem) -> Result<(), Problem> {
        interrupt::check()?;
        (self.progress)(&format!("FAILED: {}: {}: {problem}", series.row, series.target));
        series.failure = Some(problem.to_string());
        Ok(())
    }

    /// A row for which each visit starts its target.
    fn anew(&mut self, row: &'static Row) -> Result<Vec<Series>, Problem> {
        let mut all: Vec<Series> = Vec::new();
        let mut given_up = Vec::new();
        for round in 1..=self.plan.rounds {
            let kinds: Vec<Kind> = self.plan.targets.iter().copied().filter(|kind| kind.does(row)).collect();
            for turn in 0..kinds.len() {
                let kind = kinds[(turn + usize::try_from(round).unwrap_or_default()) % kinds.len()];
                if given_up.contains(&kind) {
                    continue;
                }
                (self.progress)(&format!("{}, round {round} of {}: {kind}", row.name, self.plan.rounds));
                let visited = match row.how {
                    How::Held(streams) => self.held(row, kind, streams),
                    _ => self.started(row, kind),
                };
                match visited {
                    Ok(visited) => visited.into_iter().for_each(|(label, round)| push(&mut all, row, &label, round)),
                    Err(problem) => {
                        given_up.push(kind);
                        self.not_measured(&format!("{kind} at {}", row.name), &problem)?;
                    }
                }
            }
        }
        Ok(all)
    }

    fn held(&self, row: &Row, kind: Kind, streams: usize) -> Result<Vec<(String, Round)>, Problem> {
        let target = kind.start(&self.site(row.legs))?;
        let Some(door) = target.doors(row).into_iter().next() else { return Ok(Vec::new()) };
        let load = Load { ask: row.ask, how: row.how, ..Load::one(&door, None) };
        let sizes = || -> Result<Vec<(String, u64)>, Problem> {
            let one = |(role, pid): (String, u32)| memory(pid).map(|size| (role, size));
            let sizes: Option<Vec<_>> = target.processes().into_iter().map(one).collect();
            sizes.ok_or_else(|| Problem::new("memory of confined processes can be looked at by root only"))
        };
        // What every process needs for its first requests is not a stream's.
        hold(&load, 20, || ())?;
        let before = sizes()?;
        let after = hold(&load, streams, sizes)??;
        Ok(vec![(door.label, visit::memory_figures(&before, &after, streams))])
    }

    fn started(&self, row: &Row, kind: Kind) -> Result<Vec<(String, Round)>, Problem> {
        let site = self.site(row.legs);
        if kind != Kind::Lethe {
            let target = kind.start(&site)?;
            return Ok(vec![(kind.name().to_owned(), visit::first_answer(&*target, row)?)]);
        }
        let first = Lethe::before(&site)?;
        let made = visit::first_answer(&first, row)?;
        let again = first.again()?;
        Ok(vec![("lethe, new".to_owned(), made), ("lethe, again".to_owned(), visit::first_answer(&again, row)?)])
    }
}

fn lane<'a>(row: &Row, target: &'a dyn Target, door: Door) -> Lane<'a> {
    let roles = target.processes().into_iter().map(|(role, _)| role).collect();
    let series = Series::new(row.name, &door.label, roles);
    Lane { target, door, series }
}

fn push(all: &mut Vec<Series>, row: &'static Row, label: &str, round: Round) {
    match all.iter_mut().find(|series| series.target == label) {
        Some(series) => series.rounds.push(round),
        None => {
            let mut series = Series::new(row.name, label, Vec::new());
            series.rounds.push(round);
            all.push(series);
        }
    }
}
