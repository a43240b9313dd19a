//! What the kernel shows of a process from outside: for the supervisor and `lethe posture`, which are not confined.
//!
//! `/proc/PID/status` and `/proc/PID/limits` are readable by everybody. Not more is asked for, because the rest of
//! `/proc/PID` is closed to all but root once `dumpable` is 0.

use std::{ffi::CString, path::PathBuf};

use crate::facts::read_file;

/// The kernel's own account of one process.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct KernelView {
    /// Process id.
    pub pid: i32,
    /// Seccomp mode: 2 is a filter (`PR_GET_SECCOMP(2const)`).
    pub seccomp: u32,
    /// How many filters.
    pub seccomp_filters: u32,
    /// `no_new_privs`.
    pub no_new_privileges: bool,
    /// Inheritable, permitted, effective, bounding and ambient capability sets.
    pub capabilities: [u64; 5],
    /// Real, effective, saved and file-system user id.
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group id.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Threads.
    pub threads: u32,
    /// Resident anonymous and file memory, in kB.
    pub resident_kb: u64,
    /// Memory in swap, in kB.
    pub swapped_kb: u64,
    /// Hard limit of core files, in bytes; `None` is unlimited.
    pub core_limit: Option<u64>,
    /// Hard limit of file sizes, in bytes; `None` is unlimited.
    pub file_size_limit: Option<u64>,
}

impl KernelView {
    /// Whether everything that can be seen from outside is as a confined process must have it.
    #[must_use]
    pub fn confined(&self) -> bool {
        let [inheritable, permitted, effective, _, ambient] = self.capabilities;
        self.seccomp == 2
            && self.no_new_privileges
            && [inheritable, permitted, effective, ambient] == [0; 4]
            && self.uids.iter().all(|uid| *uid != 0)
            && self.core_limit == Some(0)
            && self.file_size_limit == Some(0)
            && self.swapped_kb == 0
    }
}

/// Asks the kernel about process `pid`; `None` when it is gone or the kernel's account lacks a line.
#[must_use]
pub fn of_process(pid: i32) -> Option<KernelView> {
    let read = |file| {
        let path = PathBuf::from(format!("/proc/{pid}/{file}"));
        let text = read_file(&CString::new(path.into_os_string().into_encoded_bytes()).ok()?).ok()?;
        String::from_utf8(text).ok()
    };
    parse(pid, &read("status")?, &read("limits")?)
}

/// Whether any swap is in use on this host: `None` when the kernel does not tell.
#[must_use]
pub fn swap_present() -> Option<bool> {
    crate::sys::swap_total().ok().map(|total| total > 0)
}

fn parse(pid: i32, status: &str, limits: &str) -> Option<KernelView> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let number = |name| field(name)?.split_whitespace().next()?.parse::<u64>().ok();
    let small = |name| u32::try_from(number(name)?).ok();
    let list = |name| field(name)?.split_whitespace().map(|word| word.parse::<u32>().ok()).collect::<Option<Vec<_>>>();
    let set = |name| u64::from_str_radix(field(name)?, 16).ok();
    // "Max core file size        0                    unlimited            bytes": soft, then hard.
    let hard = |name| match limits.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().nth(1)? {
        "unlimited" => Some(None),
        bytes => bytes.parse().ok().map(Some),
    };
    Some(KernelView {
        pid,
        seccomp: small("Seccomp")?,
        seccomp_filters: small("Seccomp_filters")?,
        no_new_privileges: number("NoNewPrivs")? == 1,
        capabilities: [set("CapInh")?, set("CapPrm")?, set("CapEff")?, set("CapBnd")?, set("CapAmb")?],
        uids: list("Uid")?.try_into().ok()?,
        gids: list("Gid")?.try_into().ok()?,
        groups: list("Groups")?,
        threads: small("Threads")?,
        resident_kb: number("VmRSS")?,
        swapped_kb: number("VmSwap")?,
        core_limit: hard("Max core file size")?,
        file_size_limit: hard("Max file size")?,
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn this_process_is_seen_and_is_not_confined() {
        let own = of_process(rustix::process::getpid().as_raw_nonzero().get()).unwrap();
        assert_eq!(own.seccomp, 0);
        assert!(!own.confined());
        assert!(own.threads >= 1 && own.resident_kb > 0);
    }

    #[test]
    fn a_confined_process_is_recognised() {
        let status = "Uid:\t991\t991\t991\t991\nGid:\t991\t991\t991\t991\nGroups:\t \nVmRSS:\t 100 kB\nVmSwap:\t 0 kB\nThreads:\t3\n\
            CapInh:\t0\nCapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n";
        let limits = "Max file size             0                    0                    bytes\n\
            Max core file size        0                    0                    bytes\n";
        assert!(parse(1, status, limits).unwrap().confined());
        for (from, to) in [("CapEff:\t0", "CapEff:\t1"), ("NoNewPrivs:\t1", "NoNewPrivs:\t0"), ("Seccomp:\t2", "Seccomp:\t0")] {
            assert!(!parse(1, &status.replace(from, to), limits).unwrap().confined(), "{to}");
        }
        let soft_only =
            limits.replace("Max core file size        0                    0 ", "Max core file size        0     unlimited ");
        assert!(!parse(1, status, &soft_only).unwrap().confined());
    }
}
