//! Answers that come before the request is over: leave to go on, and bodies that are too large.

use std::time::{Duration, Instant};

use lethe_testkit::client::Client;
use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use crate::{CHAT, RECOVERY, chat, head, nothing_grows, post, serves_normally};

const LIMITS: &str = "max_body_mib = 4";

fn start() -> (Wire, Lethe) {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], LIMITS).start();
    (wire, lethe)
}

/// A gigabyte is sent without a look at what is answered, as many clients do. How much of it was taken.
fn push_a_gigabyte(client: &mut Client, chunked: bool) -> usize {
    let mut block = vec![b'x'; 1 << 20];
    if chunked {
        block.splice(..0, b"100000\r\n".iter().copied());
        block.extend_from_slice(b"\r\n");
    }
    (0..1024).take_while(|_| client.try_raw(&block).is_ok()).count()
}

#[test]
fn a_gigabyte_is_refused_early_and_the_refusal_is_read() {
    let (wire, lethe) = start();
    let before = crate::gateway(&lethe);
    let rounds = nothing_grows(&lethe, || refuse_a_gigabyte(&lethe));
    assert_eq!(wire.requests(), 0, "nothing of it was sent on");
    let after = crate::gateway(&lethe);
    assert!(after.resident_kib < before.resident_kib + 64 * 1024, "{before:?} {after:?}");
    serves_normally(&lethe, "m");
    let refused = lethe.records(rounds * 4).iter().filter(|record| record["status"] == 413).count();
    assert_eq!(refused, rounds * 4, "one record each");
}

fn refuse_a_gigabyte(lethe: &Lethe) {
    for (fields, chunked) in [("content-length: 1073741824\r\n", false), ("transfer-encoding: chunked\r\n", true)] {
        let mut client = lethe.client();
        client.raw(head(lethe, "POST", CHAT, fields).as_bytes());
        let start = Instant::now();
        let taken = push_a_gigabyte(&mut client, chunked);
        assert!(taken < 64, "{fields}: {taken} MiB were taken");
        // All of them written before the first look: the answer is there all the same (RFC 9112 section 9.6).
        let answer = client.try_answer().expect("the refusal is read, not a reset");
        assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"), "{fields}");
        assert_eq!(answer.headers.get("connection").map(String::as_str), Some("close"));
        assert!(client.try_answer().is_none(), "{fields}: and nothing after it");
        assert!(start.elapsed() < Duration::from_secs(10), "{fields}: {:?}", start.elapsed());
        // One that looks at once gets it at once.
        let mut client = lethe.client();
        let start = Instant::now();
        client.raw(head(lethe, "POST", CHAT, fields).as_bytes());
        if chunked {
            for _ in 0..5 {
                client.raw(&[b"100000\r\n".as_slice(), &vec![b'x'; 1 << 20], b"\r\n"].concat());
            }
        }
        assert_eq!(client.answer().status, 413);
        assert!(start.elapsed() < Duration::from_secs(1), "{fields}: {:?}", start.elapsed());
    }
}

#[test]
fn leave_to_send_a_body_is_given_or_refused_at_once() {
    let (wire, lethe) = start();
    let body = chat("m", "Hello", "");
    let expecting = |path: &str, more: &str| {
        head(&lethe, "POST", path, &format!("expect: 100-continue\r\ncontent-length: {}\r\n{more}", body.len()))
    };
    // Given, several times on one connection.
    let mut client = lethe.client();
    for _ in 0..3 {
        client.raw(expecting(CHAT, "").as_bytes());
        assert_eq!(client.answer().status, 100);
        client.raw(body.as_bytes());
        assert_eq!(client.answer().status, 200);
    }
    // A body that comes with its head needs no leave.
    client.raw((expecting(CHAT, "") + &body).as_bytes());
    assert_eq!(client.answer().status, 200);
    // Chunked.
    client.raw(head(&lethe, "POST", CHAT, "expect: 100-Continue\r\ntransfer-encoding: chunked\r\n").as_bytes());
    assert_eq!(client.answer().status, 100);
    client.raw(format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).as_bytes());
    assert_eq!(client.answer().status, 200);
    // HTTP/1.0 knows no interim answers (RFC 9110 section 10.1.1).
    let old = post(&lethe, &body).replace("HTTP/1.1", "HTTP/1.0").replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    let mut old_client = lethe.client();
    old_client.raw(old.as_bytes());
    assert_eq!(old_client.answer().status, 200);
    assert_eq!(wire.requests(), 6);

    // Refused: at once, although the body that was announced does not come, and with the end of the connection.
    for (request, status) in [
        (expecting("/v1/nothing", ""), 404),
        (expecting("/v1/files", ""), 400),
        (expecting(CHAT, "content-encoding: gzip\r\n"), 415),
        (expecting(CHAT, "").replace(lethe.key(), "lethe_wrong"), 401),
        (head(&lethe, "POST", CHAT, "expect: 100-continue\r\ncontent-length: 99999999\r\n"), 413),
        (head(&lethe, "POST", CHAT, "expect: 100-continue\r\ntransfer-encoding: chunked\r\ncontent-encoding: br\r\n"), 415),
        (head(&lethe, "POST", CHAT, "expect: 200-ok\r\ncontent-length: 5\r\n"), 417),
        (head(&lethe, "POST", CHAT, "expect: 100-continue, 100-continue\r\ncontent-length: 5\r\n"), 417),
    ] {
        let mut client = lethe.client();
        let start = Instant::now();
        client.raw(request.as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{request}: {}", answer.text());
        assert!(start.elapsed() < Duration::from_secs(1), "{status}: refused after {:?}", start.elapsed());
        assert_eq!(answer.headers.get("connection").map(String::as_str), Some("close"), "{status}");
        // What may still come is no request: a client that sends the body all the same desynchronises nothing.
        client.raw(post(&lethe, &body).as_bytes());
        let start = Instant::now();
        assert!(client.try_answer().is_none(), "{status}: nothing more is read");
        assert!(start.elapsed() < RECOVERY + Duration::from_secs(1), "{status}: closed after {:?}", start.elapsed());
    }
    assert_eq!(wire.requests(), 6, "nothing was sent on");
    serves_normally(&lethe, "m");
}
