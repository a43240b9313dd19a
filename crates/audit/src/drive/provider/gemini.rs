//! Google's public API reference of the Gemini API (<https://ai.google.dev/api/generate-content>), field by field: the answer with its candidate, its thoughts and
//! calls, the same as events, the error object (<https://ai.google.dev/gemini-api/docs/troubleshooting>).

use serde_json::{Value, json};

use super::Asked;
use super::answer::Reply;
use super::scene::Script;

/// Whether a path is of this interface.
pub(super) fn is_of(path: &str) -> bool {
    path.ends_with(":generateContent") || path.ends_with(":streamGenerateContent")
}

/// The good answer; none for another path.
pub(super) fn reply(asked: &Asked, script: &Script) -> Option<Reply> {
    if asked.path.ends_with(":generateContent") {
        return Some(Reply::json(&response(asked, parts(asked, script), true)));
    }
    asked.path.ends_with(":streamGenerateContent").then(|| events(asked, script))
}

/// Thoughts, text and a call, each whole.
fn parts(asked: &Asked, script: &Script) -> Vec<Value> {
    let mut parts = Vec::new();
    if !script.reasoning.is_empty() {
        parts.push(json!({"text": script.reasoning, "thought": true}));
    }
    if !script.text.is_empty() {
        parts.push(json!({"text": script.text}));
    }
    if !script.arguments.is_empty() {
        let name = asked.body["tools"][0]["functionDeclarations"][0]["name"].as_str().unwrap_or("look_up");
        parts.push(json!({"functionCall": {"name": name, "args": {"place": script.arguments}}}));
    }
    parts
}

fn response(asked: &Asked, parts: Vec<Value>, last: bool) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    json!({"candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 19, "candidatesTokenCount": 16, "thoughtsTokenCount": 8, "totalTokenCount": 43},
        "modelVersion": "audit", "responseId": format!("audit{}", asked.number)})
}

/// Texts come whole, then in two pieces: what is looked for must be found in both forms. A call is in one event.
fn events(asked: &Asked, script: &Script) -> Reply {
    let mut pieces = Vec::new();
    for part in parts(asked, script) {
        let text = part["text"].as_str().map(str::to_owned);
        pieces.push(part.clone());
        if let Some(text) = text {
            let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            let (first, second) = text.split_at(half);
            for piece in [" ", first, second] {
                let mut part = part.clone();
                part["text"] = json!(piece);
                pieces.push(part);
            }
        }
    }
    let mut events: Vec<Value> = pieces.into_iter().map(|part| response(asked, vec![part], false)).collect();
    events.push(response(asked, Vec::new(), true));
    Reply::events(events.iter().map(|event| format!("data: {event}\n\n")).collect(), 0)
}

/// The error object, with the prompt in its message as providers have been seen to do, and more beside it.
pub(super) fn error(asked: &Asked, script: &Script, status: u16) -> Value {
    let kind = match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        429 => "RESOURCE_EXHAUSTED",
        _ => "INTERNAL",
    };
    json!({"error": {"code": status, "message": format!("Invalid value at 'contents[0]': '{}' ({})", asked.echo, script.error), "status": kind,
        "details": [{"@type": "type.googleapis.com/google.rpc.BadRequest",
            "fieldViolations": [{"field": format!("contents[0].{}", script.param), "description": script.nested}]}]}})
}
