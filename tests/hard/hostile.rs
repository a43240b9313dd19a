//! Providers that break the protocol on purpose: what they say reaches nobody but the one who asked, and no connection that got more
//! than its answer is used again.

use std::time::Duration;

use lethe_testkit::lethe::{Lethe, Setup};
use lethe_testkit::wire::{COMPLETION, STREAM_HEAD, Say, Wire, answer, event};

use crate::{CHAT, chat, nothing_grows, serves_normally};

/// What the next client must never see.
const POISON: &str = "poison";

/// What is said, the status that the client gets, and whether the connection may be used again.
struct Case {
    name: &'static str,
    says: Say,
    status: u16,
    reused: bool,
}

fn cases() -> Vec<Case> {
    let ok = answer(COMPLETION);
    let head = |fields: &str| format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{fields}\r\n").into_bytes();
    let length = COMPLETION.len();
    let poison = answer(&COMPLETION.replace("Hi", POISON));
    let sized = |fields: &str| [head(&format!("content-length: {length}\r\n{fields}")), COMPLETION.into()].concat();
    let chunked = |body: &str| [head("transfer-encoding: chunked\r\n"), body.into()].concat();
    let whole = format!("{length:x}\r\n{COMPLETION}\r\n0\r\n\r\n");
    let case = |name, bytes: Vec<u8>, status, reused| Case { name, says: Say::Bytes(bytes), status, reused };
    let closing = |name, bytes: Vec<u8>, status| Case { name, says: Say::BytesAndClose(bytes), status, reused: false };
    vec![
        case("control: a whole answer", ok.clone(), 200, true),
        case("control: in chunks", chunked(&whole), 200, true),
        case("control: an interim answer first", [b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), ok.clone()].concat(), 200, true),
        case("two answers", [ok.clone(), poison.clone()].concat(), 200, false),
        case("an answer and a byte", [ok.clone(), b"x".to_vec()].concat(), 200, false),
        case("an answer and an empty line", [ok.clone(), b"\r\n".to_vec()].concat(), 200, false),
        case("two answers, the first in chunks", [chunked(&whole), poison.clone()].concat(), 200, false),
        case("says that it closes, and does not", sized("connection: close\r\n"), 200, false),
        closing("closes without having said so", ok.clone(), 200),
        closing("ends with the connection", [head(""), COMPLETION.into()].concat(), 200),
        case("two lengths", sized("content-length: 3\r\n"), 502, false),
        case("two equal lengths", sized(&format!("content-length: {length}\r\n")), 502, false),
        case(
            "length and chunks",
            [head(&format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n")), whole.clone().into()].concat(),
            502,
            false,
        ),
        case("length with a sign", [head(&format!("content-length: +{length}\r\n")), COMPLETION.into()].concat(), 502, false),
        case(
            "coding that is not known",
            [head("transfer-encoding: gzip, chunked\r\n"), whole.clone().into()].concat(),
            502,
            false,
        ),
        case("chunk size that is none", chunked(&format!("0x{whole}")), 502, false),
        case("chunk size with a sign", chunked(&format!("+{whole}")), 502, false),
        case("chunk size beyond all bounds", chunked(&format!("ffffffffffffffff\r\n{COMPLETION}")), 504, false),
        case("chunk size that overflows", chunked(&format!("10000000000000005\r\n{COMPLETION}")), 502, false),
        case("chunk without its end", chunked(&format!("5\r\nhelloworld\r\n{whole}")), 502, false),
        case("chunk extension without end", chunked(&format!("5;{}", "x".repeat(20_000))), 502, false),
        case(
            "trailers without end",
            chunked(&(whole.trim_end_matches("\r\n").to_owned() + "\r\n" + &"a: b\r\n".repeat(4_000))),
            502,
            false,
        ),
        case("bare line feeds", String::from_utf8(ok.clone()).expect("text").replace("\r\n", "\n").into_bytes(), 504, false),
        case("folded field", sized("x: a\r\n b\r\n"), 502, false),
        case("field with a zero byte", sized("x: a\0b\r\n"), 502, false),
        case("blank before a colon", sized("x : a\r\n"), 502, false),
        case(
            "status that is none",
            String::from_utf8(ok.clone()).expect("text").replace("200 OK", "99 OK").into_bytes(),
            502,
            false,
        ),
        case(
            "status of four digits",
            String::from_utf8(ok.clone()).expect("text").replace("200 OK", "2000 OK").into_bytes(),
            502,
            false,
        ),
        case(
            "another protocol's version",
            String::from_utf8(ok.clone()).expect("text").replace("HTTP/1.1", "HTTP/2").into_bytes(),
            502,
            false,
        ),
        case(
            "switching protocols",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n".to_vec(),
            502,
            false,
        ),
        case("interim answers without end", b"HTTP/1.1 100 Continue\r\n\r\n".repeat(1_000), 502, false),
        case(
            "nothing, with a body",
            [b"HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\nhello".to_vec(), poison.clone()].concat(),
            502,
            false,
        ),
        case("not modified, with a body", [b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(), poison].concat(), 502, false),
        case("as if to HEAD", head(&format!("content-length: {length}\r\n")), 504, false),
        case(
            "ten megabytes of fields",
            [b"HTTP/1.1 200 OK\r\n".to_vec(), b"x-filler: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(200_000)].concat(),
            502,
            false,
        ),
        case("many fields", sized(&"a: b\r\n".repeat(200)), 502, false),
        closing("cut in the head", b"HTTP/1.1 200 OK\r\ncontent-".to_vec(), 502),
        closing("cut in the body", ok[..ok.len() - 9].to_vec(), 502),
        closing("cut in a chunk", chunked(&whole[..whole.len() - 20]), 502),
        closing("cut before the last chunk", chunked(&whole[..whole.len() - 5]), 502),
        closing("cut after an interim answer", b"HTTP/1.1 100 Continue\r\n\r\n".to_vec(), 502),
        closing("nothing at all", Vec::new(), 502),
        case("an answer that holds another", answer(&COMPLETION.replace("Hi", "HTTP/1.1 200 OK\\r\\n\\r\\n")), 200, true),
    ]
}

/// One provider, and one Lethe with one worker, so that there is one pool.
fn start() -> (Wire, Lethe) {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], "workers = 1").start();
    (wire, lethe)
}

#[test]
fn no_answer_reaches_another_request_and_no_connection_with_more_is_used_again() {
    let (wire, lethe) = start();
    let mut requests = 0;
    for Case { name, says, status, reused } in cases() {
        wire.say(says);
        let before = wire.connections().len();
        let mut client = lethe.client();
        let answer = client.post(CHAT, &chat("m", "Hello", ""));
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(!answer.text().contains(POISON), "{name}");
        for field in ["set-cookie", "x", "x-filler", "location", "upgrade"] {
            assert!(!answer.headers.contains_key(field), "{name}: {field} came through");
        }
        // The client's own connection goes on, with the next answer and no other.
        wire.say(Say::Bytes(lethe_testkit::wire::answer(COMPLETION)));
        let opened = wire.connections().len();
        let next = client.post(CHAT, &chat("m", "Hello", ""));
        assert_eq!(next.status, 200, "{name}: {}", next.text());
        assert!(next.text().contains("Hi") && !next.text().contains(POISON), "{name}: {}", next.text());
        let anew = wire.connections().len() > opened;
        assert_eq!(anew, !reused, "{name}: the connection {}", if anew { "was not used again" } else { "was used again" });
        // One request in is one request out; only a connection that was closed before a word of an answer is asked anew.
        let asked = wire.requests() - requests;
        requests += asked;
        let most = if name == "nothing at all" { 3 } else { 2 };
        assert!((2..=most).contains(&asked), "{name}: {asked} requests for two");
        assert!(opened <= before + 2, "{name}");
    }
    // Each connection that the provider saw carried whole requests and nothing else.
    for connection in wire.connections() {
        assert_eq!(count(&connection.bytes, b"POST /v1/chat/completions HTTP/1.1\r\n"), connection.requests);
    }
    serves_normally(&lethe, "m");
}

#[test]
fn streams_that_say_more_than_their_end_are_not_used_again() {
    let (wire, lethe) = start();
    let done = "e\r\ndata: [DONE]\n\n\r\n";
    let with = |rest: &str| [STREAM_HEAD, &event("Hi"), done.as_bytes(), rest.as_bytes()].concat();
    for (name, bytes, reused) in [
        ("control: a whole stream", with("0\r\n\r\n"), true),
        ("no last chunk", with(""), false),
        ("events after the end", with(&format!("{done}0\r\n\r\n")), true),
        ("an answer after the end", with("0\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"), false),
        ("broken chunks after the end", with("zz\r\n"), false),
        ("without end after the end", with(&"1\r\n\n\r\n".repeat(100_000)), false),
    ] {
        wire.say(Say::Bytes(bytes));
        let mut client = lethe.client();
        let answer = client.post(CHAT, &chat("m", "Hello", r#","stream":true"#));
        assert!(answer.complete && answer.text().ends_with("data: [DONE]\n\n"), "{name}: {}", answer.text());
        wire.say(Say::Bytes(lethe_testkit::wire::answer(COMPLETION)));
        let opened = wire.connections().len();
        let next = client.post(CHAT, &chat("m", "Hello", ""));
        assert_eq!((next.status, next.json()["choices"][0]["message"]["content"].as_str()), (200, Some("Hi")), "{name}");
        assert_eq!(wire.connections().len() > opened, !reused, "{name}");
    }
}

#[test]
fn providers_that_never_end_hold_nothing() {
    let (wire, lethe) = start();
    nothing_grows(&lethe, || {
        for (first, rest, status) in [
            (&b"HTTP/1.1 200 OK\r\n"[..], &b"x: y\r\n"[..], 502),
            (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", 502),
            (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n5;", b"x", 502),
        ] {
            wire.say(Say::Forever(first.to_vec(), rest.to_vec()));
            let opened = wire.connections().len();
            assert_eq!(lethe.client().post(CHAT, &chat("m", "Hello", "")).status, status);
            assert!(wire.closed_within(opened, Duration::from_secs(2)), "its connection was closed");
        }
        wire.say(Say::Bytes(answer(COMPLETION)));
        serves_normally(&lethe, "m");
    });
}

/// How often `text` is in `bytes`.
fn count(bytes: &[u8], text: &[u8]) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text).count()
}
