//! What is mounted, as a process sees it (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;

/// File systems that hold no file of anybody: reading them all is endless, and opening a device has effects.
const NOT_FILES: [&str; 21] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// One line of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// `major:minor` of the file system: the same for all its mounts.
    pub device: String,
    pub point: PathBuf,
    /// `ext4`, `tmpfs`, …
    pub kind: String,
    /// What this mount shows, of the file system.
    pub root: PathBuf,
    pub read_only: bool,
}

impl Mount {
    /// Whether files can be there: not proc, sysfs, cgroups and the like.
    #[must_use]
    pub fn has_files(&self) -> bool {
        !NOT_FILES.contains(&self.kind.as_str())
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let mut fields = line.split(|&byte| byte == b' ');
        let device = String::from_utf8_lossy(fields.nth(2)?).into_owned();
        let root = unescaped(fields.next()?);
        let point = unescaped(fields.next()?);
        let options = fields.next()?;
        let read_only = options.split(|&byte| byte == b',').any(|option| option == b"ro");
        // Any number of optional fields, then a dash.
        let kind = String::from_utf8_lossy(fields.skip_while(|field| *field != b"-").nth(1)?).into_owned();
        Some(Self { device, point, kind, root, read_only })
    }
}

/// Blanks, tabs, line feeds and backslashes stand as three octal digits.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        if byte == b'\\'
            && let Some(code) = after.get(..3).filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)))
        {
            path.push(code.iter().fold(0_u8, |value, digit| value.wrapping_mul(8).wrapping_add(digit - b'0')));
            rest = &after[3..];
        } else {
            path.push(byte);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(path))
}

/// The mounts that a process sees; `None`: this one.
///
/// # Errors
/// Of reading the table.
pub fn mounts(pid: Option<u32>) -> io::Result<Vec<Mount>> {
    let path = pid.map_or_else(|| "/proc/self/mountinfo".to_owned(), |pid| format!("/proc/{pid}/mountinfo"));
    let table = std::fs::read(path)?;
    Ok(table.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_line_with_blanks_in_its_path_and_optional_fields() {
        let line = br"36 35 98:0 /mnt1 /a\040folder\134x rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).unwrap();
        assert_eq!(mount.point, PathBuf::from(r"/a folder\x"));
        assert_eq!((mount.device.as_str(), mount.kind.as_str(), mount.read_only), ("98:0", "ext3", false));
        assert!(mount.has_files());
        assert!(Mount::parse(b"36 35 98:0 /mnt1 /x ro").is_none());
    }

    #[test]
    fn the_machines_own_table() {
        let mounts = mounts(None).unwrap();
        assert!(mounts.iter().any(|mount| mount.point.as_os_str() == "/" && mount.has_files()));
        assert!(mounts.iter().any(|mount| mount.kind == "proc" && !mount.has_files()));
    }
}
