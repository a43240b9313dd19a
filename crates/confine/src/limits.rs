//! Steps 3 and 4: no core, not dumpable, no file growth, no new privileges, no swap, no standard streams. Each is read back.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::{
    fs::{FileType, Mode, OFlags},
    io::Errno,
    mm::MlockAllFlags,
    process::{DumpableBehavior, Resource, Rlimit},
};

use crate::{
    facts::Facts,
    sys::{self, Action},
};

const NONE: Rlimit = Rlimit { current: Some(0), maximum: Some(0) };

fn set_to_none(resource: Resource) -> Result<(), Errno> {
    rustix::process::setrlimit(resource, NONE)?;
    if rustix::process::getrlimit(resource) == NONE { Ok(()) } else { Err(Errno::PERM) }
}

/// A fault ends the process at once. The standard library's handler for stack overflows writes a message and takes itself out of
/// the way; inside the walls it could do neither, nor return: no code of ours is to run in such a state.
pub(crate) fn no_fault_handlers() -> Result<(), Errno> {
    sys::set_signal(libc::SIGSEGV, Action::Default)?;
    sys::set_signal(libc::SIGBUS, Action::Default)
}

/// No core file. A `core_pattern` that pipes to a program ignores this (core(5)): [`not_dumpable`] is for that.
pub(crate) fn no_core() -> Result<(), Errno> {
    set_to_none(Resource::Core)
}

/// No dump, no `ptrace`, no `/proc/self/mem` for anybody but root (`PR_SET_DUMPABLE(2const)`).
pub(crate) fn not_dumpable() -> Result<(), Errno> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    if rustix::process::dumpable_behavior()? == DumpableBehavior::NotDumpable { Ok(()) } else { Err(Errno::PERM) }
}

/// Even a file that is open already cannot grow (setrlimit(2)); the attempt is an error, not a death.
pub(crate) fn no_file_growth() -> Result<(), Errno> {
    sys::set_signal(libc::SIGXFSZ, Action::Ignore)?;
    set_to_none(Resource::Fsize)
}

/// What the filter and Landlock need from a process without privileges, and a lock on set-user-ID programs.
pub(crate) fn no_new_privileges() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    if rustix::thread::no_new_privs()? { Ok(()) } else { Err(Errno::PERM) }
}

/// Locks all memory, present and future, where the limit covers any amount of it: `Ok(true)`. Else there must be no swap:
/// `Ok(false)`. Locking under a finite `RLIMIT_MEMLOCK` would make a later allocation fail instead.
pub(crate) fn no_swap(facts: &Facts) -> Result<bool, Errno> {
    if rustix::process::getrlimit(Resource::Memlock).current.is_none() {
        rustix::mm::mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)?;
        return Ok(true);
    }
    if facts.swap_absent() && swap_still_absent()? { Ok(false) } else { Err(Errno::NOMEM) }
}

/// The proof that works from inside the walls too.
pub(crate) fn swap_still_absent() -> Result<bool, Errno> {
    sys::swap_total().map(|total| total == 0)
}

/// stdin, stdout and stderr to `/dev/null`, opened before the walls by [`open_null`].
pub(crate) fn close_standard_streams(null: OwnedFd) -> Result<(), Errno> {
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    rustix::stdio::dup2_stderr(&null)
}

/// `/dev/null`, and nothing that only has its name.
pub(crate) fn open_null() -> Result<OwnedFd, Errno> {
    let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::empty())?;
    if is_null(null.as_fd())? { Ok(null) } else { Err(Errno::NODEV) }
}

/// Whether a descriptor is the null device: character device 1:3 (kernel, Documentation/admin-guide/devices.txt).
pub(crate) fn is_null(fd: BorrowedFd<'_>) -> Result<bool, Errno> {
    let stat = rustix::fs::fstat(fd)?;
    Ok(FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == rustix::fs::makedev(1, 3))
}
