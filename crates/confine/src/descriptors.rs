//! Step 4: what is open, by kind, and that it is what was handed in and nothing else.

use std::os::fd::{BorrowedFd, RawFd};

use lethe_handover::Descriptor;
use rustix::{
    fs::FileType,
    io::Errno,
    net::{AddressFamily, SocketType, sockopt},
};

use crate::{facts::Facts, limits};

/// Opens a runtime and closes it again, so that the socket pair which tokio keeps for signals exists before the walls:
/// the filter lets nobody make one later. Answers the descriptors that stay open.
pub(crate) fn open_runtime_pair(facts: &Facts) -> Result<Vec<RawFd>, Errno> {
    let before = facts.descriptors()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    drop(runtime.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::INVAL))?);
    let after = facts.descriptors()?;
    Ok(after.into_iter().filter(|fd| !before.contains(fd)).collect())
}

/// The descriptor table, if it is exactly `expected`, 0 to 2 are the null device, and all others are pipes and sockets.
pub(crate) fn assert_only(expected: &[RawFd], facts: &Facts) -> Result<Vec<Descriptor>, Errno> {
    let mut open = facts.descriptors()?;
    open.sort_unstable();
    open.iter()
        .map(|fd| {
            let descriptor = describe(*fd)?.ok_or(Errno::BADF)?;
            let kind = descriptor.kind.split(':').next().unwrap_or_default();
            let harmless = if (0..=2).contains(fd) { kind == "null" } else { kind == "pipe" || kind == "socket" };
            if harmless && expected.contains(fd) { Ok(descriptor) } else { Err(Errno::BADF) }
        })
        .collect()
}

/// The descriptor table as it is now, found by trying every number below `limit`: there is no `/proc` inside the walls.
pub(crate) fn table(limit: RawFd) -> Vec<Descriptor> {
    (0..limit).filter_map(|fd| describe(fd).unwrap_or(Some(Descriptor { fd, kind: "unknown".to_owned() }))).collect()
}

/// The upper bound of descriptor numbers: `RLIMIT_NOFILE` (getrlimit(2)).
pub(crate) fn upper_bound() -> RawFd {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(RawFd::MAX)
}

/// Kind of one descriptor; `None` when it is not open.
fn describe(fd: RawFd) -> Result<Option<Descriptor>, Errno> {
    #[expect(unsafe_code, reason = "a descriptor is looked at by number")]
    // SAFETY: the number is used for `fstat` and `getsockopt` alone, which answer EBADF when it is not open; nothing is
    // read, written or closed through it.
    let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
    let stat = match rustix::fs::fstat(borrowed) {
        Err(Errno::BADF) => return Ok(None),
        other => other?,
    };
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::CharacterDevice if limits::is_null(borrowed)? => "null".to_owned(),
        FileType::Fifo => "pipe".to_owned(),
        FileType::Socket => socket_kind(borrowed)?,
        FileType::RegularFile => "file".to_owned(),
        FileType::Directory => "directory".to_owned(),
        // epoll and eventfd: anonymous inodes without a type of their own.
        FileType::Unknown => "anonymous".to_owned(),
        _ => "device".to_owned(),
    };
    Ok(Some(Descriptor { fd, kind }))
}

fn socket_kind(socket: BorrowedFd<'_>) -> Result<String, Errno> {
    let family = match sockopt::socket_domain(socket)? {
        AddressFamily::INET => "inet",
        AddressFamily::INET6 => "inet6",
        AddressFamily::UNIX => "unix",
        _ => "other",
    };
    let kind = match sockopt::socket_type(socket)? {
        SocketType::DGRAM => "dgram",
        SocketType::SEQPACKET => "seqpacket",
        SocketType::STREAM => "stream",
        _ => "other",
    };
    let listening = if sockopt::socket_acceptconn(socket)? { ":listening" } else { "" };
    Ok(format!("socket:{family}:{kind}{listening}"))
}
