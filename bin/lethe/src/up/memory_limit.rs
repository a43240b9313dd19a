//! How much memory the kernel lets this process and its children have (cgroups(7), kernel documentation of both versions).

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Version 1 writes "none" as the largest number of whole pages.
const NONE: u64 = 1 << 60;

/// Where the limit comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A control group's: beyond it the kernel kills.
    ControlGroup(u64),
    /// The machine's memory, which others use too.
    Machine(u64),
}

/// The limit that holds; `None` where neither is told.
pub(crate) fn read() -> Option<Limit> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let group = folders(&groups, &mounts).into_iter().filter_map(|folder| smallest(&folder)).min();
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total(&text));
    match (group, machine) {
        (Some(group), machine) if machine.is_none_or(|machine| group < machine) => Some(Limit::ControlGroup(group)),
        (_, machine) => machine.map(Limit::Machine),
    }
}

/// `MemTotal` of /proc/meminfo, in bytes.
fn total(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A control group's folder, and the mount that it may not be looked for above.
#[derive(Debug, PartialEq, Eq)]
struct Folder {
    path: PathBuf,
    mount: PathBuf,
}

/// The folders of the groups of this process that may limit memory, of either version. In a container the group's path may begin
/// with what the mount shows as its root (`root` of /proc/self/mountinfo).
fn folders(groups: &str, mounts: &str) -> Vec<Folder> {
    let mut found = Vec::new();
    for line in mounts.lines() {
        let Some((before, after)) = line.split_once(" - ") else { continue };
        let mut after = after.split(' ');
        let (kind, options) = (after.next().unwrap_or_default(), after.nth(1).unwrap_or_default());
        let mut before = before.split(' ').skip(3);
        let (Some(root), Some(mount)) = (before.next(), before.next()) else { continue };
        let controllers = match kind {
            "cgroup2" => "",
            "cgroup" if options.split(',').any(|option| option == "memory") => "memory",
            _ => continue,
        };
        let group = groups.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (of, path) = (fields.next()?, fields.next()?);
            of.split(',').any(|one| one == controllers).then_some(path)
        });
        if let Some(group) = group {
            let below = Path::new(group).strip_prefix(root).or_else(|_| Path::new(group).strip_prefix("/"));
            let mount = PathBuf::from(mount);
            found.push(Folder { path: mount.join(below.unwrap_or(Path::new(""))), mount });
        }
    }
    found
}

/// The smallest limit of a group and those above it: each of them holds.
fn smallest(folder: &Folder) -> Option<u64> {
    let limits = folder.path.ancestors().take_while(|above| above.starts_with(&folder.mount)).flat_map(|group| {
        ["memory.max", "memory.high", "memory.limit_in_bytes"].map(|name| fs::read_to_string(group.join(name)).ok())
    });
    limits.flatten().filter_map(|text| text.trim().parse().ok()).filter(|limit| *limit < NONE).min()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::fs;

    use super::{Folder, folders, smallest, total};

    #[test]
    fn the_group_is_found_in_both_versions_and_in_containers() {
        let at = |path: &str, mount: &str| Folder { path: path.into(), mount: mount.into() };
        let two = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(
            folders("0::/system.slice/lethe.service\n", two),
            [at("/sys/fs/cgroup/system.slice/lethe.service", "/sys/fs/cgroup")]
        );
        assert_eq!(folders("0::/\n", two), [at("/sys/fs/cgroup/", "/sys/fs/cgroup")], "with a namespace of its own");
        let one = "36 32 0:31 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n\
                   37 32 0:32 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu";
        assert_eq!(
            folders("5:cpu:/docker/abc\n4:memory:/docker/abc\n", one),
            [at("/sys/fs/cgroup/memory/", "/sys/fs/cgroup/memory")],
            "the mount's root is the container's own group"
        );
        assert_eq!(folders("4:memory:/a/b\n", &one.replace("/docker/abc", "/")).len(), 1);
        assert_eq!(folders("", two), []);
    }

    #[test]
    fn the_smallest_limit_of_a_group_and_those_above_counts() {
        let mount = tempfile::tempdir().unwrap();
        let path = mount.path().join("a/b");
        fs::create_dir_all(&path).unwrap();
        let folder = Folder { path: path.clone(), mount: mount.path().to_owned() };
        assert_eq!(smallest(&folder), None);
        fs::write(path.join("memory.max"), "max\n").unwrap();
        fs::write(mount.path().join("memory.limit_in_bytes"), "9223372036854771712\n").unwrap();
        assert_eq!(smallest(&folder), None, "no limit is written in two ways");
        fs::write(mount.path().join("a/memory.max"), "1000\n").unwrap();
        fs::write(path.join("memory.high"), "2000\n").unwrap();
        assert_eq!(smallest(&folder), Some(1000));
    }

    #[test]
    fn the_machine_tells_its_memory() {
        assert_eq!(total("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16384 * 1024));
        assert_eq!(total("nothing"), None);
    }
}
