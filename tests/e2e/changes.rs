//! What changes while everything runs: certificates, configuration, executables. No connection is dropped by any of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Client;
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, model_table};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::scan::Scanner;
use rustix::process::Signal;

use crate::supervision::{Run, exactly, kill, replaced, wait_until};
use crate::{CHAT, chat};

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn reload(lethe: &Lethe) -> String {
    let output = lethe.run(&["reload"]);
    assert!(output.status.success(), "{}", said(&output));
    said(&output)
}

/// Writes a file that the running Lethe reads, with the rights it had.
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

#[test]
fn a_new_certificate_is_shown_in_new_handshakes_and_drops_nobody() {
    for as_ordinary_user in [false, true] {
        let run = Run::start(as_ordinary_user);
        let mut before = run.lethe.client();
        assert_eq!(before.post(CHAT, &chat("ok", "")).status, 200);
        let mut stream = run.stream();
        let next = Pki::new();
        let handshake = |pki: &Pki| {
            let mut client = Client::connect(&run.lethe.api(), Some(&pki.client())).with_key(run.lethe.key());
            client.send("GET", "/v1/models", &[], b"");
            client.try_answer().map(|answer| answer.status)
        };
        assert_eq!(handshake(&next), None, "control: the certificate is not known yet");

        // A key that does not belong to the certificate is refused, and nothing changes.
        write(&run.lethe.folder().join("key.pem"), &next.key_pem);
        let refused = run.lethe.run(&["reload"]);
        assert_eq!(refused.status.code(), Some(64));
        assert!(said(&refused).contains("does not belong to the certificate"), "{}", said(&refused));
        assert_eq!(handshake(&next), None);

        write(&run.lethe.folder().join("chain.pem"), &next.chain_pem);
        assert!(reload(&run.lethe).contains("new certificate"));
        wait_until("a new handshake shows the new certificate", || handshake(&next));
        assert_eq!(before.post(CHAT, &chat("ok", "")).status, 200, "the connection from before goes on");
        run.provider.release();
        assert!(stream.answer().complete);

        // The parts' own identities came anew with it: the link is made again with them.
        let old = kill(&run.lethe, "control", Signal::KILL);
        replaced(&run.lethe, "control", old);
        assert_eq!(before.post(CHAT, &chat("ok", "")).status, 200);
        // Three, and the handshakes that were let in: each waited for the last one's answer.
        assert!(run.lethe.records(4).len() >= 4);
        assert!(!run.lethe.printed().contains("did not take"), "{}", run.lethe.printed());
        assert_eq!(run.exits().len(), 1, "only control was killed");
    }
}

#[test]
fn another_configuration_is_followed_by_the_next_request() {
    for as_ordinary_user in [false, true] {
        let run = Run::start(as_ordinary_user);
        let file = run.lethe.folder().join("lethe.toml");
        let text = fs::read_to_string(&file).unwrap();
        let (gateway, control) = (run.lethe.pid_now("gateway"), run.lethe.pid_now("control"));
        assert_eq!(run.lethe.client().post(CHAT, &chat("alias", "")).status, 404);
        let mut stream = run.stream();

        // Another model, another credential, and another server behind the provider.
        let secret = Canary::new("credential").value;
        write(&run.lethe.folder().join("provider-key"), &secret);
        let other_pki = Pki::new();
        let other = Provider::start(Some(other_pki.server()));
        write(&run.lethe.folder().join("ca.pem"), &other_pki.authority_pem);
        let moved = text.replace(&format!(":{}/", run.provider.address.port()), &format!(":{}/", other.address.port()));
        assert_ne!(moved, text);
        write(&file, &(moved + &model_table("alias", "mock", "ok")));
        let told = reload(&run.lethe);
        assert!(told.contains("provider mock: changed") && told.contains("model alias: added"), "{told}");
        assert!(!told.contains(&secret), "no credential is told");
        wait_until("the new model is served", || (run.lethe.client().post(CHAT, &chat("alias", "")).status == 200).then_some(()));
        let seen = other.seen();
        let last = seen.last().unwrap();
        assert_eq!(last.body["model"], "ok");
        assert!(last.head.contains(&secret) && !last.head.contains(PROVIDER_KEY));
        run.provider.release();
        assert!(stream.answer().complete, "the open stream ends at the server where it began");
        let scanner = Scanner::new(&[Canary { label: "credential".into(), value: secret }]);
        let found = || scanner.memory(gateway.unwrap()).is_empty().then_some(());
        wait_until("the new credential is in secret memory only", found);

        // What is wrong, or cannot change, leaves everything as it is.
        let good = fs::read_to_string(&file).unwrap();
        let wrong = good.replace("max_body_mib = 4", "max_body_mib = \"four\"");
        let listen = good.replace("listen = \"127.0.0.1:0\"", "listen = \"127.0.0.1:9\"");
        for (text, told) in [(wrong, "lethe.toml:4:"), (listen, "[gateway] listen cannot change while Lethe runs: restart")] {
            assert_ne!(text, good);
            write(&file, &text);
            let refused = run.lethe.run(&["reload"]);
            assert_eq!(refused.status.code(), Some(64), "{}", said(&refused));
            assert!(said(&refused).contains(told), "{}", said(&refused));
            assert_eq!(run.lethe.client().post(CHAT, &chat("alias", "")).status, 200);
        }
        // The signal does the same, and says it where `up` speaks.
        run.lethe.signal(Signal::HUP);
        wait_until("the refusal is printed", || run.lethe.printed().contains("no reload: [gateway] listen").then_some(()));
        let without = good.split("[[model]]\nid = \"alias\"").next().unwrap();
        write(&file, without);
        run.lethe.signal(Signal::HUP);
        wait_until("the model is gone", || (run.lethe.client().post(CHAT, &chat("alias", "")).status == 404).then_some(()));
        assert_eq!((run.lethe.pid_now("gateway"), run.lethe.pid_now("control")), (gateway, control), "nothing was restarted");
        assert_eq!(run.lethe.client().post(CHAT, &chat("ok", "")).status, 200);
    }
}

/// Requests without a pause, half of them on connections that are kept, while `change` happens. None may fail.
fn under_load<T>(run: &Run, change: impl FnOnce() -> T) -> (T, usize) {
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let changed = std::thread::scope(|scope| {
        let load = |kept: bool| {
            let mut client = None;
            while !stop.load(Ordering::Relaxed) {
                let mut connection = client.take().unwrap_or_else(|| run.lethe.client());
                connection.send("POST", CHAT, &[("content-type", "application/json")], run.chat("ok", "").as_bytes());
                let answer = connection.try_answer().expect("an answer");
                assert_eq!(answer.status, 200, "{}", answer.text());
                served.fetch_add(1, Ordering::Relaxed);
                if kept && answer.headers.get("connection").is_none_or(|value| value != "close") {
                    client = Some(connection);
                }
            }
        };
        let workers: Vec<_> = [true, true, false, false].map(|kept| scope.spawn(move || load(kept))).into();
        let before = served.load(Ordering::Relaxed);
        let changed = change();
        let after = served.load(Ordering::Relaxed);
        // And some more after it.
        let deadline = Instant::now() + Duration::from_secs(60);
        while served.load(Ordering::Relaxed) < after + 20
            && Instant::now() < deadline
            && workers.iter().all(|one| !one.is_finished())
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        for worker in workers {
            worker.join().expect("every request was answered");
        }
        assert!(after > before, "there was a load during the change");
        changed
    });
    (changed, served.into_inner())
}

#[test]
fn an_upgrade_replaces_every_part_and_no_request_fails() {
    for as_ordinary_user in [false, true] {
        let run = Run::start(as_ordinary_user);
        let mut stream = run.stream();
        let before = run.lethe.pids_now();
        let old = run.lethe.pid_now("gateway").unwrap();
        let (output, served) = under_load(&run, || run.lethe.run(&["upgrade"]));
        assert!(output.status.success(), "{}", said(&output));
        println!("upgrade: {served} requests, none failed");
        for (role, pid) in before {
            assert_eq!(run.lethe.pid_now(&role) == Some(pid), role == "supervisor", "{role}");
        }
        assert!(Path::new(&format!("/proc/{old}")).exists(), "the old gateway still has a stream");
        run.provider.release();
        assert!(stream.answer().complete, "which comes to its end");
        drop(stream);
        wait_until("the old gateway ends", || (!Path::new(&format!("/proc/{old}")).exists()).then_some(()));
        assert!(run.exits().is_empty(), "no end was unasked for: {:?}", run.exits());
        exactly(&run.lethe, served + 1);
        run.nothing_is_left();
    }
}

#[test]
fn an_executable_that_does_not_start_leaves_the_old_part_serving() {
    let run = Run::start(false);
    let before = run.lethe.pids_now();
    let executable = run.lethe.bin().join("lethe-dataplane");
    let aside = run.lethe.bin().join("aside");
    fs::rename(&executable, &aside).unwrap();
    fs::write(&executable, "#!/bin/sh\nexit 1\n").unwrap();
    fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
    let output = run.lethe.run(&["upgrade"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("did not start") && said(&output).contains("what was running goes on"), "{}", said(&output));
    assert_eq!(run.lethe.pids_now(), before);
    assert_eq!(run.ask(), 200);
    fs::rename(&aside, &executable).unwrap();
    assert!(run.lethe.run(&["upgrade"]).status.success());
    assert_ne!(run.lethe.pids_now(), before);
    assert_eq!(run.ask(), 200);
}

#[test]
fn gateways_are_recycled_on_age_and_no_request_fails() {
    let run = Run::start_with(false, &["--recycle-ms", "2000"]);
    let mut stream = run.stream();
    let first = run.lethe.pid_now("gateway").unwrap();
    let next = |old: u32| wait_until("another gateway", || run.lethe.pid_now("gateway").filter(|pid| *pid != old));
    let (third, served) = under_load(&run, || next(next(first)));
    println!("two recyclings: {served} requests, none failed");
    assert_ne!(third, first);
    run.provider.release();
    assert!(stream.answer().complete, "a stream outlives two successors of its gateway");
    drop(stream);
    wait_until("the first gateway ends", || (!Path::new(&format!("/proc/{first}")).exists()).then_some(()));
    exactly(&run.lethe, served + 1);
    assert!(run.exits().is_empty());
}
