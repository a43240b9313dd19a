//! Wall 2 where the kernel has no Landlock, and the steps that see more than one thread.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use lethe_confine::{boot, confine};
use lethe_handover::{FromChild, Role, Stage, Wall};
use support::{Started, Who, fail_syscall, message, run, start};

/// Starts a gateway behind outer filters that answer these calls with these errnos.
fn behind(who: Who, failing: &[(i64, i32)]) -> Started {
    let failing = failing.to_vec();
    let before = move || {
        for (number, errno) in failing {
            fail_syscall(number, None, errno);
        }
        who.become_it();
    };
    start(&message(Role::Gateway, who.options()), &[], before, || {
        run(Role::Gateway, |confined| {
            confined.progress.serving();
            let _ = confined.channel.send(&FromChild::Ready(Box::new(confined.watch.posture().clone())), &[]);
            i32::from(confined.channel.recv::<()>().is_ok())
        })
    })
}

#[test]
fn without_landlock_an_empty_root_stands() {
    for (who, errno) in Who::ALL.into_iter().flat_map(|who| [libc::ENOSYS, libc::EOPNOTSUPP].map(|errno| (who, errno))) {
        let mut started = behind(who, &[(libc::SYS_landlock_create_ruleset, errno)]);
        assert_eq!(started.stages().last(), Some(&Stage::Serving), "{who:?}");
        let posture = started.posture();
        assert_eq!(posture.walls, [Wall::EmptyRoot, Wall::Seccomp], "{who:?}");
        assert_eq!(posture.landlock_abi, None);
        let pid = started.child.pid;
        let root = std::fs::read_dir(format!("/proc/{pid}/root/")).unwrap();
        assert_eq!(root.count(), 0, "{who:?}");
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
        assert_eq!(mounts.lines().count(), 1, "{mounts}");
        assert!(mounts.contains(" / / ro,nosuid,nodev,noexec") && mounts.contains(" tmpfs "), "{mounts}");
        assert!(lethe_confine::posture::of_process(pid).unwrap().confined(), "{who:?}: no capability stays");
        // Control: with Landlock the root is the host's.
        let mut with = behind(who, &[]);
        assert_eq!(with.stages().last(), Some(&Stage::Serving));
        assert!(std::fs::read_dir(format!("/proc/{}/root/", with.child.pid)).unwrap().count() > 0);
    }
}

#[test]
fn without_landlock_and_namespaces_the_posture_says_so() {
    for who in Who::ALL {
        let mut started = behind(who, &[(libc::SYS_landlock_create_ruleset, libc::ENOSYS), (libc::SYS_unshare, libc::EPERM)]);
        assert_eq!(started.stages().last(), Some(&Stage::Serving));
        assert_eq!(started.posture().walls, [Wall::Seccomp], "{who:?}");
    }
}

#[test]
fn a_kernel_that_refuses_landlock_is_no_kernel_without_it() {
    for (who, errno) in Who::ALL.into_iter().flat_map(|who| [libc::EPERM, libc::EINVAL, libc::ENOMEM].map(|errno| (who, errno))) {
        let mut started = behind(who, &[(libc::SYS_landlock_create_ruleset, errno)]);
        assert_eq!(started.stages().last(), Some(&Stage::Filesystem), "{who:?} {errno}");
        assert_eq!(started.child.wait(), Ok(90 + i32::from(Stage::Filesystem.code())));
    }
}

#[test]
fn a_second_thread_is_refused_before_and_after_the_secrets() {
    let sleeper = || drop(std::thread::spawn(std::thread::park));
    let message = message(Role::Gateway, Who::Root.options());
    let mut early = start(&message, &[], sleeper, || run(Role::Gateway, |_| 0));
    assert_eq!(early.stages().last(), Some(&Stage::SingleThread));
    let mut late = start(
        &message,
        &[],
        || (),
        || {
            let Ok(booted) = boot::start(Role::Gateway) else { return 1 };
            let confined = confine(booted, |_, _, _| {
                sleeper();
                Some(())
            });
            confined.map_or_else(|stage| i32::from(stage.code()), |_| 0)
        },
    );
    assert_eq!(late.stages().last(), Some(&Stage::Secrets));
    assert_eq!(late.child.wait(), Ok(i32::from(Stage::Secrets.code())));
}
