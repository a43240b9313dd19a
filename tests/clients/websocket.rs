//! A WebSocket is asked for at any path: it is refused by name, in the form in which errors stand there.

use lethe_testkit::lethe::Setup;
use serde_json::Value;

const HANDSHAKE: &[(&str, &str)] = &[
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn clients_that_ask_for_a_websocket_are_told_that_there_is_none() {
    let lethe = Setup::engine().start();
    // Browsers cannot send a key in a handshake.
    for (stranger, mut client) in [(false, lethe.client()), (true, lethe.stranger())] {
        for (path, code) in [
            ("/v1/responses", "/error/code"),
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
