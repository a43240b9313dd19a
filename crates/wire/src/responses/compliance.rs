//! The cases of the Open Responses compliance suite (<https://github.com/openresponses/openresponses>, `bin/compliance-test.ts`), each with
//! the schema conditions that it checks, over what is written here. The suite itself runs against the whole gateway elsewhere.
//!
//! | case | here |
//! |---|---|
//! | basic-response | answered |
//! | streaming-response | answered |
//! | system-prompt | answered |
//! | tool-calling, tool-calling-streaming | answered |
//! | function-call-roundtrip | refused as the suite sends it (`previous_response_id`), answered with the items themselves |
//! | image-input, file-input | answered |
//! | multi-turn | answered |
//! | previous-response-id | refused |
//! | file-search, offline-web-search (optional) | refused in a translation: tools of the server |

#![expect(clippy::unwrap_used, reason = "a failed test")]

use lethe_content::ContentBuf;
use lethe_types::Api;
use serde_json::{Value, json};

use super::{Echo, Writer, read_request, write_reply};
use crate::conversation::{
    Arguments, Event, Finish, Identity, Json, PartKind, Reply, Role, Str, StreamWriter, Thinking, ToolCall, Usage, Wanted,
};
use crate::inspect::inspect;
use crate::refusal::Refusal;

/// Members that a schema requires, each with its type: `?` allows `null`.
type Schema = &'static [(&'static str, &'static str)];

const RESPONSE: Schema = &[
    ("id", "string"),
    ("object", "string"),
    ("created_at", "integer"),
    ("completed_at", "integer?"),
    ("status", "string"),
    ("incomplete_details", "object?"),
    ("model", "string"),
    ("previous_response_id", "string?"),
    ("instructions", "string?"),
    ("output", "array"),
    ("error", "object?"),
    ("tools", "array"),
    ("tool_choice", "any"),
    ("truncation", "string"),
    ("parallel_tool_calls", "boolean"),
    ("text", "object"),
    ("top_p", "number"),
    ("presence_penalty", "number"),
    ("frequency_penalty", "number"),
    ("top_logprobs", "integer"),
    ("temperature", "number"),
    ("reasoning", "object?"),
    ("usage", "object?"),
    ("max_output_tokens", "integer?"),
    ("max_tool_calls", "integer?"),
    ("store", "boolean"),
    ("background", "boolean"),
    ("service_tier", "string"),
    ("metadata", "any"),
    ("safety_identifier", "string?"),
    ("prompt_cache_key", "string?"),
];
const USAGE: Schema = &[
    ("input_tokens", "integer"),
    ("output_tokens", "integer"),
    ("total_tokens", "integer"),
    ("input_tokens_details", "object"),
    ("output_tokens_details", "object"),
];
const TOOL: Schema =
    &[("type", "string"), ("name", "string"), ("description", "string?"), ("parameters", "object?"), ("strict", "boolean?")];
const MESSAGE: Schema = &[("type", "string"), ("id", "string"), ("status", "string"), ("role", "string"), ("content", "array")];
const CALL: Schema = &[
    ("type", "string"),
    ("id", "string"),
    ("call_id", "string"),
    ("name", "string"),
    ("arguments", "string"),
    ("status", "string"),
];
const REASONING: Schema = &[("type", "string"), ("id", "string"), ("summary", "array")];
const TEXT_PART: Schema = &[("type", "string"), ("text", "string"), ("annotations", "array"), ("logprobs", "array")];
const REFUSAL_PART: Schema = &[("type", "string"), ("refusal", "string")];
const ERROR: Schema = &[("type", "string"), ("code", "string?"), ("message", "string"), ("param", "string?")];

/// Members of events besides `type` and `sequence_number`.
const EVENTS: &[(&str, Schema)] = &[
    ("error", &[("error", "object")]),
    ("response.completed", &[("response", "object")]),
    ("response.content_part.added", PART),
    ("response.content_part.done", PART),
    ("response.created", &[("response", "object")]),
    ("response.failed", &[("response", "object")]),
    ("response.function_call_arguments.delta", &[("item_id", "string"), ("output_index", "integer"), ("delta", "string")]),
    ("response.function_call_arguments.done", &[("item_id", "string"), ("output_index", "integer"), ("arguments", "string")]),
    ("response.in_progress", &[("response", "object")]),
    ("response.incomplete", &[("response", "object")]),
    ("response.output_item.added", &[("output_index", "integer"), ("item", "object")]),
    ("response.output_item.done", &[("output_index", "integer"), ("item", "object")]),
    ("response.output_text.delta", &[IN_ITEM[0], IN_ITEM[1], IN_ITEM[2], ("delta", "string"), ("logprobs", "array")]),
    ("response.output_text.done", &[IN_ITEM[0], IN_ITEM[1], IN_ITEM[2], ("text", "string"), ("logprobs", "array")]),
    ("response.reasoning_summary_part.added", &[IN_ITEM[0], IN_ITEM[1], ("summary_index", "integer"), ("part", "object")]),
    ("response.reasoning_summary_part.done", &[IN_ITEM[0], IN_ITEM[1], ("summary_index", "integer"), ("part", "object")]),
    ("response.reasoning_summary_text.delta", &[IN_ITEM[0], IN_ITEM[1], ("summary_index", "integer"), ("delta", "string")]),
    ("response.reasoning_summary_text.done", &[IN_ITEM[0], IN_ITEM[1], ("summary_index", "integer"), ("text", "string")]),
    ("response.refusal.delta", &[IN_ITEM[0], IN_ITEM[1], IN_ITEM[2], ("delta", "string")]),
    ("response.refusal.done", &[IN_ITEM[0], IN_ITEM[1], IN_ITEM[2], ("refusal", "string")]),
];
const IN_ITEM: [(&str, &str); 3] = [("item_id", "string"), ("output_index", "integer"), ("content_index", "integer")];
const PART: Schema = &[IN_ITEM[0], IN_ITEM[1], IN_ITEM[2], ("part", "object")];

/// What of `value` a schema finds wrong.
fn flaw(value: &Value, schema: Schema) -> Option<&'static str> {
    let fits = |value: &Value, kind: &str| match kind.trim_end_matches('?') {
        _ if value.is_null() => kind.ends_with('?') || kind == "any",
        "any" => true,
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        _ => false,
    };
    schema.iter().find(|(name, kind)| !value.get(name).is_some_and(|member| fits(member, kind))).map(|(name, _)| *name)
}

fn response_flaw(response: &Value) -> Option<&'static str> {
    let items = response["output"].as_array().into_iter().flatten().find_map(item_flaw);
    let tools = response["tools"].as_array().into_iter().flatten().find_map(|tool| flaw(tool, TOOL));
    let usage = Some(&response["usage"]).filter(|usage| !usage.is_null()).and_then(|usage| {
        let details = [
            ("input_tokens_details", &[("cached_tokens", "integer")] as Schema),
            ("output_tokens_details", &[("reasoning_tokens", "integer")]),
        ];
        flaw(usage, USAGE).or_else(|| details.into_iter().find_map(|(name, schema)| flaw(&usage[name], schema)))
    });
    let text = flaw(&response["text"], &[("format", "object")]);
    flaw(response, RESPONSE).or(items).or(tools).or(usage).or(text)
}

fn item_flaw(item: &Value) -> Option<&'static str> {
    match item["type"].as_str() {
        Some("function_call") => flaw(item, CALL),
        Some("message") => flaw(item, MESSAGE).or_else(|| item["content"].as_array()?.iter().find_map(part_flaw)),
        Some("reasoning") => flaw(item, REASONING).or_else(|| {
            let is_flawed = item.get("encrypted_content").is_some_and(|content| !content.is_string());
            is_flawed.then_some("encrypted_content")
        }),
        _ => Some("item.type"),
    }
}

fn part_flaw(part: &Value) -> Option<&'static str> {
    match part["type"].as_str() {
        Some("output_text") => flaw(part, TEXT_PART),
        Some("refusal") => flaw(part, REFUSAL_PART),
        Some("summary_text") => flaw(part, &[("text", "string")]),
        _ => Some("part.type"),
    }
}

fn event_flaw(event: &Value) -> Option<&'static str> {
    let Some((_, schema)) = EVENTS.iter().find(|(name, _)| event["type"] == *name) else { return Some("event.type") };
    flaw(event, &[("sequence_number", "integer")])
        .or_else(|| flaw(event, schema))
        .or_else(|| response_flaw(event.get("response")?))
        .or_else(|| item_flaw(event.get("item")?))
        .or_else(|| part_flaw(event.get("part")?))
        .or_else(|| flaw(event.get("error")?, ERROR))
}

fn identity() -> Identity {
    Identity { id: "abc".to_owned(), created: 1_700_000_000, model: "m".to_owned() }
}

const USED: Usage = Usage { input: 15, cached: Some(3), cache_written: None, output: 7, reasoning: Some(2) };

/// Takes a request as the gateway does, and gives back what it asks for; the conversation must be one that other formats can be
/// written from.
fn asked(request: &Value) -> (Wanted, Echo) {
    let body = request.to_string();
    assert!(inspect(body.as_bytes(), Api::Responses).is_ok());
    let conversation = read_request(body.as_bytes()).ok().unwrap();
    assert_eq!(conversation.refuse_own(Api::Chat), Ok(()));
    (conversation.wanted, Echo::of(body.as_bytes()).unwrap())
}

/// The answer to `request` that says `parts`, as the client gets it.
fn answer(request: &Value, parts: Vec<PartKind<'_>>, finish: Finish<'_>) -> Value {
    let (wanted, echo) = asked(request);
    let reply = Reply { id: None, parts: parts.into_iter().map(Into::into).collect(), finish, usage: Some(USED) };
    let mut out = ContentBuf::new();
    write_reply(&reply, &identity(), wanted, &echo, &mut out).unwrap();
    let response: Value = serde_json::from_slice(out.expose()).unwrap();
    assert_eq!(response_flaw(&response), None, "{response}");
    response
}

/// Events in a stream as a client's parser finds them, with what the suite demands of each.
fn events_in(stream: &[u8]) -> Vec<Value> {
    let stream = std::str::from_utf8(stream).unwrap();
    let mut events = Vec::new();
    for frame in stream.split_terminator("\n\n") {
        if frame == "data: [DONE]" {
            continue;
        }
        let (name, data) = frame.split_once('\n').unwrap();
        let event: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["type"], name.strip_prefix("event: ").unwrap());
        assert_eq!(event_flaw(&event), None, "{event}");
        assert_eq!(event["sequence_number"], events.len());
        events.push(event);
    }
    events
}

/// The stream that answers `request` with `events`, and the response in its last event.
fn streamed(request: &Value, events: &[Event<'_>]) -> (Vec<Value>, Value) {
    let (wanted, echo) = asked(request);
    let (mut writer, mut out) = (Writer::new(identity(), wanted, echo), ContentBuf::new());
    for event in events {
        writer.write(event, &mut out).unwrap();
    }
    writer.end(&mut out);
    let events = events_in(out.expose());
    let last = events.last().unwrap()["response"].clone();
    (events, last)
}

fn user(content: impl Into<Value>) -> Value {
    json!({"type": "message", "role": "user", "content": content.into()})
}

fn weather() -> Value {
    json!({
        "type": "function", "name": "get_weather", "description": "Get the current weather for a location",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
    })
}

fn text(text: &'static str) -> PartKind<'static> {
    PartKind::Text(Str::constant(text))
}

const ARGUMENTS: &str = r#"{"location":"San Francisco, CA"}"#;

fn call() -> PartKind<'static> {
    PartKind::ToolCall(ToolCall {
        id: Str::constant("call_1"),
        name: Str::constant("get_weather"),
        arguments: Arguments::Object(Json::checked(ARGUMENTS).ok().unwrap()),
        signature: None,
    })
}

fn completed(request: &Value) {
    let response = answer(request, vec![text("Hello there, you.")], Finish::Stop);
    assert_eq!((&response["status"], &response["output"][0]["type"]), (&json!("completed"), &json!("message")));
    assert_eq!(response["output"][0]["content"][0]["text"], "Hello there, you.");
    assert_eq!(response["usage"]["total_tokens"], 22);
}

#[test]
fn basic_response() {
    completed(&json!({"model": "m", "input": [user("Say hello in exactly 3 words.")]}));
}

#[test]
fn streaming_response() {
    let request = json!({"model": "m", "stream": true, "input": [user("Count from 1 to 5.")]});
    let (events, last) = streamed(
        &request,
        &[
            Event::Start { id: None },
            Event::Text(Str::constant("1, 2")),
            Event::Text(Str::constant(", 3")),
            Event::Finish(Finish::Stop),
            Event::Usage(USED),
        ],
    );
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ];
    assert_eq!(types, expected);
    assert_eq!((&last["status"], &last["output"][0]["content"][0]["text"]), (&json!("completed"), &json!("1, 2, 3")));
    assert_eq!(last["usage"]["input_tokens_details"]["cached_tokens"], 3);
    assert_eq!(last["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
}

#[test]
fn system_prompt() {
    let system = json!({"type": "message", "role": "system", "content": "You are a pirate. Always respond in pirate speak."});
    let request = json!({"model": "m", "input": [system, user("Say hello.")]});
    completed(&request);
    let body = request.to_string();
    let conversation = read_request(body.as_bytes()).ok().unwrap();
    assert_eq!(conversation.messages[0].role, Role::System);
}

#[test]
fn tool_calling() {
    let request = json!({"model": "m", "input": [user("What's the weather like in San Francisco?")], "tools": [weather()]});
    let response = answer(&request, vec![call()], Finish::ToolCalls);
    let item = &response["output"][0];
    assert_eq!((&item["type"], &item["arguments"]), (&json!("function_call"), &json!(ARGUMENTS)));
    assert_eq!(response["tools"][0]["name"], "get_weather");
}

#[test]
fn tool_calling_streaming() {
    let request = json!({"model": "m", "stream": true, "input": [user("Weather?")], "tools": [weather()]});
    for pieces in [vec!["{\\\"location\\\":", "\\\"SF\\\"}"], vec![]] {
        let mut said =
            vec![Event::ToolCall { index: 0, id: Str::constant("call_1"), name: Str::constant("get_weather"), signature: None }];
        said.extend(pieces.iter().map(|piece| Event::ToolArguments { index: 0, piece: Str::constant(piece) }));
        said.push(Event::Finish(Finish::ToolCalls));
        let (events, last) = streamed(&request, &said);
        let is = |event: &&Value, kind: &str| event["type"] == kind;
        for kind in ["response.output_item.added", "response.output_item.done"] {
            assert_eq!(events.iter().find(|event| is(event, kind)).unwrap()["item"]["type"], "function_call");
        }
        let deltas = events.iter().filter(|event| is(event, "response.function_call_arguments.delta"));
        let joined: String = deltas.map(|event| event["delta"].as_str().unwrap()).collect();
        assert!(!joined.is_empty(), "a delta is demanded, also of a call without arguments");
        let done = events.iter().find(|event| is(event, "response.function_call_arguments.done")).unwrap();
        assert_eq!((&done["arguments"], &last["output"][0]["arguments"]), (&json!(joined), &json!(joined)));
        assert!(serde_json::from_str::<Value>(&joined).unwrap().is_object());
    }
}

#[test]
fn function_call_round_trip() {
    let question = "Use the weather tool to get the temperature in San Francisco.";
    let choice = json!({"type": "function", "name": "get_weather"});
    let first = json!({"model": "m", "input": question, "tools": [weather()], "tool_choice": choice});
    let response = answer(&first, vec![call()], Finish::ToolCalls);
    assert_eq!(response["tool_choice"], choice);
    let output = json!({"type": "function_call_output", "call_id": "call_1", "output": "64 degrees and clear"});
    let refused = json!({"model": "m", "previous_response_id": response["id"], "input": [output]});
    assert!(matches!(inspect(refused.to_string().as_bytes(), Api::Responses), Err(Refusal::Conflict(_))));
    // The way out that the refusal names: the items of the answer go back as they came.
    completed(&json!({"model": "m", "input": [user(question), response["output"][0], output]}));
}

#[test]
fn image_input() {
    let image = json!({"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo="});
    completed(&json!({"model": "m", "input": [user(json!([{"type": "input_text", "text": "What do you see?"}, image]))]}));
}

#[test]
fn file_input() {
    let file = json!({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0xLjEK"});
    completed(&json!({"model": "m", "input": [user(json!([{"type": "input_text", "text": "Read the file."}, file]))]}));
}

#[test]
fn multi_turn() {
    let assistant = json!({"type": "message", "role": "assistant", "content": "Hello Alice! How can I help you today?"});
    completed(&json!({"model": "m", "input": [user("My name is Alice."), assistant, user("What is my name?")]}));
}

#[test]
fn previous_response_id_is_refused() {
    let body =
        json!({"model": "m", "previous_response_id": "resp_1", "input": "What code word did I ask you to remember?"}).to_string();
    let refusal = inspect(body.as_bytes(), Api::Responses).err();
    assert!(matches!(refusal, Some(Refusal::Conflict(conflict)) if conflict.field == "previous_response_id"));
    assert!(matches!(read_request(body.as_bytes()), Err(Refusal::Conflict(_))));
}

#[test]
fn tools_of_the_server_are_refused_in_a_translation() {
    for (tool, choice, include) in [
        (json!({"type": "file_search", "vector_store_ids": ["vs_1"]}), "file_search", "file_search_call.results"),
        (json!({"type": "web_search", "external_web_access": false}), "web_search", "web_search_call.action.sources"),
    ] {
        let request = json!({"model": "m", "input": "x", "tools": [tool], "tool_choice": {"type": choice}, "include": [include]});
        let body = request.to_string();
        let refusal = read_request(body.as_bytes()).ok().unwrap().refuse_own(Api::Messages);
        assert_eq!(refusal, Err(Refusal::Untranslatable { field: "tools.type", target: Api::Messages }));
    }
}

#[test]
fn reasoning_is_of_the_schema_and_proven_only_to_those_who_asked() {
    for (include, proof) in [(json!(["reasoning.encrypted_content"]), Some("E")), (json!([]), None)] {
        let request = json!({"model": "m", "input": "x", "include": include, "reasoning": {"effort": "low", "summary": "auto"}});
        let thinking = Thinking { id: None, text: Some(Str::constant("Hm")), signature: Some(Str::constant("E")) };
        let response = answer(&request, vec![PartKind::Reasoning(thinking), text("a")], Finish::Stop);
        assert_eq!(response["output"][0]["summary"][0]["text"], "Hm");
        assert_eq!(response["output"][0].get("encrypted_content").and_then(Value::as_str), proof);
        let thoughts = [
            Event::Reasoning { index: 0, piece: Str::constant("H") },
            Event::Reasoning { index: 0, piece: Str::constant("m") },
            Event::ReasoningSignature { index: 0, signature: Str::constant("E") },
            Event::Text(Str::constant("a")),
            Event::Finish(Finish::Stop),
        ];
        let (_, last) = streamed(&request, &thoughts);
        assert_eq!(last["output"], response["output"], "streamed and not, it is the same answer");
    }
}

#[test]
fn the_schema_can_be_failed() {
    let response = answer(&json!({"model": "m", "input": "x", "tools": [weather()]}), vec![text("a"), call()], Finish::Stop);
    for (name, _) in RESPONSE {
        let mut without = response.clone();
        without.as_object_mut().unwrap().remove(*name);
        assert_eq!(response_flaw(&without), Some(*name));
    }
    let mut flawed = response.clone();
    flawed["output"][0]["content"][0].as_object_mut().unwrap().remove("annotations");
    assert_eq!(response_flaw(&flawed), Some("annotations"));
    let mut flawed = response;
    flawed["usage"]["input_tokens_details"]["cached_tokens"] = json!("3");
    assert_eq!(response_flaw(&flawed), Some("cached_tokens"));
    assert_eq!(event_flaw(&json!({"type": "response.output_text.delta", "sequence_number": 1})), Some("item_id"));
    assert_eq!(event_flaw(&json!({"type": "response.reasoning.summary"})), Some("event.type"));
}
