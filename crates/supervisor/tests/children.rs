//! The supervisor against small children that behave as told. This program is its own child: it must reserve descriptors 3 and
//! 4 before anything is opened, so it has no test harness around it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a failed unwrap is a failed test")]

use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use lethe_handover::{BootOptions, Identity, NodeBoot, Role, SecretBytes, Stage, ToChild};
use lethe_supervisor::{DrainLimits, End, Failure, Launcher, Notice, Part, Report, Signals, StartError, supervise};
use rustix::process::{Pid, Signal, getpid, kill_process, test_kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

/// What a child does, by the number of connections that its boot message allows.
mod behaviour {
    pub(crate) const SERVES: u32 = 0;
    pub(crate) const STOPS_AT_FILESYSTEM: u32 = 1;
    pub(crate) const FINDS_A_WAY_OUT: u32 = 2;
    pub(crate) const HANGS: u32 = 3;
    pub(crate) const DIES_WHEN_PROBED: u32 = 4;
    pub(crate) const IGNORES_DRAIN: u32 = 5;
}

const PATIENT: DrainLimits = DrainLimits { serving: Duration::from_secs(30), other: Duration::from_secs(30) };
const HASTY: DrainLimits = DrainLimits { serving: Duration::from_millis(200), other: Duration::from_millis(200) };

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("node") => child::node(),
        Some("control") => child::control(),
        // What a test runner asks (the protocol of `libtest`'s --list): the scenarios run in order, as one test.
        _ if std::env::args().any(|argument| argument == "--list") => {
            if !std::env::args().any(|argument| argument == "--ignored") {
                println!("scenarios: test");
            }
        }
        // Descriptors that a test runner leaves open must not reach the children.
        _ => {
            lethe_supervisor::shed_inherited_descriptors().unwrap();
            let launcher = Launcher::new().unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(tests(launcher));
        }
    }
}

async fn tests(mut launcher: Launcher) {
    let folder = tempfile::tempdir().unwrap();
    println!("a_failed_step_is_explained");
    a_failed_step_is_explained(&mut launcher).await;
    println!("a_child_gets_two_descriptors_and_no_environment");
    a_child_gets_two_descriptors_and_no_environment(&mut launcher).await;
    println!("control_says_why_it_does_not_start");
    control_says_why_it_does_not_start(&mut launcher).await;
    println!("a_request_to_end_drains");
    a_request_to_end_drains(&mut launcher, folder.path()).await;
    println!("a_part_that_does_not_drain_is_killed");
    a_part_that_does_not_drain_is_killed(&mut launcher, folder.path()).await;
    println!("a_second_request_kills");
    a_second_request_kills(&mut launcher, folder.path()).await;
    println!("a_death_ends_the_others");
    a_death_ends_the_others(&mut launcher, folder.path()).await;
    println!("reports_are_served_and_probes_are_fresh");
    reports_are_served_and_probes_are_fresh(&mut launcher, folder.path()).await;
    println!("a_step_that_takes_too_long_is_named");
    a_step_that_takes_too_long_is_named(launcher).await;
    println!("all tests passed");
}

async fn start(launcher: &mut Launcher, behaviour: u32) -> Result<Part, StartError> {
    let identity = Identity { authority: Vec::new(), chain: Vec::new(), key: SecretBytes::new(Vec::new()) };
    let boot = ToChild::Node(Box::new(NodeBoot { identity, max_connections: behaviour }), BootOptions::default());
    launcher.confined(&own_path(), Role::Node, &boot, &[]).await
}

fn own_path() -> PathBuf {
    std::env::current_exe().unwrap()
}

fn socket(folder: &Path, name: &str) -> (PathBuf, UnixListener) {
    let path = folder.join(name);
    let listener = UnixListener::bind(&path).unwrap();
    (path, listener)
}

fn alive(pid: u32) -> bool {
    Pid::from_raw(i32::try_from(pid).unwrap()).is_some_and(|pid| test_kill_process(pid).is_ok())
}

async fn a_failed_step_is_explained(launcher: &mut Launcher) {
    let error = start(launcher, behaviour::STOPS_AT_FILESYSTEM).await.err().unwrap();
    assert!(matches!(error.failure, Failure::Stage { stage: Some(Stage::Filesystem), .. }));
    assert_eq!(error.status.and_then(|status| status.code()), Some(3));
    let message = error.to_string();
    for part in ["the node did not start", "step filesystem (12 of 16)", "Landlock", "exit status: 3"] {
        assert!(message.contains(part), "{part}: {message}");
    }

    let error = start(launcher, behaviour::FINDS_A_WAY_OUT).await.err().unwrap().to_string();
    assert!(error.contains("step self_test") && error.contains("create_file") && !error.contains("mount"), "{error}");

    let absent = launcher.confined(Path::new("/nonexistent/lethe-dataplane"), Role::Node, &ToChild::Drain, &[]).await;
    assert!(absent.err().unwrap().to_string().contains("its executable cannot be started"));
    let mute = launcher.confined(Path::new("/bin/true"), Role::Node, &ToChild::Drain, &[]).await;
    assert!(mute.err().unwrap().to_string().contains("before its first step"));
}

async fn a_child_gets_two_descriptors_and_no_environment(launcher: &mut Launcher) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    // The child reports what it holds as its descriptor table and its environment as an attempt (see `child::node`).
    let posture = part.posture().unwrap();
    let numbers: Vec<i32> = posture.descriptors.iter().map(|descriptor| descriptor.fd).collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4]);
    assert_eq!(posture.attempts[0].name, "environment:0");
    let pid = part.pid();
    assert!(alive(pid));
    part.stop(Duration::from_secs(30)).await;
    assert!(!alive(pid));
}

async fn control_says_why_it_does_not_start(launcher: &mut Launcher) {
    let good = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap();
    assert_eq!(good.ready, "hello");
    good.part.stop(Duration::from_secs(30)).await;
    let error = launcher.control::<_, String>(&own_path(), &"fail", &[]).await.err().unwrap();
    assert_eq!(error.to_string(), "the control did not start: told to fail [exit status: 1]");
    let error = launcher.control::<_, String>(&own_path(), &"vanish", &[]).await.err().unwrap();
    assert!(matches!(error.failure, Failure::Channel(_)) && error.status.is_some());
}

async fn a_request_to_end_drains(launcher: &mut Launcher, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let pids = [part.pid(), control.pid()];
    let (path, listener) = socket(folder, "drain.sock");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = Arc::clone(&told);
        move |notice: Notice| told.lock().unwrap().push(format!("{notice:?}"))
    };
    let running =
        tokio::spawn(supervise(vec![control, part], listener, PATIENT, Signals::new().unwrap(), std::future::pending(), tell));
    // An answer shows that the parts are being watched.
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::TERM).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert_eq!(*told.lock().unwrap(), ["Draining"]);
    assert!(!pids.into_iter().any(alive));
}

async fn a_part_that_does_not_drain_is_killed(launcher: &mut Launcher, folder: &Path) {
    let part = start(launcher, behaviour::IGNORES_DRAIN).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "late.sock");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = Arc::clone(&told);
        move |notice: Notice| told.lock().unwrap().push(format!("{notice:?}"))
    };
    let running = tokio::spawn(supervise(vec![part], listener, HASTY, Signals::new().unwrap(), std::future::pending(), tell));
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::INT).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
    assert_eq!(*told.lock().unwrap(), ["Draining", "Late(Node)"]);
    assert!(!alive(pid));
}

async fn a_second_request_kills(launcher: &mut Launcher, folder: &Path) {
    let part = start(launcher, behaviour::IGNORES_DRAIN).await.unwrap();
    let pid = part.pid();
    let (path, listener) = socket(folder, "twice.sock");
    let (draining, seen) = tokio::sync::oneshot::channel();
    let draining = Mutex::new(Some(draining));
    let tell = move |notice| {
        if let (Notice::Draining, Some(draining)) = (notice, draining.lock().unwrap().take()) {
            draining.send(()).unwrap();
        }
    };
    let running = tokio::spawn(supervise(vec![part], listener, PATIENT, Signals::new().unwrap(), std::future::pending(), tell));
    ask(&path, "{}").await;
    kill_process(getpid(), Signal::INT).unwrap();
    seen.await.unwrap();
    kill_process(getpid(), Signal::INT).unwrap();
    assert!(matches!(running.await.unwrap(), End::Killed));
    assert!(!alive(pid));
}

async fn a_death_ends_the_others(launcher: &mut Launcher, folder: &Path) {
    let part = start(launcher, behaviour::DIES_WHEN_PROBED).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let other = control.pid();
    let (path, listener) = socket(folder, "death.sock");
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = {
        let told = Arc::clone(&told);
        move |notice: Notice| told.lock().unwrap().push(format!("{notice:?}"))
    };
    let running =
        tokio::spawn(supervise(vec![part, control], listener, PATIENT, Signals::new().unwrap(), std::future::pending(), tell));
    // The question makes the child end in the middle of it.
    let asked = tokio::spawn(async move { ask(&path, "{\"probe\":true}").await });
    let end = running.await.unwrap();
    let End::Died(Role::Node, status) = end else { panic!("{end:?}") };
    assert_eq!(status.signal(), Some(Signal::ABORT.as_raw()));
    assert!(told.lock().unwrap()[0].starts_with("Panicked(Node"), "{told:?}");
    assert!(!alive(other));
    asked.abort();
}

async fn reports_are_served_and_probes_are_fresh(launcher: &mut Launcher, folder: &Path) {
    let part = start(launcher, behaviour::SERVES).await.unwrap();
    let control = launcher.control::<_, String>(&own_path(), &"hello", &[]).await.unwrap().part;
    let (path, listener) = socket(folder, "report.sock");
    let running =
        tokio::spawn(supervise(vec![part, control], listener, PATIENT, Signals::new().unwrap(), std::future::pending(), |_| {}));
    let first = ask(&path, "{}").await;
    assert_eq!(first.parts.len(), 2);
    assert_eq!(first.parts[0].role, Role::Node);
    assert_eq!(first.parts[0].posture.as_ref().unwrap().attempts.len(), 1);
    assert!(first.parts[1].posture.is_none() && !first.parts[1].silent);
    let probed = ask(&path, "{\"probe\":true}").await;
    assert_eq!(probed.parts[0].posture.as_ref().unwrap().attempts.len(), 2, "the child adds one attempt for each self-test");
    kill_process(getpid(), Signal::HUP).unwrap();
    assert!(matches!(running.await.unwrap(), End::Asked));
}

async fn a_step_that_takes_too_long_is_named(launcher: Launcher) {
    let mut launcher = launcher.with_step_limit(Duration::from_secs(1));
    let error = start(&mut launcher, behaviour::HANGS).await.err().unwrap();
    assert!(matches!(error.failure, Failure::TimedOut { stage: Some(Stage::SystemCalls), seconds: 1 }), "{error}");
    assert_eq!(error.status.and_then(|status| status.signal()), Some(Signal::KILL.as_raw()));
}

async fn ask(path: &Path, question: &str) -> Report {
    let mut stream = UnixStream::connect(path).await.unwrap();
    stream.write_all(format!("{question}\n").as_bytes()).await.unwrap();
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).await.unwrap();
    serde_json::from_str(&line).unwrap()
}

/// The children.
mod child {
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
}
