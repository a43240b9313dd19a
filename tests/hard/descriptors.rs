//! No descriptors left.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::gauge::within;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::provider::Provider;

use crate::{CHAT, RECOVERY, chat, gateway, serves_normally, settled};

/// Lets the running gateway have so many descriptors more than it has.
fn leave(lethe: &Lethe, more: usize) -> usize {
    let pid = lethe.pids("gateway")[0];
    let limit = settled(lethe, usize::MAX).descriptors + more;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("status of a running process");
    let id = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()).expect("an id");
    // By the gateway's own user, who may (prlimit(2)); root in a container may not.
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={}", id("Uid:")),
        &format!("--regid={}", id("Gid:")),
        "--clear-groups",
        "prlimit",
        &format!("--pid={pid}"),
        &format!("--nofile={limit}:"),
    ]);
    assert!(command.status().expect("prlimit").success(), "the limit is set");
    limit
}

/// What the gateway takes of one processor during `span`.
fn load(lethe: &Lethe, span: Duration) -> f64 {
    let (start, before) = (Instant::now(), gateway(lethe).cpu);
    std::thread::sleep(span);
    (gateway(lethe).cpu - before).as_secs_f64() / start.elapsed().as_secs_f64()
}

#[test]
fn idle_clients_give_their_descriptors_to_new_ones() {
    let provider = Provider::start(None);
    let lethe = Setup::plain(provider.address.port(), &["ok"], "keep_alive_seconds = 600\nhead_seconds = 600").start();
    serves_normally(&lethe, "ok");
    let limit = leave(&lethe, 20);
    let crowd: Vec<Client> = (0..200).map(|_| lethe.client()).collect();
    assert!(within(RECOVERY, || gateway(&lethe).descriptors + 4 >= limit), "control: hardly any is left");
    serves_normally(&lethe, "ok");
    let load = load(&lethe, Duration::from_secs(1));
    assert!(load < 0.3, "no busy loop: {load:.2} of a processor");
    drop(crowd);
    serves_normally(&lethe, "ok");
}

#[test]
fn busy_clients_keep_theirs_and_it_recovers() {
    let provider = Provider::start(None);
    let lethe = Setup::plain(provider.address.port(), &["ok", "hang"], "").start();
    serves_normally(&lethe, "ok");
    let mut answered = 0;
    for round in 1..=2 {
        let limit = leave(&lethe, 21);
        // Each takes two, a client's and a provider's: room for ten, or for more that cannot reach the provider.
        let mut crowd: Vec<Client> = Vec::new();
        for _ in 0..40 {
            let mut client = lethe.client();
            client.send("POST", CHAT, &[("content-type", "application/json")], chat("hang", "Hello", "").as_bytes());
            crowd.push(client);
        }
        let full = || gateway(&lethe).descriptors + 2 >= limit;
        assert!(within(Duration::from_secs(5), full), "round {round}: control: hardly any is left");
        let load = load(&lethe, Duration::from_secs(2));
        assert!(load < 0.3, "round {round}: no busy loop: {load:.2} of a processor");
        // First come first served, and each gets an answer: the provider's time limit, or that it could not be reached.
        let mut not_reached = 0;
        for client in &mut crowd {
            let answer = client.answer();
            answered += 1;
            not_reached += usize::from(answer.status == 502);
            let expected = [(504, "provider_timeout"), (502, "provider_connect")];
            assert!(expected.contains(&(answer.status, answer.code().as_str())), "{}", answer.text());
        }
        assert!(not_reached > 0, "round {round}: control: some found none left for the provider");
        drop(crowd);
        let served = || lethe.client().post(CHAT, &chat("ok", "Hello", "")).status == 200;
        assert!(within(RECOVERY, served), "round {round}: it recovers");
    }
    serves_normally(&lethe, "ok");
    let failed = || lethe.records(1).iter().filter(|record| record["status"] != 200).count();
    assert!(within(RECOVERY, || failed() == answered), "one record each: {} of {answered}", failed());
}
