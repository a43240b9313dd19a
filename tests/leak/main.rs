//! Canaries through every outcome of a request, TLS on both legs, then nothing of them anywhere: not in a file, not in the
//! database, not in anything printed, and not in the memory of any process two seconds after the answer, with the connection
//! still open. The same scanner must find a canary that is put into each of these places on purpose.

mod formats;
mod operations;
mod places;
mod providers;
mod rows;
mod websocket;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use lethe_testkit::canary::Canary;
use lethe_testkit::client::Client;
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY, Setup};
use lethe_testkit::pki::Pki;
use lethe_testkit::provider::Provider;
use lethe_testkit::scan::Scanner;

use crate::places::{memory, memory_is_readable, sinks};

const CHAT: &str = "/v1/chat/completions";
/// How long after an answer nothing of it may be left.
const GRACE: Duration = Duration::from_secs(2);
/// The trigger of the test-only executable.
const PANIC: &str = "lethe-fault-injection-panic";

fn chat(model: &str, prompt: &Canary, more: &str) -> String {
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"system","content":"{0} {0}"}},{{"role":"user","content":"Say {0}"}}]{more}}}"#,
        prompt.value
    )
}

/// Canaries of one run, by where they are put.
struct Run {
    canaries: Vec<Canary>,
    /// Connections that are to be shown open after the scan.
    open: Vec<(&'static str, Client)>,
}

impl Run {
    fn canary(&mut self, label: &str) -> Canary {
        let canary = Canary::new(label);
        self.canaries.push(canary.clone());
        canary
    }
}

fn outcomes(lethe: &Lethe, provider: &Provider, run: &mut Run) {
    let reply = run.canary("completion");
    provider.set_reply(&format!("{0} and {0}", reply.value));
    let stream = r#","stream":true"#;
    for (label, model, more, status) in [
        ("success", "ok", "", 200),
        ("success, tools", "ok", r#","tools":[{"type":"function","function":{"name":"f","description":"CANARY"}}]"#, 200),
        ("stream", "ok", stream, 200),
        ("stream, usage", "ok", r#","stream":true,"stream_options":{"include_usage":true}"#, 200),
        ("provider error", "error-echo", "", 400),
        ("provider error, stream", "error-echo", stream, 400),
        ("provider error, credential", "error-key", "", 400),
        ("provider html", "html-error", "", 502),
        ("provider broken json", "bad-json", "", 502),
        ("validation error", "ok", r#","store":true"#, 400),
        ("unknown field", "ok", r#","CANARY":1"#, 400),
        ("unknown model", "none-such", "", 404),
        ("broken json", "ok", "}", 400),
        ("provider cut", "cut-body", "", 502),
    ] {
        let canary = run.canary(label);
        let mut client = lethe.client();
        let answer = client.post(CHAT, &chat(model, &canary, &more.replace("CANARY", &canary.value)));
        assert_eq!(answer.status, status, "{label}: {}", answer.text());
        if label == "success" || label == "stream" {
            assert!(answer.text().contains(&reply.value[..8]), "{label}: the completion's canary passed");
        }
        run.open.push((label, client));
    }
    // A large prompt, over many TLS records and buffers.
    let canary = run.canary("large");
    let large = chat("ok", &Canary { label: String::new(), value: format!("{} ", canary.value).repeat(8_000) }, "");
    let mut client = lethe.client();
    assert_eq!(client.post(CHAT, &large).status, 200);
    run.open.push(("large", client));
    // Embeddings.
    let canary = run.canary("embeddings");
    let mut client = lethe.client();
    assert_eq!(client.post("/v1/embeddings", &format!(r#"{{"model":"ok-embed","input":["{}"]}}"#, canary.value)).status, 200);
    run.open.push(("embeddings", client));
    // A key, a header, a path and a query that somebody puts content into.
    for (label, path, header) in
        [("path", "/v1/CANARY", ""), ("query", "/v1/models?q=CANARY", ""), ("header", "/v1/models", "CANARY")]
    {
        let canary = run.canary(label);
        let mut client = lethe.client();
        client.send("GET", &path.replace("CANARY", &canary.value), &[("x-note", &header.replace("CANARY", &canary.value))], b"");
        client.answer();
        run.open.push((label, client));
    }
    let canary = run.canary("wrong key");
    assert_eq!(lethe.stranger().with_key(&canary.value).get("/v1/models").status, 401);
    // Outcomes that end the connection.
    for (label, model) in [("cut stream", "cut-stream"), ("broken events", "bad-sse"), ("hanging stream", "hang-stream")] {
        let canary = run.canary(label);
        let answer = lethe.client().post(CHAT, &chat(model, &canary, stream));
        assert!(!answer.complete, "{label}");
    }
    let canary = run.canary("client gone");
    let mut client = lethe.client();
    client.send("POST", CHAT, &[("content-type", "application/json")], chat("hang-stream", &canary, stream).as_bytes());
    client.wait_for("data: ");
    drop(client);
    let canary = run.canary("client gone in its own body");
    let mut client = lethe.client();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n",
        lethe.key()
    );
    client.raw(format!("{head}{}", canary.value).as_bytes());
    drop(client);
}

/// One run over every outcome, with what is found where.
fn run(as_ordinary_user: bool) {
    let pki = Pki::new();
    let provider = Provider::start(Some(pki.server()));
    let mut setup = Setup::provider(&provider, &pki);
    setup.as_ordinary_user = as_ordinary_user;
    setup.fault_injection = true;
    let lethe = setup.start();
    let mut run = Run { canaries: Vec::new(), open: Vec::new() };
    outcomes(&lethe, &provider, &mut run);

    // A panic that formats the prompt on purpose.
    let canary = run.canary("panic");
    let answer = {
        let mut client = lethe.client();
        client.send(
            "POST",
            CHAT,
            &[("content-type", "application/json")],
            chat("ok", &canary, &format!(r#","stop":"{PANIC}""#)).as_bytes(),
        );
        client.try_answer()
    };
    assert!(answer.is_none(), "the panic ended its connection");

    std::thread::sleep(GRACE);
    let mut scanned = run.canaries.clone();
    let credential = Canary { label: "credential".into(), value: PROVIDER_KEY[PROVIDER_KEY.len() - 32..].to_owned() };
    scanned.push(credential.clone());
    let mut in_memory = memory(&lethe, &Scanner::new(&scanned));
    // The provider's credential is control's to keep; the gateway has it in secret memory, where nobody can read it.
    let held: Vec<String> = in_memory.extract_if(.., |found| found.contains(":credential@")).collect();
    assert!(held.iter().any(|found| found.starts_with("control:")), "control: the scanner knows the credential: {held:?}");
    assert!(held.iter().all(|found| found.starts_with("control:") || found.starts_with("supervisor:")), "{held:?}");
    assert_eq!(in_memory, BTreeSet::new(), "canaries in memory");
    memory_is_readable(&lethe);
    for (label, mut client) in run.open {
        let answer = client.get("/v1/models");
        assert_eq!(answer.status, 200, "{label}: the connection was open all the time");
    }
    let scanner = Scanner::new(&run.canaries);
    assert_eq!(sinks(&lethe, &scanner), BTreeSet::new(), "canaries in files");
    for arguments in [["records", "--json"], ["posture", "--json"], ["key", "list"]] {
        let output = lethe.run(&arguments);
        assert_eq!(scanner.bytes(&output.stdout), BTreeSet::new());
        assert_eq!(scanner.bytes(&output.stderr), BTreeSet::new());
    }
    assert!(lethe.printed().contains("gateway"), "the panic was reported, without what it said: {}", lethe.printed());

    controls(&lethe, &provider);
}

/// The same scanner finds a canary in each of the same places.
fn controls(lethe: &Lethe, provider: &Provider) {
    // Memory: while a request is open its prompt is in the gateway, and is found there.
    let canary = Canary::new("open request");
    let scanner = Scanner::new(std::slice::from_ref(&canary));
    let asked = provider.seen().len();
    let mut client = lethe.client();
    client.send("POST", CHAT, &[("content-type", "application/json")], chat("hang", &canary, "").as_bytes());
    assert!(provider.seen_within(asked + 1, Duration::from_secs(5)));
    let found = memory(lethe, &scanner);
    assert!(found.iter().any(|find| find.starts_with("gateway:")), "control: an open request is in the gateway's memory");
    assert!(found.iter().all(|find| find.starts_with("gateway:")), "and in no other process's: {found:?}");
    drop(client);

    // The database with its log: an operator's note on a key is kept, and is found there.
    let canary = Canary::new("database");
    let scanner = Scanner::new(std::slice::from_ref(&canary));
    assert!(lethe.run(&["key", "create", "--name", &canary.value]).status.success());
    let found = sinks(lethe, &scanner);
    assert!(found.iter().any(|find| find.contains("control.db")), "control: the database is searched: {found:?}");

    // Files in the state folder and in the temporary folders.
    for folder in [lethe.state.as_path(), Path::new("/tmp"), Path::new("/var/tmp"), Path::new("/dev/shm")] {
        let canary = Canary::new("planted file");
        let mut file = tempfile::NamedTempFile::new_in(folder).unwrap();
        file.write_all(&[vec![b'.'; 3 << 20], canary.value.clone().into_bytes()].concat()).unwrap();
        let found = sinks(lethe, &Scanner::new(&[canary]));
        assert!(!found.is_empty(), "control: {} is searched", folder.display());
    }

    // What is printed.
    let canary = Canary::new("printed");
    let output = lethe.folder().join("output");
    fs::OpenOptions::new().append(true).open(&output).unwrap().write_all(canary.value.as_bytes()).unwrap();
    let found = sinks(lethe, &Scanner::new(&[canary]));
    assert!(!found.is_empty(), "control: what is printed is searched");
}

#[test]
fn nothing_is_left_of_any_outcome_started_as_root() {
    run(false);
}

#[test]
fn nothing_is_left_of_any_outcome_started_by_an_ordinary_user() {
    run(true);
}

#[test]
fn the_embedded_engine_keeps_nothing() {
    let lethe = Setup::engine().start();
    let mut run = Run { canaries: Vec::new(), open: Vec::new() };
    for (label, more, status) in [
        ("engine", r#","max_tokens":8"#, 200),
        ("engine, stream", r#","max_tokens":8,"stream":true"#, 200),
        ("engine, wrong type", r#","max_tokens":"CANARY""#, 400),
        ("engine, unsupported", r#","max_tokens":8,"n":2"#, 400),
    ] {
        let canary = run.canary(label);
        let mut client = lethe.client();
        let answer = client.post(CHAT, &chat("smollm2-135m-instruct", &canary, &more.replace("CANARY", &canary.value)));
        assert_eq!(answer.status, status, "{label}: {}", answer.text());
        run.open.push((label, client));
    }
    // More at once than the engine computes: while one waits its prompt is in the engine, and is found there. (Of one that is being
    // answered only token numbers are left.)
    let mut clients = Vec::new();
    for number in 0..6 {
        let canary = run.canary(&format!("engine, client gone {number}"));
        let mut client = lethe.client();
        let body = chat("smollm2-135m-instruct", &canary, r#","stream":true,"max_tokens":400"#);
        client.send("POST", CHAT, &[("content-type", "application/json")], body.as_bytes());
        clients.push(client);
    }
    let scanner = Scanner::new(&run.canaries);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !memory(&lethe, &scanner).iter().any(|find| find.starts_with("engine:")) {
        assert!(Instant::now() < deadline, "control: a waiting prompt is in the engine's memory");
    }
    drop(clients);

    std::thread::sleep(GRACE);
    assert_eq!(memory(&lethe, &scanner), BTreeSet::new(), "canaries in memory");
    memory_is_readable(&lethe);
    for (label, mut client) in run.open {
        assert_eq!(client.get("/v1/models").status, 200, "{label}: the connection was open all the time");
    }
    assert_eq!(sinks(&lethe, &scanner), BTreeSet::new(), "canaries in files");
}
