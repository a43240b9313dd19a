//! What a process uses: descriptors, memory, time on the processor.

use std::fs;
use std::time::{Duration, Instant};

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub struct Gauge {
    pub descriptors: usize,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// User and system time.
    pub cpu: Duration,
}

impl Gauge {
    /// Looks at process `pid`.
    #[must_use]
    pub fn of(pid: u32) -> Self {
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors of a running process").count();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status of a running process");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
        let resident_kib = resident.trim().trim_end_matches(" kB").trim().parse().expect("a number");
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("stat of a running process");
        // Fields 14 and 15, counted after the name, which may hold blanks (proc(5)).
        let fields: Vec<&str> = stat.rsplit_once(')').expect("a name").1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        Self { descriptors, resident_kib, cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()) }
    }
}

/// Waits until `holds`; false if it does not within `limit`.
#[must_use]
pub fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if holds() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Lets this process have `count` descriptors, or as many as the hard limit allows; a test that needs more fails where it opens them.
pub fn allow_descriptors(count: u64) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    let raised = Rlimit { current: Some(count), maximum: maximum.map(|maximum| maximum.max(count)) };
    if setrlimit(Resource::Nofile, raised).is_err() {
        let current = maximum.map_or(count, |maximum| maximum.min(count));
        setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum }).expect("descriptors for the test");
    }
}
