//! Records exactly once, whatever control goes through: paused, out of disk, away for long; and what clients see meanwhile.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lethe_testkit::client::{Answer, Client};
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::{CHAT, chat};

/// How soon everything is as before, once a fault has ended.
const RECOVERY: Duration = Duration::from_secs(2);
/// For what takes a moment on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// A Lethe with these further lines of `[gateway]`.
fn start(lines: &str, prepare: impl FnOnce(&Path)) -> (Provider, Lethe) {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.config = setup.config.map(|config| config.replacen("[gateway]\n", &format!("[gateway]\n{lines}\n"), 1));
    // So that several ends in a row are not waited for longer and longer.
    setup.arguments = ["--restart-pause-ms", "200"].map(str::to_owned).into();
    prepare(setup.folder());
    let lethe = setup.start();
    (provider, lethe)
}

fn signal(lethe: &Lethe, role: &str, signal: Signal) {
    for pid in lethe.pids(role) {
        let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }
}

/// Stops control until dropped.
struct Paused<'a>(&'a Lethe);

impl<'a> Paused<'a> {
    fn control(lethe: &'a Lethe) -> Self {
        signal(lethe, "control", Signal::STOP);
        Self(lethe)
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        signal(self.0, "control", Signal::CONT);
    }
}

/// The word of the readiness probe.
fn readiness(lethe: &Lethe) -> String {
    let answer = Client::connect(&lethe.probes(), None).get("/readyz");
    assert_eq!(answer.status == 200, answer.text().contains("\"ready\""), "{}", answer.text());
    answer.json()["status"].as_str().unwrap().to_owned()
}

/// Waits until `holds`, for at most `limit`, and says how long it took.
fn wait(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what} did not come within {limit:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    start.elapsed()
}

/// The records, and how many requests are unaccounted.
fn ledger(lethe: &Lethe) -> (Vec<Value>, u64) {
    let mut records = lethe.json(&["records", "--json"]);
    let unaccounted = records.last().and_then(|last| last["unaccounted_requests"].as_u64());
    if unaccounted.is_some() {
        records.pop();
    }
    (records, unaccounted.unwrap_or(0))
}

/// Waits until the ledger has `count` records, and then makes sure that no further one comes with what is delivered next.
fn expect_records(lethe: &Lethe, count: usize) -> Vec<Value> {
    wait("the records", SOON, || ledger(lethe).0.len() >= count);
    assert_eq!(lethe.client().get("/v1/models").status, 200);
    wait("one more record", SOON, || ledger(lethe).0.len() > count);
    let (mut records, unaccounted) = ledger(lethe);
    assert_eq!((records.len(), unaccounted), (count + 1, 0));
    assert_eq!(records.pop().unwrap()["operation"], "models");
    records
}

fn refused(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"), "{}", answer.text());
    assert_eq!(answer.headers.get("retry-after").map(String::as_str), Some("1"));
}

fn resident_kib(lethe: &Lethe) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", lethe.pids("gateway")[0])).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn without_room_for_records_requests_are_refused_and_memory_does_not_grow() {
    let (provider, lethe) = start("max_pending_records = 200\nmax_stale_seconds = 600", |_| {});
    let mut client = lethe.client();
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
    wait("the first record", SOON, || ledger(&lethe).0.len() == 1);

    let paused = Paused::control(&lethe);
    let mut served = 0;
    let full = loop {
        let answer = client.post(CHAT, &chat("ok", ""));
        if answer.status != 200 {
            break answer;
        }
        served += 1;
        assert!(served <= 200, "there is room for 200 records only");
    };
    refused(&full);
    // The first record's acknowledgement may have come too late for the pause.
    assert!(served == 200 || served == 199, "{served}");
    assert_eq!(readiness(&lethe), "outbox_full");
    let seen = provider.seen().len();
    let before = resident_kib(&lethe);
    for _ in 0..2000 {
        refused(&client.post(CHAT, &chat("ok", "")));
    }
    let after = resident_kib(&lethe);
    assert!(after < before + 4096, "{before} KiB before 2,000 refusals, {after} KiB after");
    assert_eq!(provider.seen().len(), seen, "nothing goes upstream that cannot be metered");

    drop(paused);
    wait("service", RECOVERY, || client.post(CHAT, &chat("ok", "")).status == 200);
    assert_eq!(readiness(&lethe), "ready");
    expect_records(&lethe, 1 + served + 1);
}

/// Paused for longer than either end of the link waits for the other: the link is made anew.
#[test]
fn without_word_from_control_a_gateway_is_stale_until_it_is_back() {
    let (_provider, lethe) = start("max_stale_seconds = 2", |_| {});
    let mut client = lethe.client();
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);

    let paused = Paused::control(&lethe);
    let start = Instant::now();
    let mut served = 1;
    wait("the end of service", SOON, || {
        let answer = client.post(CHAT, &chat("ok", ""));
        served += usize::from(answer.status == 200);
        answer.status == 503
    });
    assert!(start.elapsed() > Duration::from_millis(900), "control is heard of once a second, and two may pass");
    assert_eq!(readiness(&lethe), "stale");
    while start.elapsed() < Duration::from_secs(12) {
        refused(&client.post(CHAT, &chat("ok", "")));
        std::thread::sleep(Duration::from_millis(100));
    }

    drop(paused);
    wait("service", RECOVERY, || client.post(CHAT, &chat("ok", "")).status == 200);
    assert_eq!(readiness(&lethe), "ready");
    // A refusal that has passed the key is a request, too.
    let with = |records: &[Value], status: u64| records.iter().filter(|record| record["status"] == status).count();
    wait("every record", SOON, || with(&ledger(&lethe).0, 200) > served);
    let (records, unaccounted) = ledger(&lethe);
    assert_eq!((with(&records, 200), unaccounted), (served + 1, 0));
    assert_eq!(with(&records, 200) + with(&records, 503), records.len());
}

/// Kills the process that has this role, and waits until another has it.
fn kill(lethe: &Lethe, role: &str) {
    let old = lethe.pid_now(role).unwrap();
    rustix::process::kill_process(Pid::from_raw(i32::try_from(old).unwrap()).unwrap(), Signal::KILL).unwrap();
    wait(role, SOON, || lethe.pid_now(role).is_some_and(|pid| pid != old));
}

struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_control_that_is_killed_under_load_loses_and_repeats_nothing() {
    let (_provider, lethe) = start("max_stale_seconds = 600", |_| {});
    let stop = AtomicBool::new(false);
    let served = std::thread::scope(|scope| {
        let load = || {
            let mut client = lethe.client();
            let mut served = 0;
            while !stop.load(Ordering::Relaxed) {
                let answer = client.post(CHAT, &chat("ok", ""));
                assert_eq!(answer.status, 200, "clients notice nothing: {}", answer.text());
                served += 1;
                // Some hundred a second: each of them is listed again and again below.
                std::thread::sleep(Duration::from_millis(5));
            }
            served
        };
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(load)).collect();
        // Also when this thread fails: else the others would go on for ever.
        let _end = StopWhenDropped(&stop);
        for _ in 0..3 {
            let before = lethe.json(&["records", "--json"]).len();
            // Load goes on until some of it is booked by this control; then it dies.
            wait("further records", SOON, || {
                lethe.run(&["records", "--json"]).status.success() && ledger(&lethe).0.len() > before
            });
            kill(&lethe, "control");
            wait("the new control", SOON, || lethe.run(&["records", "--json"]).status.success());
        }
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).sum()
    });
    expect_records(&lethe, served);
}

#[test]
fn what_a_killed_gateway_took_with_it_is_counted() {
    let (provider, lethe) = start("max_stale_seconds = 600", |_| {});
    provider.hold();
    let streams: Vec<Client> = (0..5)
        .map(|_| {
            let mut client = lethe.client();
            let body = chat("tick-stream", r#","stream":true"#);
            client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
            client.wait_for("tick ");
            client
        })
        .collect();
    // Its record comes with the counters of all six.
    assert_eq!(lethe.client().post(CHAT, &chat("ok", "")).status, 200);
    wait("the record", SOON, || ledger(&lethe).0.len() == 1);
    assert_eq!(ledger(&lethe).1, 0);
    kill(&lethe, "gateway");
    drop(streams);
    // At once when its next start links, or after the time that a gateway has to come back.
    wait("the unaccounted requests", 3 * SOON, || ledger(&lethe).1 > 0);
    let (records, unaccounted) = ledger(&lethe);
    assert_eq!((records.len(), unaccounted), (1, 5));
    let shown = String::from_utf8(lethe.run(&["records"]).stdout).unwrap();
    assert!(shown.contains("5 requests are unaccounted"), "{shown}");
}

/// A disk of its own for control's folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        let path = folder.join("state/control");
        fs::create_dir_all(&path).unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs"]).arg(&path).status().unwrap();
        assert!(mount.success(), "only root can mount the disk that this test fills");
        Self(path)
    }

    fn fill(&self) {
        let mut ballast = fs::File::create(self.0.join("ballast")).unwrap();
        while ballast.write_all(&[1; 512]).is_ok() {}
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
fn on_a_full_disk_nothing_acknowledged_is_lost_and_nothing_is_booked_twice() {
    let mut disk = None;
    let (_provider, lethe) = start("max_stale_seconds = 600", |folder| disk = Some(SmallDisk::mount(folder)));
    let disk = disk.unwrap();
    let mut client = lethe.client();
    let mut served = 0;
    for round in 0..2 {
        for _ in 0..20 {
            assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
        }
        served += 20;
        wait("the records", SOON, || ledger(&lethe).0.len() == served);

        disk.fill();
        // Served on, for as long as the gateway has room: the records are kept in its memory.
        let start = Instant::now();
        let mut waiting = 0;
        while readiness(&lethe) != "not_durable" {
            assert!(start.elapsed() < SOON, "round {round}: the full disk did not show in the readiness");
            assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
            waiting += 1;
        }
        for _ in 0..50 {
            assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
            waiting += 1;
        }
        // What was acknowledged is there, and can be read.
        let kept = ledger(&lethe).0.len();
        assert!(kept >= served && kept < served + waiting, "round {round}: {kept} of {} records", served + waiting);

        disk.make_room();
        wait("readiness", RECOVERY, || readiness(&lethe) == "ready");
        served += waiting;
        wait("the records", SOON, || ledger(&lethe).0.len() >= served);
        assert_eq!(ledger(&lethe).0.len(), served);
    }
    expect_records(&lethe, served);
}

#[test]
fn with_strict_metering_a_reserve_is_committed_before_anything_goes_upstream() {
    let (provider, lethe) = start("metering = \"strict\"\nmax_stale_seconds = 600", |_| {});
    let mut client = lethe.client();
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200);
    assert_eq!(client.post(CHAT, &chat("ok", r#","stream":true"#)).status, 200);
    assert_eq!(client.post(CHAT, &chat("e500", "")).status, 500);
    // Refused before it could go anywhere: one record.
    assert_eq!(client.post(CHAT, "{").status, 400);
    // Cancelled by its client, while the provider thinks.
    let mut leaving = lethe.client();
    let cancelled = provider.seen().len();
    leaving.send("POST", CHAT, &[("content-type", "application/json")], chat("hang", "").as_bytes());
    assert!(provider.seen_within(cancelled + 1, SOON));
    drop(leaving);

    let of = |record: &Value| (record["kind"].as_str().unwrap().to_owned(), record["status"].as_u64().unwrap());
    wait("every record", SOON, || ledger(&lethe).0.len() == 9);
    let records: Vec<_> = ledger(&lethe).0.iter().map(of).collect();
    let expected = [
        ("reserve", 102),
        ("settle", 200),
        ("reserve", 102),
        ("settle", 200),
        ("reserve", 102),
        ("settle", 500),
        ("charge", 400),
        ("reserve", 102),
        ("settle", 499),
    ];
    assert_eq!(records, expected.map(|(kind, status)| (kind.to_owned(), status)));
    let (records, _) = ledger(&lethe);
    assert!(records[0]["input_units"].as_u64().unwrap() > 0 && records[0]["quality"] == "estimated", "{}", records[0]);
    assert_eq!((&records[1]["input_units"], &records[1]["quality"]), (&9.into(), &"reported".into()));
    assert_eq!((&records[0]["at_ms"], &records[0]["account"]), (&records[1]["at_ms"], &records[1]["account"]));

    // Control does not answer: nothing goes upstream.
    let seen = provider.seen().len();
    let paused = Paused::control(&lethe);
    let start = Instant::now();
    refused(&client.post(CHAT, &chat("ok", "")));
    assert!(start.elapsed() >= Duration::from_secs(2), "it waits for control, but not for long");
    assert_eq!(provider.seen().len(), seen);
    drop(paused);
    wait("service", RECOVERY, || client.post(CHAT, &chat("ok", "")).status == 200);
    wait("every record", SOON, || ledger(&lethe).0.len() >= 13);
    let settled: Vec<_> = ledger(&lethe).0[9..].iter().map(of).collect();
    assert_eq!(settled.iter().filter(|record| **record == ("settle".to_owned(), 503)).count(), 1, "{settled:?}");
    assert_eq!(settled.last(), Some(&("settle".to_owned(), 200)));
    assert_eq!(settled.iter().filter(|(kind, _)| kind == "reserve").count() * 2, settled.len(), "{settled:?}");
}
