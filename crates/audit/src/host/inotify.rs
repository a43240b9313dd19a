//! What happens in watched folders, for an ordinary user (inotify(7)). A file that appears is opened at once, so that it can still be read
//! when its name is gone.

use std::collections::HashMap;
use std::fs::Metadata;
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};

use super::files::{Collected, WatchRequest, readable};
use super::gaps::Gaps;
use super::snapshot::{Walk, open_regular};

/// Names of files that vanished too soon, as many as are told.
const MISSED: usize = 10_000;

struct Folders {
    inotify: Inotify,
    paths: HashMap<WatchDescriptor, PathBuf>,
}

pub(super) fn start(request: &WatchRequest, stop: Arc<AtomicBool>, gaps: &mut Gaps) -> io::Result<JoinHandle<Collected>> {
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    let mut folders = Folders { inotify, paths: HashMap::new() };
    let walk = Walk { exclude: &request.exclude, entries: request.limits.entries };
    let mut refused = Gaps::default();
    walk.run(&request.folders, gaps, |path, metadata| {
        if metadata.file_type().is_dir() {
            folders.add(path, &mut refused);
        }
    });
    gaps.join(refused);
    let request = request.clone();
    std::thread::Builder::new().name("inotify".to_owned()).spawn(move || folders.collect(&request, &stop))
}

impl Folders {
    fn add(&mut self, path: &Path, gaps: &mut Gaps) {
        let mask = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ONLYDIR
            | AddWatchFlags::IN_DONT_FOLLOW;
        match self.inotify.add_watch(path, mask) {
            Ok(watch) => drop(self.paths.insert(watch, path.to_path_buf())),
            Err(Errno::ENOENT | Errno::ENOTDIR) => {}
            Err(Errno::ENOSPC) => gaps.add("folders are not watched: fs.inotify.max_user_watches is reached"),
            Err(errno) => gaps.add(format!("a folder is not watched: {}", errno.desc())),
        }
    }

    fn collect(mut self, request: &WatchRequest, stop: &AtomicBool) -> Collected {
        let mut collected = Collected::default();
        loop {
            // Asked before reading: what was written before the end is then still read.
            let last = stop.load(Ordering::Acquire);
            match if readable(self.inotify.as_fd(), !last) { self.inotify.read_events() } else { Err(Errno::EAGAIN) } {
                Ok(events) => events.iter().for_each(|event| self.take(event, request, &mut collected)),
                Err(Errno::EAGAIN) if last => break,
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(errno) => {
                    collected.gaps.add(format!("inotify could not be read, the watch ended early: {}", errno.desc()));
                    break;
                }
            }
        }
        collected
    }

    fn take(&mut self, event: &InotifyEvent, request: &WatchRequest, collected: &mut Collected) {
        if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
            collected.gaps.add("the kernel's queue of changes overflowed: some are not told");
        }
        if event.mask.contains(AddWatchFlags::IN_IGNORED) {
            self.paths.remove(&event.wd);
            return;
        }
        let (Some(folder), Some(name)) = (self.paths.get(&event.wd), &event.name) else { return };
        let path = folder.join(name);
        if request.exclude.iter().any(|excluded| path.starts_with(excluded)) {
            return;
        }
        let created = event.mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        if event.mask.contains(AddWatchFlags::IN_ISDIR) {
            if created {
                self.appeared(path, request, collected);
            }
            return;
        }
        open(&path, created, request, collected);
    }

    /// A new folder: watched first, then looked into, as files may have come before the watch.
    fn appeared(&mut self, folder: PathBuf, request: &WatchRequest, collected: &mut Collected) {
        let left = request.limits.entries.saturating_sub(self.paths.len());
        let walk = Walk { exclude: &request.exclude, entries: left };
        let mut gaps = Gaps::default();
        let mut refused = Gaps::default();
        let mut files = Vec::new();
        walk.run(&[folder], &mut gaps, |path: &Path, metadata: &Metadata| {
            if metadata.file_type().is_dir() {
                self.add(path, &mut refused);
            } else {
                files.push(path.to_path_buf());
            }
        });
        // The walk's own words name the folder, which the target chose.
        if !gaps.is_empty() {
            collected.gaps.add("a new folder could not be looked into whole");
        }
        collected.gaps.join(refused);
        for path in files {
            open(&path, true, request, collected);
        }
    }
}

fn open(path: &Path, created: bool, request: &WatchRequest, collected: &mut Collected) {
    match open_regular(path) {
        Ok((file, _)) => drop(collected.hold(file, path.to_path_buf(), created, &request.limits)),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Of a file that is held already only the name is gone.
            if !collected.paths.contains(path) && collected.missed.len() < MISSED {
                collected.missed.insert(path.to_path_buf());
            }
        }
        Err(_) => collected.gaps.add("a changed file cannot be read"),
    }
}
