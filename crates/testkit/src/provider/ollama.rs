//! Ollama chat and embed, after its API document (<https://github.com/ollama/ollama/blob/main/docs/api.md>). A stream is lines of JSON.
//!
//! Key: none. Errors: `{"error": "…"}`. An unknown field is taken silently by Ollama; here it is refused, so that a wrong
//! translation is found.

use serde_json::{Value, json};

use super::deliver::{Answer, Body, Stream};
use super::openai::{list, texts};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, check, may, must};

const CALL: Shape = Shape::Fields(&[
    may("id", Shape::Text),
    may("type", Shape::Text),
    must("function", Shape::Fields(&[must("name", Shape::Text), must("arguments", Shape::Object), may("index", Shape::Int)])),
]);
const PLAIN: &[Field] = &[must("content", Shape::Text)];
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("system", PLAIN),
        ("user", &[must("content", Shape::Text), may("images", Shape::List(&Shape::Text))]),
        ("assistant", &[may("content", Shape::Text), may("thinking", Shape::Text), may("tool_calls", Shape::List(&CALL))]),
        ("tool", &[must("content", Shape::Text), may("tool_name", Shape::Text), may("tool_call_id", Shape::Text)]),
    ],
);
const OPTIONS: Shape = Shape::Fields(&[
    may("frequency_penalty", Shape::Number),
    may("min_p", Shape::Number),
    may("num_ctx", Shape::Int),
    may("num_keep", Shape::Int),
    may("num_predict", Shape::Int),
    may("presence_penalty", Shape::Number),
    may("repeat_last_n", Shape::Int),
    may("repeat_penalty", Shape::Number),
    may("seed", Shape::Int),
    may("stop", Shape::List(&Shape::Text)),
    may("temperature", Shape::Number),
    may("top_k", Shape::Int),
    may("top_p", Shape::Number),
]);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[(
        "function",
        &[must(
            "function",
            Shape::Fields(&[must("name", Shape::Text), may("description", Shape::Text), must("parameters", Shape::Object)]),
        )],
    )],
);
const KEEP: Field = may("keep_alive", Shape::Either(&[Shape::Text, Shape::Number]));
const CHAT: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    may("format", Shape::Either(&[Shape::Word(&["json"]), Shape::Object])),
    KEEP,
    may("logprobs", Shape::Bool),
    may("options", OPTIONS),
    may("stream", Shape::Bool),
    may("think", Shape::Either(&[Shape::Bool, Shape::Word(&["low", "medium", "high"])])),
    may("tools", Shape::List(&TOOL)),
    may("top_logprobs", Shape::Int),
]);
const EMBED: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("input", Shape::Either(&[Shape::Text, Shape::List(&Shape::Text)])),
    may("dimensions", Shape::Int),
    KEEP,
    may("options", Shape::Object),
    may("truncate", Shape::Bool),
]);

/// Answers `/api/chat`.
pub(super) fn chat(body: &Value, reply: &str) -> Answer {
    if let Err(fault) = check(&CHAT, body) {
        return faulty(&fault);
    }
    match asked(body).and_then(|asked| Ok((script::play(&asked, reply)?, asked))) {
        Err(refused) => error(refused.status, &refused.message),
        Ok((turn, asked)) if asked.streamed => stream(&turn, body),
        Ok((turn, _)) => {
            let mut message = json!({"role": "assistant", "content": turn.text.clone().unwrap_or_default()});
            if let Some(thoughts) = thoughts(&turn, body) {
                message["thinking"] = json!(thoughts);
            }
            if !turn.calls.is_empty() {
                message["tool_calls"] = calls(&turn);
            }
            Answer::json(200, &line(body, message, Some(&turn)))
        }
    }
}

/// Answers `/api/embed`.
pub(super) fn embed(body: &Value) -> Answer {
    if let Err(fault) = check(&EMBED, body) {
        return faulty(&fault);
    }
    let vector = script::vector(body["dimensions"].as_u64());
    let vectors = vec![vector; list(&body["input"]).len()];
    Answer::json(
        200,
        &json!({"model": body["model"], "embeddings": vectors, "total_duration": 1, "load_duration": 1,
        "prompt_eval_count": 8}),
    )
}

fn faulty(fault: &Fault) -> Answer {
    error(400, &format!("json: cannot unmarshal field {}: {:?}", fault.dots(), fault.what))
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"error": message}))
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        // Unlike elsewhere, a stream is what one gets.
        streamed: body["stream"] != false,
        stops: list(&body["options"]["stop"]),
        choice: Choice::Free,
        ..Asked::default()
    };
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("assistant") => asked.results.clear(),
            Some("tool") => asked.results.push(texts(&message["content"])),
            Some("user") => {
                asked.results.clear();
                asked.prompt = texts(&message["content"]);
                for image in list(&message["images"]) {
                    asked.media.push(Media::inline("image/png", &image)?);
                }
            }
            _ => {}
        }
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        let function = &tool["function"];
        let name = function["name"].as_str().unwrap_or_default().to_owned();
        asked.tools.push(Tool { name, schema: function["parameters"].clone() });
    }
    asked.output = match &body["format"] {
        Value::String(_) => Output::Json,
        schema @ Value::Object(_) => Output::Schema(schema.clone()),
        _ => Output::Free,
    };
    Ok(asked)
}

/// Thoughts are told apart from the text unless `think` is false.
fn thoughts(turn: &Turn, body: &Value) -> Option<&'static str> {
    turn.thoughts.filter(|_| body["think"] != false)
}

fn calls(turn: &Turn) -> Value {
    turn.calls.iter().map(|call| json!({"function": {"name": call.name, "arguments": call.arguments}})).collect()
}

/// One line; the last one, of which `turn` is the end, has the counts.
fn line(body: &Value, message: Value, turn: Option<&Turn>) -> Value {
    let mut line =
        json!({"model": body["model"], "created_at": "2026-01-01T00:00:00Z", "message": message, "done": turn.is_some()});
    if let Some(turn) = turn {
        line["done_reason"] = json!(if turn.finish == Finish::Length { "length" } else { "stop" });
        for (name, value) in [
            ("total_duration", 4),
            ("load_duration", 1),
            ("prompt_eval_count", script::INPUT_TOKENS),
            ("prompt_eval_duration", 1),
            ("eval_count", script::OUTPUT_TOKENS),
            ("eval_duration", 2),
        ] {
            line[name] = json!(value);
        }
    }
    line
}

fn stream(turn: &Turn, body: &Value) -> Answer {
    let written = |value: &Value| format!("{value}\n").into_bytes();
    let mut events = Vec::new();
    let mut say = |message: Value| events.push(written(&line(body, message, None)));
    if let Some(thoughts) = thoughts(turn, body) {
        say(json!({"role": "assistant", "content": "", "thinking": thoughts}));
    }
    if let Some(text) = &turn.text {
        let (first, rest) = Turn::halves(text);
        for half in [first, rest] {
            say(json!({"role": "assistant", "content": half}));
        }
    }
    if !turn.calls.is_empty() {
        say(json!({"role": "assistant", "content": "", "tool_calls": calls(turn)}));
    }
    // The last line says why it ends and what it took: there is no other mark.
    events.push(written(&line(body, json!({"role": "assistant", "content": ""}), Some(turn))));
    let failure = written(&json!({"error": "an error was encountered while running the model"}));
    let stream = Stream { events, done: None, failure };
    Answer { status: 200, headers: Vec::new(), media_type: "application/x-ndjson", body: Body::Stream(stream) }
}
