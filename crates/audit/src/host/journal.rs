//! The system's journal as its own reader shows it: its files hold compressed and binary fields that no search from outside sees through.

use std::path::Path;

/// Where the journal's daemon takes messages in its own form (systemd.io, "Native Journal Protocol").
pub const SOCKET: &str = "/run/systemd/journal/socket";
/// Where it keeps them.
const FOLDERS: [&str; 2] = ["/run/log/journal", "/var/log/journal"];

/// Whether anything is kept: a folder with a journal of some machine in it.
#[must_use]
pub fn is_kept() -> bool {
    let holds =
        |folder: &&str| std::fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(|entry| entry.path().is_dir()));
    FOLDERS.iter().any(holds)
}

/// Whether the daemon runs, and takes messages.
#[must_use]
pub fn is_running() -> bool {
    Path::new(SOCKET).exists()
}

/// The command for the shell that prints every field of every entry since then (seconds of Unix time), with what was on its way written first.
/// `reader` is `journalctl`.
#[must_use]
pub fn command(reader: &str, since: i64) -> String {
    format!("{reader} --sync 2>/dev/null; exec {reader} --since=@{since} --output=export --all --no-pager --quiet")
}
