//! OpenAI's public API reference (<https://platform.openai.com/docs/api-reference>), field by field: chat completions and their
//! chunks, legacy completions, embeddings, images (generations and edits), audio (speech and transcriptions), moderations, models,
//! and the error object. `reasoning_content` is DeepSeek's and vLLM's addition to the message. `/rerank` follows Cohere's v2 and
//! Jina's reference, which agree on `results[].index` and `results[].relevance_score`.

use serde_json::{Value, json};

use super::super::media::base64;
use super::Asked;
use super::answer::Reply;
use super::scene::Script;

const CREATED: u64 = 1_764_000_000;
/// Of the request, in an error's details.
const ECHOED: usize = 64 * 1024;

/// The good answer of the endpoint that was asked; none for another path.
pub(super) fn reply(asked: &Asked, script: &Script) -> Option<Reply> {
    let ends = |end: &str| asked.path.ends_with(end);
    let streamed = asked.body["stream"] == true;
    Some(if ends("/chat/completions") {
        if streamed { chunks(asked, script) } else { Reply::json(&completion(asked, script)) }
    } else if ends("/completions") {
        legacy(asked, script, streamed)
    } else if ends("/embeddings") {
        Reply::json(&embeddings(asked, script))
    } else if ends("/images/generations") || ends("/images/edits") {
        Reply::json(
            &json!({"created": CREATED, "background": "opaque", "output_format": "png", "quality": "low", "size": "1024x1024",
            "data": [{"b64_json": base64(&script.image), "revised_prompt": script.text}],
            "usage": {"input_tokens": 12, "input_tokens_details": {"image_tokens": 0, "text_tokens": 12}, "output_tokens": 196,
                "total_tokens": 208}}),
        )
    } else if ends("/audio/speech") {
        Reply::Whole { content_type: "audio/wav", bytes: script.audio.clone() }
    } else if ends("/audio/transcriptions") || ends("/audio/translations") {
        Reply::json(&json!({"text": script.text, "usage": {"type": "tokens", "input_tokens": 14,
            "input_token_details": {"text_tokens": 0, "audio_tokens": 14}, "output_tokens": 21, "total_tokens": 35}}))
    } else if ends("/moderations") {
        Reply::json(&moderation(asked, script))
    } else if ends("/rerank") {
        Reply::json(&json!({"id": format!("rerank-{}", script.text), "model": asked.body["model"],
            "results": [{"index": 0, "relevance_score": 0.93, "document": {"text": script.text}}],
            "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
            "usage": {"prompt_tokens": 12, "total_tokens": 12}}))
    } else if ends("/models") {
        Reply::json(
            &json!({"object": "list", "data": [{"id": "audit", "object": "model", "created": CREATED, "owned_by": "audit"}]}),
        )
    } else {
        return None;
    })
}

fn usage() -> Value {
    json!({"prompt_tokens": 19, "completion_tokens": 24, "total_tokens": 43,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 8, "audio_tokens": 0, "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

fn tool_name(asked: &Asked) -> String {
    asked.body["tools"][0]["function"]["name"].as_str().unwrap_or("look_up").to_owned()
}

fn arguments(script: &Script) -> String {
    json!({"place": script.arguments}).to_string()
}

fn finish(script: &Script) -> &'static str {
    if script.arguments.is_empty() { "stop" } else { "tool_calls" }
}

fn or_null(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn completion(asked: &Asked, script: &Script) -> Value {
    let mut message =
        json!({"role": "assistant", "content": or_null(&script.text), "refusal": or_null(&script.refusal), "annotations": []});
    if !script.reasoning.is_empty() {
        message["reasoning_content"] = json!(script.reasoning);
    }
    if !script.arguments.is_empty() {
        message["tool_calls"] = json!([{"id": format!("call_{}", asked.number), "type": "function",
            "function": {"name": tool_name(asked), "arguments": arguments(script)}}]);
    }
    if !script.audio.is_empty() {
        message["audio"] =
            json!({"id": "audio_1", "data": base64(&script.audio), "expires_at": CREATED + 3600, "transcript": script.text});
    }
    json!({"id": format!("chatcmpl-audit{}", asked.number), "object": "chat.completion", "created": CREATED, "model": asked.body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(script)}],
        "usage": usage(), "service_tier": "default", "system_fingerprint": "fp_44709d6fcb"})
}

/// A word whole, then in two pieces: what is looked for must be found in both forms.
fn in_pieces(text: &str) -> Vec<String> {
    let half = (0..=text.len() / 2).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (first, second) = text.split_at(half);
    [text, " ", first, second].into_iter().filter(|piece| !piece.is_empty()).map(str::to_owned).collect()
}

fn chunks(asked: &Asked, script: &Script) -> Reply {
    let with_usage = asked.body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({"id": format!("chatcmpl-audit{}", asked.number), "object": "chat.completion.chunk", "created": CREATED,
            "model": asked.body["model"], "service_tier": "default", "system_fingerprint": "fp_44709d6fcb", "choices": choices});
        if with_usage {
            chunk["usage"] = usage;
        }
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]), Value::Null)
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)];
    for (member, text) in [("reasoning_content", &script.reasoning), ("content", &script.text), ("refusal", &script.refusal)] {
        if !text.is_empty() {
            events.extend(in_pieces(text).into_iter().map(|piece| delta(json!({member: piece}), Value::Null)));
        }
    }
    if !script.arguments.is_empty() {
        let name = tool_name(asked);
        events.push(delta(
            json!({"tool_calls": [{"index": 0, "id": format!("call_{}", asked.number), "type": "function",
                "function": {"name": name, "arguments": ""}}]}),
            Value::Null,
        ));
        for piece in [format!("{{\"place\":\"{}", script.arguments), "\"}".to_owned()] {
            events.push(delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}), Value::Null));
        }
    }
    events.push(delta(json!({}), json!(finish(script))));
    if with_usage {
        events.push(chunk(json!([]), usage()));
    }
    events.push("data: [DONE]\n\n".to_owned());
    let told = if script.text.is_empty() && script.reasoning.is_empty() && script.refusal.is_empty() { 2 } else { 1 };
    let told = told.min(events.len() - 1);
    Reply::events(events, told)
}

fn legacy(asked: &Asked, script: &Script, streamed: bool) -> Reply {
    let body = |text: &str, reason: Value| {
        json!({"id": format!("cmpl-audit{}", asked.number), "object": "text_completion", "created": CREATED, "model": asked.body["model"],
            "system_fingerprint": "fp_44709d6fcb", "choices": [{"text": text, "index": 0, "logprobs": null, "finish_reason": reason}]})
    };
    if !streamed {
        let mut body = body(&script.text, json!("stop"));
        body["usage"] = json!({"prompt_tokens": 19, "completion_tokens": 24, "total_tokens": 43});
        return Reply::json(&body);
    }
    let mut events: Vec<String> =
        in_pieces(&script.text).iter().map(|piece| format!("data: {}\n\n", body(piece, Value::Null))).collect();
    events.push(format!("data: {}\n\n", body("", json!("stop"))));
    events.push("data: [DONE]\n\n".to_owned());
    Reply::events(events, 0)
}

/// Floats or base64 of little-endian float32, as `encoding_format` asks; one embedding for each input.
fn embeddings(asked: &Asked, script: &Script) -> Value {
    let vector = if asked.body["encoding_format"] == "base64" {
        let bytes: Vec<u8> = script.vector.iter().flat_map(|number| number.to_le_bytes()).collect();
        json!(base64(&bytes))
    } else {
        json!(script.vector)
    };
    let inputs = asked.body["input"].as_array().map_or(1, |all| all.len().min(64));
    let data: Vec<Value> =
        (0..inputs).map(|index| json!({"object": "embedding", "index": index, "embedding": vector.clone()})).collect();
    json!({"object": "list", "data": data, "model": asked.body["model"], "usage": {"prompt_tokens": 8, "total_tokens": 8}})
}

fn moderation(asked: &Asked, script: &Script) -> Value {
    let names = [
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/instructions",
        "self-harm/intent",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    ];
    let map = |value: Value| names.iter().map(|name| ((*name).to_owned(), value.clone())).collect::<serde_json::Map<_, _>>();
    json!({"id": format!("modr-{}", script.text), "model": asked.body["model"], "results": [{"flagged": false,
        "categories": map(json!(false)), "category_scores": map(json!(0.0001)), "category_applied_input_types": map(json!(["text"]))}]})
}

/// The error object, with what providers have been seen to put into it: the prompt, the wrong value, the whole input.
pub(super) fn error(asked: &Asked, script: &Script, status: u16) -> Value {
    let (kind, code) = match status {
        400 => ("invalid_request_error", "invalid_prompt"),
        401 => ("invalid_request_error", "invalid_api_key"),
        429 => ("requests", "rate_limit_exceeded"),
        _ => ("server_error", "server_error"),
    };
    let param =
        if script.param.is_empty() { json!("messages[0].content") } else { json!(format!("messages[0].{}", script.param)) };
    json!({"error": {"message": format!("Invalid prompt: '{}' ({})", asked.echo, script.error), "type": kind, "param": param, "code": code,
        "metadata": {"raw": json!({"detail": [{"loc": ["body", "messages"], "msg": script.nested, "input": input(asked)}]}).to_string()},
        "details": [{"reason": script.nested, "input": input(asked)}]}})
}

/// The request's content, unless it is large.
fn input(asked: &Asked) -> Value {
    let members = ["messages", "input", "prompt", "query"];
    let found = members.iter().map(|member| &asked.body[*member]).find(|value| !value.is_null());
    found.filter(|value| value.to_string().len() <= ECHOED).cloned().unwrap_or_else(|| json!(asked.echo))
}
