//! OpenAI responses, after its API reference (<https://platform.openai.com/docs/api-reference/responses>) as the types of its own
//! Python library state it: each field of a request below is one of `responses/response_create_params.py`, each of an answer one of
//! `responses/response.py` and `responses/response_stream_event.py`. Tools that run at the provider are not played.
//!
//! Key and errors: as for chat completions.

use serde_json::{Value, json};

use super::deliver::{Answer, Stream, named};
use super::openai::{EFFORT, faulty, refusal, strict_schema, texts, tool_named};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Turn};
use super::shape::{Field, Shape, check, may, must};

const MAYBE_TEXT: Shape = Shape::Nullable(&Shape::Text);
const MAYBE_INT: Shape = Shape::Nullable(&Shape::Int);
const MAYBE_BOOL: Shape = Shape::Nullable(&Shape::Bool);
const STATUS: Field = may("status", Shape::Nullable(&Shape::Word(&["in_progress", "completed", "incomplete"])));
const BREAKPOINT: Field = may("prompt_cache_breakpoint", Shape::Object);
const IMAGE: &[Field] = &[
    may("detail", Shape::Word(&["low", "high", "auto", "original"])),
    may("file_id", MAYBE_TEXT),
    may("image_url", MAYBE_TEXT),
    BREAKPOINT,
];
const FILE: &[Field] = &[
    may("detail", Shape::Word(&["auto", "low", "high"])),
    may("file_data", Shape::Text),
    may("file_id", MAYBE_TEXT),
    may("file_url", Shape::Text),
    may("filename", Shape::Text),
    BREAKPOINT,
];
const INPUT_TEXT: &[Field] = &[must("text", Shape::Text), BREAKPOINT];
const OUTPUT_TEXT: &[Field] =
    &[must("text", Shape::Text), may("annotations", Shape::List(&Shape::Object)), may("logprobs", Shape::Any)];
const INPUTS: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(&Shape::Tagged("type", &[("input_text", INPUT_TEXT), ("input_image", IMAGE), ("input_file", FILE)])),
]);
const OUTPUTS: Shape = Shape::Either(&[
    Shape::Text,
    Shape::List(&Shape::Tagged("type", &[("output_text", OUTPUT_TEXT), ("refusal", &[must("refusal", Shape::Text)])])),
]);
const TYPE: Field = may("type", Shape::Word(&["message"]));
const PHASE: Field = may("phase", Shape::Nullable(&Shape::Word(&["commentary", "final_answer"])));
const INPUT_MESSAGE: &[Field] = &[must("content", INPUTS), STATUS, TYPE, PHASE];
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("user", INPUT_MESSAGE),
        ("system", INPUT_MESSAGE),
        ("developer", INPUT_MESSAGE),
        ("assistant", &[must("content", OUTPUTS), may("id", Shape::Text), STATUS, TYPE, PHASE]),
    ],
);
const OTHER_ITEM: Shape = Shape::Tagged(
    "type",
    &[
        (
            "function_call",
            &[
                must("arguments", Shape::Text),
                must("call_id", Shape::Text),
                must("name", Shape::Text),
                may("id", MAYBE_TEXT),
                STATUS,
            ],
        ),
        ("function_call_output", &[must("call_id", Shape::Text), must("output", INPUTS), may("id", MAYBE_TEXT), STATUS]),
        (
            "reasoning",
            &[
                must("id", Shape::Text),
                must("summary", Shape::List(&Shape::Tagged("type", &[("summary_text", &[must("text", Shape::Text)])]))),
                may(
                    "content",
                    Shape::Nullable(&Shape::List(&Shape::Tagged("type", &[("reasoning_text", &[must("text", Shape::Text)])]))),
                ),
                may("encrypted_content", MAYBE_TEXT),
                STATUS,
            ],
        ),
        ("item_reference", &[must("id", Shape::Text)]),
    ],
);
const REASONING: Shape = Shape::Fields(&[
    may("effort", EFFORT),
    may("generate_summary", Shape::Nullable(&Shape::Word(&["auto", "concise", "detailed"]))),
    may("summary", Shape::Nullable(&Shape::Word(&["auto", "concise", "detailed"]))),
]);
const FORMAT: Shape = Shape::Tagged(
    "type",
    &[
        ("text", &[]),
        ("json_object", &[]),
        (
            "json_schema",
            &[
                must("name", Shape::Text),
                must("schema", Shape::Object),
                may("description", MAYBE_TEXT),
                may("strict", MAYBE_BOOL),
            ],
        ),
    ],
);
const TOOL: Shape = Shape::Tagged(
    "type",
    &[(
        "function",
        &[
            must("name", Shape::Text),
            may("description", MAYBE_TEXT),
            may("parameters", Shape::Nullable(&Shape::Object)),
            may("strict", MAYBE_BOOL),
        ],
    )],
);
const CHOICE: Shape = Shape::Either(&[
    Shape::Word(&["none", "auto", "required"]),
    Shape::Tagged(
        "type",
        &[
            ("function", &[must("name", Shape::Text)]),
            ("allowed_tools", &[must("mode", Shape::Word(&["auto", "required"])), must("tools", Shape::List(&Shape::Object))]),
        ],
    ),
]);
const CREATE: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    may("background", MAYBE_BOOL),
    may("conversation", Shape::Any),
    may("include", Shape::Nullable(&Shape::List(&Shape::Text))),
    must("input", Shape::Either(&[Shape::Text, Shape::List(&Shape::Object)])),
    may("instructions", MAYBE_TEXT),
    may("max_output_tokens", MAYBE_INT),
    may("max_tool_calls", MAYBE_INT),
    may("metadata", Shape::Nullable(&Shape::Object)),
    may("parallel_tool_calls", MAYBE_BOOL),
    may("previous_response_id", MAYBE_TEXT),
    may("prompt_cache_key", MAYBE_TEXT),
    may("prompt_cache_options", Shape::Object),
    may("prompt_cache_retention", Shape::Nullable(&Shape::Word(&["in_memory", "24h"]))),
    may("reasoning", Shape::Nullable(&REASONING)),
    may("safety_identifier", MAYBE_TEXT),
    may("service_tier", Shape::Nullable(&Shape::Word(&["auto", "default", "flex", "scale", "priority", "fast", "ultrafast"]))),
    may("store", MAYBE_BOOL),
    may("stream", MAYBE_BOOL),
    may("stream_options", Shape::Nullable(&Shape::Fields(&[may("include_obfuscation", Shape::Bool)]))),
    may("temperature", Shape::Nullable(&Shape::Number)),
    may(
        "text",
        Shape::Fields(&[may("format", FORMAT), may("verbosity", Shape::Nullable(&Shape::Word(&["low", "medium", "high"])))]),
    ),
    may("tool_choice", CHOICE),
    may("tools", Shape::List(&TOOL)),
    may("top_logprobs", MAYBE_INT),
    may("top_p", Shape::Nullable(&Shape::Number)),
    may("truncation", Shape::Nullable(&Shape::Word(&["auto", "disabled"]))),
    may("user", Shape::Text),
]);

/// Answers a response; the caller has looked at the key.
pub(super) fn responses(body: &Value, reply: &str) -> Answer {
    let items = body["input"].as_array().into_iter().flatten();
    let checked = items.enumerate().map(|(index, item)| {
        // A message needs no type.
        let message = item.get("type").is_none_or(|kind| kind == "message");
        check(if message { &MESSAGE } else { &OTHER_ITEM }, item).map_err(|fault| fault.under(index).under("input"))
    });
    if let Err(fault) = check(&CREATE, body).and_then(|()| checked.collect::<Result<(), _>>()) {
        return faulty(&fault);
    }
    match asked(body).and_then(|asked| Ok((script::play(&asked, reply)?, asked))) {
        Err(refused) => refusal(&refused),
        Ok((turn, asked)) if asked.streamed => Answer::events(stream(&turn, body)),
        Ok((turn, _)) => Answer::json(200, &response(&turn, body)),
    }
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        streamed: body["stream"] == true,
        prompt: body["input"].as_str().unwrap_or_default().to_owned(),
        ..Asked::default()
    };
    if body["previous_response_id"].is_string() || !body["conversation"].is_null() {
        return Err(Refused { status: 404, message: "Previous response not found.".into() });
    }
    let mut open: Vec<&str> = Vec::new();
    for item in body["input"].as_array().into_iter().flatten() {
        match item["type"].as_str() {
            Some("function_call") => {
                asked.results.clear();
                open.extend(item["call_id"].as_str());
            }
            Some("function_call_output") => {
                let id = open.iter().position(|id| item["call_id"] == *id);
                open.remove(id.ok_or_else(|| Refused::bad("No tool call found for function call output."))?);
                asked.results.push(texts(&item["output"]));
            }
            Some("item_reference") => {
                return Err(Refused { status: 404, message: "Items are not persisted when `store` is set to false.".into() });
            }
            Some("reasoning") if item["encrypted_content"] != script::SIGNATURE => {
                return Err(Refused::bad("The encrypted content of a reasoning item could not be verified."));
            }
            Some("reasoning") => {}
            _ => {
                asked.results.clear();
                if item["role"] == "user" {
                    asked.prompt = texts(&item["content"]);
                    for part in item["content"].as_array().into_iter().flatten() {
                        asked.media.extend(media(part)?);
                    }
                }
            }
        }
    }
    if !open.is_empty() {
        return Err(Refused::bad("No tool output found for function call."));
    }
    for tool in body["tools"].as_array().into_iter().flatten() {
        asked.tools.push(tool_named(&tool["name"], &tool["parameters"])?);
    }
    asked.choice = match &body["tool_choice"] {
        Value::String(word) if word == "none" => Choice::None,
        Value::String(word) if word == "required" => Choice::Any,
        Value::Object(choice) if choice["type"] == "function" => {
            Choice::Named(choice["name"].as_str().unwrap_or_default().to_owned())
        }
        _ => Choice::Free,
    };
    asked.output = match body["text"]["format"]["type"].as_str() {
        Some("json_object") => Output::Json,
        Some("json_schema") => strict_schema(&body["text"]["format"])?,
        _ => Output::Free,
    };
    Ok(asked)
}

fn media(part: &Value) -> Result<Option<Media>, Refused> {
    let data = match part["type"].as_str() {
        Some("input_image") => part["image_url"].as_str(),
        Some("input_file") => part["file_data"].as_str().or_else(|| part["file_url"].as_str()),
        _ => return Ok(None),
    };
    Media::at(data.ok_or_else(|| Refused::bad("Files that are kept at the provider are not played."))?).map(Some)
}

/// The items of an answer.
fn output(turn: &Turn, body: &Value) -> Vec<Value> {
    let mut items = Vec::new();
    if let Some(thoughts) = turn.thoughts {
        let shown = body["reasoning"]["summary"].is_string() || body["reasoning"]["generate_summary"].is_string();
        let summary = if shown { json!([{"type": "summary_text", "text": thoughts}]) } else { json!([]) };
        let mut item = json!({"id": "rs_scripted", "type": "reasoning", "summary": summary});
        if body["include"].as_array().is_some_and(|include| include.iter().any(|what| what == "reasoning.encrypted_content")) {
            item["encrypted_content"] = json!(script::SIGNATURE);
        }
        items.push(item);
    }
    let whole = if matches!(turn.finish, Finish::Length | Finish::Filter) { "incomplete" } else { "completed" };
    if let Some(text) = &turn.text {
        let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        items.push(json!({"id": "msg_scripted", "type": "message", "status": whole, "role": "assistant", "content": [part]}));
    }
    for (index, call) in turn.calls.iter().enumerate() {
        items.push(json!({"id": format!("fc_scripted_{index}"), "type": "function_call", "status": "completed",
            "call_id": call.id, "name": call.name, "arguments": call.arguments.to_string()}));
    }
    items
}

fn response(turn: &Turn, body: &Value) -> Value {
    let (status, details) = match turn.finish {
        Finish::Filter => ("incomplete", json!({"reason": "content_filter"})),
        Finish::Length => ("incomplete", json!({"reason": "max_output_tokens"})),
        Finish::Calls | Finish::Stop => ("completed", Value::Null),
    };
    let or = |name: &str, other: Value| if body[name].is_null() { other } else { body[name].clone() };
    json!({
        "id": "resp_scripted", "object": "response", "created_at": 1_700_000_000, "completed_at": 1_700_000_001,
        "status": status, "background": false, "error": null, "incomplete_details": details,
        "instructions": body["instructions"], "max_output_tokens": body["max_output_tokens"],
        "max_tool_calls": body["max_tool_calls"], "metadata": or("metadata", json!({})), "model": body["model"],
        "output": output(turn, body), "parallel_tool_calls": or("parallel_tool_calls", json!(true)),
        "previous_response_id": null, "prompt_cache_key": body["prompt_cache_key"],
        "reasoning": {"effort": body["reasoning"]["effort"], "summary": body["reasoning"]["summary"]},
        "frequency_penalty": 0.0, "presence_penalty": 0.0, "safety_identifier": body["safety_identifier"], "service_tier": "default", "store": or("store", json!(true)),
        "temperature": or("temperature", json!(1.0)), "text": or("text", json!({"format": {"type": "text"}})),
        "tool_choice": or("tool_choice", json!("auto")), "tools": tools(body),
        "top_logprobs": or("top_logprobs", json!(0)), "top_p": or("top_p", json!(1.0)),
        "truncation": or("truncation", json!("disabled")), "user": body["user"],
        "usage": {
            "input_tokens": script::INPUT_TOKENS, "input_tokens_details": {"cached_tokens": script::CACHED_TOKENS},
            "output_tokens": script::OUTPUT_TOKENS, "output_tokens_details": {"reasoning_tokens": turn.thought_tokens()},
            "total_tokens": script::INPUT_TOKENS + script::OUTPUT_TOKENS}})
}

/// The request's tools with everything that it left to the provider.
fn tools(body: &Value) -> Value {
    let whole = |tool: &Value| {
        let mut whole = json!({"description": null, "parameters": null, "strict": true});
        for (name, value) in tool.as_object().into_iter().flatten() {
            whole[name] = value.clone();
        }
        whole
    };
    body["tools"].as_array().into_iter().flatten().map(whole).collect()
}

fn stream(turn: &Turn, body: &Value) -> Stream {
    let whole = response(turn, body);
    let mut open = whole.clone();
    open["status"] = json!("in_progress");
    for (name, value) in
        [("output", json!([])), ("usage", Value::Null), ("completed_at", Value::Null), ("incomplete_details", Value::Null)]
    {
        open[name] = value;
    }
    let mut said =
        vec![json!({"type": "response.created", "response": open}), json!({"type": "response.in_progress", "response": open})];
    for (index, item) in output(turn, body).into_iter().enumerate() {
        say_item(&item, index, &mut said);
    }
    let middle = said.len();
    let end = if whole["status"] == "completed" { "response.completed" } else { "response.incomplete" };
    said.push(json!({"type": end, "response": whole}));
    let event = |(number, mut value): (usize, Value)| {
        value["sequence_number"] = json!(number);
        named(value["type"].as_str().unwrap_or_default(), &value)
    };
    let text = "The server had an error while processing your request.";
    open["status"] = json!("failed");
    open["error"] = json!({"code": "server_error", "message": text});
    let failure = [
        json!({"type": "error", "code": "server_error", "message": text, "param": null}),
        json!({"type": "response.failed", "response": open}),
    ];
    Stream {
        events: said.into_iter().enumerate().map(event).collect(),
        done: None,
        failure: (middle..).zip(failure).flat_map(event).collect(),
    }
}

/// The events of one item: it begins, its parts grow, it is there.
fn say_item(item: &Value, index: usize, said: &mut Vec<Value>) {
    let mut begun = item.clone();
    if item["type"] != "reasoning" {
        begun["status"] = json!("in_progress");
    }
    let mut say = |kind: &str, more: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "output_index": index});
        for (name, value) in more.as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        said.push(event);
    };
    let id = &item["id"];
    match item["type"].as_str() {
        Some("reasoning") => {
            begun["summary"] = json!([]);
            say("output_item.added", json!({"item": begun}));
            for (at, part) in item["summary"].as_array().into_iter().flatten().enumerate() {
                let (first, rest) = Turn::halves(part["text"].as_str().unwrap_or_default());
                let empty = json!({"type": "summary_text", "text": ""});
                say("reasoning_summary_part.added", json!({"item_id": id, "summary_index": at, "part": empty}));
                for delta in [first, rest] {
                    say("reasoning_summary_text.delta", json!({"item_id": id, "summary_index": at, "delta": delta}));
                }
                say("reasoning_summary_text.done", json!({"item_id": id, "summary_index": at, "text": part["text"]}));
                say("reasoning_summary_part.done", json!({"item_id": id, "summary_index": at, "part": part}));
            }
        }
        Some("message") => {
            begun["content"] = json!([]);
            say("output_item.added", json!({"item": begun}));
            let part = &item["content"][0];
            let (first, rest) = Turn::halves(part["text"].as_str().unwrap_or_default());
            let empty = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
            say("content_part.added", json!({"item_id": id, "content_index": 0, "part": empty}));
            for delta in [first, rest] {
                let more = json!({"item_id": id, "content_index": 0, "delta": delta, "logprobs": [], "obfuscation": "x"});
                say("output_text.delta", more);
            }
            say("output_text.done", json!({"item_id": id, "content_index": 0, "text": part["text"], "logprobs": []}));
            say("content_part.done", json!({"item_id": id, "content_index": 0, "part": part}));
        }
        _ => {
            begun["arguments"] = json!("");
            say("output_item.added", json!({"item": begun}));
            let (first, rest) = Turn::halves(item["arguments"].as_str().unwrap_or_default());
            for delta in [first, rest] {
                say("function_call_arguments.delta", json!({"item_id": id, "delta": delta, "obfuscation": "x"}));
            }
            say("function_call_arguments.done", json!({"item_id": id, "arguments": item["arguments"], "name": item["name"]}));
        }
    }
    say("output_item.done", json!({"item": item}));
}
