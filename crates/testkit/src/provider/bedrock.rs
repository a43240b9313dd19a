//! Amazon Bedrock's Converse and ConverseStream, after the API reference
//! (<https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>, `API_runtime_ConverseStream.html` and the types
//! below them).
//!
//! Key: a signature ([`super::sigv4`]) for the service `bedrock`, or `authorization: Bearer KEY`. Errors: `{"message"}` with
//! `x-amzn-ErrorType`; in a stream, a frame of the type `exception`.

use serde_json::{Value, json};

use super::deliver::{Answer, Body, Stream};
use super::event_stream::frame;
use super::openai::list;
use super::script::{self, Asked, Choice, Finish, Media, Output, Refused, Tool, Turn};
use super::shape::{Fault, Field, Shape, What, check, may, must};
use super::{Seen, sigv4};

const BYTES: Shape = Shape::One(&[may("bytes", Shape::Text), may("s3Location", Shape::Object)]);
const IMAGE: Shape = Shape::Fields(&[must("format", Shape::Word(&["png", "jpeg", "gif", "webp"])), must("source", BYTES)]);
const DOCUMENT: Shape = Shape::Fields(&[
    must("name", Shape::Text),
    must("source", Shape::One(&[may("bytes", Shape::Text), may("text", Shape::Text), may("s3Location", Shape::Object)])),
    may("citations", Shape::Fields(&[must("enabled", Shape::Bool)])),
    may("context", Shape::Text),
    may("format", Shape::Word(&["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"])),
]);
const AUDIO: Shape = Shape::Fields(&[
    must("format", Shape::Word(&["mp3", "opus", "wav", "aac", "flac", "mp4", "ogg", "mkv", "mka", "m4a", "webm"])),
    must("source", BYTES),
]);
const CACHE: Field =
    may("cachePoint", Shape::Fields(&[must("type", Shape::Word(&["default"])), may("ttl", Shape::Word(&["5m", "1h"]))]));
const RESULT: Shape = Shape::Fields(&[
    must("toolUseId", Shape::Text),
    must(
        "content",
        Shape::List(&Shape::One(&[
            may("json", Shape::Any),
            may("text", Shape::Text),
            may("image", IMAGE),
            may("document", DOCUMENT),
        ])),
    ),
    may("status", Shape::Word(&["success", "error"])),
]);
const USE: Shape = Shape::Fields(&[must("toolUseId", Shape::Text), must("name", Shape::Text), must("input", Shape::Object)]);
const THOUGHTS: Shape = Shape::One(&[
    may("reasoningText", Shape::Fields(&[must("text", Shape::Text), may("signature", Shape::Text)])),
    may("redactedContent", Shape::Text),
]);
const BLOCK: Shape = Shape::One(&[
    may("text", Shape::Text),
    may("image", IMAGE),
    may("document", DOCUMENT),
    may("audio", AUDIO),
    may("toolUse", USE),
    may("toolResult", RESULT),
    may("reasoningContent", THOUGHTS),
    CACHE,
]);
const MESSAGE: Shape = Shape::Fields(&[must("role", Shape::Word(&["user", "assistant"])), must("content", Shape::List(&BLOCK))]);
const TOOL: Shape = Shape::One(&[
    may(
        "toolSpec",
        Shape::Fields(&[
            must("name", Shape::Text),
            may("description", Shape::Text),
            must("inputSchema", Shape::One(&[may("json", Shape::Object)])),
            may("strict", Shape::Bool),
        ]),
    ),
    CACHE,
]);
const NOTHING: Shape = Shape::Fields(&[]);
const CONVERSE: Shape = Shape::Fields(&[
    must("messages", Shape::List(&MESSAGE)),
    may("additionalModelRequestFields", Shape::Object),
    may("additionalModelResponseFieldPaths", Shape::List(&Shape::Text)),
    may("guardrailConfig", Shape::Object),
    may(
        "inferenceConfig",
        Shape::Fields(&[
            may("maxTokens", Shape::Int),
            may("stopSequences", Shape::List(&Shape::Text)),
            may("temperature", Shape::Number),
            may("topP", Shape::Number),
        ]),
    ),
    may(
        "outputConfig",
        Shape::Fields(&[may(
            "textFormat",
            Shape::Fields(&[
                must("type", Shape::Word(&["json_schema"])),
                must(
                    "structure",
                    Shape::One(&[may(
                        "jsonSchema",
                        // The schema is JSON in a string.
                        Shape::Fields(&[must("schema", Shape::Text), may("name", Shape::Text), may("description", Shape::Text)]),
                    )]),
                ),
            ]),
        )]),
    ),
    may("performanceConfig", Shape::Fields(&[may("latency", Shape::Word(&["standard", "optimized"]))])),
    may("promptVariables", Shape::Object),
    may("requestMetadata", Shape::Object),
    may("serviceTier", Shape::Object),
    may("system", Shape::List(&Shape::One(&[may("text", Shape::Text), CACHE]))),
    may(
        "toolConfig",
        Shape::Fields(&[
            must("tools", Shape::List(&TOOL)),
            may(
                "toolChoice",
                Shape::One(&[
                    may("auto", NOTHING),
                    may("any", NOTHING),
                    may("tool", Shape::Fields(&[must("name", Shape::Text)])),
                ]),
            ),
        ]),
    ),
]);

/// Answers what stands below `/model/`; also the model, with its colon. `None` if it is not played.
pub(super) fn method<'a>(rest: &'a str, seen: &Seen, reply: &str) -> Option<(Answer, &'a str)> {
    let (model, method) = rest.split_once('/')?;
    let stream = match method {
        "converse" => false,
        "converse-stream" => true,
        _ => return None,
    };
    let bearer = seen.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let allowed = match bearer {
        Some(key) if key.is_empty() || key.contains("wrong") => Err("the key is wrong"),
        Some(_) => Ok(()),
        None => sigv4::verify(seen, "bedrock"),
    };
    let answer = match (allowed, check(&CONVERSE, &seen.body)) {
        (Err(why), _) => error(403, &format!("The security token included in the request is invalid: {why}")),
        (_, Err(fault)) => faulty(&fault),
        _ => match asked(model, &seen.body).and_then(|asked| script::play(&asked, reply)) {
            Err(refused) => error(refused.status, &refused.message),
            Ok(turn) if stream => streamed(&turn),
            Ok(turn) => Answer::json(
                200,
                &json!({"output": {"message": {"role": "assistant", "content": blocks(&turn)}}, "stopReason": reason(&turn),
                    "usage": usage(), "metrics": {"latencyMs": 1}}),
            ),
        },
    };
    Some((answer, model))
}

fn faulty(fault: &Fault) -> Answer {
    let path = fault.dots();
    let said = match fault.what {
        What::Missing => format!("Value at '{path}' failed to satisfy constraint: Member must not be null"),
        What::Unknown => format!("The model returned the following errors: extraneous key [{}] is not permitted", fault.name()),
        What::Type | What::Value => format!("Value at '{path}' failed to satisfy constraint"),
    };
    error(400, &said)
}

/// The names of <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>.
fn error(status: u16, message: &str) -> Answer {
    let kind = match status {
        400 => "ValidationException",
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        429 => "ThrottlingException",
        500 => "InternalServerException",
        _ => "ServiceUnavailableException",
    };
    Answer::json(status, &json!({"message": message})).with("x-amzn-errortype", kind).with("x-amzn-requestid", "scripted")
}

/// Cache points (<https://docs.aws.amazon.com/bedrock/latest/userguide/prompt-caching.html>): four, behind something, and only where the model has a cache.
fn points(model: &str, body: &Value) -> Result<(), Refused> {
    let (claude, nova) = (model.contains("anthropic.claude"), model.contains("amazon.nova"));
    let lists = body["messages"].as_array().into_iter().flatten().map(|message| &message["content"]);
    let mut count = 0;
    for (list, takes) in
        lists.chain([&body["system"]]).map(|list| (list, claude || nova)).chain([(&body["toolConfig"]["tools"], claude)])
    {
        let list = list.as_array().map_or(&[][..], Vec::as_slice);
        let points = list.iter().filter(|block| block["cachePoint"].is_object()).count();
        if points > 0 && !takes {
            return Err(Refused::bad("You invoked an unsupported model or your request did not allow prompt caching."));
        }
        if list.first().is_some_and(|block| block["cachePoint"].is_object()) {
            return Err(Refused::bad("There is nothing before a cachePoint"));
        }
        count += points;
    }
    if count > 4 { Err(Refused::bad("A maximum of 4 blocks with cachePoint may be provided.")) } else { Ok(()) }
}

fn asked(model: &str, body: &Value) -> Result<Asked, Refused> {
    let stops = list(&body["inferenceConfig"]["stopSequences"]);
    let mut asked = Asked { model: model.to_owned(), stops, ..Asked::default() };
    points(model, body)?;
    let mut open: Vec<&Value> = Vec::new();
    for message in body["messages"].as_array().into_iter().flatten() {
        let blocks = || message["content"].as_array().into_iter().flatten();
        let answered: Vec<&Value> = blocks().map(|block| &block["toolResult"]["toolUseId"]).filter(|id| id.is_string()).collect();
        if answered.len() != open.len() || !open.iter().all(|id| answered.contains(id)) {
            return Err(Refused::bad("Expected toolResult blocks for each toolUse of the turn before, and no others"));
        }
        open.clear();
        asked.results.clear();
        if message["role"] == "user" {
            asked.prompt = blocks().filter_map(|block| block["text"].as_str()).collect();
        }
        for block in blocks() {
            let calls = block["toolUse"].is_object() || block["toolResult"].is_object();
            if calls && body["toolConfig"].is_null() {
                return Err(Refused::bad(
                    "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
                ));
            }
            let thoughts = &block["reasoningContent"]["reasoningText"];
            if thoughts.is_object() && thoughts["signature"] != script::SIGNATURE {
                return Err(Refused::bad("Invalid `signature` in `thinking` block"));
            }
            if block["text"].as_str().is_some_and(|text| text.trim().is_empty()) {
                return Err(Refused::bad("The text field in the ContentBlock object is blank."));
            }
            open.extend(Some(&block["toolUse"]["toolUseId"]).filter(|id| id.is_string()));
            if block["toolResult"].is_object() {
                asked.results.push(block["toolResult"]["content"].as_array().into_iter().flatten().map(result).collect());
            }
            asked.media.extend(media(block)?);
        }
    }
    if !open.is_empty() {
        return Err(Refused::bad("A conversation must not end with a toolUse"));
    }
    for spec in body["toolConfig"]["tools"].as_array().into_iter().flatten().map(|tool| &tool["toolSpec"]) {
        if spec.is_null() {
            continue;
        }
        let name = spec["name"].as_str().unwrap_or_default().to_owned();
        asked.tools.push(Tool { name, schema: spec["inputSchema"]["json"].clone() });
    }
    let choice = &body["toolConfig"]["toolChoice"];
    asked.choice = match choice["tool"]["name"].as_str() {
        Some(name) => Choice::Named(name.to_owned()),
        None if choice["any"].is_object() => Choice::Any,
        None => Choice::Free,
    };
    if let Some(schema) = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"].as_str() {
        let schema = serde_json::from_str(schema).map_err(|_| Refused::bad("The schema is not JSON."))?;
        asked.output = Output::Schema(schema);
    }
    Ok(asked)
}

fn result(content: &Value) -> String {
    content["text"].as_str().map_or_else(|| content["json"].to_string(), str::to_owned)
}

fn media(block: &Value) -> Result<Option<Media>, Refused> {
    for (kind, family) in [("image", "image"), ("document", "application"), ("audio", "audio")] {
        let one = &block[kind];
        if let Some(bytes) = one["source"]["bytes"].as_str() {
            let media_type = format!("{family}/{}", one["format"].as_str().unwrap_or("octet-stream"));
            return Media::inline(&media_type, bytes).map(Some);
        }
        if let Some(text) = one["source"]["text"].as_str() {
            return Ok(Some(Media::Inline { media_type: "text/plain".into(), length: text.len() }));
        }
        if one.is_object() {
            return Err(Refused::bad("Files that are kept in S3 are not played."));
        }
    }
    Ok(None)
}

fn id(call: &script::Call) -> String {
    call.id.replace("call_", "tooluse_")
}

fn blocks(turn: &Turn) -> Vec<Value> {
    let mut blocks = Vec::new();
    if let Some(thoughts) = turn.thoughts {
        blocks.push(json!({"reasoningContent": {"reasoningText": {"text": thoughts, "signature": script::SIGNATURE}}}));
    }
    blocks.extend(turn.text.as_ref().map(|text| json!({"text": text})));
    let calls = turn.calls.iter();
    blocks.extend(calls.map(|call| json!({"toolUse": {"toolUseId": id(call), "name": call.name, "input": call.arguments}})));
    blocks
}

fn reason(turn: &Turn) -> &'static str {
    match turn.finish {
        Finish::Calls => "tool_use",
        Finish::Filter => "content_filtered",
        Finish::Length => "max_tokens",
        Finish::Stop if turn.stopped_by.is_some() => "stop_sequence",
        Finish::Stop => "end_turn",
    }
}

/// Tokens from the cache are not among `inputTokens`.
fn usage() -> Value {
    json!({"inputTokens": script::INPUT_TOKENS - script::CACHED_TOKENS, "outputTokens": script::OUTPUT_TOKENS,
        "totalTokens": script::INPUT_TOKENS + script::OUTPUT_TOKENS, "cacheReadInputTokens": script::CACHED_TOKENS,
        "cacheWriteInputTokens": 0})
}

fn streamed(turn: &Turn) -> Answer {
    let mut events = Vec::new();
    let mut say = |kind: &str, mut payload: Value| {
        // Every event is padded, so that its length does not tell the text's.
        payload["p"] = json!("abcdefgh");
        let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
        events.push(frame(&headers, payload.to_string().as_bytes()));
    };
    say("messageStart", json!({"role": "assistant"}));
    for (index, block) in blocks(turn).into_iter().enumerate() {
        let mut deltas = Vec::new();
        let halves = |text: &str| {
            let (first, rest) = Turn::halves(text);
            [first.to_owned(), rest.to_owned()]
        };
        if let Some(text) = block["text"].as_str() {
            deltas.extend(halves(text).map(|half| json!({"text": half})));
        } else if let Some(thoughts) = block["reasoningContent"]["reasoningText"]["text"].as_str() {
            deltas.extend(halves(thoughts).map(|half| json!({"reasoningContent": {"text": half}})));
            deltas.push(json!({"reasoningContent": {"signature": script::SIGNATURE}}));
        } else {
            let call = &block["toolUse"];
            let start = json!({"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}});
            say("contentBlockStart", json!({"contentBlockIndex": index, "start": start}));
            deltas.extend(halves(&call["input"].to_string()).map(|half| json!({"toolUse": {"input": half}})));
        }
        for delta in deltas {
            say("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
        }
        say("contentBlockStop", json!({"contentBlockIndex": index}));
    }
    say("messageStop", json!({"stopReason": reason(turn)}));
    say("metadata", json!({"usage": usage(), "metrics": {"latencyMs": 1}}));
    let headers =
        [(":exception-type", "modelStreamErrorException"), (":content-type", "application/json"), (":message-type", "exception")];
    let failure = frame(&headers, br#"{"message":"The model failed in the middle of the stream."}"#);
    let stream = Stream { events, done: None, failure };
    Answer { status: 200, headers: Vec::new(), media_type: "application/vnd.amazon.eventstream", body: Body::Stream(stream) }
}
