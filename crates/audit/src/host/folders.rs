//! The folders that nearly every leak ends in.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use super::cores::{self, CoreTarget};
use super::process;

/// Temporary files, logs, journals, shared memory.
const ALWAYS: [&str; 8] =
    ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/var/log", "/run/log", "/var/spool/rsyslog", "/var/lib/systemd/coredump"];
/// Names of variables whose value is a folder for temporary files or state.
const VARIABLES: [&str; 8] =
    ["TMPDIR", "TMP", "TEMP", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "HF_HOME", "OLLAMA_HOME"];

/// Folders to watch for these processes: the ones above that exist, those named in the processes' environment, where they stand, and where their
/// core files would go. None is inside another of them.
#[must_use]
pub fn default_folders(pids: &[u32]) -> Vec<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = ALWAYS.iter().map(PathBuf::from).collect();
    for &pid in pids {
        folders.extend(std::fs::read_link(format!("/proc/{pid}/cwd")).ok());
        let environment = process::environment(pid).unwrap_or_default();
        for variable in environment.split(|&byte| byte == 0) {
            let mut parts = variable.splitn(2, |&byte| byte == b'=');
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            if VARIABLES.iter().any(|wanted| wanted.as_bytes() == name) {
                folders.insert(PathBuf::from(OsString::from_vec(value.to_vec())));
            }
        }
    }
    if let Ok(target) = CoreTarget::now() {
        folders.extend(cores::core_folders(&target, pids));
    }
    let folders: Vec<PathBuf> = folders.into_iter().filter(|folder| worth_watching(folder)).collect();
    let inside = |folder: &PathBuf| folders.iter().any(|other| other != folder && folder.starts_with(other));
    folders.iter().filter(|folder| !inside(folder)).cloned().collect()
}

/// The whole file system is not a folder to watch: that is what watching mounts is for.
fn worth_watching(folder: &Path) -> bool {
    folder.is_absolute() && folder.parent().is_some() && folder.is_dir()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn where_a_process_stands_and_puts_temporary_files() {
        let scratch = tempfile::tempdir_in(std::env::var_os("HOME").unwrap()).unwrap();
        let (stands, temporary) = (scratch.path().join("stands"), scratch.path().join("temporary"));
        std::fs::create_dir(&stands).unwrap();
        std::fs::create_dir(&temporary).unwrap();
        let mut child = std::process::Command::new("cat")
            .current_dir(&stands)
            .env("TMPDIR", &temporary)
            .env("TEMP", "/nowhere/at/all")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // A program's environment is there a little after it was started.
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(5);
        while process::environment(child.id()).unwrap().is_empty() {
            assert!(std::time::Instant::now() < limit, "no environment");
        }
        let folders = default_folders(&[child.id()]);
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(folders.contains(&stands) && folders.contains(&temporary), "{folders:?}");
        assert!(folders.contains(&"/tmp".into()) && folders.contains(&"/var/log".into()), "{folders:?}");
        assert!(!folders.contains(&"/nowhere/at/all".into()) && !folders.contains(&"/".into()), "{folders:?}");
        assert!(!default_folders(&[]).contains(&temporary));
    }
}
