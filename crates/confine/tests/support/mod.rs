//! Confined children for the tests: a fork of the test process that goes through the real start.
//!
//! After `fork` the child has one thread, whatever the test runner has; it brings descriptors 3 and 4 in place as a
//! supervisor would and closes everything else.
#![expect(unsafe_code, reason = "children are forked")]
#![expect(dead_code, reason = "each test file uses a part of this")]
#![expect(unreachable_pub, reason = "a module of each test crate")]

use std::{
    ffi::CString,
    io::Read,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::Path,
};

use lethe_confine::{
    Confined, boot,
    channel::{Channel, ChannelError},
    confine,
};
use lethe_handover::{
    BootOptions, DialerBoot, EngineBoot, FromChild, GatewayBoot, GatewayLimits, Identity, NodeBoot, Posture, Role, SecretBytes,
    Stage, ToChild,
};
use serde::Serialize;

/// A uid and gid that no account of a test host has.
pub const ORDINARY: u32 = 61999;

/// Who a test runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Started as root, becomes [`ORDINARY`].
    Root,
    /// Started as [`ORDINARY`], with no capability.
    Ordinary,
}

impl Who {
    pub const ALL: [Self; 2] = [Self::Root, Self::Ordinary];

    pub fn options(self) -> BootOptions {
        BootOptions { user: (self == Self::Root).then_some((ORDINARY, ORDINARY)), unconfined: false }
    }

    /// In a forked child: becomes this user.
    pub fn become_it(self) {
        if self == Self::Ordinary {
            // SAFETY: plain system calls in a child with one thread.
            unsafe {
                assert_eq!(libc::setgroups(0, std::ptr::null()), 0);
                assert_eq!(libc::setresgid(ORDINARY, ORDINARY, ORDINARY), 0);
                assert_eq!(libc::setresuid(ORDINARY, ORDINARY, ORDINARY), 0);
                // A change of user clears this; a process that such a user started has it, and so has one after exec (prctl(2)).
                libc::prctl(libc::PR_SET_DUMPABLE, 1);
            }
        }
    }
}

/// A forked child, waited for when dropped.
pub struct Child {
    pub pid: i32,
    waited: bool,
}

impl Child {
    /// How it ended: `Ok(code)` or `Err(signal)`.
    pub fn wait(mut self) -> Result<i32, i32> {
        self.waited = true;
        let mut status = 0;
        // SAFETY: a child of this process, waited for once.
        assert_eq!(unsafe { libc::waitpid(self.pid, &mut status, 0) }, self.pid);
        if libc::WIFEXITED(status) { Ok(libc::WEXITSTATUS(status)) } else { Err(libc::WTERMSIG(status)) }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.waited {
            // SAFETY: a child of this process that nobody has waited for, so the number is still its own.
            unsafe {
                libc::kill(self.pid, libc::SIGKILL);
                libc::waitpid(self.pid, std::ptr::null_mut(), 0);
            }
        }
    }
}

/// Replaces a forked child by `path`, run by `who`, with these arguments and environment.
///
/// The file is opened before the child becomes another user, who may have no way into the folder that it was built in.
pub fn exec(who: Who, path: &str, arguments: &[&str], environment: &[&str]) -> i32 {
    let texts = |texts: &[&str]| texts.iter().map(|text| CString::new(*text).unwrap()).collect::<Vec<_>>();
    let pointers = |texts: &[CString]| texts.iter().map(|text| text.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
    let (arguments, environment) = (texts(arguments), texts(environment));
    let file = std::fs::File::open(path).unwrap();
    who.become_it();
    // SAFETY: null-terminated arrays of terminated strings that outlive the call.
    unsafe { libc::fexecve(file.as_raw_fd(), pointers(&arguments).as_ptr(), pointers(&environment).as_ptr()) };
    70
}

/// Runs `body` in a forked child, which ends with its answer as exit code; a panic is 101.
pub fn fork(body: impl FnOnce() -> i32) -> Child {
    // SAFETY: the child runs ordinary Rust code on its copy of the heap. glibc makes its allocator usable after a fork from
    // a process with threads; no other lock of the test runner is taken in `body`.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork");
    if pid == 0 {
        // A child that hangs ends, and fails its test.
        // SAFETY: the default action of SIGALRM is to end the process.
        unsafe { libc::alarm(60) };
        let code = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
        // SAFETY: ends the child without the test runner's exit handlers.
        unsafe { libc::_exit(code) };
    }
    Child { pid, waited: false }
}

/// A child between boot message and exit, seen from its supervisor.
pub struct Started {
    pub child: Child,
    pub channel: Channel,
    boot: std::fs::File,
}

impl Started {
    /// Every stage code until the boot pipe closes.
    pub fn stages(&mut self) -> Vec<Stage> {
        let mut codes = Vec::new();
        self.boot.read_to_end(&mut codes).unwrap();
        codes.into_iter().map(|code| Stage::from_code(code).expect("a known stage")).collect()
    }

    /// The next report on the channel.
    pub fn report(&self) -> Result<FromChild, ChannelError> {
        self.channel.recv::<FromChild>().map(|(report, _)| report)
    }

    /// The posture that the child reports next.
    pub fn posture(&self) -> Posture {
        match self.report().expect("a report") {
            FromChild::Ready(posture) | FromChild::Posture(posture) => *posture,
            FromChild::Panicked(_) => panic!("the child panicked"),
            FromChild::Drained => panic!("the child drained"),
            FromChild::FromControl(_) | FromChild::Linked | FromChild::Rotated(_) => panic!("the child said something else"),
        }
    }
}

/// Forks a child as a supervisor would start it, sends `message` with `descriptors`, and lets it run `body`.
///
/// `before` runs in the child while it is still root: outer filters, other users, other roots.
pub fn start<M: Serialize>(
    message: &M,
    descriptors: &[BorrowedFd<'_>],
    before: impl FnOnce(),
    body: impl FnOnce() -> i32,
) -> Started {
    let (channel, theirs) = Channel::pair().unwrap();
    let (boot, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let child = fork(|| {
        place(&theirs, 3);
        place(&write, 4);
        // SAFETY: none of the test runner's descriptors is used in the child.
        unsafe { libc::close_range(5, u32::MAX, 0) };
        before();
        body()
    });
    drop((theirs, write));
    channel.send(message, descriptors).unwrap();
    Started { child, channel, boot: boot.into() }
}

/// Brings a descriptor to a number, through one that is in nobody's way.
fn place(fd: &OwnedFd, number: i32) {
    // SAFETY: numbers 3 and 4 belong to the test runner, which does not run in the child.
    unsafe {
        let away = libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD, 512);
        assert_eq!(libc::dup2(away, number), number);
    }
}

/// Forks a child, confines it as `role` and runs `body` inside the walls.
pub fn confined(role: Role, who: Who, body: impl FnOnce(Confined<()>) -> i32) -> Started {
    start(&message(role, who.options()), &[], || who.become_it(), || run(role, body))
}

/// In the child: the whole start, then `body`. Exit code 90 and above: the stage that failed.
pub fn run(role: Role, body: impl FnOnce(Confined<()>) -> i32) -> i32 {
    let Ok(booted) = boot::start(role) else { return 80 };
    match confine(booted, |_, _, _| Some(())) {
        Ok(confined) => body(confined),
        Err(stage) => 90 + i32::from(stage.code()),
    }
}

/// A boot message without meaning beyond its options.
pub fn message(role: Role, options: BootOptions) -> ToChild {
    let identity = || Identity { authority: Vec::new(), chain: Vec::new(), key: SecretBytes::new(vec![1]) };
    match role {
        Role::Dialer => ToChild::Dialer(Box::new(DialerBoot { verify_key: [0; 32], endpoints: Vec::new() }), options),
        Role::Engine => {
            ToChild::Engine(Box::new(EngineBoot { model: String::new(), threads: 1, concurrent: 1, queue: 1 }), options)
        }
        Role::Gateway => ToChild::Gateway(
            Box::new(GatewayBoot { client_tls: None, trusted_peers: Vec::new(), identity: identity(), limits: limits() }),
            options,
        ),
        Role::Node => ToChild::Node(Box::new(NodeBoot { identity: identity(), max_connections: 1 }), options),
        Role::Control => panic!("control is not confined"),
    }
}

fn limits() -> GatewayLimits {
    GatewayLimits {
        workers: 1,
        max_connections: 1,
        max_chat_bytes: 1,
        max_embeddings_bytes: 1,
        max_content_bytes: 1,
        max_pending_records: 1,
        strict_metering: false,
        max_stale_seconds: 1,
        drain_seconds: 1,
        head_seconds: 1,
        body_idle_seconds: 1,
        keep_alive_seconds: 1,
        min_bytes_per_second: 1,
    }
}

/// An outer filter that answers one system call with `errno` (where argument `arg.0` has value `arg.1`, if given) and lets
/// everything else through. Stays in force across exec.
pub fn fail_syscall(number: i64, arg: Option<(u8, u64)>, errno: i32) {
    use seccompiler::{
        SeccompAction::{Allow, Errno},
        SeccompCmpArgLen::Dword,
        SeccompCmpOp::Eq,
        SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    };
    let rules = arg
        .map(|(index, value)| SeccompRule::new(vec![SeccompCondition::new(index, Dword, Eq, value).unwrap()]).unwrap())
        .into_iter()
        .collect();
    let filter = SeccompFilter::new([(number, rules)].into(), Allow, Errno(errno as u32), TargetArch::x86_64).unwrap();
    let program: seccompiler::BpfProgram = filter.try_into().unwrap();
    // Without no_new_privs, which root may do: the start's own step is what is tested.
    install(&program);
}

/// Installs a filter as root, without `no_new_privs`.
fn install(program: &[seccompiler::sock_filter]) {
    #[repr(C)]
    struct SockFprog {
        len: u16,
        filter: *const seccompiler::sock_filter,
    }
    let program = SockFprog { len: program.len() as u16, filter: program.as_ptr() };
    // SAFETY: laid out as `struct sock_fprog`, copied by the kernel.
    assert_eq!(unsafe { libc::syscall(libc::SYS_seccomp, 1, 0, &raw const program) }, 0, "outer filter");
}

/// In a forked child that is still root: `path` reads as `instead`, for this child alone.
pub fn replace_file(instead: &Path, path: &str) {
    use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};
    // SAFETY: only mounts are unshared, in a child with one thread.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNS) }, 0);
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
    mount_bind(instead, path).unwrap();
}

/// For descriptors kept over a call.
pub fn borrowed(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}
