//! What clients can do wrong. Each gets a clear error with a stable code, and the connection goes on where it can.

use lethe_testkit::client::Answer;

use crate::{CHAT, chat, pair};

fn post(body: &str) -> Answer {
    pair().lethe.client().post(CHAT, body)
}

fn refused(answer: &Answer, status: u16, code: &str, param: Option<&str>) {
    assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
    assert_eq!(answer.json()["error"]["param"].as_str(), param, "{}", answer.text());
    assert_eq!(answer.headers.get("cache-control").map(String::as_str), Some("no-store"));
    let message = answer.json()["error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(message.len() > 15, "an error says what to do: {message}");
}

#[test]
fn keys_missing_wrong_and_revoked() {
    let lethe = &pair().lethe;
    refused(&lethe.stranger().post(CHAT, &chat("ok", "")), 401, "missing_api_key", None);
    refused(&lethe.stranger().with_key("lethe_wrong").post(CHAT, &chat("ok", "")), 401, "invalid_api_key", None);
    refused(&lethe.stranger().get("/v1/models"), 401, "missing_api_key", None);
    let made = lethe.json(&["key", "create", "--name", "to-be-revoked", "--json"]);
    let (key, id) = (made[0]["key"].as_str().unwrap().to_owned(), made[0]["id"].to_string());
    let mut client = lethe.stranger().with_key(&key);
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200, "control: it is in force");
    assert!(lethe.run(&["key", "revoke", &id]).status.success());
    // In force within a second of the command's end: asked again until then on the same connection.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(1);
    loop {
        let answer = client.post(CHAT, &chat("ok", ""));
        if answer.status == 401 {
            return refused(&answer, 401, "invalid_api_key", None);
        }
        assert!(std::time::Instant::now() < deadline, "a revoked key still serves after a second");
    }
}

#[test]
fn models_unknown_and_of_another_operation() {
    refused(&post(&chat("nothing", "")), 404, "model_not_found", Some("model"));
    refused(&post(&chat("ok-embed", "")), 400, "unsupported_operation", Some("model"));
    refused(&pair().lethe.client().get("/v1/models/nothing"), 404, "model_not_found", Some("model"));
    assert_eq!(pair().lethe.client().get("/v1/models/ok").json()["id"], "ok", "control");
}

#[test]
fn bodies_that_are_none() {
    refused(&post("{"), 400, "invalid_json", None);
    refused(&post("[1]"), 400, "wrong_type", Some("body"));
    refused(&post(&chat("ok", "}")), 400, "invalid_json", None);
    refused(
        &post(&format!(r#"{{"model":"ok","messages":{}1{}}}"#, "[".repeat(97), "]".repeat(97))),
        400,
        "wrong_type",
        Some("messages"),
    );
    refused(
        &post(&format!(
            r#"{{"model":"ok","messages":[],"tools":[{{"type":"function","x":{}1{}}}]}}"#,
            "[".repeat(97),
            "]".repeat(97)
        )),
        400,
        "json_too_deep",
        None,
    );
    refused(&post(r#"{"messages":[]}"#), 400, "missing_field", Some("model"));
    refused(&post(r#"{"model":"ok"}"#), 400, "missing_field", Some("messages"));
    refused(&post(r#"{"model":7,"messages":[]}"#), 400, "wrong_type", Some("model"));
    let mut client = pair().lethe.client();
    let invalid = [br#"{"model":"ok","messages":[{"role":"user","content":""#.as_slice(), b"\xff\xfe", br#""}]}"#].concat();
    client.send("POST", CHAT, &[("content-type", "application/json")], &invalid);
    refused(&client.answer(), 400, "invalid_utf8", None);
    assert_eq!(client.post(CHAT, &chat("ok", "")).status, 200, "the connection goes on");
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"] {
        client.send("POST", CHAT, &[("content-type", content_type)], chat("ok", "").as_bytes());
        refused(&client.answer(), 415, "unsupported_media_type", None);
    }
    client.send("POST", CHAT, &[("content-type", "application/json"), ("content-encoding", "gzip")], chat("ok", "").as_bytes());
    refused(&client.answer(), 415, "unsupported_media_type", None);
    client.send("POST", CHAT, &[("content-type", "application/json; charset=utf-8")], chat("ok", "").as_bytes());
    assert_eq!(client.answer().status, 200, "control");
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let lethe = &pair().lethe;
    let mut client = lethe.client();
    // Announced and never sent: the answer comes all the same.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 1073741824\r\n\r\n",
        lethe.key()
    );
    client.raw(head.as_bytes());
    refused(&client.answer(), 413, "body_too_large", None);
    // Chunked, without a length: refused when it is reached.
    let mut client = lethe.client();
    let head = head.replace("content-length: 1073741824", "transfer-encoding: chunked");
    client.raw(head.as_bytes());
    let chunk = format!("{:x}\r\n{}\r\n", 1 << 20, "x".repeat(1 << 20));
    for _ in 0..5 {
        client.raw(chunk.as_bytes());
    }
    refused(&client.answer(), 413, "body_too_large", None);
    // Just below the limit of this configuration (4 MiB).
    let large = format!(r#"{{"model":"ok","messages":[{{"role":"user","content":"{}"}}]}}"#, "y".repeat((4 << 20) - 200));
    assert_eq!(post(&large).status, 200, "control");
}

#[test]
fn what_would_be_kept_is_refused_with_the_way_out() {
    for (more, field) in [
        (r#","store":true"#, "store"),
        (r#","STORE":true"#, "store"),
        (r#","\u0073tore":true"#, "store"),
        (r#","metadata":{"a":"b"}"#, "metadata"),
        (r#","previous_response_id":"r""#, "previous_response_id"),
        (r#","background":true"#, "background"),
        (r#","prompt_cache_retention":"24h""#, "prompt_cache_retention"),
        (r#","modalities":["text","audio"]"#, "modalities"),
    ] {
        refused(&post(&chat("ok", more)), 400, "zero_retention_conflict", Some(field));
    }
    let part = |part: &str| format!(r#"{{"model":"ok","messages":[{{"role":"user","content":[{part}]}}]}}"#);
    let file = part(r#"{"type":"file","file":{"file_id":"f"}}"#);
    refused(&post(&file), 400, "zero_retention_conflict", Some("messages.content.file.file_id"));
    let image = part(r#"{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}"#);
    refused(&post(&image), 400, "zero_retention_conflict", Some("messages.content.image_url.url"));
    for (more, code, param) in [
        (r#","persist":true"#, "unknown_field", "persist"),
        (r#","Temperature":1"#, "unknown_field", "Temperature"),
        (r#","stream":false,"\u0073tream":true"#, "duplicate_field", "stream"),
        (r#","store":false,"Store":false"#, "duplicate_field", "Store"),
        (r#","tools":[{"type":"mcp","server_url":"https://example.com"}]"#, "unknown_tool_type", "tools.type"),
    ] {
        refused(&post(&chat("ok", more)), 400, code, Some(param));
    }
    assert_eq!(post(&chat("ok", r#","store":false,"temperature":0"#)).status, 200, "control");
    let mut client = pair().lethe.client();
    for (method, path, field) in [
        ("POST", "/v1/files", "/v1/files"),
        ("GET", "/v1/files/file-1/content", "/v1/files"),
        ("POST", "/v1/batches", "/v1/batches"),
        ("POST", "/v1/assistants", "/v1/assistants"),
        ("GET", "/v1/chat/completions", "/v1/chat/completions"),
        ("DELETE", "/v1/chat/completions/c", "/v1/chat/completions"),
    ] {
        client.send(method, path, &[("content-type", "application/json")], b"{}");
        refused(&client.answer(), 400, "zero_retention_conflict", Some(field));
    }
    client.send(
        "POST",
        CHAT,
        &[("content-type", "application/json"), ("openai-beta", "assistants=v2")],
        chat("ok", "").as_bytes(),
    );
    refused(&client.answer(), 400, "unsupported_header", Some("openai-beta"));
    client.send("POST", "/v1/chat/completions?prompt=hello", &[("content-type", "application/json")], chat("ok", "").as_bytes());
    refused(&client.answer(), 400, "query_not_accepted", None);
    refused(&client.get("/v1/nothing"), 404, "unknown_endpoint", None);
    client.send("PUT", CHAT, &[], b"");
    assert_eq!(client.answer().status, 400, "PUT on stored completions is a conflict");
    client.send("DELETE", "/v1/models", &[], b"");
    let answer = client.answer();
    refused(&answer, 405, "method_not_allowed", None);
    assert_eq!(answer.headers.get("allow").map(String::as_str), Some("GET"));
}

#[test]
fn heads_that_smuggle_are_refused_and_closed() {
    let lethe = &pair().lethe;
    let key = lethe.key();
    for (fields, status) in [
        ("content-length: 5\r\ncontent-length: 6\r\n", 400),
        ("content-length: 5\r\ntransfer-encoding: chunked\r\n", 400),
        ("transfer-encoding: gzip, chunked\r\n", 501),
        ("content-length: 0x5\r\n", 400),
        ("content-length : 5\r\n", 400),
        (" folded: 1\r\n", 400),
        ("expect: 200-ok\r\n", 417),
        ("host: b\r\n", 400),
    ] {
        let mut client = lethe.stranger();
        client.raw(format!("POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n{fields}\r\n").as_bytes());
        let answer = client.answer();
        assert_eq!(answer.status, status, "{fields:?}: {}", answer.text());
        assert_eq!(answer.headers.get("connection").map(String::as_str), Some("close"), "{fields:?}");
        assert!(client.try_answer().is_none(), "nothing more is read from it: {fields:?}");
    }
    let mut client = lethe.stranger();
    client.raw(
        format!("GET /v1/models HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\nx: {}\r\n\r\n", "y".repeat(40_000))
            .as_bytes(),
    );
    assert_eq!(client.answer().status, 431);
    // Control: two pipelined requests are both answered, in order.
    let mut client = lethe.stranger();
    let one = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n\r\n");
    client.raw((one("/v1/models/ok") + &one("/v1/models/no-done")).as_bytes());
    assert_eq!(client.answer().json()["id"], "ok");
    assert_eq!(client.answer().json()["id"], "no-done");
}

#[test]
fn a_client_that_waits_for_leave_to_send_gets_it() {
    let lethe = &pair().lethe;
    let body = chat("ok", "");
    let mut client = lethe.client();
    client.raw(
        format!(
            "POST {CHAT} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nexpect: 100-continue\r\n\r\n",
            lethe.key(),
            body.len()
        )
        .as_bytes(),
    );
    assert_eq!(client.answer().status, 100);
    client.raw(body.as_bytes());
    assert_eq!(client.answer().status, 200);
}
