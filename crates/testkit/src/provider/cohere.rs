//! Cohere v2 chat, embed and rerank, after its API reference (<https://docs.cohere.com/v2/reference/chat>, `/embed`, `/rerank>`) as the
//! types of its own Python library (`cohere/v2`) state it; and Jina's rerank (<https://api.jina.ai/redoc>), which is of the same kind.
//!
//! Key: `authorization: Bearer KEY`. Errors: `{"id", "message"}`; Jina's `{"detail"}`.

use serde_json::{Value, json};

use super::Seen;
use super::deliver::{Answer, Stream, named};
use super::openai::{list, texts};
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};

const TEXT: &[Field] = &[must("text", Shape::Text)];
const IMAGE: &[Field] =
    &[must("image_url", Shape::Fields(&[must("url", Shape::Text), may("detail", Shape::Word(&["auto", "low", "high"]))]))];
const TEXTS: Shape = Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT)]))]);
const CALL: Shape = Shape::Fields(&[
    must("id", Shape::Text),
    must("type", Shape::Word(&["function"])),
    must("function", Shape::Fields(&[must("name", Shape::Text), must("arguments", Shape::Text)])),
]);
const MESSAGE: Shape = Shape::Tagged(
    "role",
    &[
        ("system", &[must("content", TEXTS)]),
        (
            "user",
            &[must(
                "content",
                Shape::Either(&[Shape::Text, Shape::List(&Shape::Tagged("type", &[("text", TEXT), ("image_url", IMAGE)]))]),
            )],
        ),
        (
            "assistant",
            &[
                may(
                    "content",
                    Shape::Nullable(&Shape::Either(&[
                        Shape::Text,
                        Shape::List(&Shape::Tagged("type", &[("text", TEXT), ("thinking", &[must("thinking", Shape::Text)])])),
                    ])),
                ),
                may("tool_calls", Shape::List(&CALL)),
                may("tool_plan", Shape::Nullable(&Shape::Text)),
                may("citations", Shape::Any),
            ],
        ),
        (
            "tool",
            &[
                must(
                    "content",
                    Shape::Either(&[
                        Shape::Text,
                        Shape::List(&Shape::Tagged("type", &[("text", TEXT), ("document", &[must("document", Shape::Object)])])),
                    ]),
                ),
                must("tool_call_id", Shape::Text),
            ],
        ),
    ],
);
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
const CHAT: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("messages", Shape::List(&MESSAGE)),
    may("citation_options", Shape::Object),
    may("documents", Shape::List(&Shape::Any)),
    may("frequency_penalty", Shape::Number),
    may("k", Shape::Int),
    may("logprobs", Shape::Bool),
    may("max_tokens", Shape::Int),
    may("p", Shape::Number),
    may("presence_penalty", Shape::Number),
    may("priority", Shape::Int),
    may(
        "response_format",
        Shape::Tagged(
            "type",
            &[("text", &[]), ("json_object", &[may("json_schema", Shape::Object), may("schema", Shape::Object)])],
        ),
    ),
    may("safety_mode", Shape::Word(&["CONTEXTUAL", "STRICT", "OFF"])),
    may("seed", Shape::Int),
    may("stop_sequences", Shape::List(&Shape::Text)),
    may("stream", Shape::Bool),
    may("strict_tools", Shape::Bool),
    may("temperature", Shape::Number),
    may("thinking", Shape::Tagged("type", &[("enabled", &[may("token_budget", Shape::Int)]), ("disabled", &[])])),
    may("tool_choice", Shape::Word(&["REQUIRED", "NONE"])),
    may("tools", Shape::List(&TOOL)),
]);
const EMBED: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("input_type", Shape::Word(&["search_document", "search_query", "classification", "clustering", "image"])),
    may("embedding_types", Shape::List(&Shape::Word(&["float", "int8", "uint8", "binary", "ubinary", "base64"]))),
    may("images", Shape::List(&Shape::Text)),
    may("inputs", Shape::List(&Shape::Object)),
    may("max_tokens", Shape::Int),
    may("output_dimension", Shape::Int),
    may("priority", Shape::Int),
    may("texts", Shape::List(&Shape::Text)),
    may("truncate", Shape::Word(&["NONE", "START", "END"])),
]);
const RERANK: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("query", Shape::Text),
    must("documents", Shape::List(&Shape::Text)),
    may("max_tokens_per_doc", Shape::Int),
    may("priority", Shape::Int),
    may("top_n", Shape::Int),
]);
const JINA_RERANK: Shape = Shape::Fields(&[
    must("model", Shape::Text),
    must("query", Shape::Text),
    must("documents", Shape::List(&Shape::Either(&[Shape::Text, Shape::Fields(&[must("text", Shape::Text)])]))),
    may("return_documents", Shape::Bool),
    may("top_n", Shape::Int),
]);

/// Answers `/v2/chat`, `/v2/embed` or `/v2/rerank`.
pub(super) fn method(method: &str, seen: &Seen, reply: &str) -> Answer {
    if let Err(no) = authorise(seen) {
        return no;
    }
    let body = &seen.body;
    let shape = match method {
        "chat" => &CHAT,
        "embed" => &EMBED,
        _ => &RERANK,
    };
    if let Err(fault) = check(shape, body) {
        return error(400, &said(&fault));
    }
    let turn = asked(body).and_then(|asked| Ok((script::play(&asked, reply)?, asked)));
    match (method, turn) {
        (_, Err(refused)) => refusal(&refused),
        ("embed", Ok(_)) => embedded(body),
        ("rerank", Ok(_)) => {
            let meta = json!({"api_version": {"version": "2"}, "billed_units": {"search_units": 1}});
            Answer::json(200, &json!({"id": "scripted", "results": ranked(body), "meta": meta}))
        }
        (_, Ok((turn, asked))) if asked.streamed => Answer::events(stream(&turn)),
        (_, Ok((turn, _))) => Answer::json(200, &whole(&turn)),
    }
}

/// Answers Jina's `/v1/rerank`.
pub(super) fn jina(seen: &Seen) -> Answer {
    let bad = |status: u16, message: &str| Answer::json(status, &json!({"detail": message}));
    if authorise(seen).is_err() {
        return bad(401, "Invalid API key");
    }
    if let Err(fault) = check(&JINA_RERANK, &seen.body) {
        return bad(422, &said(&fault));
    }
    let asked = Asked { model: seen.body["model"].as_str().unwrap_or_default().to_owned(), ..Asked::default() };
    if let Err(refused) = script::play(&asked, "") {
        return bad(refused.status, &refused.message);
    }
    let mut results = ranked(&seen.body);
    for result in &mut results {
        if seen.body["return_documents"] != false {
            let index = result["index"].as_u64().and_then(|index| usize::try_from(index).ok()).unwrap_or_default();
            let document = &seen.body["documents"][index];
            result["document"] = if document.is_string() { json!({"text": document}) } else { document.clone() };
        }
    }
    Answer::json(200, &json!({"model": seen.body["model"], "object": "list", "usage": {"total_tokens": 15}, "results": results}))
}

fn authorise(seen: &Seen) -> Result<(), Answer> {
    match seen.header("authorization").and_then(|value| value.split_once(' ')) {
        // The library writes a small letter.
        Some((kind, key)) if kind.eq_ignore_ascii_case("bearer") && !key.is_empty() && !key.contains("wrong") => Ok(()),
        Some(_) => Err(error(401, "invalid api token")),
        None => Err(error(401, "no api key supplied")),
    }
}

fn said(fault: &Fault) -> String {
    let path = fault.dots();
    match fault.what {
        What::Missing => format!("invalid request: {path} is required"),
        What::Type => format!("invalid type: parameter {path}"),
        What::Unknown => format!("unknown field: parameter '{path}' is not a valid field"),
        What::Value => format!("invalid request: {path} is not one of its values"),
    }
}

fn refusal(refused: &Refused) -> Answer {
    let answer = error(refused.status, &refused.message);
    if refused.status == 429 { answer.with("retry-after", "7") } else { answer }
}

fn error(status: u16, message: &str) -> Answer {
    Answer::json(status, &json!({"id": "scripted", "message": message}))
}

/// Documents that have a word of the query come first, in their order.
fn ranked(body: &Value) -> Vec<Value> {
    let query = body["query"].as_str().unwrap_or_default().to_lowercase();
    let documents = body["documents"].as_array().into_iter().flatten().enumerate();
    let mut results: Vec<(bool, usize)> = documents
        .map(|(index, document)| {
            let text = document.as_str().or_else(|| document["text"].as_str()).unwrap_or_default().to_lowercase();
            (!query.split_whitespace().any(|word| text.contains(word)), index)
        })
        .collect();
    results.sort_unstable();
    let most = body["top_n"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(results.len());
    let score = |far: bool| if far { 0.1 } else { 0.9 };
    results.into_iter().take(most).map(|(far, index)| json!({"index": index, "relevance_score": score(far)})).collect()
}

fn embedded(body: &Value) -> Answer {
    let texts = body["texts"].as_array().or_else(|| body["inputs"].as_array()).map_or(0, Vec::len);
    let vector = script::vector(body["output_dimension"].as_u64());
    let kinds = list(&body["embedding_types"]);
    let mut embeddings = json!({});
    for kind in if kinds.is_empty() { vec!["float".to_owned()] } else { kinds } {
        let one = match kind.as_str() {
            "float" => json!(vector),
            "base64" => json!(super::embeddings::base64(&vector)),
            _ => json!(vec![1; vector.len()]),
        };
        embeddings[&kind] = json!(vec![one; texts]);
    }
    let meta = json!({"api_version": {"version": "2"}, "billed_units": {"input_tokens": 8}});
    Answer::json(
        200,
        &json!({"response_type": "embeddings_by_type", "id": "scripted", "embeddings": embeddings,
        "texts": body["texts"], "meta": meta}),
    )
}

fn asked(body: &Value) -> Result<Asked, Refused> {
    let mut asked = Asked {
        model: body["model"].as_str().unwrap_or_default().to_owned(),
        streamed: body["stream"] == true,
        stops: list(&body["stop_sequences"]),
        prompt: body["query"].as_str().unwrap_or_default().to_owned(),
        ..Asked::default()
    };
    let mut open: Vec<&str> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        match message["role"].as_str() {
            Some("assistant") => {
                asked.results.clear();
                open = message["tool_calls"].as_array().into_iter().flatten().filter_map(|call| call["id"].as_str()).collect();
            }
            Some("tool") => {
                let id = open.iter().position(|id| message["tool_call_id"] == *id);
                open.remove(id.ok_or_else(|| Refused::bad("invalid request: tool_call_id of no tool call"))?);
                asked.results.push(result(&message["content"]));
            }
            Some("user") => {
                asked.results.clear();
                asked.prompt = texts(&message["content"]);
                for part in message["content"].as_array().into_iter().flatten() {
                    if let Some(url) = part["image_url"]["url"].as_str() {
                        asked.media.push(Media::at(url)?);
                    }
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
    asked.choice = match body["tool_choice"].as_str() {
        Some("NONE") => Choice::None,
        Some(_) => Choice::Any,
        None => Choice::Free,
    };
    let format = &body["response_format"];
    let schema = if format["json_schema"].is_object() { &format["json_schema"] } else { &format["schema"] };
    asked.output = match (format["type"] == "json_object", schema.is_object()) {
        (true, true) => Output::Schema(schema.clone()),
        (true, false) => Output::Json,
        _ => Output::Free,
    };
    Ok(asked)
}

/// The text of a tool's result; a document has it in its data.
fn result(content: &Value) -> String {
    let mut all = texts(content);
    for part in content.as_array().into_iter().flatten() {
        let data = &part["document"]["data"];
        all += &data.as_str().map_or_else(|| if data.is_null() { String::new() } else { data.to_string() }, str::to_owned);
    }
    all
}

fn reason(turn: &Turn) -> &'static str {
    match turn.finish {
        Finish::Calls => "TOOL_CALL",
        Finish::Filter => "ERROR",
        Finish::Length => "MAX_TOKENS",
        Finish::Stop if turn.stopped_by.is_some() => "STOP_SEQUENCE",
        Finish::Stop => "COMPLETE",
    }
}

fn usage() -> Value {
    json!({"billed_units": {"input_tokens": script::INPUT_TOKENS, "output_tokens": script::OUTPUT_TOKENS},
        "tokens": {"input_tokens": script::INPUT_TOKENS, "output_tokens": script::OUTPUT_TOKENS},
        "cached_tokens": script::CACHED_TOKENS})
}

fn call(call: &script::Call, arguments: &str) -> Value {
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": arguments}})
}

fn whole(turn: &Turn) -> Value {
    let mut content = Vec::new();
    content.extend(turn.thoughts.map(|thoughts| json!({"type": "thinking", "thinking": thoughts})));
    content.extend(turn.text.as_ref().map(|text| json!({"type": "text", "text": text})));
    let mut message = json!({"role": "assistant"});
    if !content.is_empty() {
        message["content"] = json!(content);
    }
    if !turn.calls.is_empty() {
        message["tool_plan"] = json!("I call a tool.");
        message["tool_calls"] = turn.calls.iter().map(|one| call(one, &one.arguments.to_string())).collect();
    }
    json!({"id": "scripted", "finish_reason": reason(turn), "message": message, "usage": usage()})
}

fn stream(turn: &Turn) -> Stream {
    let event = |value: Value| named(value["type"].as_str().unwrap_or_default(), &value);
    let start = json!({"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []});
    let mut events = vec![event(json!({"id": "scripted", "type": "message-start", "delta": {"message": start}}))];
    let blocks = [("thinking", turn.thoughts), ("text", turn.text.as_deref())];
    for (index, (kind, text)) in blocks.into_iter().filter_map(|(kind, text)| Some((kind, text?))).enumerate() {
        let content = |text: &str, typed: bool| {
            let mut content = json!({});
            content[kind] = json!(text);
            if typed {
                content["type"] = json!(kind);
            }
            json!({"message": {"content": content}})
        };
        events.push(event(json!({"type": "content-start", "index": index, "delta": content("", true)})));
        let (first, rest) = Turn::halves(text);
        for half in [first, rest] {
            events.push(event(json!({"type": "content-delta", "index": index, "delta": content(half, false)})));
        }
        events.push(event(json!({"type": "content-end", "index": index})));
    }
    if !turn.calls.is_empty() {
        events.push(event(json!({"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I call a tool."}}})));
    }
    for (index, one) in turn.calls.iter().enumerate() {
        let delta = |calls: Value| json!({"message": {"tool_calls": calls}});
        events.push(event(json!({"type": "tool-call-start", "index": index, "delta": delta(call(one, ""))})));
        let arguments = one.arguments.to_string();
        let (first, rest) = Turn::halves(&arguments);
        for half in [first, rest] {
            let piece = delta(json!({"function": {"arguments": half}}));
            events.push(event(json!({"type": "tool-call-delta", "index": index, "delta": piece})));
        }
        events.push(event(json!({"type": "tool-call-end", "index": index})));
    }
    let end = |reason: &str, more: Value| {
        let mut delta = json!({"finish_reason": reason, "usage": usage()});
        if !more.is_null() {
            delta["error"] = more;
        }
        event(json!({"type": "message-end", "id": "scripted", "delta": delta}))
    };
    events.push(end(reason(turn), Value::Null));
    Stream { events, done: Some(b"data: [DONE]\n\n".to_vec()), failure: end("ERROR", json!("internal server error")) }
}
