//! After every kind of answer a connection either serves the next request or has said that it closes, and does.

use std::time::{Duration, Instant};

use lethe_testkit::lethe::{Lethe, Setup, model_table};
use lethe_testkit::provider::{MODELS, Provider, closed_port};
use lethe_testkit::wire::{COMPLETION, Say, Wire, answer};

use crate::{CHAT, chat, head, post, serves_normally};

/// What the connection says after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Closes,
    GoesOn,
}
use Then::{Closes, GoesOn};

struct Case {
    name: &'static str,
    request: Vec<u8>,
    status: u16,
    then: Then,
}

fn cases(lethe: &Lethe) -> Vec<Case> {
    let ok = chat("ok", "Hello", "");
    let with =
        |fields: &str| (head(lethe, "POST", CHAT, &format!("content-length: {}\r\n{fields}", ok.len())) + &ok).into_bytes();
    let get = |path: &str| head(lethe, "GET", path, "").into_bytes();
    let ask = |model: &str, more: &str| post(lethe, &chat(model, "Hello", more)).into_bytes();
    let without_type =
        |text: Vec<u8>| String::from_utf8(text).expect("text").replace("content-type: application/json\r\n", "").into_bytes();
    let body = |body: &str| post(lethe, body).into_bytes();
    let chunked = |chunks: &str| (head(lethe, "POST", CHAT, "transfer-encoding: chunked\r\n") + chunks).into_bytes();
    let key = |request: Vec<u8>, other: &str| String::from_utf8(request).expect("text").replace(lethe.key(), other).into_bytes();
    let case = |name, request, status, then| Case { name, request, status, then };
    vec![
        case("success", ask("ok", ""), 200, GoesOn),
        case("success, closing", with("connection: close\r\n"), 200, Closes),
        case("success, chunked", chunked(&format!("{:x}\r\n{ok}\r\n0\r\nx-trailer: y\r\n\r\n", ok.len())), 200, GoesOn),
        case("no key", key(with(""), ""), 401, GoesOn),
        case("wrong key", key(with(""), "lethe_wrong"), 401, GoesOn),
        case("wrong key, chunked", key(chunked("0\r\n\r\n"), "lethe_wrong"), 401, Closes),
        case(
            "wrong key, large body not sent",
            key(head(lethe, "POST", CHAT, "content-length: 100000\r\n").into_bytes(), "no"),
            401,
            Closes,
        ),
        case("two keys", with("authorization: Bearer x\r\n"), 401, GoesOn),
        case("unknown endpoint", get("/v1/nothing"), 404, GoesOn),
        case(
            "unknown endpoint, with a body",
            String::from_utf8(with("")).expect("text").replace(CHAT, "/v1/no").into_bytes(),
            404,
            GoesOn,
        ),
        case("unknown model", ask("none", ""), 404, GoesOn),
        case("method", head(lethe, "DELETE", "/v1/models", "").into_bytes(), 405, GoesOn),
        case("retention conflict", ask("ok", r#","store":true"#), 400, GoesOn),
        case(
            "conflict by path",
            head(lethe, "POST", "/v1/files", "content-length: 2\r\n").into_bytes().into_iter().chain(*b"{}").collect(),
            400,
            GoesOn,
        ),
        case("query", get("/v1/models?a=b"), 400, GoesOn),
        case("refused header", with("openai-beta: x\r\n"), 400, GoesOn),
        case("unknown field", ask("ok", r#","x":1"#), 400, GoesOn),
        case("no JSON", body("{"), 400, GoesOn),
        case("no body", body(""), 400, GoesOn),
        case("media type", with("content-encoding: gzip\r\n"), 415, GoesOn),
        case("no media type", without_type(with("")), 415, GoesOn),
        case("two media types", with("content-type: text/plain\r\n"), 415, GoesOn),
        case("too large, announced", head(lethe, "POST", CHAT, "content-length: 5000000\r\n").into_bytes(), 413, Closes),
        case("broken chunks", chunked("zz\r\n"), 400, Closes),
        case("broken chunk end", chunked("5\r\nhelloXX0\r\n\r\n"), 400, Closes),
        case("two lengths", with("content-length: 3\r\n"), 400, Closes),
        case("chunks that do not come", chunked(""), 408, Closes),
        case("coding that is not known", head(lethe, "POST", CHAT, "transfer-encoding: gzip\r\n").into_bytes(), 501, Closes),
        case("expectation", with("expect: x\r\n"), 417, Closes),
        case("version", b"GET /v1/models HTTP/3.0\r\nhost: a\r\n\r\n".to_vec(), 505, Closes),
        case("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n".to_vec(), 400, Closes),
        case("long target", get(&format!("/{}", "x".repeat(9000))), 414, Closes),
        case("large head", head(lethe, "GET", "/v1/models", &format!("x: {}\r\n", "y".repeat(40_000))).into_bytes(), 431, Closes),
        case("many fields", head(lethe, "GET", "/v1/models", &"a: b\r\n".repeat(120)).into_bytes(), 431, Closes),
        case("head that stops", b"GET /v1/models HTTP/1.1\r\nhost: a\r\n".to_vec(), 408, Closes),
        case(
            "body that stops",
            head(lethe, "POST", CHAT, "content-length: 100\r\n").into_bytes().into_iter().chain(*b"{").collect(),
            408,
            Closes,
        ),
        case("provider refuses the credential", ask("e401", ""), 502, GoesOn),
        case("provider limits", ask("e429", ""), 429, GoesOn),
        case("provider fails", ask("e500", ""), 500, GoesOn),
        case("provider echoes", ask("error-echo", ""), 400, GoesOn),
        case("provider quotes the credential", ask("error-key", ""), 400, GoesOn),
        case("provider is none", ask("html", ""), 502, GoesOn),
        case("provider speaks no HTTP", ask("not-http", ""), 502, GoesOn),
        case("provider cuts", ask("cut-body", ""), 502, GoesOn),
        case("provider is down", ask("down", ""), 502, GoesOn),
        case("provider is silent", ask("hang", ""), 504, GoesOn),
        case("provider closes after it", ask("close-after", ""), 200, GoesOn),
    ]
}

fn start(provider: &Provider) -> Lethe {
    let limits = "head_seconds = 1\nbody_idle_seconds = 1\nmax_body_mib = 4";
    let mut setup = Setup::plain(provider.address.port(), MODELS, limits);
    let secret = setup.folder().join("provider-key").display().to_string();
    let down =
        lethe_testkit::lethe::provider_table("down", &format!("http://localhost:{}/v1", closed_port().port()), "", &secret);
    let more = down.replace("ca = \"\"\n", "") + &model_table("down", "down", "ok");
    setup.config = setup.config.map(|config| config + &more);
    setup.start()
}

#[test]
fn a_connection_serves_the_next_request_or_has_said_that_it_closes() {
    let provider = Provider::start(None);
    let lethe = start(&provider);
    for Case { name, request, status, then } in cases(&lethe) {
        let mut client = lethe.client();
        client.raw(&request);
        let answer = client.answer();
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let closes = answer.headers.get("connection").map(String::as_str) == Some("close");
        assert_eq!(if closes { Closes } else { GoesOn }, then, "{name}");
        if closes {
            let start = Instant::now();
            client.raw(head(&lethe, "GET", "/v1/models/ok", "").as_bytes());
            assert!(client.try_answer().is_none(), "{name}: nothing comes after the end");
            assert!(start.elapsed() < Duration::from_secs(4), "{name}: closed after {:?}", start.elapsed());
        } else {
            let next = client.get("/v1/models/ok");
            assert_eq!(
                (next.status, next.json()["id"].as_str()),
                (200, Some("ok")),
                "{name}: the next answer is the next request's"
            );
        }
    }
    // The same without waiting: whatever goes on is answered in order when the next request is there already.
    for Case { name, request, status, then } in cases(&lethe).into_iter().filter(|case| case.then == GoesOn) {
        let mut client = lethe.client();
        client.raw(&[request.as_slice(), head(&lethe, "GET", "/v1/models/no-done", "").as_bytes()].concat());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{name}, {then:?}");
        let next = client.answer();
        assert_eq!((next.status, next.json()["id"].as_str()), (200, Some("no-done")), "{name}: in order");
    }
    serves_normally(&lethe, "ok");
}

#[test]
fn an_answer_to_head_has_no_body() {
    let provider = Provider::start(None);
    let lethe = start(&provider);
    let mut client = lethe.client();
    for path in ["/v1/models", "/v1/models/ok", "/v1/nothing", CHAT] {
        client.raw(head(&lethe, "HEAD", path, "").as_bytes());
        client.raw(head(&lethe, "GET", "/v1/models/ok", "").as_bytes());
        let first = client.head_only();
        assert!([400, 404, 405].contains(&first), "{path}: {first}");
        assert_eq!(client.answer().json()["id"], "ok", "{path}: what follows the head is the next answer");
    }
}

/// Two, and fifty, requests in one write, with errors in the middle: answered in order, each with its own.
#[test]
fn pipelined_requests_are_answered_in_order() {
    let wire = Wire::start(Say::Bytes(answer(COMPLETION)));
    let lethe = Setup::plain(wire.address.port(), &["m"], "").start();
    let ok = post(&lethe, &chat("m", "Hello", ""));
    let streamed = post(&lethe, &chat("m", "Hello", r#","store":true"#));
    let unknown = post(&lethe, &chat("none", "Hello", ""));
    let bad = post(&lethe, "{");
    let model = head(&lethe, "GET", "/v1/models/m", "");
    let kinds = [(&ok, 200), (&unknown, 404), (&model, 200), (&bad, 400), (&ok, 200), (&streamed, 400)];
    for count in [2, 50] {
        let all: Vec<_> = kinds.iter().cycle().take(count).collect();
        let bytes: String = all.iter().map(|(request, _)| request.as_str()).collect();
        let mut client = lethe.client();
        client.raw(bytes.as_bytes());
        for (number, (_, status)) in all.iter().enumerate() {
            let answer = client.answer();
            assert_eq!(answer.status, *status, "number {number} of {count}: {}", answer.text());
        }
        assert_eq!(client.get("/v1/models/m").status, 200, "and goes on");
        // A byte at a time it is the same.
        let mut client = lethe.client();
        for byte in bytes.as_bytes().iter().take(2_000) {
            client.raw(&[*byte]);
        }
        client.raw(&bytes.as_bytes()[bytes.len().min(2_000)..]);
        for (_, status) in &all {
            assert_eq!(client.answer().status, *status);
        }
    }
    let asked = kinds.iter().cycle().take(50).filter(|(request, _)| **request == ok).count();
    assert_eq!(wire.requests(), 2 * (asked + 1), "each reaches the provider once");
    // An error that ends the connection ends it: what was sent ahead is not served.
    let mut client = lethe.client();
    client.raw((ok.clone() + "BAD\r\n\r\n" + &ok).as_bytes());
    assert_eq!(client.answer().status, 200);
    let last = client.answer();
    assert_eq!((last.status, last.headers.get("connection").map(String::as_str)), (400, Some("close")));
    assert!(client.try_answer().is_none());
    assert_eq!(wire.requests(), 2 * (asked + 1) + 1, "nothing behind the error was served");
}
