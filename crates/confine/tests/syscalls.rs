//! The filter, call by call: every system call outside a role's list is refused, every one on it is not, and filtered
//! arguments are refused on the far side of their boundary.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "system calls by number")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use lethe_confine::Confined;
use lethe_handover::Role;
use support::{Who, confined, fork};

/// Beyond the last system call of Linux 6.18 (471).
const NUMBERS: std::ops::RangeInclusive<i64> = 0..=500;
const CLONE3: i64 = 435;
/// `uretprobe` and `uprobe`: trampolines that the kernel itself puts into a traced program. It lets them pass every filter
/// (kernel/seccomp.c) and kills whoever calls them from anywhere else.
const TRAMPOLINES: [i64; 2] = [335, 336];

/// What the kernel answered: 0 for success.
fn errno(number: i64, args: [u64; 6]) -> i32 {
    // SAFETY: in a forked child that ends soon; pointers are null or lead to memory that lives long enough.
    let result = unsafe { libc::syscall(number, args[0], args[1], args[2], args[3], args[4], args[5]) };
    if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

macro_rules! numbers {
    ($($name:ident)*) => { BTreeMap::from([$((stringify!($name), (libc_number::$name)())),*]) };
}

/// Numbers of the calls that policies name, from libc and so independent of the filter's compiler.
mod libc_number {
    macro_rules! define {
        ($($name:ident = $number:ident)*) => { $(pub(super) fn $name() -> i64 { libc::$number })* };
    }
    define! {
        accept4 = SYS_accept4 bind = SYS_bind brk = SYS_brk clock_gettime = SYS_clock_gettime clone = SYS_clone close = SYS_close
        connect = SYS_connect epoll_create1 = SYS_epoll_create1 epoll_ctl = SYS_epoll_ctl epoll_wait = SYS_epoll_wait
        eventfd2 = SYS_eventfd2 exit = SYS_exit exit_group = SYS_exit_group fcntl = SYS_fcntl fstat = SYS_fstat futex = SYS_futex
        getpeername = SYS_getpeername getrandom = SYS_getrandom getsockopt = SYS_getsockopt
        gettid = SYS_gettid ioctl = SYS_ioctl madvise = SYS_madvise mmap = SYS_mmap mprotect = SYS_mprotect munmap = SYS_munmap
        prctl = SYS_prctl read = SYS_read recvfrom = SYS_recvfrom recvmsg = SYS_recvmsg
        restart_syscall = SYS_restart_syscall rseq = SYS_rseq rt_sigprocmask = SYS_rt_sigprocmask
        sched_getaffinity = SYS_sched_getaffinity sched_yield = SYS_sched_yield sendmsg = SYS_sendmsg sendto = SYS_sendto
        set_robust_list = SYS_set_robust_list setsockopt = SYS_setsockopt shutdown = SYS_shutdown sigaltstack = SYS_sigaltstack
        socket = SYS_socket socketpair = SYS_socketpair sysinfo = SYS_sysinfo write = SYS_write writev = SYS_writev
    }
}

fn numbers() -> BTreeMap<&'static str, i64> {
    numbers! {
        accept4 bind brk clock_gettime clone close connect epoll_create1 epoll_ctl epoll_wait eventfd2 exit exit_group fcntl fstat
        futex getpeername getrandom getsockopt gettid ioctl madvise mmap mprotect munmap prctl read recvfrom
        recvmsg restart_syscall rseq rt_sigprocmask sched_getaffinity sched_yield sendmsg sendto set_robust_list setsockopt
        shutdown sigaltstack socket socketpair sysinfo write writev
    }
}

/// Names on a role's list.
fn listed(role: Role) -> BTreeSet<String> {
    let policy: serde_json::Value = serde_json::from_str(include_str!("../policy/x86_64.json")).unwrap();
    ["shared", role.name()]
        .into_iter()
        .flat_map(|part| policy[part]["filter"].as_array().unwrap().clone())
        .map(|rule| rule["syscall"].as_str().unwrap().to_owned())
        .collect()
}

/// Makes calls inside the walls of `role` and answers the errno of each.
fn inside(role: Role, calls: &[(i64, [u64; 6])]) -> Vec<i32> {
    let calls = calls.to_vec();
    let started = confined(role, Who::Root, move |confined: Confined<()>| {
        let answers: Vec<i32> = calls.iter().map(|(number, args)| errno(*number, *args)).collect();
        i32::from(confined.channel.send(&answers, &[]).is_err())
    });
    let (answers, _) = started.channel.recv::<Vec<i32>>().expect("answers");
    assert_eq!(started.child.wait(), Ok(0));
    answers
}

#[test]
fn every_call_outside_the_list_is_refused() {
    for role in Role::CONFINED {
        let names = numbers();
        let allowed: BTreeSet<i64> = listed(role).iter().map(|name| names[name.as_str()]).collect();
        let calls: Vec<_> = NUMBERS
            .filter(|number| !allowed.contains(number) && !TRAMPOLINES.contains(number))
            .map(|number| (number, [0; 6]))
            .collect();
        assert!(calls.len() > 440, "{role:?}: {} calls", calls.len());
        for ((number, _), answer) in calls.iter().zip(inside(role, &calls)) {
            let expected = if *number == CLONE3 { libc::ENOSYS } else { libc::EPERM };
            assert_eq!(answer, expected, "{role:?}: call {number}");
        }
    }
}

/// Descriptor -1, and an address that leads nowhere.
const NO_FD: u64 = u64::MAX;

/// Harmless forms of every unfiltered call: whatever the kernel says, it is not the filter.
fn harmless(name: &str) -> Option<[u64; 6]> {
    Some(match name {
        // How the test's own children end.
        "exit" | "exit_group" => return None,
        // Filtered: see `boundaries`.
        "clone" | "fcntl" | "getsockopt" | "ioctl" | "mmap" | "mprotect" | "prctl" | "sendmsg" | "sendto" | "setsockopt"
        | "socket" | "socketpair" => return None,
        "accept4" | "bind" | "close" | "connect" | "epoll_ctl" | "epoll_wait" | "fstat" | "getpeername" | "getsockname"
        | "read" | "readv" | "recvfrom" | "recvmsg" | "shutdown" | "write" | "writev" => [NO_FD, 0, 0, 0, 0, 0],
        // Lengths of 0, null structures, wrong sizes and alignments, flags that do not exist.
        "epoll_create1" | "getrandom" | "eventfd2" => [0, 0, u64::MAX, 0, 0, 0],
        "madvise" | "munmap" => [1, 0, 0, 0, 0, 0],
        "rseq" | "set_robust_list" => [0, 1, 0, 0, 0, 0],
        "rt_sigprocmask" | "sched_getaffinity" | "sigaltstack" | "clock_gettime" | "sysinfo" | "gettid" | "sched_yield"
        | "brk" | "futex" | "restart_syscall" => [0; 6],
        other => panic!("{other}: no harmless form; add one"),
    })
}

#[test]
fn the_kernels_own_trampolines_lead_nowhere() {
    for number in TRAMPOLINES {
        let started = confined(Role::Gateway, Who::Root, move |_| i32::from(errno(number, [0; 6]) == 0));
        assert!(matches!(started.child.wait(), Ok(0) | Err(libc::SIGILL)), "{number}");
    }
}

#[test]
fn every_call_on_the_list_is_let_through() {
    for role in Role::CONFINED {
        let names = numbers();
        let calls: Vec<(String, (i64, [u64; 6]))> =
            listed(role).into_iter().filter_map(|name| Some((name.clone(), (names[name.as_str()], harmless(&name)?)))).collect();
        let answers = inside(role, &calls.iter().map(|(_, call)| *call).collect::<Vec<_>>());
        for ((name, _), answer) in calls.iter().zip(answers) {
            assert_ne!(answer, libc::EPERM, "{role:?}: {name}");
        }
    }
}

/// One call at a boundary of the filter, and whether it is let through.
type Boundary = (&'static str, [u64; 6], bool);

const fn at(name: &'static str, args: [i64; 6], allowed: bool) -> Boundary {
    let [a, b, c, d, e, f] = args;
    (name, [a as u64, b as u64, c as u64, d as u64, e as u64, f as u64], allowed)
}

const RW: i64 = (libc::PROT_READ | libc::PROT_WRITE) as i64;
const EXEC: i64 = libc::PROT_EXEC as i64;
const GROWS: i64 = 0x0100_0000;
const PRIVATE: i64 = (libc::MAP_PRIVATE | libc::MAP_ANONYMOUS) as i64;
const SHARED: i64 = (libc::MAP_SHARED | libc::MAP_ANONYMOUS) as i64;
/// What glibc's pthread_create passes.
const THREAD: i64 = (libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM
    | libc::CLONE_SETTLS
    | libc::CLONE_PARENT_SETTID
    | libc::CLONE_CHILD_CLEARTID) as i64;
const FAST_OPEN: i64 = libc::MSG_FASTOPEN as i64;

/// A mapping with these rights and flags, without a file.
const fn map(prot: i64, flags: i64, allowed: bool) -> Boundary {
    at("mmap", [0, 4096, prot, flags, -1, 0], allowed)
}

const fn option(name: &'static str, level: i32, option: i32, allowed: bool) -> Boundary {
    at(name, [-1, level as i64, option as i64, 0, 0, 0], allowed)
}

const fn second(name: &'static str, command: i64, allowed: bool) -> Boundary {
    at(name, [-1, command, 0, 0, 0, 0], allowed)
}

/// What is the same for every role.
const SHARED_BOUNDARIES: &[Boundary] = &[
    map(RW, PRIVATE, true),
    map(0, PRIVATE | (libc::MAP_NORESERVE | libc::MAP_STACK) as i64, true),
    map(RW | EXEC, PRIVATE, false),
    map(EXEC, PRIVATE, false),
    map(RW | GROWS, PRIVATE, false),
    map(RW | 1 << 32, PRIVATE, false),
    map(RW, SHARED, false),
    map(RW, libc::MAP_PRIVATE as i64, false),
    map(RW, libc::MAP_SHARED as i64, false),
    map(RW, (libc::MAP_SHARED_VALIDATE | libc::MAP_ANONYMOUS) as i64, false),
    map(RW, libc::MAP_ANONYMOUS as i64, false),
    map(RW, PRIVATE | libc::MAP_HUGETLB as i64, false),
    map(RW, PRIVATE | libc::MAP_FIXED as i64, false),
    map(RW, PRIVATE | libc::MAP_GROWSDOWN as i64, false),
    map(RW, PRIVATE | 1 << 40, false),
    at("mprotect", [0, 4096, RW, 0, 0, 0], true),
    at("mprotect", [0, 4096, 0, 0, 0, 0], true),
    at("mprotect", [0, 4096, RW | EXEC, 0, 0, 0], false),
    at("mprotect", [0, 4096, EXEC, 0, 0, 0], false),
    at("mprotect", [0, 4096, RW | GROWS, 0, 0, 0], false),
    // What is let through is shown by the threads that run in `confined.rs`.
    at("clone", [libc::SIGCHLD as i64, 0, 0, 0, 0, 0], false),
    at("clone", [0, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD & !(libc::CLONE_THREAD as i64), 0, 0, 0, 0, 0], false),
    at("clone", [THREAD & !(libc::CLONE_VM as i64), 0, 0, 0, 0, 0], false),
    at("clone", [THREAD & !(libc::CLONE_FILES as i64), 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_CHILD_SETTID as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_NEWUSER as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_NEWNS as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_UNTRACED as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_PTRACE as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::CLONE_PIDFD as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | libc::SIGCHLD as i64, 0, 0, 0, 0, 0], false),
    at("clone", [THREAD | 1 << 33, 0, 0, 0, 0, 0], false),
    second("fcntl", libc::F_DUPFD_CLOEXEC as i64, true),
    second("fcntl", libc::F_GETFD as i64, false),
    second("fcntl", libc::F_DUPFD as i64, false),
    second("fcntl", libc::F_SETFD as i64, false),
    second("fcntl", libc::F_SETFL as i64, false),
    second("fcntl", libc::F_SETOWN as i64, false),
    second("fcntl", libc::F_SETLEASE as i64, false),
    second("fcntl", libc::F_NOTIFY as i64, false),
    second("fcntl", libc::F_ADD_SEALS as i64, false),
    second("ioctl", libc::FIONBIO as i64, true),
    second("ioctl", libc::FIOASYNC as i64, false),
    second("ioctl", libc::TIOCSTI as i64, false),
    second("ioctl", 0x4008_6602, false), // FS_IOC_SETFLAGS
    // A thread's name is to be seen from outside (/proc/PID/comm): 15 bytes at a time.
    at("prctl", [libc::PR_SET_NAME as i64, 0, 0, 0, 0, 0], false),
    at("prctl", [libc::PR_SET_DUMPABLE as i64, 1, 0, 0, 0, 0], false),
    at("prctl", [libc::PR_SET_SECCOMP as i64, 2, 0, 0, 0, 0], false),
    at("prctl", [libc::PR_SET_PTRACER as i64, -1, 0, 0, 0, 0], false),
    at("prctl", [libc::PR_SET_MM as i64, 0, 0, 0, 0, 0], false),
    at("prctl", [libc::PR_SET_VMA as i64, 0, 0, 0, 0, 0], false),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_ERROR, true),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_TYPE, true),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_DOMAIN, true),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_PROTOCOL, true),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_ACCEPTCONN, true),
    option("getsockopt", libc::SOL_SOCKET, libc::SO_PEERCRED, false),
    option("getsockopt", libc::IPPROTO_TCP, libc::TCP_INFO, false),
    option("getsockopt", libc::IPPROTO_TCP, libc::SO_TYPE, false),
    option("setsockopt", libc::SOL_SOCKET, libc::SO_REUSEPORT, false),
    option("setsockopt", libc::SOL_SOCKET, libc::TCP_NODELAY, false),
    option("setsockopt", libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, false),
    option("setsockopt", libc::IPPROTO_TCP, libc::TCP_ULP, false),
    at("sendto", [-1, 0, 0, 0, 0, 0], true),
    at("sendto", [-1, 0, 0, (libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT) as i64, 0, 0], true),
    at("sendto", [-1, 0, 0, FAST_OPEN, 0, 0], false),
    at("sendto", [-1, 0, 0, FAST_OPEN | libc::MSG_NOSIGNAL as i64, 0, 0], false),
    at("sendmsg", [-1, 0, FAST_OPEN, 0, 0, 0], false),
];

/// An address behind which a filter would find a destination.
const ADDRESS: i64 = 4096;

/// Sockets by family, type and protocol.
const fn socket(name: &'static str, family: i32, kind: i32, protocol: i32, allowed: bool) -> Boundary {
    at(name, [family as i64, kind as i64, protocol as i64, 0, 0, 0], allowed)
}

const FLAGS: i32 = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;

/// Sockets that no role may make.
const SOCKETS_REFUSED: &[Boundary] = &[
    socket("socket", libc::AF_UNIX, libc::SOCK_STREAM, 0, false),
    socket("socket", libc::AF_UNIX, libc::SOCK_DGRAM, 0, false),
    socket("socket", libc::AF_NETLINK, libc::SOCK_RAW, 0, false),
    socket("socket", libc::AF_PACKET, libc::SOCK_RAW, 0, false),
    socket("socket", libc::AF_VSOCK, libc::SOCK_STREAM, 0, false),
    socket("socket", libc::AF_ALG, libc::SOCK_SEQPACKET, 0, false),
    socket("socket", libc::AF_INET, libc::SOCK_RAW, 0, false),
    socket("socket", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_MPTCP, false),
    socket("socket", libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_MPTCP, false),
    socket("socket", libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_SCTP, false),
    socket("socket", libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_ICMP, false),
    socket("socket", libc::AF_INET, libc::SOCK_SEQPACKET, 0, false),
    socket("socketpair", libc::AF_UNIX, libc::SOCK_DGRAM, 0, false),
    socket("socketpair", libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, false),
];

/// What only some roles may: the boundary is between roles.
fn of_role(role: Role) -> Vec<Boundary> {
    let dialer = role == Role::Dialer;
    let node = role == Role::Node;
    let accepts = matches!(role, Role::Gateway | Role::Node);
    let serves_tcp = accepts || dialer;
    let mut all = vec![
        at("accept4", [-1, 0, 0, 0, 0, 0], accepts),
        at("getpeername", [-1, 0, 0, 0, 0, 0], role == Role::Gateway),
        at("connect", [-1, 0, 0, 0, 0, 0], dialer),
        at("bind", [-1, 0, 0, 0, 0, 0], dialer),
        at("sendto", [-1, 0, 0, 0, ADDRESS, 16], dialer),
        at("sendto", [-1, 0, 0, 0, 1 << 32, 16], dialer),
        at("sendmsg", [-1, 0, 0, 0, 0, 0], dialer || node),
        option("setsockopt", libc::IPPROTO_TCP, libc::TCP_NODELAY, serves_tcp),
        socket("socketpair", libc::AF_UNIX, libc::SOCK_STREAM | FLAGS, 0, node),
    ];
    for family in [libc::AF_INET, libc::AF_INET6] {
        all.push(socket("socket", family, libc::SOCK_STREAM | FLAGS, 0, dialer));
        all.push(socket("socket", family, libc::SOCK_STREAM, libc::IPPROTO_TCP, dialer));
        all.push(socket("socket", family, libc::SOCK_DGRAM | FLAGS, 0, dialer));
        all.push(socket("socket", family, libc::SOCK_DGRAM, libc::IPPROTO_UDP, dialer));
    }
    all
}

#[test]
fn filtered_arguments_are_refused_beyond_their_boundary() {
    let names = numbers();
    for role in Role::CONFINED {
        let boundaries: Vec<Boundary> = SHARED_BOUNDARIES.iter().chain(SOCKETS_REFUSED).copied().chain(of_role(role)).collect();
        let calls: Vec<_> = boundaries.iter().map(|(name, args, _)| (names[name], *args)).collect();
        for ((name, args, allowed), answer) in boundaries.iter().zip(inside(role, &calls)) {
            assert_eq!(answer != libc::EPERM, *allowed, "{role:?}: {name} {args:x?} answered {answer}");
        }
    }
}

/// `__X32_SYSCALL_BIT`
const X32: i64 = 0x4000_0000;

/// getpid by `int 0x80`, the 32-bit entry: number 20 there.
fn getpid_32() -> i32 {
    let mut result: i64 = 20;
    // SAFETY: getpid takes no argument; the entry keeps every other register (r8 to r11 are named all the same).
    unsafe {
        std::arch::asm!("int 0x80", inlateout("rax") result, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
    }
    result as i32
}

#[test]
fn other_abis_of_the_machine_are_killed() {
    for role in Role::CONFINED {
        let x32 = confined(role, Who::Root, |_| errno(X32 | libc::SYS_getpid, [0; 6]));
        assert_eq!(x32.child.wait(), Err(libc::SIGSYS), "{role:?}: x32");
        let read = confined(role, Who::Root, |_| errno(X32 | libc::SYS_read, [NO_FD, 0, 0, 0, 0, 0]));
        assert_eq!(read.child.wait(), Err(libc::SIGSYS), "{role:?}: x32 form of a call on the list");
        let int80 = confined(role, Who::Root, |_| i32::from(getpid_32() <= 0));
        // A kernel without 32-bit emulation has no such door: the instruction faults there.
        assert!(matches!(int80.child.wait(), Err(libc::SIGSYS | libc::SIGSEGV)), "{role:?}: int 0x80");
    }
    // Control: without the filter neither kills.
    assert_eq!(fork(|| i32::from(errno(X32 | libc::SYS_getpid, [0; 6]) == libc::EPERM)).wait(), Ok(0));
    assert!(matches!(fork(|| i32::from(getpid_32() <= 0)).wait(), Ok(0) | Err(libc::SIGSEGV)));
}
