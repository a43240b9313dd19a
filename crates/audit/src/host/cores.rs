//! Where core files of processes would go (core(5)).

use std::path::{Path, PathBuf};

/// What the kernel does with a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CoreTarget {
    /// A file named by this pattern, relative to the process's folder unless it begins with `/`.
    File(String),
    /// A program gets it: it decides.
    Program(String),
    /// A socket gets it: whoever listens decides.
    Socket(String),
    /// Nothing is written.
    Nowhere,
}

impl CoreTarget {
    /// From `kernel.core_pattern` and `kernel.core_uses_pid`.
    #[must_use]
    pub fn parse(pattern: &str, uses_pid: bool) -> Self {
        let pattern = pattern.trim();
        match pattern.as_bytes().first() {
            Some(b'|') => Self::Program(pattern[1..].trim().to_owned()),
            Some(b'@') => Self::Socket(pattern[1..].to_owned()),
            Some(_) => Self::File(pattern.to_owned()),
            None if uses_pid => Self::File("core".to_owned()),
            None => Self::Nowhere,
        }
    }

    /// As this machine has it now.
    ///
    /// # Errors
    /// Of the system.
    pub fn now() -> std::io::Result<Self> {
        let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern")?;
        let uses_pid = std::fs::read_to_string("/proc/sys/kernel/core_uses_pid").is_ok_and(|value| value.trim() != "0");
        Ok(Self::parse(&pattern, uses_pid))
    }
}

/// Folders in which well-known collectors put cores.
pub const COLLECTORS: [&str; 4] = ["/var/lib/systemd/coredump", "/var/lib/apport/coredump", "/var/crash", "/var/spool/abrt"];

/// Folders where core files of these processes would appear, as far as that can be told. `None` for a pattern with a part in its folder's name that
/// is known only when it happens.
#[must_use]
pub fn core_folders(target: &CoreTarget, pids: &[u32]) -> Vec<PathBuf> {
    match target {
        CoreTarget::File(pattern) => {
            // Up to the first part that is filled in.
            let fixed = pattern.split('%').next().unwrap_or_default();
            let folder = fixed.rsplit_once('/').map_or("", |(folder, _)| folder);
            if pattern.starts_with('/') {
                return vec![PathBuf::from(if folder.is_empty() { "/" } else { folder })];
            }
            let of = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/cwd")).ok().map(|cwd| cwd.join(folder));
            pids.iter().filter_map(of).collect()
        }
        CoreTarget::Program(_) | CoreTarget::Socket(_) => {
            COLLECTORS.iter().map(PathBuf::from).filter(|path| Path::is_dir(path)).collect()
        }
        CoreTarget::Nowhere => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert_eq!(CoreTarget::parse("core\n", true), CoreTarget::File("core".into()));
        assert_eq!(CoreTarget::parse("\n", false), CoreTarget::Nowhere);
        assert_eq!(CoreTarget::parse("\n", true), CoreTarget::File("core".into()));
        assert_eq!(CoreTarget::parse("|/usr/lib/x %p\n", true), CoreTarget::Program("/usr/lib/x %p".into()));
        assert_eq!(CoreTarget::parse("@@/run/cores.socket", false), CoreTarget::Socket("@/run/cores.socket".into()));
        let own = std::process::id();
        let folders = |pattern: &str| core_folders(&CoreTarget::File(pattern.to_owned()), &[own]);
        assert_eq!(folders("/var/cores/%e/core.%p"), [PathBuf::from("/var/cores")]);
        assert_eq!(folders("/core"), [PathBuf::from("/")]);
        assert_eq!(folders("dumps/core"), std::env::current_dir().map(|cwd| vec![cwd.join("dumps")]).unwrap_or_default());
    }
}
