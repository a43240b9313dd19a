//! Mistral chat completions, after its API reference (<https://docs.mistral.ai/api/#tag/chat>): much like OpenAI's and not the same. It has
//! the same path, so that it stands below `/mistral` here.
//!
//! Key: `authorization: Bearer KEY`. Errors: `{"object": "error", message, type, param, code}`, and 422 for a body that is not as
//! documented.

use serde_json::{Value, json};

use super::Seen;
use super::deliver::{Answer, Stream, data};
use super::openai::{list, texts};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};

const TEXT: &[Field] = &[must("text", Shape::Text)];
const THINKING: &[Field] =
    &[must("thinking", Shape::List(&Shape::Tagged("type", &[("text", TEXT)]))), may("closed", Shape::Bool)];
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT)]))]);
const URL: Shape = Shape::Either(&[
    Shape::Text,
    Shape::Fields(&[must("url", Shape::Text), may("detail", Shape::Nullable(&Shape::Word(&["auto", "low", "high"])))]),
]);
const USER: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(&Shape::Tagged(
        "type",
        &[
            ("text", TEXT),
            ("image_url", &[must("image_url", URL)]),
            ("document_url", &[must("document_url", Shape::Text), may("document_name", Shape::Nullable(&Shape::Text))]),
            ("input_audio", &[must("input_audio", Shape::Text)]),
        ],
    )),
]);
const CALL: Shape = Shape::Fields(&[
    must("id", Shape::Text),
    must(
        "function",
        Shape::Fields(&[must("name", Shape::Text), must("arguments", Shape::Either(&[Shape::Text, Shape::Object]))]),
    ),
    may("index", Shape::Int),
    may("type", Shape::Word(&["function"])),
]);
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("system", &[must("content", TEXTS)]),
        ("user", &[must("content", USER)]),
        (
            "assistant",
            &[
                may(
                    "content",
                    Shape::Nullable(&Shape::Either(&[
                        Shape::Text,
                        Shape::List(&Shape::Tagged("type", &[("text", TEXT), ("thinking", THINKING)])),
                    ])),
                ),
                may("prefix", Shape::Bool),
                may("tool_calls", Shape::Nullable(&Shape::List(&CALL))),
            ],
        ),
        ("tool", &[must("content", TEXTS), may("name", Shape::Nullable(&Shape::Text)), must("tool_call_id", Shape::Text)]),
    ],
);
const FUNCTION: Shape = Shape::Fields(&[
    must("name", Shape::Text),
    may("description", Shape::Text),
    must("parameters", Shape::Object),
    may("strict", Shape::Bool),
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
                    must("schema", Shape::Object),
                    may("description", Shape::Nullable(&Shape::Text)),
                    may("strict", Shape::Bool),
                ]),
            )],
        ),
    ],
);
const CHAT: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    may("frequency_penalty", Shape::Number),
    may("max_tokens", Shape::Nullable(&Shape::Int)),
    may("n", Shape::Nullable(&Shape::Int)),
    may("parallel_tool_calls", Shape::Bool),
    may("prediction", Shape::Object),
    may("presence_penalty", Shape::Number),
    may("prompt_mode", Shape::Nullable(&Shape::Word(&["reasoning"]))),
    may("random_seed", Shape::Nullable(&Shape::Int)),
    may("reasoning_effort", Shape::Nullable(&Shape::Word(&["none", "high"]))),
    may("response_format", FORMAT),
    may("safe_prompt", Shape::Bool),
    may("stop", Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)])),
    may("stream", Shape::Bool),
    may("temperature", Shape::Nullable(&Shape::Number)),
    may(
        "tool_choice",
        Shape::Either(&[
            Shape::Word(&["auto", "none", "any", "required"]),
            Shape::Fields(&[
                may("type", Shape::Word(&["function"])),
                must("function", Shape::Fields(&[must("name", Shape::Text)])),
            ]),
        ]),
    ),
    may(
        "tools",
        Shape::Nullable(&Shape::List(&Shape::Fields(&[may("type", Shape::Word(&["function"])), must("function", FUNCTION)]))),
    ),
    may("top_p", Shape::Number),
]);

/// Answers `/v1/chat/completions`.
pub(super) fn chat(seen: &Seen, reply: &str) -> Answer {
    match seen.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        Some(key) if !key.is_empty() && !key.contains("wrong") => {}
        _ => return Answer::json(401, &json!({"detail": "Unauthorized"})),
    }
    if let Err(fault) = check(&CHAT, &seen.body) {
        return faulty(&fault);
    }
    match asked(&seen.body).and_then(|asked| Ok((script::play(&asked, reply)?, asked))) {
        Err(refused) => {
            let answer = error(refused.status, &refused.message);
            if refused.status == 429 { answer.with("retry-after", "7") } else { answer }
        }
        Ok((turn, asked)) if asked.streamed => Answer::events(stream(&turn, &seen.body)),
        Ok((turn, _)) => {
            let mut message = json!({"role": "assistant", "content": content(&turn), "tool_calls": null, "prefix": false});
            if !turn.calls.is_empty() {
                message["tool_calls"] = calls(&turn);
            }
            let choice = json!({"index": 0, "message": message, "finish_reason": reason(&turn)});
            Answer::json(
                200,
                &json!({"id": "scripted", "object": "chat.completion", "created": 1_700_000_000,
                "model": seen.body["model"], "choices": [choice], "usage": usage()}),
            )
        }
    }
}

/// Answers `/v1/embeddings`: OpenAI's, with another name for the dimensions (<https://docs.mistral.ai/api/endpoint/embeddings>).
pub(super) fn embeddings(body: &Value) -> Answer {
    let mut body = body.clone();
    if body["dimensions"].is_null()
        && let Some(fields) = body.as_object_mut()
        && let Some(dimensions) = fields.remove("output_dimension")
    {
        fields.insert("dimensions".into(), dimensions);
    } else if !body["dimensions"].is_null() {
        return error(422, "dimensions: Extra inputs are not permitted");
    }
    super::embeddings::embeddings(&body)
}

fn faulty(fault: &Fault) -> Answer {
    let (kind, said) = match fault.what {
        What::Missing => ("missing", "Field required"),
        What::Type => ("type_error", "Input should be of another type"),
        What::Unknown => ("extra_forbidden", "Extra inputs are not permitted"),
        What::Value => ("literal_error", "Input should be one of the expected values"),
    };
    let mut place = vec!["body".to_owned()];
    place.extend(fault.dots().split('.').map(str::to_owned));
    let detail = json!([{"type": kind, "loc": place, "msg": said}]);
    let message = json!({"detail": detail});
    Answer::json(
        422,
        &json!({"object": "error", "message": message, "type": "invalid_request_error", "param": null, "code": null}),
    )
}

fn error(status: u16, message: &str) -> Answer {
    let kind = if status == 429 { "rate_limited" } else { "invalid_request_error" };
    Answer::json(status, &json!({"object": "error", "message": message, "type": kind, "param": null, "code": "3000"}))
}

/// An id has nine letters and digits.
fn id(call: &script::Call) -> String {
    format!("scripted{}", call.id.chars().last().unwrap_or('0'))
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        streamed: body["stream"] == true,
        stops: list(&body["stop"]),
        ..Asked::default()
    };
    let mut open: Vec<&str> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["id"]);
        if let Some(id) = calls.chain([&message["tool_call_id"]]).filter_map(Value::as_str).find(|id| !is_id(id)) {
            let said = format!("Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9.");
            return Err(Refused::bad(said));
        }
        match message["role"].as_str() {
            Some("assistant") => {
                asked.results.clear();
                open = message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str()).collect();
            }
            Some("tool") => {
                let at = open.iter().position(|id| message["tool_call_id"] == *id);
                open.remove(at.ok_or_else(|| Refused::bad("Unexpected tool call id in tool results"))?);
                asked.results.push(texts(&message["content"]));
            }
            Some(role) if !open.is_empty() => {
                return Err(Refused::bad(format!("Not the same number of function calls and responses before role {role}")));
            }
            Some("user") => {
                asked.results.clear();
                asked.prompt = texts(&message["content"]);
                for part in message["content"].as_array().into_iter().flatten() {
                    let image = &part["image_url"];
                    let url = image.as_str().or_else(|| image["url"].as_str()).or_else(|| part["document_url"].as_str());
                    if let Some(url) = url {
                        asked.media.push(Media::at(url)?);
                    }
                    if let Some(sound) = part["input_audio"].as_str() {
                        asked.media.push(Media::inline("audio", sound)?);
                    }
                }
            }
            _ => {}
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let name = tool["function"]["name"].as_str().unwrap_or_default().to_owned();
        asked.tools.push(Tool { name, schema: tool["function"]["parameters"].clone() });
    }
    asked.choice = match &body["tool_choice"] {
        Value::String(word) if word == "none" => Choice::None,
        Value::String(word) if word != "auto" => Choice::Any,
        Value::Object(choice) => Choice::Named(choice["function"]["name"].as_str().unwrap_or_default().to_owned()),
        _ => Choice::Free,
    };
    asked.output = match body["response_format"]["type"].as_str() {
        Some("json_object") => Output::Json,
        Some("json_schema") => Output::Schema(body["response_format"]["json_schema"]["schema"].clone()),
        _ => Output::Free,
    };
    Ok(asked)
}

fn is_id(id: &str) -> bool {
    id.len() == 9 && id.chars().all(|letter| letter.is_ascii_alphanumeric())
}

fn thinking(thoughts: &str) -> Value {
    json!({"type": "thinking", "thinking": [{"type": "text", "text": thoughts}], "closed": true})
}

/// A text; parts only where there are thoughts.
fn content(turn: &Turn) -> Value {
    let text = turn.text.clone().unwrap_or_default();
    match turn.thoughts {
        None => json!(text),
        Some(thoughts) => json!([thinking(thoughts), {"type": "text", "text": text}]),
    }
}

fn calls(turn: &Turn) -> Value {
    let call = |(index, call): (usize, &script::Call)| {
        json!({"id": id(call), "index": index, "type": "function",
            "function": {"name": call.name, "arguments": call.arguments.to_string()}})
    };
    turn.calls.iter().enumerate().map(call).collect()
}

fn reason(turn: &Turn) -> &'static str {
    match turn.finish {
        Finish::Calls => "tool_calls",
        Finish::Filter => "error",
        Finish::Length => "length",
        Finish::Stop => "stop",
    }
}

fn usage() -> Value {
    json!({"prompt_tokens": script::INPUT_TOKENS, "completion_tokens": script::OUTPUT_TOKENS,
        "total_tokens": script::INPUT_TOKENS + script::OUTPUT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": script::CACHED_TOKENS}})
}

/// Calls come in one piece, and the usage with the finish reason, without being asked for.
fn stream(turn: &Turn, body: &Value) -> Stream {
    let chunk = |delta: Value, reason: Value| {
        let choices = json!([{"index": 0, "delta": delta, "finish_reason": reason}]);
        json!({"id": "scripted", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": body["model"],
            "choices": choices})
    };
    let mut events = vec![data(&chunk(json!({"role": "assistant", "content": ""}), Value::Null))];
    if let Some(thoughts) = turn.thoughts {
        events.push(data(&chunk(json!({"content": [thinking(thoughts)]}), Value::Null)));
    }
    if let Some(text) = &turn.text {
        let (first, rest) = Turn::halves(text);
        for half in [first, rest] {
            events.push(data(&chunk(json!({"content": half}), Value::Null)));
        }
    }
    let last = if turn.calls.is_empty() { json!({"content": ""}) } else { json!({"content": "", "tool_calls": calls(turn)}) };
    let mut last = chunk(last, json!(reason(turn)));
    last["usage"] = usage();
    events.push(data(&last));
    let failure = json!({"object": "error", "message": "Service unavailable.", "type": "internal_server_error", "param": null, "code": "3700"});
    Stream { events, done: Some(b"data: [DONE]\n\n".to_vec()), failure: data(&failure) }
}
