//! The start of the real executable: each step that fails ends it, and the last code on the boot pipe is that step's.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "../../../crates/confine/tests/support/mod.rs"]
mod support;

use std::os::fd::OwnedFd;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use lethe_confine::{channel::Channel, posture};
use lethe_handover::{BootOptions, DialerBoot, FromChild, Role, Stage, ToChild};
use lethe_policy::endpoints::{EndpointList, SignedEndpoints};
use support::{Started, Who, borrowed, exec, fail_syscall, message, replace_file, start};

const EXECUTABLE: &str = env!("CARGO_BIN_EXE_lethe-dataplane");

/// A boot message that a dialer can serve with.
fn boot(options: BootOptions) -> ToChild {
    let key = Ed25519KeyPair::generate().unwrap();
    let endpoints = SignedEndpoints::sign(&EndpointList { version: 1, endpoints: Vec::new() }, &key).unwrap();
    let verify_key = key.public_key().as_ref().try_into().unwrap();
    ToChild::Dialer(Box::new(DialerBoot { verify_key, endpoints }), options)
}

/// One system call that the host does not answer as it should: number, value of one argument, errno (0: it pretends).
type Fault = (i64, Option<(u8, u64)>, i32);

/// Starts a dialer of the real executable behind `faults`. Answers it and the gateway's end of its socket.
fn dialer(who: Who, faults: &[Fault], environment: &[&str]) -> (Started, Channel) {
    let faults = faults.to_vec();
    let before = move || {
        for (number, arg, errno) in faults {
            fail_syscall(number, arg, errno);
        }
    };
    let (gateway, theirs) = Channel::pair().unwrap();
    let started =
        start(&boot(who.options()), &borrowed(&[theirs]), before, || exec(who, EXECUTABLE, &[EXECUTABLE, "dialer"], environment));
    (started, gateway)
}

/// How a panic ends a process of the standard library: libraries do so where they cannot go on.
const PANIC: i32 = 101;

/// The stage that ended the start, seen on the boot pipe and as exit code.
fn failing_stage(mut started: Started) -> Stage {
    let last = *started.stages().last().expect("a stage");
    assert_eq!(started.child.wait(), Ok(i32::from(last.code())));
    last
}

#[test]
fn nothing_fails_without_a_fault() {
    for who in Who::ALL {
        let (mut started, gateway) = dialer(who, &[], &[]);
        assert_eq!(started.stages(), Stage::ALL, "{who:?}");
        assert!(matches!(started.report(), Ok(FromChild::Ready(_))));
        drop(gateway);
        assert_eq!(started.child.wait(), Ok(0), "{who:?}: ends with its gateway");
    }
}

const EPERM: i32 = libc::EPERM;

const fn call(number: i64) -> Fault {
    (number, None, EPERM)
}

const fn with(number: i64, index: u8, value: u64) -> Fault {
    (number, Some((index, value)), EPERM)
}

const fn prctl(option: i32) -> Fault {
    with(libc::SYS_prctl, 0, option as u64)
}

const fn limit(resource: u32) -> Fault {
    with(libc::SYS_prlimit64, 1, resource as u64)
}

/// The same call, pretending to have worked.
const fn pretend((number, arg, _): Fault) -> Fault {
    (number, arg, 0)
}

/// Steps that the host refuses: for whom, which calls, which step.
const REFUSED: &[(&[Who], &[Fault], Stage)] = &[
    (&Who::ALL, &[call(libc::SYS_recvmsg)], Stage::Boot),
    (&Who::ALL, &[call(libc::SYS_getdents64)], Stage::SingleThread),
    (&Who::ALL, &[with(libc::SYS_rt_sigaction, 0, libc::SIGBUS as u64)], Stage::SingleThread),
    (&Who::ALL, &[call(libc::SYS_memfd_secret), call(libc::SYS_mlock)], Stage::Secrets),
    (&Who::ALL, &[call(libc::SYS_socketpair)], Stage::Secrets),
    (&[Who::Root], &[call(libc::SYS_setgroups)], Stage::Identity),
    (&[Who::Root], &[call(libc::SYS_setresgid)], Stage::Identity),
    (&[Who::Root], &[call(libc::SYS_setresuid)], Stage::Identity),
    (&[Who::Root], &[pretend(call(libc::SYS_setgroups)), with(libc::SYS_getgroups, 0, 0)], Stage::Identity),
    (&[Who::Root], &[pretend(call(libc::SYS_setresgid))], Stage::Identity),
    (&[Who::Root], &[pretend(call(libc::SYS_setresuid))], Stage::Identity),
    (&[Who::Root], &[prctl(libc::PR_CAPBSET_DROP)], Stage::Identity),
    (&[Who::Root], &[prctl(libc::PR_SET_SECUREBITS)], Stage::Identity),
    (&Who::ALL, &[prctl(libc::PR_CAP_AMBIENT)], Stage::Identity),
    (&Who::ALL, &[call(libc::SYS_capset)], Stage::Identity),
    (&Who::ALL, &[call(libc::SYS_getresuid)], Stage::Identity),
    (&Who::ALL, &[limit(libc::RLIMIT_CORE)], Stage::CoreLimit),
    (&Who::ALL, &[prctl(libc::PR_SET_DUMPABLE)], Stage::Dumpable),
    (&[Who::Ordinary], &[pretend(prctl(libc::PR_SET_DUMPABLE))], Stage::Dumpable),
    (&Who::ALL, &[limit(libc::RLIMIT_FSIZE)], Stage::FileSizeLimit),
    (&Who::ALL, &[with(libc::SYS_rt_sigaction, 0, libc::SIGXFSZ as u64)], Stage::FileSizeLimit),
    (&Who::ALL, &[prctl(libc::PR_SET_NO_NEW_PRIVS)], Stage::NoNewPrivileges),
    (&Who::ALL, &[pretend(prctl(libc::PR_SET_NO_NEW_PRIVS))], Stage::NoNewPrivileges),
    // One of the two, by the host's RLIMIT_MEMLOCK.
    (&Who::ALL, &[call(libc::SYS_mlockall), call(libc::SYS_sysinfo)], Stage::Swap),
    (&Who::ALL, &[call(libc::SYS_dup2), call(libc::SYS_dup3)], Stage::StandardStreams),
    (&Who::ALL, &[pretend(call(libc::SYS_dup2)), pretend(call(libc::SYS_dup3))], Stage::Descriptors),
    (&Who::ALL, &[call(libc::SYS_landlock_create_ruleset)], Stage::Filesystem),
    (&Who::ALL, &[call(libc::SYS_landlock_restrict_self)], Stage::Filesystem),
    (&Who::ALL, &[with(libc::SYS_seccomp, 0, 1)], Stage::SystemCalls),
    // A kernel that says yes and installs nothing: the self-test finds the way out.
    (&Who::ALL, &[pretend(with(libc::SYS_seccomp, 0, 1))], Stage::SelfTest),
    (&Who::ALL, &[call(libc::SYS_epoll_create1)], Stage::Secrets),
];

#[test]
fn a_step_that_the_host_refuses_is_fatal_and_named() {
    for (users, faults, stage) in REFUSED {
        for who in *users {
            let (mut started, _gateway) = dialer(*who, faults, &[]);
            assert_eq!(started.stages().last(), Some(stage), "{who:?} {faults:?}");
            let code = started.child.wait();
            assert!(code == Ok(i32::from(stage.code())) || code == Ok(PANIC), "{who:?} {faults:?}: {code:?}");
        }
    }
}

#[test]
fn an_open_way_out_is_reported_before_the_end() {
    let (started, _gateway) = dialer(Who::Root, &[pretend(with(libc::SYS_seccomp, 0, 1))], &[]);
    let posture = started.posture();
    let create = posture.attempts.iter().find(|attempt| attempt.name == "memfd_create").unwrap();
    assert_eq!(create.outcome, lethe_handover::Outcome::Succeeded);
    assert_eq!(failing_stage(started), Stage::SelfTest);
}

/// Starts a dialer with these descriptors beside its message, in the state that `before` leaves the child in.
fn dialer_with(message: &ToChild, descriptors: &[OwnedFd], before: impl FnOnce()) -> Started {
    start(message, &borrowed(descriptors), before, || exec(Who::Root, EXECUTABLE, &[EXECUTABLE, "dialer"], &[]))
}

#[test]
fn descriptors_that_should_not_be_there_are_fatal() {
    let socket = || Channel::pair().unwrap().1;
    let file = || OwnedFd::from(std::fs::File::open("/proc/self/exe").unwrap());
    let root = boot(Who::Root.options());
    let handed = dialer_with(&root, &[socket(), file()], || ());
    assert_eq!(failing_stage(handed), Stage::Descriptors, "a regular file that was handed in");
    let directory = std::fs::File::open("/").unwrap().into();
    assert_eq!(failing_stage(dialer_with(&root, &[socket(), directory], || ())), Stage::Descriptors, "a directory");
    let inherited = dialer_with(&root, &[socket()], || std::mem::forget(rustix::pipe::pipe().unwrap()));
    assert_eq!(failing_stage(inherited), Stage::Descriptors, "a pipe that nobody announced");
    let too_many = dialer_with(&root, &[socket(), socket()], || ());
    assert_eq!(failing_stage(too_many), Stage::Role, "a socket more than the role has");
    assert_eq!(failing_stage(dialer_with(&root, &[], || ())), Stage::Role, "a socket less");
}

#[test]
fn a_boot_message_that_does_not_fit_is_fatal() {
    let socket = || [Channel::pair().unwrap().1];
    let for_a_node = message(Role::Node, Who::Root.options());
    assert_eq!(failing_stage(dialer_with(&for_a_node, &socket(), || ())), Stage::Boot);
    assert_eq!(failing_stage(dialer_with(&ToChild::Drain, &socket(), || ())), Stage::Boot);
    // Root stays root, or becomes root: refused. An ordinary user cannot become anybody.
    let user = |user| boot(BootOptions { user, unconfined: false });
    assert_eq!(failing_stage(dialer_with(&user(None), &socket(), || ())), Stage::Identity);
    assert_eq!(failing_stage(dialer_with(&user(Some((0, 0))), &socket(), || ())), Stage::Identity);
    assert_eq!(failing_stage(dialer_with(&user(Some((support::ORDINARY, 0))), &socket(), || ())), Stage::Identity);
    let becoming = start(
        &user(Some((61998, 61998))),
        &borrowed(&socket()),
        || (),
        || exec(Who::Ordinary, EXECUTABLE, &[EXECUTABLE, "dialer"], &[]),
    );
    assert_eq!(failing_stage(becoming), Stage::Identity);
    // Signed by nobody that it knows.
    let ToChild::Dialer(mut unsigned, options) = boot(Who::Root.options()) else { unreachable!() };
    unsigned.endpoints[0] ^= 1;
    assert_eq!(failing_stage(dialer_with(&ToChild::Dialer(unsigned, options), &socket(), || ())), Stage::Role);
}

#[test]
fn swap_is_fatal_where_memory_is_not_locked() {
    // A mount namespace of its own in which the host has swap.
    let swaps = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&swaps, "Filename\tType\tSize\tUsed\tPriority\n/swapfile file 1048576 0 -2\n").unwrap();
    let path = swaps.path().to_owned();
    let started = dialer_with(&boot(Who::Root.options()), &[Channel::pair().unwrap().1], move || {
        use rustix::process::{Resource, Rlimit, setrlimit};
        replace_file(&path, "/proc/swaps");
        setrlimit(Resource::Memlock, Rlimit { current: Some(1 << 20), maximum: Some(1 << 20) }).unwrap();
    });
    assert_eq!(failing_stage(started), Stage::Swap);
}

#[test]
fn the_environment_is_gone_from_memory_too() {
    let environ = |pid: i32| std::fs::read(format!("/proc/{pid}/environ")).unwrap();
    let canary = b"environment-canary";
    let holds = |bytes: Vec<u8>| bytes.windows(canary.len()).any(|window| window == canary);
    let (mut started, _gateway) = dialer(Who::Root, &[], &["TOKEN=environment-canary"]);
    assert_eq!(started.stages().last(), Some(&Stage::Serving));
    assert!(!holds(environ(started.child.pid)));
    // Control: before it has read its boot message it still has what it was started with.
    let (waiting, theirs) = Channel::pair().unwrap();
    let control = support::fork(|| {
        let _ = (theirs, waiting.send(&1_u8, &[]));
        exec(Who::Root, "/bin/sleep", &["sleep", "30"], &["TOKEN=environment-canary"])
    });
    while !holds(environ(control.pid)) {
        assert!(posture::of_process(control.pid).is_some_and(|view| view.resident_kb > 0));
        std::thread::yield_now();
    }
}

#[test]
fn only_its_own_roles_are_taken() {
    for arguments in [&["x"][..], &["x", "control"], &["x", "engine"], &["x", "dialer", "more"], &["x", "root"]] {
        assert_eq!(support::fork(|| exec(Who::Root, EXECUTABLE, arguments, &[])).wait(), Ok(64), "{arguments:?}");
    }
    // Not started by a supervisor: no descriptors 3 and 4.
    let alone = support::fork(|| {
        #[expect(unsafe_code, reason = "closes what the test runner has open")]
        // SAFETY: a child that only execs.
        unsafe {
            libc::close_range(3, u32::MAX, 0)
        };
        exec(Who::Root, EXECUTABLE, &["x", "dialer"], &[])
    });
    assert_eq!(alone.wait(), Ok(i32::from(Stage::Boot.code())));
}
