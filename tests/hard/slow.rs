//! Clients that send or take their bytes slowly.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::gauge::within;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::wire::{COMPLETION, STREAM_HEAD, Say, Wire, answer, event};

use crate::{RECOVERY, chat, gateway, head, nothing_grows, nothing_is_left, post, serves_normally};

/// Short limits, so that the tests are.
const LIMITS: &str =
    "head_seconds = 2\nbody_idle_seconds = 2\nkeep_alive_seconds = 20\nmin_bytes_per_second = 100\nmax_body_mib = 4";
const LIMIT: Duration = Duration::from_secs(2);
const CROWD: usize = 500;

fn start(models: &[&str]) -> (Wire, Lethe) {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), models, LIMITS).start();
    (wire, lethe)
}

fn connect(lethe: &Lethe) -> TcpStream {
    let socket = TcpStream::connect(lethe.api()).expect("a connection");
    socket.set_nodelay(true).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a socket");
    socket
}

/// Everything that comes until the server closes.
fn until_closed(mut socket: &TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer ends it too.
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Five hundred at once send `first`, and then a byte of `rest` four times a second; each is told 408 and closed, and somebody else is
/// served meanwhile.
fn drip(lethe: &Lethe, first: &str, rest: &str) {
    let crowd: Vec<TcpStream> = (0..CROWD).map(|_| connect(lethe)).collect();
    let start = Instant::now();
    for mut socket in &crowd {
        socket.write_all(first.as_bytes()).expect("a head");
    }
    let mut bytes = rest.bytes().cycle();
    while start.elapsed() < LIMIT + Duration::from_millis(500) {
        let byte = [bytes.next().unwrap_or(b'x')];
        for mut socket in &crowd {
            // One that has been closed already takes no more.
            let _ = socket.write_all(&byte);
        }
        serves_normally(lethe, "m");
        std::thread::sleep(Duration::from_millis(100));
    }
    for socket in &crowd {
        let said = until_closed(socket);
        assert!(said.starts_with("HTTP/1.1 408 "), "{said:?}");
        assert!(said.contains("connection: close\r\n") && said.contains("request_timeout"), "{said:?}");
    }
    // Not for ever longer: the limit, the time that the crowd took to read, and some for a busy machine.
    assert!(start.elapsed() < LIMIT * 8, "{:?}", start.elapsed());
}

#[test]
fn slow_heads_are_told_and_closed() {
    let (_wire, lethe) = start(&["m"]);
    let canary = Canary::new("slow head");
    nothing_grows(&lethe, || drip(&lethe, "GET /v1/models HTTP/1.1\r\nx-note: ", &canary.value));
    serves_normally(&lethe, "m");
    nothing_is_left(&lethe, &[canary]);
    let statuses: Vec<u64> = lethe.records(1).iter().map(|record| record["status"].as_u64().unwrap_or_default()).collect();
    assert!(statuses.iter().all(|status| *status == 200), "what never became a request is recorded for nobody: {statuses:?}");
}

#[test]
fn slow_bodies_are_told_closed_and_recorded() {
    let (wire, lethe) = start(&["m"]);
    let canary = Canary::new("slow body");
    // Four megabytes each are announced, two gigabytes in all: announcing takes no room.
    let first = head(&lethe, "POST", crate::CHAT, "content-length: 4000000\r\n") + &chat("m", "", "")[..20];
    drip(&lethe, &first, &canary.value);
    let chunked = head(&lethe, "POST", crate::CHAT, "transfer-encoding: chunked\r\n") + "3d0900\r\n";
    drip(&lethe, &chunked, &canary.value);
    serves_normally(&lethe, "m");
    nothing_is_left(&lethe, &[canary]);
    let timed_out = || lethe.records(1).iter().filter(|record| record["status"] == 408).count();
    assert!(within(RECOVERY, || timed_out() == 2 * CROWD), "one record each: {}", timed_out());
    let served = lethe.records(1).iter().filter(|record| record["status"] == 200).count();
    assert_eq!(wire.requests(), served, "nothing of a body that did not arrive was sent on");
}

/// Sockets of the client port with bytes that nobody has taken, from the kernel's table (proc(5), `/proc/net/tcp`).
fn untaken(lethe: &Lethe) -> usize {
    let port = format!(":{:04X}", lethe.api().rsplit_once(':').expect("a port").1.parse::<u16>().expect("a port"));
    let table = fs::read_to_string("/proc/net/tcp").expect("the kernel's table");
    let holds = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|local| local.ends_with(&port))
            && fields.get(4).is_some_and(|queues| !queues.starts_with("00000000:"))
    };
    table.lines().filter(holds).count()
}

#[test]
fn readers_that_stop_lose_their_stream() {
    const READERS: usize = 50;
    let (wire, lethe) = start(&["m"]);
    let canary = Canary::new("stream that is not read");
    let text = canary.value.repeat(64);
    let mut round = 0;
    let mut once = || {
        round += 1;
        wire.say(Say::Forever(STREAM_HEAD.to_vec(), event(&text)));
        let (before, asked) = (gateway(&lethe), wire.requests());
        let readers: Vec<TcpStream> = (0..READERS).map(|_| connect(&lethe)).collect();
        for mut reader in &readers {
            reader.write_all(post(&lethe, &chat("m", "go on", r#","stream":true"#)).as_bytes()).expect("a request");
        }
        // The last of them reads, a byte at a time.
        let mut byte = [0];
        let start = Instant::now();
        let mut most = 0;
        let held = within(LIMIT * 4, || {
            let _ = (&readers[READERS - 1]).read(&mut byte);
            most = most.max(untaken(&lethe));
            // On a busy machine the first are given up before the last have begun; each has to get this provider's answer.
            most >= READERS / 2 && wire.requests() >= asked + READERS
        });
        assert!(held, "control: the kernel holds what is not read, of {most}");
        let during = gateway(&lethe);
        // The bound of docs/operator.md: 64 KiB for each connection in the clear that has a request.
        let most = u64::try_from(READERS).expect("a number") * 64 + 8192;
        // The first round brings the code in as well.
        assert!(round == 1 || during.resident_kib < before.resident_kib + most, "{before:?} {during:?}");
        wire.say(Say::Bytes(answer(COMPLETION)));
        serves_normally(&lethe, "m");
        let cut = |connections: &[lethe_testkit::wire::Connection]| connections.iter().filter(|one| one.closed).count();
        assert!(
            within(LIMIT * 4, || {
                let _ = (&readers[READERS - 1]).read(&mut byte);
                cut(&wire.connections()) >= READERS * round
            }),
            "the provider is cancelled: {} after {:?}",
            cut(&wire.connections()),
            start.elapsed()
        );
        // The clients are still there and have still not read; nobody keeps it for them.
        assert!(within(LIMIT * 4, || untaken(&lethe) == 0), "the kernel gives up what nobody takes: {}", untaken(&lethe));
        drop(readers);
    };
    let rounds = nothing_grows(&lethe, &mut once);
    nothing_is_left(&lethe, &[canary]);
    let gone = || lethe.records(1).iter().filter(|record| record["status"] == 499).count();
    assert!(within(RECOVERY, || gone() == rounds * READERS), "one record each: {}", gone());
}
