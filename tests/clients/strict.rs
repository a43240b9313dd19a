//! The scripted provider refuses in each dialect's own words what that dialect does not document, and shows what it was sent. Otherwise a
//! wrong translation would pass for a right one.

use lethe_testkit::client::{Answer, Client};
use lethe_testkit::provider::Provider;
use serde_json::{Value, json};

/// A path, its headers, a body that is taken, the status of a body that is not, and where its error says why.
struct Dialect {
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: Value,
    refused: u16,
    message: &'static str,
}

const BEARER: &[(&str, &str)] = &[("authorization", "Bearer sk-test")];
const ANTHROPIC: &[(&str, &str)] = &[("x-api-key", "sk-test"), ("anthropic-version", "2023-06-01")];
const GEMINI: &[(&str, &str)] = &[("x-goog-api-key", "sk-test")];
const AZURE: &[(&str, &str)] = &[("api-key", "sk-test")];

fn dialects() -> Vec<Dialect> {
    let say = json!([{"role": "user", "content": "Hello"}]);
    let contents = json!([{"role": "user", "parts": [{"text": "Hello"}]}]);
    let chat = json!({"model": "scripted-text", "messages": say});
    let claude = json!({"model": "scripted-text", "max_tokens": 9, "messages": say});
    let rerank = json!({"model": "scripted-rerank", "query": "a", "documents": ["a"]});
    let dialect = |path, headers, body: &Value, refused, message| Dialect { path, headers, body: body.clone(), refused, message };
    vec![
        dialect("/v1/chat/completions", BEARER, &chat, 400, "/error/message"),
        dialect("/v1/responses", BEARER, &json!({"model": "scripted-text", "input": "Hello"}), 400, "/error/message"),
        dialect("/v1/completions", BEARER, &json!({"model": "scripted-text", "prompt": "Hello"}), 400, "/error/message"),
        dialect("/v1/embeddings", BEARER, &json!({"model": "scripted-embed", "input": "a"}), 400, "/error/message"),
        dialect("/v1/moderations", BEARER, &json!({"input": "a"}), 400, "/error/message"),
        dialect("/v1/messages", ANTHROPIC, &claude, 400, "/error/message"),
        dialect("/v1/messages/count_tokens", ANTHROPIC, &chat, 400, "/error/message"),
        dialect("/v1beta/models/scripted-text:generateContent", GEMINI, &json!({"contents": contents}), 400, "/error/message"),
        dialect("/v1beta/models/scripted-text:countTokens", GEMINI, &json!({"contents": contents}), 400, "/error/message"),
        dialect("/v1beta/models/scripted-embed:embedContent", GEMINI, &json!({"content": contents[0]}), 400, "/error/message"),
        dialect(
            "/model/scripted-text/converse",
            BEARER,
            &json!({"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}),
            400,
            "/message",
        ),
        dialect(
            "/openai/deployments/scripted-text/chat/completions?api-version=2024-10-21",
            AZURE,
            &json!({"messages": say}),
            400,
            "/error/message",
        ),
        dialect("/openai/v1/chat/completions", AZURE, &chat, 400, "/error/message"),
        dialect(
            "/v1/projects/p/locations/eu/publishers/google/models/scripted-text:generateContent",
            BEARER,
            &json!({"contents": contents}),
            400,
            "/error/message",
        ),
        dialect(
            "/v1/projects/p/locations/eu/publishers/anthropic/models/scripted-text:rawPredict",
            BEARER,
            &json!({"anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": say}),
            400,
            "/error/message",
        ),
        dialect("/mistral/v1/chat/completions", BEARER, &chat, 422, "/message/detail/0/msg"),
        dialect("/v2/chat", BEARER, &chat, 400, "/message"),
        dialect(
            "/v2/embed",
            BEARER,
            &json!({"model": "scripted-embed", "input_type": "search_query", "texts": ["a"]}),
            400,
            "/message",
        ),
        dialect("/v2/rerank", BEARER, &rerank, 400, "/message"),
        dialect("/v1/rerank", BEARER, &rerank, 422, "/detail"),
        dialect("/api/chat", &[], &json!({"model": "scripted-text", "messages": say, "stream": false}), 400, "/error"),
        dialect("/api/embed", &[], &json!({"model": "scripted-embed", "input": "a"}), 400, "/error"),
    ]
}

fn post(provider: &Provider, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
    let mut client = Client::connect(&provider.address.to_string(), None);
    let mut all = vec![("content-type", "application/json")];
    all.extend(headers);
    client.send("POST", path, &all, body.to_string().as_bytes());
    client.answer()
}

#[test]
fn the_scripted_provider_refuses_what_a_dialect_does_not_document() {
    let provider = Provider::start(None);
    for Dialect { path, headers, body, refused, message } in dialects() {
        let answer = post(&provider, path, headers, &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let last = provider.last();
        assert_eq!((last.path.as_str(), last.method(), &last.body), (path, "POST", &body));
        let mut unknown = body.clone();
        unknown["no_such_field"] = json!(1);
        let answer = post(&provider, path, headers, &unknown);
        assert_eq!(answer.status, refused, "{path}: {}", answer.text());
        assert!(answer.json().pointer(message).is_some_and(Value::is_string), "{path}: {}", answer.text());
        // One of another type.
        let mut wrong = body.clone();
        let field = body
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name)
            .find(|name| *name != "model" && *name != "anthropic_version");
        wrong[field.expect("a field")] = json!(true);
        let answer = post(&provider, path, headers, &wrong);
        assert!((400..500).contains(&answer.status), "{path}: {}: {}", answer.status, answer.text());
    }
}

#[test]
fn the_scripted_provider_asks_for_each_dialects_own_key() {
    let provider = Provider::start(None);
    for Dialect { path, headers, body, .. } in dialects() {
        if headers.is_empty() {
            continue;
        }
        let answer = post(&provider, path, &[], &body);
        assert!(matches!(answer.status, 401 | 403), "{path} without a key: {}", answer.status);
        let (name, value) = headers[0];
        let wrong = value.replace("sk-test", "wrong");
        let mut others = headers.to_vec();
        others[0] = (name, &wrong);
        let answer = post(&provider, path, &others, &body);
        assert!((400..404).contains(&answer.status), "{path} with a wrong key: {}", answer.status);
    }
}
