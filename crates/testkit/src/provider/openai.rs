//! OpenAI chat completions, after its API reference (<https://platform.openai.com/docs/api-reference/chat/create>) as the types of
//! its own Python library state it: each field of a request below is one of `chat/completion_create_params.py`, each of an answer
//! one of `chat/chat_completion.py` and `chat/chat_completion_chunk.py`.
//!
//! Key: `authorization: Bearer KEY`. Errors: `{"error": {message, type, param, code}}`.

use serde_json::{Value, json};

use super::Seen;
use super::deliver::{Answer, Stream, data};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};

const MAYBE_TEXT: Shape = Shape::Nullable(&Shape::Text);
const MAYBE_NUMBER: Shape = Shape::Nullable(&Shape::Number);
const MAYBE_INT: Shape = Shape::Nullable(&Shape::Int);
const MAYBE_BOOL: Shape = Shape::Nullable(&Shape::Bool);

const TEXT_PART: &[Field] = &[must("text", Shape::Text), may("prompt_cache_breakpoint", Shape::Object)];
/// A text, or parts of text only.
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT_PART)]))]);
const IMAGE: &[Field] = &[must("url", Shape::Text), may("detail", Shape::Word(&["auto", "low", "high", "original"]))];
const USER_PARTS: Shape = Shape::Tagged(
    "type",
    &[
        ("text", TEXT_PART),
        ("image_url", &[must("image_url", Shape::Fields(IMAGE)), may("prompt_cache_breakpoint", Shape::Object)]),
        (
            "input_audio",
            &[must("input_audio", Shape::Fields(&[must("data", Shape::Text), must("format", Shape::Word(&["wav", "mp3"]))]))],
        ),
        (
            "file",
            &[must(
                "file",
                Shape::Fields(&[may("file_data", Shape::Text), may("file_id", Shape::Text), may("filename", Shape::Text)]),
            )],
        ),
    ],
);
const FUNCTION_CALLED: Shape = Shape::Fields(&[must("name", Shape::Text), must("arguments", Shape::Text)]);
const SYSTEM: &[Field] = &[must("content", TEXTS), may("name", Shape::Text)];
const ASSISTANT: &[Field] = &[
    // Clients send back the message that they got.
    may("annotations", Shape::Nullable(&Shape::List(&Shape::Object))),
    may("audio", Shape::Nullable(&Shape::Object)),
    may(
        "content",
        Shape::Nullable(&Shape::Either(&[
            Shape::Text,
            Shape::List(&Shape::Tagged("type", &[("text", TEXT_PART), ("refusal", &[must("refusal", Shape::Text)])])),
        ])),
    ),
    may("function_call", Shape::Nullable(&FUNCTION_CALLED)),
    may("name", Shape::Text),
    may("refusal", MAYBE_TEXT),
    may(
        "tool_calls",
        Shape::List(&Shape::Tagged("type", &[("function", &[must("id", Shape::Text), must("function", FUNCTION_CALLED)])])),
    ),
];
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("developer", SYSTEM),
        ("system", SYSTEM),
        ("user", &[must("content", Shape::Either(&[Shape::Text, Shape::List(&USER_PARTS)])), may("name", Shape::Text)]),
        ("assistant", ASSISTANT),
        ("tool", &[must("content", TEXTS), must("tool_call_id", Shape::Text)]),
    ],
);
const FUNCTION: Shape = Shape::Fields(&[
    must("name", Shape::Text),
    may("description", Shape::Text),
    may("parameters", Shape::Object),
    may("strict", MAYBE_BOOL),
]);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[must(
                "json_schema",
                Shape::Fields(&[
                    must("name", Shape::Text),
                    may("description", Shape::Text),
                    may("schema", Shape::Object),
                    may("strict", MAYBE_BOOL),
                ]),
            )],
        ),
    ],
);
const CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[must("function", Shape::Fields(&[must("name", Shape::Text)]))]),
            ("allowed_tools", &[must("allowed_tools", Shape::Object)]),
        ],
    ),
]);
pub(super) const EFFORT: Shape = Shape::Nullable(&Shape::Word(&["none", "minimal", "low", "medium", "high", "xhigh", "max"]));
const CHAT: Shape = Shape::Fields(&[
    must("messages", Shape::List(&MESSAGE)),
    must("model", Shape::Text),
    may("audio", Shape::Nullable(&Shape::Object)),
    may("frequency_penalty", MAYBE_NUMBER),
    may("logit_bias", Shape::Nullable(&Shape::Object)),
    may("logprobs", MAYBE_BOOL),
    may("max_completion_tokens", MAYBE_INT),
    may("max_tokens", MAYBE_INT),
    may("metadata", Shape::Nullable(&Shape::Object)),
    may("modalities", Shape::Nullable(&Shape::List(&Shape::Word(&["text", "audio"])))),
    may("n", MAYBE_INT),
    may("parallel_tool_calls", Shape::Bool),
    may("prediction", Shape::Nullable(&Shape::Object)),
    may("presence_penalty", MAYBE_NUMBER),
    may("prompt_cache_key", MAYBE_TEXT),
    may("prompt_cache_options", Shape::Object),
    may("prompt_cache_retention", Shape::Nullable(&Shape::Word(&["in_memory", "24h"]))),
    may("reasoning_effort", EFFORT),
    may("response_format", FORMAT),
    may("safety_identifier", MAYBE_TEXT),
    may("seed", MAYBE_INT),
    may("service_tier", Shape::Nullable(&Shape::Word(&["auto", "default", "flex", "scale", "priority", "fast"]))),
    may("stop", Shape::Nullable(&Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)]))),
    may("store", MAYBE_BOOL),
    may("stream", MAYBE_BOOL),
    may(
        "stream_options",
        Shape::Nullable(&Shape::Fields(&[may("include_obfuscation", Shape::Bool), may("include_usage", Shape::Bool)])),
    ),
    may("temperature", MAYBE_NUMBER),
    may("tool_choice", CHOICE),
    may("tools", Shape::List(&Shape::Tagged("type", &[("function", &[must("function", FUNCTION)])]))),
    may("top_logprobs", MAYBE_INT),
    may("top_p", MAYBE_NUMBER),
    may("user", Shape::Text),
    may("verbosity", Shape::Nullable(&Shape::Word(&["low", "medium", "high"]))),
    may("web_search_options", Shape::Object),
]);

/// Answers a chat completion; the caller has looked at the key.
pub(super) fn chat(body: &Value, reply: &str) -> Answer {
    if let Err(fault) = check(&CHAT, body) {
        return faulty(&fault);
    }
    let turn = asked(body).and_then(|asked| Ok((script::play(&asked, reply)?, asked)));
    match turn {
        Err(refused) => refusal(&refused),
        Ok((turn, asked)) if asked.streamed => Answer::events(stream(&turn, body)),
        Ok((turn, _)) => Answer::json(200, &completion(&turn, body)),
    }
}

/// Refuses a request without a key, or with one that says that it is wrong.
pub(super) fn authorise(seen: &Seen) -> Result<(), Answer> {
    match seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        Some(key) if !key.is_empty() && !key.contains("wrong") => Ok(()),
        Some(_) => Err(error(401, "Incorrect API key provided: sk-prov********.", Value::Null, json!("invalid_api_key"))),
        None => Err(error(401, "You didn't provide an API key.", Value::Null, Value::Null)),
    }
}

/// The provider's error for a body that is not as documented.
pub(super) fn faulty(fault: &Fault) -> Answer {
    let path = fault.brackets();
    let (message, code) = match fault.what {
        What::Missing => (format!("Missing required parameter: '{path}'."), "missing_required_parameter"),
        What::Type => (format!("Invalid type for '{path}'."), "invalid_type"),
        What::Unknown => (format!("Unknown parameter: '{path}'."), "unknown_parameter"),
        What::Value => (format!("Invalid value for '{path}'."), "invalid_value"),
    };
    error(400, &message, json!(path), json!(code))
}

/// The provider's error for what the script refuses.
pub(super) fn refusal(refused: &Refused) -> Answer {
    let code = match refused.status {
        401 => json!("invalid_api_key"),
        429 => json!("rate_limit_exceeded"),
        _ => Value::Null,
    };
    let answer = error(refused.status, &refused.message, Value::Null, code);
    if refused.status == 429 { answer.with("retry-after", "7") } else { answer }
}

fn error(status: u16, message: &str, param: Value, code: Value) -> Answer {
    Answer::json(status, &json!({"error": {"message": message, "type": kind(status), "param": param, "code": code}}))
}

fn kind(status: u16) -> &'static str {
    match status {
        429 => "requests",
        500.. => "server_error",
        _ => "invalid_request_error",
    }
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        streamed: body["stream"] == true,
        ..Asked::default()
    };
    let mut open: Vec<&str> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        if role != "tool" && !open.is_empty() {
            return Err(Refused::bad(
                "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'.",
            ));
        }
        match role {
            "assistant" => {
                asked.results.clear();
                open.extend(message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str()));
            }
            "tool" => {
                let id = open.iter().position(|id| message["tool_call_id"] == *id).ok_or_else(|| {
                    Refused::bad("messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.")
                })?;
                open.remove(id);
                asked.results.push(texts(&message["content"]));
            }
            "user" => {
                asked.prompt = texts(&message["content"]);
                asked.results.clear();
                for part in message["content"].as_array().into_iter().flatten() {
                    asked.media.extend(media(part)?);
                }
            }
            _ => {}
        }
    }
    if !open.is_empty() {
        return Err(Refused::bad("The following tool_call_ids did not have response messages."));
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        asked.tools.push(tool_named(&function["name"], &function["parameters"])?);
    }
    asked.choice = match &body["tool_choice"] {
        Value::String(word) if word == "none" => Choice::None,
        Value::String(word) if word == "required" => Choice::Any,
        Value::Object(choice) if choice["type"] == "function" => {
            Choice::Named(choice["function"]["name"].as_str().unwrap_or_default().to_owned())
        }
        _ => Choice::Free,
    };
    asked.output = match body["response_format"]["type"].as_str() {
        Some("json_object") => Output::Json,
        Some("json_schema") => strict_schema(&body["response_format"]["json_schema"])?,
        _ => Output::Free,
    };
    asked.stops = list(&body["stop"]);
    Ok(asked)
}

/// A schema for structured output; a strict one closes its objects
/// (<https://platform.openai.com/docs/guides/structured-outputs#supported-schemas>).
pub(super) fn strict_schema(format: &Value) -> Result<Output, Refused> {
    let schema = &format["schema"];
    if format["strict"] == true && schema["additionalProperties"] != false {
        return Err(Refused::bad("Invalid schema: 'additionalProperties' is required to be supplied and to be false."));
    }
    Ok(Output::Schema(schema.clone()))
}

/// A tool, whose name has to be of letters, digits, `_` and `-`.
pub(super) fn tool_named(name: &Value, schema: &Value) -> Result<Tool, Refused> {
    let name = name.as_str().unwrap_or_default();
    let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
    if name.is_empty() || name.len() > 64 || !name.chars().all(fits) {
        return Err(Refused::bad("Invalid tool name: expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."));
    }
    Ok(Tool { name: name.to_owned(), schema: schema.clone() })
}

/// A text, or the texts of parts.
pub(super) fn texts(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        parts => parts.as_array().into_iter().flatten().filter_map(|part| part["text"].as_str()).collect(),
    }
}

/// A text or texts.
pub(super) fn list(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        texts => texts.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
    }
}

fn media(part: &Value) -> Result<Option<Media>, Refused> {
    Ok(Some(match part["type"].as_str() {
        Some("image_url") => Media::at(part["image_url"]["url"].as_str().unwrap_or_default())?,
        Some("input_audio") => {
            let kind = if part["input_audio"]["format"] == "wav" { "audio/wav" } else { "audio/mpeg" };
            Media::inline(kind, part["input_audio"]["data"].as_str().unwrap_or_default())?
        }
        Some("file") => match part["file"]["file_data"].as_str() {
            Some(data) if part["file"]["filename"].is_string() => Media::at(data)?,
            _ => return Err(Refused::bad("A file needs 'file_data' and 'filename'.")),
        },
        _ => return Ok(None),
    }))
}

fn usage(turn: &Turn) -> Value {
    json!({
        "prompt_tokens": script::INPUT_TOKENS,
        "completion_tokens": script::OUTPUT_TOKENS,
        "total_tokens": script::INPUT_TOKENS + script::OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": script::CACHED_TOKENS, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": turn.thought_tokens(), "audio_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0}})
}

fn reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Calls => "tool_calls",
        Finish::Filter => "content_filter",
        Finish::Length => "length",
        Finish::Stop => "stop",
    }
}

fn completion(turn: &Turn, body: &Value) -> Value {
    let mut message = json!({"role": "assistant", "content": turn.text, "refusal": null, "annotations": []});
    if !turn.calls.is_empty() {
        let call = |call: &script::Call| {
            json!({"id": call.id, "type": "function",
                "function": {"name": call.name, "arguments": call.arguments.to_string()}})
        };
        message["tool_calls"] = turn.calls.iter().map(call).collect();
    }
    if let Some(thoughts) = turn.thoughts.filter(|_| shows_thoughts(body)) {
        message["reasoning_content"] = json!(thoughts);
    }
    json!({
        "id": "chatcmpl-scripted", "object": "chat.completion", "created": 1_700_000_000, "model": body["model"],
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": reason(turn.finish)}],
        "usage": usage(turn), "service_tier": "default", "system_fingerprint": "fp_scripted"})
}

/// OpenAI keeps its thoughts to itself; those that are compatible with it show them, in DeepSeek's field
/// (<https://api-docs.deepseek.com/guides/reasoning_model>).
fn shows_thoughts(body: &Value) -> bool {
    script::Words::of(body["model"].as_str().unwrap_or_default()).has("deepseek")
}

fn stream(turn: &Turn, body: &Value) -> Stream {
    let with_usage = body["stream_options"]["include_usage"] == true;
    let chunk = |choices: Value, usage: Value| {
        let mut chunk = json!({"id": "chatcmpl-scripted", "object": "chat.completion.chunk", "created": 1_700_000_000,
            "model": body["model"], "service_tier": "default", "system_fingerprint": "fp_scripted", "choices": choices});
        if with_usage {
            chunk["usage"] = usage;
        }
        data(&chunk)
    };
    let delta = |delta: Value, reason: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": reason}]), Value::Null)
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": "", "refusal": null}), Value::Null)];
    if let Some(thoughts) = turn.thoughts.filter(|_| shows_thoughts(body)) {
        events.push(delta(json!({"reasoning_content": thoughts}), Value::Null));
    }
    if let Some(text) = &turn.text {
        let (first, rest) = Turn::halves(text);
        events.push(delta(json!({"content": first}), Value::Null));
        events.push(delta(json!({"content": rest}), Value::Null));
    }
    for (index, call) in turn.calls.iter().enumerate() {
        let arguments = call.arguments.to_string();
        let (first, rest) = Turn::halves(&arguments);
        let function = json!({"name": call.name, "arguments": ""});
        let start = json!({"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]});
        events.push(delta(start, Value::Null));
        for piece in [first, rest] {
            let more = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            events.push(delta(more, Value::Null));
        }
    }
    events.push(delta(json!({}), json!(reason(turn.finish))));
    if with_usage {
        events.push(chunk(json!([]), usage(turn)));
    }
    let failure = json!({"error": {"message": "The server had an error while processing your request.",
        "type": "server_error", "param": null, "code": null}});
    Stream { events, done: Some(b"data: [DONE]\n\n".to_vec()), failure: data(&failure) }
}
