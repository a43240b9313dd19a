//! Requests as Claude Code sends them: with a session in `metadata`, caches, beta features, and a key as a bearer token; in both versions of the API.

use lethe_testkit::client::{Answer, Client};
use lethe_testkit::lethe::{Lethe, PROVIDER_KEY};
use lethe_testkit::provider::{Provider, Seen};
use serde_json::{Value, json};

use crate::through::{SCRIPTED, Target, lethe};

const SESSION: &str = "user_0123456789abcdef_account_11111111-2222_session_33333333-4444";
const ANTHROPIC: Target =
    Target { dialect: "anthropic", path: "", lines: "", models: SCRIPTED, cached: 0, others: &[], without: "" };
const OPENAI: Target = Target {
    dialect: "openai",
    path: "/v1",
    lines: "preset = \"openai-compatible\"\n",
    models: SCRIPTED,
    cached: 0,
    others: &[],
    without: "",
};
const BETA: &str = "claude-code-20250219,interleaved-thinking-2025-05-14,fine-grained-tool-streaming-2025-05-14";

fn body(model: &str, more: &Value) -> Value {
    let ephemeral = json!({"type": "ephemeral"});
    let mut body = json!({
        "model": model,
        "max_tokens": 32000,
        "stream": true,
        "metadata": {"user_id": SESSION},
        "system": [
            {"type": "text", "text": "You are an agent for software.", "cache_control": ephemeral},
            {"type": "text", "text": "Be brief."},
        ],
        "tools": [{
            "name": "Bash",
            "description": "Runs a command.",
            "input_schema": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
                "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false},
            "cache_control": ephemeral,
        }],
        "messages": [{"role": "user", "content": [
            {"type": "text", "text": "<system-reminder>Nothing.</system-reminder>"},
            {"type": "text", "text": "List the files.", "cache_control": ephemeral},
        ]}],
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        body[name] = value.clone();
    }
    body
}

fn ask(lethe: &Lethe, version: &str, body: &Value) -> Answer {
    let mut client = Client::connect(&lethe.api(), None).with_key(lethe.key());
    let headers = [
        ("content-type", "application/json"),
        ("accept", "application/json"),
        ("anthropic-version", version),
        ("anthropic-beta", BETA),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-app", "cli"),
        ("x-stainless-lang", "js"),
        ("x-stainless-retry-count", "0"),
        ("user-agent", "claude-cli/2.0 (external, cli)"),
    ];
    client.send("POST", "/v1/messages?beta=true", &headers, body.to_string().as_bytes());
    client.answer()
}

/// The provider was shown nothing of who asks.
fn is_discreet(lethe: &Lethe, seen: &Seen) {
    let raw = String::from_utf8_lossy(&seen.raw);
    assert!(!raw.contains(SESSION) && !raw.contains("_session_"), "{raw}");
    for word in ["claude-cli", "stainless", "x-app", lethe.key(), "beta=true"] {
        assert!(!seen.head.contains(word), "{word}: {}", seen.head);
    }
}

#[test]
fn clients_like_claude_code_pass_to_anthropic() {
    let provider = Provider::start(None);
    let lethe = lethe(&provider, &ANTHROPIC);
    let asked = [("2023-06-01", json!({"temperature": 1})), ("2026-10-21", json!({"thinking": {"type": "adaptive"}}))];
    for (version, more) in &asked {
        let answer = ask(&lethe, version, &body("anthropic-tool", more));
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.complete && answer.text().contains("event: message_stop"), "{}", answer.text());
        let seen = provider.seen().pop().expect("a request");
        assert_eq!(seen.header("anthropic-version"), Some(*version));
        assert_eq!(seen.header("anthropic-beta"), Some(BETA));
        assert_eq!(seen.header("x-api-key"), Some(PROVIDER_KEY));
        let user = seen.body["metadata"]["user_id"].as_str().expect("a pseudonym");
        assert!(!user.is_empty() && user.len() <= 64, "{user}");
        assert_eq!(seen.body["system"][0]["cache_control"], Value::Null, "caches are off unless the operator says otherwise");
        assert_eq!(seen.body["system"][0]["text"], "You are an agent for software.");
        is_discreet(&lethe, &seen);
    }
    // The versions differ: what the newer one has no more is refused by the provider, in its own words.
    let answer = ask(&lethe, "2026-10-21", &body("anthropic-text", &json!({"temperature": 1})));
    assert_eq!(answer.status, 400);
    assert!(answer.json()["error"]["message"].as_str().is_some_and(|said| said.contains("temperature")), "{}", answer.text());
    // Nobody knows what another version means.
    let before = provider.seen().len();
    let answer = ask(&lethe, "2023-01-01", &body("anthropic-text", &json!({})));
    assert_eq!((answer.status, &answer.json()["type"]), (400, &json!("error")), "{}", answer.text());
    assert!(answer.text().contains("anthropic-version"), "{}", answer.text());
    assert_eq!(provider.seen().len(), before);
}

#[test]
fn clients_like_claude_code_are_translated_to_openai() {
    let provider = Provider::start(None);
    let lethe = lethe(&provider, &OPENAI);
    for (version, more) in [("2023-06-01", json!({"temperature": 1})), ("2026-10-21", json!({}))] {
        let answer = ask(&lethe, version, &body("openai-tool", &more));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said = answer.text();
        for word in ["event: message_start", "\"name\":\"Bash\"", "\"stop_reason\":\"tool_use\"", "event: message_stop"] {
            assert!(said.contains(word), "{word} is not in {said}");
        }
        let left_out = answer.headers.get("lethe-left-out").map_or("", String::as_str);
        assert!(left_out.contains("anthropic-beta") && left_out.contains("cache_control"), "{left_out}");
        let seen = provider.seen().pop().expect("a request");
        assert_eq!((seen.header("anthropic-version"), seen.header("anthropic-beta")), (None, None));
        assert_eq!(seen.body["tools"][0]["function"]["name"], "Bash");
        is_discreet(&lethe, &seen);
    }
}

/// What the scripted provider answers from a cache is 4 of its 20 tokens.
#[test]
fn what_came_from_a_shared_cache_is_counted_and_not_shown() {
    for (cached, shown) in [(0, 0), (4, 4)] {
        let provider = Provider::start(None);
        let lethe = lethe(&provider, &Target { cached, ..ANTHROPIC });
        let mut client = Client::connect(&lethe.api(), None).with_key(lethe.key());
        let plain = r#"{"model":"anthropic-text","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;
        let streamed =
            plain.replace("\"max_tokens\"", "\"stream\":true,\"stream_options\":{\"include_usage\":true},\"max_tokens\"");
        // Translated, whole and streamed: the sum stays what it is.
        let whole = client.post("/v1/chat/completions", plain).json()["usage"].clone();
        let stream = client.post("/v1/chat/completions", &streamed).text();
        let last = stream.lines().rfind(|line| line.contains("\"usage\":{")).and_then(|line| line.strip_prefix("data: "));
        let last: Value = serde_json::from_str(last.expect("usage")).expect("JSON");
        for usage in [&whole, &last["usage"]] {
            assert_eq!((&usage["prompt_tokens"], &usage["prompt_tokens_details"]["cached_tokens"]), (&json!(20), &json!(shown)));
        }
        // As it is: counted apart by the provider.
        let passed = client.post("/v1/messages", plain).json()["usage"].clone();
        assert_eq!((&passed["input_tokens"], &passed["cache_read_input_tokens"]), (&json!(16), &json!(shown)), "{passed}");
        for record in lethe.records(3) {
            assert_eq!(record["input_units"], 20, "{record}");
        }
    }
}
