//! Every write on whole file systems, reported by the kernel with an open descriptor (fanotify(7)).

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use nix::errno::Errno;
use nix::fcntl::AT_FDCWD;
use nix::sys::fanotify::{EventFFlags, Fanotify, FanotifyEvent, InitFlags, MarkFlags, MaskFlags};

use super::files::{Collected, WatchRequest, readable, wanted};
use super::gaps::Gaps;
use super::mounts::{self, Mount};
use super::process;

/// Marks every file system with files that this process or one of the given sees, and collects in a thread.
pub(super) fn start(request: &WatchRequest, stop: Arc<AtomicBool>, gaps: &mut Gaps) -> io::Result<JoinHandle<Collected>> {
    let init = InitFlags::FAN_CLOEXEC
        | InitFlags::FAN_NONBLOCK
        | InitFlags::FAN_CLASS_NOTIF
        | InitFlags::FAN_UNLIMITED_QUEUE
        | InitFlags::FAN_UNLIMITED_MARKS;
    let open = EventFFlags::O_RDONLY | EventFFlags::O_LARGEFILE | EventFFlags::O_CLOEXEC | EventFFlags::O_NOATIME;
    let group = Fanotify::init(init, open)?;
    let marked = mark(&group, request, gaps)?;
    let request = request.clone();
    std::thread::Builder::new().name("fanotify".to_owned()).spawn(move || collect(&group, &request, &stop, &marked))
}

/// The mounts to watch, each file system once, with a path that this process can reach.
fn reachable(request: &WatchRequest) -> Vec<(Mount, PathBuf)> {
    let mut known = HashSet::new();
    let mut all = Vec::new();
    let tables = std::iter::once(None).chain(request.pids.iter().copied().map(Some));
    for pid in tables {
        for mount in mounts::mounts(pid).unwrap_or_default() {
            if mount.has_files() && known.insert(mount.device.clone()) {
                let path = match pid {
                    None => mount.point.clone(),
                    Some(pid) => {
                        let below = mount.point.strip_prefix("/").unwrap_or(&mount.point);
                        Path::new(&format!("/proc/{pid}/root")).join(below)
                    }
                };
                all.push((mount, path));
            }
        }
    }
    all
}

fn mark(group: &Fanotify, request: &WatchRequest, gaps: &mut Gaps) -> io::Result<HashSet<String>> {
    let mask = MaskFlags::FAN_MODIFY | MaskFlags::FAN_CLOSE_WRITE;
    let mut marked = HashSet::new();
    let mut refused = None;
    for (mount, path) in reachable(request) {
        let add = |scope| group.mark(MarkFlags::FAN_MARK_ADD | scope, mask, AT_FDCWD, Some(&path));
        match add(MarkFlags::FAN_MARK_FILESYSTEM).or_else(|_| add(MarkFlags::FAN_MARK_MOUNT)) {
            Ok(()) => drop(marked.insert(mount.device)),
            Err(errno) => {
                gaps.add(format!("{} ({}) is not watched: {}", mount.point.display(), mount.kind, errno.desc()));
                refused = Some(errno);
            }
        }
    }
    match refused {
        Some(errno) if marked.is_empty() => Err(errno.into()),
        _ => Ok(marked),
    }
}

fn collect(group: &Fanotify, request: &WatchRequest, stop: &AtomicBool, marked: &HashSet<String>) -> Collected {
    let mut collected = Collected::default();
    loop {
        // Asked before reading: what was written before the end is then still read.
        let last = stop.load(Ordering::Acquire);
        match if readable(group.as_fd(), !last) { group.read_events() } else { Err(Errno::EAGAIN) } {
            Ok(events) => {
                for event in &events {
                    take(event, request, &mut collected);
                }
            }
            Err(Errno::EAGAIN) if last => break,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(errno) => {
                // The event whose descriptor could not be made is gone, and only that.
                collected.gaps.add(format!("a changed file was reported without its content: {}", errno.desc()));
                if last && !matches!(errno, Errno::EMFILE | Errno::ENFILE | Errno::ETXTBSY | Errno::ENOENT | Errno::ESTALE) {
                    break;
                }
            }
        }
    }
    for (mount, _) in reachable(request) {
        if !marked.contains(&mount.device) {
            collected.gaps.add(format!("{} ({}) was mounted meanwhile or is not watched", mount.point.display(), mount.kind));
        }
    }
    collected
}

fn take(event: &FanotifyEvent, request: &WatchRequest, collected: &mut Collected) {
    if event.mask().contains(MaskFlags::FAN_Q_OVERFLOW) {
        collected.gaps.add("the kernel's queue of changes overflowed: some are not told");
    }
    let (Some(descriptor), Ok(pid)) = (event.fd(), u32::try_from(event.pid())) else { return };
    if pid == std::process::id() || request.ignore.contains(&pid) {
        return;
    }
    let Ok(copy) = descriptor.try_clone_to_owned() else {
        collected.gaps.add("a changed file could not be kept open: no descriptor");
        return;
    };
    let file = File::from(copy);
    let Ok(path) = path_of(&file) else { return };
    if !wanted(request, &path) || !file.metadata().is_ok_and(|metadata| metadata.file_type().is_file()) {
        return;
    }
    if let Some(seen) = collected.hold(file, path, false, &request.limits) {
        // The name is asked for at once and once: the writer may be gone soon.
        seen.writers.entry(pid).or_insert_with(|| process::name(pid).unwrap_or_default());
    }
}

/// Where an open file is or was.
fn path_of(file: &File) -> io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let bytes = path.as_os_str().as_bytes();
    Ok(match bytes.strip_suffix(b" (deleted)") {
        Some(named) if !path.exists() => PathBuf::from(std::ffi::OsString::from_vec(named.to_vec())),
        _ => path,
    })
}
