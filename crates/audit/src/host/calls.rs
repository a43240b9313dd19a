//! Which system calls write, and to what. Told from the registers at a call's end, which still hold its arguments.

/// The registers that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    pub number: i64,
    pub arguments: [u64; 6],
    pub result: i64,
}

/// What a finished call wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// To an open descriptor.
    Descriptor { call: &'static str, number: i32, bytes: u64 },
    /// To a name, relative to a folder's descriptor ([`libc::AT_FDCWD`] for the process's own).
    Path { call: &'static str, folder: i32, pointer: u64 },
    /// Through a socket, to a destination if one is given: a socket address, or a message header that points to one.
    Send { call: &'static str, number: i32, address: Address, bytes: u64 },
    /// A socket's destination is set or tried.
    Connect { number: i32, address: Address, succeeded: bool },
    /// To something that is neither.
    Other { call: &'static str, target: &'static str, bytes: u64 },
}

/// Where in the process's memory a destination stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address {
    None,
    Plain { pointer: u64, length: u64 },
    Message(u64),
}

/// A descriptor is an `int`: the upper half of the register says nothing.
#[cfg(target_arch = "x86_64")]
fn descriptor(argument: u64) -> i32 {
    let bytes = argument.to_le_bytes();
    i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

/// No numbers of calls are known for this machine.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn effect(_call: &Call) -> Option<Effect> {
    None
}

/// What the call wrote to; `None` for one that failed or does not write.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn effect(call: &Call) -> Option<Effect> {
    let Call { number, arguments: [a, b, c, d, e, f], result } = *call;
    if number == libc::SYS_connect {
        let succeeded = result == 0 || result == -i64::from(libc::EINPROGRESS);
        return Some(Effect::Connect { number: descriptor(a), address: Address::Plain { pointer: b, length: c }, succeeded });
    }
    let result = u64::try_from(result).ok()?;
    let to = |call, argument, bytes| Some(Effect::Descriptor { call, number: descriptor(argument), bytes });
    let named = |call, folder: Option<u64>, pointer| {
        let folder = folder.map_or(libc::AT_FDCWD, descriptor);
        Some(Effect::Path { call, folder, pointer })
    };
    let other = |call, target, bytes| Some(Effect::Other { call, target, bytes });
    let made = |call, flags: u64| if creates(flags) { to(call, result, 0) } else { None };
    match number {
        // Moving bytes. A call that moved none wrote none.
        libc::SYS_write if result > 0 => to("write", a, result),
        libc::SYS_pwrite64 if result > 0 => to("pwrite64", a, result),
        libc::SYS_writev if result > 0 => to("writev", a, result),
        libc::SYS_pwritev if result > 0 => to("pwritev", a, result),
        libc::SYS_pwritev2 if result > 0 => to("pwritev2", a, result),
        libc::SYS_sendfile if result > 0 => to("sendfile", a, result),
        libc::SYS_splice if result > 0 => to("splice", c, result),
        libc::SYS_tee if result > 0 => to("tee", b, result),
        libc::SYS_vmsplice if result > 0 => to("vmsplice", a, result),
        libc::SYS_copy_file_range if result > 0 => to("copy_file_range", c, result),
        libc::SYS_mq_timedsend => to("mq_timedsend", a, c),
        libc::SYS_sendto => {
            let address = if e == 0 { Address::None } else { Address::Plain { pointer: e, length: f } };
            Some(Effect::Send { call: "sendto", number: descriptor(a), address, bytes: result })
        }
        libc::SYS_sendmsg => {
            Some(Effect::Send { call: "sendmsg", number: descriptor(a), address: Address::Message(b), bytes: result })
        }
        // The result counts messages.
        libc::SYS_sendmmsg if result > 0 => {
            Some(Effect::Send { call: "sendmmsg", number: descriptor(a), address: Address::Message(b), bytes: 0 })
        }
        // Making and changing files.
        libc::SYS_open => made("open", b),
        libc::SYS_openat => made("openat", c),
        // Its flags are in memory; the descriptor says how it is open.
        libc::SYS_openat2 => to("openat2", result, 0),
        libc::SYS_creat => to("creat", result, 0),
        libc::SYS_memfd_create => to("memfd_create", result, 0),
        libc::SYS_truncate => named("truncate", None, a),
        libc::SYS_ftruncate => to("ftruncate", a, 0),
        libc::SYS_fallocate => to("fallocate", a, 0),
        // linux/fs.h: FICLONE, FICLONERANGE.
        libc::SYS_ioctl if b == 0x4004_9409 || b == 0x4020_940d => to("ioctl (clone)", a, 0),
        libc::SYS_rename => named("rename", None, b),
        libc::SYS_renameat => named("renameat", Some(c), d),
        libc::SYS_renameat2 => named("renameat2", Some(c), d),
        libc::SYS_link => named("link", None, b),
        libc::SYS_linkat => named("linkat", Some(c), d),
        libc::SYS_symlink => named("symlink", None, b),
        libc::SYS_symlinkat => named("symlinkat", Some(b), c),
        libc::SYS_mkdir => named("mkdir", None, a),
        libc::SYS_mkdirat => named("mkdirat", Some(a), b),
        libc::SYS_mknod => named("mknod", None, a),
        libc::SYS_mknodat => named("mknodat", Some(a), b),
        libc::SYS_rmdir => named("rmdir", None, a),
        libc::SYS_unlink => named("unlink", None, a),
        libc::SYS_unlinkat => named("unlinkat", Some(a), b),
        libc::SYS_chmod => named("chmod", None, a),
        libc::SYS_fchmod => to("fchmod", a, 0),
        libc::SYS_fchmodat => named("fchmodat", Some(a), b),
        libc::SYS_chown => named("chown", None, a),
        libc::SYS_lchown => named("lchown", None, a),
        libc::SYS_fchown => to("fchown", a, 0),
        libc::SYS_fchownat => named("fchownat", Some(a), b),
        libc::SYS_setxattr => named("setxattr", None, a),
        libc::SYS_lsetxattr => named("lsetxattr", None, a),
        libc::SYS_fsetxattr => to("fsetxattr", a, 0),
        libc::SYS_utime => named("utime", None, a),
        libc::SYS_utimes => named("utimes", None, a),
        libc::SYS_utimensat if b == 0 => to("utimensat", a, 0),
        libc::SYS_utimensat => named("utimensat", Some(a), b),
        libc::SYS_futimesat => named("futimesat", Some(a), b),
        // Memory that others see.
        libc::SYS_mmap if is_shared_write(c, d) => to("mmap", e, b),
        libc::SYS_msync => other("msync", "mapped memory", b),
        libc::SYS_shmat => other("shmat", "System V segment", 0),
        libc::SYS_msgsnd => other("msgsnd", "System V queue", c),
        libc::SYS_process_vm_writev if result > 0 => other("process_vm_writev", "memory of another process", result),
        libc::SYS_add_key => other("add_key", "keyring", d),
        // What these do is in memory and not seen: that they were used is.
        libc::SYS_io_uring_enter if b > 0 => to("io_uring_enter", a, 0),
        libc::SYS_io_submit if result > 0 => other("io_submit", "asynchronous input and output", 0),
        _ => None,
    }
}

/// `O_TMPFILE` is two bits, one of them `O_DIRECTORY`.
#[cfg(target_arch = "x86_64")]
fn creates(flags: u64) -> bool {
    let flags = descriptor(flags);
    flags & (libc::O_CREAT | libc::O_TRUNC) != 0 || flags & libc::O_TMPFILE == libc::O_TMPFILE
}

#[cfg(target_arch = "x86_64")]
fn is_shared_write(protection: u64, flags: u64) -> bool {
    let (protection, flags) = (descriptor(protection), descriptor(flags));
    let shared = matches!(flags & libc::MAP_TYPE, libc::MAP_SHARED | libc::MAP_SHARED_VALIDATE);
    shared && protection & libc::PROT_WRITE != 0 && flags & libc::MAP_ANONYMOUS == 0
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    #[test]
    fn only_what_succeeded_and_wrote() {
        let call = |number, arguments, result| effect(&Call { number, arguments, result });
        assert_eq!(call(libc::SYS_write, [7, 0, 9, 0, 0, 0], 9), Some(Effect::Descriptor { call: "write", number: 7, bytes: 9 }));
        assert_eq!(call(libc::SYS_write, [7, 0, 9, 0, 0, 0], -i64::from(libc::EPERM)), None);
        assert_eq!(call(libc::SYS_read, [7, 0, 9, 0, 0, 0], 9), None);
        let at = u64::from(libc::AT_FDCWD.cast_unsigned());
        let write_only = u64::from((libc::O_WRONLY | libc::O_CREAT).cast_unsigned());
        assert_eq!(
            call(libc::SYS_openat, [at, 1, write_only, 0, 0, 0], 5),
            Some(Effect::Descriptor { call: "openat", number: 5, bytes: 0 })
        );
        assert_eq!(call(libc::SYS_openat, [at, 1, 0, 0, 0, 0], 5), None);
        assert_eq!(
            call(libc::SYS_renameat, [at, 1, at, 2, 0, 0], 0),
            Some(Effect::Path { call: "renameat", folder: libc::AT_FDCWD, pointer: 2 })
        );
        let shared = [0, 4096, 3, 1, 4, 0];
        assert_eq!(call(libc::SYS_mmap, shared, 1 << 40), Some(Effect::Descriptor { call: "mmap", number: 4, bytes: 4096 }));
        assert_eq!(call(libc::SYS_mmap, [0, 4096, 3, 2, 4, 0], 1 << 40), None, "private");
        assert_eq!(call(libc::SYS_mmap, [0, 4096, 1, 1, 4, 0], 1 << 40), None, "read only");
        let refused = call(libc::SYS_connect, [3, 1, 16, 0, 0, 0], -i64::from(libc::ECONNREFUSED));
        assert!(matches!(refused, Some(Effect::Connect { succeeded: false, .. })));
    }
}
