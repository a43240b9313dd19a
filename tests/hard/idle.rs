//! Connections that say nothing.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::gauge::{allow_descriptors, within};
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use crate::{CHAT, RECOVERY, chat, gateway, head, serves_normally, settled};

/// What an idle connection may hold (docs/operator.md; bin/lethe/src/up/bounds.rs counts with the second).
const PLAIN_KIB: f64 = 12.0;
const TLS_KIB: f64 = 24.0;

fn start(gateway: &str) -> (Wire, Lethe) {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], gateway).start();
    (wire, lethe)
}

fn connect(lethe: &Lethe) -> TcpStream {
    let socket = TcpStream::connect(lethe.api()).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    socket
}

/// One request and its whole answer.
fn ask(mut socket: &TcpStream, request: &[u8]) -> String {
    socket.write_all(request).expect("a request");
    let (mut said, mut block) = (Vec::new(), [0; 4096]);
    while !said.ends_with(b"}") {
        match socket.read(&mut block) {
            Ok(read @ 1..) => said.extend_from_slice(&block[..read]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

/// Whether the server has closed it; a server that has not says nothing.
fn is_closed(mut socket: &TcpStream) -> bool {
    socket.set_nonblocking(true).expect("a socket");
    let read = socket.read(&mut [0]);
    socket.set_nonblocking(false).expect("a socket");
    !matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Kibibytes a connection between two looks.
fn each(before: u64, after: u64, count: u32) -> f64 {
    let grown = u32::try_from(after.saturating_sub(before)).expect("a number");
    f64::from(grown) / f64::from(count)
}

/// Ten thousand, or what the gateway has said that it can do with the descriptors that it may have here.
fn most(lethe: &Lethe) -> u32 {
    let printed = lethe.printed();
    let lowered =
        printed.lines().find_map(|line| line.strip_prefix("lethe: max_connections is ")?.split(' ').next()?.parse().ok());
    let most = lowered.unwrap_or(10_000);
    assert!(most >= 9_000, "{printed}");
    most
}

#[test]
fn ten_thousand_idle_connections_cost_little_and_make_room() {
    allow_descriptors(24_000);
    let (wire, lethe) = start("max_connections = 10000\nkeep_alive_seconds = 600\nhead_seconds = 600");
    serves_normally(&lethe, "m");
    let request = head(&lethe, "GET", "/v1/models/m", "");
    let all = most(&lethe);
    let before = settled(&lethe, usize::MAX);

    // Half of them have been served, half have never said a word.
    let mut crowd = Vec::new();
    for number in 0..all {
        let socket = connect(&lethe);
        if number % 2 == 0 {
            assert!(ask(&socket, request.as_bytes()).starts_with("HTTP/1.1 200 "), "number {number}");
        }
        crowd.push(socket);
    }
    let descriptors = before.descriptors + usize::try_from(all).expect("a number");
    assert!(
        within(RECOVERY, || gateway(&lethe).descriptors + 8 >= descriptors),
        "control: they are all open: {} of {descriptors}, {}",
        gateway(&lethe).descriptors,
        lethe.printed()
    );
    let full = gateway(&lethe);
    let cost = each(before.resident_kib, full.resident_kib, all);
    println!("an idle connection in the clear: {cost:.1} KiB");
    assert!(cost < PLAIN_KIB, "an idle connection holds {cost:.1} KiB");

    // They cost no time.
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(1));
    let used = gateway(&lethe).cpu.saturating_sub(full.cpu);
    assert!(used < start.elapsed() / 10, "idle connections took {used:?} of the processor");

    // At the limit each new client closes the one that has been idle longest in some worker, and is served.
    serves_normally(&lethe, "m");
    let closed = crowd.iter().filter(|socket| is_closed(socket)).count();
    assert!((1..=13).contains(&closed), "{closed} were closed for five");
    let first = crowd.iter().position(is_closed).expect("one was closed");
    assert!(first < 100, "the first to go was among the oldest: {first}");
    // The others are as they were.
    for (number, socket) in crowd.iter().enumerate().skip(100).step_by(500) {
        assert!(ask(socket, request.as_bytes()).starts_with("HTTP/1.1 200 "), "number {number}");
    }
    drop(crowd);
    assert!(within(RECOVERY * 2, || gateway(&lethe).descriptors <= before.descriptors + 4), "everything is given back");

    // A second crowd takes no more than the first.
    let crowd: Vec<TcpStream> = (0..all).map(|_| connect(&lethe)).collect();
    assert!(within(RECOVERY, || gateway(&lethe).descriptors >= descriptors - 8));
    let again = gateway(&lethe);
    assert!(again.resident_kib <= full.resident_kib + 4096, "{full:?} {again:?}");
    drop(crowd);
    serves_normally(&lethe, "m");
    assert!(wire.requests() >= 15);
}

#[test]
fn idle_connections_with_tls_hold_no_buffers() {
    const SOME: u32 = 1_000;
    allow_descriptors(24_000);
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let lethe = Setup::provider(&provider, &pki).start();
    let served = |lethe: &Lethe| {
        let mut client = lethe.client();
        assert_eq!(client.post(CHAT, &chat("ok", "Hello", "")).status, 200);
        client
    };
    let warm: Vec<Client> = (0..100).map(|_| served(&lethe)).collect();
    drop(warm);
    let before = gateway(&lethe);
    let crowd: Vec<Client> = (0..SOME).map(|_| served(&lethe)).collect();
    let cost = each(before.resident_kib, gateway(&lethe).resident_kib, SOME);
    println!("an idle connection with TLS: {cost:.1} KiB");
    assert!(cost < TLS_KIB, "an idle connection holds {cost:.1} KiB");
    drop(crowd);
    serves_normally(&lethe, "ok");
}

#[test]
fn where_nobody_is_idle_new_clients_are_told_so() {
    let provider = Provider::start(None);
    let gateway = "max_connections = 3\nhead_seconds = 2";
    let lethe = Setup::plain(provider.address.port(), &["hang", "ok"], gateway).start();
    let hang = || {
        let mut client = lethe.client();
        client.send("POST", CHAT, &[("content-type", "application/json")], chat("hang", "Hello", "").as_bytes());
        client
    };
    let busy: Vec<Client> = (0..3).map(|_| hang()).collect();
    assert!(provider.seen_within(3, Duration::from_secs(5)));
    for _ in 0..3 {
        let start = Instant::now();
        let mut client = lethe.client();
        let refused = client.post(CHAT, &chat("ok", "Hello", ""));
        assert_eq!((refused.status, refused.code().as_str()), (503, "overloaded"));
        assert_eq!(refused.headers.get("retry-after").map(String::as_str), Some("1"));
        assert!(client.try_answer().is_none(), "and closed");
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    drop(busy);
    let served = || lethe.client().post(CHAT, &chat("ok", "Hello", "")).status == 200;
    assert!(within(RECOVERY, served), "served as soon as there is room");
    let statuses: Vec<_> = lethe.records(4).iter().filter_map(|record| record["status"].as_u64()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 499).count(), 3, "{statuses:?}");
}

#[test]
fn idle_connections_end_with_their_time() {
    let (_wire, lethe) = start("keep_alive_seconds = 1\nhead_seconds = 1");
    for request in [head(&lethe, "GET", "/v1/models/m", ""), String::new()] {
        let mut socket = connect(&lethe);
        if !request.is_empty() {
            assert!(ask(&socket, request.as_bytes()).starts_with("HTTP/1.1 200 "));
        }
        let start = Instant::now();
        let mut rest = Vec::new();
        socket.read_to_end(&mut rest).expect("a clean end");
        assert!(rest.is_empty(), "without a word: there is no request to answer");
        assert!(
            start.elapsed() > Duration::from_millis(500) && start.elapsed() < Duration::from_secs(4),
            "{:?}",
            start.elapsed()
        );
    }
}
