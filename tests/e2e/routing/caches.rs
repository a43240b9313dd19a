//! Whether a wish to cache reaches a provider of another format, and who is told what came of it: what the operator says decides.

use lethe_testkit::client::Answer;
use lethe_testkit::lethe::Lethe;
use lethe_testkit::provider::Provider;
use serde_json::{Value, json};

use super::{Scene, route};

const CLAUDE: &str = "anthropic.claude-sonnet-4-5-text";

/// A request with three wishes: behind a tool, the instructions and a text.
fn ask(lethe: &Lethe, model: &str, stream: bool) -> Answer {
    let wish = json!({"type": "ephemeral"});
    let body = json!({"model": model, "max_tokens": 9, "stream": stream,
        "tools": [{"name": "f", "input_schema": {"type": "object"}, "cache_control": wish}],
        "system": [{"type": "text", "text": "Be brief.", "cache_control": wish}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": wish}, {"type": "text", "text": "Go on."}]}]});
    let answer = lethe.client().post("/v1/messages", &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
}

/// Tokens from a cache, as the client is told.
fn cached(answer: &Answer, stream: bool) -> u64 {
    let text = answer.text();
    let usage: Value = if stream {
        let last = text.lines().filter_map(|line| line.strip_prefix("data: ")).find(|data| data.contains("message_delta"));
        serde_json::from_str::<Value>(last.expect("the end of a message")).expect("JSON")["usage"].clone()
    } else {
        answer.json()["usage"].clone()
    };
    usage["cache_read_input_tokens"].as_u64().expect("a count")
}

#[test]
fn a_wish_to_cache_becomes_a_cache_point_where_the_operator_allows_it() {
    let server = Provider::start(None);
    let bedrock = |cache: &str| {
        format!(
            "dialect = \"bedrock\"\npreset = \"bedrock\"\nbase_url = \"http://{}\"\nprompt_cache = \"{cache}\"",
            server.address
        )
    };
    let mut scene = Scene::new("");
    for cache in ["off", "isolated", "shared"] {
        scene = scene.provider(cache, server.address, &bedrock(cache)).model(cache, "ordered", &[route(cache, CLAUDE)]);
    }
    let lethe = scene.model("other", "ordered", &[route("isolated", "openai.gpt-oss-text")]).start();
    for (model, points, shown, left_out) in
        [("off", 0, 0, "cache_control"), ("isolated", 3, 4, ""), ("shared", 3, 0, ""), ("other", 0, 4, "cache_control")]
    {
        for stream in [false, true] {
            let answer = ask(&lethe, model, stream);
            assert_eq!(cached(&answer, stream), shown, "{model}: {}", answer.text());
            assert_eq!(answer.headers.get("lethe-left-out").map_or("", String::as_str), left_out, "{model}");
            let body = server.seen().pop().expect("a request").body;
            assert_eq!(body.to_string().matches(r#""cachePoint":{"type":"default"}"#).count(), points, "{model}: {body}");
            assert!(!body.to_string().contains("ttl"), "no longer than the provider's own five minutes: {body}");
            if points > 0 {
                assert!(body["toolConfig"]["tools"][1]["cachePoint"].is_object(), "{body}");
                assert!(body["system"][1]["cachePoint"].is_object(), "{body}");
                assert!(body["messages"][0]["content"][1]["cachePoint"].is_object(), "{body}");
            }
        }
    }
}
