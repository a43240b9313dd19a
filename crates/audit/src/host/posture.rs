//! Settings of the kernel and of processes on which it depends whether content can end up in storage, or be read by others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::cores::CoreTarget;
use super::{mounts, process, swap};

/// What a fact means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    Good,
    Warn,
    Bad,
    /// It could not be read.
    Unknown,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Warn => "warning",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        })
    }
}

/// One setting, what it means here and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    pub name: String,
    pub value: String,
    pub state: State,
    pub why: String,
    /// Empty where nothing is to be done.
    pub advice: String,
}

/// `advice` is dropped where all is well.
pub(super) fn fact(name: &str, value: impl Into<String>, state: State, why: &str, advice: &str) -> Fact {
    let advice = if state == State::Good { "" } else { advice };
    Fact { name: name.to_owned(), value: value.into(), state, why: why.to_owned(), advice: advice.to_owned() }
}

/// A small file without its line's end.
fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Everything about this machine, and about the container if it is one.
#[must_use]
pub fn of_machine() -> Vec<Fact> {
    let mut facts = vec![
        swap_fact(),
        hibernation(),
        core_pattern(CoreTarget::now().ok()),
        suid_dumpable(read("/proc/sys/fs/suid_dumpable")),
        ptrace_scope(read("/proc/sys/kernel/yama/ptrace_scope")),
        init_on_free(read("/proc/cmdline"), kernel_configuration().as_deref()),
        overcommit(read("/proc/sys/vm/overcommit_memory")),
        crash_kernel(read("/sys/kernel/kexec_crash_loaded")),
    ];
    facts.extend(container());
    facts
}

fn swap_fact() -> Fact {
    const WHY: &str = "memory that is swapped out is in storage, and stays there after its process has ended";
    const ADVICE: &str = "turn swap off (swapoff -a, and remove it from /etc/fstab), encrypt it with a key that is new at each start, or lock the memory";
    let Ok(areas) = swap::areas() else { return fact("swap", "", State::Unknown, WHY, ADVICE) };
    if areas.is_empty() {
        return fact("swap", "none", State::Good, WHY, ADVICE);
    }
    let shown: Vec<String> =
        areas.iter().map(|area| format!("{} ({} KiB used)", area.path.display(), area.used / 1024)).collect();
    // Compressed memory is memory, unless it has a device to write to when it is full.
    let in_memory = |area: &swap::SwapArea| {
        let device = area.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        area.is_zram() && read(&format!("/sys/block/{device}/backing_dev")).is_none_or(|backing| backing == "none")
    };
    let state = if areas.iter().all(in_memory) { State::Warn } else { State::Bad };
    fact("swap", shown.join(", "), state, WHY, ADVICE)
}

fn hibernation() -> Fact {
    const WHY: &str = "hibernation writes all of memory to storage";
    const ADVICE: &str = "forbid it: kernel parameter nohibernate, or systemctl mask hibernate.target hybrid-sleep.target";
    let Some(states) = read("/sys/power/state") else {
        return fact("hibernation", "not in this kernel", State::Good, WHY, ADVICE);
    };
    // `[disabled]` where the kernel was told so, or is locked down.
    let disabled = read("/sys/power/disk").is_some_and(|disk| disk.contains("[disabled]"));
    let possible = states.split_whitespace().any(|state| state == "disk") && !disabled;
    // 0:0 is none: then there is nowhere to write to.
    let device = read("/sys/power/resume").filter(|device| device != "0:0");
    match (possible, device) {
        (false, _) => fact("hibernation", "not possible", State::Good, WHY, ADVICE),
        (true, None) => fact("hibernation", "possible, without a device to resume from", State::Warn, WHY, ADVICE),
        (true, Some(device)) => fact("hibernation", format!("possible, to device {device}"), State::Bad, WHY, ADVICE),
    }
}

fn core_pattern(target: Option<CoreTarget>) -> Fact {
    const WHY: &str = "the memory of a process that crashes goes where kernel.core_pattern says, unless its own limit or its dumpable flag forbid it";
    const ADVICE: &str =
        "sysctl kernel.core_pattern='|/bin/false', or limit cores to 0 for the processes; with systemd-coredump, Storage=none";
    let (value, state) = match target {
        None => (String::new(), State::Unknown),
        Some(CoreTarget::Nowhere) => ("nowhere".to_owned(), State::Good),
        Some(CoreTarget::Program(program)) => {
            let harmless = matches!(
                program.split_whitespace().next(),
                Some("/bin/false" | "/usr/bin/false" | "/bin/true" | "/usr/bin/true")
            );
            (format!("program {program}"), if harmless { State::Good } else { State::Warn })
        }
        Some(CoreTarget::Socket(socket)) => (format!("socket {socket}"), State::Warn),
        Some(CoreTarget::File(pattern)) => (format!("file {pattern}"), State::Warn),
    };
    fact("kernel.core_pattern", value, state, WHY, ADVICE)
}

fn suid_dumpable(value: Option<String>) -> Fact {
    const WHY: &str = "with 1, processes that changed their user leave core files too";
    let state = match value.as_deref() {
        Some("0") => State::Good,
        Some("2") => State::Warn,
        Some(_) => State::Bad,
        None => State::Unknown,
    };
    fact("fs.suid_dumpable", value.unwrap_or_default(), state, WHY, "sysctl fs.suid_dumpable=0")
}

fn ptrace_scope(value: Option<String>) -> Fact {
    const WHY: &str = "with 0 or without Yama, every process of the same user can read the memory of a process that is dumpable";
    let state = match value.as_deref() {
        Some("1" | "2" | "3") => State::Good,
        _ => State::Warn,
    };
    let value = value.unwrap_or_else(|| "no Yama in this kernel".to_owned());
    fact("kernel.yama.ptrace_scope", value, state, WHY, "sysctl kernel.yama.ptrace_scope=2")
}

/// The kernel's configuration, where it is a readable file; a compressed one is not looked into.
fn kernel_configuration() -> Option<String> {
    let release = read("/proc/sys/kernel/osrelease")?;
    let packed = || {
        let mut text = String::new();
        let file = std::fs::File::open("/proc/config.gz").ok()?;
        std::io::Read::read_to_string(&mut std::io::Read::take(flate2::read::GzDecoder::new(file), 4 << 20), &mut text).ok()?;
        Some(text)
    };
    read(&format!("/boot/config-{release}")).or_else(packed)
}

fn init_on_free(command_line: Option<String>, configuration: Option<&str>) -> Fact {
    const WHY: &str =
        "memory that the kernel takes back keeps its content until it is used again, unless it is cleared when it is freed";
    let told = command_line
        .as_deref()
        .and_then(|line| line.split_whitespace().rev().find_map(|word| word.strip_prefix("init_on_free=")));
    let default = configuration.map(|text| text.lines().any(|line| line == "CONFIG_INIT_ON_FREE_DEFAULT_ON=y"));
    let (value, state) = match (told, default) {
        (Some("1"), _) => ("on", State::Good),
        (Some(_), _) => ("off", State::Warn),
        (None, Some(true)) => ("on by default", State::Good),
        (None, Some(false)) => ("off by default", State::Warn),
        (None, None) => ("", State::Unknown),
    };
    fact("init_on_free", value, state, WHY, "kernel parameter init_on_free=1")
}

fn overcommit(value: Option<String>) -> Fact {
    const WHY: &str = "when memory runs out, a process is killed in the middle of its work; with 2 an allocation fails instead";
    let state = if value.is_some() { State::Good } else { State::Unknown };
    fact("vm.overcommit_memory", value.unwrap_or_default(), state, WHY, "")
}

fn crash_kernel(value: Option<String>) -> Fact {
    const WHY: &str = "with kdump, all of memory is written to storage when the kernel crashes";
    const ADVICE: &str = "turn kdump off, or let makedumpfile leave out the pages of processes (-d 31)";
    match value.as_deref() {
        Some("1") => fact("kdump", "loaded", State::Bad, WHY, ADVICE),
        Some(_) => fact("kdump", "not loaded", State::Good, WHY, ADVICE),
        None => fact("kdump", "not in this kernel", State::Good, WHY, ADVICE),
    }
}

fn container() -> Vec<Fact> {
    let marks = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| std::path::Path::new(path).exists());
    let inside = marks || std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() || std::env::var_os("container").is_some();
    let mut facts = vec![fact(
        "container",
        if inside { "yes" } else { "no" },
        State::Good,
        "what of the machine can be seen depends on it",
        "",
    )];
    if !inside {
        return facts;
    }
    let mounts = mounts::mounts(None).unwrap_or_default();
    let root = mounts.iter().rev().find(|mount| mount.point.as_os_str() == "/");
    let (value, state) = match root {
        Some(root) if root.read_only => ("read only", State::Good),
        Some(_) => ("writable", State::Warn),
        None => ("", State::Unknown),
    };
    let why = "what a container writes to its root is in the layers' storage of the host";
    facts.push(fact(
        "root file system",
        value,
        state,
        why,
        "run it with a read-only root (docker --read-only, readOnlyRootFilesystem)",
    ));
    let in_storage =
        |mount: &&mounts::Mount| mount.has_files() && !mount.read_only && !matches!(mount.kind.as_str(), "tmpfs" | "ramfs");
    let writable: Vec<String> = mounts
        .iter()
        .filter(in_storage)
        .filter(|mount| mount.point.as_os_str() != "/")
        .map(|mount| mount.point.display().to_string())
        .collect();
    let state = if writable.is_empty() { State::Good } else { State::Warn };
    facts.push(fact(
        "writable mounts",
        writable.join(", "),
        state,
        "content can be stored there",
        "mount them read only, or not",
    ));
    let limit = read("/sys/fs/cgroup/memory.swap.max");
    let state = match limit.as_deref() {
        Some("0") => State::Good,
        Some(_) => State::Warn,
        None => State::Unknown,
    };
    let why = "with 0, the container's memory is never swapped out";
    facts.push(fact("memory.swap.max", limit.unwrap_or_default(), state, why, "docker --memory-swap equal to --memory"));
    facts
}

/// Everything about one process.
#[must_use]
pub fn of_process(pid: u32) -> Vec<Fact> {
    use std::os::unix::fs::MetadataExt as _;
    if !process::is_alive(pid) {
        return vec![fact("process", pid.to_string(), State::Unknown, "it has ended", "")];
    }
    let status = |member: &str| process::status(pid, member);
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).ok();
    let limit = |name: &str| {
        let line = limits.as_deref()?.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next().map(str::to_owned)
    };
    // `/proc/pid` belongs to root when a process is not dumpable (proc_pid(5)), which for root's own says nothing.
    let owner = std::fs::metadata(format!("/proc/{pid}")).ok().map(|metadata| metadata.uid());
    let user = status("Uid").and_then(|ids| ids.split_whitespace().nth(1)?.parse::<u32>().ok());
    let undumpable = user.zip(owner).and_then(|(user, owner)| if user == 0 { None } else { Some(user != owner) });

    let mut facts = Vec::new();
    let cores = limit("Max core file size");
    let state = match (cores.as_deref(), undumpable) {
        (_, Some(true)) | (Some("0"), _) => State::Good,
        (Some(_), _) => State::Bad,
        (None, _) => State::Unknown,
    };
    let why =
        "a core file holds all of its memory; a collector that is a program ignores a limit of 0, but not the dumpable flag";
    facts.push(fact("core limit", cores.unwrap_or_default(), state, why, "ulimit -c 0 (LimitCORE=0), prctl(PR_SET_DUMPABLE, 0)"));
    let (value, state) = match undumpable {
        Some(true) => ("no", State::Good),
        Some(false) => ("yes", State::Warn),
        None => ("not to be told for root's process", State::Unknown),
    };
    let why = "a process that is dumpable can be read by others of its user, and leaves core files";
    facts.push(fact("dumpable", value, state, why, "prctl(PR_SET_DUMPABLE, 0)"));
    let state = match user {
        Some(0) => State::Warn,
        Some(_) => State::Good,
        None => State::Unknown,
    };
    let shown = user.map_or_else(String::new, |user| user.to_string());
    facts.push(fact("user", shown, state, "root can write everywhere", "run it as a user of its own"));
    facts.push(flag("NoNewPrivs", "no_new_privs", &status, |value| value == "1", "NoNewPrivileges=yes"));
    let seccomp = flag("Seccomp", "seccomp", &status, |value| value == "2", "a filter that denies what it does not need");
    facts.push(seccomp);
    let none = |value: &str| value.bytes().all(|byte| byte == b'0');
    facts.push(flag("CapEff", "capabilities", &status, none, "drop all (docker --cap-drop ALL, CapabilityBoundingSet=)"));
    let locked = status("VmLck");
    let state = match locked.as_deref() {
        Some("0 kB") => State::Warn,
        Some(_) => State::Good,
        None => State::Unknown,
    };
    let swapped = status("VmSwap").filter(|swapped| swapped != "0 kB");
    if let Some(swapped) = swapped {
        facts.push(fact("swapped out", swapped, State::Bad, "this much of its memory is in the swap area now", "turn swap off"));
    }
    let why = "locked memory is never swapped out; it matters only where there is swap";
    let state = if swap::areas().is_ok_and(|areas| areas.is_empty()) { State::Good } else { state };
    facts.push(fact("locked memory", locked.unwrap_or_default(), state, why, "mlockall(2)"));
    facts
}

fn flag(member: &str, name: &str, status: &impl Fn(&str) -> Option<String>, good: impl Fn(&str) -> bool, advice: &str) -> Fact {
    let value = status(member);
    let state = match value.as_deref() {
        Some(value) if good(value) => State::Good,
        Some(_) => State::Warn,
        None => State::Unknown,
    };
    fact(name, value.unwrap_or_default(), state, "what a process cannot do, it cannot be made to do", advice)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::process::{Command, Stdio};

    use super::*;

    fn state(facts: &[Fact], name: &str) -> State {
        facts.iter().find(|fact| fact.name == name).unwrap().state
    }

    #[test]
    fn settings_and_what_they_mean() {
        assert_eq!(core_pattern(Some(CoreTarget::parse("core", true))).state, State::Warn);
        assert_eq!(core_pattern(Some(CoreTarget::parse("|/bin/false", true))).state, State::Good);
        assert_eq!(core_pattern(Some(CoreTarget::parse("|/usr/lib/apport", true))).state, State::Warn);
        assert_eq!(core_pattern(None).state, State::Unknown);
        assert_eq!(suid_dumpable(Some("1".into())).state, State::Bad);
        assert_eq!(suid_dumpable(Some("0".into())).state, State::Good);
        assert_eq!(ptrace_scope(Some("0".into())).state, State::Warn);
        assert_eq!(ptrace_scope(Some("2".into())).state, State::Good);
        assert_eq!(init_on_free(Some("quiet init_on_free=0 init_on_free=1".into()), None).state, State::Good);
        assert_eq!(init_on_free(Some("quiet".into()), Some("CONFIG_INIT_ON_FREE_DEFAULT_ON=y")).state, State::Good);
        assert_eq!(init_on_free(Some("quiet".into()), Some("# CONFIG_INIT_ON_FREE_DEFAULT_ON is not set")).state, State::Warn);
        assert_eq!(init_on_free(Some("quiet".into()), None).state, State::Unknown);
        let machine = of_machine();
        assert!(machine.len() >= 9);
        assert!(machine.iter().all(|fact| fact.state == State::Good || !fact.why.is_empty()));
        assert!(machine.iter().all(|fact| !matches!(fact.state, State::Warn | State::Bad) || !fact.advice.is_empty()));
    }

    #[test]
    fn processes_that_differ() {
        let start = |setpriv: &[&str], cores: &str| {
            let mut child = Command::new("prlimit")
                .arg(format!("--core={cores}"))
                .arg("setpriv")
                .args(setpriv)
                .args(["sh", "-c", "echo ready; cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut line = [0; 6];
            std::io::Read::read_exact(child.stdout.as_mut().unwrap(), &mut line).unwrap();
            child
        };
        let mut open = start(&["--"], "unlimited");
        let mut closed = start(&["--no-new-privs", "--inh-caps=-all", "--bounding-set=-all"], "0");
        let (of_open, of_closed) = (of_process(open.id()), of_process(closed.id()));
        for child in [&mut open, &mut closed] {
            drop(child.stdin.take());
            child.wait().unwrap();
        }
        assert_eq!((state(&of_open, "core limit"), state(&of_closed, "core limit")), (State::Bad, State::Good));
        assert_eq!((state(&of_open, "no_new_privs"), state(&of_closed, "no_new_privs")), (State::Warn, State::Good));
        assert_eq!(of_process(open.id())[0].state, State::Unknown);
    }
}
