//! Names of places, without what a target may have put into them.

use std::collections::HashSet;
use std::path::Path;

use super::Audit;
use crate::detect::Detector;
use crate::drive::{Provider, Sink as OtlpSink};
use crate::host::{cores, process};
use crate::report::Sink;

/// Kernel and architecture.
pub(super) fn machine() -> String {
    let name = rustix::system::uname();
    format!("{} {} {}", name.sysname().to_string_lossy(), name.release().to_string_lossy(), name.machine().to_string_lossy())
}

pub(super) fn as_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Ports at which content is meant to be seen: the target's and its provider's where they are in the clear, and servers that are searched by themselves.
pub(super) fn own_ports(audit: &Audit) -> HashSet<u16> {
    let of_url = |url: &String| url.rsplit_once(':').and_then(|(_, rest)| rest.split('/').next()?.parse().ok());
    let servers = [&audit.redis, &audit.postgres].into_iter().flatten().filter_map(of_url);
    let provider = audit.provider.as_ref().filter(|provider| !provider.is_tls());
    let addresses = [provider.map(Provider::address), audit.telemetry.as_ref().map(OtlpSink::address)];
    let known = addresses.into_iter().flatten().map(|address| address.port());
    let target = (!audit.target.is_tls()).then(|| audit.target.port());
    known.chain(servers).chain(target).chain([5432, 6379]).collect()
}

/// `name (pid)`.
pub(super) fn process(pid: u32) -> String {
    format!("{} ({pid})", process::name(pid).unwrap_or_else(|| "ended".to_owned()))
}

/// A name that holds a marker is not shown; its folder is, if that holds none.
pub(super) fn shown(detector: &Detector<'_>, name: &str) -> String {
    if detector.bytes(name.as_bytes()).is_empty() {
        return name.to_owned();
    }
    let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
    if detector.bytes(folder.as_bytes()).is_empty() {
        format!("{folder}/‹a name with a marker›")
    } else {
        "‹a name with a marker›".to_owned()
    }
}

/// Whether it is in a folder of those that collect cores.
fn is_collected(path: &str) -> bool {
    cores::COLLECTORS.iter().any(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// What kind of place a file is, by its path.
pub(super) fn kind(path: &Path) -> Sink {
    let text = path.to_string_lossy();
    let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    if text.contains("/log/journal/") {
        Sink::Journal
    } else if text.starts_with("/dev/shm/") {
        Sink::SharedMemory
    } else if name == "core"
        || name.starts_with("core.")
        || ends(&[".dmp", ".mdmp", ".core", ".hprof", ".stackdump"])
        || is_collected(&text)
    {
        Sink::Core
    } else if ends(&[".db", ".sqlite", ".sqlite3", "-wal", "-shm", "-journal"]) {
        Sink::Sqlite
    } else if ends(&[".age", ".bak", ".backup"]) {
        Sink::Backup
    } else if text.starts_with("/var/log/") || name.contains(".log") {
        Sink::Log
    } else {
        Sink::File
    }
}
