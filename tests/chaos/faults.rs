//! What is done to the parts.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use lethe_testkit::lethe::Lethe;
use rustix::process::{Pid, Signal, kill_process};

use crate::dice::Dice;
use crate::load::Load;

/// Every part that may die; the supervisor may not.
pub(crate) const ROLES: [&str; 5] = ["control", "dialer", "engine", "gateway", "node"];
/// For a part to come back before the next fault.
const BACK: Duration = Duration::from_secs(30);
/// A gateway is left alone for so long after control was hurt or it was itself: it links, and tells how many requests it has begun.
const LINKED: Duration = Duration::from_secs(3);

/// What was done.
pub(crate) struct Faults {
    kills: BTreeMap<&'static str, u32>,
    pauses: BTreeMap<&'static str, u32>,
    /// Answers that a killed gateway had given, and perhaps not told control of: those of its last moment. Control can know of no
    /// request that began after the last word that it had.
    pub(crate) untold: usize,
}

impl Faults {
    pub(crate) fn gateways_killed(&self) -> u32 {
        self.kills.get("gateway").copied().unwrap_or_default()
    }

    pub(crate) fn told(&self) -> String {
        let list =
            |of: &BTreeMap<&str, u32>| of.iter().map(|(role, count)| format!("{role} {count}")).collect::<Vec<_>>().join(", ");
        format!("killed: {}; paused: {}", list(&self.kills), list(&self.pauses))
    }
}

/// Kills and pauses parts for so long.
pub(crate) fn run(lethe: &Lethe, seed: u64, length: Duration, load: &Load) -> Faults {
    let mut faults = Faults { kills: BTreeMap::new(), pauses: BTreeMap::new(), untold: 0 };
    let mut dice = Dice::new(seed);
    let end = Instant::now() + length;
    let mut hurt = Instant::now();
    while Instant::now() < end {
        // Not synchronisation: the time between two faults.
        std::thread::sleep(Duration::from_millis(dice.between(200, 1500)));
        // Twice as often those that everything depends on.
        let role = dice.one_of(&["control", "control", "dialer", "engine", "gateway", "gateway", "node"]);
        let pause = (dice.between(0, 10) < 4).then(|| Duration::from_millis(dice.between(20, 1500)));
        let Some(pid) = alive(lethe, role) else {
            panic!("the {role} did not come back within {BACK:?}: {}", lethe.printed());
        };
        if let Some(pause) = pause {
            println!("pause the {role} for {} ms", pause.as_millis());
            signal(pid, Signal::STOP);
            std::thread::sleep(pause);
            signal(pid, Signal::CONT);
            *faults.pauses.entry(role).or_default() += 1;
        } else {
            if role == "gateway" {
                std::thread::sleep(LINKED.saturating_sub(hurt.elapsed()));
                faults.untold += load.answered_within(LINKED / 2);
            }
            println!("kill the {role}");
            signal(pid, Signal::KILL);
            *faults.kills.entry(role).or_default() += 1;
        }
        if role == "control" || role == "gateway" {
            hurt = Instant::now();
        }
    }
    faults
}

fn alive(lethe: &Lethe, role: &str) -> Option<u32> {
    let deadline = Instant::now() + BACK;
    while Instant::now() < deadline {
        if let Some(pid) = lethe.pid_now(role).filter(|pid| runs(*pid)) {
            return Some(pid);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    None
}

/// There, and no corpse that waits to be seen (proc_pid_stat(5), field 3).
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process number");
    // It may have ended by itself meanwhile.
    let _ = kill_process(pid, signal);
}

pub(crate) fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}
