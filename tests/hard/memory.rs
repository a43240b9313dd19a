//! Memory that the kernel bounds: load is shed with 503 before the kernel kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::gauge::within;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::wire::{COMPLETION, STREAM_HEAD, Say, Wire, answer, event};

use crate::{CHAT, RECOVERY, chat, gateway, head, serves_normally, slowest_of};

const MIB: u64 = 1 << 20;
/// The control group's limit: with the bounds that follow from it 90 MiB of content.
const LIMIT: u64 = 336 * MIB;

/// A control group with a memory limit; removed at the end.
struct Group {
    folder: PathBuf,
    version: u8,
}

impl Group {
    /// Made below the mount of version 1's memory controller, or of version 2. Tests of the whole run as root (CONTRIBUTING.md); where
    /// no group can be made there is nothing that could be shown, and the test fails.
    fn new(limit: u64) -> Self {
        let name = format!("lethe-test-{}", std::process::id());
        let one = Path::new("/sys/fs/cgroup/memory");
        let (folder, version) = if one.is_dir() { (one.join(name), 1) } else { (Path::new("/sys/fs/cgroup").join(name), 2) };
        if version == 2 {
            // May be on already; whether it is shows below.
            let _ = fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory");
        }
        fs::create_dir(&folder).unwrap_or_else(|error| panic!("no control group can be made at {}: {error}", folder.display()));
        let file = folder.join(if version == 1 { "memory.limit_in_bytes" } else { "memory.max" });
        fs::write(&file, limit.to_string()).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        Self { folder, version }
    }

    /// How often the kernel killed.
    fn kills(&self) -> u64 {
        let file = if self.version == 1 { "memory.oom_control" } else { "memory.events" };
        let text = fs::read_to_string(self.folder.join(file)).expect("the group's events");
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok()).expect("a count of kills")
    }

    /// The most that was used.
    fn peak(&self) -> u64 {
        let file = if self.version == 1 { "memory.max_usage_in_bytes" } else { "memory.peak" };
        fs::read_to_string(self.folder.join(file)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Empty once everything in it has ended.
        let _ = within(Duration::from_secs(5), || fs::remove_dir(&self.folder).is_ok());
    }
}

/// A megabyte of prompt, many times.
fn large(mib: usize) -> String {
    chat("m", &"x".repeat(mib << 20), "")
}

/// Posts `body`: the status, and whether a refusal says when to come back.
fn post(lethe: &Lethe, body: &str) -> u16 {
    let mut client = lethe.client();
    client.raw(head(lethe, "POST", CHAT, &format!("content-length: {}\r\n", body.len())).as_bytes());
    client.raw(body.as_bytes());
    let answer = client.try_answer().expect("an answer, whatever it is");
    if answer.status == 503 {
        assert_eq!((answer.code().as_str(), answer.headers.get("retry-after").map(String::as_str)), ("overloaded", Some("1")));
    }
    answer.status
}

/// Many large requests at once; how many were served and how many were told to come back.
fn storm(lethe: &Lethe, body: &str, clients: usize, each: usize) -> (usize, usize) {
    let (served, shed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                for _ in 0..each {
                    match post(lethe, body) {
                        200 => served.fetch_add(1, Ordering::Relaxed),
                        503 => shed.fetch_add(1, Ordering::Relaxed),
                        other => panic!("neither served nor shed: {other}"),
                    };
                }
            });
        }
    });
    (served.into_inner(), shed.into_inner())
}

#[test]
fn in_a_small_control_group_load_is_shed_and_nobody_is_killed() {
    let group = Group::new(LIMIT);
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let mut setup = Setup::plain(wire.address.port(), &["m"], "max_connections = 2000");
    setup.control_group = Some(group.folder.clone());
    let lethe = setup.start();
    let pids = lethe.all_pids();
    let printed = lethe.printed();
    assert!(printed.contains("max_body_mib is 22 instead of 32"), "the bounds follow from the group: {printed}");
    serves_normally(&lethe, "m");

    // Sixteen bodies of 14 MiB at once, held twice each, would be 448 MiB.
    let body = large(14);
    let mut slowest = Duration::ZERO;
    let mut seen = (0, 0);
    for _ in 0..3 {
        let over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let small = scope.spawn(|| {
                let mut slowest = Duration::ZERO;
                while !over.load(Ordering::Relaxed) {
                    slowest = slowest.max(slowest_of(&lethe, "m", 1));
                }
                slowest
            });
            let (served, shed) = storm(&lethe, &body, 16, 3);
            over.store(true, Ordering::Relaxed);
            seen = (seen.0 + served, seen.1 + shed);
            slowest = slowest.max(small.join().expect("small requests are served all the time"));
        });
        // However often: content of 90 MiB, as much again between blocks that grow, and what the gateway is without any.
        let now = gateway(&lethe);
        assert!(now.resident_kib < (90 * 2 + 40) * 1024, "{now:?}");
    }
    let peak = group.peak() / MIB;
    println!("served {}, shed {}, peak {peak} MiB of {} MiB, slowest small request {slowest:?}", seen.0, seen.1, LIMIT / MIB);
    assert!(seen.0 > 0 && seen.1 > 0, "some are served and some are shed: {seen:?}");
    assert!(slowest < Duration::from_secs(5), "a small request waited {slowest:?}");
    assert_eq!(group.kills(), 0, "the kernel killed nobody");
    assert_eq!(lethe.all_pids(), pids);
    for (role, pid) in &pids {
        assert!(fs::metadata(format!("/proc/{pid}")).is_ok(), "{role} lives");
    }
    let start = Instant::now();
    assert!(within(RECOVERY, || post(&lethe, &body) == 200), "it serves large ones again");
    assert!(start.elapsed() < RECOVERY * 2);
    let statuses: Vec<_> = lethe.records(seen.0 + seen.1).iter().filter_map(|record| record["status"].as_u64()).collect();
    assert!(statuses.iter().filter(|status| **status == 503).count() <= seen.1, "one record each at most");
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "nothing else happened");
}

#[test]
fn answers_and_events_that_grow_are_bounded_too() {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let bounds = "max_content_mib = 48\nmax_body_mib = 4\nbody_idle_seconds = 5";
    let lethe = Setup::plain(wire.address.port(), &["m"], bounds).start();
    serves_normally(&lethe, "m");
    let before = gateway(&lethe);
    let long = COMPLETION.replace("Hi", &"y".repeat(8 << 20));
    let event = {
        // One event of twelve megabytes, never ended.
        let text = "z".repeat(12 << 20);
        let whole = event(&text);
        [STREAM_HEAD, &whole[..whole.len() - 64]].concat()
    };
    for (say, more, what) in [(Say::Bytes(answer(&long)), "", "answers"), (Say::Bytes(event), r#","stream":true"#, "events")] {
        wire.say(say);
        let body = chat("m", "Hello", more);
        let mut clients: Vec<Client> = (0..12).map(|_| lethe.client()).collect();
        for client in &mut clients {
            client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
        }
        let texts: Vec<String> = clients.iter_mut().map(|client| client.answer().text()).collect();
        let shed = texts.iter().filter(|text| text.contains("\"overloaded\"")).count();
        assert!(shed > 0, "{what}: more than there is room for is shed");
        let most = before.resident_kib + (48 * 2 + 40) * 1024;
        let now = gateway(&lethe);
        assert!(now.resident_kib < most, "{what}: {before:?} {now:?}");
        wire.say(Say::Bytes(answer(COMPLETION)));
        assert!(within(RECOVERY, || slowest_of(&lethe, "m", 1) < Duration::from_secs(1)), "{what}: it recovers");
    }
    // An event that has room, and never ends, ends with the provider's time.
    let records = lethe.records(1);
    assert!(records.iter().all(|record| [200, 503, 504].contains(&record["status"].as_u64().unwrap_or_default())), "{records:?}");
}

/// Many small requests without a length were taken for the largest body each.
#[test]
fn bodies_take_the_room_that_they_have_not_what_they_could() {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.config = setup.config.map(|config| config.replace("max_body_mib = 4", "max_body_mib = 4\nmax_content_mib = 16"));
    let lethe = setup.start();
    let body = chat("hang", "Hello", "");
    let mut clients = Vec::new();
    for _ in 0..30 {
        let mut client = lethe.client();
        client.raw(
            (head(&lethe, "POST", CHAT, "transfer-encoding: chunked\r\n") + &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()))
                .as_bytes(),
        );
        clients.push(client);
    }
    assert!(provider.seen_within(30, Duration::from_secs(5)), "all of them are served at once");
    for client in &mut clients {
        assert_eq!(client.answer().status, 504, "the provider's silence ends them");
    }
}
