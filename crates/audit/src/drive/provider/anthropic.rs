//! Anthropic's public API reference (<https://docs.anthropic.com/en/api/messages>, `…/messages-streaming`, `…/messages-count-tokens`
//! and `…/errors`), field by field: the message with its thinking, text and tool use blocks, the events of a stream, the error object.

use serde_json::{Value, json};

use super::Asked;
use super::answer::Reply;
use super::scene::Script;

/// Whether a path is of this interface.
pub(super) fn is_of(path: &str) -> bool {
    path.ends_with("/messages") || path.ends_with("/messages/count_tokens")
}

/// The good answer; none for another path.
pub(super) fn reply(asked: &Asked, script: &Script) -> Option<Reply> {
    if asked.path.ends_with("/messages/count_tokens") {
        return Some(Reply::json(&json!({"input_tokens": 19})));
    }
    if !asked.path.ends_with("/messages") {
        return None;
    }
    Some(if asked.body["stream"] == true { events(asked, script) } else { Reply::json(&message(asked, script)) })
}

fn usage(output: u32) -> Value {
    json!({"input_tokens": 19, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}, "output_tokens": output, "service_tier": "standard"})
}

fn stop(script: &Script) -> &'static str {
    match script {
        Script { refusal, .. } if !refusal.is_empty() => "refusal",
        Script { arguments, .. } if !arguments.is_empty() => "tool_use",
        _ => "end_turn",
    }
}

fn text(script: &Script) -> &str {
    if script.refusal.is_empty() { &script.text } else { &script.refusal }
}

fn tool(asked: &Asked) -> Value {
    let name = asked.body["tools"][0]["name"].as_str().unwrap_or("look_up");
    json!({"type": "tool_use", "id": format!("toolu_audit{}", asked.number), "name": name, "input": {}})
}

fn message(asked: &Asked, script: &Script) -> Value {
    let mut content = Vec::new();
    if !script.reasoning.is_empty() {
        content.push(json!({"type": "thinking", "thinking": script.reasoning, "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}));
    }
    if !text(script).is_empty() || script.arguments.is_empty() {
        content.push(json!({"type": "text", "text": text(script)}));
    }
    if !script.arguments.is_empty() {
        let mut tool = tool(asked);
        tool["input"] = json!({"place": script.arguments});
        content.push(tool);
    }
    json!({"id": format!("msg_audit{}", asked.number), "type": "message", "role": "assistant", "model": asked.body["model"], "content": content,
        "stop_reason": stop(script), "stop_sequence": null, "usage": usage(24)})
}

fn events(asked: &Asked, script: &Script) -> Reply {
    let mut events = Vec::new();
    let mut push = |kind: &str, mut data: Value| {
        data["type"] = json!(kind);
        events.push(format!("event: {kind}\ndata: {data}\n\n"));
        events.len() - 1
    };
    push(
        "message_start",
        json!({"message": {"id": format!("msg_audit{}", asked.number), "type": "message", "role": "assistant", "model": asked.body["model"],
            "content": [], "stop_reason": null, "stop_sequence": null, "usage": usage(1)}}),
    );
    push("ping", json!({}));
    let mut blocks: Vec<(Value, Vec<Value>)> = Vec::new();
    if !script.reasoning.is_empty() {
        let deltas = vec![
            json!({"type": "thinking_delta", "thinking": script.reasoning}),
            json!({"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"}),
        ];
        blocks.push((json!({"type": "thinking", "thinking": "", "signature": ""}), deltas));
    }
    let said = text(script);
    if !said.is_empty() || script.arguments.is_empty() {
        let half = (0..=said.len() / 2).rev().find(|at| said.is_char_boundary(*at)).unwrap_or(0);
        let (first, second) = said.split_at(half);
        let deltas = [said, " ", first, second].map(|piece| json!({"type": "text_delta", "text": piece})).to_vec();
        blocks.push((json!({"type": "text", "text": ""}), deltas));
    }
    if !script.arguments.is_empty() {
        let deltas = [String::new(), format!("{{\"place\": \"{}", script.arguments), "\"}".to_owned()]
            .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
            .to_vec();
        blocks.push((tool(asked), deltas));
    }
    let mut told = None;
    for (index, (block, deltas)) in blocks.into_iter().enumerate() {
        push("content_block_start", json!({"index": index, "content_block": block}));
        // Of a tool's input the first piece is empty.
        let first = usize::from(block_is_tool(&block));
        for (number, delta) in deltas.into_iter().enumerate() {
            let at = push("content_block_delta", json!({"index": index, "delta": delta}));
            if number == first {
                told.get_or_insert(at);
            }
        }
        push("content_block_stop", json!({"index": index}));
    }
    push("message_delta", json!({"delta": {"stop_reason": stop(script), "stop_sequence": null}, "usage": {"output_tokens": 24}}));
    push("message_stop", json!({}));
    Reply::events(events, told.unwrap_or(1))
}

fn block_is_tool(block: &Value) -> bool {
    block["type"] == "tool_use"
}

/// The error object, with the prompt in its message as providers have been seen to do, and more beside it.
pub(super) fn error(asked: &Asked, script: &Script, status: u16) -> Value {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        429 => "rate_limit_error",
        _ => "api_error",
    };
    json!({"type": "error", "error": {"type": kind, "message": format!("messages.0.{}: '{}' ({})", script.param, asked.echo, script.error),
        "details": {"reason": script.nested}}, "request_id": "req_audit"})
}
