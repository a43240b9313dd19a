//! Which dialect a path belongs to.

use serde_json::json;

use super::deliver::Answer;
use super::script::Words;
use super::{MODELS, Seen, anthropic, azure, bedrock, cohere, embeddings, gemini, mistral, ollama, openai, responses, vertex};

/// The answer and the words of its model, if a dialect's room has one: the models of [`MODELS`], and names without a word of the
/// script, are not looked at here.
pub(super) fn answer<'a>(seen: &'a Seen, reply: &str) -> Option<(Answer, Words<'a>)> {
    let model = seen.body["model"].as_str().unwrap_or_default();
    let words = Words::of(model);
    let scripted = words.any() && !MODELS.contains(&model);
    let keyed =
        |check: fn(&Seen) -> Result<(), Answer>, answer: &dyn Fn() -> Answer| check(seen).map_or_else(|no| no, |()| answer());
    let body = &seen.body;
    let version = seen.header("anthropic-version").unwrap_or_default();
    let answer = match (seen.method(), seen.route()) {
        ("POST", "/v1/chat/completions") if scripted => keyed(openai::authorise, &|| openai::chat(body, reply)),
        ("POST", "/v1/embeddings") if scripted => keyed(openai::authorise, &|| embeddings::embeddings(body)),
        ("POST", "/v1/moderations") => keyed(openai::authorise, &|| embeddings::moderations(body)),
        ("POST", "/v1/completions") => keyed(openai::authorise, &|| embeddings::completions(body, reply)),
        ("POST", "/v1/responses") => keyed(openai::authorise, &|| responses::responses(body, reply)),
        ("POST", "/v1/messages") => keyed(anthropic::authorise, &|| anthropic::messages(version, body, reply)),
        ("POST", "/v1/messages/count_tokens") => keyed(anthropic::authorise, &|| anthropic::count(version, body)),
        ("POST", "/mistral/v1/chat/completions") => mistral::chat(seen, reply),
        ("POST", "/mistral/v1/embeddings") => keyed(openai::authorise, &|| mistral::embeddings(body)),
        ("POST", "/v2/chat") => cohere::method("chat", seen, reply),
        ("POST", "/v2/embed") => cohere::method("embed", seen, reply),
        ("POST", "/v2/rerank") => cohere::method("rerank", seen, reply),
        ("POST", "/v1/rerank") => cohere::jina(seen),
        ("POST", "/api/chat") => ollama::chat(body, reply),
        ("POST", "/api/embed") => ollama::embed(body),
        ("GET", "/v1/models") if seen.header("anthropic-version").is_some() => keyed(anthropic::authorise, &|| {
            let model =
                json!({"type": "model", "id": "scripted-text", "display_name": "Scripted", "created_at": "2026-01-01T00:00:00Z"});
            Answer::json(
                200,
                &json!({"data": [model], "has_more": false, "first_id": "scripted-text", "last_id": "scripted-text"}),
            )
        }),
        ("GET", "/v1/models") => keyed(openai::authorise, &|| {
            let model = json!({"id": "scripted-text", "object": "model", "created": 1_700_000_000, "owned_by": "script"});
            Answer::json(200, &json!({"object": "list", "data": [model]}))
        }),
        ("GET", "/v1beta/models") => keyed(gemini::authorise, &gemini::models),
        (_, path) => return in_path(seen, path, reply),
    };
    Some((answer, words))
}

/// Dialects that name the model in the path.
fn in_path<'a>(seen: &'a Seen, path: &'a str, reply: &str) -> Option<(Answer, Words<'a>)> {
    let (answer, model) = if let Some(rest) = path.strip_prefix("/v1beta/models/") {
        let (model, method) = rest.split_once(':')?;
        (gemini::authorise(seen).map_or_else(|no| no, |()| gemini::method(model, method, seen, reply)), model)
    } else if let Some(rest) = path.strip_prefix("/openai/") {
        azure::method(rest, seen, reply)
    } else if let Some(rest) = path.strip_prefix("/v1/projects/") {
        vertex::method(rest, seen, reply)?
    } else {
        bedrock::method(path.strip_prefix("/model/")?, seen, reply)?
    };
    Some((answer, Words::of(model)))
}
