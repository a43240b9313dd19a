//! Files that come into being or change while something runs.
//!
//! With the right to it, the kernel reports every write on whole file systems (fanotify); otherwise watched folders are reported (inotify). In both
//! cases two snapshots of the watched folders find what no notice tells of. What is deleted while it is watched is kept open.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::SystemTime;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::digest::Budget;
use super::fanotify;
use super::gaps::Gaps;
use super::inotify;
use super::snapshot::{Difference, Snapshot, Walk, open_regular};

/// How much a watch may hold and read.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Folders and files in watched folders.
    pub entries: usize,
    /// Bytes to digest in all, and of one file.
    pub digest: Budget,
    /// Changed files that are told.
    pub changes: usize,
    /// Changed files that are kept open.
    pub held: usize,
}

impl Default for Limits {
    fn default() -> Self {
        let digest = Budget { total: 256 * 1024 * 1024, per_file: 16 * 1024 * 1024 };
        Self { entries: 200_000, digest, changes: 50_000, held: 2_000 }
    }
}

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchRequest {
    pub folders: Vec<PathBuf>,
    /// Nothing below these is told.
    pub exclude: Vec<PathBuf>,
    /// Everything on this machine, where the right to it is there, instead of the folders only.
    pub whole_mounts: bool,
    /// Processes whose private mounts belong to it.
    pub pids: Vec<u32>,
    /// Processes that do not count as writers, besides this one.
    pub ignore: Vec<u32>,
    /// Whether to do without fanotify even where it is allowed.
    pub ordinary: bool,
    pub limits: Limits,
}

/// By which means files were watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// fanotify on whole file systems, and snapshots of the folders.
    FileSystems,
    /// inotify on the folders, and snapshots.
    Folders,
    /// Snapshots only.
    Snapshots,
}

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Created,
    Modified,
    /// It has no name any more; readable if it could be kept.
    Deleted,
}

/// A process that wrote to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    pub pid: u32,
    /// Empty when it had ended before it was asked.
    pub name: String,
}

/// A file that changed. Its path is as the target chose it: it may itself hold a canary.
pub struct Change {
    pub path: PathBuf,
    pub how: How,
    /// Known with [`Method::FileSystems`] only.
    pub writers: Vec<Writer>,
    /// The whole file as it is now, where it could be had.
    pub file: Option<File>,
    pub size: u64,
}

/// What a watch found.
pub struct Changes {
    pub changed: Vec<Change>,
    pub method: Method,
    /// What could not be watched, in sentences.
    pub gaps: Vec<String>,
}

/// A file as the watching thread knows it.
pub(super) struct Seen {
    pub(super) path: PathBuf,
    pub(super) file: Option<File>,
    pub(super) created: bool,
    pub(super) writers: BTreeMap<u32, String>,
}

/// What the watching thread hands back.
#[derive(Default)]
pub(super) struct Collected {
    /// By device and inode.
    pub(super) files: HashMap<(u64, u64), Seen>,
    pub(super) paths: HashSet<PathBuf>,
    /// Names that were there too briefly to be opened.
    pub(super) missed: HashSet<PathBuf>,
    pub(super) gaps: Gaps,
    open: usize,
}

impl Collected {
    /// Takes a file in, and lets go of others that still have their name when too many are open.
    pub(super) fn hold(&mut self, file: File, path: PathBuf, created: bool, limits: &Limits) -> Option<&mut Seen> {
        let Ok(metadata) = file.metadata() else {
            self.gaps.add("a changed file could not be looked at");
            return None;
        };
        let key = (metadata.dev(), metadata.ino());
        if !self.files.contains_key(&key) && self.files.len() >= limits.changes {
            self.gaps.add(format!("more than {} files changed: the rest is not told", limits.changes));
            return None;
        }
        if self.open >= limits.held {
            self.release();
        }
        let seen = self.files.entry(key).or_insert_with(|| Seen { path, file: None, created, writers: BTreeMap::new() });
        self.paths.insert(seen.path.clone());
        seen.created |= created;
        if seen.file.is_none() {
            seen.file = Some(file);
            self.open += 1;
        }
        Some(seen)
    }

    fn release(&mut self) {
        let before = self.open;
        for (key, seen) in &mut self.files {
            let named = || std::fs::symlink_metadata(&seen.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == *key);
            if seen.file.is_some() && named() {
                seen.file = None;
                self.open -= 1;
            }
        }
        if self.open > before / 4 * 3 {
            // Nearly all of them have lost their names: some must go all the same.
            for seen in self.files.values_mut().filter(|seen| seen.file.is_some()).take(before / 4) {
                seen.file = None;
                self.open -= 1;
                self.gaps.add("a deleted file could not be kept: too many");
            }
        }
    }
}

/// Whether something can be read, now or within a short time.
pub(super) fn readable(descriptor: BorrowedFd<'_>, wait: bool) -> bool {
    let limit = Timespec { tv_sec: 0, tv_nsec: if wait { 20_000_000 } else { 0 } };
    poll(&mut [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

/// Watching from [`Watch::start`] until [`Watch::finish`].
pub struct Watch {
    request: WatchRequest,
    before: Snapshot,
    started: SystemTime,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Collected>>,
    method: Method,
    gaps: Gaps,
}

impl Watch {
    /// Watches from now on. What is not possible is a gap, not an error.
    #[must_use]
    pub fn start(request: WatchRequest) -> Self {
        let mut gaps = Gaps::default();
        let stop = Arc::new(AtomicBool::new(false));
        let started = SystemTime::now();
        let (method, thread) = Self::notices(&request, &stop, &mut gaps);
        let walk = Walk { exclude: &request.exclude, entries: request.limits.entries };
        let mut of_snapshot = Gaps::default();
        let before = Snapshot::take(&request.folders, &walk, request.limits.digest, &mut of_snapshot);
        // Where every write is seen as it happens, what a comparison would have missed is missed by nobody.
        if method != Method::FileSystems {
            gaps.join(of_snapshot);
        }
        Self { request, before, started, stop, thread, method, gaps }
    }

    fn notices(request: &WatchRequest, stop: &Arc<AtomicBool>, gaps: &mut Gaps) -> (Method, Option<JoinHandle<Collected>>) {
        if !request.ordinary {
            match fanotify::start(request, Arc::clone(stop), gaps) {
                Ok(thread) => return (Method::FileSystems, Some(thread)),
                Err(error) => gaps.add(format!("whole file systems are not watched, only folders: fanotify: {error}")),
            }
        }
        match inotify::start(request, Arc::clone(stop), gaps) {
            Ok(thread) => (Method::Folders, Some(thread)),
            Err(error) => {
                gaps.add(format!("folders are compared, not watched: inotify: {error}"));
                (Method::Snapshots, None)
            }
        }
    }

    /// By which means.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// Ends it; everything that was written before this call is in the result.
    #[must_use]
    pub fn finish(mut self) -> Changes {
        self.stop.store(true, Ordering::Release);
        let mut collected = match self.thread.take().map(JoinHandle::join) {
            Some(Ok(collected)) => collected,
            Some(Err(_)) => {
                self.gaps.add("the watching thread failed");
                Collected::default()
            }
            None => Collected::default(),
        };
        let walk = Walk { exclude: &self.request.exclude, entries: self.request.limits.entries };
        let mut again = Gaps::default();
        let after = Snapshot::take(&self.request.folders, &walk, self.request.limits.digest, &mut again);
        if self.method != Method::FileSystems {
            self.gaps.also(again);
        }
        for (path, difference) in after.since(&self.before) {
            let Ok((file, metadata)) = open_regular(path) else {
                collected.missed.insert(path.to_path_buf());
                continue;
            };
            // Without a notice of it there may still be a watched duplicate: by device and inode it is one file.
            let known = collected.files.get_mut(&(metadata.dev(), metadata.ino()));
            let created = difference == Difference::Created;
            match known {
                Some(seen) => seen.created |= created,
                None => drop(collected.hold(file, path.to_path_buf(), created, &self.request.limits)),
            }
        }
        let started = self.started;
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.join(std::mem::take(&mut collected.gaps));
        let mut changed: Vec<Change> = collected.files.into_iter().map(|(key, seen)| seen.into_change(key, started)).collect();
        let unread = changed.iter().filter(|change| change.file.is_none()).count();
        if unread > 0 {
            gaps.add(format!("{unread} files changed whose content could not be had any more"));
        }
        if !collected.missed.is_empty() {
            gaps.add(format!("{} files were there too briefly to be opened", collected.missed.len()));
        }
        let missed = collected.missed.into_iter();
        changed.extend(missed.map(|path| Change { path, how: How::Deleted, writers: Vec::new(), file: None, size: 0 }));
        changed.sort_by(|one, other| one.path.cmp(&other.path));
        Changes { changed, method: self.method, gaps: gaps.into_list() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
    }
}

impl Seen {
    fn into_change(mut self, key: (u64, u64), started: SystemTime) -> Change {
        if self.file.is_none() {
            let same = |metadata: &std::fs::Metadata| (metadata.dev(), metadata.ino()) == key;
            self.file = open_regular(&self.path).ok().filter(|(_, metadata)| same(metadata)).map(|(file, _)| file);
        }
        let metadata = self.file.as_ref().and_then(|file| file.metadata().ok());
        let born = metadata.as_ref().and_then(|metadata| metadata.created().ok());
        let how = match &metadata {
            Some(metadata) if metadata.nlink() > 0 => {
                if self.created || born.is_some_and(|born| born >= started) {
                    How::Created
                } else {
                    How::Modified
                }
            }
            _ => How::Deleted,
        };
        let size = metadata.map_or(0, |metadata| metadata.len());
        let writers = self.writers.into_iter().map(|(pid, name)| Writer { pid, name }).collect();
        Change { path: self.path, how, writers, file: self.file, size }
    }
}

/// Whether changes at this path are asked for.
pub(super) fn wanted(request: &WatchRequest, path: &Path) -> bool {
    let below = |folders: &[PathBuf]| folders.iter().any(|folder| path.starts_with(folder));
    !below(&request.exclude) && (request.whole_mounts || below(&request.folders))
}
