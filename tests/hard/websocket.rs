//! WebSocket's frames as they should not be, and clients that go, wait, or say nothing.

use lethe_testkit::canary::Canary;
use lethe_testkit::gauge::{allow_descriptors, within};
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::provider::Provider;
use lethe_testkit::websocket::{WebSocket, error_code, frame, text};
use serde_json::{Value, json};

use crate::{RECOVERY, gateway, nothing_is_left, settled};

const REPLY: &str = "Hello from the provider.";
const LIMITS: &str = "max_body_mib = 1\nbody_idle_seconds = 2\nkeep_alive_seconds = 600";
/// What an idle connection may hold.
const IDLE_KIB: f64 = 12.0;

fn start(gateway: &str) -> (Provider, Lethe) {
    let provider = Provider::start(None);
    let models = ["scripted-text", "scripted-text-hang", "scripted-text-stall"];
    let lethe = Setup::plain(provider.address.port(), &models, gateway).start();
    (provider, lethe)
}

fn open(lethe: &Lethe) -> WebSocket {
    WebSocket::open(lethe.client(), "/v1/responses", &[])
}

fn body(behaviour: &str, input: &str) -> Value {
    json!({"model": format!("scripted-text{behaviour}"), "input": input})
}

fn is_served(socket: &mut WebSocket) {
    socket.create(body("", "Hello"));
    assert_eq!(text(&socket.answer()), REPLY);
}

fn statuses(lethe: &Lethe, count: usize) -> Vec<u64> {
    lethe.records(count).iter().filter_map(|record| record["status"].as_u64()).collect()
}

#[test]
fn websocket_frames_that_are_none_close_with_their_code() {
    let (_provider, lethe) = start(LIMITS);
    let mebibyte = vec![b' '; 1 << 20];
    for (what, bytes, code) in [
        ("no mask", b"\x81\x05Hello".to_vec(), 1002),
        ("a reserved bit", frame(0xc1, b"{}"), 1002),
        ("an opcode", frame(0x83, b"{}"), 1002),
        ("a continuation of nothing", frame(0x80, b"{}"), 1002),
        ("a ping in pieces", frame(0x09, b""), 1002),
        ("a ping that is too long", frame(0x89, &[0; 126]), 1002),
        ("a message within a message", [frame(0x01, b"{"), frame(0x81, b"}")].concat(), 1002),
        ("binary", frame(0x82, b"{}"), 1003),
        ("not UTF-8", frame(0x81, b"\xff"), 1007),
        ("a close without a code", frame(0x88, b"\x03"), 1002),
        ("too large", frame(0x81, &[&mebibyte[..], b"{}"].concat()), 1009),
        ("too large, announced", b"\x81\xff\x00\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00".to_vec(), 1009),
        ("too large in pieces", [frame(0x01, &mebibyte), frame(0x80, b"{}")].concat(), 1009),
    ] {
        let mut socket = open(&lethe);
        is_served(&mut socket);
        socket.raw(&bytes);
        if code == 1009 {
            assert_eq!(error_code(&socket.answer()), "body_too_large", "{what}");
        }
        assert_eq!(socket.closed(), Some(code), "{what}");
    }
    // Control: in pieces, with a sign of life between them, it is a request.
    let mut socket = open(&lethe);
    let create = json!({"type": "response.create", "model": "scripted-text", "input": "Hello"}).to_string();
    let (first, rest) = create.as_bytes().split_at(9);
    for bytes in [frame(0x01, first), frame(0x89, b"ping"), frame(0x8a, b""), frame(0x00, rest), frame(0x80, b"")] {
        socket.raw(&bytes);
    }
    assert_eq!(socket.frame(), Some((10, b"ping".to_vec())));
    assert_eq!(text(&socket.answer()), REPLY);
    // One that is as large as may be.
    let mut create = create.replace("Hello", &"a".repeat((1 << 20) - create.len() + 5));
    assert_eq!(create.len(), 1 << 20);
    socket.send(&create);
    assert_eq!(text(&socket.answer()), REPLY);
    create.push(' ');
    socket.send(&create);
    assert_eq!(error_code(&socket.answer()), "body_too_large");
}

#[test]
fn websocket_clients_are_heard_while_they_wait() {
    let (provider, lethe) = start(LIMITS);
    let mut socket = open(&lethe);
    socket.create(body("-hang", "Hello"));
    assert!(provider.seen_within(1, RECOVERY));
    for _ in 0..100 {
        socket.raw(&frame(0x89, b"still there?"));
        assert_eq!(socket.frame(), Some((10, b"still there?".to_vec())));
    }
    // A second message waits for its turn.
    socket.create(body("", "second"));
    assert_eq!(error_code(&socket.answer()), "provider_timeout");
    assert_eq!(text(&socket.answer()), REPLY);
    let seen = provider.seen();
    assert!(seen.len() == 2 && seen[1].body.to_string().contains("second"), "one after the other");
    // Who closes is told so, and what was asked for is given up.
    socket.create(body("-stall", "Hello"));
    while socket.event()["type"] != "response.output_text.delta" {}
    socket.raw(&frame(0x88, b"\x03\xe8"));
    assert_eq!(socket.closed(), Some(1000));
    assert!(provider.cancelled_within(2, RECOVERY));
    assert_eq!(statuses(&lethe, 3), [504, 200, 499]);
}

#[test]
fn websocket_clients_that_vanish_leave_nothing() {
    let (provider, lethe) = start(LIMITS);
    let canaries: Vec<Canary> = ["in a message", "before an answer", "within an answer"].map(Canary::new).into();
    let [message, before, within_one] = &canaries[..] else { unreachable!() };
    let mut socket = open(&lethe);
    socket.raw(&frame(0x01, message.value.as_bytes()));
    socket.raw(&frame(0x81, message.value.as_bytes())[..20]);
    drop(socket);
    let mut socket = open(&lethe);
    socket.create(body("-hang", &before.value));
    assert!(provider.seen_within(1, RECOVERY));
    drop(socket);
    let mut socket = open(&lethe);
    socket.create(body("-stall", &within_one.value));
    while socket.event()["type"] != "response.output_text.delta" {}
    drop(socket);
    assert!(provider.cancelled_within(2, RECOVERY), "what they asked for is given up");
    assert_eq!(statuses(&lethe, 2), [499, 499]);
    nothing_is_left(&lethe, &canaries);
}

#[test]
fn websocket_connections_end_with_their_time_and_with_the_gateway() {
    let (_provider, lethe) = start("keep_alive_seconds = 1\nbody_idle_seconds = 1");
    let mut socket = open(&lethe);
    is_served(&mut socket);
    assert_eq!(socket.closed(), Some(1001), "it said nothing for a second");
    let mut socket = open(&lethe);
    socket.raw(&frame(0x01, b"{"));
    assert_eq!(error_code(&socket.answer()), "request_timeout", "its message never came to an end");
    assert_eq!(socket.closed(), Some(1008));

    let (provider, mut lethe) = start(LIMITS);
    let (mut idle, mut busy) = (open(&lethe), open(&lethe));
    is_served(&mut idle);
    busy.create(body("-hang", "Hello"));
    assert!(provider.seen_within(2, RECOVERY));
    lethe.signal(rustix::process::Signal::TERM);
    assert_eq!(idle.closed(), Some(1001));
    // Its provider's silence ends the answer, not the drain.
    assert_eq!(error_code(&busy.answer()), "provider_timeout");
    assert_eq!(busy.closed(), Some(1001));
    assert_eq!(lethe.wait(), Some(0), "{}", lethe.printed());
}

#[test]
fn websocket_connections_that_are_idle_cost_little_and_make_room() {
    const SOME: u32 = 1_000;
    allow_descriptors(24_000);
    let (_provider, lethe) = start(&format!("{LIMITS}\nmax_connections = {}", SOME + 100));
    let served = || {
        let mut socket = open(&lethe);
        is_served(&mut socket);
        socket
    };
    drop((0..100).map(|_| served()).collect::<Vec<_>>());
    let before = settled(&lethe, usize::MAX);
    let mut crowd: Vec<WebSocket> = (0..SOME).map(|_| served()).collect();
    let grown = gateway(&lethe).resident_kib.saturating_sub(before.resident_kib);
    let cost = f64::from(u32::try_from(grown).expect("a number")) / f64::from(SOME);
    println!("an idle WebSocket: {cost:.1} KiB");
    assert!(cost < IDLE_KIB, "an idle WebSocket holds {cost:.1} KiB");
    // At the limit the one that has been idle longest makes room.
    let more: Vec<WebSocket> = (0..110).map(|_| served()).collect();
    assert_eq!(crowd[0].closed(), Some(1001));
    drop((crowd, more));
    assert!(within(RECOVERY, || gateway(&lethe).descriptors <= before.descriptors + 4), "everything is given back");
}

/// Four hundred megabytes are announced, and sixteen may be held.
#[test]
fn websocket_messages_that_announce_much_hold_nothing() {
    let (_provider, lethe) = start("max_body_mib = 4\nmax_content_mib = 16\nbody_idle_seconds = 30");
    let crowd: Vec<WebSocket> = (0..100)
        .map(|_| {
            let mut socket = open(&lethe);
            socket.raw(b"\x81\xff\x00\x00\x00\x00\x00\x3d\x09\x00\x00\x00\x00\x00{\"input\"");
            socket
        })
        .collect();
    is_served(&mut open(&lethe));
    drop(crowd);
    is_served(&mut open(&lethe));
}
