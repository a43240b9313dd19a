//! A confined process does its work and has no way out; the same attempts get through where there are no walls.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::{
    io::{Read, Write},
    os::fd::OwnedFd,
    time::Duration,
};

use lethe_confine::{Confined, posture, selftest};
use lethe_handover::{FromChild, Role, Stage, ToChild, Wall};
use support::{Started, Who, confined};

/// Reports ready, and answers self-tests until the supervisor is gone.
fn serve(confined: Confined<()>) -> i32 {
    let Confined { channel, progress, watch, .. } = confined;
    progress.serving();
    if channel.send(&FromChild::Ready(Box::new(watch.posture().clone())), &[]).is_err() {
        return 1;
    }
    while let Ok((ToChild::SelfTest, _)) = channel.recv::<ToChild>() {
        let _ = channel.send(&FromChild::Posture(Box::new(watch.again())), &[]);
    }
    0
}

#[test]
fn every_role_stands_behind_two_walls_as_root_and_as_an_ordinary_user() {
    for (role, who) in Role::CONFINED.into_iter().flat_map(|role| Who::ALL.map(|who| (role, who))) {
        let mut started = confined(role, who, serve);
        let mut expected: Vec<Stage> = Stage::ALL.into();
        expected.retain(|stage| *stage != Stage::Role);
        assert_eq!(started.stages(), expected, "{role:?} {who:?}");
        let posture = started.posture();
        assert_eq!(posture.walls, [Wall::Landlock, Wall::Seccomp], "{role:?} {who:?}");
        assert_eq!(posture.own_user, who == Who::Root);
        assert!(posture.secret_memory && posture.landlock_abi >= Some(1));
        assert!(
            posture.descriptors.iter().all(|open| ["null", "pipe", "socket"].contains(&open.kind.split(':').next().unwrap()))
        );

        let view = posture::of_process(started.child.pid).unwrap();
        assert!(view.confined(), "{role:?} {who:?}: {view:?}");
        assert_eq!((view.threads, view.uids, view.groups.len()), (1, [support::ORDINARY; 4], 0));
        if who == Who::Root {
            assert_eq!(view.capabilities, [0; 5], "the bounding set too");
        }

        started.channel.send(&ToChild::SelfTest, &[]).unwrap();
        let again = started.posture();
        assert_eq!(again.attempts, posture.attempts);
        let boot_pipe_gone = again.descriptors.iter().all(|open| open.kind != "pipe");
        assert!(boot_pipe_gone, "{:?}", again.descriptors);
        let Started { child, channel, .. } = started;
        drop(channel);
        assert_eq!(child.wait(), Ok(0));
    }
}

/// What a confined process of the data plane does all day, on several threads with a runtime each.
fn work(confined: Confined<()>) -> i32 {
    let Confined { channel: _channel, progress, arena, mut descriptors, watch, .. } = confined;
    progress.serving();
    let listener: std::net::TcpListener = descriptors.remove(0).into();
    let workers: Vec<_> = (0..3)
        .map(|index| {
            let listener = listener.try_clone().unwrap();
            std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || echo(listener)).unwrap()
        })
        .collect();
    let late = arena.put(b"a credential that arrives later").unwrap();
    assert_eq!(late.expose(), b"a credential that arrives later");
    let mut random = [0; 32];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let key =
        aws_lc_rs::agreement::EphemeralPrivateKey::generate(&aws_lc_rs::agreement::X25519, &aws_lc_rs::rand::SystemRandom::new());
    assert!(key.is_ok());
    // Large blocks come and go.
    for size in [1 << 12, 1 << 20, 1 << 26] {
        let mut block = vec![1_u8; size];
        block.resize(size * 2, 2);
        std::hint::black_box(&block);
    }
    for worker in workers {
        worker.join().unwrap();
    }
    i32::from(!selftest::holds(&watch.again().attempts))
}

/// Serves one connection to its end.
fn echo(listener: std::net::TcpListener) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    runtime.block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        assert!(stream.peer_addr().unwrap().ip().is_loopback());
        tokio::time::sleep(Duration::from_millis(5)).await;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let timed = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut buffer)).await;
            let Ok(len @ 1..) = timed.unwrap() else { break };
            stream.write_all(&buffer[..len]).await.unwrap();
        }
    });
}

#[test]
fn a_confined_gateway_serves_from_several_threads() {
    for who in Who::ALL {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = OwnedFd::from(listener);
        let message = support::message(Role::Gateway, who.options());
        let mut started =
            support::start(&message, &support::borrowed(&[listener]), || who.become_it(), || support::run(Role::Gateway, work));
        assert_eq!(started.stages().last(), Some(&Stage::Serving));
        let clients: Vec<_> = (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        for mut client in clients {
            client.write_all(b"there and back").unwrap();
            client.shutdown(std::net::Shutdown::Write).unwrap();
            let mut back = Vec::new();
            client.read_to_end(&mut back).unwrap();
            assert_eq!(back, b"there and back");
        }
        assert_eq!(started.child.wait(), Ok(0), "{who:?}");
    }
}

#[test]
fn a_fault_or_an_abort_ends_a_confined_process() {
    #[expect(unconditional_recursion, reason = "overflows its stack")]
    fn deeper(depth: &mut [u64; 512]) -> u64 {
        let mut next = std::hint::black_box(*depth);
        deeper(&mut next) + next[0]
    }
    let overflow = |_| std::thread::spawn(|| deeper(&mut [0; 512])).join().map_or(1, |_| 2);
    let abort = |_| std::process::abort();
    let null = |_| {
        // SAFETY: it is not: the fault is the point of this test.
        #[expect(unsafe_code, reason = "faults on purpose")]
        let value = unsafe { std::ptr::with_exposed_provenance::<i32>(8).read_volatile() };
        value
    };
    let bodies: [fn(Confined<()>) -> i32; 3] = [overflow, abort, null];
    for body in bodies {
        assert_eq!(confined(Role::Gateway, Who::Root, body).child.wait(), Err(libc::SIGSEGV));
    }
}

#[test]
fn a_panic_reports_where_and_nothing_of_what() {
    let started = confined(Role::Gateway, Who::Root, |_| panic!("canary-{}", std::hint::black_box(7)));
    let Ok(FromChild::Panicked(report)) = started.report() else { panic!("no report") };
    assert_eq!(report.location, lethe_confine::panic::location_hash(file!()));
    assert_eq!(report.build, lethe_confine::panic::BUILD);
    assert!((line!() - 5..line!()).contains(&report.line));
    assert_eq!(started.child.wait(), Ok(101));
}
