//! Clients and providers that are slow, greedy, broken or hostile. After each fault: every request that was accepted was answered or
//! cleanly failed and is recorded once, a well-behaved client was served meanwhile, nothing is held on to, and no canary is left.

mod descriptors;
mod early;
mod hostile;
mod idle;
mod memory;
mod reuse;
mod slow;
mod smuggling;
mod websocket;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::gauge::{Gauge, within};
use lethe_testkit::lethe::Lethe;
use lethe_testkit::scan::Scanner;

const CHAT: &str = "/v1/chat/completions";
/// From a fault's end until everything is as before.
const RECOVERY: Duration = Duration::from_secs(2);

/// A chat request to `model` that says `prompt`, with further members.
fn chat(model: &str, prompt: &str, more: &str) -> String {
    format!(r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}]{more}}}"#)
}

/// A request's head with the first API key and these further fields; `\r\n\r\n` at its end.
fn head(lethe: &Lethe, method: &str, path: &str, fields: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n{fields}\r\n",
        lethe.key()
    )
}

/// A whole chat request.
fn post(lethe: &Lethe, body: &str) -> String {
    head(lethe, "POST", CHAT, &format!("content-length: {}\r\n", body.len())) + body
}

fn gateway(lethe: &Lethe) -> Gauge {
    Gauge::of(lethe.pids("gateway")[0])
}

/// A new client gets `count` answers in a row; the slowest of them, connecting included.
fn slowest_of(lethe: &Lethe, model: &str, count: usize) -> Duration {
    let once = || {
        let start = Instant::now();
        let answer = lethe.client().post(CHAT, &chat(model, "Hello", ""));
        assert_eq!(answer.status, 200, "a well-behaved client: {}", answer.text());
        start.elapsed()
    };
    (0..count).map(|_| once()).max().unwrap_or_default()
}

/// A well-behaved client is served with normal latency: it takes milliseconds, and seconds only where the machine has much else to do.
fn serves_normally(lethe: &Lethe, model: &str) {
    let slowest = slowest_of(lethe, model, 5);
    assert!(slowest < Duration::from_secs(3), "a well-behaved client waited {slowest:?}");
}

/// Runs `round` after a first one for warming up, until the gateway holds no more after it than before; a leak grows with every
/// round, an allocator's blocks of another size only with the first ones. How many rounds it took, the first included.
fn nothing_grows(lethe: &Lethe, mut round: impl FnMut()) -> usize {
    const MOST: usize = 5;
    let mut seen = Vec::new();
    for rounds in 1..=MOST {
        round();
        let before = seen.last().copied();
        let now = settled(lethe, before.map_or(usize::MAX, |before: Gauge| before.descriptors));
        seen.push(now);
        // A round's connections or bodies are far more than these four megabytes.
        let same = |before: Gauge| now.descriptors <= before.descriptors && now.resident_kib <= before.resident_kib + 4096;
        if rounds > 2 && before.is_some_and(same) {
            return rounds;
        }
    }
    panic!("grew with each round: {seen:?}");
}

/// A look at the gateway once it has no more than `descriptors` open and stays there, or cannot get there in time.
fn settled(lethe: &Lethe, descriptors: usize) -> Gauge {
    let mut last = gateway(lethe);
    let _ = within(RECOVERY, || {
        std::thread::sleep(Duration::from_millis(100));
        let now = gateway(lethe);
        let still = now.descriptors == last.descriptors && now.descriptors <= descriptors;
        last = now;
        still
    });
    last
}

/// No canary is in a file, in what was printed, or in the memory of any process, two seconds after.
fn nothing_is_left(lethe: &Lethe, canaries: &[Canary]) {
    std::thread::sleep(RECOVERY);
    let scanner = Scanner::new(canaries);
    let mut found = BTreeSet::new();
    for (role, pid) in lethe.all_pids() {
        found.extend(scanner.memory(pid).into_iter().map(|find| format!("{role}:{find}")));
    }
    for folder in [lethe.folder(), Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
        found.extend(scanner.files(folder, lethe.born()));
    }
    assert_eq!(found, BTreeSet::new(), "canaries are left");
}
