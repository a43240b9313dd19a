//! The children that behave as told.

use std::os::fd::AsFd;

use lethe_confine::channel::Channel;
use lethe_handover::{Attempt, Descriptor, FromChild, Outcome, PanicReport, Posture, Role, Stage, ToChild, Wall};

use crate::behaviour;

pub(crate) fn node() {
    let descriptors = descriptors();
    let booted = lethe_confine::boot::start(Role::Node).unwrap();
    let ToChild::Node(boot, _) = booted.message else { panic!("another role") };
    let (behaviour, channel, mut progress) = (boot.max_connections, booted.channel, booted.progress);
    let mut posture = posture(descriptors);
    for stage in Stage::ALL.into_iter().skip(1) {
        match (behaviour, stage) {
            (behaviour::STOPS_AT_FILESYSTEM, Stage::Filesystem) => {
                progress.begin(stage);
                std::process::exit(3);
            }
            (behaviour::FINDS_A_WAY_OUT, Stage::SelfTest) => {
                progress.begin(stage);
                let attempt = |name: &str, outcome| Attempt { name: name.into(), outcome };
                posture.attempts = vec![attempt("mount", Outcome::Refused(1)), attempt("create_file", Outcome::Succeeded)];
                channel.send(&FromChild::Posture(Box::new(posture)), &[]).unwrap();
                std::process::exit(1);
            }
            (behaviour::HANGS, Stage::SystemCalls) => {
                progress.begin(stage);
                loop {
                    std::thread::park();
                }
            }
            (_, Stage::Serving) => break,
            _ => progress.begin(stage),
        }
    }
    progress.serving();
    channel.send(&FromChild::Ready(Box::new(posture.clone())), &[]).unwrap();
    while let Ok((message, _)) = channel.recv::<ToChild>() {
        match (message, behaviour) {
            (ToChild::Drain, behaviour::IGNORES_DRAIN) => {}
            (ToChild::Drain, _) => {
                channel.send(&FromChild::Drained, &[]).unwrap();
                return;
            }
            (ToChild::Retire, _) => return,
            (_, behaviour::DIES_WHEN_PROBED) => {
                channel.send(&FromChild::Panicked(PanicReport { build: 1, location: 2, line: 3 }), &[]).unwrap();
                std::process::abort();
            }
            _ => {
                posture.attempts.push(posture.attempts[0].clone());
                channel.send(&FromChild::Posture(Box::new(posture.clone())), &[]).unwrap();
            }
        }
    }
}

pub(crate) fn control() {
    let channel = Channel::from_fd(std::io::stdin().as_fd().try_clone_to_owned().unwrap()).unwrap();
    let (word, _) = channel.recv::<String>().unwrap();
    match word.as_str() {
        "fail" => {
            channel.send(&Err::<String, _>("told to fail".to_owned()), &[]).unwrap();
            std::process::exit(1);
        }
        "vanish" => return,
        _ => channel.send(&Ok::<_, String>(word), &[]).unwrap(),
    }
    while let Ok((message, _)) = channel.recv::<ToChild>() {
        if matches!(message, ToChild::Drain) {
            return;
        }
    }
}

fn descriptors() -> Vec<Descriptor> {
    let mut open: Vec<i32> = std::fs::read_dir("/proc/self/fd")
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        .collect();
    open.sort_unstable();
    // The last one is the folder that was being read.
    open.pop();
    open.into_iter().map(|fd| Descriptor { fd, kind: String::new() }).collect()
}

fn posture(descriptors: Vec<Descriptor>) -> Posture {
    let environment = Attempt { name: format!("environment:{}", std::env::vars_os().count()), outcome: Outcome::Refused(1) };
    Posture {
        role: Role::Node,
        unconfined: false,
        walls: vec![Wall::Seccomp],
        landlock_abi: None,
        own_user: false,
        secret_memory: true,
        memory_locked: true,
        descriptors,
        attempts: vec![environment],
    }
}
