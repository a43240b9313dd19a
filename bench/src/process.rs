//! What the kernel says about processes, and children that end with their owner.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, kill_process_group, setrlimit};

/// For a child to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(45);

/// A child process in a group of its own, which a Ctrl-C at the terminal does not reach; dropped, it is asked to end, waited for,
/// and whatever it leaves in its group is killed.
pub(crate) struct Running {
    child: Child,
    since: Instant,
}

impl Running {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let since = Instant::now();
        command.process_group(0).spawn().map(|child| Self { child, since })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// When it was started.
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let pid = Pid::from_child(&self.child);
        // Not SIGKILL: nginx and Lethe have children of their own, which end with them only when they are asked.
        let _ = kill_process(pid, Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < END_LIMIT && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// As many descriptors as this user may have: a thousand streams need more than the usual soft limit. Children inherit it.
pub(crate) fn raise_descriptor_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Processor time that the living threads of a process have used, user and system; `None` when it has ended.
///
/// The first field of each `/proc/PID/task/TID/schedstat`, in nanoseconds (Documentation/scheduler/sched-stats.rst):
/// `/proc/PID/stat` counts in hundredths of a second, too coarse for a slow load.
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut nanos = 0;
    for task in tasks.flatten() {
        // A thread that ends meanwhile takes its time with it; none of those that are measured do.
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        nanos += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or_default();
    }
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// Memory of a process in bytes, with its part of what it shares (`Pss`, proc_pid_smaps(5)). `None` when it has ended, or may not be
/// looked into: parts of Lethe are not dumpable, so that only root may.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Processor time that everything on the machine has used since it started, work for interrupts and for other guests included.
///
/// The first line of `/proc/stat` but for `idle` and `iowait`, and without `guest`, which `user` holds already (proc_stat(5)).
pub(crate) fn busy_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    let ticks: u64 = fields.get(..3)?.iter().chain(fields.get(5..8)?).sum();
    Some(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}

/// The children of a process.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|fields| fields.get(1) == Some(&parent.to_string()))).collect()
}

/// A process and everything below it.
pub(crate) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        found.extend(children(pid));
        at += 1;
    }
    found
}

/// The fields after the name, which may itself hold spaces and parentheses: `[0]` is field 3.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Running, children, cpu_time, family, memory};

    #[test]
    fn used_time_shows() {
        let Ok(running) = Running::start(std::process::Command::new("sh").args(["-c", "while :; do :; done"])) else { return };
        let start = Instant::now();
        while cpu_time(running.pid()).unwrap_or_default() < Duration::from_millis(50) {
            assert!(start.elapsed() < Duration::from_secs(30), "a busy process uses time");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(cpu_time(u32::MAX), None);
    }

    #[test]
    fn memory_shows() {
        let own = std::process::id();
        let before = memory(own).unwrap_or_default();
        // Without somebody to look at it the compiler leaves it out.
        let block = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = memory(own).unwrap_or_default();
        assert!(after > before + (30 << 20), "{before} {after}");
        drop(block);
        assert_eq!(memory(u32::MAX), None);
    }

    #[test]
    fn children_end_with_their_owner() {
        let Ok(running) = Running::start(std::process::Command::new("sleep").arg("600")) else { return };
        let pid = running.pid();
        assert!(children(std::process::id()).contains(&pid), "control");
        assert!(family(std::process::id()).contains(&pid));
        drop(running);
        assert!(!children(std::process::id()).contains(&pid));
    }
}
