//! Positive controls: where there are no walls, the same attempts get through, and what is secret inside can be read.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(unsafe_code, reason = "memory is shown by address")]

mod support;

use std::os::unix::fs::FileExt;

use lethe_confine::{
    channel::Channel,
    secret::Arena,
    selftest::{self, Context},
};
use lethe_handover::{Attempt, Role};
use support::{Who, confined, fork};

/// Attempts that the host itself may refuse without any wall: who, attempt, why. Everything else must get through.
const REFUSED_BY_THE_HOST: &[(Who, &str, &str)] = &[
    (Who::Ordinary, "bpf", "kernel.unprivileged_bpf_disabled"),
    (Who::Ordinary, "chroot", "CAP_SYS_CHROOT"),
    (Who::Ordinary, "mount", "CAP_SYS_ADMIN"),
    (Who::Ordinary, "open_by_handle", "CAP_DAC_READ_SEARCH"),
    (Who::Ordinary, "perf_event_open", "kernel.perf_event_paranoid"),
    (Who::Ordinary, "process_vm_readv", "kernel.yama.ptrace_scope"),
    (Who::Ordinary, "ptrace_sibling", "kernel.yama.ptrace_scope"),
    (Who::Ordinary, "raise_fsize_limit", "a hard limit that the host has lowered"),
    (Who::Root, "io_uring_setup", "kernel.io_uring_disabled"),
    (Who::Ordinary, "io_uring_setup", "kernel.io_uring_disabled"),
];

/// Tries every way out without walls, in a child of a process of the same user.
fn unconfined(who: Who) -> Vec<Attempt> {
    let (own, theirs) = Channel::pair().unwrap();
    let theirs = Channel::from_fd(theirs).unwrap();
    let child = fork(|| {
        who.become_it();
        fork(|| i32::from(theirs.send(&selftest::run(None, Context::new()), &[]).is_err())).wait().unwrap_or(1)
    });
    let (attempts, _) = own.recv::<Vec<Attempt>>().unwrap();
    assert_eq!(child.wait(), Ok(0));
    attempts
}

#[test]
fn every_way_out_is_open_without_walls() {
    for who in Who::ALL {
        let attempts = unconfined(who);
        assert_eq!(attempts.len(), selftest::names().count());
        assert!(!selftest::holds(&attempts));
        for attempt in attempts {
            let by_host = REFUSED_BY_THE_HOST.iter().any(|(of, name, _)| *of == who && *name == attempt.name);
            assert!(by_host || !selftest::stopped(attempt.outcome), "{who:?}: {attempt:?}");
        }
    }
}

#[test]
fn exceptions_name_attempts_that_exist() {
    for (role, name, why) in selftest::EXCEPTIONS {
        assert!(selftest::names().any(|known| known == *name), "{role:?} {name}");
        assert!(!why.is_empty());
        // An exception is no blind spot: it is something that the role's filter does let through.
        let name = (*name).to_owned();
        let started = confined(*role, Who::Root, move |_| {
            let attempts = selftest::run(None, Context::new());
            let attempt = attempts.iter().find(|attempt| attempt.name == name).unwrap();
            i32::from(selftest::stopped(attempt.outcome))
        });
        assert_eq!(started.child.wait(), Ok(0), "{role:?}: needless exception");
    }
}

const IN_HEAP: &[u8] = b"canary on the heap, which root can read";
const IN_ARENA: &[u8] = b"canary in the arena, which nobody can read";

#[test]
fn the_arena_cannot_be_read_from_outside() {
    let started = confined(Role::Gateway, Who::Root, |confined| {
        let heap = std::hint::black_box(IN_HEAP.to_vec());
        let secret = confined.arena.put(IN_ARENA).unwrap();
        let addresses = (heap.as_ptr() as u64, secret.expose().as_ptr() as u64);
        confined.channel.send(&addresses, &[]).unwrap();
        let over = confined.channel.recv::<()>();
        std::hint::black_box((heap, secret));
        i32::from(over.is_ok())
    });
    let ((heap, secret), _) = started.channel.recv::<(u64, u64)>().unwrap();
    let memory = std::fs::File::open(format!("/proc/{}/mem", started.child.pid)).unwrap();
    let mut seen = vec![0; IN_HEAP.len()];
    memory.read_exact_at(&mut seen, heap).unwrap();
    assert_eq!(seen, IN_HEAP, "control: root reads the heap");
    let mut seen = vec![0; IN_ARENA.len()];
    assert!(memory.read_exact_at(&mut seen, secret).is_err());
    assert_eq!(process_vm_readv(started.child.pid, secret), Err(libc::EFAULT));
    assert_eq!(process_vm_readv(started.child.pid, heap), Ok(8), "control");

    // Nor anywhere else: the copy that came in is gone. The whole of its memory is looked through.
    let found = |needle: &[u8]| {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", started.child.pid)).unwrap();
        let regions = maps
            .lines()
            .filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw")))
            .filter_map(|line| {
                let (start, end) = line.split(' ').next()?.split_once('-')?;
                let (start, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
                let mut bytes = vec![0; usize::try_from(end - start).ok()?];
                memory.read_exact_at(&mut bytes, start).ok().map(|()| bytes)
            });
        regions.map(|bytes| bytes.windows(needle.len()).filter(|window| *window == needle).count()).sum::<usize>()
    };
    assert!(found(IN_HEAP) >= 1, "control: the search finds what is there");
    assert_eq!(found(IN_ARENA), 0);
    assert!(Arena::new().unwrap().is_secret_memory());
}

fn process_vm_readv(pid: i32, address: u64) -> Result<isize, i32> {
    let mut word = 0_u64;
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: 8 };
    let remote = libc::iovec { iov_base: address as *mut _, iov_len: 8 };
    // SAFETY: writes eight bytes into `word`.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    if read < 0 { Err(std::io::Error::last_os_error().raw_os_error().unwrap()) } else { Ok(read) }
}
