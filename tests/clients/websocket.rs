//! Responses over WebSocket: clients as their makers ship them, to a provider of the same format and to one of another; and where there is no
//! WebSocket, a handshake is refused by name, in the form in which errors stand there.

use std::time::{Duration, Instant};

use lethe_testkit::lethe::Setup;
use lethe_testkit::provider::Provider;
use lethe_testkit::websocket::{HANDSHAKE, WebSocket, error_code, text};
use serde_json::{Value, json};

use crate::through::{Client, Language, OPENAI, SCRIPTED, Target, lethe, through};

const CLIENTS: &[Client] = &[
    (Language::Python, "with_openai_websocket", "text tools errors handshakes"),
    (Language::Node, "with_openai_websocket", "text tools errors"),
];

#[test]
fn clients_through_websocket_to_openai() {
    through(&OPENAI, CLIENTS);
}

#[test]
fn clients_through_websocket_to_anthropic() {
    through(
        &Target { dialect: "anthropic", path: "", lines: "", models: SCRIPTED, cached: 4, others: &[], without: "" },
        CLIENTS,
    );
}

/// Each message is one request, with all that belongs to one: its record, the key as it is in force then, and nothing of the one before.
#[test]
fn each_message_is_a_request_of_its_own() {
    let provider = Provider::start(None);
    let lethe = lethe(&provider, &OPENAI);
    let made = lethe.json(&["key", "create", "--name", "to-be-revoked", "--json"]);
    let (key, id) = (made[0]["key"].as_str().expect("a key").to_owned(), made[0]["id"].to_string());
    let mut socket = WebSocket::open(lethe.stranger().with_key(&key), "/v1/responses", &[("lethe-provider", "openai")]);
    let ask = |what: &str, input: &str| json!({"model": format!("openai-{what}"), "input": input});
    socket.create(ask("text", "first"));
    assert_eq!(text(&socket.answer()), "Hello from the provider.");
    socket.create(ask("text", "second"));
    assert_eq!(text(&socket.answer()), "Hello from the provider.");
    let seen = provider.last();
    assert_eq!(seen.body["stream"], true, "an ordinary streamed request");
    assert!(seen.body.get("type").is_none() && !seen.body.to_string().contains("first"), "{}", seen.body);
    socket.send("{\"type\":\"response.create\"");
    assert_eq!(error_code(&socket.answer()), "invalid_json");
    let statuses: Vec<_> =
        lethe.records(3).iter().map(|record| (record["operation"].clone(), record["status"].clone())).collect();
    assert_eq!(statuses, [("responses".into(), 200.into()), ("responses".into(), 200.into()), ("responses".into(), 400.into())]);

    assert!(lethe.run(&["key", "revoke", &id]).status.success());
    let deadline = Instant::now() + Duration::from_secs(1);
    loop {
        socket.create(ask("text", "again"));
        let events = socket.answer();
        if events[0]["type"] == "error" {
            assert_eq!((error_code(&events).as_str(), &events[0]["status"]), ("invalid_api_key", &json!(401)));
            break;
        }
        assert!(Instant::now() < deadline, "a revoked key still serves after a second");
    }
    assert_eq!(socket.closed(), Some(1008));
}

#[test]
fn handshakes_that_are_none_are_answered_as_requests() {
    let provider = Provider::start(None);
    let lethe = lethe(&provider, &OPENAI);
    let without = |name: &str| HANDSHAKE.iter().copied().filter(|(field, _)| *field != name).collect::<Vec<_>>();
    let with = |name: &'static str, value: &'static str| [without(name), vec![(name, value)]].concat();
    for (what, fields, path, status, code) in [
        ("version", with("sec-websocket-version", "8"), "/v1/responses", 426, "unsupported_websocket_version"),
        ("no version", without("sec-websocket-version"), "/v1/responses", 426, "unsupported_websocket_version"),
        ("key", with("sec-websocket-key", "c2hvcnQ="), "/v1/responses", 400, "bad_handshake"),
        ("no key", without("sec-websocket-key"), "/v1/responses", 400, "bad_handshake"),
        ("connection", with("connection", "keep-alive"), "/v1/responses", 400, "bad_handshake"),
        ("query", HANDSHAKE.to_vec(), "/v1/responses?model=m", 400, "query_not_accepted"),
        ("a key in the URL", HANDSHAKE.to_vec(), "/v1/responses?key=k", 400, "query_not_accepted"),
        ("beta", [HANDSHAKE, &[("openai-beta", "realtime=v1")]].concat(), "/v1/responses", 400, "unsupported_header"),
        ("region", [HANDSHAKE, &[("lethe-region", "eu, us")]].concat(), "/v1/responses", 400, "unsupported_header"),
    ] {
        let mut client = lethe.client();
        client.send("GET", path, &fields, b"");
        let answer = client.answer();
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{what}: {}", answer.text());
        let offered = answer.headers.get("sec-websocket-version").map(String::as_str);
        assert_eq!(offered, (status == 426).then_some("13"), "{what}");
        assert_eq!(client.get("/v1/models").status, 200, "{what}: it still speaks HTTP");
    }
    for (client, code) in [(lethe.stranger(), "missing_api_key"), (lethe.stranger().with_key("lethe_wrong"), "invalid_api_key")] {
        let Err((answer, mut client)) = WebSocket::try_open(client, "/v1/responses", &[]) else {
            panic!("{code}: it was let in")
        };
        assert_eq!((answer.status, answer.code().as_str()), (401, code));
        assert_eq!(client.get("/v1/models").status, 401);
    }
    // Control, at both paths, and as those name the mode who do.
    for path in ["/v1/responses", "/responses"] {
        let mut socket = WebSocket::open(lethe.client(), path, &[("openai-beta", "responses_websockets=2026-02-06")]);
        socket.create(json!({"model": "openai-text", "input": "Hello"}));
        assert_eq!(text(&socket.answer()), "Hello from the provider.");
    }
}

#[test]
fn clients_that_ask_for_a_websocket_elsewhere_are_told_that_there_is_none() {
    let lethe = Setup::engine().start();
    // Browsers cannot send a key in a handshake.
    for (stranger, mut client) in [(false, lethe.client()), (true, lethe.stranger())] {
        for (path, code) in [
            ("/v1/realtime?model=gpt-realtime", "/error/code"),
            ("/v1/chat/completions", "/error/code"),
            ("/v1/messages", "/error/code"),
            ("/v1beta/models/m:streamGenerateContent?alt=sse", "/error/details/0/reason"),
            ("/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent", "/error/code"),
            ("/", "/error/code"),
        ] {
            client.send("GET", path, HANDSHAKE, b"");
            let answer = client.answer();
            let said = answer.json();
            assert_eq!(answer.status, 400, "{path} stranger={stranger}: {said}");
            assert_eq!(said.pointer(code).and_then(Value::as_str), Some("websocket_not_supported"), "{path}: {said}");
        }
        // The connection is not upgraded, and serves the next request.
        assert_eq!(client.get("/v1/models").status, if stranger { 401 } else { 200 });
    }
}
