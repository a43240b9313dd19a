//! The system calls that neither rustix nor another crate wraps in a safe way.
#![expect(unsafe_code, reason = "raw system calls; nothing else lives here")]

use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use rustix::io::Errno;

/// `seccomp(2)` operation: install a filter.
const SECCOMP_SET_MODE_FILTER: libc::c_long = 1;
/// `landlock_create_ruleset(2)` flag: answer the ABI version instead of making a ruleset.
const LANDLOCK_CREATE_RULESET_VERSION: libc::c_long = 1;

fn errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}

/// Takes a descriptor over that this process was started with.
///
/// # Errors
/// `EBADF` when no such descriptor is open.
///
/// # Safety
/// Nothing else in this process may own `raw`.
pub(crate) unsafe fn take_descriptor(raw: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: F_SETFD takes an integer and no pointer; it also tells whether the descriptor is open, and keeps it from any
    // later exec.
    if unsafe { libc::fcntl(raw, libc::F_SETFD, libc::FD_CLOEXEC) } < 0 {
        return Err(errno());
    }
    // SAFETY: open, as just seen, and owned by nobody else, by this function's contract.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Empties the environment and wipes its strings, which `/proc/PID/environ` would show for as long as the process lives.
pub(crate) fn clear_environment() -> Result<(), Errno> {
    unsafe extern "C" {
        static mut environ: *mut *mut libc::c_char;
    }
    // SAFETY: `environ` is a null-terminated array of null-terminated strings in writable memory (environ(7)); the caller
    // made sure that this is the only thread, so nobody reads or changes it meanwhile.
    unsafe {
        let mut entry = environ;
        while !entry.is_null() && !(*entry).is_null() {
            let text = *entry;
            std::ptr::write_bytes(text, 0, libc::strlen(text));
            entry = entry.add(1);
        }
        if libc::clearenv() == 0 { Ok(()) } else { Err(Errno::NOMEM) }
    }
}

/// What a signal does from now on: one of the kernel's own actions, no handler.
#[derive(Clone, Copy)]
pub(crate) enum Action {
    /// `SIG_DFL`
    Default,
    /// `SIG_IGN`
    Ignore,
}

/// Sets what `signal` does.
pub(crate) fn set_signal(signal: libc::c_int, action: Action) -> Result<(), Errno> {
    let action = match action {
        Action::Default => libc::SIG_DFL,
        Action::Ignore => libc::SIG_IGN,
    };
    // SAFETY: neither action is a handler: nothing of this program runs in signal context.
    if unsafe { libc::signal(signal, action) } == libc::SIG_ERR { Err(errno()) } else { Ok(()) }
}

/// Total swap space in units that do not matter here: whether it is 0 does.
pub(crate) fn swap_total() -> Result<u64, Errno> {
    let mut info = std::mem::MaybeUninit::<libc::sysinfo>::zeroed();
    // SAFETY: the kernel fills the structure, which is as large as it expects (sysinfo(2)).
    if unsafe { libc::sysinfo(info.as_mut_ptr()) } != 0 {
        return Err(errno());
    }
    // SAFETY: zeroed and then filled; every bit pattern is valid for its integers.
    Ok(unsafe { info.assume_init() }.totalswap)
}

/// The Landlock ABI that the kernel offers (landlock(7)).
///
/// # Errors
/// `ENOSYS` when it was built without, `EOPNOTSUPP` when it was started without Landlock.
pub(crate) fn landlock_abi() -> Result<i32, Errno> {
    // SAFETY: with this flag the kernel takes a null attribute of size 0 and only answers a number.
    let abi = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, std::ptr::null::<u8>(), 0_usize, LANDLOCK_CREATE_RULESET_VERSION)
    };
    if abi < 0 { Err(errno()) } else { i32::try_from(abi).map_err(|_| Errno::OVERFLOW) }
}

/// Installs a seccomp filter on this thread, which is the only one.
pub(crate) fn install_filter(program: &[seccompiler::sock_filter]) -> Result<(), Errno> {
    #[repr(C)]
    struct SockFprog {
        len: u16,
        filter: *const seccompiler::sock_filter,
    }
    let len = u16::try_from(program.len()).map_err(|_| Errno::TOOBIG)?;
    let program = SockFprog { len, filter: program.as_ptr() };
    // SAFETY: `program` is laid out as `struct sock_fprog` and points to `len` instructions that outlive the call, which
    // copies them.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0_usize, &raw const program) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

/// Makes a new user and mount namespace, or a mount namespace alone, for this thread, which is the only one.
pub(crate) fn new_namespaces(user: bool) -> Result<(), Errno> {
    let flags = libc::CLONE_NEWNS | if user { libc::CLONE_NEWUSER } else { 0 };
    // SAFETY: no descriptor table or memory is unshared: what Rust assumes of them stays.
    if unsafe { libc::unshare(flags) } == 0 { Ok(()) } else { Err(errno()) }
}

/// A system call by number, for [`crate::selftest`], which must see the kernel's own answer and not a library's detour.
///
/// # Safety
/// Arguments that the kernel takes as pointers must be valid for what the call reads and writes, and the call must not
/// break what Rust assumes of this process (its memory, its descriptors).
pub(crate) unsafe fn raw(number: libc::c_long, a: [usize; 6]) -> Result<usize, i32> {
    // SAFETY: the caller's contract.
    let result = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    usize::try_from(result).map_err(|_| errno().raw_os_error())
}

/// Real, effective and saved user and group ids.
pub(crate) fn ids() -> Result<([u32; 3], [u32; 3]), Errno> {
    let (mut users, mut groups) = ([0_u32; 3], [0_u32; 3]);
    let [ruid, euid, suid] = &mut users;
    let [rgid, egid, sgid] = &mut groups;
    // SAFETY: each pointer is to an integer of the caller's own (getresuid(2)).
    let failed = unsafe { libc::getresuid(ruid, euid, suid) != 0 || libc::getresgid(rgid, egid, sgid) != 0 };
    if failed { Err(errno()) } else { Ok((users, groups)) }
}

/// Registers a descriptor with the runtime that this is called in.
pub(crate) fn register(fd: OwnedFd) -> Result<tokio::io::unix::AsyncFd<OwnedFd>, Errno> {
    // SAFETY: an `OwnedFd` is open, always the same, and closed only by its owner, which the `AsyncFd` becomes.
    let registered = unsafe { tokio::io::unix::AsyncFd::register(fd) };
    registered.map_err(|error| Errno::from_io_error(&error.into_parts().1).unwrap_or(Errno::INVAL))
}
