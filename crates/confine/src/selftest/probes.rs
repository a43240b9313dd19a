//! The list of attempts. Where the real thing would do harm if it worked, the arguments make it fail *behind* the filter
//! (a path that does not exist, descriptor -1): an errno of that kind is a way out all the same.

use std::ffi::{CStr, CString};

use super::{
    Context,
    call::{Arg, call, fork, make, map, open},
};

/// One attempt.
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) run: fn(Context) -> Result<(), i32>,
}

const fn probe(name: &'static str, run: fn(Context) -> Result<(), i32>) -> Probe {
    Probe { name, run }
}

/// A path that leads nowhere.
const NOWHERE: &CStr = c"/nonexistent/lethe-probe";
const CWD: Arg<'static> = Arg::Number(libc::AT_FDCWD as i64);
const NULL: Arg<'static> = Arg::Number(0);
const NO_FD: Arg<'static> = Arg::Number(-1);
const MODE: Arg<'static> = Arg::Number(0o600);
/// `MSG_FASTOPEN` (linux/socket.h).
const FAST_OPEN: i64 = libc::MSG_FASTOPEN as i64;

fn number(value: i32) -> Arg<'static> {
    Arg::Number(i64::from(value))
}

fn zeroed() -> [u64; 64] {
    [0; 64]
}

/// A name in `/tmp` that no other process tries at the same time.
fn fresh(context: Context) -> CString {
    CString::new(format!("/tmp/lethe-probe-{}", context.own)).unwrap_or_default()
}

fn done(result: Result<usize, i32>) -> Result<(), i32> {
    result.map(|_| ())
}

fn open_path(path: &CStr, flags: i32) -> Result<(), i32> {
    open(libc::SYS_openat, &mut [CWD, Arg::Text(path), number(flags), MODE])
}

fn open_new(context: Context, flags: i32) -> Result<(), i32> {
    let path = fresh(context);
    open_path(&path, flags | libc::O_CREAT | libc::O_CLOEXEC)?;
    done(call(libc::SYS_unlink, &mut [Arg::Text(&path)]))
}

fn socket(family: i32, kind: i32) -> Result<(), i32> {
    open(libc::SYS_socket, &mut [number(family), number(kind | libc::SOCK_CLOEXEC), NULL])
}

/// A System V object of one's own (`IPC_PRIVATE`), removed again by its control call.
fn ipc(get: libc::c_long, remove: libc::c_long, args: &mut [Arg<'_>], id_then: &[i64]) -> Result<(), i32> {
    let id = call(get, args)?;
    let mut rest: Vec<Arg<'_>> = std::iter::once(id as i64).chain(id_then.iter().copied()).map(Arg::Number).collect();
    let _ = call(remove, &mut rest);
    Ok(())
}

const CREATE: i64 = (libc::IPC_CREAT | 0o600) as i64;
const REMOVE: i64 = libc::IPC_RMID as i64;
const READ_WRITE: i32 = libc::PROT_READ | libc::PROT_WRITE;
const READ_EXEC: i32 = libc::PROT_READ | libc::PROT_EXEC;
const PRIVATE: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Every way out.
pub(super) const ALL: &[Probe] = &[
    // Files: contents, names, and the marks that a file can carry.
    probe("create_file", |c| open_new(c, libc::O_WRONLY | libc::O_EXCL)),
    probe("append_file", |c| open_new(c, libc::O_WRONLY | libc::O_APPEND)),
    probe("open_passwd", |_| open_path(c"/etc/passwd", libc::O_RDONLY | libc::O_CLOEXEC)),
    probe("open_proc_mem", |_| open_path(c"/proc/self/mem", libc::O_RDWR | libc::O_CLOEXEC)),
    probe("link", |c| done(call(libc::SYS_link, &mut [Arg::Text(NOWHERE), Arg::Text(&fresh(c))]))),
    probe("symlink", |c| {
        let path = fresh(c);
        make(libc::SYS_symlink, &path, &mut [Arg::Text(NOWHERE), Arg::Text(&path)])
    }),
    probe("mkdir", |c| {
        let path = fresh(c);
        make(libc::SYS_mkdir, &path, &mut [Arg::Text(&path), Arg::Number(0o700)])
    }),
    probe("mknod", |c| {
        let path = fresh(c);
        make(libc::SYS_mknod, &path, &mut [Arg::Text(&path), Arg::Number(i64::from(libc::S_IFIFO | 0o600)), NULL])
    }),
    probe("rename", |c| done(call(libc::SYS_rename, &mut [Arg::Text(NOWHERE), Arg::Text(&fresh(c))]))),
    probe("unlink", |_| done(call(libc::SYS_unlink, &mut [Arg::Text(NOWHERE)]))),
    probe("truncate", |_| done(call(libc::SYS_truncate, &mut [Arg::Text(NOWHERE), NULL]))),
    probe("setxattr", |_| {
        done(call(libc::SYS_setxattr, &mut [Arg::Text(NOWHERE), Arg::Text(c"user.lethe"), Arg::Text(c"x"), Arg::Number(1), NULL]))
    }),
    probe("fsetxattr", |_| {
        done(call(libc::SYS_fsetxattr, &mut [NO_FD, Arg::Text(c"user.lethe"), Arg::Text(c"x"), Arg::Number(1), NULL]))
    }),
    probe("chmod", |_| done(call(libc::SYS_chmod, &mut [Arg::Text(NOWHERE), MODE]))),
    probe("fchmod", |_| done(call(libc::SYS_fchmod, &mut [NO_FD, MODE]))),
    probe("chown", |_| done(call(libc::SYS_chown, &mut [Arg::Text(NOWHERE), NO_FD, NO_FD]))),
    probe("utimensat", |_| done(call(libc::SYS_utimensat, &mut [CWD, Arg::Text(NOWHERE), NULL, NULL]))),
    probe("futimens", |_| done(call(libc::SYS_utimensat, &mut [NO_FD, NULL, NULL, NULL]))),
    // Paths as an oracle, and as a way to other roots.
    probe("stat", |_| done(call(libc::SYS_newfstatat, &mut [CWD, Arg::Text(c"/"), Arg::Memory(&mut zeroed()), NULL]))),
    probe("statfs", |_| done(call(libc::SYS_statfs, &mut [Arg::Text(c"/"), Arg::Memory(&mut zeroed())]))),
    probe("access", |_| done(call(libc::SYS_access, &mut [Arg::Text(c"/"), NULL]))),
    probe("readlink", |_| {
        done(call(libc::SYS_readlink, &mut [Arg::Text(c"/proc/self/exe"), Arg::Memory(&mut zeroed()), Arg::Number(512)]))
    }),
    probe("chdir", |_| done(call(libc::SYS_chdir, &mut [Arg::Text(NOWHERE)]))),
    probe("chroot", |_| done(call(libc::SYS_chroot, &mut [Arg::Text(NOWHERE)]))),
    probe("mount", |_| {
        done(call(libc::SYS_mount, &mut [Arg::Text(c"none"), Arg::Text(NOWHERE), Arg::Text(c"tmpfs"), NULL, NULL]))
    }),
    probe("name_to_handle", |_| {
        done(call(
            libc::SYS_name_to_handle_at,
            &mut [CWD, Arg::Text(c"/"), Arg::Memory(&mut zeroed()), Arg::Memory(&mut zeroed()), NULL],
        ))
    }),
    probe("open_by_handle", |_| {
        done(call(libc::SYS_open_by_handle_at, &mut [NO_FD, Arg::Memory(&mut zeroed()), number(libc::O_RDONLY)]))
    }),
    // Memory with a name, or that outlives the process.
    probe("memfd_create", |_| open(libc::SYS_memfd_create, &mut [Arg::Text(c"probe"), Arg::Number(1)])),
    probe("memfd_secret", |_| open(libc::SYS_memfd_secret, &mut [number(libc::O_CLOEXEC)])),
    probe("shmget", |_| {
        let mut args = [NULL, Arg::Number(4096), Arg::Number(CREATE)];
        ipc(libc::SYS_shmget, libc::SYS_shmctl, &mut args, &[REMOVE, 0])
    }),
    probe("msgget", |_| ipc(libc::SYS_msgget, libc::SYS_msgctl, &mut [NULL, Arg::Number(CREATE)], &[REMOVE, 0])),
    probe("semget", |_| {
        let mut args = [NULL, Arg::Number(1), Arg::Number(CREATE)];
        ipc(libc::SYS_semget, libc::SYS_semctl, &mut args, &[0, REMOVE, 0])
    }),
    probe("mq_open", |c| {
        let path = fresh(c);
        // A queue's name has one slash, at the front, which the system call wants left out (mq_open(3)).
        let name = CString::new(path.to_bytes().get("/tmp/".len()..).unwrap_or_default()).unwrap_or_default();
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_CLOEXEC;
        open(libc::SYS_mq_open, &mut [Arg::Text(&name), number(flags), MODE, NULL])?;
        done(call(libc::SYS_mq_unlink, &mut [Arg::Text(&name)]))
    }),
    probe("add_key", |_| {
        let keyring = Arg::Number(i64::from(libc::KEY_SPEC_PROCESS_KEYRING));
        done(call(libc::SYS_add_key, &mut [Arg::Text(c"user"), Arg::Text(c"probe"), Arg::Text(c"x"), Arg::Number(1), keyring]))
    }),
    probe("keyctl", |_| {
        let (operation, keyring) = (i64::from(libc::KEYCTL_GET_KEYRING_ID), i64::from(libc::KEY_SPEC_PROCESS_KEYRING));
        done(call(libc::SYS_keyctl, &mut [Arg::Number(operation), Arg::Number(keyring), Arg::Number(1)]))
    }),
    // New destinations.
    probe("socket_inet", |_| socket(libc::AF_INET, libc::SOCK_STREAM)),
    probe("socket_udp", |_| socket(libc::AF_INET, libc::SOCK_DGRAM)),
    probe("socket_mptcp", |_| {
        let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
        open(libc::SYS_socket, &mut [number(libc::AF_INET), number(kind), number(libc::IPPROTO_MPTCP)])
    }),
    probe("socket_unix", |_| socket(libc::AF_UNIX, libc::SOCK_DGRAM)),
    probe("socket_netlink", |_| socket(libc::AF_NETLINK, libc::SOCK_RAW)),
    probe("socketpair", |_| {
        let mut pair = zeroed();
        let kind = number(libc::SOCK_STREAM | libc::SOCK_CLOEXEC);
        call(libc::SYS_socketpair, &mut [number(libc::AF_UNIX), kind, NULL, Arg::Memory(&mut pair)])?;
        for fd in [pair[0] & 0xffff_ffff, pair[0] >> 32] {
            let _ = call(libc::SYS_close, &mut [Arg::Number(fd as i64)]);
        }
        Ok(())
    }),
    probe("connect", |_| done(call(libc::SYS_connect, &mut [NO_FD, Arg::Memory(&mut zeroed()), Arg::Number(16)]))),
    probe("bind", |_| done(call(libc::SYS_bind, &mut [NO_FD, Arg::Memory(&mut zeroed()), Arg::Number(16)]))),
    probe("listen", |_| done(call(libc::SYS_listen, &mut [NO_FD, Arg::Number(1)]))),
    probe("send_to_address", |_| {
        let address = &mut zeroed();
        done(call(libc::SYS_sendto, &mut [NO_FD, Arg::Text(c"x"), Arg::Number(1), NULL, Arg::Memory(address), Arg::Number(16)]))
    }),
    probe("fast_open", |_| {
        done(call(libc::SYS_sendto, &mut [NO_FD, Arg::Text(c"x"), Arg::Number(1), Arg::Number(FAST_OPEN), NULL, NULL]))
    }),
    probe("fast_open_message", |_| {
        done(call(libc::SYS_sendmsg, &mut [NO_FD, Arg::Memory(&mut zeroed()), Arg::Number(FAST_OPEN)]))
    }),
    probe("sendmmsg", |_| done(call(libc::SYS_sendmmsg, &mut [NO_FD, Arg::Memory(&mut zeroed()), Arg::Number(1), NULL]))),
    // Other processes.
    probe("execve", |_| done(call(libc::SYS_execve, &mut [Arg::Text(NOWHERE), NULL, NULL]))),
    probe("fork", |_| fork()),
    probe("clone3", |_| done(call(libc::SYS_clone3, &mut [Arg::Memory(&mut zeroed()), NULL]))),
    probe("kill_parent", |c| done(call(libc::SYS_kill, &mut [number(c.parent), NULL]))),
    // PTRACE_SEIZE does not stop its target, which is free again when this process ends (ptrace(2)).
    probe("ptrace_sibling", |c| {
        done(call(libc::SYS_ptrace, &mut [number(libc::PTRACE_SEIZE as i32), number(c.parent), NULL, NULL]))
    }),
    probe("process_vm_readv", |c| {
        let (mut local, mut remote) = (zeroed(), zeroed());
        // Length 1 at address 0 on both sides: EFAULT where reading is allowed.
        (local[1], remote[1]) = (1, 1);
        let (local, remote) = (Arg::Memory(&mut local), Arg::Memory(&mut remote));
        done(call(libc::SYS_process_vm_readv, &mut [number(c.parent), local, Arg::Number(1), remote, Arg::Number(1), NULL]))
    }),
    probe("pidfd_open", |c| open(libc::SYS_pidfd_open, &mut [number(c.parent), NULL])),
    probe("pidfd_getfd", |_| done(call(libc::SYS_pidfd_getfd, &mut [NO_FD, NULL, NULL]))),
    probe("unshare", |_| done(call(libc::SYS_unshare, &mut [NULL]))),
    probe("setns", |_| done(call(libc::SYS_setns, &mut [NO_FD, NULL]))),
    // The kernel's other doors.
    probe("io_uring_setup", |_| open(libc::SYS_io_uring_setup, &mut [Arg::Number(1), Arg::Memory(&mut zeroed())])),
    probe("userfaultfd", |_| open(libc::SYS_userfaultfd, &mut [number(libc::O_CLOEXEC | 1)])),
    probe("bpf", |_| done(call(libc::SYS_bpf, &mut [NO_FD, Arg::Memory(&mut zeroed()), Arg::Number(64)]))),
    probe("perf_event_open", |c| {
        open(libc::SYS_perf_event_open, &mut [Arg::Memory(&mut zeroed()), number(c.own), NO_FD, NO_FD, NULL])
    }),
    // The walls themselves.
    probe("mmap_exec", |_| map(READ_EXEC, PRIVATE, None)),
    probe("mmap_shared", |_| map(READ_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, None)),
    probe("mprotect_exec", |_| map(READ_WRITE, PRIVATE, Some((libc::SYS_mprotect, READ_EXEC)))),
    probe("pkey_mprotect_exec", |_| map(READ_WRITE, PRIVATE, Some((libc::SYS_pkey_mprotect, READ_EXEC)))),
    probe("raise_fsize_limit", |_| {
        let mut limit = zeroed();
        (limit[0], limit[1]) = (libc::RLIM_INFINITY, libc::RLIM_INFINITY);
        done(call(libc::SYS_prlimit64, &mut [NULL, number(libc::RLIMIT_FSIZE as i32), Arg::Memory(&mut limit), NULL]))
    }),
    probe("set_dumpable", |_| done(call(libc::SYS_prctl, &mut [number(libc::PR_SET_DUMPABLE), Arg::Number(1)]))),
    probe("prctl_seccomp", |_| done(call(libc::SYS_prctl, &mut [number(libc::PR_SET_SECCOMP), Arg::Number(2), NULL]))),
    probe("seccomp", |_| done(call(libc::SYS_seccomp, &mut [Arg::Number(1), NULL, NULL]))),
    probe("setresuid_root", |_| done(call(libc::SYS_setresuid, &mut [NO_FD, NO_FD, NO_FD]))),
];
