//! Every part killed while streams are open: what may go on goes on, the rest is answered again soon, and nothing is left behind.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Client;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::scan::Scanner;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::CHAT;

/// From a kill to the next answer. What is promised is 2 s; the rest is for a machine that is busy with other tests, and each test
/// prints what it measured.
const RECOVERY: Duration = Duration::from_secs(8);
/// For a condition that has to come true, however busy the machine is.
const LIMIT: Duration = Duration::from_secs(60);
/// How long after an answer nothing of it may be left in memory (see the leak tests).
const GRACE: Duration = Duration::from_secs(2);
/// So that many ends in a row are not waited for longer and longer.
const SHORT_PAUSES: [&str; 2] = ["--restart-pause-ms", "200"];
const SIGNALS: [Signal; 3] = [Signal::KILL, Signal::SEGV, Signal::ABORT];

/// A provider, a Lethe in front of it, and a canary that every prompt and completion holds.
pub(crate) struct Run {
    pub(crate) provider: Provider,
    pub(crate) lethe: Lethe,
    pub(crate) canary: Canary,
}

impl Run {
    pub(crate) fn start(as_ordinary_user: bool) -> Self {
        Self::start_with(as_ordinary_user, &SHORT_PAUSES)
    }

    pub(crate) fn start_with(as_ordinary_user: bool, arguments: &[&str]) -> Self {
        let pki = Pki::new();
        let provider = Provider::start(Some(pki.server()));
        let mut setup = Setup::provider(&provider, &pki);
        setup.as_ordinary_user = as_ordinary_user;
        setup.arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let canary = Canary::new("prompt or completion");
        provider.set_reply(&format!("{0} and {0}", canary.value));
        Self { lethe: setup.start(), provider, canary }
    }

    pub(crate) fn chat(&self, model: &str, more: &str) -> String {
        format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"Say {}"}}]{more}}}"#, self.canary.value)
    }

    /// A stream that goes on until the provider is told to end it.
    pub(crate) fn stream(&self) -> Client {
        let mut client = self.lethe.client();
        let body = self.chat("tick-stream", r#","stream":true"#);
        client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
        client.wait_for("tick ");
        client
    }

    /// One request on a connection of its own, by a connection of its own to the provider.
    pub(crate) fn ask(&self) -> u16 {
        self.lethe.client().post(CHAT, &self.chat("close-after", "")).status
    }

    /// Nothing of the canary in a file, in what was printed or in the memory of a running part; and the scanner would find it.
    pub(crate) fn nothing_is_left(&self) {
        let scanner = Scanner::new(std::slice::from_ref(&self.canary));
        assert_eq!(scanner.bytes(self.canary.value.as_bytes()).len(), 1, "control: the scanner knows the canary");
        for folder in [self.lethe.folder(), Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
            assert!(scanner.files(folder, self.lethe.born()).is_empty(), "{}", folder.display());
        }
        assert!(scanner.bytes(self.lethe.printed().as_bytes()).is_empty(), "printed");
        let path = Canary { label: "path".into(), value: format!("{}/bin/lethe-", self.lethe.folder().display()) };
        let known = Scanner::new(&[Canary { value: path.value[path.value.len() - 32..].to_owned(), ..path }]);
        for (role, pid) in self.lethe.pids_now() {
            assert!(!known.memory(pid).is_empty(), "control: the scanner sees into the {role}");
            let deadline = Instant::now() + GRACE;
            while !scanner.memory(pid).is_empty() {
                assert!(Instant::now() < deadline, "something is left in the memory of the {role}");
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }

    /// How each part has ended so far: `role signal 9` or `role code 1`, and how often.
    pub(crate) fn exits(&self) -> BTreeMap<String, u64> {
        exits(&self.lethe)
    }
}

pub(crate) fn exits(lethe: &Lethe) -> BTreeMap<String, u64> {
    let output = lethe.run(&["posture", "--json"]);
    let posture: Value = serde_json::from_slice(&output.stdout).unwrap();
    let exits = posture["exits"].as_array().unwrap().iter().map(|exit| {
        let (kind, number) = exit["exit"].as_object().unwrap().iter().next().unwrap();
        (format!("{} {kind} {number}", exit["role"].as_str().unwrap()), exit["count"].as_u64().unwrap())
    });
    exits.collect()
}

pub(crate) fn wait_until<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(value) = holds() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Kills the part with this role, waits until it is gone, and says which process it was.
pub(crate) fn kill(lethe: &Lethe, role: &str, signal: Signal) -> u32 {
    let pid = wait_until("the part runs", || lethe.pid_now(role));
    let gone = || !Path::new(&format!("/proc/{pid}")).exists();
    wait_until("the part is gone", || {
        if gone() {
            return Some(());
        }
        // Control's runtime looks at the first fault for an overflow of the stack, finds none, and lets the next one through.
        let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
        let deadline = Instant::now() + Duration::from_millis(100);
        while Instant::now() < deadline && !gone() {
            std::thread::sleep(Duration::from_millis(1));
        }
        None
    });
    pid
}

/// Waits until another process has the role of `old`.
pub(crate) fn replaced(lethe: &Lethe, role: &str, old: u32) -> u32 {
    wait_until(&format!("a new {role}: {}", lethe.printed()), || lethe.pid_now(role).filter(|pid| *pid != old))
}

/// Descriptors that a process holds.
fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// The records once there are `count`, and then still as many: none came twice.
pub(crate) fn exactly(lethe: &Lethe, count: usize) {
    let records = lethe.records(count);
    assert_eq!(records.len(), count, "{records:?}");
}

#[test]
fn streams_outlive_control_and_the_dialer() {
    for as_ordinary_user in [false, true] {
        for role in ["control", "dialer"] {
            let run = Run::start(as_ordinary_user);
            let mut served = 0;
            for signal in SIGNALS {
                run.provider.hold();
                let (mut stream, beside) = (run.stream(), run.stream());
                let old = kill(&run.lethe, role, signal);
                let killed = Instant::now();
                // The first takes what is pooled, the second needs a dial.
                assert_eq!((run.ask(), run.ask()), (200, 200), "{role}: {}", run.lethe.printed());
                let took = killed.elapsed();
                println!("{role} {signal:?}: served again after {took:?}");
                assert!(took < RECOVERY, "{role}: {took:?}");
                replaced(&run.lethe, role, old);
                run.provider.release();
                let answer = stream.answer();
                assert!(answer.complete && answer.text().contains("[DONE]"), "{role}: the open stream came to its end");
                drop(beside);
                served += 4;
                // Everything is booked, also what was served while control was away.
                exactly(&run.lethe, served);
            }
            let expected = SIGNALS.map(|signal| (format!("{role} signal {}", signal.as_raw()), 1)).into();
            assert_eq!(run.exits(), expected, "{}", run.lethe.printed());
            run.nothing_is_left();
        }
    }
}

#[test]
fn a_gateway_that_ends_is_replaced_with_its_dialer() {
    for as_ordinary_user in [false, true] {
        let run = Run::start(as_ordinary_user);
        let mut served = 0;
        for signal in SIGNALS {
            assert_eq!(run.ask(), 200);
            served += 1;
            exactly(&run.lethe, served);
            run.provider.hold();
            let mut stream = run.stream();
            let dialer = run.lethe.pid_now("dialer").unwrap();
            let old = kill(&run.lethe, "gateway", signal);
            let killed = Instant::now();
            // The port was never closed: this connection waits for the next gateway.
            assert_eq!(run.ask(), 200, "{}", run.lethe.printed());
            let took = killed.elapsed();
            println!("gateway {signal:?}: served again after {took:?}");
            assert!(took < RECOVERY, "{took:?}");
            served += 1;
            assert!(!stream.answer().complete, "what the gateway had in its hands is cut, and not ended as if it were whole");
            replaced(&run.lethe, "gateway", old);
            replaced(&run.lethe, "dialer", dialer);
        }
        exactly(&run.lethe, served);
        let expected = SIGNALS.map(|signal| (format!("gateway signal {}", signal.as_raw()), 1)).into();
        assert_eq!(run.exits(), expected, "a dialer whose gateway is gone is not counted: {}", run.lethe.printed());
        run.nothing_is_left();
    }
}

#[test]
fn twenty_dialers_leave_no_descriptor_behind() {
    let run = Run::start(false);
    let mut stream = run.stream();
    assert_eq!(run.ask(), 200);
    let of = |role: &str| (role.to_owned(), run.lethe.pid_now(role).unwrap());
    let survivors = [of("gateway"), of("control"), of("supervisor")];
    let before: Vec<usize> = survivors.iter().map(|(_, pid)| descriptors(*pid)).collect();
    for _ in 0..20 {
        let old = kill(&run.lethe, "dialer", Signal::KILL);
        replaced(&run.lethe, "dialer", old);
        assert_eq!(run.ask(), 200);
    }
    // Connections that have just ended are closed at their own pace.
    for ((role, pid), before) in survivors.iter().zip(before) {
        wait_until(&format!("the descriptors of the {role} are {before} again"), || (descriptors(*pid) <= before).then_some(()));
        assert_eq!(run.lethe.pid_now(role), Some(*pid), "the {role} is the same");
    }
    run.provider.release();
    assert!(stream.answer().complete);
    assert_eq!(run.exits(), [("dialer signal 9".to_owned(), 20)].into());
    exactly(&run.lethe, 22);
}

#[test]
fn a_part_that_cannot_be_started_is_tried_again_while_the_others_serve() {
    let run = Run::start(false);
    // Some that are kept for the next requests, by every worker.
    for _ in 0..16 {
        assert_eq!(run.lethe.client().post(CHAT, &run.chat("ok", "")).status, 200);
    }
    let (executable, aside) = (run.lethe.bin().join("lethe-dataplane"), run.lethe.bin().join("aside"));
    fs::rename(&executable, &aside).unwrap();
    let old = kill(&run.lethe, "dialer", Signal::KILL);
    let failed = || {
        let posture: Value = serde_json::from_slice(&run.lethe.run(&["posture", "--json"]).stdout).unwrap();
        assert_eq!(posture["good"], false, "a part is missing");
        posture["failed_starts"][0]["count"].as_u64().filter(|count| *count >= 3)
    };
    wait_until("three starts have failed", failed);
    assert_eq!(run.lethe.client().post(CHAT, &run.chat("ok", "")).status, 200, "the others serve");
    fs::rename(&aside, &executable).unwrap();
    let mended = Instant::now();
    replaced(&run.lethe, "dialer", old);
    println!("dialer that could not be started: there again after {:?}", mended.elapsed());
    assert!(mended.elapsed() < RECOVERY);
    assert_eq!(run.ask(), 200);
    assert!(run.lethe.run(&["posture"]).status.success(), "{}", run.lethe.printed());
}

#[test]
fn the_engine_and_its_front_come_back_one_without_the_other() {
    for as_ordinary_user in [false, true] {
        let mut setup = Setup::engine();
        setup.as_ordinary_user = as_ordinary_user;
        setup.arguments = SHORT_PAUSES.map(str::to_owned).into();
        let lethe = setup.start();
        let canary = Canary::new("prompt").value;
        let chat = |more: &str| {
            format!(r#"{{"model":"smollm2-135m-instruct","messages":[{{"role":"user","content":"Say {canary}"}}]{more}}}"#)
        };
        let mut expected = BTreeMap::new();
        for (role, other) in [("engine", "node"), ("node", "engine")] {
            for signal in SIGNALS {
                let mut stream = lethe.client();
                let long = chat(r#","stream":true,"max_tokens":400"#);
                stream.send("POST", CHAT, &[("content-type", "application/json")], long.as_bytes());
                stream.wait_for("data: ");
                let other_one = lethe.pid_now(other);
                let old = kill(&lethe, role, signal);
                let killed = Instant::now();
                assert!(!stream.answer().complete, "{role}: the stream that it served is cut");
                let answer = lethe.client().post(CHAT, &chat(r#","max_tokens":1"#));
                println!("{role} {signal:?}: served again after {:?}", killed.elapsed());
                assert_eq!(answer.status, 200, "{role}: {}", answer.text());
                assert!(killed.elapsed() < RECOVERY * 2, "a start reads the model, and an answer computes");
                replaced(&lethe, role, old);
                assert_eq!(lethe.pid_now(other), other_one, "the {other} was left alone");
                expected.insert(format!("{role} signal {}", signal.as_raw()), 1);
            }
        }
        assert_eq!(exits(&lethe), expected, "{}", lethe.printed());
    }
}
