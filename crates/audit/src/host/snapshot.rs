//! What is in some folders at one moment, to be compared with another: finds what no notice tells of, as a write through a mapping.

use std::collections::{BTreeMap, HashSet};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::digest::{self, Budget, Digest};
use super::gaps::Gaps;
use super::mounts;

/// Deeper than this is no folder that people make.
const DEPTH: usize = 128;

/// One file as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stand {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
    digest: Option<Digest>,
}

/// Regular files below some folders, as they were.
#[derive(Default)]
pub struct Snapshot {
    files: BTreeMap<PathBuf, Stand>,
    complete: bool,
}

/// How a file of a later snapshot differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    Created,
    Modified,
}

/// Opens a regular file for reading and nothing else: no link is followed, no pipe waited for.
///
/// # Errors
/// Of the system; `InvalidInput` for what is not a regular file.
pub fn open_regular(path: &Path) -> std::io::Result<(File, Metadata)> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC | libc::O_NOCTTY;
    let regular = |metadata: &Metadata| metadata.file_type().is_file();
    // A device's opening has effects: it is looked at before.
    if !regular(&std::fs::symlink_metadata(path)?) {
        return Err(std::io::ErrorKind::InvalidInput.into());
    }
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if regular(&metadata) { Ok((file, metadata)) } else { Err(std::io::ErrorKind::InvalidInput.into()) }
}

/// Everything below some folders, in order, each folder and file once, within a bound.
pub struct Walk<'a> {
    pub exclude: &'a [PathBuf],
    /// Folders and files together.
    pub entries: usize,
}

impl Walk<'_> {
    /// Calls `each` with every folder and regular file; says whether the bound allowed all of it.
    pub fn run(&self, folders: &[PathBuf], gaps: &mut Gaps, mut each: impl FnMut(&Path, &Metadata)) -> bool {
        let not_files: HashSet<PathBuf> = mounts::mounts(None)
            .unwrap_or_default()
            .into_iter()
            .filter(|mount| !mount.has_files())
            .map(|mount| mount.point)
            .collect();
        let mut seen = HashSet::new();
        let mut left = self.entries;
        let mut waiting: Vec<(PathBuf, usize)> = folders.iter().rev().map(|folder| (folder.clone(), 0)).collect();
        while let Some((path, depth)) = waiting.pop() {
            if self.exclude.iter().any(|excluded| path.starts_with(excluded)) || (depth > 0 && not_files.contains(&path)) {
                continue;
            }
            // A watched folder may be a link itself; below it none is followed.
            let metadata = if depth == 0 { std::fs::metadata(&path) } else { std::fs::symlink_metadata(&path) };
            let Ok(metadata) = metadata else {
                if depth == 0 {
                    gaps.add(format!("{} cannot be looked at", path.display()));
                }
                continue;
            };
            let kind = metadata.file_type();
            if !(kind.is_dir() || kind.is_file()) || !seen.insert((metadata.dev(), metadata.ino(), path.clone())) {
                continue;
            }
            if left == 0 {
                gaps.add(format!("watched folders hold more than {} entries: the rest was not looked at", self.entries));
                return false;
            }
            left -= 1;
            each(&path, &metadata);
            if kind.is_dir() && depth < DEPTH {
                match std::fs::read_dir(&path) {
                    Ok(entries) => waiting.extend(entries.flatten().map(|entry| (entry.path(), depth + 1)).take(left + 1)),
                    Err(_) => gaps.add("a folder cannot be listed"),
                }
            }
        }
        true
    }
}

/// File systems on which every change of a file's content changes its time of change, which nobody can set: not tmpfs, where a write through a
/// mapping does not, and not those of a network or a program. What is on these has to be read to be compared.
fn exact_times() -> HashSet<(u32, u32)> {
    let exact = |mount: &mounts::Mount| matches!(mount.kind.as_str(), "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs");
    let device = |mount: mounts::Mount| {
        let (major, minor) = mount.device.split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    mounts::mounts(None).unwrap_or_default().into_iter().filter(exact).filter_map(device).collect()
}

/// `None` for a file that the budget does not allow.
fn digest_of(path: &Path, budget: &mut Budget) -> std::io::Result<Option<Digest>> {
    let (mut file, metadata) = open_regular(path)?;
    digest::of(&mut file, metadata.len(), budget)
}

impl Snapshot {
    /// Looks at the folders now.
    pub fn take(folders: &[PathBuf], walk: &Walk<'_>, mut budget: Budget, gaps: &mut Gaps) -> Self {
        let mut files = BTreeMap::new();
        let (mut large, mut unreadable) = (0_u64, 0_u64);
        let exact = exact_times();
        let complete = walk.run(folders, gaps, |path, metadata| {
            if !metadata.file_type().is_file() {
                return;
            }
            let by_times = exact.contains(&(rustix::fs::major(metadata.dev()), rustix::fs::minor(metadata.dev())));
            let digest = if by_times { Ok(None) } else { digest_of(path, &mut budget) };
            let digest = match digest {
                Ok(digest) => {
                    large += u64::from(digest.is_none() && !by_times);
                    digest
                }
                Err(_) => {
                    unreadable += 1;
                    None
                }
            };
            let stand = Stand {
                device: metadata.dev(),
                inode: metadata.ino(),
                size: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
                digest,
            };
            files.insert(path.to_path_buf(), stand);
        });
        if large > 0 {
            gaps.add(format!("{large} files were compared by size and times only: the bound on bytes to digest was reached"));
        }
        if unreadable > 0 {
            gaps.add(format!("{unreadable} files in watched folders cannot be read"));
        }
        Self { files, complete }
    }

    /// What is in `self` and was not so in `before`.
    pub fn since<'a>(&'a self, before: &'a Self) -> impl Iterator<Item = (&'a Path, Difference)> {
        self.files.iter().filter_map(move |(path, stand)| match before.files.get(path) {
            // Where the bound cut the earlier look short, what it did not see is not new.
            None if !before.complete => None,
            None => Some((path.as_path(), Difference::Created)),
            Some(old) if (old.device, old.inode) != (stand.device, stand.inode) => Some((path.as_path(), Difference::Created)),
            Some(old) => {
                let digests = old.digest.zip(stand.digest).is_some_and(|(old, new)| old != new);
                let times = (old.size, old.modified, old.changed) != (stand.size, stand.modified, stand.changed);
                (digests || times).then_some((path.as_path(), Difference::Modified))
            }
        })
    }

    /// How many files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}
