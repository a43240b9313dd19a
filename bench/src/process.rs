//! What the kernel says about processes, and children that end with their owner.

use std::fs;
use std::io;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// For a child to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(45);

/// A child process; dropped, it is asked to end, and waited for.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Whether it has ended, and how.
    pub(crate) fn ended(&mut self) -> Option<String> {
        self.0.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Not SIGKILL: nginx and Lethe have children of their own, which end with them only when they are asked.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let start = Instant::now();
        while start.elapsed() < END_LIMIT {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Processor time that a process has used, user and system, of all its threads; `None` when it has ended.
///
/// Fields 14 and 15 of `/proc/PID/stat`, in clock ticks (proc_pid_stat(5)).
pub(crate) fn cpu_time(pid: u32) -> Option<Duration> {
    let fields = stat(pid)?;
    let ticks: u64 = fields.get(11..13)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Duration::from_secs(ticks) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
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

/// The fields after the name, which may itself hold spaces and parentheses: `[0]` is field 3.
fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(text.rsplit_once(") ")?.1.split(' ').map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{Running, children, cpu_time};

    #[test]
    fn used_time_shows() {
        let own = std::process::id();
        let before = cpu_time(own);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(100) {
            std::hint::black_box(start);
        }
        assert!(cpu_time(own) > before);
        assert_eq!(cpu_time(u32::MAX), None);
    }

    #[test]
    fn children_end_with_their_owner() {
        let Ok(running) = Running::start(std::process::Command::new("sleep").arg("600")) else { return };
        let pid = running.pid();
        assert!(children(std::process::id()).contains(&pid), "control");
        drop(running);
        assert!(!children(std::process::id()).contains(&pid));
    }
}
