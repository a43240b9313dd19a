//! Where a figure comes from: without these facts it means nothing.

use std::fs;
use std::process::{Command, Stdio};

use serde::Serialize;

use crate::targets::{lethe_version, nginx_version};

/// Facts about this machine and what was run on it.
#[derive(Serialize)]
pub(crate) struct Machine {
    pub(crate) date: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    /// One-minute load average when it began: above about 0.5 something else was running.
    pub(crate) load_before: String,
    pub(crate) nginx: Option<String>,
    pub(crate) lethe: Option<String>,
    /// Versions of the other peers that were asked for.
    pub(crate) peers: Vec<String>,
    /// Of the clone that this was started in.
    pub(crate) commit: Option<String>,
    /// Compiler, processor features and profile of what is measured.
    pub(crate) flags: String,
    pub(crate) command: String,
}

impl Machine {
    pub(crate) fn read() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib: u64 =
            field(&meminfo, "MemTotal").and_then(|value| value.trim_end_matches(" kB").parse().ok()).unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%d").to_string(),
            processor: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            processors: processors(),
            memory_gib: kib.div_ceil(1024 * 1024),
            kernel: rustix::system::uname().release().to_string_lossy().into_owned(),
            load_before: load.split(' ').next().unwrap_or_default().to_owned(),
            nginx: nginx_version(),
            lethe: lethe_version(),
            peers: Vec::new(),
            commit: commit(),
            flags: flags(),
            command: ["lethe-bench".to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" "),
        }
    }

    /// For the name of a file: `amd-epyc-2`.
    pub(crate) fn short_name(&self) -> String {
        let plain = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
        let words: String = self.processor.split('@').next().unwrap_or_default().chars().map(plain).collect();
        let words: Vec<&str> = words.split('-').filter(|word| !word.is_empty()).take(4).collect();
        format!("{}-{}", words.join("-"), self.processors)
    }
}

/// Processors that this process may run on.
pub(crate) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The commit of the working folder, and whether something in it differs from it.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    Some(if changed { format!("{commit} with changes") } else { commit })
}

/// How what is measured was built. The profile is the one in Cargo.toml unless somebody overrides it, which shows here.
fn flags() -> String {
    let version = Command::new("rustc").arg("-V").output().ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let set = std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PROFILE_RELEASE_") || name == "RUSTFLAGS");
    set.fold(version, |flags, (name, value)| format!("{flags}, {name}={value}"))
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}
