//! The corpus of requests that mean two things (tests/corpus/requests), sent to a running Lethe.
//!
//! Each is answered as its case says; what reaches the provider is one whole request for each chat request that was served, byte by byte
//! what Lethe writes, with nothing of the client's head in it; and a connection that stays open is in step with its client.

use std::fs;
use std::path::Path;

use lethe_testkit::gauge::within;
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, Setup};
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use crate::{CHAT, RECOVERY, chat, head, post, serves_normally};

/// The fields that Lethe writes toward a provider, in order.
const FIELDS: [&str; 7] = ["host", "user-agent", "accept-encoding", "content-type", "accept", "authorization", "content-length"];

struct Case {
    name: String,
    rule: String,
    statuses: Vec<u16>,
    stays_open: bool,
    bytes: Vec<u8>,
}

fn corpus(lethe: &Lethe) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/requests");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the corpus").flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.retain(|path| path.extension().is_some_and(|ending| ending == "txt"));
    assert_eq!(files.len(), 5, "{files:?}");
    files.iter().flat_map(|path| cases(&fs::read_to_string(path).expect("a file of the corpus"), lethe)).collect()
}

fn cases(text: &str, lethe: &Lethe) -> Vec<Case> {
    let parse = |text: &str| {
        let mut lines = text.lines();
        let name = lines.next().expect("a name").to_owned();
        let rule =
            lines.next().and_then(|line| line.strip_prefix("rule ")).unwrap_or_else(|| panic!("{name}: no rule")).to_owned();
        let expect = lines.next().and_then(|line| line.strip_prefix("expect ")).unwrap_or_else(|| panic!("{name}: no outcome"));
        let mut words: Vec<&str> = expect.split(' ').collect();
        let stays_open = match words.pop() {
            Some("open") => true,
            Some("close") => false,
            other => panic!("{name}: {other:?}"),
        };
        let statuses = words.iter().map(|word| word.parse().expect("a status")).collect();
        let bytes = bytes(&lines.collect::<String>(), lethe);
        Case { name, rule, statuses, stays_open, bytes }
    };
    text.split("\n== ").skip(1).map(parse).collect()
}

/// The bytes that `text` stands for.
fn bytes(text: &str, lethe: &Lethe) -> Vec<u8> {
    let body = chat("m", "Hi", "");
    let key = format!("Authorization: Bearer {}\\r\\n", lethe.key());
    let json = format!("{key}Content-Type: application/json\\r\\n");
    let start = format!("POST {CHAT} HTTP/1.1\\r\\nHost: localhost\\r\\n{json}");
    let sized = |body: &str| format!("{start}Content-Length: {}\\r\\n\\r\\n{body}", unescape(body).len());
    let mut text = text.to_owned();
    while let Some((before, rest)) = text.split_once("{many ") {
        let (count, rest) = rest.split_once(' ').expect("a count");
        let (what, after) = rest.split_once('}').expect("an end");
        text = before.to_owned() + &what.repeat(count.parse().expect("a count")) + after;
    }
    if let Some(rest) = text.strip_prefix("{json-post ") {
        text = sized(rest.strip_suffix('}').expect("an end"));
    }
    for (name, value) in [
        ("{post}", start.clone()),
        ("{whole}", sized(&body)),
        ("{json}", json),
        ("{key}", key),
        ("{rest-hex}", format!("{:x}", body.len() - 1)),
        ("{rest}", body[1..].to_owned()),
        ("{body}", body.clone()),
        ("{length}", body.len().to_string()),
        ("{hex}", format!("{:x}", body.len())),
    ] {
        text = text.replace(name, &value);
    }
    unescape(&text)
}

fn unescape(text: &str) -> Vec<u8> {
    let (mut out, mut rest) = (Vec::new(), text.as_bytes());
    while let [byte, tail @ ..] = rest {
        let (value, used) = match (byte, tail) {
            (b'\\', [b'r', ..]) => (b'\r', 2),
            (b'\\', [b'n', ..]) => (b'\n', 2),
            (b'\\', [b't', ..]) => (b'\t', 2),
            (b'\\', [b'\\', ..]) => (b'\\', 2),
            (b'\\', [b'x', high, low, ..]) => {
                let digits = [*high, *low];
                (u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("digits"), 4)
            }
            (other, _) => (*other, 1),
        };
        out.push(value);
        rest = &rest[used..];
    }
    out
}

/// The requests that `bytes` consists of, each as Lethe writes one and whole, with nothing between or after them.
fn requests(mut bytes: &[u8]) -> Result<usize, String> {
    let mut count = 0;
    while !bytes.is_empty() {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").ok_or("a head without end")? + 4;
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "a head that is no text")?;
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        if lines.next() != Some("POST /v1/chat/completions HTTP/1.1") {
            return Err(format!("a start line that is not Lethe's: {head}"));
        }
        let fields: Vec<(&str, &str)> = lines.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
        if fields.iter().map(|(name, _)| *name).ne(FIELDS)
            || head.contains(['\n', '\r']) && head.replace("\r\n", "").contains(['\r', '\n'])
        {
            return Err(format!("fields that are not Lethe's: {head}"));
        }
        if fields[5].1 != format!("Bearer {PROVIDER_KEY}") {
            return Err("a credential that is not the operator's".to_owned());
        }
        let length: usize = fields[6].1.parse().map_err(|_| "a length that is none")?;
        let body = bytes.get(end..end + length).ok_or("a body without end")?;
        let parsed: serde_json::Value = serde_json::from_slice(body).map_err(|_| "a body that is no JSON")?;
        if parsed["model"] != "m" {
            return Err("a model that is not the route's".to_owned());
        }
        bytes = &bytes[end + length..];
        count += 1;
    }
    Ok(count)
}

#[test]
fn requests_that_mean_two_things_mean_one_or_none() {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], "head_seconds = 5\nbody_idle_seconds = 5").start();
    let cases = corpus(&lethe);
    assert!(cases.len() > 100, "{} cases", cases.len());
    let mut failed = Vec::new();
    let mut served = 0;
    for Case { name, rule, statuses, stays_open, bytes } in &cases {
        let mut client = lethe.client();
        client.raw(bytes);
        let mut seen = Vec::new();
        let mut closes = false;
        for _ in statuses {
            let Some(answer) = client.try_answer() else { break };
            closes = answer.headers.get("connection").map(String::as_str) == Some("close");
            seen.push(answer.status);
        }
        if seen != *statuses || closes == *stays_open {
            failed.push(format!("{name} ({rule}): {seen:?}, {}", if closes { "closes" } else { "stays open" }));
            continue;
        }
        // In step: the next answer is the next request's; or the end, and nothing that was smuggled is answered.
        client.raw(head(&lethe, "GET", "/v1/models/m", "").as_bytes());
        let next = client.try_answer().map(|answer| answer.text());
        if next.as_deref().map(|text| text.contains("\"id\":\"m\"")) != stays_open.then_some(true) {
            failed.push(format!("{name} ({rule}): then {next:?}"));
        }
        if bytes.windows(CHAT.len()).any(|window| window == CHAT.as_bytes()) {
            served += statuses.iter().filter(|status| **status == 200).count();
        }
    }
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
    // One request in is one request out.
    assert!(within(RECOVERY, || wire.requests() == served), "{} requests for {served}", wire.requests());
    let counted: usize = wire.connections().iter().map(|connection| requests(&connection.bytes).expect("whole requests")).sum();
    assert_eq!(counted, served);
    serves_normally(&lethe, "m");
}

/// The reader of the provider's bytes above can tell.
#[test]
fn the_check_of_what_is_sent_on_sees_what_is_wrong() {
    let body = r#"{"model":"m"}"#;
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nuser-agent: a\r\naccept-encoding: a\r\ncontent-type: a\r\naccept: a\r\nauthorization: Bearer {PROVIDER_KEY}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let one = head.clone() + body;
    assert_eq!(requests((one.clone() + &one).as_bytes()), Ok(2));
    for wrong in [
        one.clone() + "x",
        one.replace("accept: a", "accept: a\r\nx: y"),
        one.replace("accept: a", "accept: a\nx: y"),
        one.replace(PROVIDER_KEY, "lethe_key"),
        one.replace("\"m\"", "\"n\""),
        one.replace(body, ""),
        one.replace("POST", "GET"),
    ] {
        assert!(requests(wrong.as_bytes()).is_err(), "{wrong}");
    }
}

/// The same corpus cut into pieces of one to seven bytes: what is refused is refused, whatever the network makes of it.
#[test]
fn the_corpus_in_pieces_is_judged_alike() {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], "head_seconds = 5\nbody_idle_seconds = 5").start();
    for Case { name, statuses, bytes, .. } in corpus(&lethe).into_iter().filter(|case| case.bytes.len() < 2_000) {
        let mut client = lethe.client();
        for (turn, piece) in bytes.chunks(7).enumerate() {
            // One at a time now and then.
            if turn % 3 == 0 {
                piece.iter().for_each(|byte| client.raw(&[*byte]));
            } else {
                client.raw(piece);
            }
        }
        for status in statuses {
            assert_eq!(client.try_answer().map(|answer| answer.status), Some(status), "{name}");
        }
    }
    assert_eq!(lethe.client().post(CHAT, &chat("m", "Hi", "")).status, 200);
    assert!(!post(&lethe, "").is_empty());
}
