//! What went wrong, counted: who ended and how, where somebody panicked. Closed vocabularies, nothing of what was being done.

use std::{collections::BTreeMap, os::unix::process::ExitStatusExt, process::ExitStatus};

use lethe_handover::{Mishap, MishapCount, PanicReport, Role};
use serde::{Deserialize, Serialize};

/// Places of panics that are told apart; a build has far fewer that are ever reached.
const PLACES: usize = 64;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// With this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Self {
        // One of the two is there whenever a process has ended (wait(2)).
        status.signal().map_or_else(|| Self::Code(status.code().unwrap_or(-1)), Self::Signal)
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// How often a role ended in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitCount {
    /// Who.
    pub role: Role,
    /// How.
    pub exit: Exit,
    /// How often.
    pub count: u64,
}

/// How often a role could not be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedStarts {
    /// Who.
    pub role: Role,
    /// How often.
    pub count: u64,
}

/// How often a role panicked at one place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PanicCount {
    /// Who.
    pub role: Role,
    /// Hash of the build, in hexadecimal.
    pub build: String,
    /// Hash of the source file's name, in hexadecimal.
    pub location: String,
    /// Line in that file.
    pub line: u32,
    /// How often.
    pub count: u64,
}

/// Everything that was counted since the supervisor's start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    exits: BTreeMap<(Role, Exit), u64>,
    failed_starts: BTreeMap<Role, u64>,
    panics: BTreeMap<(Role, u64, u64, u32), u64>,
    /// Panics at further places.
    elsewhere: BTreeMap<Role, u64>,
}

impl Tally {
    /// Counts an end, and says how often this role has ended by now.
    pub(crate) fn ended(&mut self, role: Role, exit: Exit) -> u64 {
        *self.exits.entry((role, exit)).or_default() += 1;
        self.exits.iter().filter(|((of, _), _)| *of == role).map(|(_, count)| count).sum()
    }

    pub(crate) fn not_started(&mut self, role: Role) {
        *self.failed_starts.entry(role).or_default() += 1;
    }

    pub(crate) fn panicked(&mut self, role: Role, report: PanicReport) {
        let place = (role, report.build, report.location, report.line);
        // A process that invents places must not fill this one's memory.
        if self.panics.contains_key(&place) || self.panics.len() < PLACES {
            *self.panics.entry(place).or_default() += 1;
        } else {
            *self.elsewhere.entry(role).or_default() += 1;
        }
    }

    /// Everything, as control is told it; panics at further places are at the location 0.
    pub(crate) fn mishaps(&self) -> Vec<MishapCount> {
        let exits = self.exits.iter().map(|(&(role, exit), &count)| {
            let mishap = match exit {
                Exit::Code(code) => Mishap::Exited(code),
                Exit::Signal(signal) => Mishap::Killed(signal),
            };
            MishapCount { role, mishap, count }
        });
        let failed = self.failed_starts.iter().map(|(&role, &count)| MishapCount { role, mishap: Mishap::NotStarted, count });
        let panics = self.panics.iter().map(|(&(role, build, location, line), &count)| MishapCount {
            role,
            mishap: Mishap::Panicked(PanicReport { build, location, line }),
            count,
        });
        let nowhere = PanicReport { build: 0, location: 0, line: 0 };
        let elsewhere = self.elsewhere.iter();
        let elsewhere = elsewhere.map(|(&role, &count)| MishapCount { role, mishap: Mishap::Panicked(nowhere), count });
        exits.chain(failed).chain(panics).chain(elsewhere).collect()
    }

    pub(crate) fn exits(&self) -> Vec<ExitCount> {
        self.exits.iter().map(|(&(role, exit), &count)| ExitCount { role, exit, count }).collect()
    }

    pub(crate) fn failed_starts(&self) -> Vec<FailedStarts> {
        self.failed_starts.iter().map(|(&role, &count)| FailedStarts { role, count }).collect()
    }

    pub(crate) fn panics(&self) -> Vec<PanicCount> {
        let hexadecimal = |number: u64| format!("{number:016x}");
        let count = |(&(role, build, location, line), &count): (&(Role, u64, u64, u32), &u64)| PanicCount {
            role,
            build: hexadecimal(build),
            location: hexadecimal(location),
            line,
            count,
        };
        self.panics.iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use lethe_handover::{PanicReport, Role};

    use super::{Exit, ExitCount, PLACES, Tally};

    #[test]
    fn ends_are_counted_by_role_and_kind() {
        let mut tally = Tally::default();
        assert_eq!(tally.ended(Role::Gateway, Exit::Signal(9)), 1);
        assert_eq!(tally.ended(Role::Gateway, Exit::Signal(9)), 2);
        assert_eq!(tally.ended(Role::Gateway, Exit::Code(15)), 3);
        assert_eq!(tally.ended(Role::Control, Exit::Signal(9)), 1);
        let count = |role, exit, count| ExitCount { role, exit, count };
        assert_eq!(
            tally.exits(),
            [
                count(Role::Control, Exit::Signal(9), 1),
                count(Role::Gateway, Exit::Code(15), 1),
                count(Role::Gateway, Exit::Signal(9), 2)
            ]
        );
    }

    #[test]
    fn places_of_panics_are_bounded() {
        let mut tally = Tally::default();
        for line in 0..1000 {
            tally.panicked(Role::Node, PanicReport { build: 1, location: 2, line });
        }
        tally.panicked(Role::Node, PanicReport { build: 1, location: 2, line: 0 });
        assert_eq!(tally.panics().len(), PLACES);
        let told = tally.mishaps();
        assert_eq!((told.len(), told.iter().map(|entry| entry.count).sum::<u64>()), (PLACES + 1, 1001), "none is lost");
        assert_eq!(tally.panics()[0].count, 2);
    }
}
