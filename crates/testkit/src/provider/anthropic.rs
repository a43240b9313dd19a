//! Anthropic messages and count_tokens, after the API reference (<https://docs.anthropic.com/en/api/messages>) as the types of its own
//! Python library state it: each field of a request below is one of `message_create_params.py`, each of an answer one of
//! `message.py` and `raw_message_stream_event.py`.
//!
//! Key: `x-api-key: KEY` or `authorization: Bearer KEY`, with an `anthropic-version`: the one of 2026-10-21 has no sampling any more and
//! no citations in what the user says (<https://platform.claude.com/docs/en/api/versioning>). Errors: `{"type": "error", "error": {type, message}, "request_id"}`.

use serde_json::{Value, json};

use super::Seen;
use super::deliver::{Answer, Stream, named};
use super::openai::{list, texts};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};

const CACHE: Shape = Shape::Nullable(&Shape::Tagged("type", &[("ephemeral", &[may("ttl", Shape::Word(&["5m", "1h"]))])]));
const TEXT: &[Field] = &[must("text", Shape::Text), may("cache_control", CACHE), may("citations", Shape::Any)];
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT)]))]);
const IMAGES: &[&str] = &["image/jpeg", "image/png", "image/gif", "image/webp"];
const IMAGE: &[Field] = &[
    must(
        "source",
        Shape::Tagged(
            "type",
            &[
                ("base64", &[must("data", Shape::Text), must("media_type", Shape::Word(IMAGES))]),
                ("url", &[must("url", Shape::Text)]),
                ("file", &[must("file_id", Shape::Text)]),
            ],
        ),
    ),
    may("cache_control", CACHE),
    may("transformations", Shape::Nullable(&Shape::Object)),
];
const DOCUMENT: &[Field] = &[
    must(
        "source",
        Shape::Tagged(
            "type",
            &[
                ("base64", &[must("data", Shape::Text), must("media_type", Shape::Word(&["application/pdf"]))]),
                ("text", &[must("data", Shape::Text), must("media_type", Shape::Word(&["text/plain"]))]),
                ("content", &[must("content", Shape::Any)]),
                ("url", &[must("url", Shape::Text)]),
                ("file", &[must("file_id", Shape::Text)]),
            ],
        ),
    ),
    may("cache_control", CACHE),
    may("citations", Shape::Nullable(&Shape::Fields(&[may("enabled", Shape::Bool)]))),
    may("context", Shape::Nullable(&Shape::Text)),
    may("title", Shape::Nullable(&Shape::Text)),
];
const TOOL_RESULT: &[Field] = &[
    must("tool_use_id", Shape::Text),
    may("cache_control", CACHE),
    may(
        "content",
        Shape::Either(&[
            Shape::Text,
            Shape::List(&Shape::Tagged("type", &[("text", TEXT), ("image", IMAGE), ("document", DOCUMENT)])),
        ]),
    ),
    may("is_error", Shape::Bool),
];
const USER: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(&Shape::Tagged(
        "type",
        &[("text", TEXT), ("image", IMAGE), ("document", DOCUMENT), ("tool_result", TOOL_RESULT)],
    )),
]);
const ASSISTANT: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(&Shape::Tagged(
        "type",
        &[
            ("text", TEXT),
            ("thinking", &[must("signature", Shape::Text), must("thinking", Shape::Text)]),
            ("redacted_thinking", &[must("data", Shape::Text)]),
            (
                "tool_use",
                &[
                    must("id", Shape::Text),
                    must("input", Shape::Object),
                    must("name", Shape::Text),
                    may("cache_control", CACHE),
                    may("caller", Shape::Object),
                ],
            ),
        ],
    )),
]);
const MESSAGES: Shape = Shape::List(&Shape::Tagged(
    "role",
    &[("user", &[must("content", USER)]), ("assistant", &[must("content", ASSISTANT)]), ("system", &[must("content", TEXTS)])],
));
const DISPLAY: Field = may("display", Shape::Nullable(&Shape::Word(&["summarized", "omitted"])));
const THINKING: Shape = Shape::Tagged(
    "type",
    &[
        ("enabled", &[must("budget_tokens", Shape::Int), DISPLAY]),
        ("adaptive", &[DISPLAY]),
        ("between_tools", &[]),
        ("disabled", &[]),
    ],
);
const OUTPUT: Shape = Shape::Fields(&[
    may("effort", Shape::Nullable(&Shape::Word(&["low", "medium", "high", "xhigh", "max"]))),
    may("format", Shape::Nullable(&Shape::Tagged("type", &[("json_schema", &[must("schema", Shape::Object)])]))),
]);
const PARALLEL: Field = may("disable_parallel_tool_use", Shape::Bool);
const CHOICE: Shape = Shape::Tagged(
    "type",
    &[("auto", &[PARALLEL]), ("any", &[PARALLEL]), ("tool", &[must("name", Shape::Text), PARALLEL]), ("none", &[])],
);
const TOOL: Shape = Shape::Fields(&[
    must("input_schema", Shape::Object),
    must("name", Shape::Text),
    may("allowed_callers", Shape::List(&Shape::Text)),
    may("cache_control", CACHE),
    may("defer_loading", Shape::Bool),
    may("description", Shape::Text),
    may("eager_input_streaming", Shape::Nullable(&Shape::Bool)),
    may("input_examples", Shape::List(&Shape::Object)),
    may("strict", Shape::Bool),
    may("type", Shape::Nullable(&Shape::Word(&["custom"]))),
]);
const CREATE: Shape = Shape::Fields(&[
    must("max_tokens", Shape::Int),
    must("messages", MESSAGES),
    must("model", Shape::Text),
    may("cache_control", CACHE),
    may("inference_geo", Shape::Nullable(&Shape::Text)),
    may("metadata", Shape::Fields(&[may("user_id", Shape::Nullable(&Shape::Text))])),
    may("output_config", OUTPUT),
    may("service_tier", Shape::Word(&["auto", "standard_only"])),
    may("stop_sequences", Shape::List(&Shape::Text)),
    may("stream", Shape::Bool),
    may("system", TEXTS),
    // Until the version of 2026-10-21.
    may("temperature", Shape::Number),
    may("top_k", Shape::Int),
    may("top_p", Shape::Number),
    may("thinking", THINKING),
    may("tool_choice", CHOICE),
    may("tools", Shape::List(&TOOL)),
]);
const COUNT: Shape = Shape::Fields(&[
    must("messages", MESSAGES),
    must("model", Shape::Text),
    may("cache_control", CACHE),
    may("output_config", OUTPUT),
    may("system", TEXTS),
    may("thinking", THINKING),
    may("tool_choice", CHOICE),
    may("tools", Shape::List(&TOOL)),
]);

/// Answers a message; the caller has looked at the key.
pub(super) fn messages(version: &str, body: &Value, reply: &str) -> Answer {
    if let Err(fault) = check(&CREATE, body) {
        return faulty(&fault);
    }
    if let Some(gone) = gone(version, body) {
        return error(400, &gone);
    }
    match asked(body).and_then(|asked| Ok((script::play(&asked, reply)?, asked))) {
        Err(refused) => refusal(&refused),
        Ok((turn, asked)) if asked.streamed => Answer::events(stream(&turn, body)),
        Ok((turn, _)) => Answer::json(200, &message(body, blocks(&turn, body), &turn)),
    }
}

/// Counts a message's tokens; the caller has looked at the key.
pub(super) fn count(version: &str, body: &Value) -> Answer {
    if let Some(gone) = gone(version, body) {
        return error(400, &gone);
    }
    match check(&COUNT, body) {
        Err(fault) => faulty(&fault),
        Ok(()) => match asked(body) {
            Err(refused) => refusal(&refused),
            Ok(_) => Answer::json(200, &json!({"input_tokens": script::INPUT_TOKENS})),
        },
    }
}

/// Refuses a request without a key or a version, or with a key that says that it is wrong.
pub(super) fn authorise(seen: &Seen) -> Result<(), Answer> {
    let bearer = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    match seen.header("x-api-key").or(bearer) {
        Some(key) if !key.is_empty() && !key.contains("wrong") => {}
        Some(_) => return Err(error(401, "invalid x-api-key")),
        None => return Err(error(401, "x-api-key header is required")),
    }
    match seen.header("anthropic-version") {
        Some(OLD | NEW) => Ok(()),
        _ => Err(error(400, "anthropic-version: header is required")),
    }
}

const OLD: &str = "2023-06-01";
/// The version that newer clients speak.
pub(super) const NEW: &str = "2026-10-21";

/// What a version of the API does not have any more.
fn gone(version: &str, body: &Value) -> Option<String> {
    if version != NEW {
        return None;
    }
    if let Some(name) = ["temperature", "top_k", "top_p"].into_iter().find(|name| body.get(name).is_some()) {
        return Some(format!("{name}: not available in this API version"));
    }
    let users = body["messages"].as_array().into_iter().flatten().filter(|message| message["role"] == "user");
    let mut blocks = users.flat_map(|message| message["content"].as_array().into_iter().flatten());
    let cites = blocks.any(|block| block["citations"].as_array().is_some_and(|list| !list.is_empty()));
    cites.then(|| "citations: not available in user messages in this API version".into())
}

pub(super) fn faulty(fault: &Fault) -> Answer {
    let said = match fault.what {
        What::Missing => "Field required",
        What::Type => "Input should be of another type",
        What::Unknown => "Extra inputs are not permitted",
        What::Value => "Input should be one of the expected values",
    };
    error(400, &format!("{}: {said}", fault.dots()))
}

pub(super) fn refusal(refused: &Refused) -> Answer {
    let answer = error(refused.status, &refused.message);
    if refused.status == 429 { answer.with("retry-after", "7") } else { answer }
}

/// The types of <https://docs.anthropic.com/en/api/errors>.
fn error(status: u16, message: &str) -> Answer {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let body = json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_scripted"});
    Answer::json(status, &body).with("request-id", "req_scripted")
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        streamed: body["stream"] == true,
        stops: list(&body["stop_sequences"]),
        ..Asked::default()
    };
    let (most, budget) = (body["max_tokens"].as_u64(), body["thinking"]["budget_tokens"].as_u64());
    if budget.is_some_and(|budget| budget < 1024 || most.is_some_and(|most| budget >= most)) {
        return Err(Refused::bad("thinking.enabled.budget_tokens: at least 1024, and less than `max_tokens`"));
    }
    if body["temperature"].as_f64().is_some_and(|heat| !(0.0..=1.0).contains(&heat)) {
        return Err(Refused::bad("temperature: range: 0..1"));
    }
    let mut open: Vec<&str> = Vec::new();
    for (index, message) in body["messages"].as_array().into_iter().flatten().enumerate() {
        let user = message["role"] == "user";
        let answered: Vec<_> = message["content"].as_array().into_iter().flatten().map(|block| &block["tool_use_id"]).collect();
        if let Some(id) = open.iter().find(|id| !answered.iter().any(|answered| answered == *id)) {
            let said = "`tool_use` ids were found without `tool_result` blocks immediately after";
            return Err(Refused::bad(format!("messages.{index}: {said}: {id}")));
        }
        if user {
            asked.prompt = texts(&message["content"]);
        }
        asked.results.clear();
        let before = std::mem::take(&mut open);
        for block in message["content"].as_array().into_iter().flatten() {
            read_block(block, &before, &mut open, &mut asked)
                .map_err(|refused| Refused::bad(format!("messages.{index}: {}", refused.message)))?;
        }
    }
    if !open.is_empty() || body["messages"].get(0).is_none() {
        return Err(Refused::bad("messages: at least one message, and a `tool_result` for each `tool_use`"));
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["name"].as_str().unwrap_or_default();
        let fits = |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-';
        if name.is_empty() || name.len() > 128 || !name.chars().all(fits) || tool["input_schema"]["type"] != "object" {
            return Err(Refused::bad("tools: a name that matches '^[a-zA-Z0-9_-]{1,128}$', and a schema of an object"));
        }
        asked.tools.push(Tool { name: name.to_owned(), schema: tool["input_schema"].clone() });
    }
    asked.choice = match body["tool_choice"]["type"].as_str() {
        Some("any") => Choice::Any,
        Some("none") => Choice::None,
        Some("tool") => Choice::Named(body["tool_choice"]["name"].as_str().unwrap_or_default().to_owned()),
        _ => Choice::Free,
    };
    if matches!(body["tool_choice"]["type"].as_str(), Some("any" | "tool")) && budget.is_some() {
        return Err(Refused::bad("Thinking may not be enabled when tool_choice forces tool use."));
    }
    if body["output_config"]["format"].is_object() {
        let schema = &body["output_config"]["format"]["schema"];
        // <https://docs.anthropic.com/en/docs/build-with-claude/structured-outputs>
        if schema["type"] == "object" && schema["additionalProperties"] != false {
            return Err(Refused::bad("output_config.format.schema: For 'object' type, 'additionalProperties' must be false"));
        }
        asked.output = Output::Schema(schema.clone());
    }
    Ok(asked)
}

fn read_block<'a>(block: &'a Value, before: &[&str], open: &mut Vec<&'a str>, asked: &mut Asked) -> Result<(), Refused> {
    let source = &block["source"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    match block["type"].as_str() {
        Some("text") if block["text"] == "" => return Err(Refused::bad("text content blocks must be non-empty")),
        Some("thinking") if block["signature"] != script::SIGNATURE => {
            return Err(Refused::bad("Invalid `signature` in `thinking` block"));
        }
        Some("image" | "document") => asked.media.push(match source["type"].as_str() {
            Some("base64") => Media::inline(&text(&source["media_type"]), &text(&source["data"]))?,
            Some("text") => Media::Inline { media_type: "text/plain".into(), length: text(&source["data"]).len() },
            Some("url") => Media::Link(text(&source["url"])),
            _ => return Err(Refused::bad("this source is not played")),
        }),
        Some("tool_use") => open.extend(block["id"].as_str()),
        Some("tool_result") => {
            if !before.iter().any(|id| block["tool_use_id"] == *id) {
                return Err(Refused::bad("unexpected `tool_use_id` found in `tool_result` blocks"));
            }
            asked.results.push(texts(&block["content"]));
        }
        _ => {}
    }
    Ok(())
}

/// Each block of an answer.
fn blocks(turn: &Turn, body: &Value) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thoughts) = turn.thoughts {
        let shown = if body["thinking"]["display"] == "omitted" { "" } else { thoughts };
        blocks.push(json!({"type": "thinking", "thinking": shown, "signature": script::SIGNATURE}));
    }
    if let Some(text) = &turn.text {
        blocks.push(json!({"type": "text", "text": text, "citations": null}));
    }
    for call in &turn.calls {
        let id = call.id.replace("call_", "toolu_");
        blocks.push(json!({"type": "tool_use", "id": id, "name": call.name, "input": call.arguments}));
    }
    blocks
}

fn message(body: &Value, content: Vec<Value>, turn: &Turn) -> Value {
    let reason = match turn.finish {
        Finish::Calls => "tool_use",
        Finish::Filter => "refusal",
        Finish::Length => "max_tokens",
        Finish::Stop if turn.stopped_by.is_some() => "stop_sequence",
        Finish::Stop => "end_turn",
    };
    json!({
        "id": "msg_scripted", "type": "message", "role": "assistant", "model": body["model"], "content": content,
        "stop_reason": reason, "stop_sequence": turn.stopped_by, "usage": usage(turn)})
}

/// Tokens from the cache are not among `input_tokens`.
fn usage(turn: &Turn) -> Value {
    json!({"input_tokens": script::INPUT_TOKENS - script::CACHED_TOKENS, "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": script::CACHED_TOKENS, "output_tokens": script::OUTPUT_TOKENS,
        "output_tokens_details": {"thinking_tokens": turn.thought_tokens()}, "service_tier": "standard"})
}

fn stream(turn: &Turn, body: &Value) -> Stream {
    let whole = message(body, Vec::new(), turn);
    let mut start = whole.clone();
    start["stop_reason"] = Value::Null;
    start["stop_sequence"] = Value::Null;
    start["usage"]["output_tokens"] = json!(1);
    let event = |value: Value| named(value["type"].as_str().unwrap_or_default(), &value);
    let mut events = vec![event(json!({"type": "message_start", "message": start}))];
    for (index, mut block) in blocks(turn, body).into_iter().enumerate() {
        let mut deltas = Vec::new();
        let mut in_halves = |text: &str, kind: &str, field: &str| {
            let (first, rest) = Turn::halves(text);
            for half in [first, rest] {
                let mut delta = json!({"type": kind});
                delta[field] = json!(half);
                deltas.push(delta);
            }
        };
        match block["type"].as_str() {
            Some("thinking") => {
                in_halves(block["thinking"].as_str().unwrap_or_default(), "thinking_delta", "thinking");
                deltas.push(json!({"type": "signature_delta", "signature": script::SIGNATURE}));
                block["thinking"] = json!("");
                block["signature"] = json!("");
            }
            Some("text") => {
                in_halves(block["text"].as_str().unwrap_or_default(), "text_delta", "text");
                block = json!({"type": "text", "text": ""});
            }
            _ => {
                in_halves(&block["input"].to_string(), "input_json_delta", "partial_json");
                deltas.insert(0, json!({"type": "input_json_delta", "partial_json": ""}));
                block["input"] = json!({});
            }
        }
        events.push(event(json!({"type": "content_block_start", "index": index, "content_block": block})));
        if index == 0 {
            events.push(event(json!({"type": "ping"})));
        }
        for delta in deltas {
            events.push(event(json!({"type": "content_block_delta", "index": index, "delta": delta})));
        }
        events.push(event(json!({"type": "content_block_stop", "index": index})));
    }
    let delta = json!({"stop_reason": whole["stop_reason"], "stop_sequence": whole["stop_sequence"]});
    let mut usage = usage(turn);
    usage.as_object_mut().expect("an object").remove("service_tier");
    events.push(event(json!({"type": "message_delta", "delta": delta, "usage": usage})));
    let done = event(json!({"type": "message_stop"}));
    let failure = json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}});
    Stream { events, done: Some(done), failure: event(failure) }
}
